// The bytes of messages with keys: each carries all that is needed to check it and to measure its delay.

import Glibc

/// What a payload says of its message.
struct KeyedMark: Equatable {
    var number = 0
    /// How many messages of its key came before it.
    var ordinal = 0
    /// When it was written, or due to be.
    var timeNs: UInt64 = 0
}

/// Message `n` is published as
///
///     PUB bench.kkkkkkkk.confirmed inbox.nnnnnnnn 128\r\n nnnnnnnn oooooooo tttttttttttttttt cccccccc ffff...ffff \r\n
///
/// All numbers are hexadecimal: `k` the key, `n` the message's number, `o` its place among those of its key, `t` its time, `c`
/// a check of the three; `f` is a filler that all messages share.
struct KeyedFrames {
    private let template: [UInt8]
    private let keyOffset: Int
    private let tokenOffset: Int
    private let payloadOffset: Int
    private let payload: [UInt8]

    var frameBytes: Int { template.count }
    static let payloadBytesMin = 48
    private static let markBytes = 40
    private static let tail = Array(".confirmed".utf8)

    /// - Parameters:
    ///   - padding: what each key begins with; makes keys longer.
    ///   - inbox: what the acks' subjects begin with.
    init(prefix: String, padding: String = "", payloadBytes: Int, inbox: String) {
        precondition(payloadBytes >= KeyedFrames.payloadBytesMin)
        let zeros = "00000000"
        var random = SplitMix(state: 12)
        payload = (0..<payloadBytes).map { _ in UInt8(ascii: "a") + UInt8(random.next() >> 59) % 26 }
        let head = "PUB \(prefix).\(padding)"
        let middle = "\(zeros).confirmed \(inbox)."
        let line = Array("\(head)\(middle)\(zeros) \(payloadBytes)\r\n".utf8)
        template = line + payload + [13, 10]
        keyOffset = head.utf8.count
        tokenOffset = head.utf8.count + middle.utf8.count
        payloadOffset = line.count
    }

    /// Writes a message to `target`, which has room for `frameBytes`.
    @inline(__always)
    func write(_ mark: KeyedMark, key: Int, to target: UnsafeMutablePointer<UInt8>) {
        template.withUnsafeBufferPointer { target.update(from: $0.baseAddress!, count: $0.count) }
        let raw = UnsafeMutableRawPointer(target)
        let number = UInt32(truncatingIfNeeded: mark.number)
        raw.storeBytes(of: Hex.word(UInt32(truncatingIfNeeded: key)), toByteOffset: keyOffset, as: UInt64.self)
        raw.storeBytes(of: Hex.word(number), toByteOffset: tokenOffset, as: UInt64.self)
        let body = raw + payloadOffset
        body.storeBytes(of: Hex.word(number), as: UInt64.self)
        body.storeBytes(of: Hex.word(UInt32(truncatingIfNeeded: mark.ordinal)), toByteOffset: 8, as: UInt64.self)
        body.storeBytes(of: Hex.word(UInt32(truncatingIfNeeded: mark.timeNs >> 32)), toByteOffset: 16, as: UInt64.self)
        body.storeBytes(of: Hex.word(UInt32(truncatingIfNeeded: mark.timeNs)), toByteOffset: 24, as: UInt64.self)
        body.storeBytes(of: Hex.word(KeyedFrames.check(mark)), toByteOffset: 32, as: UInt64.self)
    }

    /// Reads a payload; nil unless every byte is as it was written.
    @inline(__always)
    func read(_ bytes: Bytes) -> KeyedMark? {
        guard bytes.count == payload.count else { return nil }
        let raw = UnsafeRawPointer(bytes.start)
        guard let number = KeyedFrames.word(raw), let ordinal = KeyedFrames.word(raw + 8),
            let high = KeyedFrames.word(raw + 16), let low = KeyedFrames.word(raw + 24),
            let check = KeyedFrames.word(raw + 32)
        else { return nil }
        let mark = KeyedMark(number: Int(number), ordinal: Int(ordinal), timeNs: UInt64(high) << 32 | UInt64(low))
        let fills = payload.withUnsafeBufferPointer {
            memcmp(raw + KeyedFrames.markBytes, $0.baseAddress! + KeyedFrames.markBytes, $0.count - KeyedFrames.markBytes)
        }
        return fills == 0 && check == KeyedFrames.check(mark) ? mark : nil
    }

    /// Whether a subject ends in the key's digits and `.confirmed`.
    @inline(__always)
    static func isSubject(_ subject: Bytes, of key: Int) -> Bool {
        let end = subject.count - tail.count
        guard end >= 8 else { return false }
        let raw = UnsafeRawPointer(subject.start)
        return tail.withUnsafeBufferPointer { memcmp(raw + end, $0.baseAddress!, $0.count) == 0 }
            && raw.loadUnaligned(fromByteOffset: end - 8, as: UInt64.self) == Hex.word(UInt32(truncatingIfNeeded: key))
    }

    @inline(__always)
    private static func check(_ mark: KeyedMark) -> UInt32 {
        let number = UInt32(truncatingIfNeeded: mark.number)
        return ~number ^ UInt32(truncatingIfNeeded: mark.ordinal) &* 0x9E37_79B1 ^ UInt32(truncatingIfNeeded: mark.timeNs)
    }

    /// The number that eight hexadecimal digits stand for.
    @inline(__always)
    private static func word(_ raw: UnsafeRawPointer) -> UInt32? {
        let stored = raw.loadUnaligned(as: UInt64.self)
        let digits = UInt64(littleEndian: stored)
        var value = (digits & 0x0F0F_0F0F_0F0F_0F0F) &+ 9 &* (digits >> 6 & 0x0101_0101_0101_0101)
        value = value.byteSwapped
        value = (value | value >> 4) & 0x00FF_00FF_00FF_00FF
        value = (value | value >> 8) & 0x0000_FFFF_0000_FFFF
        let number = UInt32(truncatingIfNeeded: value | value >> 16)
        return Hex.word(number) == stored ? number : nil
    }
}
