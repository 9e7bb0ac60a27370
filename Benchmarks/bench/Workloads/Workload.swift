// The workloads that exist, and what a run of one needs to know.

/// How long to warm up and to measure.
struct Timing: Sendable {
    var warmupNs: UInt64 = 500_000_000
    var durationNs: UInt64 = 2_000_000_000
    /// Ends the measured phase earlier, after so many messages of each topic.
    var messages: Int?
}

/// Everything around a run that does not belong to the workload.
struct RunContext {
    var target: Target
    var timing: Timing
    /// nil when the server's process cannot be seen.
    var probe: ServerProbe?
    /// The server, where bench has started it.
    var server: ServerProcess?
    /// Where it keeps its streams, where bench has made that.
    var store: StoreDirectory?
    /// What the progress bar says in front; nil for none.
    var label: String?

    func progress() -> Progress? { label.map { Progress(label: $0, enabled: true) } }
}

/// One thing that can be asked of a server.
enum Workload: Sendable {
    case pubSub(PubSub)
    case request(RequestReply)
    case connections(IdleConnections)
    case storm(SubscribeStorm)
    case idle
    case streams(StreamWorkload)
    case keyed(KeyedWorkload)

    /// Whether the server needs a store.
    var needsStore: Bool {
        switch self {
        case .streams, .keyed: return true
        default: return false
        }
    }

    func run(_ context: RunContext) throws -> Measurement {
        switch self {
        case .pubSub(let workload): return try workload.run(context)
        case .request(let workload): return try workload.run(context)
        case .connections(let workload): return try workload.run(context)
        case .storm(let workload): return try workload.run(context)
        case .idle: return try runIdle(context)
        case .streams(let workload): return try workload.run(context)
        case .keyed(let workload): return try workload.run(context)
        }
    }

    /// What a server weighs and burns when nobody talks to it.
    private func runIdle(_ context: RunContext) throws -> Measurement {
        var result = Measurement(workload: "idle", unit: "connections")
        guard let probe = context.probe else {
            throw BenchError.usage("idle needs to see the server's process: run it on this machine")
        }
        Clock.sleep(ms: 1000)
        let meter = CostMeter(probe)
        let startNs = Clock.nowNs()
        Clock.sleep(ms: Int(context.timing.durationNs / 1_000_000))
        result.seconds = Double(Clock.nowNs() - startNs) / 1e9
        result.take(meter, probe)
        return result
    }
}
