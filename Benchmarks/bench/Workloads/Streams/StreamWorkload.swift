// The workloads over streams, and what each is compared by.

/// One thing that can be asked of a server with JetStream.
enum StreamWorkload: Sendable {
    case publish(StreamPublish)
    case batches(AtomicBatches)
    case pull(PullConsume)
    case filter(FilteredConsume)
    case consumers(ManyConsumers)
    case latency(StreamLatency)
    case lone(LonePublish)
    case recovery(Recovery)
    case memory(StreamMemory)

    func run(_ context: RunContext) throws -> Measurement {
        switch self {
        case .publish(let workload): return try workload.run(context)
        case .batches(let workload): return try workload.run(context)
        case .pull(let workload): return try workload.run(context)
        case .filter(let workload): return try workload.run(context)
        case .consumers(let workload): return try workload.run(context)
        case .latency(let workload): return try workload.run(context)
        case .lone(let workload): return try workload.run(context)
        case .recovery(let workload): return try workload.run(context)
        case .memory(let workload): return try workload.run(context)
        }
    }

    /// The first is the row's own figure.
    var metrics: [Metric] {
        switch self {
        case .publish, .batches: return [.rate, .cpu, .p50]
        case .pull, .consumers: return [.rate, .cpu]
        case .filter: return [.rateOfFewSubjects, .cpu, .rate]
        case .latency: return [.p50, .p99, .cpu]
        case .lone: return [.p99OfBareSync, .p50, .p99]
        case .recovery: return [.recovery]
        case .memory: return [.bytesPerMessage]
        }
    }

    /// By its name in `bench run`; nil for no such workload.
    static func named(_ name: String, _ arguments: inout Arguments) throws -> StreamWorkload? {
        let size = try arguments.integer("--size", StreamFrames.payloadBytesMin...(1 << 20), unit: 1024) ?? 128
        let outstanding = try arguments.integer("--outstanding", 1...65_536)
        let count = try arguments.integer("--count", 1...100_000_000)
        let subjects = try arguments.integer("--subjects", 1...10_000_000)
        let batch = try arguments.integer("--batch", 1...100_000) ?? 500
        switch name {
        case "js-publish":
            return .publish(
                StreamPublish(outstanding: outstanding ?? 256, payloadBytes: size, subjects: subjects ?? 1))
        case "js-batch": return .batches(AtomicBatches(inFlight: min(outstanding ?? 16, 1_000), payloadBytes: size))
        case "js-pull":
            return .pull(PullConsume(payloadBytes: size, messages: count ?? 200_000, batch: batch))
        case "js-filter":
            return .filter(FilteredConsume(subjects: max(3, subjects ?? 100_000), matches: count ?? 50_000))
        case "js-consumers":
            return .consumers(ManyConsumers(consumers: count ?? 1_000, filtered: !arguments.flag("--unfiltered")))
        case "js-latency": return .latency(StreamLatency(payloadBytes: size))
        case "js-lone": return .lone(LonePublish(payloadBytes: size))
        case "js-recovery":
            let streams = subjects ?? 1
            return .recovery(Recovery(streams: streams, messages: count ?? 1_000_000, payloadBytes: size))
        case "js-memory": return .memory(StreamMemory(messages: count ?? 1_000_000, subjects: subjects ?? 1))
        default: return nil
        }
    }
}
