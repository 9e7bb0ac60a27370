// What a stream has to publish once something is durable: acks for publishers and republished messages, in order.

import Glibc
import Wire

/// Messages that wait for a commit, in the order in which they were decided.
///
///     ticket 8 | subject bytes 4 | header bytes 4 | payload bytes 8 | kind 8 | subject, headers, payload
struct ReleaseQueue: ~Copyable {
    /// What becomes of a message if its commit fails: whoever waits for an answer gets another one.
    enum Kind: UInt64 { case answer, other }

    private static let fixedBytes = 32
    private var records = RecordQueue()

    var isEmpty: Bool { records.isEmpty }
    var count: Int { records.count }

    /// Keeps a message until commit `ticket` has finished.
    mutating func add(_ kind: Kind, ticket: UInt64, subject: ByteView, headers: ByteView, payload: ByteView) {
        let place = makeRoom(kind, ticket, subject, headers.count, payload.count)
        var out = Encoder(place)
        out.put(headers)
        out.put(payload)
    }

    /// Keeps an ack: `prefix`, the sequence, `suffix`.
    mutating func addAck(ticket: UInt64, reply: ByteView, prefix: ByteView, sequence: UInt64, suffix: ByteView) {
        let digits = decimalDigits(sequence)
        let place = makeRoom(.answer, ticket, reply, 0, prefix.count + digits + suffix.count)
        var out = Encoder(place)
        out.put(prefix)
        out.put(sequence, digits: digits)
        out.put(suffix)
    }

    /// The message that has waited longest. Its views are valid until it is removed, also while others are added.
    var first: Released? {
        guard let record = records.first else { return nil }
        let subjectBytes = Int(record.load(fromByteOffset: 8, as: UInt32.self))
        let headerBytes = Int(record.load(fromByteOffset: 12, as: UInt32.self))
        let payloadBytes = record.load(fromByteOffset: 16, as: Int.self)
        let bytes = UnsafePointer((record + ReleaseQueue.fixedBytes).assumingMemoryBound(to: UInt8.self))
        return Released(
            ticket: record.load(as: UInt64.self),
            isAnswer: record.load(fromByteOffset: 24, as: UInt64.self) == Kind.answer.rawValue,
            subject: ByteView(bytes, subjectBytes), headers: ByteView(bytes + subjectBytes, headerBytes),
            payload: ByteView(bytes + subjectBytes + headerBytes, payloadBytes))
    }

    mutating func removeFirst() { records.removeFirst() }

    private mutating func makeRoom(
        _ kind: Kind, _ ticket: UInt64, _ subject: ByteView, _ headerBytes: Int, _ payloadBytes: Int
    ) -> UnsafeMutablePointer<UInt8> {
        let record = records.append(ReleaseQueue.fixedBytes + subject.count + headerBytes + payloadBytes)
        record.storeBytes(of: ticket, as: UInt64.self)
        record.storeBytes(of: UInt32(truncatingIfNeeded: subject.count), toByteOffset: 8, as: UInt32.self)
        record.storeBytes(of: UInt32(truncatingIfNeeded: headerBytes), toByteOffset: 12, as: UInt32.self)
        record.storeBytes(of: payloadBytes, toByteOffset: 16, as: Int.self)
        record.storeBytes(of: kind.rawValue, toByteOffset: 24, as: UInt64.self)
        var out = Encoder((record + ReleaseQueue.fixedBytes).assumingMemoryBound(to: UInt8.self))
        out.put(subject)
        return out.cursor
    }
}

/// A message on its way out of the queue.
struct Released {
    let ticket: UInt64
    let isAnswer: Bool
    let subject: ByteView
    let headers: ByteView
    let payload: ByteView
}

/// How many digits a number has.
@inline(__always)
func decimalDigits(_ value: UInt64) -> Int {
    var digits = 1
    var rest = value
    while rest >= 10 {
        rest /= 10
        digits &+= 1
    }
    return digits
}

extension Encoder {
    /// A number whose digits have been counted.
    @inline(__always)
    mutating func put(_ value: UInt64, digits: Int) {
        var rest = value
        var index = digits
        while index > 0 {
            index &-= 1
            cursor[index] = 0x30 &+ UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        }
        cursor += digits
    }
}
