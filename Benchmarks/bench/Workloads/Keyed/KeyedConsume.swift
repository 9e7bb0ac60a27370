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
    /// A server that syncs each message on a busy disk may handle none within a second or two.
    private static let leastHandled = 500

    /// After a crash the lease runs out; without crashes none may.
    private var ackWaitNs: UInt64 { supply.churnNs == nil ? 60_000_000_000 : 1_000_000_000 }

    /// A stream with its consumers, a publisher and a pool of workers.
    final class Bench {
        let stream: String
        let pattern: KeyedPattern
        let consumers: [String]
        let loop: KeyedLoop

        /// - Parameter parked: so many further keys are parked before anything else.
        init(
            _ workload: KeyedConsume, _ pattern: KeyedPattern, stream: String, parked: Int = 0, _ context: RunContext,
            _ api: StreamAPI
        ) throws {
            self.stream = stream
            self.pattern = pattern
            let prefix = stream.lowercased()
            try pattern.createStream(stream, prefix: prefix, api)
            var metadata: [JSON.Member] = []
            if workload.releases { metadata.append(.init("bellhop.release_on_disconnect", .string("true"))) }
            if parked > 0 { metadata.append(.init("bellhop.max_parked_keys", .string("\(2 * parked)"))) }
            consumers = try pattern.createConsumers(
                on: stream, prefix: prefix, ackWaitNs: workload.ackWaitNs, deliveriesMax: workload.deliveriesMax, metadata, api)
            guard workload.workers >= consumers.count else {
                throw BenchError.usage("\(workload.workers) workers are too few for \(consumers.count) partitions")
            }
            if parked > 0 {
                let lot = try ParkingLot(context.target, stream: stream, prefix: prefix, consumer: consumers[0])
                try lot.park(parked, api)
            }
            let publisher = try KeyedPublisher(
                context.target, stream: stream, prefix: prefix, KeyDraw(workload.plan), payloadBytes: workload.payloadBytes,
                firstSequence: parked + 1)
            let pool = PoolPlan(
                stream: stream, consumers: consumers, workers: workload.workers,
                processes: max(1, min(workload.processes, workload.workers / consumers.count)),
                handlerNs: workload.handlerNs, failure: workload.failure, deliveriesMax: workload.deliveriesMax,
                parks: pattern == .keyed, breaks: workload.supply.churnNs != nil)
            loop = try KeyedLoop(publisher, pool, workload.supply, context.target, checksOrder: pattern.keepsOrder)
        }
    }

    func run(_ context: RunContext) throws -> Measurement {
        let api = try StreamAPI(context.target)
        let pattern = try pattern ?? (KeyedPattern.knowsKeys(api) ? .keyed : .partitions(partitions))
        let bench = try Bench(self, pattern, stream: KeyedConsume.stream, context, api)
        let loop = bench.loop
        var progress = context.progress()
        _ = try loop.run(context.timing.warmupNs, &progress, note: "warm-up")
        let before = loop.pool.counts
        let meter = CostMeter(context.probe)
        let result = try loop.run(context.timing.durationNs, least: KeyedConsume.leastHandled, &progress, note: "")
        guard result.handled > 0 else { throw BenchError.stalled("nothing was handled; try a longer --duration") }
        var measurement = Measurement(workload: title(pattern))
        measurement.take(meter, context.probe)
        let after = loop.pool.counts
        let latency = loop.pool.latency
        try loop.drain(&progress)
        progress?.clear()
        if plan.failing == 0 && supply.churnNs == nil {
            for consumer in bench.consumers { try api.expectDone(consumer, on: KeyedConsume.stream) }
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
            let figures = try KeyFigures.read(api, KeyedConsume.stream, bench.consumers[0])
            measurement.extras += [
                ("keys_visited_per_lease", figures.visitsPerLease), ("parked_keys", figures.number("parked")),
            ]
        }
        return measurement
    }

    func title(_ pattern: KeyedPattern) -> String {
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
    private let json: JSON

    /// What the subjects of requests about keys begin with.
    static let service = "$BELLHOP.API.KEY"

    static func read(_ api: StreamAPI, _ stream: String, _ consumer: String) throws -> KeyFigures {
        KeyFigures(json: try api.request("INFO.\(stream).\(consumer)", of: KeyFigures.service))
    }

    func number(_ name: String) -> Double { json[name]?.number ?? 0 }

    /// Why nothing is leased; empty while that is not so.
    var paused: String { json["paused"]?.string ?? "" }

    var visitsPerLease: Double { number("key_visits_total") / max(1, number("leases_total")) }
}
