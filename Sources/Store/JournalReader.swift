// The reading side of a consumer journal: what one of its two files holds, told apart into what is whole, what a crash has
// cut off, and what is damaged.

import Glibc

/// What a file holds.
struct JournalScan {
    struct Consumer {
        /// Its definition was found; without it the rest means nothing.
        var hasBase = false
        var records: [[UInt8]] = []
        /// The number that its next record must have.
        var nextNumber: UInt32 = 0
        var lost = 0
    }

    var fileID: UInt64 = 0
    var generation: UInt64 = 0
    var end = 0
    var size = 0
    var syncedEnd = 0
    var syncedSize = 0
    var previousSum: UInt32 = 0
    var nextID: ConsumerID = 1
    var consumers: [ConsumerID: Consumer] = [:]
    /// Its last block says that the journal was closed: nothing is cut off.
    var isClosed = false
    var isSuperseded = false
    /// The file was once a complete journal. If not, its predecessor counts.
    var isProven = false
    /// Of a block that this build cannot read.
    var foreignVersion: UInt16?
    /// What is damaged, each in a sentence.
    var findings: [String] = []
}

/// Reads a file from the start. A block is taken if all of it is whole and it names the one before it. At the first that is
/// not, a later block decides: if one says that this place was durable when it was written, the place is damaged, and what is
/// whole there is taken record by record; otherwise a crash has cut the file off here.
struct JournalReader {
    private let path: String
    private var scan = JournalScan()

    static func read(_ file: any DiskFile) throws(DiskError) -> JournalScan {
        let bytes = try file.read(file.size(), at: 0)
        var reader = JournalReader(path: file.path)
        bytes.withUnsafeBytes { reader.read($0) }
        return reader.scan
    }

    private init(path: String) { self.path = path }

    private mutating func read(_ bytes: UnsafeRawBufferPointer) {
        guard let base = bytes.baseAddress else { return }
        let limit = bytes.count
        scan.size = limit
        if let version = JournalBlockHead.version(base, at: 0, limit: limit), version != JournalBlockHead.version {
            scan.foreignVersion = version
        }
        var at = 0
        while true {
            if let block = wholeBlock(base, at, limit) {
                take(block.head, at: at)
                for record in block.records { apply(record, base) }
                at += JournalBlockHead.bytes + Int(block.head.length)
            } else if let (next, head) = provenBlock(base, after: at, limit) {
                scan.findings.append("\(path): damaged between offset \(at) and \(next)")
                salvage(base, from: at, to: next, head.key)
                scan.isProven = true
                scan.fileID = head.fileID
                scan.previousSum = head.previousSum
                at = next
            } else {
                break
            }
        }
        scan.end = at
        if scan.isProven && scan.syncedSize > limit {
            scan.findings.append("\(path): cut short, from \(scan.syncedSize) bytes to \(limit)")
        }
    }

    private struct Record {
        let head: JournalRecordHead
        /// Of the body, in the file.
        let offset: Int
    }

    /// The block at an offset if it is whole and comes after what has been read.
    private func wholeBlock(
        _ base: UnsafeRawPointer, _ at: Int, _ limit: Int
    ) -> (head: JournalBlockHead, records: [Record])? {
        guard let head = JournalBlockHead.read(base + at, at: at, limit: limit) else { return nil }
        if scan.isProven {
            guard head.fileID == scan.fileID, head.previousSum == scan.previousSum else { return nil }
        } else {
            guard at == 0, head.flags.contains(.first) else { return nil }
        }
        var records: [Record] = []
        let end = at + JournalBlockHead.bytes + Int(head.length)
        var next = at + JournalBlockHead.bytes
        while next < end {
            guard let record = JournalRecordHead.read(base + next, at: next, limit: end, head.key),
                record.stamp == head.stamp, isWhole(record, base + next)
            else { return nil }
            records.append(Record(head: record, offset: next + JournalRecordHead.bytes))
            next += record.size
        }
        return (head, records)
    }

    private func isWhole(_ record: JournalRecordHead, _ source: UnsafeRawPointer) -> Bool {
        Checksum.crc32c(source + JournalRecordHead.bytes, Int(record.length)) == record.bodySum
    }

    /// The next block of this file that says that what is at `offset` was durable.
    private func provenBlock(
        _ base: UnsafeRawPointer, after offset: Int, _ limit: Int
    ) -> (Int, JournalBlockHead)? {
        var at = offset + 8
        // Most of what is searched are zeros, which memchr passes over quickly.
        while limit - at >= JournalBlockHead.bytes,
            let found = memchr(base + at, Int32(truncatingIfNeeded: JournalBlockHead.magic & 0xFF), limit - at)
        {
            at = (base.distance(to: found) + 7) & ~7
            if base + at == UnsafeRawPointer(found), let head = JournalBlockHead.read(found, at: at, limit: limit),
                head.syncedEnd > UInt64(offset), !scan.isProven || head.fileID == scan.fileID
            {
                return (at, head)
            }
            if base + at == UnsafeRawPointer(found) { at += 8 }
        }
        return nil
    }

    private mutating func take(_ head: JournalBlockHead, at offset: Int) {
        scan.isProven = true
        scan.fileID = head.fileID
        scan.generation = head.generation
        scan.previousSum = head.sum
        scan.syncedEnd = max(scan.syncedEnd, Int(clamping: head.syncedEnd))
        scan.syncedSize = max(scan.syncedSize, Int(clamping: head.syncedSize))
        scan.nextID = max(scan.nextID, head.nextID)
        scan.isClosed = head.flags.contains(.closed)
        scan.isSuperseded = scan.isSuperseded || head.flags.contains(.superseded)
    }

    /// Takes what is whole between two offsets.
    private mutating func salvage(_ base: UnsafeRawPointer, from: Int, to: Int, _ key: JournalKey) {
        var at = from
        if JournalBlockHead.read(base + at, at: at, limit: to) != nil { at += JournalBlockHead.bytes }
        while at < to {
            guard let head = JournalRecordHead.read(base + at, at: at, limit: to, key) else {
                at += 8
                continue
            }
            let record = Record(head: head, offset: at + JournalRecordHead.bytes)
            if isWhole(head, base + at) {
                apply(record, base)
            } else if head.kind == .append {
                // Its consumer is known, at least. Of the other kinds there is a twin.
                scan.consumers[head.consumer, default: JournalScan.Consumer()].lost += 1
                scan.consumers[head.consumer]?.nextNumber = head.number &+ 1
            }
            at += head.size
        }
    }

    private mutating func apply(_ record: Record, _ base: UnsafeRawPointer) {
        let head = record.head
        scan.nextID = max(scan.nextID, head.consumer &+ 1)
        if head.kind == .drop {
            scan.consumers[head.consumer] = nil
            return
        }
        var consumer = scan.consumers.removeValue(forKey: head.consumer) ?? JournalScan.Consumer()
        let isKnown = consumer.hasBase || !consumer.records.isEmpty
        let body = Array(UnsafeRawBufferPointer(start: base + record.offset, count: Int(head.length)))
        switch head.kind {
        case .replace where head.isTwin && consumer.hasBase && head.number &+ 1 == consumer.nextNumber:
            break
        case .replace:
            consumer = JournalScan.Consumer(hasBase: true, records: [body], nextNumber: head.number &+ 1, lost: consumer.lost)
        case .append, .drop:
            let missing = head.number &- consumer.nextNumber
            if isKnown && missing > 0 && missing < 1 << 31 { consumer.lost += Int(missing) }
            consumer.records.append(body)
            consumer.nextNumber = head.number &+ 1
        }
        scan.consumers[head.consumer] = consumer
    }
}
