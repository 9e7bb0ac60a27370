// `bench compare`: servers in turn, row by row, into a results file, a table and a picture.

import Glibc

enum CompareCommand {
    /// A results path's three files.
    private struct Output {
        let results: String
        let page: String
        let chart: String

        /// `path` names the files without their endings; a directory gets files called `comparison`.
        init(_ path: String) {
            var base = path
            if base.hasSuffix(".jsonl") { base.removeLast(6) }
            if base.hasSuffix("/") || access(base + "/.", F_OK) == 0 {
                base += base.hasSuffix("/") ? "comparison" : "/comparison"
            }
            results = base + ".jsonl"
            page = base + ".md"
            chart = base + ".svg"
        }

        /// Writes the page and the picture from all that is in the results file.
        func render() throws -> [RowResult] {
            let all = try RowResult.read(results)
            try Files.write(Chart.svg(all), to: chart)
            let name = chart.split(separator: "/").last.map(String.init) ?? chart
            try Files.write(Report.markdown(all, chart: name), to: page)
            return all
        }
    }

    private static let outDefault = "docs/benchmarks/"

    static func run(_ words: [String]) throws -> Int32 {
        var arguments = Arguments(words)
        guard let peerPath = try arguments.text("--peer") else {
            throw BenchError.usage("compare needs --peer PATH, the server to compare with")
        }
        var servers: [(side: Side, plan: ServerPlan)] = []
        let subjectPath = try arguments.text("--subject") ?? ".build/release/brokerd"
        let subjectArguments = try arguments.text("--subject-args") ?? "-a 127.0.0.1 -p {port}"
        servers.append(
            (.subject, plan(try arguments.text("--subject-name") ?? "bellhop", subjectPath, subjectArguments)))
        let peerArguments = try arguments.text("--peer-args") ?? "-a 127.0.0.1 -p {port}"
        servers.append((.peer, plan(try arguments.text("--peer-name") ?? name(of: peerPath), peerPath, peerArguments)))
        let thirdArguments = try arguments.text("--third-args") ?? "{port} 1 262144 {spin} 32768"
        let thirdName = try arguments.text("--third-name")
        if let path = try arguments.text("--third") {
            servers.append((.third, plan(thirdName ?? name(of: path), path, thirdArguments)))
        }
        let rows = try Row.select(try arguments.text("--rows") ?? "judged")
        let pairs = try arguments.integer("--pairs", 1...1_000) ?? 5
        let timing = try RunCommand.timing(&arguments)
        let output = Output(try arguments.text("--out") ?? outDefault)
        let storeParent = try arguments.text("--store") ?? StoreDirectory.parentDefault
        let touched = try arguments.integer("--touch", 0...(1 << 40), unit: 1_024) ?? 0
        let resume = arguments.flag("--resume")
        let check = arguments.flag("--check")
        let json = arguments.flag("--json")
        try arguments.finish()
        try Files.makeParents(of: output.results)

        let command = (["bench", "compare"] + words.map(quoted)).joined(separator: " ")
        let done = resume ? Set(try RowResult.read(output.results).map(\.row)) : []
        var failed = false
        for (number, row) in rows.enumerated() where !done.contains(row.name) {
            do {
                let position = "[\(number + 1)/\(rows.count)] \(row.name)"
                let sides = row.sides(of: servers.map(\.side))
                let paced = try row.paced(by: RowResult.read(output.results))
                let result = try run(
                    paced, servers.filter { sides.contains($0.side) }, pairs, timing, command, position, storeParent,
                    touched: touched, quiet: json)
                try Files.append(result.json.text + "\n", to: output.results)
                Files.say(json ? result.json.text + "\n" : Report.summary(result))
                if check, row.goals.contains(where: { result.verdict($0)?.holds != true }) { failed = true }
                _ = try output.render()
            } catch let error as BenchError {
                // The other rows are worth having all the same; the exit status tells.
                failed = true
                Files.say("bench: \(row.name): \(error)\n", descriptor: 2)
            }
        }
        if !json { Files.say("Written: \(output.results), \(output.page), \(output.chart)\n") }
        return failed ? 1 : 0
    }

    /// Makes table and picture again from a results file.
    static func report(_ words: [String]) throws {
        var arguments = Arguments(words)
        let output = Output(try arguments.text("--out") ?? outDefault)
        try arguments.finish()
        guard !(try RowResult.read(output.results)).isEmpty else {
            throw BenchError.file("\(output.results) holds no results yet")
        }
        for result in try output.render() { Files.say(Report.summary(result)) }
        Files.say("Written: \(output.page), \(output.chart)\n")
    }

    /// All pairs of one row: each server once in every pair, always in the same order, each time afresh.
    private static func run(
        _ row: Row, _ servers: [(side: Side, plan: ServerPlan)], _ pairs: Int, _ timing: Timing, _ command: String,
        _ position: String, _ storeParent: String, touched: Int, quiet: Bool
    ) throws -> RowResult {
        let load = Machine.load
        var storeText: String?
        var measured: [[Side: Measurement]] = []
        var versions: [Side: String] = [:]
        for pair in 0..<pairs {
            var measurements: [Side: Measurement] = [:]
            for server in servers {
                var plan = server.plan
                if server.side == .subject, let spinUs = row.spinUs, !plan.arguments.contains("{spin}") {
                    plan.arguments += ["--spin", "\(spinUs)"]
                }
                let store = try row.sync.map {
                    try StoreDirectory(in: storeParent, sync: $0.setting(server.side), number: measured.count)
                }
                if let store { storeText = "\(store.fileSystem), in \(storeParent)" }
                try Machine.touch(bytes: touched)
                let process = try ServerProcess(plan, spinUs: row.spinUs ?? 0, more: store?.arguments ?? [])
                // The server goes first, then its store.
                defer { withExtendedLifetime(store) { process.stop() } }
                versions[server.side] = process.version
                let label = quiet ? nil : "\(position), pair \(pair + 1)/\(pairs), \(plan.name)"
                do {
                    measurements[server.side] = try row.workload.run(
                        RunContext(
                            target: process.target, timing: timing, probe: process.probe, server: process, store: store,
                            label: label))
                } catch let error as BenchError {
                    let said = process.lastWords()
                    throw BenchError.server("\(plan.name): \(error)" + (said.isEmpty ? "" : "; it said: \(said)"))
                }
            }
            measured.append(measurements)
        }
        let described = servers.map { server in
            (
                side: server.side, name: server.plan.name, version: versions[server.side] ?? "unknown",
                command: ([server.plan.path] + server.plan.arguments).joined(separator: " ")
            )
        }
        return RowResult(
            row: row, servers: described, pairs: measured, timing: timing, command: command, load: load,
            store: storeText)
    }

    private static func plan(_ name: String, _ path: String, _ arguments: String) -> ServerPlan {
        ServerPlan(name: name, path: path, arguments: RunCommand.words(arguments))
    }

    private static func name(of path: String) -> String { path.split(separator: "/").last.map(String.init) ?? path }

    private static func quoted(_ word: String) -> String {
        let plain = word.utf8.allSatisfy { byte in
            (48...57).contains(byte) || (64...90).contains(byte) || (97...122).contains(byte)
                || "-_./:,=+".utf8.contains(byte)
        }
        return plain && !word.isEmpty ? word : "'" + Text.replacing("'", in: word, with: "'\\''") + "'"
    }
}
