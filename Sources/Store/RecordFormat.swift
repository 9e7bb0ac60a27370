// The bytes of a record in a segment: how they are written and when they are believed. Drawn in docs/storage.md.

import Wire

enum RecordKind: UInt8 {
    case message = 1
    /// Ranges of sequences that have been removed.
    case tombstones = 2
    /// Everything below its sequence is gone.
    case floor = 3
    /// Sequences up to its own, from the one in its body (u64), were used up without a message.
    case skip = 4
    /// The log was closed in order.
    case close = 5
}

/// The fixed part of a record.
///
///      0  u8 magic | u8 kind | u8 marks | u8 flags | u32 length: of the whole record, without padding
///      8  u64 sequence
///     16  i64 time, nanoseconds since 1970
///     24  u32 length of the headers | u16 length of the subject | u16 0
///     32  u32 checksum of bytes 0-31, bound to segment and offset | u32 checksum of the body, bound to the one before
///     40  the body, padded with zeros to a multiple of eight
///
/// The body of a message: with flag `gap` the last sequence before it that had a message (u64); subject, headers, payload.
struct RecordHeader {
    static let size = 40
    static let magic: UInt8 = 0xB5
    /// The message follows sequences that were used up without one.
    static let gapFlag: UInt8 = 1

    var kind: RecordKind
    var marks: MessageMarks = []
    var hasGap = false
    var length: Int
    var sequence: UInt64
    var timeNs: Int64 = 0
    var headersLength = 0
    var subjectLength = 0
    var headerSum: UInt32 = 0
    var bodySum: UInt32 = 0

    init(kind: RecordKind, length: Int, sequence: UInt64) {
        self.kind = kind
        self.length = length
        self.sequence = sequence
    }

    /// What the record takes in its segment.
    @inline(__always) var padded: Int { (length + 7) & ~7 }
    @inline(__always) var payloadLength: Int {
        length - RecordHeader.size - (hasGap ? 8 : 0) - subjectLength - headersLength
    }
    /// What a stream counts for a message on file.
    @inline(__always) var streamSize: Int {
        22 + subjectLength + (headersLength > 0 ? 4 + headersLength : 0) + payloadLength + 8
    }

    /// What a header's checksum begins with: a record is believed only where it was written.
    @inline(__always)
    static func key(_ segmentSum: UInt32, _ offset: Int) -> UInt32 {
        Checksum.crc32c(UInt64(truncatingIfNeeded: offset), seed: segmentSum)
    }

    /// The part of the key that is the same throughout a segment.
    static func segmentSum(_ id: UInt64) -> UInt32 { Checksum.crc32c(id) }

    /// Writes the header in front of a body that is in place, and the padding behind it.
    @inline(__always)
    func seal(_ record: UnsafeMutableRawPointer, _ segmentSum: UInt32, _ offset: Int) {
        record.storeBytes(of: RecordHeader.magic, as: UInt8.self)
        record.storeBytes(of: kind.rawValue, toByteOffset: 1, as: UInt8.self)
        record.storeBytes(of: marks.rawValue, toByteOffset: 2, as: UInt8.self)
        record.storeBytes(of: hasGap ? RecordHeader.gapFlag : 0, toByteOffset: 3, as: UInt8.self)
        record.storeBytes(of: UInt32(truncatingIfNeeded: length).littleEndian, toByteOffset: 4, as: UInt32.self)
        record.storeBytes(of: sequence.littleEndian, toByteOffset: 8, as: UInt64.self)
        record.storeBytes(of: timeNs.littleEndian, toByteOffset: 16, as: Int64.self)
        record.storeBytes(of: UInt32(truncatingIfNeeded: headersLength).littleEndian, toByteOffset: 24, as: UInt32.self)
        record.storeBytes(of: UInt32(truncatingIfNeeded: subjectLength).littleEndian, toByteOffset: 28, as: UInt32.self)
        let headerSum = Checksum.crc32c(record, 32, seed: RecordHeader.key(segmentSum, offset))
        record.storeBytes(of: headerSum.littleEndian, toByteOffset: 32, as: UInt32.self)
        let bodySum = Checksum.crc32c(record + RecordHeader.size, length - RecordHeader.size, seed: headerSum)
        record.storeBytes(of: bodySum.littleEndian, toByteOffset: 36, as: UInt32.self)
        var at = length
        while at < padded {
            record.storeBytes(of: 0, toByteOffset: at, as: UInt8.self)
            at += 1
        }
    }

    /// Reads a header of which `size` bytes are there; nil unless its checksum is right, and its lengths agree.
    @inline(__always)
    init?(_ record: UnsafeRawPointer, _ segmentSum: UInt32, _ offset: Int) {
        guard record.load(as: UInt8.self) == RecordHeader.magic else { return nil }
        let sum = UInt32(littleEndian: record.loadUnaligned(fromByteOffset: 32, as: UInt32.self))
        guard Checksum.crc32c(record, 32, seed: RecordHeader.key(segmentSum, offset)) == sum,
            let kind = RecordKind(rawValue: record.load(fromByteOffset: 1, as: UInt8.self))
        else { return nil }
        self.kind = kind
        marks = MessageMarks(rawValue: record.load(fromByteOffset: 2, as: UInt8.self))
        hasGap = record.load(fromByteOffset: 3, as: UInt8.self) & RecordHeader.gapFlag != 0
        length = Int(UInt32(littleEndian: record.loadUnaligned(fromByteOffset: 4, as: UInt32.self)))
        sequence = UInt64(littleEndian: record.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        timeNs = Int64(littleEndian: record.loadUnaligned(fromByteOffset: 16, as: Int64.self))
        headersLength = Int(UInt32(littleEndian: record.loadUnaligned(fromByteOffset: 24, as: UInt32.self)))
        subjectLength = Int(UInt16(littleEndian: record.loadUnaligned(fromByteOffset: 28, as: UInt16.self)))
        headerSum = sum
        bodySum = UInt32(littleEndian: record.loadUnaligned(fromByteOffset: 36, as: UInt32.self))
        guard length >= RecordHeader.size, payloadLength >= 0, sequence < FileLog.sequencesEnd else { return nil }
    }

    /// Whether the body is what was written. All of the record is there.
    @inline(__always)
    func isBodyGood(_ record: UnsafeRawPointer) -> Bool {
        Checksum.crc32c(record + RecordHeader.size, length - RecordHeader.size, seed: headerSum) == bodySum
    }

    /// The number that a body begins with: for a message that follows a gap, the last sequence with a message before it.
    @inline(__always)
    func gapBase(_ record: UnsafeRawPointer) -> UInt64 {
        UInt64(littleEndian: record.loadUnaligned(fromByteOffset: RecordHeader.size, as: UInt64.self))
    }

    /// The message in a verified record.
    func message(_ record: UnsafeRawPointer) -> StoredMessage {
        let subject = (record + RecordHeader.size + (hasGap ? 8 : 0)).assumingMemoryBound(to: UInt8.self)
        return StoredMessage(
            sequence: sequence, timeNs: timeNs, subject: ByteView(subject, subjectLength),
            headers: ByteView(subject + subjectLength, headersLength),
            payload: ByteView(subject + subjectLength + headersLength, payloadLength))
    }
}

/// The body of a tombstones record: from the record's sequence on, pairs of u32: how many sequences stay, how many after
/// them are gone.
enum TombstoneBody {
    /// Ranges in one record: small enough for the smallest segment.
    static let rangesMax = 1_000

    /// Takes ranges off the front of a list, as many as fit one record, and gives its base and its pairs.
    static func take(_ ranges: inout ArraySlice<ClosedRange<UInt64>>) -> (base: UInt64, pairs: [UInt32]) {
        guard let base = ranges.first?.lowerBound else { return (0, []) }
        var pairs: [UInt32] = []
        var at = base
        while let range = ranges.first, pairs.count < rangesMax * 2 {
            guard range.lowerBound >= at, range.lowerBound - at <= UInt64(UInt32.max) else { break }
            let length = min(range.upperBound - range.lowerBound + 1, UInt64(UInt32.max))
            pairs.append(UInt32(range.lowerBound - at))
            pairs.append(UInt32(length))
            at = range.lowerBound + length
            ranges.removeFirst()
            if at <= range.upperBound {
                ranges = [at...range.upperBound] + ranges
                break
            }
        }
        return (base, pairs)
    }

    /// The ranges in a verified record; nil if they make no sense.
    static func ranges(_ header: RecordHeader, _ record: UnsafeRawPointer) -> [ClosedRange<UInt64>]? {
        let count = (header.length - RecordHeader.size) / 8
        var ranges: [ClosedRange<UInt64>] = []
        ranges.reserveCapacity(count)
        var at = header.sequence
        for place in 0..<count {
            let pair = RecordHeader.size + place * 8
            let stay = UInt32(littleEndian: record.loadUnaligned(fromByteOffset: pair, as: UInt32.self))
            let gone = UInt32(littleEndian: record.loadUnaligned(fromByteOffset: pair + 4, as: UInt32.self))
            at += UInt64(stay)
            guard gone > 0, at + UInt64(gone) <= FileLog.sequencesEnd else { return nil }
            ranges.append(at...(at + UInt64(gone) - 1))
            at += UInt64(gone)
        }
        return ranges
    }
}
