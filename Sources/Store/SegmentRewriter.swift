// Writes a sparse segment anew: the messages that are left, and what its tombstones still have to say.

import Glibc

/// The segment that has been written, and where its messages are now.
struct RewrittenSegment: Sendable {
    struct Move: Sendable {
        let sequence: UInt64
        let place: Int
        var newPlace = 0
    }
    var moves: [Move] = []
    var id: UInt64 = 0
    var end = 0
    var tombstonesEnd: UInt64 = 0
    var file: (any DiskFile)?
}

/// Runs on a thread that may wait. The old file is in place until the new one is durable, and takes its name then.
struct SegmentRewriter: Sendable {
    let file: any DiskFile
    let id: UInt64
    let end: Int
    let ordinal: UInt64
    /// Tombstones below have nothing to say.
    let floor: UInt64
    let path: String
    let temporary: String
    /// What to keep, in order.
    let moves: [RewrittenSegment.Move]
    /// The last sequence that the segment had a message for.
    var lastSequence: UInt64 = 0
    var newID: UInt64 = 0

    init(
        file: any DiskFile, id: UInt64, end: Int, ordinal: UInt64, floor: UInt64, path: String, temporary: String,
        moves: [RewrittenSegment.Move]
    ) {
        self.file = file
        self.id = id
        self.end = end
        self.ordinal = ordinal
        self.floor = floor
        self.path = path
        self.temporary = temporary
        self.moves = moves
    }

    func run(_ disk: any Disk, _ directory: String) throws(DiskError) -> RewrittenSegment {
        try disk.remove(temporary)
        let target = try disk.open(temporary, create: true)
        do throws(DiskError) {
            let written = try write(target)
            try target.sync()
            try disk.rename(temporary, to: path)
            // Whichever of the two a crash leaves says the same.
            try? disk.syncDirectory(directory)
            return written
        } catch {
            try? disk.remove(temporary)
            throw error
        }
    }

    private func write(_ target: any DiskFile) throws(DiskError) -> RewrittenSegment {
        var result = RewrittenSegment(moves: moves, id: newID)
        result.file = target
        let sum = RecordHeader.segmentSum(result.id)
        var output = RewriteOutput(target, at: SegmentHeader.size + BlockHeader.size)
        var block = BlockHeader(segmentID: result.id, offset: SegmentHeader.size)
        var ranges: [ClosedRange<UInt64>] = []
        var next = 0
        var previous: UInt64?
        var scanner = SegmentScanner(
            file, segmentID: id, limit: end, buffer: WriteBuffer(capacity: SegmentScanner.pieceBytes))
        while let item = try scanner.next() {
            switch item {
            case .block: continue
            case .damage: throw unreadable()
            case .record(let header, let record, let offset, let isGood):
                let isKept =
                    header.kind == .message && next < moves.count && moves[next].sequence == header.sequence
                    && moves[next].place == offset
                // What has been removed may have been overwritten.
                guard isGood || header.kind == .message && !isKept else { throw unreadable() }
                switch header.kind {
                case .tombstones: ranges += (TombstoneBody.ranges(header, record) ?? []).filter { $0.upperBound >= floor }
                case .skip: try output.add(header, record, 0, sum)
                case .floor, .close: continue
                case .message:
                    // What came before this segment may have been lost, and must be missed still.
                    let before = header.hasGap && isGood ? header.gapBase(record) : header.sequence - 1
                    if previous == nil {
                        previous = before
                        block.lastMessage = before
                        block.nextSequence = before + 1
                    }
                    guard isKept, let last = previous else { continue }
                    var kept = header
                    // It has been durable for long.
                    kept.marks.remove(.batchContinues)
                    kept.hasGap = header.sequence > last + 1
                    kept.length += (kept.hasGap ? 8 : 0) - (header.hasGap ? 8 : 0)
                    // Told by the message, and by a tombstone at the end: damage to either leaves the other.
                    if kept.hasGap { ranges.append((last + 1)...(header.sequence - 1)) }
                    result.moves[next].newPlace = output.end
                    try output.add(kept, record + (header.hasGap ? 8 : 0), last, sum)
                    block.records += 1
                    previous = header.sequence
                    next += 1
                }
            }
        }
        guard next == moves.count else { throw unreadable() }
        if let previous, previous < lastSequence { ranges.append((previous + 1)...lastSequence) }
        var rest = FileLog.merged(ranges)[...]
        while !rest.isEmpty {
            let (base, pairs) = TombstoneBody.take(&rest)
            let header = RecordHeader(kind: .tombstones, length: RecordHeader.size + pairs.count * 4, sequence: base)
            for _ in 0..<2 { try output.add(header, pairs, sum) }
        }
        result.tombstonesEnd = ranges.map(\.upperBound).max() ?? 0
        try output.flush()
        result.end = output.end

        block.length = result.end - SegmentHeader.size - BlockHeader.size
        var head = SegmentHeader(id: result.id, ordinal: ordinal, capacity: result.end)
        head.isCompacted = true
        let buffer = WriteBuffer(capacity: SegmentHeader.size + BlockHeader.size)
        head.write(buffer.base)
        block.write(buffer.base + SegmentHeader.size)
        try target.writeAll(buffer.base, SegmentHeader.size + BlockHeader.size, at: 0)
        return result
    }

    /// Stays as it is: a copy would hide the damage. Code 0 tells the log not to try again.
    private func unreadable() -> DiskError { DiskError("rewrite", path, 0) }
}

/// Records on their way to a new file, in pieces.
private struct RewriteOutput {
    private let file: any DiskFile
    private var buffer = WriteBuffer(capacity: SegmentScanner.pieceBytes)
    private var start: Int
    private var count = 0

    init(_ file: any DiskFile, at start: Int) {
        self.file = file
        self.start = start
    }

    var end: Int { start + count }

    /// - Parameter record: the old record; where the new one has a gap, eight bytes of it make room for `last`.
    mutating func add(_ header: RecordHeader, _ record: UnsafeRawPointer, _ last: UInt64, _ sum: UInt32) throws(DiskError) {
        try makeRoom(header.padded)
        let target = buffer.base + count
        var body = target + RecordHeader.size
        if header.hasGap {
            body.storeBytes(of: last.littleEndian, as: UInt64.self)
            body += 8
        }
        let length = header.length - RecordHeader.size - (header.hasGap ? 8 : 0)
        body.copyMemory(from: record + RecordHeader.size, byteCount: length)
        header.seal(target, sum, end)
        count += header.padded
    }

    mutating func add(_ header: RecordHeader, _ pairs: [UInt32], _ sum: UInt32) throws(DiskError) {
        try makeRoom(header.padded)
        let target = buffer.base + count
        for (place, value) in pairs.enumerated() {
            target.storeBytes(of: value.littleEndian, toByteOffset: RecordHeader.size + place * 4, as: UInt32.self)
        }
        header.seal(target, sum, end)
        count += header.padded
    }

    mutating func flush() throws(DiskError) {
        try file.writeAll(buffer.base, count, at: start)
        start += count
        count = 0
    }

    private mutating func makeRoom(_ bytes: Int) throws(DiskError) {
        if count + bytes > buffer.capacity { try flush() }
        if bytes > buffer.capacity { buffer = WriteBuffer(capacity: bytes) }
    }
}
