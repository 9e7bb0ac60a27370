// The messages of one stream on file: append-only segments, changed in memory at once and on disk by group commits.

import Wire

/// A log in a directory of its own. What its files hold is drawn in docs/storage.md.
///
/// Owned by one loop. Nothing here waits for the disk but where a segment that should have been prepared is missing, or the
/// time of an old message must be looked up. Commits, maintenance and reads that would wait run as jobs elsewhere: at most
/// one of each kind at a time.
public final class FileLog: MessageLog {
    /// No sequence reaches this, so that sums of sequences do not overflow.
    static let sequencesEnd: UInt64 = 1 << 62

    let directory: String
    let disk: any Disk
    let options: LogOptions
    let index = MessageIndex()

    // MARK: Segments

    /// In the log's order. The last one is written.
    var segments: [LogSegment] = []
    var segmentsByOrdinal: [UInt64: LogSegment] = [:]
    /// The next segment, prepared.
    var spare: LogSegment?
    var nextOrdinal: UInt64 = 1
    var idsMade: UInt64 = 0
    /// The one that was looked at last.
    var lastSegment: LogSegment?
    /// Counts uses of segments and windows, to find the one longest unused.
    var useClock: UInt64 = 0

    // MARK: Changes that are not durable yet

    /// Blocks for the next commit; the last one grows.
    var openBlocks: [OpenBlock] = []
    /// Blocks that a commit is writing.
    var writingBlocks: [OpenBlock] = []
    /// The last block that was written: consumers that keep up find their messages in it.
    var recentBlock: OpenBlock?
    var spareBuffer: WriteBuffer?
    /// The last sequence that had a message, removed or not.
    var lastMessage: UInt64 = 0
    var lastTimeNs: Int64 = 0
    /// Removed since the last commit began, not in order.
    var removedRanges: [ClosedRange<UInt64>] = []
    /// Everything below is gone, and no record says so yet; 0: nothing to say.
    var newFloor: UInt64 = 0
    /// What the last floor record said, or a restart found.
    var writtenFloor: UInt64 = 0
    var newSkip: UInt64 = 0
    var isCloseDue = false
    /// The log's last record says that it was closed.
    var isClosed = false
    /// Messages to overwrite once their removal is durable: with the commit that makes it so.
    var erasures: [(sequence: UInt64, owner: UInt64, place: Int, ticket: UInt64)] = []

    // MARK: Commits

    var startedCommit: UInt64 = 0
    public internal(set) var finishedCommit: UInt64 = 0
    public internal(set) var durableSequence: UInt64 = 0
    /// What the commit under way makes durable.
    var committing = CommitInFlight()
    /// Segments that hold what has been written but not synced.
    var unsynced: [LogSegment] = []
    /// Everything before it is synced.
    var synced = LogPosition(ordinal: 0, offset: 0)
    /// The latest `synced` that a block says, and that a block says which is itself durable.
    var writtenMarker = LogPosition(ordinal: 0, offset: 0)
    var durableMarker = LogPosition(ordinal: 0, offset: 0)
    /// Below this, what is gone is gone for good.
    var durableFloor: UInt64 = 0
    var previousBlock: (id: UInt64, end: Int) = (0, 0)
    /// Set when a write or sync has failed: nothing more is accepted.
    public internal(set) var failure: StoreError?

    // MARK: Reading

    let windows: ReadWindows
    let cache: ReadCache
    var reads = ReadQueue()
    public var onLoaded: (() -> Void)?
    /// Called on the loop when `beginRead` has work for a thread that may wait; at once when it is set after somebody has
    /// asked.
    public var onNeedsRead: (() -> Void)? {
        didSet { if hasReadsToBegin { onNeedsRead?() } }
    }
    public var onRemoved: ((_ sequence: UInt64, _ subject: SubjectID, _ bytes: Int) -> Void)?
    /// Called on the loop when a message turns out to be damaged.
    public var onLost: ((_ sequence: UInt64, _ reason: String) -> Void)?
    var firstTime: (sequence: UInt64, timeNs: Int64) = (0, 0)
    var lost: [UInt64] = []
    var lostBytes: UInt64 = 0
    /// What opening the log has found.
    public internal(set) var recoveryReport = RecoveryReport()

    // MARK: Maintenance

    var maintenance = MaintenanceState()

    init(directory: String, disk: any Disk, options: LogOptions) {
        self.directory = directory
        self.disk = disk
        self.options = options
        windows = ReadWindows(options)
        cache = ReadCache(options)
        index.sizeOf = { [unowned self] owner, place in self.header(owner, place)?.streamSize ?? 0 }
    }

    public var subjects: SubjectTable { index.table }

    public var state: LogState {
        var state = LogState()
        state.messages = index.messages
        state.bytes = index.bytes
        state.firstSequence = index.first
        state.lastSequence = index.last
        state.lastTimeNs = lastTimeNs
        state.subjects = index.table.count
        if index.messages > 0 {
            state.deleted = index.last - index.first + 1 - index.messages
            state.firstTimeNs = timeOfFirst()
        }
        state.lost = lost
        state.lostBytes = lostBytes
        return state
    }

    // MARK: Changing

    public func append(
        sequence: UInt64?, timeNs: Int64, subject: ByteView, headers: ByteView, payload: ByteView, marks: MessageMarks
    ) throws(StoreError) -> UInt64 {
        if let failure { throw failure }
        let sequence = sequence ?? index.last + 1
        guard sequence > index.last, sequence < FileLog.sequencesEnd - 1 else {
            throw .unusable("sequence \(sequence) does not follow \(index.last)")
        }
        let hasGap = sequence > lastMessage + 1
        let length = RecordHeader.size + (hasGap ? 8 : 0) + subject.count + headers.count + payload.count
        guard length <= options.recordBytesMax, subject.count <= Int(UInt16.max) else {
            throw .unusable("a message of \(length) bytes is more than a segment takes")
        }
        var header = RecordHeader(kind: .message, length: length, sequence: sequence)
        header.marks = marks
        header.hasGap = hasGap
        header.timeNs = max(timeNs, lastTimeNs)
        header.headersLength = headers.count
        header.subjectLength = subject.count
        try makeRoom(header.padded + (hasGap ? RecordHeader.size + 8 : 0), isPublish: true)
        guard let id = index.table.number(subject) else { throw .unusable("too many subjects") }
        // The gap is told twice: damage to either leaves the other.
        if hasGap { add(skipRecord(to: sequence - 1), lastMessage + 1) }

        let (record, segment, place) = addRecord(header.padded)
        var body = record + RecordHeader.size
        if hasGap {
            body.storeBytes(of: lastMessage.littleEndian, as: UInt64.self)
            body += 8
        }
        body.copyMemory(from: subject.base, byteCount: subject.count)
        body += subject.count
        body.copyMemory(from: headers.base, byteCount: headers.count)
        (body + headers.count).copyMemory(from: payload.base, byteCount: payload.count)
        header.seal(record, segment.sum, place)

        index.append(
            sequence, id, place: place, size: header.streamSize, marks: marks, owner: segment.ordinal, timeNs: header.timeNs)
        segment.live += 1
        segment.liveBytes += header.padded
        if segment.firstSequence > segment.lastSequence { segment.firstSequence = lastMessage + 1 }
        segment.lastSequence = sequence
        if index.messages == 1 { firstTime = (sequence, header.timeNs) }
        lastMessage = sequence
        lastTimeNs = header.timeNs
        return sequence
    }

    public func skip(to sequence: UInt64) throws(StoreError) {
        if let failure { throw failure }
        guard sequence > index.last else { return }
        guard sequence < FileLog.sequencesEnd - 1 else { throw .unusable("sequence \(sequence) is too high") }
        try makeRoomForRemovals()
        index.skip(to: sequence)
        newSkip = sequence
    }

    public func remove(_ sequence: UInt64, erases: Bool) throws(StoreError) -> Bool {
        if let failure { throw failure }
        guard index.live(sequence) != nil else { return false }
        try makeRoomForRemovals()
        guard let removed = take(sequence) else { return false }
        if index.first > sequence {
            newFloor = max(newFloor, index.first)
        } else {
            addRemoved(sequence...sequence)
        }
        if erases { erasures.append((sequence, removed.owner, removed.place, commitTicket)) }
        onRemoved?(sequence, removed.subject, removed.size)
        return true
    }

    public func removeAll(below sequence: UInt64) throws(StoreError) -> UInt64 {
        if let failure { throw failure }
        let end = min(sequence, FileLog.sequencesEnd - 1)
        guard end > index.first, end > 0 else { return 0 }
        try makeRoomForRemovals()
        var count: UInt64 = 0
        while index.messages > 0 && index.first < end {
            let first = index.first
            guard let removed = take(first) else { break }
            count += 1
            onRemoved?(first, removed.subject, removed.size)
        }
        index.skip(to: end - 1)
        newFloor = max(newFloor, index.first)
        return count
    }

    /// Removes a message from memory and from its segment's account.
    @discardableResult
    func take(_ sequence: UInt64) -> MessageIndex.Removed? {
        guard let removed = index.remove(sequence) else { return nil }
        if let segment = segment(removed.owner) {
            segment.live -= 1
            segment.liveBytes -= min(segment.liveBytes, removed.size + 16)
            if segment.live == 0 || isSparse(segment) { maintenance.hasDead = true }
        }
        return removed
    }

    private func addRemoved(_ range: ClosedRange<UInt64>) {
        if let last = removedRanges.last {
            if last.upperBound + 1 == range.lowerBound {
                removedRanges[removedRanges.count - 1] = last.lowerBound...range.upperBound
                return
            }
            if range.upperBound + 1 == last.lowerBound {
                removedRanges[removedRanges.count - 1] = range.lowerBound...last.upperBound
                return
            }
        }
        removedRanges.append(range)
    }

    /// The segment with an ordinal.
    @inline(__always)
    func segment(_ ordinal: UInt64) -> LogSegment? {
        if let lastSegment, lastSegment.ordinal == ordinal { return lastSegment }
        let found = segmentsByOrdinal[ordinal]
        lastSegment = found
        return found
    }

    // MARK: Reading

    public func contains(_ sequence: UInt64) -> Bool { index.live(sequence) != nil }
    public func subject(of sequence: UInt64) -> SubjectID? { index.live(sequence)?.entry.subject }
    public func size(of sequence: UInt64) -> Int? { index.size(of: sequence) }
    public func next(atOrAfter sequence: UInt64, _ filter: SubjectFilter, upTo limit: UInt64) -> UInt64? {
        index.next(atOrAfter: sequence, filter, upTo: limit)
    }
    public func last(upTo limit: UInt64, _ filter: SubjectFilter) -> UInt64? { index.last(upTo: limit, filter) }
    public func count(from sequence: UInt64, upTo limit: UInt64, _ filter: SubjectFilter) -> UInt64 {
        index.count(from: sequence, upTo: limit, filter)
    }
    public func first(atOrAfterNs timeNs: Int64) -> UInt64? {
        index.first(atOrAfterNs: timeNs) { owner, place in header(owner, place)?.timeNs }
    }
    public func marked(_ marks: MessageMarks, from sequence: UInt64) -> [UInt64] { index.marked(marks, from: sequence) }

    /// Bytes of memory beyond the messages': index, subjects, buffers.
    public var memory: Int {
        index.memory + index.table.memory + windows.memory + (spareBuffer?.capacity ?? 0)
            + (openBlocks + writingBlocks + (recentBlock.map { [$0] } ?? [])).reduce(0) { $0 + $1.buffer.capacity }
    }
}

@available(*, unavailable)
extension FileLog: Sendable {}

/// What opening a log has found, for the broker's own log.
public struct RecoveryReport: Sendable, Equatable {
    /// The log was closed in order.
    public var wasClean = true
    /// Bytes of an unfinished write that were cut off the end.
    public var cutBytes = 0
    /// What is damaged, in words, with file and offset.
    public var damages: [String] = []
    /// How many messages that has cost.
    public var lostMessages: UInt64 = 0
    public init() {}
}
