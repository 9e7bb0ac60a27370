// What a log finds on disk when it is opened: one pass over its segments, and the decision what to believe.

/// A pass over the segments of a log that fills its index. Damage is noted with its place; what it costs is decided when all
/// has been seen, because later blocks tell which earlier ones were durable.
struct Recovery {
    let log: FileLog
    /// Nothing from here on is looked at: a pass before has found that it must be cut off.
    let limit: LogPosition?

    /// With something in them, in order.
    var segments: [LogSegment] = []
    /// With a good head and nothing else.
    var empty: [LogSegment] = []
    /// Heads to be written again.
    var brokenHeads: [LogSegment] = []
    var removed: [ClosedRange<UInt64>] = []
    var floor: UInt64 = 0
    /// Sequences that should have been found.
    var missing: [ClosedRange<UInt64>] = []
    var lostBytes: UInt64 = 0
    var damages: [(place: LogPosition, text: String)] = []
    /// Messages whose head can be believed and whose body cannot: no loss if they had been removed, and maybe overwritten.
    private var suspects: [Suspect] = []
    /// Blocks that do not follow the one before: a crash has taken what was between.
    private var tears: [LogPosition] = []
    /// Everything before it had been synced, as far as anything says so.
    var synced = LogPosition(ordinal: 0, offset: 0)
    /// Where an atomic batch begins whose end has not been seen.
    var batchStart: LogPosition?
    /// The last block before the end or the limit.
    var lastBlock: (segment: LogSegment, header: BlockHeader)?
    var isClosed = false
    private var buffer = WriteBuffer(capacity: SegmentScanner.pieceBytes)

    private struct Suspect {
        let sequence: UInt64
        let segment: LogSegment
        let offset: Int
        let bytes: Int
    }

    init(_ log: FileLog, limit: LogPosition?) {
        self.log = log
        self.limit = limit
    }

    /// Where the log must be cut: at the first damage that a sync had not covered, or before an unfinished batch there.
    var cut: LogPosition? {
        let torn = (damages.map(\.place) + tears).filter { $0 >= synced }.min()
        guard let batchStart, batchStart >= synced, log.index.last == log.lastMessage else { return torn }
        return min(torn ?? batchStart, batchStart)
    }

    mutating func run(_ names: [(ordinal: UInt64, name: String)]) throws(StoreError) {
        for (ordinal, name) in names {
            log.nextOrdinal = max(log.nextOrdinal, ordinal + 1)
            if let limit, ordinal > limit.ordinal { continue }
            do {
                try read(ordinal, name)
            } catch {
                if let error = error as? StoreError { throw error }
                if let error = error as? DiskError { throw .disk(error) }
            }
        }
        judge()
    }

    /// Whether a record that cannot be read costs anything is known only when everything that was removed is.
    private mutating func judge() {
        var gone = FileLog.merged(removed)[...]
        for suspect in suspects where suspect.sequence >= floor {
            while let first = gone.first, first.upperBound < suspect.sequence { gone.removeFirst() }
            if let first = gone.first, first.contains(suspect.sequence) { continue }
            suspect.segment.isDamaged = true
            lostBytes += UInt64(suspect.bytes)
            damages.append(
                (
                    suspect.segment.place(suspect.offset),
                    "\(suspect.segment.path): the record at \(suspect.offset) (sequence \(suspect.sequence)) is damaged"
                ))
        }
    }

    // MARK: One segment

    private mutating func read(_ ordinal: UInt64, _ name: String) throws {
        let path = "\(log.directory)/\(name)"
        let file = try log.disk.open(path, create: false)
        let size = min(try file.size(), IndexEntry.placesEnd)
        let isNew = name.hasSuffix(".new")
        let headRead = try file.readAll(buffer.base, SegmentHeader.size, at: 0)
        var header = headRead == SegmentHeader.size ? SegmentHeader(buffer.base) : nil
        if let header, header.version != SegmentHeader.version {
            throw StoreError.unusable(
                "\(path) has format version \(header.version), this program knows \(SegmentHeader.version): use a newer one")
        }
        // Its space was given to another segment, and the rename did not last: what was in it had been removed.
        if let header, header.ordinal != ordinal { return try log.disk.remove(path) }
        let isHeadGood = header != nil
        // No sync has covered it: what is in it never counted.
        if isNew && header == nil { return try log.disk.remove(path) }
        if header == nil, let id = try findID(file, size) { header = SegmentHeader(id: id, ordinal: ordinal, capacity: size) }
        guard let header else {
            damages.append((LogPosition(ordinal: 0, offset: 0), "\(path): \(size) bytes without a readable head"))
            return
        }
        let segment = LogSegment(
            ordinal: ordinal, id: header.id, path: path, capacity: max(header.capacity, SegmentHeader.size),
            end: SegmentHeader.size, file: file)
        segment.isNew = isNew
        segment.isCompacted = header.isCompacted
        if !isHeadGood {
            brokenHeads.append(segment)
            damages.append((LogPosition(ordinal: 0, offset: 0), "\(path): the head is damaged, what follows is not"))
        }
        if size < header.capacity && !isNew {
            damages.append(
                (LogPosition(ordinal: 0, offset: 0), "\(path): cut short, \(size) of \(header.capacity) bytes are there"))
        }
        if header.isCompacted { synced = max(synced, LogPosition(ordinal: ordinal, offset: Int.max)) }
        try scan(segment, file, size)
        if segments.last !== segment { segment.end > SegmentHeader.size ? segments.append(segment) : empty.append(segment) }
        if segments.count > log.options.openFilesMax { segments[segments.count - log.options.openFilesMax - 1].setFile(nil) }
    }

    /// The id of a segment whose head is gone: its first block that validates says it.
    private mutating func findID(_ file: any DiskFile, _ size: Int) throws(DiskError) -> UInt64? {
        var start = SegmentHeader.size
        while start + BlockHeader.size <= size {
            let count = try file.readAll(buffer.base, min(SegmentScanner.pieceBytes, size - start), at: start)
            var place = 0
            while place + BlockHeader.size <= count {
                if let header = BlockHeader(buffer.base + place, at: start + place) { return header.segmentID }
                place += 8
            }
            if count < SegmentScanner.pieceBytes { return nil }
            start += count - (BlockHeader.size & ~7)
        }
        return nil
    }

    private mutating func scan(_ segment: LogSegment, _ file: any DiskFile, _ size: Int) throws(DiskError) {
        let end = limit.map { $0.ordinal == segment.ordinal ? min(size, $0.offset) : size } ?? size
        var scanner = SegmentScanner(file, segmentID: segment.id, limit: end, buffer: buffer)
        var block: BlockHeader?
        while let item = try scanner.next() {
            switch item {
            case .block(let header):
                if block == nil, isTorn(before: header, in: segment) { tears.append(segment.place(header.offset)) }
                block = header
                lastBlock = (segment, header)
                take(header)
            case .record(let header, let record, let offset, let isGood):
                isClosed = false
                take(header, record, segment, offset, isGood)
            case .damage(let from, let to):
                isClosed = false
                segment.isDamaged = true
                damages.append((segment.place(from), "\(segment.path): bytes \(from) to \(to) are damaged"))
            }
        }
        buffer = scanner.reusableBuffer
        // A record that is cut short ends where it should have ended, or at the end of the file.
        segment.end = min(scanner.offset, (end + 7) & ~7)
        segment.written = segment.end
        if let block, block.end > scanner.offset, end == size {
            isClosed = false
            segment.isDamaged = true
            damages.append(
                (
                    segment.place(scanner.offset),
                    "\(segment.path): the block at \(block.offset) ends at \(scanner.offset) already"
                ))
        }
    }

    /// Whether the first block of a segment goes on from one that is not there, and that no sync had covered then. Within a
    /// segment what is missing shows as damage.
    private func isTorn(before header: BlockHeader, in segment: LogSegment) -> Bool {
        if header.previousSegmentID == segment.id { return false }
        guard let (previous, _) = lastBlock else { return header.previousSegmentID != 0 }
        if previous.id != header.previousSegmentID { return true }
        return previous.end < header.previousEnd && header.synced < previous.place(header.previousEnd)
    }

    // MARK: Blocks and records

    private mutating func take(_ header: BlockHeader) {
        synced = max(synced, header.synced)
        // A batch goes out in one commit. What was begun before the last sync was whole, if only because the rest was removed
        // again, and what follows is another one.
        if let start = batchStart, start < synced { batchStart = nil }
        floor = max(floor, header.floor)
        expect(upTo: header.lastMessage)
        if header.nextSequence > 0 { log.index.skip(to: header.nextSequence - 1) }
    }

    private mutating func take(
        _ header: RecordHeader, _ record: UnsafeRawPointer, _ segment: LogSegment, _ offset: Int, _ isGood: Bool
    ) {
        if !isGood && header.kind != .message {
            segment.isDamaged = true
            damages.append(
                (segment.place(offset), "\(segment.path): the record at \(offset) (sequence \(header.sequence)) is damaged"))
        }
        switch header.kind {
        case .message: take(message: header, record, segment, offset, isGood)
        case .tombstones:
            guard isGood, let ranges = TombstoneBody.ranges(header, record), let last = ranges.last else { return }
            removed += ranges
            segment.tombstonesEnd = max(segment.tombstonesEnd, last.upperBound)
        case .floor: if isGood { floor = max(floor, header.sequence) }
        case .skip:
            guard isGood, header.length == RecordHeader.size + 8 else { return }
            let from = header.gapBase(record)
            if from > 0 && from <= header.sequence { removed.append(from...header.sequence) }
            log.index.skip(to: header.sequence)
        case .close:
            guard isGood else { return }
            isClosed = true
            log.lastTimeNs = max(log.lastTimeNs, header.timeNs)
            expect(upTo: header.sequence)
        }
    }

    private mutating func take(
        message header: RecordHeader, _ record: UnsafeRawPointer, _ segment: LogSegment, _ offset: Int, _ isGood: Bool
    ) {
        guard header.sequence > log.lastMessage else {
            damages.append((segment.place(offset), "\(segment.path): sequence \(header.sequence) is there again"))
            return
        }
        // A gap of which the message knows is none; what lies before that gap should have been here.
        let before = header.hasGap ? (isGood ? header.gapBase(record) : log.lastMessage) : header.sequence - 1
        expect(upTo: min(before, header.sequence - 1))
        if header.marks.contains(.batchContinues) {
            batchStart = batchStart ?? segment.place(offset)
        } else {
            batchStart = nil
        }
        if segment.firstSequence > segment.lastSequence { segment.firstSequence = min(before, header.sequence - 1) + 1 }
        segment.lastSequence = header.sequence
        log.lastTimeNs = max(log.lastTimeNs, header.timeNs)
        log.lastMessage = header.sequence
        guard isGood else {
            log.index.skip(to: header.sequence)
            missing.append(header.sequence...header.sequence)
            suspects.append(
                Suspect(sequence: header.sequence, segment: segment, offset: offset, bytes: header.streamSize))
            return
        }
        let message = header.message(record)
        // Subjects that are too many cannot be: the log that wrote them had the same limit.
        guard header.sequence > log.index.last, let id = log.index.table.number(message.subject) else { return }
        log.index.append(
            header.sequence, id, place: offset, size: header.streamSize, marks: header.marks, owner: segment.ordinal,
            timeNs: header.timeNs)
        segment.live += 1
        segment.liveBytes += header.padded
    }

    /// Something says that there were messages up to a sequence: those not seen are missing.
    private mutating func expect(upTo sequence: UInt64) {
        guard sequence > log.lastMessage else { return }
        missing.append((log.lastMessage + 1)...sequence)
        log.lastMessage = sequence
        log.index.skip(to: sequence)
    }
}

extension LogSegment {
    func place(_ offset: Int) -> LogPosition { LogPosition(ordinal: ordinal, offset: offset) }
}
