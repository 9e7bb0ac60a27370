// The bytes of a consumer journal: blocks of records, each bound to its file and its place. docs/storage-journal.md has the
// whole picture.

/// What a record does to its consumer.
enum JournalKind: UInt8 {
    /// Comes after all that there is.
    case append = 1
    /// Stands for all that was before.
    case replace = 2
    case drop = 3
}

/// The head of one record. All records of a block follow its head; each begins at a multiple of 8.
struct JournalRecordHead {
    //   0  4  CRC-32C of the rest of this head, over the file's id and the record's offset
    //   4  4  CRC-32C of the body
    //   8  4  length of the body
    //  12  4  number: counts the consumer's records, so that a missing one is noticed; a twin has its original's
    //  16  8  consumer
    //  24  4  stamp: the low half of the block's nonce
    //  28  1  kind
    //  29  1  1 if this repeats the record before it
    //  30  2  0
    //  32     body, filled up with zeros to a multiple of 8
    static let bytes = 32
    /// What the head can tell the length of: far more than any consumer's state. Whatever is written can be read again; a
    /// damaged length shows in the head's checksum and at the end of its block.
    static let bodyBytesMax = Int(UInt32.max)

    var bodySum: UInt32 = 0
    var length: UInt32
    var number: UInt32
    var consumer: ConsumerID
    var stamp: UInt32 = 0
    var kind: JournalKind
    var isTwin: Bool

    /// What the record takes in the file.
    var size: Int { JournalRecordHead.size(bodyBytes: Int(length)) }
    static func size(bodyBytes: Int) -> Int { bytes + (bodyBytes + 7) & ~7 }

    func write(_ target: UnsafeMutableRawPointer) {
        target.store32(0, 0)
        target.store32(bodySum, 4)
        target.store32(length, 8)
        target.store32(number, 12)
        target.store64(consumer, 16)
        target.store32(stamp, 24)
        target.store32(UInt32(kind.rawValue) | (isTwin ? 0x100 : 0), 28)
    }

    /// Binds a record that `write` has laid out to its block and its place.
    static func seal(_ record: UnsafeMutableRawPointer, at offset: Int, _ key: JournalKey, stamp: UInt32) {
        record.store32(Checksum.crc32c(record + bytes, Int(record.load32(8))), 4)
        record.store32(stamp, 24)
        record.store32(key.sum(record, from: 4, to: bytes, at: offset), 0)
    }

    /// - Returns: nil unless the head is whole and its body within `limit`. The body is not looked at.
    static func read(_ source: UnsafeRawPointer, at offset: Int, limit: Int, _ key: JournalKey) -> JournalRecordHead? {
        guard limit - offset >= bytes, source.load32(0) == key.sum(source, from: 4, to: bytes, at: offset) else { return nil }
        let length = source.load32(8)
        guard Int(length) <= bodyBytesMax, size(bodyBytes: Int(length)) <= limit - offset,
            let kind = JournalKind(rawValue: UInt8(truncatingIfNeeded: source.load32(28)))
        else { return nil }
        return JournalRecordHead(
            bodySum: source.load32(4), length: length, number: source.load32(12), consumer: source.load64(16),
            stamp: source.load32(24), kind: kind, isTwin: source.load32(28) & 0x100 != 0)
    }
}

/// The head of a block, which is what one commit has written.
struct JournalBlockHead {
    //   0  4  "BHcj"
    //   4  2  version of the format
    //   6  2  flags
    //   8  4  CRC-32C of the rest of this head, over the file's id and the block's offset
    //  12  4  that sum in the block before; 0 in the first
    //  16  8  the file's id: random, another one each time the file is begun anew
    //  24  8  generation: one more than that of the file which this one replaces
    //  32  8  nonce: random, another one each time the journal is opened
    //  40  8  length of the records that follow
    //  48  8  everything before this offset was durable when this block was written
    //  56  8  the file had at least this size then, durably
    //  64  8  the next consumer's id
    //  72     records
    static let bytes = 72
    static let magic: UInt32 = 0x6A63_4842
    static let version: UInt16 = 1

    struct Flags: OptionSet {
        let rawValue: UInt16
        /// The first block of its file; its records stand for all that was before the file.
        static let first = Flags(rawValue: 1)
        /// Written when the journal was closed.
        static let closed = Flags(rawValue: 2)
        /// The file of the next generation is complete: this one is no more than its predecessor.
        static let superseded = Flags(rawValue: 4)
    }

    var flags: Flags
    var sum: UInt32 = 0
    var previousSum: UInt32
    var fileID: UInt64
    var generation: UInt64
    var nonce: UInt64
    var length: UInt64
    var syncedEnd: UInt64
    var syncedSize: UInt64
    var nextID: ConsumerID

    var key: JournalKey { JournalKey(fileID: fileID) }
    var stamp: UInt32 { UInt32(truncatingIfNeeded: nonce) }

    /// - Returns: the head's checksum.
    func write(_ target: UnsafeMutableRawPointer, at offset: Int) -> UInt32 {
        target.store32(JournalBlockHead.magic, 0)
        target.store32(UInt32(JournalBlockHead.version) | UInt32(flags.rawValue) << 16, 4)
        target.store32(previousSum, 12)
        target.store64(fileID, 16)
        target.store64(generation, 24)
        target.store64(nonce, 32)
        target.store64(length, 40)
        target.store64(syncedEnd, 48)
        target.store64(syncedSize, 56)
        target.store64(nextID, 64)
        let sum = JournalBlockHead.sum(target, at: offset, key)
        target.store32(sum, 8)
        return sum
    }

    private static func sum(_ source: UnsafeRawPointer, at offset: Int, _ key: JournalKey) -> UInt32 {
        key.sum(source, from: 12, to: bytes, at: offset, seed: Checksum.crc32c(source, 8))
    }

    /// The version of a head that is whole, whatever it is: the first 24 bytes and the sum over 72 bytes stay as they are.
    static func version(_ source: UnsafeRawPointer, at offset: Int, limit: Int) -> UInt16? {
        guard limit - offset >= bytes, source.load32(0) == magic else { return nil }
        guard source.load32(8) == sum(source, at: offset, JournalKey(fileID: source.load64(16))) else { return nil }
        return UInt16(truncatingIfNeeded: source.load32(4))
    }

    /// - Returns: nil unless the head is whole and its records end before `limit`. The records are not looked at.
    static func read(_ source: UnsafeRawPointer, at offset: Int, limit: Int) -> JournalBlockHead? {
        guard version(source, at: offset, limit: limit) == version else { return nil }
        let fileID = source.load64(16)
        let sum = source.load32(8)
        let head = JournalBlockHead(
            flags: Flags(rawValue: UInt16(source.load32(4) >> 16)), sum: sum, previousSum: source.load32(12), fileID: fileID,
            generation: source.load64(24), nonce: source.load64(32), length: source.load64(40), syncedEnd: source.load64(48),
            syncedSize: source.load64(56), nextID: source.load64(64))
        return head.length <= UInt64(limit - offset - bytes) ? head : nil
    }
}

/// What every checksum of a file goes over beside the bytes: leftovers of an earlier file, or bytes from another place, are
/// never taken for its own.
struct JournalKey {
    let fileID: UInt64

    func sum(_ source: UnsafeRawPointer, from: Int, to: Int, at offset: Int, seed: UInt32 = 0) -> UInt32 {
        let key = Checksum.crc32c(UInt64(offset), seed: Checksum.crc32c(fileID, seed: seed))
        return Checksum.crc32c(source + from, to - from, seed: key)
    }
}

extension UnsafeRawPointer {
    func load32(_ offset: Int) -> UInt32 { UInt32(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt32.self)) }
    func load64(_ offset: Int) -> UInt64 { UInt64(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt64.self)) }
}

extension UnsafeMutableRawPointer {
    func load32(_ offset: Int) -> UInt32 { UnsafeRawPointer(self).load32(offset) }
    func load64(_ offset: Int) -> UInt64 { UnsafeRawPointer(self).load64(offset) }
    func store32(_ value: UInt32, _ offset: Int) {
        storeBytes(of: value.littleEndian, toByteOffset: offset, as: UInt32.self)
    }
    func store64(_ value: UInt64, _ offset: Int) {
        storeBytes(of: value.littleEndian, toByteOffset: offset, as: UInt64.self)
    }
}
