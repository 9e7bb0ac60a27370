// Publishes to a stream and awaits an ack for each message, so many at a time; every ack is checked.

import Glibc

/// Until when a phase of publishing lasts.
struct PublishLength: Sendable {
    var durationNs: UInt64 = .max
    var messages = Int.max

    static func count(_ messages: Int) -> PublishLength { PublishLength(messages: messages) }
}

/// What a phase came to.
struct PublishResult {
    var messages = 0
    var seconds = 0.0
    /// From the write of a message to its ack.
    var latency = Histogram()
}

/// The only publisher of its stream: message `n` must be acked with sequence `n + 1`, and in order. One thread's.
final class StreamPublisher {
    let pipe: MessagePipe
    let frames: StreamFrames
    let outstanding: Int
    /// Messages written and acks taken, since the beginning.
    private(set) var sent = 0
    private(set) var acked = 0
    private let sentNs: UnsafeMutablePointer<UInt64>
    private let mask: Int
    private let ackHead: [UInt8]
    private let inboxBytes: Int

    init(_ target: Target, stream: String, _ subjects: SubjectPlan, payloadBytes: Int, outstanding: Int) throws {
        pipe = try MessagePipe(target)
        let inbox = "_INBOX.bellhopbenchpublisher"
        inboxBytes = inbox.utf8.count + 1
        frames = StreamFrames(subjects, payloadBytes: payloadBytes, inbox: inbox)
        self.outstanding = outstanding
        ackHead = Array("{\"stream\":\"\(stream)\",\"seq\":".utf8)
        var ring = 1
        while ring < outstanding { ring *= 2 }
        mask = ring - 1
        sentNs = .allocate(capacity: ring)
        sentNs.initialize(repeating: 0, count: ring)
        pipe.queue("SUB \(inbox).* 1\r\n")
        try pipe.settle()
    }

    deinit { sentNs.deallocate() }

    /// Publishes for as long as `length` says, then takes the acks that are still out.
    func run(_ length: PublishLength, _ progress: inout Progress?, note: String) throws -> PublishResult {
        var result = PublishResult()
        let startNs = Clock.nowNs()
        let deadline = length.durationNs == .max ? UInt64.max : startNs + length.durationNs
        let first = acked
        let limit = length.messages == .max ? Int.max : sent + length.messages
        var now = startNs
        while true {
            if now < deadline { write(upTo: limit, now) }
            try pipe.flush()
            if acked == sent && (now >= deadline || sent >= limit) { break }
            try pipe.wait(for: "\(sent - acked) publishes are without an ack")
            try receive(&result.latency)
            now = Clock.nowNs()
            let share =
                length.messages == .max
                ? Double(now - startNs) / Double(max(1, length.durationNs))
                : Double(acked - first) / Double(length.messages)
            progress?.show(share, note, nowNs: now)
        }
        result.messages = acked - first
        result.seconds = Double(now - startNs) / 1e9
        return result
    }

    /// Writes as many messages as may be out, up to `limit` since the beginning.
    @inline(__always)
    func write(upTo limit: Int, _ now: UInt64) {
        let end = min(limit, acked + outstanding)
        guard sent < end else { return }
        let count = end - sent
        var target = pipe.reserve(count * frames.frameBytes)
        for number in sent..<end {
            frames.write(number, to: target)
            target += frames.frameBytes
            sentNs[number & mask] = now
        }
        sent = end
    }

    /// One receive, with all acks that it brought.
    @inline(__always)
    func receive(_ latency: inout Histogram) throws {
        var arrived: UInt64 = 0
        try pipe.receive { message in
            if arrived == 0 { arrived = Clock.nowNs() }
            try check(message)
            latency.record(arrived - sentNs[acked & mask])
            acked += 1
        }
    }

    /// `{"stream":"BENCH","seq":17}` on the inbox of the message that comes next.
    @inline(__always)
    private func check(_ message: Message) throws {
        let payload = message.payload
        var sequence = 0
        if payload.hasPrefix(ackHead), payload.start[payload.count - 1] == UInt8(ascii: "}") {
            for offset in ackHead.count..<payload.count - 1 {
                let digit = Int(payload.start[offset]) - 48
                guard digit >= 0, digit <= 9, sequence < 1 << 56 else {
                    sequence = -1
                    break
                }
                sequence = sequence * 10 + digit
            }
        }
        let subject = message.subject
        guard sequence == acked + 1, acked < sent, subject.count == inboxBytes + 8,
            UnsafeRawPointer(subject.start + inboxBytes).loadUnaligned(as: UInt64.self)
                == Hex.word(UInt32(truncatingIfNeeded: acked))
        else { throw BenchError.mismatch("expected the ack of message \(acked), got \(message.shown)") }
    }
}

@available(*, unavailable)
extension StreamPublisher: Sendable {}
