// The message ids that a stream has seen within its duplicates window, and the sequences they got.

import Glibc
import Wire

/// A hash table on raw memory over records that leave in the order in which they came.
///
///     hash 8 | sequence 8 | time 8 | id bytes 8 | id
struct DuplicateWindow: ~Copyable {
    private static let fixedBytes = 32
    private static let smallestTable = 16

    private typealias Slot = UnsafeMutableRawPointer
    private var records = RecordQueue()
    /// Open addressing with linear probing; a power of two, at most half full.
    private var slots: UnsafeMutablePointer<Slot?>?
    private var capacity = 0
    /// Random, so that nobody can choose ids that collide.
    private let seed: UInt64

    init(seed: UInt64) { self.seed = seed }

    deinit { slots?.deallocate() }

    var count: Int { records.count }
    /// When the oldest id was stored.
    var oldestNs: Int64? { records.first?.load(fromByteOffset: 16, as: Int64.self) }

    /// The sequence of the message that was stored under an id.
    func sequence(of id: ByteView) -> UInt64? {
        guard let slots, capacity > 0 else { return nil }
        let hash = hashBytes(id.base, id.count, seed: seed)
        var index = Int(truncatingIfNeeded: hash) & (capacity - 1)
        while let record = slots[index] {
            if record.load(as: UInt64.self) == hash && DuplicateWindow.id(of: record) == id {
                return record.load(fromByteOffset: 8, as: UInt64.self)
            }
            index = (index + 1) & (capacity - 1)
        }
        return nil
    }

    /// Keeps an id that is not there yet. Times do not decrease.
    mutating func insert(_ id: ByteView, sequence: UInt64, timeNs: Int64) {
        let hash = hashBytes(id.base, id.count, seed: seed)
        let record = records.append(DuplicateWindow.fixedBytes + id.count)
        record.storeBytes(of: hash, as: UInt64.self)
        record.storeBytes(of: sequence, toByteOffset: 8, as: UInt64.self)
        record.storeBytes(of: timeNs, toByteOffset: 16, as: Int64.self)
        record.storeBytes(of: id.count, toByteOffset: 24, as: Int.self)
        memcpy(record + DuplicateWindow.fixedBytes, id.base, id.count)
        if records.count * 2 > capacity { grow() }
        place(record, hash)
    }

    /// Forgets ids that were stored at or before a time.
    mutating func removeAll(upTo timeNs: Int64) {
        while let record = records.first, record.load(fromByteOffset: 16, as: Int64.self) <= timeNs {
            unplace(record)
            records.removeFirst()
        }
        if records.isEmpty && capacity > DuplicateWindow.smallestTable {
            slots?.deallocate()
            slots = nil
            capacity = 0
        }
    }

    private static func id(of record: Slot) -> ByteView {
        let bytes = UnsafePointer((record + fixedBytes).assumingMemoryBound(to: UInt8.self))
        return ByteView(bytes, record.load(fromByteOffset: 24, as: Int.self))
    }

    private func place(_ record: Slot, _ hash: UInt64) {
        guard let slots else { return }
        var index = Int(truncatingIfNeeded: hash) & (capacity - 1)
        while slots[index] != nil { index = (index + 1) & (capacity - 1) }
        slots[index] = record
    }

    /// Takes a record out and moves those behind it up, so that no probe ends too early.
    private func unplace(_ record: Slot) {
        guard let slots else { return }
        var hole = Int(truncatingIfNeeded: record.load(as: UInt64.self)) & (capacity - 1)
        while let other = slots[hole], other != record { hole = (hole + 1) & (capacity - 1) }
        guard slots[hole] != nil else { return }
        var next = hole
        while true {
            next = (next + 1) & (capacity - 1)
            guard let candidate = slots[next] else { break }
            let home = Int(truncatingIfNeeded: candidate.load(as: UInt64.self)) & (capacity - 1)
            // It may move up unless its home lies between the hole and where it stands.
            if (next &- home) & (capacity - 1) >= (next &- hole) & (capacity - 1) {
                slots[hole] = candidate
                hole = next
            }
        }
        slots[hole] = nil
    }

    private mutating func grow() {
        let old = slots
        let oldCapacity = capacity
        capacity = max(DuplicateWindow.smallestTable, capacity * 2)
        let new = UnsafeMutablePointer<Slot?>.allocate(capacity: capacity)
        new.initialize(repeating: nil, count: capacity)
        slots = new
        guard let old else { return }
        for index in 0..<oldCapacity {
            if let record = old[index] { place(record, record.load(as: UInt64.self)) }
        }
        old.deallocate()
    }
}
