// Walks one segment file from its head to its end and finds everything in it that can be believed.

/// Reads a segment in large pieces. Blocks and records follow each other; where something does not validate, the next place
/// that does is looked for, so that damage costs what it hit.
struct SegmentScanner {
    /// What is found; pointers are valid until the next step.
    enum Item {
        case block(BlockHeader)
        /// A record whose header is right; `isGood` if its body is, too.
        case record(RecordHeader, UnsafeRawPointer, offset: Int, isGood: Bool)
        /// Bytes that should be records but are not, with more behind them.
        case damage(from: Int, to: Int)
    }

    static let pieceBytes = 1 << 20

    let file: any DiskFile
    let segmentID: UInt64
    private let sum: UInt32
    /// Bytes to look at.
    private let limit: Int
    private var buffer: WriteBuffer
    private var start = 0
    private var count = 0
    private var pending: Item?
    /// Where the next item begins; at the end, where the last one ended.
    private(set) var offset = SegmentHeader.size

    init(_ file: any DiskFile, segmentID: UInt64, limit: Int, buffer: WriteBuffer) {
        self.file = file
        self.segmentID = segmentID
        self.limit = limit
        self.buffer = buffer
        sum = RecordHeader.segmentSum(segmentID)
    }

    /// The buffer, for the next segment.
    var reusableBuffer: WriteBuffer { buffer }

    mutating func next() throws(DiskError) -> Item? {
        if let item = pending {
            pending = nil
            return item
        }
        if let item = try item(at: offset) {
            advance(item)
            return item
        }
        // Not what was expected: look for the next place that validates.
        var place = offset + 8
        while place + RecordHeader.size <= limit {
            guard let bytes = try bytes(place, min(limit - place, BlockHeader.size)) else { return nil }
            let first = bytes.load(as: UInt8.self)
            if first == RecordHeader.magic || first == UInt8(truncatingIfNeeded: BlockHeader.magic),
                let item = try item(at: place)
            {
                let damage = Item.damage(from: offset, to: place)
                advance(item)
                pending = item
                return damage
            }
            place += 8
        }
        return nil
    }

    private mutating func advance(_ item: Item) {
        switch item {
        case .block(let header): offset = header.offset + BlockHeader.size
        case .record(let header, _, let place, _): offset = place + header.padded
        case .damage: break
        }
    }

    private mutating func item(at place: Int) throws(DiskError) -> Item? {
        guard place + RecordHeader.size <= limit, let head = try bytes(place, RecordHeader.size) else { return nil }
        if head.load(as: UInt8.self) == RecordHeader.magic {
            guard let header = RecordHeader(head, sum, place) else { return nil }
            // A record that ends beyond the file has lost its end, and with it nothing but itself.
            guard place + header.length <= limit, let record = try bytes(place, header.length) else {
                return .record(header, head, offset: place, isGood: false)
            }
            return .record(header, record, offset: place, isGood: header.isBodyGood(record))
        }
        guard place + BlockHeader.size <= limit, let block = try bytes(place, BlockHeader.size),
            let header = BlockHeader(block, at: place), header.segmentID == segmentID
        else { return nil }
        return .block(header)
    }

    /// `wanted` bytes at a place, read with what lies behind them; nil where the file ends before.
    private mutating func bytes(_ place: Int, _ wanted: Int) throws(DiskError) -> UnsafeRawPointer? {
        if place >= start && place + wanted <= start + count { return UnsafeRawPointer(buffer.base + (place - start)) }
        let size = min(max(wanted, SegmentScanner.pieceBytes), limit - place)
        guard size >= wanted else { return nil }
        if size > buffer.capacity { buffer = WriteBuffer(capacity: max(size, SegmentScanner.pieceBytes)) }
        start = place
        count = 0
        count = try file.readAll(buffer.base, size, at: place)
        return count >= wanted ? UnsafeRawPointer(buffer.base) : nil
    }
}
