// `bench run`: one workload against one server.

import Glibc

enum RunCommand {
    static func run(_ arguments: [String]) throws {
        var arguments = Arguments(arguments)
        guard let name = arguments.word() else { throw BenchError.usage("run which workload? bench list names them") }
        let workload = try workload(named: name, &arguments)
        var target = Target()
        if let address = try arguments.text("--server") { try parse(address, into: &target) }
        target.user = try arguments.text("--user")
        target.password = try arguments.text("--pass")
        target.token = try arguments.text("--token")
        let timing = try timing(&arguments)
        let pid = try arguments.integer("--pid", 1...Int(Int32.max))
        let start = try arguments.text("--start")
        let startArguments = try arguments.text("--start-args") ?? "-a 127.0.0.1 -p {port}"
        let spinUs = try arguments.integer("--spin", 0...1_000_000) ?? 0
        let json = arguments.flag("--json")
        let sync = try arguments.text("--sync").map { text in
            guard let setting = SyncSetting(rawValue: text == "default" ? "standard" : text) else {
                throw BenchError.usage("--sync takes always, never or default, not \(text)")
            }
            return setting
        }
        let storeParent = try arguments.text("--store") ?? StoreDirectory.parentDefault
        try arguments.finish()

        var process: ServerProcess?
        var store: StoreDirectory?
        defer { withExtendedLifetime(store) { process?.stop() } }
        if let start {
            let plan = ServerPlan(name: start, path: start, arguments: words(startArguments))
            if workload.needsStore {
                store = try StoreDirectory(in: storeParent, sync: sync ?? .standard, number: 0)
            }
            process = try ServerProcess(plan, spinUs: spinUs, more: store?.arguments ?? [])
            target.port = process?.target.port ?? target.port
        }
        let probe = process?.probe ?? pid.map { ServerProbe(pid: pid_t($0)) } ?? localProbe(target)
        let context = RunContext(
            target: target, timing: timing, probe: probe, server: process, store: store, label: json ? nil : name)
        let measurement: Measurement
        do {
            measurement = try workload.run(context)
        } catch {
            if let said = process?.lastWords(), !said.isEmpty { Files.say("bench: it said: \(said)\n", descriptor: 2) }
            throw error
        }
        Files.say((json ? measurement.json.text : measurement.text) + "\n")
    }

    /// Builds a workload from its name and options.
    static func workload(named name: String, _ arguments: inout Arguments) throws -> Workload {
        if name == "keyed" { return .keyed(try KeyedWorkload.parse(&arguments)) }
        if name.hasPrefix("js-") {
            guard let streams = try StreamWorkload.named(name, &arguments) else {
                throw BenchError.usage("unknown workload \(name); bench list names them")
            }
            return .streams(streams)
        }
        let size = try arguments.integer("--size", FrameBlock.payloadBytesMin...(8 << 20), unit: 1024) ?? 128
        let poll = arguments.flag("--poll")
        switch name {
        case "request":
            var request = RequestReply(name: name, payloadBytes: size, poll: poll)
            request.outstanding = try arguments.integer("--outstanding", 1...65_536) ?? 1
            request.requesters = try arguments.integer("--pubs", 1...1_000) ?? 1
            request.name = "request, \(request.outstanding) outstanding, \(size) B"
            return .request(request)
        case "connections":
            return .connections(IdleConnections(count: try arguments.integer("--count", 1...1_000_000) ?? 5_000))
        case "storm":
            return .storm(SubscribeStorm(count: try arguments.integer("--count", 1...10_000_000) ?? 100_000))
        case "idle":
            return .idle
        default: break
        }
        guard let shape = shapes.first(where: { $0.name == name }) else {
            throw BenchError.usage("unknown workload \(name); bench list names them")
        }
        var workload = shape.workload
        workload.payloadBytes = size
        workload.poll = poll
        workload.topics = try arguments.integer("--pubs", 1...1_000) ?? workload.topics
        workload.subscribersPerTopic = try arguments.integer("--subs", 0...1_000) ?? workload.subscribersPerTopic
        workload.threads = try arguments.integer("--threads", 1...64) ?? workload.threads
        workload.rate = try arguments.integer("--rate", 1...1_000_000_000).map(Double.init) ?? workload.rate
        workload.windowBytes = try arguments.integer("--window", 1...(1 << 30), unit: 1024)
        if arguments.flag("--split") { workload.split = true }
        workload.verifyAll = arguments.flag("--verify-all")
        if arguments.flag("--unique") { workload.unique = true }
        if arguments.flag("--single") { workload.singleWrites = true }
        workload.name = "\(name) \(workload.topics):\(workload.subscribersPerTopic * workload.topics), \(size) B"
        return .pubSub(workload)
    }

    /// The publish-and-subscribe shapes by name.
    static let shapes: [(name: String, workload: PubSub)] = [
        ("publish", PubSub(name: "publish", subscribersPerTopic: 0)),
        ("stream", PubSub(name: "stream")),
        ("fan-out", PubSub(name: "fan-out", subscribersPerTopic: 4)),
        ("many", PubSub(name: "many", topics: 4)),
        ("unique", PubSub(name: "unique", unique: true)),
        ("single", PubSub(name: "single", singleWrites: true)),
        ("paced", PubSub(name: "paced", rate: 10_000)),
    ]

    static func timing(_ arguments: inout Arguments) throws -> Timing {
        var timing = Timing()
        timing.warmupNs = try arguments.duration("--warmup") ?? timing.warmupNs
        let duration = try arguments.duration("--duration")
        timing.messages = try arguments.integer("--messages", 1...1_000_000_000_000)
        timing.durationNs = duration ?? (timing.messages == nil ? timing.durationNs : 3_600_000_000_000)
        return timing
    }

    static func words(_ text: String) -> [String] { text.split(separator: " ").map(String.init) }

    private static func parse(_ address: String, into target: inout Target) throws {
        var text = address[...]
        if text.hasPrefix("nats://") { text = text.dropFirst(7) }
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard let host = parts.first, !host.isEmpty, parts.count <= 2 else {
            throw BenchError.usage("--server takes HOST:PORT, not \(address)")
        }
        target.host = String(host)
        guard parts.count == 2 else { return }
        guard let port = UInt16(parts[1]), port > 0 else { throw BenchError.usage("\(parts[1]) is no port") }
        target.port = port
    }

    /// A server on this machine can be measured from outside.
    private static func localProbe(_ target: Target) -> ServerProbe? {
        guard target.host == "localhost" || target.host.hasPrefix("127.") else { return nil }
        return ServerProbe.listening(on: target.port)
    }
}
