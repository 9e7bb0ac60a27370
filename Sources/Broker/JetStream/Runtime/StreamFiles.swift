// Where a stream is on disk: its definition, its log and its consumers' journal, opened and deleted off the loops.

import Reactor
import Store
import Wire

/// What the definition file says of a stream.
struct StreamDefinition: Sendable, Equatable {
    var config: StreamConfig
    /// Nanoseconds since 1970.
    var createdNs: Int64

    func encoded() -> [UInt8] {
        var json = JSONWriter()
        json.beginObject()
        json.member("created", createdNs)
        json.name("config")
        config.write(to: &json)
        json.endObject()
        return json.take()
    }

    init(config: StreamConfig, createdNs: Int64) {
        self.config = config
        self.createdNs = createdNs
    }

    /// nil where the bytes are no definition.
    init?(_ bytes: [UInt8]) {
        let parsed = bytes.withUnsafeBytes { try? JSONValue.parse(ByteView($0)) }
        guard let createdNs = parsed?["created"]?.int64, let config = parsed?["config"]?.serialized() else { return nil }
        let decoded = config.withUnsafeBytes {
            try? RequestBody.decode(ByteView($0), as: StreamConfigRequest.self, isStrict: false)
        }
        guard let decoded else { return nil }
        self.config = decoded.config
        self.createdNs = createdNs
    }
}

/// A stream that has been opened and waits for its loop to take it.
struct OpenedStream {
    var definition: StreamDefinition
    var log: any MessageLog
    var journal: FileConsumerJournal?
    var consumers: [RecoveredConsumer]
    /// What is damaged beside the log, in sentences.
    var findings: [String] = []
}

/// The files of a stream that is being restored.
struct RestoredFiles {
    var directory: String
    var log: FileLog
    var journal: FileConsumerJournal
}

/// Blocks: called on file threads only.
enum StreamFiles {
    static let definitionName = "definition"
    private static let logName = "log"
    private static let consumersName = "consumers"
    /// A stream that is being deleted is moved here first: a crash leaves it whole or nothing of it.
    private static let deletedName = "deleted"
    /// A stream that is being restored is made here, and moved to its place when it is complete.
    private static let restoringName = "restoring"

    static func directory(of name: String, in account: String) -> String {
        account + "/streams/" + JetStream.fileName(name)
    }

    private static func definitionFile(_ directory: String, _ disk: any Disk) -> AtomicFile {
        AtomicFile(path: directory + "/" + definitionName, kind: "BSTR", version: 1, disk: disk)
    }

    /// Makes the files of a new stream. Three syncs, of which the second finds nothing left to do on most file systems: a client waits.
    static func create(_ definition: StreamDefinition, in account: String, _ disk: any Disk) throws(StoreError) -> OpenedStream
    {
        if definition.config.storage == .memory {
            return OpenedStream(definition: definition, log: MemoryLog(), journal: nil, consumers: [])
        }
        let streams = account + "/streams"
        let directory = directory(of: definition.config.name, in: account)
        try deleteLeftovers(directory, disk)
        do throws(DiskError) {
            do throws(DiskError) { try disk.makeDirectory(directory) } catch {
                guard error.isNotFound else { throw error }
                try JetStream.makeDirectories(streams, disk)
                try disk.makeDirectory(directory)
            }
        } catch {
            throw .disk(error)
        }
        let opened = try openFiles(definition, directory, disk, isNew: true)
        // Last: without a definition there is no stream. Syncs the directory, too.
        try definitionFile(directory, disk).write(definition.encoded()) { () throws(DiskError) in
            try disk.syncDirectory(streams)
        }
        return opened
    }

    /// What a crash in the middle of an earlier creation has left has no definition. What has one is a stream, open or not.
    private static func deleteLeftovers(_ directory: String, _ disk: any Disk) throws(StoreError) {
        let definition = definitionFile(directory, disk)
        if try definition.read() != nil {
            throw .unusable("\(directory) holds a stream that is not open: restart the broker, or move its files away first")
        }
        do throws(DiskError) { try deleteTree(directory, disk) } catch { throw .disk(error) }
    }

    /// Opens what is there.
    static func open(_ directory: String, _ disk: any Disk) throws(StoreError) -> OpenedStream? {
        guard let contents = try definitionFile(directory, disk).read() else { return nil }
        guard let definition = StreamDefinition(contents.bytes) else {
            throw .unusable("\(directory)/\(definitionName) does not describe a stream")
        }
        var opened = try openFiles(definition, directory, disk)
        if contents.isDamaged {
            opened.findings.append("\(directory)/\(definitionName): one of two copies is damaged")
            // The other one says all; that it could not be written anew shows again at the next start.
            try? definitionFile(directory, disk).write(contents.bytes)
        }
        return opened
    }

    private static func openFiles(
        _ definition: StreamDefinition, _ directory: String, _ disk: any Disk, isNew: Bool = false
    ) throws(StoreError) -> OpenedStream {
        do throws(DiskError) {
            try disk.makeDirectory(directory + "/" + consumersName)
            if !isNew { try disk.syncDirectory(directory) }
        } catch {
            throw .disk(error)
        }
        // The stream is there with its definition; what a first commit writes makes the first segment durable, too.
        let log = try FileLog.open(directory: directory + "/" + logName, disk: disk, namesSegment: !isNew)
        let (journal, consumers) = try FileConsumerJournal.open(directory: directory + "/" + consumersName, disk: disk)
        return OpenedStream(
            definition: definition, log: log, journal: journal, consumers: consumers, findings: journal.findings)
    }

    /// Replaces a stream's definition.
    static func save(_ definition: StreamDefinition, in account: String, _ disk: any Disk) throws(StoreError) {
        guard definition.config.storage == .file else { return }
        try definitionFile(directory(of: definition.config.name, in: account), disk).write(definition.encoded())
    }

    /// Deletes a stream's files.
    static func delete(_ name: String, in account: String, _ disk: any Disk) throws(DiskError) {
        let directory = directory(of: name, in: account)
        let grave = account + "/" + deletedName
        try JetStream.makeDirectories(grave, disk)
        let target = grave + "/" + JetStream.fileName(name)
        try deleteTree(target, disk)
        guard (try? disk.list(directory)) != nil else { return }
        try disk.rename(directory, to: target)
        try disk.syncDirectory(account + "/streams")
        try deleteTree(target, disk)
    }

    /// Finishes the deletions that a crash interrupted, and removes what it has left of streams that were being restored.
    static func clearDeleted(in account: String, _ disk: any Disk) throws(DiskError) {
        for folder in [deletedName, restoringName] {
            guard let names = try? disk.list(account + "/" + folder) else { continue }
            for name in names { try deleteTree(account + "/" + folder + "/" + name, disk) }
        }
    }

    // MARK: Restoring

    /// Makes empty files for a stream that is being restored, in a place of its own.
    static func beginRestore(_ number: UInt64, in account: String, _ disk: any Disk) throws(StoreError) -> RestoredFiles {
        let directory = account + "/" + restoringName + "/\(number)"
        do throws(DiskError) {
            try deleteTree(directory, disk)
            try JetStream.makeDirectories(directory + "/" + consumersName, disk)
        } catch {
            throw .disk(error)
        }
        let log = try FileLog.open(directory: directory + "/" + logName, disk: disk)
        let (journal, _) = try FileConsumerJournal.open(directory: directory + "/" + consumersName, disk: disk)
        return RestoredFiles(directory: directory, log: log, journal: journal)
    }

    /// Makes a stream of files that are complete and closed: after a crash it is there whole, or not at all.
    static func adopt(
        _ directory: String, _ definition: StreamDefinition, in account: String, _ disk: any Disk
    ) throws(StoreError) -> OpenedStream {
        let target = self.directory(of: definition.config.name, in: account)
        try deleteLeftovers(target, disk)
        try definitionFile(directory, disk).write(definition.encoded())
        do throws(DiskError) {
            try JetStream.makeDirectories(account + "/streams", disk)
            try disk.rename(directory, to: target)
            try disk.syncDirectory(account + "/streams")
            try disk.syncDirectory(account + "/" + restoringName)
        } catch {
            throw .disk(error)
        }
        guard let opened = try open(target, disk) else { throw .unusable("\(target) has vanished") }
        return opened
    }

    /// Removes what a restore that failed has written.
    static func discard(_ directory: String, _ disk: any Disk) { try? deleteTree(directory, disk) }

    /// The folders of an account's streams.
    static func directories(in account: String, _ disk: any Disk) -> [String] {
        ((try? disk.list(account + "/streams")) ?? []).sorted().map { account + "/streams/" + $0 }
    }

    private static func deleteTree(_ path: String, _ disk: any Disk) throws(DiskError) {
        guard let names = try? disk.list(path) else { return }
        for name in names {
            let entry = path + "/" + name
            if (try? disk.list(entry)) != nil {
                try deleteTree(entry, disk)
            } else {
                try disk.remove(entry)
            }
        }
        try disk.removeDirectory(path)
    }
}
