// When may memory that other loops could still be reading be freed? When each of them has begun a new turn.

import Glibc
import Synchronization

/// Epoch-based reclamation for state that loops share without locks.
///
/// A loop announces the current epoch when a turn begins and "quiescent" before it sleeps. What is unlinked from shared
/// structures is retired with the epoch of that moment and freed once every awake loop has announced a later one.
public final class EpochDomain: Sendable {
    private static let quiescent = UInt64.max
    private let current = Atomic<UInt64>(1)
    /// One cache line per loop.
    private nonisolated(unsafe) let announced: UnsafeMutablePointer<Announcement>
    public let loopCount: Int

    private struct Announcement: ~Copyable {
        let epoch = Atomic<UInt64>(EpochDomain.quiescent)
        let padding: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0, 0)
    }

    public init(loopCount: Int) {
        self.loopCount = loopCount
        announced = .allocate(capacity: loopCount)
        for index in 0..<loopCount { (announced + index).initialize(to: Announcement()) }
    }

    deinit {
        announced.deinitialize(count: loopCount)
        announced.deallocate()
    }

    /// Called by loop `index` at the start of each turn, before it reads anything shared.
    @inline(__always)
    func enter(_ index: Int) {
        announced[index].epoch.store(current.load(ordering: .relaxed), ordering: .sequentiallyConsistent)
        // The reads of the turn stay behind the announcement.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
    }

    /// Called by loop `index` before it blocks.
    @inline(__always)
    func leave(_ index: Int) {
        announced[index].epoch.store(EpochDomain.quiescent, ordering: .releasing)
    }

    /// The stamp for something unlinked just now.
    func retire() -> UInt64 { current.wrappingAdd(1, ordering: .sequentiallyConsistent).oldValue }

    /// Whatever was stamped before this may be freed.
    func reclaimable() -> UInt64 {
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        var least = EpochDomain.quiescent
        for index in 0..<loopCount {
            least = min(least, announced[index].epoch.load(ordering: .acquiring))
        }
        return least
    }
}

/// What one loop has retired and not yet freed, oldest first.
struct RetireList {
    private struct Entry {
        let stamp: UInt64
        let memory: UnsafeMutableRawPointer
        let release: (UnsafeMutableRawPointer) -> Bool
    }
    private var entries: [Entry] = []
    private var head = 0

    var isEmpty: Bool { head == entries.count }

    mutating func append(
        _ memory: UnsafeMutableRawPointer, stamp: UInt64, release: @escaping (UnsafeMutableRawPointer) -> Bool
    ) {
        entries.append(Entry(stamp: stamp, memory: memory, release: release))
    }

    /// Frees what is older than `limit`. An entry whose release says "not yet" keeps its place for the next call.
    mutating func reclaim(before limit: UInt64) {
        var postponed: [Entry] = []
        while head < entries.count, entries[head].stamp < limit {
            let entry = entries[head]
            head += 1
            if !entry.release(entry.memory) { postponed.append(entry) }
        }
        if head == entries.count {
            // A storm that is over does not keep its memory.
            entries.removeAll(keepingCapacity: head <= 4_096)
            head = 0
        } else if head > 1_024 {
            entries.removeFirst(head)
            head = 0
        }
        if !postponed.isEmpty { entries.insert(contentsOf: postponed, at: head) }
    }
}
