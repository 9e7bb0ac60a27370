// What tests of logs share: publishing, reading back, running the jobs.

import Glibc
import Synchronization
import Testing
import Wire

@testable import Store

/// A message as a test keeps it.
struct TestMessage: Equatable {
    var subject: String
    var headers: String = ""
    var payload: [UInt8]
    var timeNs: Int64
}

extension MessageLog {
    @discardableResult
    func publish(
        _ subject: String, _ payload: [UInt8] = [1, 2, 3], headers: String = "", timeNs: Int64 = 1, sequence: UInt64? = nil,
        marks: MessageMarks = []
    ) throws -> UInt64 {
        try Array(subject.utf8).withUnsafeBytes { subject in
            try Array(headers.utf8).withUnsafeBytes { headers in
                try payload.withUnsafeBytes { payload in
                    try append(
                        sequence: sequence, timeNs: timeNs, subject: ByteView(subject), headers: ByteView(headers),
                        payload: ByteView(payload), marks: marks)
                }
            }
        }
    }

    /// Runs commits until nothing is left to be made durable.
    func commitAll(syncs: Bool = true) throws {
        while let job = beginCommit(syncs: syncs) {
            if let error = finishCommit(job.run()) { throw error }
            if !syncs { break }
        }
    }
}

extension FileLog {
    /// The message under a sequence, copied.
    func message(_ sequence: UInt64) throws -> TestMessage? {
        for _ in 0..<100 {
            switch load(sequence) {
            case .message(let message):
                return TestMessage(
                    subject: message.subject.string, headers: message.headers.string, payload: message.payload.bytes,
                    timeNs: message.timeNs)
            case .absent: return nil
            case .reading:
                let job = try #require(beginRead())
                finishRead(job.run())
            case .failed(let error): throw error
            }
        }
        throw StoreError.unusable("reads never end")
    }

    func close() throws {
        while let job = beginClose() {
            if let error = finishCommit(job.run()) { throw error }
        }
    }

    /// Runs maintenance, with the commits that it waits for, until there is none.
    func maintain() throws {
        for _ in 0..<1_000 {
            try commitAll()
            guard let job = beginMaintenance() else {
                if wantsCommit { continue }
                return
            }
            if let error = finishMaintenance(job.run()) { throw error }
        }
        throw StoreError.unusable("maintenance never ends")
    }
}

func pattern(_ count: Int, _ seed: UInt64) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: UInt64($0) &* 31 &+ seed) }
}

/// The real disk, but full or broken when a test says so, which counts how often it is read.
final class FailingDisk: Disk {
    let isFull = Atomic<Bool>(false)
    let isBroken = Atomic<Bool>(false)
    let reads = Atomic<Int>(0)
    /// Otherwise nothing is ever in the cache, so that every read of a file is one off the loop.
    let hasCache: Bool
    private let disk = SystemDisk()

    init(hasCache: Bool = false) { self.hasCache = hasCache }

    func makeDirectory(_ path: String) throws(DiskError) { try disk.makeDirectory(path) }
    func list(_ path: String) throws(DiskError) -> [String] { try disk.list(path) }
    func open(_ path: String, create: Bool) throws(DiskError) -> any DiskFile {
        FailingFile(try disk.open(path, create: create), self)
    }
    func rename(_ source: String, to target: String) throws(DiskError) { try disk.rename(source, to: target) }
    func remove(_ path: String) throws(DiskError) { try disk.remove(path) }
    func removeDirectory(_ path: String) throws(DiskError) { try disk.removeDirectory(path) }
    func syncDirectory(_ path: String) throws(DiskError) { try disk.syncDirectory(path) }
    func availableBytes(_ path: String) throws(DiskError) -> UInt64 { try disk.availableBytes(path) }
}

private final class FailingFile: DiskFile {
    private let file: any DiskFile
    private let disk: FailingDisk

    init(_ file: any DiskFile, _ disk: FailingDisk) {
        self.file = file
        self.disk = disk
    }

    var path: String { file.path }
    func size() throws(DiskError) -> Int { try file.size() }
    func read(_ target: UnsafeMutableRawPointer, _ count: Int, at offset: Int) throws(DiskError) -> Int {
        disk.reads.add(1, ordering: .relaxed)
        return try file.read(target, count, at: offset)
    }
    func readCached(_ target: UnsafeMutableRawPointer, _ count: Int, at offset: Int) throws(DiskError) -> Int? {
        guard disk.hasCache else { return nil }
        disk.reads.add(1, ordering: .relaxed)
        return try file.readCached(target, count, at: offset)
    }
    func write(_ source: UnsafeRawPointer, _ count: Int, at offset: Int) throws(DiskError) -> Int {
        if disk.isBroken.load(ordering: .relaxed) { throw DiskError("pwrite", path, EIO) }
        // Short writes are as good as whole ones.
        return try file.write(source, max(1, count / 2), at: offset)
    }
    func allocate(_ bytes: Int) throws(DiskError) {
        if disk.isFull.load(ordering: .relaxed) { throw DiskError("fallocate", path, ENOSPC) }
        try file.allocate(bytes)
    }
    func truncate(_ bytes: Int) throws(DiskError) { try file.truncate(bytes) }
    func sync() throws(DiskError) {
        if disk.isBroken.load(ordering: .relaxed) { throw DiskError("fdatasync", path, EIO) }
        try file.sync()
    }
}
