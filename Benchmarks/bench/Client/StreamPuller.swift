// Pulls from one consumer and acks each message, with pull requests renewed ahead of need; every delivery is checked.

import Glibc

/// What a puller is to receive.
struct PullPlan: Sendable {
    var stream: String
    var consumer: String
    /// Messages that will come, and the distance of their sequences: 10 for a filter that takes every tenth.
    var messages: Int
    var stride = 1
    /// The size of one pull request; another is sent when half of it is used up.
    var batch = 500
}

/// Delivery `k` must be message `k * stride` (sequence one higher), delivered for the first time. One thread's.
final class StreamPuller {
    let pipe: MessagePipe
    private let plan: PullPlan
    private let frames: StreamFrames
    private let request: [UInt8]
    private let sid: Int
    private let ackHead: [UInt8]
    private(set) var received = 0
    private var asked = 0

    private let doneInbox: String
    private var isDone = false
    private static let ack = Array(" 4\r\n+ACK\r\n".utf8)

    /// Subscribes; `number` tells one puller of a pipe from the next.
    init(_ pipe: MessagePipe, _ plan: PullPlan, _ frames: StreamFrames, number: Int) throws {
        self.pipe = pipe
        self.plan = plan
        self.frames = frames
        sid = 2 * number + 1
        let inbox = "_INBOX.bellhopbenchpull.\(number)"
        let body = "{\"batch\":\(plan.batch),\"expires\":60000000000}"
        request = Array(
            "PUB $JS.API.CONSUMER.MSG.NEXT.\(plan.stream).\(plan.consumer) \(inbox) \(body.utf8.count)\r\n\(body)\r\n".utf8)
        // First delivery only: a redelivery has another number here.
        ackHead = Array("$JS.ACK.\(plan.stream).\(plan.consumer).1.".utf8)
        doneInbox = inbox + ".done"
        pipe.queue("SUB \(inbox) \(sid)\r\nSUB \(doneInbox) \(sid + 1)\r\n")
        try pipe.settle()
    }

    /// Receives and acks all messages. The last ack asks for an answer: a server takes acks in their order, so that
    /// when it comes all have been handled.
    func run(_ progress: inout Progress?, note: String) throws {
        while !isDone {
            if received < plan.messages, asked - received <= plan.batch / 2 {
                asked += plan.batch
                pipe.queue(request)
            }
            try pipe.flush()
            try pipe.wait(
                for: "\(plan.messages - received) of \(plan.messages) messages, or the last ack's answer, are missing")
            try pipe.receive { try take($0) }
            progress?.show(Double(received) / Double(plan.messages), note, nowNs: Clock.nowNs())
        }
        pipe.queue("UNSUB \(sid)\r\nUNSUB \(sid + 1)\r\n")
    }

    @inline(__always)
    private func take(_ message: Message) throws {
        if received == plan.messages, message.subject.count == doneInbox.utf8.count, message.payload.count == 0 {
            isDone = true
            return
        }
        let number = received * plan.stride
        guard received < plan.messages, message.header.count == 0, message.reply.hasPrefix(ackHead),
            StreamPuller.number(message.reply, from: ackHead.count) == number + 1,
            frames.isPayload(message.payload, of: number)
        else { throw BenchError.mismatch("expected message \(number) of \(plan.stream), got \(message.shown)") }
        received += 1
        if received < plan.messages {
            StreamPuller.acknowledge(message.reply, pipe)
        } else {
            pipe.queue("PUB \(message.reply.text) \(doneInbox) 4\r\n+ACK\r\n")
        }
    }

    /// Queues a plain ack.
    @inline(__always)
    static func acknowledge(_ reply: Bytes, _ pipe: MessagePipe) {
        let out = pipe.reserve(4 + reply.count + ack.count)
        memcpy(out, "PUB ", 4)
        memcpy(out + 4, reply.start, reply.count)
        ack.withUnsafeBufferPointer { _ = memcpy(out + 4 + reply.count, $0.baseAddress!, $0.count) }
    }

    /// The decimal number at `start`, up to the next dot.
    @inline(__always)
    static func number(_ bytes: Bytes, from start: Int) -> Int {
        var value = 0
        var at = start
        while at < bytes.count, bytes.start[at] != UInt8(ascii: "."), value < 1 << 56 {
            value = value * 10 + Int(bytes.start[at]) - 48
            at += 1
        }
        return value
    }
}

@available(*, unavailable)
extension StreamPuller: Sendable {}
