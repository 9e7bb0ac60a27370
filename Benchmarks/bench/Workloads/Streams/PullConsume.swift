// Pull and ack: a stream that is read from end to end, again and again, by a new consumer each time.

struct PullConsume: Sendable {
    var payloadBytes = 128
    var messages = 200_000
    var batch = 500

    /// So that acks under way never hold up the next pull: JetStream's default is 1,000.
    static let maxAckPending = JSON.Member("max_ack_pending", .number(20_000))

    func run(_ context: RunContext) throws -> Measurement {
        let api = try StreamAPI(context.target)
        var progress = context.progress()
        let publisher = try StreamFill.fill(
            context.target, api, stream: "BENCH", SubjectPlan(), payloadBytes: payloadBytes, messages: messages,
            &progress)
        let pipe = try MessagePipe(context.target)
        let rounds = Rounds(context)
        try rounds.repeatWhileTime { number in
            let consumer = "c\(number)"
            try api.createConsumer(consumer, on: "BENCH", [PullConsume.maxAckPending])
            let plan = PullPlan(stream: "BENCH", consumer: consumer, messages: messages, batch: batch)
            let puller = try StreamPuller(pipe, plan, publisher.frames, number: number)
            try rounds.measure(messages, counts: number > 0) {
                try puller.run(&progress, note: number > 0 ? "round \(number)" : "warm-up")
            }
            try api.expectDone(consumer, on: "BENCH")
            try api.request("CONSUMER.DELETE.BENCH.\(consumer)")
        }
        progress?.clear()
        var measurement = rounds.measurement("pull and ack, \(payloadBytes) B")
        measurement.payloadBytes = measurement.messages * Double(payloadBytes)
        return measurement
    }
}

/// Fills a stream before what is measured.
enum StreamFill {
    /// Enough to keep any server busy, and below what nats-server's queue of 10,000 takes.
    private static let outstanding = 2_000

    /// Makes a stream and publishes `messages` to it; fails unless it then holds them all.
    static func fill(
        _ target: Target, _ api: StreamAPI, stream: String, _ subjects: SubjectPlan, payloadBytes: Int, messages: Int,
        _ progress: inout Progress?
    ) throws -> StreamPublisher {
        try api.createStream(stream, subjects: [subjects.wildcard])
        let publisher = try StreamPublisher(
            target, stream: stream, subjects, payloadBytes: payloadBytes, outstanding: outstanding)
        _ = try publisher.run(.count(messages), &progress, note: "filling")
        try api.expect(messages, in: stream)
        return publisher
    }
}

/// Adds up the rounds of a workload that repeats itself until the time is up; what lies between rounds does not count.
final class Rounds {
    private let context: RunContext
    private var messages = 0
    private var wallNs: UInt64 = 0
    private var serverSeconds: Double?
    private var clientSeconds = 0.0
    private var others: Double?

    init(_ context: RunContext) { self.context = context }

    /// Rounds 0, 1, 2, ... until the counted ones have taken the measured time: one at least after round 0.
    func repeatWhileTime(_ round: (Int) throws -> Void) rethrows {
        var number = 0
        repeat {
            try round(number)
            number += 1
        } while number < 2 || wallNs < context.timing.durationNs
    }

    /// Runs and times one round's measured part; `counts` false leaves it out of the sum.
    func measure(_ count: Int, counts: Bool, _ body: () throws -> Void) rethrows {
        let meter = CostMeter(context.probe)
        let startNs = Clock.nowNs()
        try body()
        guard counts else { return }
        wallNs += Clock.nowNs() - startNs
        messages += count
        let cost = meter.read()
        clientSeconds += cost.clientSeconds
        if let seconds = cost.serverSeconds { serverSeconds = (serverSeconds ?? 0) + seconds }
        if let cores = cost.others { others = max(others ?? 0, cores) }
    }

    func measurement(_ workload: String) -> Measurement {
        var result = Measurement(workload: workload)
        result.messages = Double(messages)
        result.seconds = Double(wallNs) / 1e9
        result.serverSeconds = serverSeconds
        result.clientSeconds = clientSeconds
        result.others = others
        result.rssBytes = context.probe?.rssBytes
        result.rssPeakBytes = context.probe?.rssPeakBytes
        return result
    }
}
