// Commits of a log: what has changed since the last one goes to disk in one piece per segment, and is synced.

/// What a commit under way will have made durable.
struct CommitInFlight {
    var lastSequence: UInt64 = 0
    var floor: UInt64 = 0
    var position = LogPosition(ordinal: 0, offset: 0)
    var syncs = false
    /// What its blocks, and those before them, say to be synced.
    var marker = LogPosition(ordinal: 0, offset: 0)
    /// New segments that it makes durable.
    var newSegments: [LogSegment] = []
    var erased = 0
}

/// A stretch of memory on its way to a file.
private struct WriteStep: Sendable {
    let file: any DiskFile
    let buffer: WriteBuffer
    let count: Int
    let offset: Int
}

extension FileLog {
    /// Whether a commit is under way.
    var isCommitting: Bool { startedCommit > finishedCommit }

    private var hasChanges: Bool {
        !openBlocks.isEmpty || !removedRanges.isEmpty || newFloor > 0 || newSkip > 0 || isCloseDue || isErasureDue
    }

    private var isErasureDue: Bool {
        // Those before it are being written by the commit under way.
        let begun = committing.erased
        guard begun < erasures.count, erasures[begun].ticket <= finishedCommit else { return false }
        let next = erasures[begun]
        return segment(next.owner).map { !maintenance.isRewriting($0) } ?? true
    }

    public var commitTicket: UInt64 { hasChanges ? startedCommit + 1 : startedCommit }

    /// A commit could be begun, and would have something to write.
    public var wantsCommit: Bool { !isCommitting && failure == nil && hasChanges }

    /// Whether something has been written that no sync has covered yet.
    public var needsSync: Bool { !unsynced.isEmpty }

    public func beginCommit(syncs: Bool) -> CommitJob? {
        guard !isCommitting, failure == nil, hasChanges || (syncs && needsSync) else { return nil }
        // What is overwritten or taken back relies on what the disk holds, however seldom the log is synced.
        let syncs = syncs || isErasureDue || maintenance.needsMarker
        do {
            try writeRemovals()
            if isCloseDue { try writeClose() }
        } catch {
            // Room had been made for them; without it nothing that was said so far would be true.
            failure = error
            return nil
        }
        var commit = CommitInFlight()
        var steps: [WriteStep] = []
        var erasing: [WriteStep] = []
        var touched: [LogSegment] = unsynced
        do {
            for block in openBlocks {
                sealBlock(block)
                steps.append(
                    WriteStep(file: try open(block.segment), buffer: block.buffer, count: block.count, offset: block.offset))
                if !touched.contains(where: { $0 === block.segment }) { touched.append(block.segment) }
            }
            if syncs { commit.erased = try addErasures(&erasing) }
            if !openBlocks.isEmpty { writtenMarker = max(writtenMarker, synced) }
            commit.marker = writtenMarker
            var files: [any DiskFile] = []
            var names: [(from: String, to: String)] = []
            if syncs {
                for segment in touched {
                    files.append(try open(segment))
                    if segment.isNew { commit.newSegments.append(segment) }
                }
                // In the log's order, so that a crash in between leaves no hole in it.
                commit.newSegments.sort { $0.ordinal < $1.ordinal }
                names = commit.newSegments.map { (from: $0.path, to: $0.durablePath) }
            }
            commit.syncs = syncs
            commit.lastSequence = index.last
            commit.floor = writtenFloor
            commit.position = LogPosition(ordinal: active?.ordinal ?? 0, offset: active?.end ?? 0)
            committing = commit
            unsynced = touched
            writingBlocks = openBlocks
            openBlocks = []
            startedCommit += 1
            if let active, active.end * 2 > active.capacity && spare == nil { maintenance.isSpareDue = true }
            return FileLog.job(steps, files, names, erasing, disk, directory)
        } catch {
            failure = .failed(error)
            return nil
        }
    }

    private static func job(
        _ steps: [WriteStep], _ files: [any DiskFile], _ names: [(from: String, to: String)], _ erasing: [WriteStep],
        _ disk: any Disk, _ directory: String
    ) -> CommitJob {
        // A new name is more than a sync of a small write.
        let bytes = names.isEmpty && erasing.isEmpty ? steps.reduce(0) { $0 + $1.count } : Int.max
        return CommitJob(syncs: !files.isEmpty, bytes: bytes) {
            do throws(DiskError) {
                for step in steps { try step.file.writeAll(step.buffer.base, step.count, at: step.offset) }
                for file in files { try file.sync() }
                for name in names { try disk.rename(name.from, to: name.to) }
                if !names.isEmpty { try disk.syncDirectory(directory) }
                // Only now: a message is not spoilt before its removal is durable.
                for step in erasing { try step.file.writeAll(step.buffer.base, step.count, at: step.offset) }
                for step in erasing { try step.file.sync() }
                return CommitResult()
            } catch {
                return CommitResult(error: error)
            }
        }
    }

    private func sealBlock(_ block: OpenBlock) {
        var header = BlockHeader(segmentID: block.segment.id, offset: block.offset)
        header.length = block.count - BlockHeader.size
        header.previousSegmentID = previousBlock.id
        header.previousEnd = previousBlock.end
        header.records = block.records
        header.nextSequence = block.nextSequence
        header.lastMessage = block.lastMessage
        header.floor = durableFloor
        header.synced = synced
        header.write(block.buffer.base)
        previousBlock = (block.segment.id, block.end)
    }

    private func writeClose() throws(StoreError) {
        isCloseDue = false
        var header = RecordHeader(kind: .close, length: RecordHeader.size, sequence: lastMessage)
        header.timeNs = lastTimeNs
        try makeRoom(header.padded, isPublish: false)
        add(header)
        isClosed = true
    }

    public func finishCommit(_ result: CommitResult) -> StoreError? {
        guard isCommitting else { return failure }
        if let error = result.error {
            failure = .failed(error)
            return failure
        }
        finishedCommit = startedCommit
        durableSequence = committing.lastSequence
        durableFloor = max(durableFloor, committing.floor)
        for block in writingBlocks { block.segment.written = max(block.segment.written, block.end) }
        if committing.syncs {
            synced = committing.position
            take(marker: committing.marker)
            unsynced.removeAll()
            for segment in committing.newSegments { segment.settle() }
        }
        let erased = committing.erased
        committing.erased = 0
        if erased > 0 {
            erasures.removeFirst(erased)
            maintenance.hasDead = true
            // They may hold what has been overwritten.
            forgetReads()
            recentBlock = nil
        }
        committing.newSegments.removeAll()
        if let last = writingBlocks.last {
            if let recent = recentBlock, recent.buffer.capacity <= options.bufferKeptMax { spareBuffer = recent.buffer }
            recentBlock = erased > 0 ? nil : last
        }
        writingBlocks.removeAll()
        closeUnusedFiles()
        return nil
    }

    /// The disk says that everything before a place is synced.
    private func take(marker: LogPosition) {
        let isNext = marker.ordinal > durableMarker.ordinal || durableMarker.offset <= SegmentHeader.size
        durableMarker = max(durableMarker, marker)
        guard isNext || maintenance.needsMarker else { return }
        maintenance.needsMarker = false
        maintenance.hasDead = true
    }

    // MARK: Closing

    /// The work that ends the log's life in order; nil while a commit is under way (ask again when it has finished), or when
    /// there is nothing left to do.
    public func beginClose() -> CommitJob? {
        guard !isCommitting, failure == nil else { return nil }
        if isClosed && !hasChanges { return nil }
        // The record that ends the log need not be synced: without it, the next start looks closer, and finds the same.
        let syncs = hasChanges || needsSync
        isCloseDue = true
        return beginCommit(syncs: syncs)
    }

    /// Gives back buffers and descriptors that only speed things up.
    public func releaseMemory() {
        recentBlock = nil
        spareBuffer = nil
        forgetReads()
        guard !isCommitting else { return }
        for segment in segments where !segment.isNew { segment.setFile(nil) }
    }

    // MARK: Overwriting what must not be found again

    /// Adds the writes that overwrite messages whose removal is durable; says how many. Only bodies: a head that a crash
    /// leaves half written would be damage.
    private func addErasures(_ steps: inout [WriteStep]) throws(DiskError) -> Int {
        var done = 0
        for erasure in erasures {
            guard erasure.ticket <= finishedCommit else { break }
            guard let segment = segment(erasure.owner) else {
                done += 1
                continue
            }
            // It is being written anew: there, the message may have another place.
            if maintenance.isRewriting(segment) { break }
            done += 1
            let place = erasure.place
            guard place > 0, let header = header(segment.ordinal, place), header.sequence == erasure.sequence,
                header.kind == .message
            else { continue }
            let kept = RecordHeader.size + (header.hasGap ? 8 : 0), count = header.length - kept
            let buffer = WriteBuffer(capacity: max(count, 1))
            buffer.base.initializeMemory(as: UInt8.self, repeating: 0, count: count)
            steps.append(WriteStep(file: try open(segment), buffer: buffer, count: count, offset: place + kept))
        }
        return done
    }

    // MARK: Descriptors

    /// The segment's file, opened if need be.
    func open(_ segment: LogSegment) throws(DiskError) -> any DiskFile {
        useClock += 1
        segment.lastUse = useClock
        if let file = segment.file { return file }
        let file = try disk.open(segment.path, create: false)
        segment.setFile(file)
        return file
    }

    /// Closes segments that have not been used for longest.
    func closeUnusedFiles() {
        let isCrowded = LogSegment.openFiles.load(ordering: .relaxed) > options.openFilesTotalMax
        let most = isCrowded ? 1 : options.openFilesMax
        guard segments.count > most else { return }
        var open = segments.dropLast().filter { $0.file != nil }
        guard open.count > most else { return }
        open.sort { $0.lastUse < $1.lastUse }
        for segment in open.dropLast(most) { segment.setFile(nil) }
    }
}
