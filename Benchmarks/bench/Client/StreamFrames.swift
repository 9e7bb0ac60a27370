// The bytes of messages for a stream: ready-made PUB frames in which only three numbers change.

import Glibc

/// Message `n` (counted from 0) is published as, and must be delivered with the payload of
///
///     PUB prefix.kkkkkkkk.confirmed inbox.nnnnnnnn 128\r\n nnnnnnnn NNNNNNNN ffff...ffff \r\n
///
/// `k` is the key that `SubjectPlan` gives the message, `n` its number in hexadecimal, `N` the number's complement, `f`
/// a filler that all messages share. Every frame has a reply of its own, as in every client that awaits acks.
final class StreamFrames {
    private let template: [UInt8]
    private let subjects: SubjectPlan
    private let keyOffset: Int
    private let tokenOffset: Int
    private let payloadOffset: Int
    /// The payload with zeros for its number.
    private let payload: [UInt8]

    var frameBytes: Int { template.count }
    let payloadBytes: Int
    static let payloadBytesMin = 16

    /// `inbox` is what the acks' subjects begin with.
    init(_ subjects: SubjectPlan, payloadBytes: Int, inbox: String) {
        precondition(payloadBytes >= StreamFrames.payloadBytesMin)
        self.subjects = subjects
        self.payloadBytes = payloadBytes
        let zeros = "00000000"
        let head = "PUB \(subjects.prefix)."
        let middle = "\(zeros).confirmed \(inbox)."
        var random = SplitMix(state: 11)
        payload =
            Array((zeros + zeros).utf8)
            + (16..<payloadBytes).map { _ in UInt8(ascii: "a") + UInt8(random.next() >> 59) % 26 }
        let line = Array("\(head)\(middle)\(zeros) \(payloadBytes)\r\n".utf8)
        template = line + payload + [13, 10]
        keyOffset = head.utf8.count
        tokenOffset = head.utf8.count + middle.utf8.count
        payloadOffset = line.count
    }

    /// Writes message `number` to `target`, which has room for `frameBytes`.
    @inline(__always)
    func write(_ number: Int, to target: UnsafeMutablePointer<UInt8>) {
        template.withUnsafeBufferPointer { target.update(from: $0.baseAddress!, count: $0.count) }
        let raw = UnsafeMutableRawPointer(target)
        let small = UInt32(truncatingIfNeeded: number)
        let word = Hex.word(small)
        raw.storeBytes(of: Hex.word(subjects.key(of: number)), toByteOffset: keyOffset, as: UInt64.self)
        raw.storeBytes(of: word, toByteOffset: tokenOffset, as: UInt64.self)
        raw.storeBytes(of: word, toByteOffset: payloadOffset, as: UInt64.self)
        raw.storeBytes(of: Hex.word(~small), toByteOffset: payloadOffset + 8, as: UInt64.self)
    }

    /// Whether `bytes` are the payload of message `number`; every byte counts.
    @inline(__always)
    func isPayload(_ bytes: Bytes, of number: Int) -> Bool {
        guard bytes.count == payloadBytes else { return false }
        let raw = UnsafeRawPointer(bytes.start)
        let small = UInt32(truncatingIfNeeded: number)
        return raw.loadUnaligned(as: UInt64.self) == Hex.word(small)
            && raw.loadUnaligned(fromByteOffset: 8, as: UInt64.self) == Hex.word(~small)
            && payload.withUnsafeBufferPointer { memcmp(raw + 16, $0.baseAddress! + 16, $0.count - 16) == 0 }
    }
}

@available(*, unavailable)
extension StreamFrames: Sendable {}

/// Which subject each message has: `prefix.kkkkkkkk.confirmed`.
struct SubjectPlan: Sendable {
    var prefix = "bench"
    /// How many subjects there are.
    var subjects = 1
    /// Every tenth message has key 0 and the others share the rest: how a filtered consumer's stream is laid out.
    var everyTenthIsFirst = false

    /// What the stream takes in.
    var wildcard: String { "\(prefix).>" }

    /// The subject with this key.
    func subject(_ key: UInt32) -> String {
        let digits = String(key, radix: 16)
        return "\(prefix).\(String(repeating: "0", count: 8 - digits.count))\(digits).confirmed"
    }

    @inline(__always)
    func key(of number: Int) -> UInt32 {
        if everyTenthIsFirst {
            // A multiplier that shares no factor with the count walks through all keys in an order without a pattern.
            return number % 10 == 0 ? 0 : 1 + UInt32(truncatingIfNeeded: number &* 48_271 % (subjects - 1))
        }
        return UInt32(truncatingIfNeeded: number % subjects)
    }
}
