// The consumer journal on disk: two files that take turns, one of them active. docs/storage-journal.md describes them.

import Locks
import Wire

/// Appends go to the active file; when most of that is history, one commit writes the state of all consumers into the other
/// file instead, and that becomes the active one. Both are allocated ahead, so that all this works on a full disk. They are made
/// with the first record: a stream without durable consumers needs none.
public final class FileConsumerJournal: ConsumerJournal {
    static let names = ["consumers-a.journal", "consumers-b.journal"]
    /// History below this is not worth a rewrite.
    static let historyBytesMin = 64 << 10
    /// History beyond this many times what is live is.
    static let historyFactor = 4

    /// What opening has found damaged, in sentences for the log. Records that it cost are counted in `RecoveredConsumer`.
    public let findings: [String]
    public var snapshot: ((ConsumerID) -> [UInt8]?)?
    public private(set) var finishedCommit: UInt64 = 0

    /// nil before the first commit of a new journal.
    private var writer: JournalWriter?
    private let place: Place
    private var nextID: ConsumerID
    /// For each consumer that is there, the number of its next record.
    private var numbers: [ConsumerID: UInt32]
    /// The consumer that `lastNumber` belongs to; saves the look-up while one consumer is busy.
    private var lastID: ConsumerID = 0
    private var lastNumber: UInt32 = 0

    private var pending = JournalBuffer()
    private var underWay: Commit?
    private var idle = JournalBuffer()

    /// Where the active file would stand had it just been rewritten.
    private var liveEnd: Int
    /// What is there is damaged, or could not be continued: the next commit rewrites it.
    var mustRewrite: Bool
    /// A rewrite found no space: not again before the file has grown to here.
    private var rewriteNotBefore = 0
    /// The last commit found no space: it is tried again with the next record.
    private var isBlocked = false
    private var broken: DiskError?
    public var failure: StoreError? { broken.map { .failed($0) } }

    /// What a commit's job hands back.
    private final class Commit: Sendable {
        let writer: Locked<JournalWriter?>
        let isRewrite: Bool
        init(isRewrite: Bool) {
            writer = Locked(nil)
            self.isRewrite = isRewrite
        }
    }

    /// Where the files are, or will be.
    private struct Place: Sendable {
        let directory: String
        let disk: any Disk
        var paths: [String] { names.map { directory + "/" + $0 } }
    }

    private init(_ writer: JournalWriter?, _ place: Place, _ found: JournalScan = JournalScan(), findings: [String] = []) {
        self.writer = writer
        self.place = place
        self.findings = findings
        nextID = found.nextID
        let whole = found.consumers.filter { $0.value.hasBase }
        numbers = whole.mapValues(\.nextNumber)
        liveEnd = whole.values.reduce(JournalBlockHead.bytes) { sum, consumer in
            sum + 2 * JournalRecordHead.size(bodyBytes: consumer.records.first?.count ?? 0)
        }
        mustRewrite = !findings.isEmpty
    }

    // MARK: Changing

    public func makeID() -> ConsumerID {
        defer { nextID += 1 }
        return nextID
    }

    public func append(_ id: ConsumerID, _ record: UnsafeRawBufferPointer, replaces: Bool) {
        guard broken == nil else { return }
        guard record.count <= JournalRecordHead.bodyBytesMax else {
            broken = DiskError("write", place.paths[0], 27)
            return
        }
        isBlocked = false
        pending.append(replaces ? .replace : .append, id, number: takeNumber(id), record, twin: replaces)
    }

    public func drop(_ id: ConsumerID) {
        guard broken == nil else { return }
        isBlocked = false
        pending.append(.drop, id, number: takeNumber(id), UnsafeRawBufferPointer(start: nil, count: 0), twin: true)
        if lastID == id { lastID = 0 }
        numbers[id] = nil
    }

    /// The number of a consumer's next record. Ids begin at 1.
    private func takeNumber(_ id: ConsumerID) -> UInt32 {
        if id != lastID {
            if lastID != 0 { numbers[lastID] = lastNumber }
            lastID = id
            lastNumber = numbers[id] ?? 0
            // Entered at once: a rewrite asks for all that are there.
            numbers[id] = lastNumber
        }
        defer { lastNumber &+= 1 }
        return lastNumber
    }

    // MARK: Committing

    public var commitTicket: UInt64 {
        broken != nil ? .max : finishedCommit + (underWay == nil ? 0 : 1) + (pending.isEmpty ? 0 : 1)
    }

    public func beginCommit(syncs: Bool) -> CommitJob? {
        guard broken == nil, underWay == nil, !isBlocked else { return nil }
        if pending.isEmpty {
            guard syncs, let writer, writer.active.syncedEnd < writer.active.end else { return nil }
            return job(syncs: true, bytes: 0) { writer throws(DiskError) in try writer?.sync() }
        }
        guard let writer else { return creation() }
        if isRewriteDue(writer) { return rewrite() }
        swap(&pending, &idle)
        nonisolated(unsafe) let buffer = idle
        let nextID = nextID
        return job(syncs: syncs, bytes: buffer.count) { writer throws(DiskError) in
            try writer?.append(buffer, nextID: nextID, syncs: syncs)
        }
    }

    /// A commit that makes the files.
    private func creation() -> CommitJob {
        swap(&pending, &idle)
        nonisolated(unsafe) let buffer = idle
        let nextID = nextID, place = place
        return job { writer throws(DiskError) in
            writer = try FileConsumerJournal.create(place, buffer, nextID: nextID)
        }
    }

    public func finishCommit(_ result: CommitResult) -> StoreError? {
        guard let commit = underWay else { return nil }
        underWay = nil
        if let written = commit.writer.withLock({ $0 }) {
            writer = written
            finishedCommit += 1
            idle.removeAll()
            if commit.isRewrite {
                liveEnd = written.active.end
                mustRewrite = false
            }
            return nil
        }
        let error = result.error ?? DiskError("write", place.paths[0], 5)
        guard error.isNoSpace else {
            broken = error
            return .failed(error)
        }
        // Nothing is lost: what was to be written goes before what has come since, and either way is tried in turn.
        isBlocked = true
        if var writer {
            writer.renewNonce()
            self.writer = writer
            mustRewrite = !commit.isRewrite
            if commit.isRewrite { rewriteNotBefore = writer.active.end + FileConsumerJournal.historyBytesMin }
        }
        idle.append(pending)
        swap(&pending, &idle)
        idle.removeAll()
        return nil
    }

    /// Writes what is pending, syncs, and notes that nothing is missing, so that the next start need not suspect a crash.
    /// Blocks; for an orderly stop, when no commit is under way.
    public func close() throws(StoreError) {
        if let failure { throw failure }
        guard underWay == nil, !pending.isEmpty || !(writer?.active.isClosed ?? true) else { return }
        do throws(DiskError) {
            if writer == nil { writer = try FileConsumerJournal.create(place, JournalBuffer(), nextID: nextID) }
            if !pending.isEmpty || writer.map({ $0.active.syncedEnd < $0.active.end }) ?? false {
                try writer?.append(pending, nextID: nextID, syncs: true)
                pending.removeAll()
            }
            try writer?.append(pending, flags: .closed, nextID: nextID, syncs: true)
        } catch {
            broken = error
            throw StoreError(error)
        }
    }

    private func job(
        isRewrite: Bool = false, syncs: Bool = true, bytes: Int = .max,
        _ work: @escaping @Sendable (inout JournalWriter?) throws(DiskError) -> Void
    ) -> CommitJob {
        let commit = Commit(isRewrite: isRewrite)
        underWay = commit
        let writer = writer
        return CommitJob(syncs: syncs, bytes: bytes) {
            var copy = writer
            do throws(DiskError) {
                try work(&copy)
                commit.writer.withLock { $0 = copy }
                return CommitResult()
            } catch {
                return CommitResult(error: error)
            }
        }
    }

    private func isRewriteDue(_ writer: JournalWriter) -> Bool {
        if mustRewrite { return true }
        let end = writer.active.end + pending.count
        guard end >= rewriteNotBefore else { return false }
        if writer.isShort && end + JournalWriter.closingBytes > writer.active.size { return true }
        let history = end - liveEnd
        return history > max(FileConsumerJournal.historyBytesMin, FileConsumerJournal.historyFactor * liveEnd)
    }

    /// A commit that writes all consumers' states anew; what is pending is in them.
    private func rewrite() -> CommitJob {
        if lastID != 0 { numbers[lastID] = lastNumber }
        let states = JournalBuffer()
        /// Those that cannot say their state keep their records as they are.
        var silent: [ConsumerID: UInt32] = [:]
        for id in numbers.keys.sorted() {
            if let state = snapshot?(id), state.count <= JournalRecordHead.bodyBytesMax {
                state.withUnsafeBytes { states.append(.replace, id, number: (numbers[id] ?? 0) &- 1, $0, twin: true) }
            } else {
                silent[id] = numbers[id]
            }
        }
        swap(&pending, &idle)
        nonisolated(unsafe) let buffer = states, unwritten = idle
        let nextID = nextID, nextNumbers = silent
        return job(isRewrite: true) { writer throws(DiskError) in
            if !nextNumbers.isEmpty, let writer {
                let found = try JournalReader.read(writer.active.file)
                FileConsumerJournal.copy(nextNumbers, found, unwritten, to: buffer)
            }
            try writer?.rewrite(buffer, fileID: .random(in: .min ... .max), nextID: nextID)
        }
    }

    /// Copies the records of consumers from the active file, and after those what is not yet written.
    private static func copy(
        _ nextNumbers: [ConsumerID: UInt32], _ found: JournalScan, _ unwritten: JournalBuffer, to target: JournalBuffer
    ) {
        for (id, nextNumber) in nextNumbers.sorted(by: { $0.key < $1.key }) {
            var records: [[UInt8]] = found.consumers[id].map { $0.hasBase ? $0.records : [] } ?? []
            unwritten.forEach { at in
                let record = unwritten.base + at
                guard record.load64(16) == id, record.load32(28) & 0x100 == 0 else { return }
                if UInt8(truncatingIfNeeded: record.load32(28)) == JournalKind.replace.rawValue { records = [] }
                records.append(
                    Array(UnsafeRawBufferPointer(start: record + JournalRecordHead.bytes, count: Int(record.load32(8)))))
            }
            var number = nextNumber &- UInt32(truncatingIfNeeded: records.count)
            for (index, record) in records.enumerated() {
                record.withUnsafeBytes {
                    target.append(index == 0 ? .replace : .append, id, number: number, $0, twin: index == 0)
                }
                number &+= 1
            }
        }
    }
}

@available(*, unavailable)
extension FileConsumerJournal: Sendable {}

// MARK: Opening

extension FileConsumerJournal {
    /// Opens a stream's journal, or begins one, whose files come with the first commit. What a crash has cut off is gone; what is damaged is left out, and said in
    /// `findings`.
    /// - Throws: `.unusable` if a newer version has written it; `.noSpace` if there is no room for a new one.
    public static func open(
        directory: String, disk: any Disk
    ) throws(StoreError) -> (FileConsumerJournal, [RecoveredConsumer]) {
        let opened: Opened
        do throws(DiskError) {
            opened = try read(Place(directory: directory, disk: disk))
        } catch { throw StoreError(error) }
        switch opened {
        case .journal(let journal, let consumers): return (journal, consumers)
        case .unusable(let reason): throw .unusable(reason)
        }
    }

    private enum Opened {
        case journal(FileConsumerJournal, [RecoveredConsumer])
        case unusable(String)
    }

    private static func read(_ place: Place) throws(DiskError) -> Opened {
        let directory = place.directory, disk = place.disk
        let paths = place.paths
        let present = try disk.list(directory)
        var found: [(file: any DiskFile, scan: JournalScan)] = []
        for (name, path) in zip(names, paths) where present.contains(name) {
            let file = try disk.open(path, create: false)
            found.append((file, try JournalReader.read(file)))
        }
        // A head that is whole and of another version is no damage.
        if let foreign = found.first(where: { $0.scan.foreignVersion != nil }) {
            return .unusable(
                "\(foreign.file.path): written by a newer version (format \(foreign.scan.foreignVersion ?? 0), "
                    + "this one knows \(JournalBlockHead.version))")
        }
        let proven = found.filter { $0.scan.isProven }.max { $0.scan.generation < $1.scan.generation }
        guard let proven else {
            // The first file has its name only since the journal was complete.
            guard present.contains(names[0]) else { return .journal(FileConsumerJournal(nil, place), []) }
            for (file, _) in found { try disk.rename(file.path, to: file.path + ".damaged") }
            let finding = "\(directory): nothing in the consumer journal can be read; it was put aside, and a new one begun"
            let journal = FileConsumerJournal(
                try create(place, JournalBuffer(), nextID: 1), place, findings: [finding])
            journal.mustRewrite = false
            return .journal(journal, [])
        }
        return try reopen(proven, place, present)
    }

    private static func reopen(
        _ active: (file: any DiskFile, scan: JournalScan), _ place: Place, _ present: [String]
    ) throws(DiskError) -> Opened {
        let paths = place.paths, disk = place.disk
        let scan = active.scan
        var findings = scan.findings
        let other = active.file.path == paths[0] ? 1 : 0
        if scan.isSuperseded {
            findings.append("\(paths[other]): cannot be read; consumers are as they were before it was begun")
        } else if !present.contains(names[other]) && scan.generation > 1 {
            findings.append("\(paths[other]): missing")
        }
        var file = JournalFile(active.file, fileID: scan.fileID, generation: scan.generation, size: scan.size)
        file.end = scan.end
        file.previousSum = scan.previousSum
        file.isClosed = scan.isClosed
        // What is served must not vanish in the next crash.
        if !scan.isClosed { try active.file.sync() }
        file.syncedEnd = scan.end
        file.syncedSize = scan.size
        let spare = try disk.open(paths[other], create: true)
        var writer = JournalWriter(
            active: file, spare: JournalFile(spare, fileID: 0, generation: 0, size: try spare.size()),
            nonce: .random(in: .min ... .max))
        writer.keepReserve()
        var consumers: [RecoveredConsumer] = []
        for (id, consumer) in scan.consumers.sorted(by: { $0.key < $1.key }) {
            if consumer.hasBase {
                consumers.append(RecoveredConsumer(id: id, records: consumer.records, lostRecords: consumer.lost))
            } else {
                findings.append("\(active.file.path): consumer \(id) is lost: its definition is damaged")
            }
        }
        return .journal(FileConsumerJournal(writer, place, scan, findings: findings), consumers)
    }

    /// Makes both files, with first records. The first one takes its name only when all is there, so that its presence means that
    /// the journal once was complete. Nothing relies on the length of the other one before its first block.
    private static func create(
        _ place: Place, _ records: JournalBuffer, nextID: ConsumerID
    ) throws(DiskError) -> JournalWriter {
        let paths = place.paths, disk = place.disk
        let spare = try disk.open(paths[1], create: true)
        try spare.truncate(0)
        try spare.allocate(JournalWriter.sizeAtLeast)
        let temporary = paths[0] + AtomicFile.temporarySuffix
        let unnamed = try disk.open(temporary, create: true)
        try unnamed.truncate(0)
        // Its length need not be durable before its first block: it has no name yet.
        try unnamed.allocate(JournalWriter.sizeAtLeast)
        var first = JournalFile(unnamed, fileID: 0, generation: 0, size: JournalWriter.sizeAtLeast)
        first.syncedSize = first.size
        var writer = JournalWriter(
            active: JournalFile(spare, fileID: 0, generation: 0, size: JournalWriter.sizeAtLeast),
            spare: first, nonce: .random(in: .min ... .max))
        try writer.rewrite(records, fileID: .random(in: .min ... .max), nextID: nextID)
        try disk.rename(temporary, to: paths[0])
        try disk.syncDirectory(place.directory)
        writer.active.file = try disk.open(paths[0], create: false)
        return writer
    }
}
