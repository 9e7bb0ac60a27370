// Where the next record of a log goes: blocks in memory, segments on disk, and the space that both need.

extension FileLog {
    /// The segment that is written.
    var active: LogSegment? { segments.last }

    /// What the removals so far will take in the next commit: each record is written twice.
    private var removalBytes: Int {
        if removedRanges.isEmpty && newFloor == 0 && newSkip == 0 { return 0 }
        let records = removedRanges.count / TombstoneBody.rangesMax + 3
        return removedRanges.count * 16 + records * 2 * (RecordHeader.size + 8) + BlockHeader.size
    }

    /// Whether the next record begins a block.
    private var needsBlock: Bool {
        guard let block = openBlocks.last, let active else { return true }
        return block.segment !== active
    }

    /// Makes sure that a record fits the segment that is written, or goes on to the next one.
    ///
    /// A publish leaves room for removals: a prepared segment, or a quarter of this one.
    func makeRoom(_ bytes: Int, isPublish: Bool) throws(StoreError) {
        while true {
            guard let active else { throw .unusable("the log has no segment") }
            let free = active.capacity - active.end - bytes - (needsBlock ? BlockHeader.size : 0)
            if free >= 0 {
                if !isPublish || spare != nil || free - removalBytes >= active.capacity / 4 { return }
                try prepareSpare(for: 0)
                return
            }
            try prepareSpare(for: bytes)
            roll()
        }
    }

    /// Makes sure that what is removed next can be written: it must not fail once it has taken effect.
    ///
    /// - Parameter margin: what stays free beyond what was removed before. Maintenance makes do with less than a client's
    ///   removals, so that it can still take back segments when those no longer fit.
    func makeRoomForRemovals(margin: Int = 1_024) throws(StoreError) {
        guard let active else { throw .unusable("the log has no segment") }
        let free = active.capacity - active.end + (spare.map { $0.capacity - $0.end } ?? 0)
        if free >= removalBytes + margin { return }
        // Much has been removed: what is known so far goes to the block at once, and on to new segments.
        try writeRemovals()
        try prepareSpare(for: 0)
    }

    /// Goes on to the prepared segment.
    private func roll() {
        guard let next = spare else { return }
        spare = nil
        index.seal()
        segments.append(next)
        segmentsByOrdinal[next.ordinal] = next
        next.lastUse = useClock
        maintenance.isSpareDue = false
        maintenance.hasDead = true
    }

    /// Prepares the next segment at once, on the loop: the space is reserved, the rest becomes durable with the commit.
    private func prepareSpare(for bytes: Int) throws(StoreError) {
        let needed = bytes + SegmentHeader.size + BlockHeader.size
        if let spare {
            if spare.capacity >= needed { return }
            // Too small for this message; the order of segments has no place for it any more.
            maintenance.unused.append(spare)
            self.spare = nil
        }
        var header = makeSegmentHeader(0)
        let path = LogSegment.path(directory, header.ordinal, ".new")
        do throws(DiskError) {
            let file = try FileLog.format(path, &header, capacities(atLeast: needed), disk)
            let segment = LogSegment(
                ordinal: header.ordinal, id: header.id, path: path, capacity: header.capacity, end: SegmentHeader.size,
                file: file)
            segment.isNew = true
            spare = segment
        } catch {
            throw StoreError(error)
        }
    }

    /// How large the next segment may be: as large as it should, or what a nearly full disk has room for.
    func capacities(atLeast needed: Int) -> [Int] {
        var result: [Int] = []
        let least = (needed + 4_095) & ~4_095
        for bytes in [options.segmentBytes(after: active?.capacity ?? 0), active?.capacity ?? 0, options.firstSegmentBytes] {
            let capacity = max(bytes, least)
            if result.last.map({ capacity < $0 }) ?? true { result.append(capacity) }
        }
        return result
    }

    /// Makes a file a segment of the first of some sizes that there is room for. Not synced.
    static func format(
        _ path: String, _ header: inout SegmentHeader, _ capacities: [Int], _ disk: any Disk
    ) throws(DiskError) -> any DiskFile {
        let file = try disk.open(path, create: true)
        do throws(DiskError) {
            for capacity in capacities.dropLast() {
                header.capacity = capacity
                do throws(DiskError) {
                    try file.format(header)
                    return file
                } catch {
                    guard error.isNoSpace else { throw error }
                    try file.truncate(0)
                }
            }
            header.capacity = capacities.last ?? SegmentHeader.size
            try file.format(header)
            return file
        } catch {
            try? disk.remove(path)
            throw error
        }
    }

    func makeSegmentHeader(_ capacity: Int) -> SegmentHeader {
        defer { nextOrdinal += 1 }
        return SegmentHeader(id: makeID(), ordinal: nextOrdinal, capacity: capacity)
    }

    /// An id for a segment: random, so that no message can hold what would pass for a record.
    func makeID() -> UInt64 {
        guard let seed = options.segmentIDSeed else { return UInt64.random(in: 1...UInt64.max) }
        idsMade += 1
        var id = seed &+ (nextOrdinal << 20 &+ idsMade) &* 0x9E37_79B9_7F4A_7C15
        id = (id ^ id >> 31) &* 0xD6E8_FEB8_6659_FD93
        return max(id ^ id >> 32, 1)
    }

    /// Room for a record in the open block, for which `makeRoom` has been called.
    @inline(__always)
    func addRecord(_ bytes: Int) -> (record: UnsafeMutableRawPointer, segment: LogSegment, place: Int) {
        if needsBlock { openBlock() }
        let last = openBlocks.count - 1
        let segment = openBlocks[last].segment
        let place = openBlocks[last].end
        let record = openBlocks[last].add(bytes)
        segment.end = place + bytes
        isClosed = false
        return (record, segment, place)
    }

    private func openBlock() {
        guard let segment = segments.last else { preconditionFailure("a record without a segment") }
        let buffer = spareBuffer ?? WriteBuffer(capacity: 4_096)
        spareBuffer = nil
        openBlocks.append(
            OpenBlock(
                segment: segment, offset: segment.end, buffer: buffer, nextSequence: index.last + 1, lastMessage: lastMessage))
        segment.end += BlockHeader.size
    }

    // MARK: Removals as records

    /// Writes down what has been removed since the last commit. Each record twice: damage to one must not bring back what
    /// was removed.
    func writeRemovals() throws(StoreError) {
        if newSkip > 0 {
            // A message behind it has said so already.
            if newSkip > lastMessage { try addTwice(skipRecord(to: newSkip), lastMessage + 1) }
            newSkip = 0
        }
        if newFloor > 0 {
            try addTwice(RecordHeader(kind: .floor, length: RecordHeader.size, sequence: newFloor))
            writtenFloor = max(writtenFloor, newFloor)
            newFloor = 0
        }
        guard !removedRanges.isEmpty else { return }
        var ranges = FileLog.merged(removedRanges)[...]
        // What lies below the floor needs no words.
        ranges = ranges.drop { $0.upperBound < writtenFloor }
        while !ranges.isEmpty {
            let (base, pairs) = TombstoneBody.take(&ranges)
            try addTwice(RecordHeader(kind: .tombstones, length: RecordHeader.size + pairs.count * 4, sequence: base), pairs)
            let end = pairs.reduce(base) { $0 + UInt64($1) }
            segments.last?.tombstonesEnd = max(segments.last?.tombstonesEnd ?? 0, end - 1)
        }
        removedRanges.removeAll(keepingCapacity: removedRanges.count < 1_024)
    }

    /// Sequences from the one in its body up to its own that were used up.
    func skipRecord(to sequence: UInt64) -> RecordHeader {
        RecordHeader(kind: .skip, length: RecordHeader.size + 8, sequence: sequence)
    }

    /// A record whose body is one number.
    func add(_ header: RecordHeader, _ number: UInt64) {
        add(header, [UInt32(truncatingIfNeeded: number), UInt32(truncatingIfNeeded: number >> 32)])
    }

    private func addTwice(_ header: RecordHeader, _ number: UInt64) throws(StoreError) {
        try makeRoom(header.padded * 2, isPublish: false)
        for _ in 0..<2 { add(header, number) }
    }

    private func addTwice(_ header: RecordHeader, _ body: [UInt32] = []) throws(StoreError) {
        try makeRoom(header.padded * 2, isPublish: false)
        for _ in 0..<2 { add(header, body) }
    }

    func add(_ header: RecordHeader, _ body: [UInt32] = []) {
        let (record, segment, place) = addRecord(header.padded)
        body.withUnsafeBytes { bytes in
            if let base = bytes.baseAddress { (record + RecordHeader.size).copyMemory(from: base, byteCount: bytes.count) }
        }
        header.seal(record, segment.sum, place)
    }

    /// Ranges in order, with those that touch made one.
    static func merged(_ ranges: [ClosedRange<UInt64>]) -> [ClosedRange<UInt64>] {
        var result: [ClosedRange<UInt64>] = []
        for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if let last = result.last, range.lowerBound <= last.upperBound + 1 {
                result[result.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
            } else {
                result.append(range)
            }
        }
        return result
    }
}
