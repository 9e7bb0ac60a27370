// Opening a log: believe what can be believed, cut an unfinished end, make durable what is kept, and only then serve.

extension FileLog {
    /// Opens the log in a directory, or begins one. Blocks: for a thread that may wait.
    /// - Parameter syncs: false if the caller makes the whole file system durable before anything of it is served, which is
    ///   quicker with many logs.
    /// - Parameter namesSegment: false leaves it to the first commit of a new log to make its first segment durable.
    public static func open(
        directory: String, disk: any Disk, options: LogOptions = LogOptions(), syncs: Bool = true, namesSegment: Bool = true
    ) throws(StoreError) -> sending FileLog {
        do throws(DiskError) {
            try disk.makeDirectory(directory)
            // A rewritten segment that never took the place of the old one.
            for name in try disk.list(directory) where name.hasSuffix(".tmp") { try disk.remove("\(directory)/\(name)") }
        } catch {
            throw .disk(error)
        }
        var limit: LogPosition?
        var cuts: [String] = []
        while true {
            let log = FileLog(directory: directory, disk: disk, options: options)
            var recovery = Recovery(log, limit: limit)
            let names: [(ordinal: UInt64, name: String)]
            do throws(DiskError) { names = try log.segmentNames() } catch { throw .disk(error) }
            try recovery.run(names)
            if let cut = recovery.cut, limit.map({ cut < $0 }) ?? true {
                limit = cut
                cuts = recovery.damages.filter { $0.place < cut || $0.place.ordinal == 0 }.map(\.text)
                continue
            }
            do throws(DiskError) {
                if let limit { try log.cutTail(recovery, limit, names) }
                try log.finish(recovery, syncs: syncs, namesSegment: namesSegment)
            } catch {
                throw StoreError(error)
            }
            // Damage before the cut shows in this pass again.
            for text in cuts where !log.recoveryReport.damages.contains(text) { log.recoveryReport.damages.append(text) }
            return log
        }
    }

    private func segmentNames() throws(DiskError) -> [(ordinal: UInt64, name: String)] {
        var names: [(ordinal: UInt64, name: String)] = []
        for name in try disk.list(directory) {
            if let ordinal = LogSegment.ordinal(name), ordinal < UInt64.max { names.append((ordinal, name)) }
        }
        return names.sorted { $0.ordinal < $1.ordinal }
    }

    /// Removes what lies behind the limit, so that it is never found again.
    private func cutTail(
        _ recovery: Recovery, _ limit: LogPosition, _ names: [(ordinal: UInt64, name: String)]
    ) throws(DiskError) {
        for (ordinal, name) in names where ordinal > limit.ordinal { try disk.remove("\(directory)/\(name)") }
        guard let segment = (recovery.segments + recovery.empty).first(where: { $0.ordinal == limit.ordinal }) else { return }
        let file = try open(segment)
        let size = try file.size()
        let zeros = WriteBuffer(capacity: SegmentScanner.pieceBytes)
        let piece = UnsafeMutableRawBufferPointer(start: zeros.base, count: SegmentScanner.pieceBytes)
        var at = limit.offset
        while at < size {
            // Space that is zero is left alone: on most of the rest nothing has ever been written.
            let count = min(SegmentScanner.pieceBytes, size - at)
            let read = try file.readAll(zeros.base, count, at: at)
            if let last = piece[..<read].lastIndex(where: { $0 != 0 }) {
                recoveryReport.cutBytes += last + 1
                piece.initializeMemory(as: UInt8.self, repeating: 0)
                try file.writeAll(zeros.base, last + 1, at: at)
            }
            at += count
        }
        // The block that is cut in two ends here now.
        if var (owner, header) = recovery.lastBlock, owner === segment, header.end > limit.offset {
            header.length = limit.offset - header.offset - BlockHeader.size
            if header.length >= 0 {
                header.write(zeros.base)
                try file.writeAll(zeros.base, BlockHeader.size, at: header.offset)
            }
            owner = segment
        }
        try file.sync()
        try disk.syncDirectory(directory)
    }

    /// Takes over what a pass has found, and makes it durable.
    private func finish(_ recovery: Recovery, syncs: Bool, namesSegment: Bool) throws(DiskError) {
        for segment in recovery.brokenHeads {
            let head = WriteBuffer(capacity: SegmentHeader.size)
            SegmentHeader(id: segment.id, ordinal: segment.ordinal, capacity: segment.capacity).write(head.base)
            let file = try open(segment)
            try file.writeAll(head.base, SegmentHeader.size, at: 0)
            try file.sync()
        }
        segments = recovery.segments
        for segment in segments { segmentsByOrdinal[segment.ordinal] = segment }
        let removed = FileLog.merged(recovery.removed)
        for range in removed {
            var sequence = range.lowerBound
            while let next = index.nextLive(from: sequence), next <= range.upperBound {
                take(next)
                sequence = next + 1
            }
        }
        if recovery.floor > 0 {
            while index.messages > 0 && index.first < recovery.floor { take(index.first) }
            index.skip(to: recovery.floor - 1)
        }
        try settle(recovery, syncs: syncs, namesSegment: namesSegment)
        for segment in segments { segmentsByOrdinal[segment.ordinal] = segment }
        index.seal()
        maintenance.hasDead = true
        writtenFloor = recovery.floor
        durableFloor = recovery.floor
        durableSequence = index.last
        isClosed = recovery.isClosed
        if let active, !active.isNew { synced = LogPosition(ordinal: active.ordinal, offset: active.end) }
        writtenMarker = recovery.synced
        durableMarker = recovery.synced
        if let (segment, _) = recovery.lastBlock { previousBlock = (segment.id, segment.end) }
        report(recovery, removed)
    }

    /// Sees to it that there is a segment to write, and that all of them are durable.
    private func settle(_ recovery: Recovery, syncs: Bool, namesSegment: Bool) throws(DiskError) {
        if !recovery.isClosed {
            for segment in segments where segment.isNew || syncs && segment.ordinal >= recovery.synced.ordinal {
                try open(segment).sync()
            }
            for segment in segments where segment.isNew {
                try disk.rename(segment.path, to: segment.durablePath)
                segment.settle()
            }
            // In a new log there is nothing yet that could be lost.
            if syncs && !(segments.isEmpty && recovery.empty.isEmpty) { try disk.syncDirectory(directory) }
        }
        // Of what is empty one behind the last is the next one; the others are of no use.
        let last = segments.last?.ordinal ?? 0
        for segment in recovery.empty {
            if spare == nil && segment.ordinal > last && !segment.isNew && segment.capacity >= options.firstSegmentBytes / 2 {
                spare = segment
                segment.setFile(nil)
            } else if segment.ordinal > last || recovery.missing.isEmpty {
                segment.setFile(nil)
                try disk.remove(segment.path)
            }
        }
        if let active, !active.isCompacted {
            let file = try open(active)
            if try file.size() < active.capacity { try file.allocate(active.capacity) }
            return
        }
        if let next = spare {
            spare = nil
            segments.append(next)
            return
        }
        var header = makeSegmentHeader(0)
        let path = LogSegment.path(directory, header.ordinal, ".new")
        let made =
            try namesSegment
            ? FileLog.makeSegment(&header, capacities(atLeast: 0), directory, disk)
            : FileLog.format(path, &header, capacities(atLeast: 0), disk)
        let segment = LogSegment(
            ordinal: header.ordinal, id: header.id, path: made.path, capacity: header.capacity, end: SegmentHeader.size,
            file: made)
        segment.isNew = !namesSegment
        segments.append(segment)
    }

    /// Makes a segment file of the first of some sizes that there is room for, durably. Blocks.
    static func makeSegment(
        _ header: inout SegmentHeader, _ capacities: [Int], _ directory: String, _ disk: any Disk
    ) throws(DiskError) -> any DiskFile {
        let path = LogSegment.path(directory, header.ordinal, ".new")
        let file = try format(path, &header, capacities, disk)
        do throws(DiskError) {
            try file.sync()
        } catch {
            try? disk.remove(path)
            throw error
        }
        try disk.rename(path, to: LogSegment.path(directory, header.ordinal))
        try disk.syncDirectory(directory)
        return try disk.open(LogSegment.path(directory, header.ordinal), create: false)
    }

    private func report(_ recovery: Recovery, _ removed: [ClosedRange<UInt64>]) {
        recoveryReport.wasClean = recovery.isClosed
        recoveryReport.damages = recovery.damages.map(\.text)
        lostBytes = recovery.lostBytes
        // What was removed, or lies below the floor, is not missed.
        var gone = removed[...]
        for range in FileLog.merged(recovery.missing) {
            var from = max(range.lowerBound, recovery.floor, 1)
            while from <= range.upperBound {
                while let first = gone.first, first.upperBound < from { gone.removeFirst() }
                let next = gone.first.map { max($0.lowerBound, from) } ?? UInt64.max
                if next > from { lose(from...min(range.upperBound, next - 1)) }
                guard let first = gone.first, first.lowerBound <= range.upperBound else { break }
                from = first.upperBound + 1
            }
        }
    }

    private func lose(_ range: ClosedRange<UInt64>) {
        recoveryReport.lostMessages += range.upperBound - range.lowerBound + 1
        for sequence in range {
            if lost.count >= options.lostListedMax { return }
            lost.append(sequence)
        }
    }

    /// Removes a log's files; the directory stays if there is something else in it. Blocks.
    public static func delete(directory: String, disk: any Disk) throws(DiskError) {
        for name in try disk.list(directory) where LogSegment.ordinal(name) != nil || name.hasSuffix(".tmp") {
            try disk.remove("\(directory)/\(name)")
        }
        try disk.syncDirectory(directory)
    }
}
