// How long it takes until a parked key is worked on again: from an operator's request to the delivery.

struct KeyedRetry: Sendable {
    var parked = 10_000
    var samples = 500
    var resumes = 20
    private static let pageMax = 256
    /// So many keys must fail before a circuit opens.
    private static let failuresToOpen = 3

    func run(_ context: RunContext) throws -> Measurement {
        let api = try StreamAPI(context.target)
        guard try KeyedPattern.knowsKeys(api) else { throw BenchError.refused("it does not know bellhop.key") }
        var progress = context.progress()
        let meter = CostMeter(context.probe)
        let startNs = Clock.nowNs()
        let retries = try timeRetries(context, api, &progress)
        let resumed = try timeResumes(context, api, &progress)
        progress?.clear()
        var result = Measurement(workload: "retry of one of \(parked) parked keys, to its delivery", unit: "retries")
        result.take(meter, context.probe)
        result.messages = Double(samples)
        result.seconds = Double(Clock.nowNs() - startNs) / 1e9
        result.latency = LatencySummary(retries)
        result.latencyOf = "RETRY to delivery"
        if let latency = LatencySummary(resumed) {
            result.extras = [("resume_p50_ns", latency.p50), ("resume_max_ns", latency.max)]
        }
        return result
    }

    private func timeRetries(_ context: RunContext, _ api: StreamAPI, _ progress: inout Progress?) throws -> Histogram {
        try KeyedPattern.keyed.createStream("RETRIES", prefix: "retries", api)
        let consumers = try KeyedPattern.keyed.createConsumers(
            on: "RETRIES", prefix: "retries", ackWaitNs: 60_000_000_000, deliveriesMax: 5,
            [.init("bellhop.max_parked_keys", .string("\(2 * parked)"))], api)
        let lot = try ParkingLot(context.target, stream: "RETRIES", prefix: "retries", consumer: consumers[0])
        try lot.park(parked, api)
        var times = Histogram()
        var page: [JSON] = []
        for sample in 0..<samples {
            if page.isEmpty {
                let body = JSON.object([.init("state", .string("parked")), .init("limit", .number(KeyedRetry.pageMax))])
                let list = try api.request("LIST.RETRIES.\(consumers[0])", body, of: KeyFigures.service)
                page = list["keys"]?.array ?? []
            }
            guard let park = page.popLast(), let key = park["key"]?.string, let version = park["version"]?.number else {
                throw BenchError.mismatch("KEY.LIST names no parked key")
            }
            times.record(
                try lot.time("RETRY", .object([.init("key", .string(key)), .init("version", .number(version))])).message)
            progress?.show(Double(sample) / Double(samples), "retrying", nowNs: Clock.nowNs())
        }
        return times
    }

    private func timeResumes(_ context: RunContext, _ api: StreamAPI, _ progress: inout Progress?) throws -> Histogram {
        try KeyedPattern.keyed.createStream("RESUMES", prefix: "resumes", api)
        let consumers = try KeyedPattern.keyed.createConsumers(
            on: "RESUMES", prefix: "resumes", ackWaitNs: 60_000_000_000, deliveriesMax: 5,
            [.init("bellhop.park_circuit", .string("0.5/60s"))], api)
        var times = Histogram()
        for sample in 0..<resumes {
            // Keys of its own for each time: three that fail, one that waits.
            let lot = try ParkingLot(
                context.target, stream: "RESUMES", prefix: "resumes", consumer: consumers[0], padding: "time-\(sample)-",
                published: sample * (KeyedRetry.failuresToOpen + 1))
            try lot.publish(KeyedRetry.failuresToOpen + 1)
            try lot.take(KeyedRetry.failuresToOpen) { _ in .term }
            try lot.waitUntil(api, "the circuit stays closed") { !$0.paused.isEmpty }
            let body = JSON.object([.init("reason", .string("bench")), .init("actor", .string("bench"))])
            times.record(try lot.time("RESUME", body).message)
            progress?.show(Double(sample) / Double(resumes), "resuming", nowNs: Clock.nowNs())
        }
        return times
    }
}
