// Reading messages back: from the blocks still in memory, from what was read lately, or from the file.

import Glibc
import Synchronization
import Wire

/// A read that would have waited for the device, done by a thread that may.
private final class ReadTask: Sendable {
    let segmentID: UInt64
    let start: Int
    let size: Int
    /// What of it is asked for: the rest is read ahead.
    let needed: Int
    let buffer: WriteBuffer
    let file: any DiskFile
    /// Bytes that were read.
    let count = Atomic<Int>(0)

    init(segmentID: UInt64, start: Int, size: Int, needed: Int, buffer: WriteBuffer, file: any DiskFile) {
        self.segmentID = segmentID
        self.start = start
        self.size = size
        self.needed = needed
        self.buffer = buffer
        self.file = file
    }

    /// What cannot be read behind it must not cost a message.
    func read() throws(DiskError) -> Int {
        do throws(DiskError) {
            return try file.readAll(buffer.base, size, at: start)
        } catch {
            guard needed < size else { throw error }
            return try file.readAll(buffer.base, needed, at: start)
        }
    }
}

/// Reads that wait for a thread, and the one that has it.
struct ReadQueue {
    fileprivate var waiting: [ReadTask] = []
    fileprivate var running: ReadTask?
    /// A read that has failed, until somebody who needs it hears of it.
    fileprivate var failed: (segmentID: UInt64, places: Range<Int>, error: DiskError)?
    /// How often the device has refused a message.
    fileprivate var refusals: [UInt64: Int] = [:]
}

extension FileLog {
    private enum Found {
        case bytes(UnsafeRawPointer, isVerified: Bool)
        case missing
        case waiting
        case failed(StoreError)
    }

    public func load(_ sequence: UInt64) -> LoadOutcome {
        guard let (entry, owner) = index.live(sequence), let segment = segment(owner) else { return .absent }
        let place = entry.place
        // Longer than the record by the most that a gap and padding may take; a large one says how long it is.
        var count = RecordHeader.size + Int(entry.size) + 8
        if entry.size == IndexEntry.largeSize {
            switch bytes(segment, place, RecordHeader.size, waits: false) {
            case .bytes(let record, _):
                guard let header = RecordHeader(record, segment.sum, place) else { return lose(sequence, segment, entry) }
                count = header.padded
            case .missing: return lose(sequence, segment, entry)
            case .waiting: return .reading
            case .failed(let error): return refused(sequence, segment, entry, error)
            }
        }
        switch bytes(segment, place, count, waits: false) {
        case .bytes(let record, let isVerified):
            guard let header = RecordHeader(record, segment.sum, place), header.sequence == sequence, header.kind == .message,
                header.padded <= count, isVerified || header.isBodyGood(record)
            else { return lose(sequence, segment, entry) }
            return .message(header.message(record))
        case .missing: return lose(sequence, segment, entry)
        case .waiting: return .reading
        case .failed(let error): return refused(sequence, segment, entry, error)
        }
    }

    /// The device may think better of it, or not: then the message is lost, until a restart finds otherwise.
    private func refused(_ sequence: UInt64, _ segment: LogSegment, _ entry: IndexEntry, _ error: StoreError) -> LoadOutcome {
        guard case .disk(let cause) = error, cause.code == EIO else { return .failed(error) }
        let count = (reads.refusals[sequence] ?? 0) + 1
        if count < options.readAttemptsMax {
            reads.refusals[sequence] = count
            return .failed(error)
        }
        reads.refusals[sequence] = nil
        return lose(sequence, segment, entry, because: "cannot be read: \(cause)")
    }

    /// The header of a record, read at once even if that must wait for the device.
    func header(_ owner: UInt64, _ place: Int) -> RecordHeader? {
        guard let segment = segment(owner), case .bytes(let record, _) = bytes(segment, place, RecordHeader.size, waits: true)
        else { return nil }
        return RecordHeader(record, segment.sum, place)
    }

    func gapBase(_ segment: LogSegment, _ place: Int) -> UInt64 {
        guard case .bytes(let record, _) = bytes(segment, place, RecordHeader.size + 8, waits: true),
            let header = RecordHeader(record, segment.sum, place), header.hasGap
        else { return 0 }
        return header.gapBase(record)
    }

    func timeOfFirst() -> Int64 {
        if firstTime.sequence == index.first { return firstTime.timeNs }
        guard let (entry, owner) = index.live(index.first) else { return 0 }
        firstTime = (index.first, header(owner, entry.place)?.timeNs ?? 0)
        return firstTime.timeNs
    }

    /// `count` bytes at a place of a segment, or as many as there are in it.
    private func bytes(_ segment: LogSegment, _ place: Int, _ count: Int, waits: Bool) -> Found {
        if place >= segment.written {
            for block in openBlocks where block.segment === segment {
                if let bytes = block.bytes(at: place) { return .bytes(bytes, isVerified: true) }
            }
            for block in writingBlocks where block.segment === segment {
                if let bytes = block.bytes(at: place) { return .bytes(bytes, isVerified: true) }
            }
            return .missing
        }
        let count = min(count, segment.written - place)
        if let bytes = windows.bytes(segment.id, place, count) { return .bytes(bytes, isVerified: false) }
        if let recentBlock, recentBlock.segment === segment, let bytes = recentBlock.bytes(at: place) {
            return .bytes(bytes, isVerified: true)
        }
        let size = min(windows.readSize(segment.id, place, count), segment.written - place)
        do {
            let file = try open(segment)
            let buffer = windows.makeBuffer(segment.id, place, size)
            var read = 0
            if waits {
                read = try file.readAll(buffer.base, size, at: place)
            } else {
                while read < size {
                    guard let more = try file.readCached(buffer.base + read, size - read, at: place + read) else {
                        // Some of what was asked for may do.
                        if read >= count { break }
                        if let failed = reads.failed, failed.segmentID == segment.id, failed.places.contains(place) {
                            reads.failed = nil
                            return .failed(.disk(failed.error))
                        }
                        enqueue(
                            ReadTask(
                                segmentID: segment.id, start: place, size: size, needed: count, buffer: buffer, file: file))
                        return .waiting
                    }
                    if more <= 0 { break }
                    read += more
                }
            }
            windows.install(segment.id, place, read, buffer)
            guard read >= count else { return .missing }
            return .bytes(UnsafeRawPointer(buffer.base), isVerified: false)
        } catch {
            return .failed(.disk(error))
        }
    }

    /// A message that cannot be read any more: reported, and gone.
    private func lose(
        _ sequence: UInt64, _ segment: LogSegment, _ entry: IndexEntry, because reason: String = "is damaged"
    ) -> LoadOutcome {
        guard let removed = index.remove(sequence) else { return .absent }
        segment.isDamaged = true
        segment.live -= 1
        if lost.count < options.lostListedMax {
            let place = lost.firstIndex { $0 > sequence } ?? lost.count
            lost.insert(sequence, at: place)
        }
        lostBytes += UInt64(removed.size)
        onRemoved?(sequence, removed.subject, removed.size)
        onLost?(sequence, "\(segment.path): the record at \(entry.place) (sequence \(sequence)) \(reason)")
        return .absent
    }

    // MARK: Off the loop

    private func enqueue(_ task: ReadTask) {
        let isThere = (reads.waiting + (reads.running.map { [$0] } ?? [])).contains {
            $0.segmentID == task.segmentID && $0.start == task.start && $0.needed >= task.needed
        }
        if isThere { return }
        reads.waiting.append(task)
        if reads.running == nil { onNeedsRead?() }
    }

    var hasReadsToBegin: Bool { reads.running == nil && !reads.waiting.isEmpty }

    /// The next read that must wait for the device; nil if there is none or one is under way.
    public func beginRead() -> CommitJob? {
        guard hasReadsToBegin else { return nil }
        let task = reads.waiting.removeFirst()
        reads.running = task
        return CommitJob {
            do throws(DiskError) {
                task.count.store(try task.read(), ordering: .releasing)
                return CommitResult()
            } catch {
                return CommitResult(error: error)
            }
        }
    }

    /// Takes a read back and has those who waited ask again: an error shows when they do.
    public func finishRead(_ result: CommitResult) {
        guard let task = reads.running else { return }
        reads.running = nil
        let count = task.count.load(ordering: .acquiring)
        if let error = result.error { reads.failed = (task.segmentID, task.start..<task.start + task.needed, error) }
        if result.error == nil && count > 0 { windows.install(task.segmentID, task.start, count, task.buffer) }
        if !reads.waiting.isEmpty { onNeedsRead?() }
        onLoaded?()
    }
}
