// The files of one stream, as a crash test opens and writes them.

import Store
import Wire

/// A log, a consumer journal and a definition in one directory.
final class CrashFiles {
    private static let directory = "/s"

    let disk: SimulatedDisk
    let log: FileLog
    let journal: FileConsumerJournal
    /// What the journal knew when it was opened.
    let found: [RecoveredConsumer]
    let definition: AtomicFile
    private var states: [ConsumerID: Int] = [:]

    init(_ disk: SimulatedDisk, _ options: LogOptions) throws(StoreError) {
        self.disk = disk
        definition = AtomicFile(path: "\(CrashFiles.directory)/definition", kind: "TEST", version: 1, disk: disk)
        log = try FileLog.open(directory: "\(CrashFiles.directory)/log", disk: disk, options: options)
        (journal, found) = try FileConsumerJournal.open(directory: "\(CrashFiles.directory)/consumers", disk: disk)
    }

    static func makeDirectories(on disk: SimulatedDisk) throws(DiskError) {
        try disk.makeDirectory(directory)
        try disk.syncDirectory("/")
        for name in ["log", "consumers"] { try disk.makeDirectory("\(directory)/\(name)") }
        try disk.syncDirectory(directory)
    }

    /// From here on the journal may ask for the state of consumers.
    func serve() {
        for consumer in found {
            states[consumer.id] = consumer.lastValue
        }
        journal.snapshot = { [unowned self] id in
            // One in three cannot say.
            id % 3 == 0 ? nil : states[id].map { CrashFiles.record("=", $0, size: 60) }
        }
    }

    private static func record(_ kind: String, _ value: Int, size: Int) -> [UInt8] {
        Array("\(kind)\(value) \(String(repeating: "x", count: size))".utf8)
    }

    func setConsumer(_ id: ConsumerID, _ value: Int, replaces: Bool, size: Int) {
        states[id] = value
        CrashFiles.record(replaces ? "=" : "+", value, size: size).withUnsafeBytes {
            journal.append(id, $0, replaces: replaces)
        }
    }

    func dropConsumer(_ id: ConsumerID) {
        states[id] = nil
        journal.drop(id)
    }

    func commitJournal() throws {
        if let job = journal.beginCommit(syncs: true), let error = journal.finishCommit(job.run()) { throw error }
    }

    /// Runs maintenance until there is none.
    func maintain() throws {
        for _ in 0..<1_000 {
            try commitAll()
            guard let job = log.beginMaintenance() else {
                if log.wantsCommit { continue }
                return
            }
            if let error = log.finishMaintenance(job.run()) { throw error }
        }
    }

    func commitAll() throws {
        while let job = log.beginCommit(syncs: true) { if let error = log.finishCommit(job.run()) { throw error } }
    }
}

extension RecoveredConsumer {
    /// What its last record counts to.
    var lastValue: Int? { records.last.flatMap(RecoveredConsumer.value) }

    static func value(_ record: [UInt8]) -> Int? {
        Int(String(decoding: record.dropFirst().prefix { $0 != UInt8(ascii: " ") }, as: UTF8.self))
    }
}

extension FileLog {
    func append(
        _ subject: String, _ payload: [UInt8], timeNs: Int64, marks: MessageMarks, sequence: UInt64? = nil
    ) throws -> UInt64 {
        try Array(subject.utf8).withUnsafeBytes { subject in
            try payload.withUnsafeBytes { payload in
                try append(
                    sequence: sequence, timeNs: timeNs, subject: ByteView(subject), headers: .empty,
                    payload: ByteView(payload), marks: marks)
            }
        }
    }
}
