// The workloads over ordering keys, their options, and what each is compared by.

/// One thing that can be asked of a server that keeps order per key.
enum KeyedWorkload: Sendable {
    case consume(KeyedConsume)
    case beside(KeyedBeside)
    case memory(KeyedMemory)
    case retry(KeyedRetry)

    func run(_ context: RunContext) throws -> Measurement {
        switch self {
        case .consume(let workload): return try workload.run(context)
        case .beside(let workload): return try workload.run(context)
        case .memory(let workload): return try workload.run(context)
        case .retry(let workload): return try workload.run(context)
        }
    }

    /// The first is the row's own figure.
    var metrics: [Metric] {
        switch self {
        case .consume(let workload):
            return workload.supply.rate == nil ? [.rate, .cpu, .p99, .rss] : [.p99, .p50, .cpu, .rate]
        case .beside(let workload):
            if case .keys = workload.burden { return [.rateOfLight, .cpuOfLight, .rate] }
            return [.p99OfLight, .cpuOfLight, .visitsOfLight, .visitsPerLease]
        case .memory: return [.bytesPerKey, .countedPerKey]
        case .retry: return [.p99, .p50, .max, .resumeMax]
        }
    }

    /// Whether only a server with keys can do it.
    var isForKeysOnly: Bool { if case .consume = self { false } else { true } }

    /// The same at so many messages a second.
    func paced(_ rate: Double) -> KeyedWorkload {
        guard case .consume(var workload) = self else { return self }
        workload.supply.rate = rate
        return .consume(workload)
    }

    /// By the word after `bench keyed`.
    static func parse(_ arguments: inout Arguments) throws -> KeyedWorkload {
        let word = arguments.word()
        let count = try arguments.integer("--count", 1...10_000_000)
        switch word {
        case nil: return .consume(try KeyedConsume(&arguments))
        case "unkeyed", "parked":
            let turns = try arguments.integer("--turns", 1...1_000)
            let burden = word == "unkeyed" ? KeyedBeside.Burden.keys : .parked(count ?? 10_000)
            var workload = KeyedBeside(consume: try KeyedConsume(&arguments), burden: burden)
            if let turns { workload.turns = turns }
            return .beside(workload)
        case "memory": return .memory(KeyedMemory(keys: count ?? 100_000))
        case "retry": return .retry(KeyedRetry(parked: count ?? 10_000))
        default: throw BenchError.usage("bench keyed --help names what can be run")
        }
    }
}

extension KeyedConsume {
    /// From the options of `bench keyed`.
    init(_ arguments: inout Arguments) throws {
        self.init()
        plan.keys = try arguments.integer("--keys", 1...10_000_000) ?? plan.keys
        plan.zipf = try arguments.number("--zipf", 0...10)
        plan.failing = try arguments.number("--failing", 0...0.9) ?? 0
        if let text = try arguments.text("--failure") {
            guard let failure = PoolPlan.Failure(rawValue: text) else {
                throw BenchError.usage("--failure takes nak or term, not \(text)")
            }
            self.failure = failure
        }
        deliveriesMax = try arguments.integer("--max-deliver", 1...1_000) ?? deliveriesMax
        partitions = try arguments.integer("--partitions", 1...4_096) ?? partitions
        if let text = try arguments.text("--pattern") {
            switch text {
            case "auto": pattern = nil
            case "keyed": pattern = .keyed
            case "partitions": pattern = .partitions(partitions)
            case "plain": pattern = .plain
            default: throw BenchError.usage("--pattern takes auto, keyed, partitions or plain, not \(text)")
            }
        }
        workers = try arguments.integer("--workers", 1...100_000) ?? workers
        processes = try arguments.integer("--processes", 1...1_000) ?? processes
        handlerNs = try arguments.duration("--handler") ?? handlerNs
        payloadBytes =
            try arguments.integer("--size", KeyedFrames.payloadBytesMin...(1 << 20), unit: 1024) ?? payloadBytes
        supply.rate = try arguments.integer("--rate", 1...10_000_000).map(Double.init)
        supply.ahead = try arguments.integer("--ahead", 1...10_000_000) ?? supply.ahead
        supply.outstanding = try arguments.integer("--outstanding", 1...65_536) ?? supply.outstanding
        supply.churnNs = try arguments.duration("--churn")
        releases = arguments.flag("--release")
        guard processes <= workers else { throw BenchError.usage("more processes than workers") }
    }
}
