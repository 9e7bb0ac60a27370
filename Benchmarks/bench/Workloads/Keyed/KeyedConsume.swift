// A pool of workers over many keys, in order per key: throughput or, at a given rate, delay.

struct KeyedConsume: Sendable {
    var plan = KeyPlan()
    /// nil: keys where the server knows them, and otherwise partitions.
    var pattern: KeyedPattern?
    var partitions = 64
    var workers = 512
    var processes = 8
    var handlerNs: UInt64 = 5_000_000
    var payloadBytes = 128
    var failure = PoolPlan.Failure.term
    var deliveriesMax = 5
    /// `bellhop.release_on_disconnect`.
    var releases = false
    var supply = Supply()

    private static let stream = "BENCH"
    private static let prefix = "bench"

    /// After a crash the lease runs out; without crashes none may.
    private var ackWaitNs: UInt64 { supply.churnNs == nil ? 60_000_000_000 : 1_000_000_000 }

    func run(_ context: RunContext) throws -> Measurement {
        let api = try StreamAPI(context.target)
        let pattern = try pattern ?? (KeyedPattern.knowsKeys(api) ? .keyed : .partitions(partitions))
        try pattern.createStream(KeyedConsume.stream, prefix: KeyedConsume.prefix, api)
        let consumers = try pattern.createConsumers(
            on: KeyedConsume.stream, prefix: KeyedConsume.prefix, ackWaitNs: ackWaitNs, deliveriesMax: deliveriesMax,
            releases ? [.init("bellhop.release_on_disconnect", .string("true"))] : [], api)
        guard workers >= consumers.count else {
            throw BenchError.usage("\(workers) workers are too few for \(consumers.count) partitions")
        }
        let publisher = try KeyedPublisher(
            context.target, stream: KeyedConsume.stream, prefix: KeyedConsume.prefix, KeyDraw(plan),
            payloadBytes: payloadBytes)
        let pool = PoolPlan(
            stream: KeyedConsume.stream, consumers: consumers, workers: workers,
            processes: max(1, min(processes, workers / consumers.count)), handlerNs: handlerNs, failure: failure,
            deliveriesMax: deliveriesMax, parks: pattern == .keyed, breaks: supply.churnNs != nil)
        let loop = try KeyedLoop(publisher, pool, supply, context.target, checksOrder: pattern.keepsOrder)
        var progress = context.progress()
        _ = try loop.run(context.timing.warmupNs, &progress, note: "warm-up")
        let before = loop.pool.counts
        let meter = CostMeter(context.probe)
        let result = try loop.run(context.timing.durationNs, &progress, note: "")
        var measurement = Measurement(workload: title(pattern))
        measurement.take(meter, context.probe)
        let after = loop.pool.counts
        let latency = loop.pool.latency
        try loop.drain(&progress)
        progress?.clear()
        if plan.failing == 0 || pattern != .keyed {
            for consumer in consumers { try api.expectDone(consumer, on: KeyedConsume.stream) }
        }
        measurement.messages = Double(result.handled)
        measurement.seconds = Double(result.ns) / 1e9
        measurement.payloadBytes = measurement.messages * Double(payloadBytes)
        measurement.latency = LatencySummary(latency)
        measurement.latencyOf = supply.rate == nil ? "publish to handled" : "due to handled"
        measurement.extras = [
            ("deliveries", Double(after.deliveries - before.deliveries)),
            ("redeliveries", Double(after.redeliveries - before.redeliveries)),
        ]
        if plan.failing > 0 { measurement.extras.append(("given_up", Double(loop.pool.counts.givenUp))) }
        if supply.churnNs != nil { measurement.extras.append(("crashes", Double(after.crashes - before.crashes))) }
        if pattern == .keyed {
            measurement.extras += try KeyFigures.read(api, KeyedConsume.stream, consumers[0]).extras
        }
        return measurement
    }

    private func title(_ pattern: KeyedPattern) -> String {
        var text = "\(pattern.title), \(plan.keys) keys"
        if let zipf = plan.zipf { text += ", Zipf \(Format.short(zipf))" }
        if plan.failing > 0 { text += ", \(Format.short(plan.failing * 100))% of them failing (\(failure.rawValue))" }
        text += ", \(workers) workers of \(Format.duration(ns: Double(handlerNs)))"
        if let rate = supply.rate { text += ", \(Format.count(rate)) messages/s" }
        if supply.churnNs != nil { text += ", workers crash, leave and join" }
        return text
    }
}

/// What a server says of a keyed consumer.
struct KeyFigures {
    let json: JSON

    static func read(_ api: StreamAPI, _ stream: String, _ consumer: String) throws -> KeyFigures {
        KeyFigures(json: try api.request("\(stream).\(consumer)", of: "$BELLHOP.API.KEY.INFO"))
    }

    func number(_ name: String) -> Double { json[name]?.number ?? 0 }

    var visitsPerLease: Double { number("key_visits_total") / max(1, number("leases_total")) }

    var extras: [(name: String, value: Double)] {
        [("keys_visited_per_lease", visitsPerLease), ("parked_keys", number("parked"))]
    }
}
