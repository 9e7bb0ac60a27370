// How long a message takes through a stream: publish, store, deliver to a waiting pull; one message at a time.

struct StreamLatency: Sendable {
    var payloadBytes = 128
    private static let batch = 1_000

    func run(_ context: RunContext) throws -> Measurement {
        let api = try StreamAPI(context.target)
        let plan = SubjectPlan()
        try api.createStream("BENCH", subjects: [plan.wildcard])
        try api.createConsumer("c", on: "BENCH")
        let publisher = try StreamPublisher(
            context.target, stream: "BENCH", plan, payloadBytes: payloadBytes, outstanding: 1)
        let consumer = try MessagePipe(context.target)
        consumer.queue("SUB _INBOX.bellhopbenchlatency 1\r\n")
        try consumer.settle()
        var progress = context.progress()
        var state = State()
        _ = try run(publisher, consumer, context.timing.warmupNs, &state, &progress)
        let meter = CostMeter(context.probe)
        let result = try run(publisher, consumer, context.timing.durationNs, &state, &progress)
        var measurement = Measurement(workload: "publish to consume, \(payloadBytes) B", unit: "messages")
        measurement.take(meter, context.probe)
        progress?.clear()
        try consumer.settle()
        try api.expect(publisher.acked, in: "BENCH")
        try api.expectDone("c", on: "BENCH")
        measurement.messages = Double(result.messages)
        measurement.seconds = result.seconds
        measurement.latency = LatencySummary(result.latency)
        measurement.latencyOf = "publish to delivery"
        if let acks = LatencySummary(state.acks) {
            measurement.extras = [("ack_p50_ns", acks.p50), ("ack_p99_ns", acks.p99)]
        }
        return measurement
    }

    private struct State {
        var received = 0
        var asked = 0
        var acks = Histogram()
    }

    private func run(
        _ publisher: StreamPublisher, _ consumer: MessagePipe, _ durationNs: UInt64, _ state: inout State,
        _ progress: inout Progress?
    ) throws -> PublishResult {
        var result = PublishResult()
        state.acks = Histogram()
        let startNs = Clock.nowNs()
        var now = startNs
        let ackHead = Array("$JS.ACK.BENCH.c.1.".utf8)
        let body = "{\"batch\":\(StreamLatency.batch),\"expires\":60000000000}"
        while now - startNs < durationNs {
            if state.asked - state.received <= StreamLatency.batch / 2 {
                state.asked += StreamLatency.batch
                consumer.queue(
                    "PUB $JS.API.CONSUMER.MSG.NEXT.BENCH.c _INBOX.bellhopbenchlatency \(body.utf8.count)\r\n\(body)\r\n")
                try consumer.flush()
            }
            let wanted = state.received + 1
            let sentNs = Clock.nowNs()
            publisher.write(upTo: wanted, sentNs)
            try publisher.pipe.flush()
            while publisher.acked < wanted || state.received < wanted {
                try MessagePipe.wait([publisher.pipe, consumer], for: "message \(wanted - 1) is missing")
                try consumer.receive { message in
                    let arrived = Clock.nowNs()
                    guard message.reply.hasPrefix(ackHead), state.received < wanted,
                        publisher.frames.isPayload(message.payload, of: state.received)
                    else { throw BenchError.mismatch("expected message \(state.received), got \(message.shown)") }
                    result.latency.record(arrived - sentNs)
                    state.received += 1
                    StreamPuller.acknowledge(message.reply, consumer)
                }
                try publisher.receive(&state.acks)
                try consumer.flush()
                try publisher.pipe.flush()
            }
            result.messages += 1
            now = Clock.nowNs()
            progress?.show(Double(now - startNs) / Double(max(1, durationNs)), "", nowNs: now)
        }
        result.seconds = Double(now - startNs) / 1e9
        return result
    }
}
