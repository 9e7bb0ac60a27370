// Publishes messages with keys and checks their acks; the loop that owns it decides how many may be out.

import Glibc

/// The only publisher of its stream: message `n` must be acked with sequence `first + n`, and in order. One thread's.
final class KeyedPublisher {
    let pipe: MessagePipe
    let frames: KeyedFrames
    let draw: KeyDraw
    /// Messages written and acks taken, since the beginning.
    private(set) var sent = 0
    private(set) var acked = 0
    /// Those whose keys do not fail.
    private(set) var sentToHealthy = 0
    /// How many messages each key has been sent.
    private(set) var counts: [UInt32]
    private let ackHead: [UInt8]
    private let inboxBytes: Int
    private let firstSequence: Int

    init(
        _ target: Target, stream: String, prefix: String, _ draw: KeyDraw, payloadBytes: Int, padding: String = "",
        firstSequence: Int = 1
    ) throws {
        pipe = try MessagePipe(target)
        let inbox = "_INBOX.bellhopbenchkeyed\(prefix)\(padding)"
        inboxBytes = inbox.utf8.count + 1
        frames = KeyedFrames(prefix: prefix, padding: padding, payloadBytes: payloadBytes, inbox: inbox)
        self.draw = draw
        self.firstSequence = firstSequence
        counts = Array(repeating: 0, count: draw.keys)
        ackHead = Array("{\"stream\":\"\(stream)\",\"seq\":".utf8)
        pipe.queue("SUB \(inbox).* 1\r\n")
        try pipe.settle()
    }

    /// Writes `count` messages with the keys that are drawn for them; the first is due at `firstNs`, each next one
    /// `stepNs` later.
    @inline(__always)
    func write(_ count: Int, firstNs: UInt64, stepNs: Double = 0) {
        guard count > 0 else { return }
        var target = pipe.reserve(count * frames.frameBytes)
        for offset in 0..<count {
            write(key: draw.key(of: sent), firstNs &+ UInt64(Double(offset) * stepNs), to: target)
            target += frames.frameBytes
        }
    }

    /// Writes one message with a given key.
    func write(key: Int, timeNs: UInt64) { write(key: key, timeNs, to: pipe.reserve(frames.frameBytes)) }

    @inline(__always)
    private func write(key: Int, _ timeNs: UInt64, to target: UnsafeMutablePointer<UInt8>) {
        let mark = KeyedMark(number: sent, ordinal: Int(counts[key]), timeNs: timeNs)
        frames.write(mark, key: key, to: target)
        counts[key] += 1
        sent += 1
        if !draw.fails(key) { sentToHealthy += 1 }
    }

    /// One receive, with all acks that it brought. False when there was nothing.
    @inline(__always)
    func receive() throws -> Bool {
        try pipe.receive { message in
            try check(message)
            acked += 1
        }
    }

    /// Waits until everything is acked.
    func settle() throws {
        while acked < sent {
            try pipe.flush()
            try pipe.wait(for: "\(sent - acked) publishes are without an ack")
            _ = try receive()
        }
    }

    /// `{"stream":"BENCH","seq":17}` on the inbox of the message that comes next; more members may follow.
    @inline(__always)
    private func check(_ message: Message) throws {
        let payload = message.payload
        var sequence = 0
        var at = ackHead.count
        if payload.hasPrefix(ackHead) {
            while at < payload.count, (48...57).contains(payload.start[at]), sequence < 1 << 56 {
                sequence = sequence * 10 + Int(payload.start[at]) - 48
                at += 1
            }
        }
        let subject = message.subject
        guard sequence == acked + firstSequence, acked < sent, subject.count == inboxBytes + 8,
            UnsafeRawPointer(subject.start + inboxBytes).loadUnaligned(as: UInt64.self)
                == Hex.word(UInt32(truncatingIfNeeded: acked))
        else { throw BenchError.mismatch("expected the ack of message \(acked), got \(message.shown)") }
    }
}

@available(*, unavailable)
extension KeyedPublisher: Sendable {}
