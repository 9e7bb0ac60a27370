// One segment file of a log, as the log knows it.

import Glibc
import Synchronization

/// Owned by its log's loop.
final class LogSegment {
    /// Its place in the log's order. Never used again.
    let ordinal: UInt64
    private(set) var id: UInt64
    /// Begins the checksums of its records.
    private(set) var sum: UInt32
    private(set) var path: String
    private(set) var capacity: Int
    /// Where the next block goes: what has been given out, written or not.
    var end: Int
    /// What is in the file.
    var written: Int
    /// The header may not be durable yet: the file is still called `.new`.
    var isNew = false
    var isCompacted = false
    /// Something in it could not be read: it is neither rewritten nor removed while it matters.
    var isDamaged = false
    /// Messages that are there, and what their records take, about.
    var live = 0
    var liveBytes = 0
    /// Sequences of its messages, there or not, and what was skipped before the first; empty if first > last.
    var firstSequence: UInt64 = 1
    var lastSequence: UInt64 = 0
    /// The highest sequence that its tombstones name; 0 if it has none.
    var tombstonesEnd: UInt64 = 0
    var lastUse: UInt64 = 0
    /// Given up for good: it is being taken apart.
    var isRetiring = false
    private(set) var file: (any DiskFile)?

    init(ordinal: UInt64, id: UInt64, path: String, capacity: Int, end: Int, file: (any DiskFile)?) {
        self.ordinal = ordinal
        self.id = id
        self.path = path
        self.capacity = capacity
        self.end = end
        written = end
        sum = RecordHeader.segmentSum(id)
        setFile(file)
    }

    deinit { setFile(nil) }

    /// A segment whose head is durable is called `.seg`, one that may be torn `.new`, a rewritten one that does not count
    /// yet `.tmp`.
    static func path(_ directory: String, _ ordinal: UInt64, _ suffix: String = ".seg") -> String {
        let digits = String(ordinal, radix: 16)
        return "\(directory)/\(String(repeating: "0", count: max(0, 16 - digits.count)))\(digits)\(suffix)"
    }

    /// The ordinal in a segment file's name.
    static func ordinal(_ name: String) -> UInt64? {
        guard name.hasSuffix(".seg") || name.hasSuffix(".new"), name.utf8.count == 20 else { return nil }
        return UInt64(name.dropLast(4), radix: 16)
    }

    /// What a new segment will be called when its head is durable.
    var durablePath: String { isNew ? "\(path.dropLast(4)).seg" : path }

    /// Its head and its name are durable.
    func settle() {
        path = durablePath
        isNew = false
    }

    /// Has been written anew, with what was left of it.
    func replace(id: UInt64, capacity: Int, end: Int, file: any DiskFile) {
        self.id = id
        sum = RecordHeader.segmentSum(id)
        self.capacity = capacity
        self.end = end
        written = end
        isCompacted = true
        tombstonesEnd = 0
        setFile(file)
    }

    /// Open segment files of all logs.
    static let openFiles = Atomic<Int>(0)

    func setFile(_ file: (any DiskFile)?) {
        let change = (file == nil ? 0 : 1) - (self.file == nil ? 0 : 1)
        if change != 0 { LogSegment.openFiles.add(change, ordering: .relaxed) }
        self.file = file
    }
}

@available(*, unavailable)
extension LogSegment: Sendable {}

extension DiskFile {
    /// Reads until there is no more; says how much that was.
    func readAll(_ target: UnsafeMutableRawPointer, _ count: Int, at offset: Int) throws(DiskError) -> Int {
        var done = 0
        while done < count {
            let read = try read(target + done, count - done, at: offset + done)
            if read <= 0 { break }
            done += min(read, count - done)
        }
        return done
    }

    /// Makes a file a segment: its space, then its head. Not synced.
    func format(_ header: SegmentHeader) throws(DiskError) {
        try allocate(header.capacity)
        let buffer = WriteBuffer(capacity: SegmentHeader.size)
        header.write(buffer.base)
        try writeAll(buffer.base, SegmentHeader.size, at: 0)
    }
}
