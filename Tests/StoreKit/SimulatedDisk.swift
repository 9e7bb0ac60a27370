// A disk in memory that forgets in a crash what was not synced, fills up, and fails when told to.

import Glibc
import Locks
import Store

/// What a call does to the disk.
public enum DiskCall: String, Sendable {
    case makeDirectory, list, open, create, rename, remove, removeDirectory, syncDirectory, availableBytes
    case size, read, readCached, write, allocate, truncate, sync

    /// Whether a power failure before or after it makes a difference.
    public var changes: Bool {
        switch self {
        case .list, .open, .availableBytes, .size, .read, .readCached: false
        default: true
        }
    }
}

/// What goes wrong in a call.
public enum DiskFault: Sendable {
    /// As in errno.h.
    case error(Int32)
    /// A write stops after this many bytes (at least one) and says so.
    case short(Int)
    /// A write fails after this many bytes.
    case torn(Int, Int32)
}

/// Deterministic, and safe on any thread.
public final class SimulatedDisk: Disk {
    struct State {
        var inodes: [Int: SimulatedInode] = [:]
        var nextInode = 1
        var names = SimulatedNames()
        var durableNames = SimulatedNames()
        var namings: [SimulatedNaming] = []
        var calls = 0
        var changes = 0
        /// By number of the call, from 1.
        var faults: [Int: DiskFault] = [:]
        /// From this call on, every call goes wrong like this.
        var lastingFault: (from: Int, fault: DiskFault)?
        /// Reads that touch these bytes of a file fail.
        var unreadable: [String: Range<Int>] = [:]
        /// From this changing call on, nothing works any more.
        var powerFailsAt: Int?
        var isOff = false
        var capacity: Int?
        var ignoresSync = false
        /// One in so many `readCached` finds nothing.
        var cacheMisses: Int?
        var cachedReads = 0
        var log: [String] = []
        var logs = false
        var beforeChange: (@Sendable (DiskCall, String) -> Void)?
    }

    private let state: Locked<State>

    public init() { state = Locked(State()) }
    private init(_ kept: State) { state = Locked(kept) }

    // MARK: Steering

    /// Calls so far.
    public var calls: Int { state.withLock { $0.calls } }
    /// Calls so far that changed something.
    public var changes: Int { state.withLock { $0.changes } }
    public var isOff: Bool { state.withLock { $0.isOff } }

    /// Lets the call with a number (counted from 1, from the disk's beginning) go wrong.
    public func inject(_ fault: DiskFault, atCall number: Int) { state.withLock { $0.faults[number] = fault } }
    /// Lets every call from the one with a number on go wrong.
    public func inject(_ fault: DiskFault, fromCall number: Int) { state.withLock { $0.lastingFault = (number, fault) } }
    /// Lets reads of some bytes of a file fail, as a bad sector does.
    public func spoil(_ path: String, _ bytes: Range<Int>) { state.withLock { $0.unreadable[path] = bytes } }
    public func clearFaults() {
        state.withLock { state in
            state.faults = [:]
            state.lastingFault = nil
            state.unreadable = [:]
        }
    }

    /// Cuts the power before the changing call with this number.
    public func failPower(atChange number: Int) { state.withLock { $0.powerFailsAt = number } }

    /// All files together may not grow beyond this. nil is no limit.
    public func limit(to bytes: Int?) { state.withLock { $0.capacity = bytes } }
    public var usedBytes: Int { state.withLock { SimulatedDisk.used($0) } }

    /// Says that a sync is done, and does nothing: what a build that forgets to sync would do.
    public func ignoreSync() { state.withLock { $0.ignoresSync = true } }

    /// One in so many reads finds its bytes not in memory.
    public func missCache(onceIn count: Int?) { state.withLock { $0.cacheMisses = count } }

    /// Called before each call that changes something, outside the disk's lock.
    public func beforeChange(_ body: (@Sendable (DiskCall, String) -> Void)?) { state.withLock { $0.beforeChange = body } }

    /// Remembers what is called, for the report of a failure.
    public func logCalls() { state.withLock { $0.logs = true } }
    public var log: [String] { state.withLock { $0.log } }

    /// The disk after a power failure now: what was not synced is there or not, page by page, as the seed has it.
    public func crashed(seed: UInt64) -> SimulatedDisk {
        SimulatedDisk(
            state.withLock { state in
                var random = SeededRandom(seed: seed)
                var kept = state.survivor
                for number in kept.inodes.keys.sorted() { kept.inodes[number]?.crash(&random) }
                // A file system with a journal keeps a beginning of what was done, others keep any of it.
                let inOrder = random.once(in: 2)
                let cut = random.below(state.namings.count + 1)
                kept.names = state.durableNames
                for (index, naming) in state.namings.enumerated() where inOrder ? index < cut : random.once(in: 2) {
                    kept.names.apply(naming)
                }
                kept.durableNames = kept.names
                kept.namings = []
                let named = Set(kept.names.files.values)
                kept.inodes = kept.inodes.filter { named.contains($0.key) }
                return kept
            })
    }

    /// The disk as it is, as after an orderly end of the process; calls to the copy are counted anew.
    public func copy() -> SimulatedDisk { SimulatedDisk(state.withLock { $0.survivor }) }

    /// Everything that is there, for a test that damages it.
    public func files() -> [String: [UInt8]] {
        state.withLock { state in
            state.names.files.mapValues { inode in
                let contents = state.inodes[inode]?.current ?? SimulatedContents()
                return contents.read(contents.size, at: 0)
            }
        }
    }

    /// Puts other bytes into a file, durably.
    public func replace(_ path: String, _ bytes: [UInt8]) {
        state.withLock { state in
            guard let number = state.names.files[path] else { return }
            var inode = SimulatedInode()
            _ = bytes.withUnsafeBytes { inode.current.write($0, at: 0) }
            inode.durable = inode.current
            state.inodes[number] = inode
        }
    }

    private static func used(_ state: State) -> Int {
        state.names.files.values.reduce(0) { $0 + (state.inodes[$1]?.current.size ?? 0) }
    }

    // MARK: Calls

    /// Counts a call and lets it fail if it is to.
    /// - Returns: how many bytes of a write are to be written, and what then goes wrong.
    @discardableResult
    private func begin(_ call: DiskCall, _ path: String) throws(DiskError) -> DiskFault? {
        if call.changes, let hook = state.withLock({ $0.isOff ? nil : $0.beforeChange }) { hook(call, path) }
        let fault: DiskFault? = state.withLock { state in
            if state.isOff { return .error(EIO) }
            state.calls += 1
            if call.changes { state.changes += 1 }
            if state.logs { state.log.append("\(state.calls)/\(state.changes) \(call.rawValue) \(path)") }
            if call.changes, let at = state.powerFailsAt, state.changes >= at {
                state.isOff = true
                return .error(EIO)
            }
            if let (from, fault) = state.lastingFault, state.calls >= from { return fault }
            return state.faults[state.calls]
        }
        if case .error(let code) = fault { throw DiskError(call.rawValue, path, code) }
        return fault
    }

    private static func parent(_ path: String) -> String {
        guard let slash = path.lastIndex(of: "/"), slash != path.startIndex else { return "/" }
        return String(path[..<slash])
    }

    public func makeDirectory(_ path: String) throws(DiskError) {
        try begin(.makeDirectory, path)
        let made = state.withLock { state in
            if state.names.directories.contains(path) { return true }
            guard state.names.directories.contains(SimulatedDisk.parent(path)) else { return false }
            state.name(SimulatedNaming(directory: SimulatedDisk.parent(path), path: path, change: .makeDirectory))
            return true
        }
        if !made { throw DiskError("mkdir", path, ENOENT) }
    }

    public func list(_ path: String) throws(DiskError) -> [String] {
        try begin(.list, path)
        let names: [String]? = state.withLock { state in
            guard state.names.directories.contains(path) else { return nil }
            let prefix = path == "/" ? "/" : path + "/"
            let all = Array(state.names.files.keys) + Array(state.names.directories)
            return all.filter { $0.hasPrefix(prefix) && $0.count > prefix.count && SimulatedDisk.parent($0) == path }
                .map { String($0.dropFirst(prefix.count)) }.sorted()
        }
        guard let names else { throw DiskError("opendir", path, ENOENT) }
        return names
    }

    public func open(_ path: String, create: Bool) throws(DiskError) -> any DiskFile {
        let isThere = state.withLock { $0.names.files[path] != nil }
        try begin(create && !isThere ? .create : .open, path)
        let inode: Int? = state.withLock { state in
            if let inode = state.names.files[path] { return inode }
            guard create, state.names.directories.contains(SimulatedDisk.parent(path)) else { return nil }
            let inode = state.nextInode
            state.nextInode += 1
            state.inodes[inode] = SimulatedInode()
            state.name(
                SimulatedNaming(directory: SimulatedDisk.parent(path), path: path, change: .add(inode: inode)))
            return inode
        }
        guard let inode else { throw DiskError("open", path, ENOENT) }
        return SimulatedFile(self, inode, path)
    }

    public func rename(_ source: String, to target: String) throws(DiskError) {
        try begin(.rename, target)
        let done = state.withLock { state in
            guard let inode = state.names.files[source] else { return false }
            state.name(
                SimulatedNaming(
                    directory: SimulatedDisk.parent(target), path: target, change: .rename(from: source, inode: inode)))
            return true
        }
        if !done { throw DiskError("rename", target, ENOENT) }
    }

    public func remove(_ path: String) throws(DiskError) {
        try begin(.remove, path)
        state.withLock { state in
            guard state.names.files[path] != nil else { return }
            state.name(SimulatedNaming(directory: SimulatedDisk.parent(path), path: path, change: .remove))
        }
    }

    public func removeDirectory(_ path: String) throws(DiskError) {
        try begin(.removeDirectory, path)
        let isEmpty = state.withLock { state in
            let isEmpty = !state.names.files.keys.contains { SimulatedDisk.parent($0) == path }
            guard isEmpty, state.names.directories.contains(path) else { return isEmpty }
            state.name(SimulatedNaming(directory: SimulatedDisk.parent(path), path: path, change: .removeDirectory))
            return true
        }
        if !isEmpty { throw DiskError("rmdir", path, ENOTEMPTY) }
    }

    public func syncDirectory(_ path: String) throws(DiskError) {
        try begin(.syncDirectory, path)
        state.withLock { state in
            guard !state.ignoresSync else { return }
            for naming in state.namings where naming.directory == path { state.durableNames.apply(naming) }
            state.namings.removeAll { $0.directory == path }
        }
    }

    public func availableBytes(_ path: String) throws(DiskError) -> UInt64 {
        try begin(.availableBytes, path)
        return state.withLock { state in
            guard let capacity = state.capacity else { return 1 << 40 }
            return UInt64(max(0, capacity - SimulatedDisk.used(state)))
        }
    }

    // MARK: Calls on files

    fileprivate func read(_ call: DiskCall, _ inode: Int, _ path: String, _ count: Int, at offset: Int) throws(DiskError)
        -> [UInt8]?
    {
        try begin(call, path)
        let isBad = state.withLock { $0.unreadable[path].map { $0.overlaps(offset..<offset + count) } ?? false }
        if isBad {
            // A bad sector is never in memory.
            if call == .readCached { return nil }
            throw DiskError(call.rawValue, path, EIO)
        }
        return state.withLock { state in
            if call == .readCached, let misses = state.cacheMisses {
                state.cachedReads += 1
                if state.cachedReads % misses == 0 { return nil }
            }
            return state.inodes[inode]?.current.read(count, at: offset)
        }
    }

    fileprivate func size(_ inode: Int, _ path: String) throws(DiskError) -> Int {
        try begin(.size, path)
        return state.withLock { $0.inodes[inode]?.current.size ?? 0 }
    }

    fileprivate func write(_ inode: Int, _ path: String, _ bytes: UnsafeRawBufferPointer, at offset: Int) throws(DiskError)
        -> Int
    {
        let fault = try begin(.write, path)
        var count = bytes.count
        var code: Int32 = 0
        switch fault {
        case .short(let bytes): count = max(1, min(count, bytes))
        case .torn(let bytes, let error): (count, code) = (min(count, bytes), error)
        default: break
        }
        let end = offset + count
        nonisolated(unsafe) let source = UnsafeRawBufferPointer(rebasing: bytes[0..<count])
        let fits = state.withLock { state -> Bool in
            let size = state.inodes[inode]?.current.size ?? 0
            if end > size, let capacity = state.capacity, SimulatedDisk.used(state) + end - size > capacity { return false }
            for page in state.inodes[inode]?.current.write(source, at: offset) ?? 0..<0 {
                state.inodes[inode]?.dirty.insert(page)
            }
            return true
        }
        if !fits { throw DiskError("write", path, ENOSPC) }
        if code != 0 { throw DiskError("write", path, code) }
        return count
    }

    fileprivate func resize(_ call: DiskCall, _ inode: Int, _ path: String, _ bytes: Int) throws(DiskError) {
        try begin(call, path)
        let fits = state.withLock { state -> Bool in
            let size = state.inodes[inode]?.current.size ?? 0
            if call == .allocate && bytes <= size { return true }
            if bytes > size, let capacity = state.capacity, SimulatedDisk.used(state) + bytes - size > capacity {
                return false
            }
            for page in state.inodes[inode]?.current.truncate(bytes) ?? [] { state.inodes[inode]?.dirty.insert(page) }
            return true
        }
        if !fits { throw DiskError(call.rawValue, path, ENOSPC) }
    }

    fileprivate func sync(_ inode: Int, _ path: String) throws(DiskError) {
        try begin(.sync, path)
        state.withLock { if !$0.ignoresSync { $0.inodes[inode]?.sync() } }
    }
}

extension SimulatedDisk.State {
    /// What outlives the process: the bytes and names, without what was to go wrong.
    var survivor: SimulatedDisk.State {
        var kept = SimulatedDisk.State()
        kept.inodes = inodes
        kept.nextInode = nextInode
        kept.names = names
        kept.durableNames = durableNames
        kept.namings = namings
        kept.ignoresSync = ignoresSync
        kept.capacity = capacity
        kept.cacheMisses = cacheMisses
        return kept
    }

    mutating func name(_ naming: SimulatedNaming) {
        names.apply(naming)
        namings.append(naming)
    }
}

private final class SimulatedFile: DiskFile {
    let path: String
    private let disk: SimulatedDisk
    private let inode: Int

    init(_ disk: SimulatedDisk, _ inode: Int, _ path: String) {
        self.disk = disk
        self.inode = inode
        self.path = path
    }

    func size() throws(DiskError) -> Int { try disk.size(inode, path) }

    func read(_ target: UnsafeMutableRawPointer, _ count: Int, at offset: Int) throws(DiskError) -> Int {
        copy(try disk.read(.read, inode, path, count, at: offset) ?? [], to: target)
    }

    func readCached(_ target: UnsafeMutableRawPointer, _ count: Int, at offset: Int) throws(DiskError) -> Int? {
        guard let bytes = try disk.read(.readCached, inode, path, count, at: offset) else { return nil }
        return copy(bytes, to: target)
    }

    private func copy(_ bytes: [UInt8], to target: UnsafeMutableRawPointer) -> Int {
        bytes.withUnsafeBytes { source in
            if let base = source.baseAddress { target.copyMemory(from: base, byteCount: source.count) }
        }
        return bytes.count
    }

    func write(_ source: UnsafeRawPointer, _ count: Int, at offset: Int) throws(DiskError) -> Int {
        try disk.write(inode, path, UnsafeRawBufferPointer(start: source, count: count), at: offset)
    }

    func allocate(_ bytes: Int) throws(DiskError) { try disk.resize(.allocate, inode, path, bytes) }
    func truncate(_ bytes: Int) throws(DiskError) { try disk.resize(.truncate, inode, path, bytes) }
    func sync() throws(DiskError) { try disk.sync(inode, path) }
}
