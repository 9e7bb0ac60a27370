// What a stored message costs the server in memory, beyond the log itself.

struct StreamMemory: Sendable {
    var messages = 1_000_000
    var subjects = 1
    private static let payloadBytes = 128
    /// Long enough for caches to be given up (nats-server's after 10 s) and for memory to go back to the system.
    private static let settleMs = 20_000
    private static let sampleMs = 500

    func run(_ context: RunContext) throws -> Measurement {
        guard let probe = context.probe else {
            throw BenchError.usage("js-memory needs to see the server's process: run it on this machine")
        }
        let api = try StreamAPI(context.target)
        let plan = SubjectPlan(subjects: subjects)
        var progress = context.progress()
        // What the first stream and its first messages set in motion is not the price of one more message.
        _ = try StreamFill.fill(
            context.target, api, stream: "FIRST", SubjectPlan(prefix: "first"), payloadBytes: StreamMemory.payloadBytes,
            messages: 10_000, &progress)
        Clock.sleep(ms: 1_000)
        let before = probe.rssBytes ?? 0
        let meter = CostMeter(probe)
        let startNs = Clock.nowNs()
        let publisher = try StreamFill.fill(
            context.target, api, stream: "BENCH", plan, payloadBytes: StreamMemory.payloadBytes, messages: messages,
            &progress)
        var measurement = Measurement(workload: "memory of \(messages) messages on \(subjects) subjects")
        measurement.seconds = Double(Clock.nowNs() - startNs) / 1e9
        measurement.messages = Double(messages)
        measurement.take(meter, probe)
        let full = probe.rssBytes ?? 0
        var least = full
        for sample in 0..<(StreamMemory.settleMs / StreamMemory.sampleMs) {
            Clock.sleep(ms: StreamMemory.sampleMs)
            least = min(least, probe.rssBytes ?? least)
            let share = Double(sample * StreamMemory.sampleMs) / Double(StreamMemory.settleMs)
            progress?.show(share, "letting it settle", nowNs: Clock.nowNs())
        }
        progress?.clear()
        try api.expect(publisher.acked, in: "BENCH")
        measurement.rssBytes = least
        measurement.extras = [
            ("rss_per_message_bytes", max(0, least - before) / Double(messages)),
            ("rss_per_message_at_once_bytes", max(0, full - before) / Double(messages)),
        ]
        return measurement
    }
}
