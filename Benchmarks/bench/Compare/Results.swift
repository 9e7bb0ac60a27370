// The results file of a comparison: a line of JSON for each row, with all its pairs; a later line replaces an earlier.

/// The servers of a comparison, in the order they take their turns.
enum Side: String, Sendable, CaseIterable {
    case subject, peer, third
}

/// One row's line.
struct RowResult: Sendable {
    let row: String
    let json: JSON

    /// Makes the line of a row that has just run.
    init(
        row: Row, servers: [(side: Side, name: String, version: String, command: String)],
        pairs: [[Side: Measurement]], timing: Timing, command: String, load: Double?, store: String? = nil
    ) {
        self.row = row.name
        json = .object([
            .init("row", .string(row.name)), .init("title", .string(row.title)),
            .init("time", .string(Clock.timestamp())), .init("machine", .string(Machine.description)),
            .init("load_before", .optional(load)), .init("command", .string(command)),
            .init("warmup_s", .number(Double(timing.warmupNs) / 1e9)),
            .init("duration_s", .number(Double(timing.durationNs) / 1e9)),
            .init("store", store.map { .string($0) } ?? .null),
            .init(
                "servers",
                .object(
                    servers.map { server in
                        JSON.Member(
                            server.side.rawValue,
                            .object([
                                .init("name", .string(server.name)), .init("version", .string(server.version)),
                                .init("command", .string(server.command)),
                                .init("sync", row.sync.map { .string($0.setting(server.side).rawValue) } ?? .null),
                            ]))
                    })),
            .init(
                "pairs",
                .array(
                    pairs.map { pair in
                        .object(
                            Side.allCases.compactMap { side in
                                pair[side].map { JSON.Member(side.rawValue, $0.json) }
                            })
                    })),
        ])
    }

    private init(row: String, json: JSON) {
        self.row = row
        self.json = json
    }

    var title: String { json["title"]?.string ?? row }

    func name(_ side: Side) -> String? { json["servers"]?[side.rawValue]?["name"]?.string }
    func version(_ side: Side) -> String? { json["servers"]?[side.rawValue]?["version"]?.string }

    var pairs: [JSON] { json["pairs"]?.array ?? [] }

    /// One side's figure over the pairs.
    func spread(_ metric: Metric, _ side: Side) -> Spread? {
        Spread(pairs.compactMap { pair in pair[side.rawValue].flatMap { metric.value(in: $0) } })
    }

    /// How many times better one side is than the peer, pair by pair.
    func advantage(_ metric: Metric, of side: Side) -> Spread? {
        Spread(
            pairs.compactMap { pair in
                guard let one = pair[side.rawValue].flatMap({ metric.value(in: $0) }),
                    let other = pair[Side.peer.rawValue].flatMap({ metric.value(in: $0) })
                else { return nil }
                return metric.advantage(of: one, over: other)
            })
    }

    /// Processor use of everybody else during the row, in cores: the most of any run.
    var othersMax: Double? {
        pairs.flatMap { pair in Side.allCases.compactMap { pair[$0.rawValue]?["others_cores"]?.number } }.max()
    }

    /// How a goal came out: against the figure given, or 85% of the third server's own advantage where that is lower.
    func verdict(_ goal: Goal) -> Verdict? {
        if goal.isAbsolute {
            guard let value = spread(goal.metric, .subject)?.median else { return nil }
            return Verdict(holds: goal.isReached(by: value), bound: goal.bound, byThird: false)
        }
        guard let reached = advantage(goal.metric, of: .subject)?.median else { return nil }
        let third = advantage(goal.metric, of: .third).map { $0.median * Verdict.thirdShare }
        let bound = min(goal.bound, third ?? .infinity)
        return Verdict(holds: reached >= bound, bound: bound, byThird: bound < goal.bound)
    }

    /// Reads a file; rows in the order they first appeared, each with its latest line.
    static func read(_ path: String) throws -> [RowResult] {
        var results: [RowResult] = []
        for (number, line) in (Files.read(path) ?? "").split(separator: "\n").enumerated() {
            guard let json = JSON(parsing: String(line)), let row = json["row"]?.string else {
                throw BenchError.file("\(path):\(number + 1) is no result; remove the line")
            }
            let result = RowResult(row: row, json: json)
            if let index = results.firstIndex(where: { $0.row == row }) {
                results[index] = result
            } else {
                results.append(result)
            }
        }
        let order = Row.all.map(\.name)
        return results.sorted { (order.firstIndex(of: $0.row) ?? .max) < (order.firstIndex(of: $1.row) ?? .max) }
    }
}

extension Row {
    /// The row at the rate that follows from what the peer reached in another one.
    func paced(by results: [RowResult]) throws -> Row {
        guard let pace, case .keyed(let workload) = workload else { return self }
        guard let most = results.first(where: { $0.row == pace.row })?.spread(.rate, .peer)?.median else {
            throw BenchError.usage("its rate follows from \(pace.row): run that first")
        }
        var row = self
        row.workload = .keyed(workload.paced(max(1, (most * pace.share).rounded())))
        return row
    }
}

/// Whether a goal was reached.
struct Verdict: Sendable, Equatable {
    let holds: Bool
    /// What had to be reached.
    let bound: Double
    /// Whether the third server's own result lowered the bound.
    let byThird: Bool

    /// The share of the yardstick's ratio that is good enough.
    static let thirdShare = 0.85
}
