// All streams of a broker: which there are, on which loop each lives, and what they may use.

import Glibc
import Locks
import Reactor
import Store
import Synchronization
import Wire

/// Shared by all loops. A stream itself is touched by its own loop only.
final class JetStream: Sendable {
    let options: JetStreamOptions
    /// `<store_dir>/jetstream`.
    let directory: String
    let disk: any Disk = SystemDisk()
    /// Writes and syncs; one job at a time for each log and journal.
    let syncThreads = WorkerPool(threadsMax: 4)
    /// Opens, deletes and lists files.
    let fileThreads = WorkerPool(threadsMax: 4)
    let maxMemoryBytes: Int64
    let maxFileBytes: Int64
    let stored = StoredBytes()
    /// Whether there has been one: only then somebody wants to hear of clients that leave.
    let hasKeyedConsumers = Atomic<Bool>(false)
    private let serials = Atomic<UInt64>(0)
    private let accountsByNumber = Locked<[Int: JetStreamAccount]>([:])

    /// - Throws: a `BrokerFailure` whose text says what to do.
    init(_ options: JetStreamOptions) throws {
        self.options = options
        let parent = options.storeDirectory ?? JetStream.temporaryDirectory + "/bellhop"
        directory = parent + "/jetstream"
        do throws(DiskError) {
            try JetStream.makeDirectories(directory, disk)
        } catch {
            throw BrokerFailure("cannot make the store directory: \(error)")
        }
        maxMemoryBytes = options.maxMemoryBytes >= 0 ? Int64(options.maxMemoryBytes) : JetStream.machineMemoryBytes / 4 * 3
        if options.maxFileBytes >= 0 {
            maxFileBytes = Int64(options.maxFileBytes)
        } else {
            let available = (try? disk.availableBytes(directory)).map { Int64(clamping: $0) }
            maxFileBytes = available.map { $0 / 4 * 3 } ?? 1 << 40
        }
    }

    private static var temporaryDirectory: String {
        guard let text = getenv("TMPDIR") else { return "/tmp" }
        let path = String(cString: text)
        return path.isEmpty ? "/tmp" : path
    }

    private static var machineMemoryBytes: Int64 {
        let pages = Int64(sysconf(Int32(_SC_PHYS_PAGES))), size = Int64(sysconf(Int32(_SC_PAGESIZE)))
        let (bytes, overflow) = pages.multipliedReportingOverflow(by: size)
        return overflow || bytes <= 0 ? 1 << 30 : bytes
    }

    /// Makes a directory and those above it that are missing.
    static func makeDirectories(_ path: String, _ disk: any Disk) throws(DiskError) {
        // From below: listing what is far above can take long.
        guard path != "/", path != ".", (try? disk.list(path)) == nil else { return }
        let slash = path.lastIndex(of: "/")
        let parent = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        try makeDirectories(parent, disk)
        try disk.makeDirectory(path)
        try disk.syncDirectory(parent)
    }

    /// Names a stream for the lifetime of the process.
    func nextSerial() -> UInt64 { serials.wrappingAdd(1, ordering: .relaxed).newValue }

    func account(_ number: Int) -> JetStreamAccount? { accountsByNumber.withLock { $0[number] } }
    var accounts: [JetStreamAccount] {
        accountsByNumber.withLock { Array($0.values) }.sorted { $0.account.name < $1.account.name }
    }

    /// Lets an account have streams.
    func enable(_ account: Account, _ limits: AccountJetStreamOptions, loops: Int) -> JetStreamAccount {
        accountsByNumber.withLock { accounts in
            if let known = accounts[account.number] { return known }
            let made = JetStreamAccount(
                account, limits, directory: directory + "/" + JetStream.fileName(account.name),
                home: account.number % max(1, loops))
            accounts[account.number] = made
            return made
        }
    }

    /// A name as one path component: what may not stand in one is spelled `%2F`.
    static func fileName(_ name: String) -> String {
        var bytes: [UInt8] = []
        for byte in name.utf8 {
            switch byte {
            case UInt8(ascii: "/"), UInt8(ascii: "%"), UInt8(ascii: "."), 0...0x20, 0x7F:
                bytes.append(UInt8(ascii: "%"))
                bytes.append(contentsOf: hex(byte).utf8)
            default: bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func hex(_ byte: UInt8) -> String {
        let text = String(byte, radix: 16, uppercase: true)
        return text.count == 1 ? "0" + text : text
    }
}

/// One stream in the list of its account.
struct StreamEntry: Sendable {
    var config: StreamConfig
    /// Nanoseconds since 1970.
    var createdNs: Int64
    var serial: UInt64
    var loop: Int
    var usage: StreamUsage
    /// Where requests about it go, once it is open.
    var requests = EndpointAddress.none
}

/// What a stream holds, kept up to date by its loop for whoever adds it up.
final class StreamUsage: Sendable {
    let bytes = Atomic<UInt64>(0)
    let messages = Atomic<UInt64>(0)
    let consumers = Atomic<Int>(0)
}

/// One account's streams. Shared by all loops.
final class JetStreamAccount: Sendable {
    let account: Account
    let limits: AccountJetStreamOptions
    let directory: String
    /// The loop on which streams are created, changed and deleted, one request at a time.
    let home: Int
    let requestsTotal = Atomic<UInt64>(0)
    let requestErrors = Atomic<UInt64>(0)
    let stored = StoredBytes()
    /// What atomic batches hold that are not committed.
    let batchBytes = Atomic<Int>(0)
    private let streams = Locked<[String: StreamEntry]>([:])
    /// Why a stream could not be opened, by its folder.
    private let unopened = Locked<[String: String]>([:])

    init(_ account: Account, _ limits: AccountJetStreamOptions, directory: String, home: Int) {
        self.account = account
        self.limits = limits
        self.directory = directory
        self.home = home
    }

    func stream(_ name: String) -> StreamEntry? { streams.withLock { $0[name] } }
    func set(_ entry: StreamEntry) { streams.withLock { $0[entry.config.name] = entry } }
    func remove(_ name: String) { streams.withLock { $0[name] = nil } }
    /// A stream that is on disk could not be opened: its name stays taken, so that nobody makes another one in its place.
    func setUnopened(folder: String, _ reason: String) { unopened.withLock { $0[folder] = reason } }
    /// What to answer to requests that concern such a stream.
    func offline(_ name: String) -> APIError? {
        let reason = unopened.withLock { $0.isEmpty ? nil : $0[JetStream.fileName(name)] }
        return reason.map {
            .streamOffline("\($0): its files are kept; restart the broker when the cause is gone, or move them away first")
        }
    }
    /// In the order of their names.
    var all: [StreamEntry] { streams.withLock { Array($0.values) }.sorted { $0.config.name < $1.config.name } }

    // MARK: Limits

    var accountLimits: JetStreamAccountLimits {
        JetStreamAccountLimits(
            maxMemoryBytes: Int64(limits.maxMemoryBytes), maxStorageBytes: Int64(limits.maxFileBytes),
            maxStreams: limits.maxStreams, maxConsumers: limits.maxConsumers, maxAckPending: limits.maxAckPending,
            memoryMaxStreamBytes: Int64(limits.memoryStreamBytesMax), storageMaxStreamBytes: Int64(limits.fileStreamBytesMax),
            maxBytesRequired: limits.maxBytesRequired)
    }

    func jetStreamLimits(_ shared: JetStream) -> JetStreamLimits {
        var all = JetStreamLimits()
        all.account = accountLimits
        all.maxRequestBatch = max(0, shared.options.maxRequestBatch)
        all.maxAckPending = max(0, shared.options.maxAckPending)
        all.maxDuplicateWindowNs = Int64(shared.options.duplicateWindowMaxNs)
        all.defaultMaxConsumers = shared.options.defaultMaxConsumers
        all.serverMemoryBytes = shared.maxMemoryBytes
        all.serverStorageBytes = shared.maxFileBytes
        return all
    }

    var usage: AccountTier {
        var tier = AccountTier()
        tier.limits = accountLimits
        for entry in all {
            let reserved = UInt64(clamping: max(0, entry.config.maxBytes))
            let bytes = entry.usage.bytes.load(ordering: .relaxed)
            if entry.config.storage == .memory {
                tier.memory += bytes
                tier.reservedMemory += reserved
            } else {
                tier.storage += bytes
                tier.reservedStorage += reserved
            }
            tier.streams += 1
            tier.consumers += entry.usage.consumers.load(ordering: .relaxed)
        }
        return tier
    }
}
