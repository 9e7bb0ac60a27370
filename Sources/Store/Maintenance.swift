// What a log has to do beside its commits: prepare the next segment, take back those that nobody needs, rewrite sparse ones.

import Locks

/// What a maintenance job has done, for the loop to take over.
final class MaintenanceOutcome: Sendable {
    struct Result {
        var segment: SegmentHeader?
        var ranges: [ClosedRange<UInt64>] = []
        var rewritten: RewrittenSegment?
    }
    let result = Locked(Result())
}

struct MaintenanceState {
    /// The next segment should be prepared.
    var isSpareDue = false
    /// A segment could be taken apart, were it not that a restart might take its absence for what a crash has done.
    var needsMarker = false
    /// There may be segments without a message, or nearly so.
    var hasDead = false
    /// Segment files that were prepared and cannot be used.
    var unused: [LogSegment] = []
    /// To use a file again has failed: they are removed instead.
    var cannotReuse = false
    var running: MaintenanceTask?
    /// Chosen, and waiting for a commit that makes true on disk what it relies on.
    var waiting: MaintenanceTask?
    var waitsFor: UInt64 = 0
    /// After a failure nothing is tried again before this commit.
    var holdUntil: UInt64 = 0
    /// The same for the next segment: on a full disk the others must go on.
    var prepareHoldUntil: UInt64 = 0

    /// Whether a segment is being written anew, or will be with what it held some time ago.
    func isRewriting(_ segment: LogSegment) -> Bool {
        for task in [running, waiting] {
            if case .rewrite(let other, _)? = task, other === segment { return true }
        }
        return false
    }
}

enum MaintenanceTask {
    case prepare(MaintenanceOutcome)
    /// Collects what the tombstones of a segment name, before it goes.
    case collect(LogSegment, MaintenanceOutcome)
    /// Takes a segment back: as the next one if it has the right size.
    case retire(LogSegment, MaintenanceOutcome?)
    case discard([LogSegment])
    case rewrite(LogSegment, MaintenanceOutcome)
}

extension FileLog {
    /// Whether `beginMaintenance` may have work; cheap to ask each turn.
    public var isMaintenanceDue: Bool {
        guard maintenance.running == nil, failure == nil else { return false }
        if maintenance.waiting != nil { return finishedCommit >= maintenance.waitsFor }
        if isPrepareDue { return true }
        return finishedCommit >= maintenance.holdUntil && (maintenance.hasDead || !maintenance.unused.isEmpty)
    }

    /// Work for a thread that may wait, beside commits: nil if there is none or one is under way. It can call for a commit:
    /// what it wants to remove may be named only by records that are not durable yet.
    public func beginMaintenance() -> CommitJob? {
        guard isMaintenanceDue else { return nil }
        if maintenance.waiting == nil {
            guard let task = nextTask() else { return nil }
            maintenance.waiting = task
            switch task {
            // What it relies on must be on disk.
            case .retire, .rewrite: maintenance.waitsFor = commitTicket
            case .prepare, .collect, .discard: maintenance.waitsFor = 0
            }
        }
        guard let task = maintenance.waiting, finishedCommit >= maintenance.waitsFor else { return nil }
        maintenance.waiting = nil
        do {
            let job = try job(task)
            maintenance.running = task
            return job
        } catch {
            maintenance.holdUntil = finishedCommit + 64
            switch task {
            case .retire(let segment, _), .collect(let segment, _): segment.isRetiring = false
            case .prepare, .discard, .rewrite: break
            }
            return nil
        }
    }

    /// Takes the result of maintenance back. A failure costs nothing but the space that it would have freed, and is tried
    /// again later.
    public func finishMaintenance(_ result: CommitResult) -> StoreError? {
        guard let task = maintenance.running else { return nil }
        maintenance.running = nil
        if let error = result.error {
            if case .prepare = task {
                maintenance.prepareHoldUntil = finishedCommit + 64
                return StoreError(error)
            }
            maintenance.holdUntil = finishedCommit + 64
            if case .retire(let segment, _) = task {
                segment.isRetiring = false
                maintenance.cannotReuse = true
            }
            if case .collect(let segment, _) = task { segment.isRetiring = false }
            if case .rewrite(let segment, _) = task { segment.isDamaged = segment.isDamaged || error.code == 0 }
            maintenance.hasDead = true
            return StoreError(error)
        }
        take(task)
        closeUnusedFiles()
        return nil
    }

    // MARK: What to do

    private func nextTask() -> MaintenanceTask? {
        if !maintenance.unused.isEmpty { return .discard(maintenance.unused) }
        // A segment that is taken back may serve as the next one: cheaper than a new file, and possible on a full disk.
        if maintenance.hasDead, let task = nextDead() { return task }
        if spare != nil { maintenance.isSpareDue = false }
        if isPrepareDue { return .prepare(MaintenanceOutcome()) }
        guard maintenance.hasDead, finishedCommit >= maintenance.holdUntil else { return nil }
        for segment in segments.prefix(lastWritten) where isSparse(segment) && isSettled(segment) {
            return .rewrite(segment, snapshot(of: segment))
        }
        maintenance.hasDead = false
        return nil
    }

    private var isPrepareDue: Bool {
        maintenance.isSpareDue && spare == nil && finishedCommit >= maintenance.prepareHoldUntil
    }

    /// The last segment with a block stays: it says where the log's sequences are.
    private var lastWritten: Int { segments.lastIndex { $0.written > SegmentHeader.size } ?? 0 }

    private func nextDead() -> MaintenanceTask? {
        guard finishedCommit >= maintenance.holdUntil else { return nil }
        for segment in segments.prefix(lastWritten) where segment.live == 0 && !segment.isRetiring {
            // What is damaged stays, until it is below the first message.
            if segment.isDamaged && segment.lastSequence >= index.first { continue }
            // What is to be overwritten comes first: it must not be found in another segment's unused space.
            if erasures.contains(where: { $0.owner == segment.ordinal }) { continue }
            guard isSettled(segment) else { continue }
            // What has to be said on disk first must fit.
            guard (try? makeRoomForRemovals(margin: 512)) != nil else {
                maintenance.holdUntil = finishedCommit + 64
                return nil
            }
            segment.isRetiring = true
            if segment.tombstonesEnd >= index.first { return .collect(segment, MaintenanceOutcome()) }
            return retire(segment)
        }
        return nil
    }

    /// Whether the disk says that all of a segment, and the beginning of the next one, are synced. Before that a restart
    /// follows the blocks from one segment to the next, and would cut the log where it misses one.
    private func isSettled(_ segment: LogSegment) -> Bool {
        let place = segments.firstIndex { $0 === segment } ?? segments.count
        guard place + 1 < segments.count else { return false }
        if durableMarker > LogPosition(ordinal: segments[place + 1].ordinal, offset: SegmentHeader.size) { return true }
        // The next blocks say so.
        maintenance.needsMarker = true
        newFloor = max(newFloor, index.first)
        return false
    }

    /// Whether it is worth writing what is left of a segment anew.
    func isSparse(_ segment: LogSegment) -> Bool {
        guard !segment.isDamaged, !segment.isRetiring, segment.live > 0, segment.written >= options.compactBytesMin,
            segment.liveBytes * 100 < segment.written * options.compactBelowPercent, segment !== active
        else { return false }
        // A stream that loses its oldest messages one after the other will soon have done with its first segment.
        if index.first >= segment.firstSequence && index.first <= segment.lastSequence {
            return UInt64(segment.live) * 2 < segment.lastSequence - index.first + 1
        }
        return true
    }

    /// Says on disk why the segment's sequences are no longer there, and then takes it back.
    private func retire(_ segment: LogSegment) -> MaintenanceTask {
        if segment.firstSequence <= segment.lastSequence {
            if segment.lastSequence < index.first {
                if writtenFloor <= segment.lastSequence { newFloor = max(newFloor, index.first) }
            } else {
                removedRanges.append(segment.firstSequence...segment.lastSequence)
            }
        }
        let isReusable =
            spare == nil && !maintenance.cannotReuse && segment.capacity == options.segmentBytes(after: active?.capacity ?? 0)
        return .retire(segment, isReusable ? MaintenanceOutcome() : nil)
    }

    /// The live messages of a segment, by place: what is removed from here on is still copied.
    private func snapshot(of segment: LogSegment) -> MaintenanceOutcome {
        let outcome = MaintenanceOutcome()
        var kept = RewrittenSegment()
        for run in index.runs where run.owner == segment.ordinal {
            for slot in 0..<run.count where run[slot].isLive {
                kept.moves.append(RewrittenSegment.Move(sequence: run.sequence(slot), place: run[slot].place))
            }
        }
        outcome.result.withLock { [kept] in $0.rewritten = kept }
        return outcome
    }

    // MARK: Doing it, elsewhere

    private func job(_ task: MaintenanceTask) throws(DiskError) -> CommitJob {
        let disk = disk, directory = directory
        // What has been written but not synced may be what says that a segment is not needed.
        var files: [any DiskFile] = []
        for segment in unsynced { files.append(try open(segment)) }
        let pending = files
        switch task {
        case .prepare(let outcome):
            let header = makeSegmentHeader(0), capacities = capacities(atLeast: 0)
            return FileLog.job { () throws(DiskError) in
                var made = header
                _ = try FileLog.makeSegment(&made, capacities, directory, disk)
                outcome.result.withLock { [made] in $0.segment = made }
            }
        case .collect(let segment, let outcome):
            let file = try open(segment), id = segment.id, end = segment.written
            return FileLog.job { () throws(DiskError) in
                let ranges = try FileLog.tombstones(file, id, end)
                outcome.result.withLock { $0.ranges = ranges }
            }
        case .retire(let segment, let outcome):
            let path = segment.path
            guard let outcome else {
                return FileLog.job { () throws(DiskError) in
                    for file in pending { try file.sync() }
                    try disk.remove(path)
                    try disk.syncDirectory(directory)
                }
            }
            let header = makeSegmentHeader(segment.capacity)
            let file = try open(segment)
            return FileLog.job { () throws(DiskError) in
                for file in pending { try file.sync() }
                try FileLog.reuse(file, path, header, directory, disk)
                outcome.result.withLock { $0.segment = header }
            }
        case .discard(let segments):
            let paths = segments.map(\.path)
            return FileLog.job { () throws(DiskError) in
                for path in paths { try disk.remove(path) }
                try disk.syncDirectory(directory)
            }
        case .rewrite(let segment, let outcome):
            let kept = outcome.result.withLock { $0.rewritten } ?? RewrittenSegment()
            var rewriter = SegmentRewriter(
                file: try open(segment), id: segment.id, end: segment.written, ordinal: segment.ordinal, floor: index.first,
                path: segment.path, temporary: LogSegment.path(directory, segment.ordinal, ".tmp"), moves: kept.moves)
            rewriter.lastSequence = segment.lastSequence
            rewriter.newID = makeID()
            let ready = rewriter
            return FileLog.job { () throws(DiskError) in
                for file in pending { try file.sync() }
                let written = try ready.run(disk, directory)
                outcome.result.withLock { $0.rewritten = written }
            }
        }
    }

    private static func job(_ body: @escaping @Sendable () throws(DiskError) -> Void) -> CommitJob {
        CommitJob {
            do throws(DiskError) {
                try body()
                return CommitResult()
            } catch {
                return CommitResult(error: error)
            }
        }
    }

    /// Gives a segment's file to the segment that comes next. With its new head nothing in it validates any more.
    private static func reuse(
        _ file: any DiskFile, _ path: String, _ header: SegmentHeader, _ directory: String, _ disk: any Disk
    ) throws(DiskError) {
        let head = WriteBuffer(capacity: SegmentHeader.size)
        header.write(head.base)
        try file.writeAll(head.base, SegmentHeader.size, at: 0)
        try file.sync()
        let target = LogSegment.path(directory, header.ordinal)
        try disk.rename(path, to: target)
        try disk.syncDirectory(directory)
    }

    /// What the tombstones in a segment name.
    private static func tombstones(_ file: any DiskFile, _ id: UInt64, _ end: Int) throws(DiskError) -> [ClosedRange<UInt64>] {
        var ranges: [ClosedRange<UInt64>] = []
        var scanner = SegmentScanner(
            file, segmentID: id, limit: end, buffer: WriteBuffer(capacity: SegmentScanner.pieceBytes))
        while let item = try scanner.next() {
            if case .record(let header, let record, _, true) = item, header.kind == .tombstones {
                ranges += TombstoneBody.ranges(header, record) ?? []
            }
        }
        return merged(ranges)
    }

    // MARK: Taking it over

    private func take(_ task: MaintenanceTask) {
        switch task {
        case .prepare(let outcome): takeSpare(outcome)
        case .collect(let segment, let outcome):
            // They go on at the tail, but for what is below the first message.
            let ranges = outcome.result.withLock { $0.ranges }.filter { $0.upperBound >= index.first }
            guard (try? makeRoomForRemovals(margin: 512 + ranges.count * 17)) != nil else {
                segment.isRetiring = false
                maintenance.holdUntil = finishedCommit + 64
                return
            }
            removedRanges += ranges
            maintenance.waiting = retire(segment)
            maintenance.waitsFor = commitTicket
        case .retire(let segment, let outcome):
            forget(segment)
            if let outcome { takeSpare(outcome) }
        case .discard(let gone): maintenance.unused.removeAll { segment in gone.contains { $0 === segment } }
        case .rewrite(let segment, let outcome):
            guard let written = outcome.result.withLock({ $0.rewritten }), let file = written.file else { return }
            segment.replace(id: written.id, capacity: written.end, end: written.end, file: file)
            segment.tombstonesEnd = written.tombstonesEnd
            segment.liveBytes = written.end / max(written.moves.count, 1) * segment.live
            for move in written.moves { index.move(move.sequence, to: move.newPlace) }
            for place in erasures.indices where erasures[place].owner == segment.ordinal {
                let sequence = erasures[place].sequence
                erasures[place].place = written.moves.first { $0.sequence == sequence }?.newPlace ?? 0
            }
            index.thin(owner: segment.ordinal)
            forgetReads()
        }
    }

    private func takeSpare(_ outcome: MaintenanceOutcome) {
        guard let header = outcome.result.withLock({ $0.segment }) else { return }
        let segment = LogSegment(
            ordinal: header.ordinal, id: header.id, path: LogSegment.path(directory, header.ordinal),
            capacity: header.capacity, end: SegmentHeader.size, file: nil)
        maintenance.isSpareDue = false
        // Meanwhile the loop may have needed one at once, and gone on with it.
        if spare == nil && (active?.ordinal ?? 0) < segment.ordinal {
            spare = segment
        } else {
            maintenance.unused.append(segment)
        }
    }

    private func forget(_ segment: LogSegment) {
        index.drop(owner: segment.ordinal)
        segments.removeAll { $0 === segment }
        segmentsByOrdinal[segment.ordinal] = nil
        unsynced.removeAll { $0 === segment }
        if lastSegment === segment { lastSegment = nil }
        if recentBlock?.segment === segment { recentBlock = nil }
        segment.setFile(nil)
    }
}
