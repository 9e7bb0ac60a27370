// A thousand durable consumers on one stream, each with a pull request waiting, while somebody publishes.

import Glibc

struct ManyConsumers: Sendable {
    var consumers = 1_000
    /// Each consumer has a subject of its own; otherwise each gets every message.
    var filtered = true
    /// A publisher far ahead would measure how long a queue can be: for so many deliveries, or messages to each.
    private static let aheadMax = 1_024
    private static let aheadEachMax = 64
    private static let batch = 64

    func run(_ context: RunContext) throws -> Measurement {
        let api = try StreamAPI(context.target)
        let plan = SubjectPlan(subjects: consumers)
        try api.createStream(
            "BENCH", subjects: [plan.wildcard], [.init("max_consumers", .number(consumers))])
        var progress = context.progress()
        for number in 0..<consumers {
            var more = [PullConsume.maxAckPending]
            if filtered { more.append(.init("filter_subject", .string(plan.subject(UInt32(number))))) }
            try api.createConsumer(Crowd.name(number), on: "BENCH", more)
            progress?.show(Double(number) / Double(consumers), "making consumers", nowNs: Clock.nowNs())
        }
        let publisher = try StreamPublisher(
            context.target, stream: "BENCH", plan, payloadBytes: 128,
            outstanding: filtered ? ManyConsumers.aheadMax / 4 : ManyConsumers.aheadEachMax)
        let crowd = try Crowd(
            context.target, publisher.frames, consumers: consumers, filtered: filtered, batch: ManyConsumers.batch)
        _ = try run(publisher, crowd, context.timing.warmupNs, &progress)
        let meter = CostMeter(context.probe)
        let result = try run(publisher, crowd, context.timing.durationNs, &progress)
        var measurement = Measurement(
            workload: "\(consumers) consumers\(filtered ? " with a subject each" : " of every message")",
            unit: "deliveries")
        measurement.take(meter, context.probe)
        progress?.clear()
        try api.expect(publisher.acked, in: "BENCH")
        for number in stride(from: 0, to: consumers, by: max(1, consumers / 50)) {
            try api.expectDone(Crowd.name(number), on: "BENCH")
        }
        measurement.messages = Double(result.messages)
        measurement.seconds = result.seconds
        measurement.extras.append(("published", Double(publisher.acked)))
        return measurement
    }

    /// Publishes for a while and waits until all is delivered; what counts is deliveries.
    private func run(
        _ publisher: StreamPublisher, _ crowd: Crowd, _ durationNs: UInt64, _ progress: inout Progress?
    ) throws -> PublishResult {
        var result = PublishResult()
        let perMessage = filtered ? 1 : consumers
        let first = crowd.delivered
        let startNs = Clock.nowNs()
        var now = startNs
        while true {
            let expected = publisher.sent * perMessage
            let ahead = (expected - crowd.delivered) / perMessage
            if now - startNs < durationNs, ahead < (filtered ? ManyConsumers.aheadMax : ManyConsumers.aheadEachMax) {
                publisher.write(upTo: .max, now)
            }
            try publisher.pipe.flush()
            try crowd.pipe.flush()
            let done = publisher.acked == publisher.sent && crowd.delivered == publisher.sent * perMessage
            if done && now - startNs >= durationNs { break }
            try MessagePipe.wait(
                [publisher.pipe, crowd.pipe],
                for: "\(publisher.sent - publisher.acked) acks and \(expected - crowd.delivered) deliveries are missing")
            try publisher.receive(&result.latency)
            try crowd.receive()
            now = Clock.nowNs()
            progress?.show(Double(now - startNs) / Double(max(1, durationNs)), "", nowNs: now)
        }
        try crowd.pipe.settle()
        result.messages = crowd.delivered - first
        result.seconds = Double(Clock.nowNs() - startNs) / 1e9
        return result
    }
}

/// All consumers' deliveries over one connection; each consumer's messages must come in order, once each.
private final class Crowd {
    let pipe: MessagePipe
    private(set) var delivered = 0
    private let frames: StreamFrames
    private let consumers: Int
    private let filtered: Bool
    private let batch: Int
    private let ackHead = Array("$JS.ACK.BENCH.".utf8)
    private let firstDelivery = Array(".1.".utf8)
    /// Per consumer: messages received, and messages asked for.
    private var received: [Int]
    private var asked: [Int]

    static func name(_ number: Int) -> String {
        let digits = String(number, radix: 16)
        return String(repeating: "0", count: 8 - digits.count) + digits
    }

    init(_ target: Target, _ frames: StreamFrames, consumers: Int, filtered: Bool, batch: Int) throws {
        pipe = try MessagePipe(target)
        self.frames = frames
        self.consumers = consumers
        self.filtered = filtered
        self.batch = batch
        received = [Int](repeating: 0, count: consumers)
        asked = received
        pipe.queue("SUB _INBOX.bellhopbenchcrowd.* 1\r\n")
        for number in 0..<consumers { ask(number) }
        try pipe.settle()
    }

    func receive() throws { try pipe.receive { try self.take($0) } }

    private func ask(_ number: Int) {
        asked[number] += batch
        let name = Crowd.name(number)
        let body = "{\"batch\":\(batch),\"expires\":600000000000}"
        pipe.queue(
            "PUB $JS.API.CONSUMER.MSG.NEXT.BENCH.\(name) _INBOX.bellhopbenchcrowd.\(name) \(body.utf8.count)\r\n\(body)\r\n")
    }

    private func take(_ message: Message) throws {
        let reply = message.reply
        var consumer = 0
        if reply.hasPrefix(ackHead), reply.count > ackHead.count + 11 {
            for offset in ackHead.count..<ackHead.count + 8 {
                let digit = reply.start[offset]
                consumer = consumer << 4 | Int(digit > 57 ? digit &- 87 : digit &- 48) & 15
            }
        } else {
            consumer = consumers
        }
        guard consumer < consumers else { throw BenchError.mismatch("a delivery to nobody: \(message.shown)") }
        let number = filtered ? consumer + received[consumer] * consumers : received[consumer]
        let after = Bytes(start: reply.start + ackHead.count + 8, count: reply.count - ackHead.count - 8)
        guard after.hasPrefix(firstDelivery),
            StreamPuller.number(after, from: firstDelivery.count) == number + 1,
            frames.isPayload(message.payload, of: number)
        else {
            throw BenchError.mismatch("consumer \(consumer) expected message \(number), got \(message.shown)")
        }
        received[consumer] += 1
        delivered += 1
        StreamPuller.acknowledge(reply, pipe)
        if asked[consumer] - received[consumer] <= batch / 2 { ask(consumer) }
    }
}
