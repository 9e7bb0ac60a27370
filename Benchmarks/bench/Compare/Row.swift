// The rows of the comparison: what is run, what is compared, and the goals.

/// One row: a workload with its goals.
struct Row: Sendable {
    let name: String
    let title: String
    var workload: Workload
    var goals: [Goal] = []
    /// The servers' `{spin}`, and our `--spin`; nil leaves it to the server.
    var spinUs: Int?
    /// When either side syncs; nil for rows without a store.
    var sync: SyncPair?
    /// Runs at a share of the rate that the peer reached in another row, which goes before it.
    var pace: (row: String, share: Double)?

    var isKeyed: Bool { if case .keyed = workload { true } else { false } }

    /// Whether the row is among those that are judged.
    var isJudged: Bool { !goals.isEmpty }

    /// What is compared: the goals' metrics, and rate and processor time where the row has them.
    var metrics: [Metric] {
        switch workload {
        case .idle: return [.rss]
        case .connections: return [.rssPerConnection, .rate, .cpu]
        case .request: return goals.contains { $0.metric == .p50 } ? [.p50, .cpu, .rate] : [.rate, .cpu, .p50]
        case .pubSub, .storm: return [.rate, .cpu]
        case .streams(let workload): return workload.metrics
        case .keyed(let workload): return workload.metrics
        }
    }

    /// The sides that take part: what only a server with keys can do is asked of ours alone.
    func sides(of given: [Side]) -> [Side] {
        if case .keyed(let workload) = workload, workload.isForKeysOnly { return [.subject] }
        // The yardstick keeps no streams.
        return sync == nil ? given : given.filter { $0 != .third }
    }

    /// All rows: the core's, then the streams', then those of keyed consumers, each with the judged ones first.
    static let all: [Row] =
        judged + others + StreamRows.judged + StreamRows.others + KeyedRows.judged + KeyedRows.others

    /// How long our server polls in the rows that ask for it.
    static let spinUs = 40

    private static let judged: [Row] =
        shape(
            "publish", "publish only", PubSub(name: "publish", subscribersPerTopic: 0),
            [
                (16, 8, 10), (128, 4, 5), (1024, 2, 3.5),
            ])
        + shape(
            "stream", "1:1", PubSub(name: "stream"),
            [
                (16, 8, 10), (128, 4, 6), (1024, 1.8, 2.3), (16_384, 1.15, 1.5),
            ])
        + shape(
            "fanout", "1:4", PubSub(name: "fan-out", subscribersPerTopic: 4),
            [
                (16, 8, 9), (128, 5, 6), (1024, 1.8, 2),
            ])
        + shape(
            "many", "4:4 distinct subjects", PubSub(name: "many", topics: 4),
            [
                (16, 8, 10), (128, 5, 7), (1024, 2, 2.5),
            ])
        + shape(
            "unique", "unique subject per message, wildcard subscriber", PubSub(name: "unique", unique: true),
            [
                (128, 4, 4)
            ])
        + [
            Row(
                name: "request-1-spin", title: "request/reply, 1 outstanding, spin on",
                workload: .request(RequestReply(name: "request")), goals: [.p50(0.6)], spinUs: spinUs),
            Row(
                name: "request-1", title: "request/reply, 1 outstanding, spin off",
                workload: .request(RequestReply(name: "request")), goals: [.p50(0.8), .cpu(1.5)], spinUs: 0),
            Row(
                name: "request-64", title: "request/reply, 64 outstanding",
                workload: .request(RequestReply(name: "request", outstanding: 64)), goals: [.rate(2.5), .cpu(3)]),
        ]
        + [
            Row(
                name: "single-1", title: "one message per write(), 1:1, 128 B",
                workload: .pubSub(PubSub(name: "single", singleWrites: true)), goals: [.rate(1), .cpu(2.5)]),
            Row(
                name: "single-8", title: "one message per write(), 8:8, 128 B",
                // One client thread cannot write often enough to keep a server busy with eight publishers.
                workload: .pubSub(PubSub(name: "single", topics: 8, singleWrites: true, threads: 2)),
                goals: [.rate(1), .cpu(2.5)]),
            Row(name: "idle", title: "idle", workload: .idle, goals: [.rss(0.5)]),
            Row(
                name: "connections", title: "5,000 idle connections", workload: .connections(IdleConnections()),
                goals: [.rssPerConnection(1024)]),
        ]

    private static let others: [Row] =
        shape("fanout32", "1:32", PubSub(name: "fan-out", subscribersPerTopic: 32), [(128, 0, 0)])
        + shape("stream", "1:1", PubSub(name: "stream"), [(65_536, 0, 0)])
        + [
            Row(
                name: "paced", title: "1:1 at 10,000 messages/s, 128 B",
                workload: .pubSub(PubSub(name: "paced", rate: 10_000))),
            Row(name: "storm", title: "subscribe storm of 100,000 subjects", workload: .storm(SubscribeStorm())),
        ]

    /// A row for each payload size with its goals; 0 is no goal.
    private static func shape(
        _ name: String, _ title: String, _ workload: PubSub, _ sizes: [(bytes: Int, rate: Double, cpu: Double)]
    ) -> [Row] {
        sizes.map { size in
            var workload = workload
            workload.payloadBytes = size.bytes
            let text = size.bytes >= 16_384 ? "\(size.bytes / 1024) KiB" : "\(size.bytes) B"
            return Row(
                name: "\(name)-\(size.bytes)", title: "\(title), \(text)", workload: .pubSub(workload),
                goals: size.rate > 0 ? [.rate(size.rate), .cpu(size.cpu)] : [])
        }
    }

    /// Finds rows by a list such as `stream-16,fanout-*`, `core`, `streams` or `keyed` (the judged ones of each),
    /// `judged` or `all`.
    static func select(_ list: String) throws -> [Row] {
        var chosen: [Row] = []
        for part in list.split(separator: ",") {
            let found = all.filter { row in
                if part == "all" { return true }
                if part == "judged" { return row.isJudged }
                if part == "core" { return row.isJudged && row.sync == nil }
                if part == "streams" { return row.isJudged && row.sync != nil && !row.isKeyed }
                if part == "keyed" { return row.isJudged && row.isKeyed }
                return part.hasSuffix("*") ? row.name.hasPrefix(part.dropLast()) : row.name == part
            }
            if found.isEmpty { throw BenchError.usage("no row \(part); bench list names them") }
            chosen += found.filter { row in !chosen.contains { $0.name == row.name } }
        }
        return chosen
    }
}
