// The subject that a delivered message is acked on: it carries what the ack has to say of the delivery. Written by hand
// into a buffer that stays, and read from raw bytes.

import Glibc
import Wire

/// What an ack subject tells: `$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>`.
struct AckReference: Equatable {
    var deliveries: UInt64
    var sequence: UInt64
    var delivery: UInt64
    var timeNs: UInt64
    var pending: UInt64

    /// Reads both layouts: nine tokens, or eleven and more with a domain and an account in front of the stream.
    init?(_ subject: ByteView) {
        let tokens = Subject.tokenCount(subject)
        guard tokens == 9 || tokens >= 11, subject.hasPrefix("$JS.ACK.") else { return nil }
        var offset = 0
        for _ in 0..<(tokens == 9 ? 4 : 6) { offset = AckReference.tokenEnd(subject, offset) + 1 }
        self.init(numbers: subject, from: offset, endsThere: tokens == 9)
    }

    /// Reads the numbers behind a known beginning.
    init?(numbers subject: ByteView, from start: Int, endsThere: Bool) {
        var offset = start
        var values: (UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0)
        guard AckReference.number(subject, &offset, &values.0), AckReference.number(subject, &offset, &values.1),
            AckReference.number(subject, &offset, &values.2), AckReference.number(subject, &offset, &values.3),
            AckReference.number(subject, &offset, &values.4), !endsThere || offset == subject.count + 1
        else { return nil }
        (deliveries, sequence, delivery, timeNs, pending) = values
    }

    private static func tokenEnd(_ subject: ByteView, _ start: Int) -> Int {
        var end = start
        while end < subject.count && subject[end] != UInt8(ascii: ".") { end += 1 }
        return end
    }

    /// One decimal token and the dot or the end behind it.
    @inline(__always)
    private static func number(_ subject: ByteView, _ offset: inout Int, _ value: inout UInt64) -> Bool {
        let start = offset
        var sum: UInt64 = 0
        while offset < subject.count {
            let digit = subject[offset] &- 0x30
            if digit > 9 { break }
            // 19 digits always fit.
            if offset &- start >= 19 { return false }
            sum = sum &* 10 &+ UInt64(digit)
            offset &+= 1
        }
        guard offset > start, offset == subject.count || subject[offset] == UInt8(ascii: ".") else { return false }
        offset &+= 1
        value = sum
        return true
    }
}

/// Writes the ack subjects of one consumer.
struct AckSubjectWriter: ~Copyable {
    private let buffer: UnsafeMutablePointer<UInt8>
    private let prefixBytes: Int

    init(stream: String, consumer: String) {
        let prefix = Array("$JS.ACK.\(stream).\(consumer).".utf8)
        prefixBytes = prefix.count
        // Five numbers of 20 digits at most, and four dots.
        buffer = .allocate(capacity: prefix.count + 5 * 20 + 4)
        prefix.withUnsafeBufferPointer { source in
            if let base = source.baseAddress { buffer.initialize(from: base, count: source.count) }
        }
    }

    deinit { buffer.deallocate() }

    /// Valid until the next call.
    @inline(__always)
    func write(deliveries: UInt64, sequence: UInt64, delivery: UInt64, timeNs: Int64, pending: UInt64) -> ByteView {
        var cursor = buffer + prefixBytes
        putDecimal(&cursor, deliveries)
        putDot(&cursor)
        putDecimal(&cursor, sequence)
        putDot(&cursor)
        putDecimal(&cursor, delivery)
        putDot(&cursor)
        putDecimal(&cursor, UInt64(max(0, timeNs)))
        putDot(&cursor)
        putDecimal(&cursor, pending)
        return ByteView(buffer, cursor - buffer)
    }

    /// Reads an ack subject; a beginning of our own needs no second look.
    @inline(__always)
    func read(_ subject: ByteView) -> AckReference? {
        if subject.count > prefixBytes, memcmp(subject.base, buffer, prefixBytes) == 0,
            let reference = AckReference(numbers: subject, from: prefixBytes, endsThere: true)
        {
            return reference
        }
        return AckReference(subject)
    }

    @inline(__always) private func putDot(_ cursor: inout UnsafeMutablePointer<UInt8>) {
        cursor[0] = UInt8(ascii: ".")
        cursor += 1
    }
}

/// Writes a decimal number, two digits a step. 20 bytes of room are enough.
@inline(__always)
func putDecimal(_ cursor: inout UnsafeMutablePointer<UInt8>, _ value: UInt64) {
    if value < 10 {
        cursor[0] = 0x30 &+ UInt8(truncatingIfNeeded: value)
        cursor += 1
        return
    }
    var digits = 1
    var bound: UInt64 = 10
    while digits < 20 && value >= bound {
        digits &+= 1
        if digits == 20 { break }
        bound = bound &* 10
    }
    var rest = value
    var place = cursor + digits
    while rest >= 100 {
        let pair = Int(truncatingIfNeeded: rest % 100)
        rest /= 100
        place -= 2
        UnsafeMutableRawPointer(place).storeBytes(of: digitPair(pair), as: UInt16.self)
    }
    if rest >= 10 {
        UnsafeMutableRawPointer(place - 2).storeBytes(of: digitPair(Int(truncatingIfNeeded: rest)), as: UInt16.self)
    } else {
        (place - 1).pointee = 0x30 &+ UInt8(truncatingIfNeeded: rest)
    }
    cursor += digits
}

/// Two digits as they stand in memory.
@inline(__always) private func digitPair(_ value: Int) -> UInt16 {
    let tens = UInt16(truncatingIfNeeded: value / 10)
    let ones = UInt16(truncatingIfNeeded: value) &- tens &* 10
    return 0x3030 &+ tens &+ ones << 8
}
