// Opens the streams that an earlier run has left, before anybody is served.

import Glibc
import Locks
import Reactor
import Store
import Synchronization
import Wire

/// A stream that was found, and whose it is.
struct RecoveredStream: Sendable {
    var entry: StreamEntry
    var account: JetStreamAccount
    var opened: Handoff<OpenedStream>
}

extension JetStream {
    /// Opens all streams of all accounts on several threads, and shares them out to the loops.
    ///
    /// A stream that cannot be opened keeps its files and is named in the log; the others are served.
    /// - Throws: if the store directory belongs to something else, or to a later version.
    func recover(loops: Int, log: Logger) throws -> [[RecoveredStream]] {
        try StoreMark.claim(directory, disk)
        let startedNs = Clock.monotonicNs()
        var found: [(account: JetStreamAccount, directory: String)] = []
        for account in accounts {
            do throws(DiskError) {
                try StreamFiles.clearDeleted(in: account.directory, disk)
            } catch {
                log.warning("Cannot remove what is left of a deleted stream: \(error)")
            }
            for directory in StreamFiles.directories(in: account.directory, disk) { found.append((account, directory)) }
        }
        let results = Locked<[Int: (StreamDefinition, UInt64, Handoff<OpenedStream>)]>([:])
        let count = found.count
        let remaining = Latch(count)
        let folders = found.map(\.directory), owners = found.map(\.account)
        let disk = self.disk
        for index in 0..<count {
            let open: @Sendable () -> Void = {
                defer { remaining.arrive() }
                do throws(StoreError) {
                    guard let opened = try StreamFiles.open(folders[index], disk) else { return }
                    let definition = opened.definition, messages = opened.log.state.messages
                    let handoff = Handoff(opened)
                    results.withLock { $0[index] = (definition, messages, handoff) }
                } catch {
                    log.error("Cannot open the stream in \(folders[index]), whose name stays taken: \(error)")
                    let folder = folders[index].split(separator: "/").last.map(String.init) ?? ""
                    owners[index].setUnopened(folder: folder, error.description)
                }
            }
            if !fileThreads.run(open) { open() }
        }
        remaining.wait()
        var shares: [[RecoveredStream]] = Array(repeating: [], count: loops)
        var total: UInt64 = 0
        for index in 0..<count {
            guard let (definition, messages, opened) = results.withLock({ $0[index] }) else { continue }
            let loop = index % loops
            let entry = StreamEntry(
                config: definition.config, createdNs: definition.createdNs, serial: nextSerial(), loop: loop,
                usage: StreamUsage())
            total &+= messages
            shares[loop].append(RecoveredStream(entry: entry, account: found[index].account, opened: opened))
        }
        if count > 0 {
            let elapsedMs = (Clock.monotonicNs() - startedNs) / 1_000_000
            log.info("Recovered \(count) streams with \(total) messages in \(elapsedMs) ms")
        }
        return shares
    }
}

/// Waits for a number of arrivals.
final class Latch: Sendable {
    private let missing: Locked<Int>
    private let done = Atomic<UInt32>(0)

    init(_ count: Int) {
        missing = Locked(count)
        if count == 0 { done.store(1, ordering: .releasing) }
    }

    func arrive() {
        let isLast = missing.withLock { missing in
            missing -= 1
            return missing == 0
        }
        if isLast { done.store(1, ordering: .releasing) }
    }

    /// Polls: for the start of the process, where nothing else is to be done.
    func wait() { while done.load(ordering: .acquiring) == 0 { usleep(200) } }
}

/// Says whose a store directory is: streams of nats-server have another format, and a later Bellhop may have one, too.
enum StoreMark {
    private static let version: UInt32 = 1

    static func claim(_ directory: String, _ disk: any Disk) throws {
        let mark = AtomicFile(path: directory + "/bellhop", kind: "BSTO", version: version, disk: disk)
        if try mark.read() != nil { return }
        for name in try disk.list(directory) {
            let isForeign = (try? disk.list(directory + "/" + name + "/streams"))?.contains { stream in
                (try? disk.list(directory + "/" + name + "/streams/" + stream))?.contains("meta.inf") == true
            }
            if isForeign == true {
                throw BrokerFailure(
                    "\(directory) holds streams of nats-server, whose files Bellhop does not read: choose another store_dir, "
                        + "and copy the streams over with a client")
            }
        }
        try mark.write(Array("Streams of Bellhop. See docs/storage.md.\n".utf8))
    }
}
