// Publish to a stream with an ack for each message, so many outstanding.

struct StreamPublish: Sendable {
    var outstanding = 256
    var payloadBytes = 128
    var subjects = 1

    func run(_ context: RunContext) throws -> Measurement {
        let api = try StreamAPI(context.target)
        let plan = SubjectPlan(subjects: subjects)
        try api.createStream("BENCH", subjects: [plan.wildcard])
        let publisher = try StreamPublisher(
            context.target, stream: "BENCH", plan, payloadBytes: payloadBytes, outstanding: outstanding)
        var progress = context.progress()
        _ = try publisher.run(PublishLength(durationNs: context.timing.warmupNs), &progress, note: "warm-up")
        let meter = CostMeter(context.probe)
        let length = PublishLength(
            durationNs: context.timing.durationNs, messages: context.timing.messages ?? .max)
        let result = try publisher.run(length, &progress, note: "")
        var measurement = Measurement(workload: "stream publish, \(outstanding) in flight, \(payloadBytes) B")
        measurement.take(meter, context.probe)
        progress?.clear()
        try api.expect(publisher.acked, in: "BENCH")
        measurement.messages = Double(result.messages)
        measurement.seconds = result.seconds
        measurement.payloadBytes = measurement.messages * Double(payloadBytes)
        measurement.latency = LatencySummary(result.latency)
        measurement.latencyOf = "publish to ack"
        return measurement
    }
}
