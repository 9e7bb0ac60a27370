// The bytes at the head of a segment and of a commit block in it. Drawn in docs/storage.md.

/// A place in the log: a segment, by its number in the log's order, and an offset in it.
struct LogPosition: Comparable, Sendable {
    var ordinal: UInt64
    var offset: Int

    static func < (a: LogPosition, b: LogPosition) -> Bool {
        a.ordinal == b.ordinal ? a.offset < b.offset : a.ordinal < b.ordinal
    }
}

/// The head of a segment file.
///
///      0  "BHOPSEG\n" | 8 u32 version | 12 u32 flags | 16 u64 id | 24 u64 ordinal | 32 u64 capacity
///     40  zeros | 60 u32 checksum of bytes 0-59
struct SegmentHeader {
    static let size = 64
    static let version: UInt32 = 1
    private static let magic = UInt64(0x0A47_4553_504F_4842)
    /// Rewritten with what was left of it; all of it was durable then.
    private static let compactedFlag: UInt32 = 1

    var version = SegmentHeader.version
    var isCompacted = false
    /// Random, and another one each time that the file is used again.
    var id: UInt64
    var ordinal: UInt64
    var capacity: Int

    init(id: UInt64, ordinal: UInt64, capacity: Int) {
        self.id = id
        self.ordinal = ordinal
        self.capacity = capacity
    }

    func write(_ target: UnsafeMutableRawPointer) {
        target.initializeMemory(as: UInt8.self, repeating: 0, count: SegmentHeader.size)
        target.storeBytes(of: SegmentHeader.magic.littleEndian, as: UInt64.self)
        target.storeBytes(of: version.littleEndian, toByteOffset: 8, as: UInt32.self)
        target.storeBytes(of: (isCompacted ? SegmentHeader.compactedFlag : 0).littleEndian, toByteOffset: 12, as: UInt32.self)
        target.storeBytes(of: id.littleEndian, toByteOffset: 16, as: UInt64.self)
        target.storeBytes(of: ordinal.littleEndian, toByteOffset: 24, as: UInt64.self)
        target.storeBytes(of: UInt64(capacity).littleEndian, toByteOffset: 32, as: UInt64.self)
        target.storeBytes(of: Checksum.crc32c(target, 60).littleEndian, toByteOffset: 60, as: UInt32.self)
    }

    /// Reads `size` bytes; nil if they are not the head of a segment.
    init?(_ source: UnsafeRawPointer) {
        guard UInt64(littleEndian: source.loadUnaligned(as: UInt64.self)) == SegmentHeader.magic,
            Checksum.crc32c(source, 60) == UInt32(littleEndian: source.loadUnaligned(fromByteOffset: 60, as: UInt32.self))
        else { return nil }
        version = UInt32(littleEndian: source.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
        let flags = UInt32(littleEndian: source.loadUnaligned(fromByteOffset: 12, as: UInt32.self))
        isCompacted = flags & SegmentHeader.compactedFlag != 0
        id = UInt64(littleEndian: source.loadUnaligned(fromByteOffset: 16, as: UInt64.self))
        ordinal = UInt64(littleEndian: source.loadUnaligned(fromByteOffset: 24, as: UInt64.self))
        let capacity = UInt64(littleEndian: source.loadUnaligned(fromByteOffset: 32, as: UInt64.self))
        self.capacity = Int(clamping: min(capacity, UInt64(IndexEntry.placesEnd)))
    }
}

/// The head of a commit block: what one commit wrote to one segment.
///
///      0  u32 magic | u32 checksum of bytes 8-87, bound to segment and offset
///      8  u64 segment id
///     16  u32 offset of this header | u32 length of the records behind it
///     24  u64 segment id, and (32) u32 offset, where the block before ended | u32 number of records
///     40  u64 next sequence, (48) u64 last message, (56) u64 floor: as they were before this block
///     64  u64 ordinal and (72) u32 offset: everything before this place had been synced when this was written
///     76  u32 version | 80 zeros
struct BlockHeader {
    static let size = 88
    static let version: UInt32 = 1
    static let magic: UInt32 = 0x4B4C_4242

    var segmentID: UInt64
    var offset: Int
    var length = 0
    var previousSegmentID: UInt64 = 0
    var previousEnd = 0
    var records = 0
    var nextSequence: UInt64 = 0
    var lastMessage: UInt64 = 0
    var floor: UInt64 = 0
    var synced = LogPosition(ordinal: 0, offset: 0)

    init(segmentID: UInt64, offset: Int) {
        self.segmentID = segmentID
        self.offset = offset
    }

    var end: Int { offset + BlockHeader.size + length }

    func write(_ target: UnsafeMutableRawPointer) {
        target.initializeMemory(as: UInt8.self, repeating: 0, count: BlockHeader.size)
        func put(_ value: UInt64, _ place: Int) {
            target.storeBytes(of: value.littleEndian, toByteOffset: place, as: UInt64.self)
        }
        func put(_ value: Int, _ place: Int) {
            target.storeBytes(of: UInt32(truncatingIfNeeded: value).littleEndian, toByteOffset: place, as: UInt32.self)
        }
        put(Int(BlockHeader.magic), 0)
        put(segmentID, 8)
        put(offset, 16)
        put(length, 20)
        put(previousSegmentID, 24)
        put(previousEnd, 32)
        put(records, 36)
        put(nextSequence, 40)
        put(lastMessage, 48)
        put(floor, 56)
        put(synced.ordinal, 64)
        put(synced.offset, 72)
        put(Int(BlockHeader.version), 76)
        put(Int(BlockHeader.sum(target, segmentID, offset)), 4)
    }

    /// Reads `size` bytes at an offset of whichever segment wrote them; nil unless the checksum is right.
    init?(_ source: UnsafeRawPointer, at offset: Int) {
        func long(_ place: Int) -> UInt64 { UInt64(littleEndian: source.loadUnaligned(fromByteOffset: place, as: UInt64.self)) }
        func word(_ place: Int) -> Int {
            Int(UInt32(littleEndian: source.loadUnaligned(fromByteOffset: place, as: UInt32.self)))
        }
        guard word(0) == Int(BlockHeader.magic), word(16) == offset else { return nil }
        segmentID = long(8)
        guard Int(BlockHeader.sum(source, segmentID, offset)) == word(4), word(76) == Int(BlockHeader.version) else {
            return nil
        }
        self.offset = offset
        length = word(20)
        previousSegmentID = long(24)
        previousEnd = word(32)
        records = word(36)
        nextSequence = min(long(40), FileLog.sequencesEnd)
        lastMessage = min(long(48), FileLog.sequencesEnd)
        floor = min(long(56), FileLog.sequencesEnd)
        synced = LogPosition(ordinal: long(64), offset: word(72))
    }

    private static func sum(_ header: UnsafeRawPointer, _ id: UInt64, _ offset: Int) -> UInt32 {
        Checksum.crc32c(header + 8, size - 8, seed: RecordHeader.key(RecordHeader.segmentSum(id), offset))
    }
}
