// The subjects of one stream, each under a small number, with what the stream knows of it.

import CLinux
import Glibc
import Wire

/// A small number for a subject of one stream, valid while the table lives. Numbers of subjects that are gone are reused
/// only after the last message that carried them has left memory. 0 is no subject.
public typealias SubjectID = UInt32

public struct SubjectSummary: Sendable, Equatable {
    /// Sequences of the first and the last message that are there.
    public var first: UInt64
    public var last: UInt64
    public var count: UInt64
    public init(first: UInt64, last: UInt64, count: UInt64) {
        self.first = first
        self.last = last
        self.count = count
    }
}

/// What the table holds of a subject: 48 bytes beside the text and the slot in the hash table.
struct SubjectRecord {
    /// Of the messages that are there; meaningless while there is none.
    var first: UInt64
    var last: UInt64
    /// The last message that ever was there: the end of the chain of links in the index.
    var tail: UInt64
    var text: UnsafeMutablePointer<UInt8>?
    /// Messages that are there.
    var count: UInt32
    /// Messages in the index, those included that are gone but still linked.
    var entries: UInt32
    var hash: UInt32
    var length: UInt16
    /// `last` has been removed: what is left of it lies before it.
    var isLastStale: Bool

    @inline(__always) static var none: SubjectRecord {
        SubjectRecord(first: 0, last: 0, tail: 0, text: nil, count: 0, entries: 0, hash: 0, length: 0, isLastStale: false)
    }
}

/// Owned by the log's loop; kept up to date by the log.
///
/// Records lie in one array by number; a hash table with open addressing leads from a subject to its number. A slot holds
/// number and hash, so that a search touches the record of the right subject only.
public final class SubjectTable {
    /// Numbers fit the index's entries.
    static let idsMax = 1 << 28
    /// Numbers that came free are kept out of use until this many, or a quarter of all, have gathered: each time some come
    /// back, the filters forget what they remember.
    static let quarantineMin = 1_024

    private var records: UnsafeMutablePointer<SubjectRecord>
    private var capacity = 16
    /// The next number that never was in use.
    private var nextID = 1
    /// Number in the low half, hash in the high half; 0 where there is none.
    private var slots: UnsafeMutablePointer<UInt64>
    private var slotCount = 32
    /// Subjects with a number.
    private var numbered = 0
    private let seed: UInt64
    private var free: [SubjectID] = []
    private var quarantine: [SubjectID] = []
    /// Moves when numbers come back into use.
    public private(set) var epoch: UInt32 = 0
    /// Finds the last message of a subject whose `last` has been removed. Set by the index.
    var resolveLast: ((SubjectID) -> UInt64)?

    /// Subjects with at least one message.
    public private(set) var count = 0

    public init() {
        records = .allocate(capacity: capacity)
        records.initialize(repeating: .none, count: capacity)
        slots = .allocate(capacity: slotCount)
        slots.initialize(repeating: 0, count: slotCount)
        seed = UInt64.random(in: 0...UInt64.max)
    }

    deinit {
        for id in 1..<nextID { records[id].text?.deallocate() }
        records.deallocate()
        slots.deallocate()
    }

    /// Bytes that the table holds, texts included.
    var memory: Int {
        var bytes = capacity * MemoryLayout<SubjectRecord>.stride + slotCount * 8 + (free.capacity + quarantine.capacity) * 4
        for id in 1..<nextID where records[id].text != nil { bytes += malloc_usable_size(records[id].text) + 8 }
        return bytes
    }

    /// The number of a subject with at least one message.
    public func id(of subject: ByteView) -> SubjectID? {
        guard let id = find(subject, hash(subject)), records[Int(id)].count > 0 else { return nil }
        return id
    }

    /// Valid until the table changes.
    public func subject(_ id: SubjectID) -> ByteView {
        guard let record = record(id), let text = record.pointee.text else { return .empty }
        return ByteView(text, Int(record.pointee.length))
    }

    public func summary(_ id: SubjectID) -> SubjectSummary {
        guard let record = record(id), record.pointee.count > 0 else { return SubjectSummary(first: 0, last: 0, count: 0) }
        if record.pointee.isLastStale, let resolveLast {
            record.pointee.last = resolveLast(id)
            record.pointee.isLastStale = false
        }
        return SubjectSummary(
            first: record.pointee.first, last: record.pointee.last, count: UInt64(record.pointee.count))
    }

    /// Calls `body` for each subject that a filter lets through, in no order.
    public func forEach(_ filter: SubjectFilter, _ body: (SubjectID, SubjectSummary) -> Void) {
        filter.forEachMatch { id in body(id, summary(id)) }
    }

    /// Does the same for a few numbers from one on, so that many subjects can be walked over in several turns. A filter of
    /// few literal subjects goes through all at once.
    /// - Returns: where to go on; nil at the end.
    public func forEach(
        _ filter: SubjectFilter, from start: SubjectID, count: Int, _ body: (SubjectID, SubjectSummary) -> Void
    ) -> SubjectID? {
        guard filter.literals.isEmpty else {
            forEach(filter, body)
            return nil
        }
        let end = SubjectID(clamping: min(nextID, Int(start) + max(0, count)))
        var id = max(1, start)
        while id < end {
            if isPresent(id) && filter.matches(id) { body(id, summary(id)) }
            id += 1
        }
        return Int(id) < nextID ? id : nil
    }

    // MARK: For the index

    /// Numbers are below this.
    var idEnd: SubjectID { SubjectID(nextID) }

    /// Whether there is a message under this number.
    @inline(__always)
    func isPresent(_ id: SubjectID) -> Bool { Int(id) < nextID && records[Int(id)].count > 0 }

    /// The record of a number that was given out.
    @inline(__always)
    func record(_ id: SubjectID) -> UnsafeMutablePointer<SubjectRecord>? {
        id > 0 && Int(id) < nextID ? records + Int(id) : nil
    }

    /// The number of a subject, a new one if need be; nil if there are no more, or the subject is too long.
    func number(_ subject: ByteView) -> SubjectID? {
        let hash = hash(subject)
        if let id = find(subject, hash) { return id }
        guard subject.count <= Int(UInt16.max), let id = takeID() else { return nil }
        if (numbered + 1) * 4 > slotCount * 3 { growSlots() }
        let text = UnsafeMutablePointer<UInt8>.allocate(capacity: max(subject.count, 1))
        text.initialize(from: subject.base, count: subject.count)
        var record = SubjectRecord.none
        record.text = text
        record.hash = hash
        record.length = UInt16(subject.count)
        records[Int(id)] = record
        insert(id, hash)
        numbered += 1
        return id
    }

    /// A message has been added at the end.
    @inline(__always)
    func added(_ id: SubjectID, _ sequence: UInt64) {
        let record = records + Int(id)
        if record.pointee.count == 0 {
            record.pointee.first = sequence
            count += 1
        }
        record.pointee.count += 1
        record.pointee.entries += 1
        record.pointee.last = sequence
        record.pointee.tail = sequence
        record.pointee.isLastStale = false
    }

    /// The last message of a subject has gone.
    func emptied() { count -= 1 }

    /// An entry has left the index. Without entries and messages a subject has no number.
    @inline(__always)
    func dropped(_ id: SubjectID) {
        let record = records + Int(id)
        record.pointee.entries -= 1
        if record.pointee.entries == 0 { release(id) }
    }

    private func release(_ id: SubjectID) {
        let record = records + Int(id)
        erase(id, record.pointee.hash)
        record.pointee.text?.deallocate()
        record.pointee = .none
        numbered -= 1
        quarantine.append(id)
    }

    private func takeID() -> SubjectID? {
        if free.isEmpty && quarantine.count >= max(SubjectTable.quarantineMin, nextID / 4) {
            swap(&free, &quarantine)
            epoch &+= 1
        }
        if let id = free.popLast() { return id }
        guard nextID < SubjectTable.idsMax else { return nil }
        if nextID == capacity {
            let grown = UnsafeMutablePointer<SubjectRecord>.allocate(capacity: capacity * 2)
            grown.moveInitialize(from: records, count: capacity)
            (grown + capacity).initialize(repeating: .none, count: capacity)
            records.deallocate()
            records = grown
            capacity *= 2
        }
        nextID += 1
        return SubjectID(nextID - 1)
    }

    // MARK: The hash table

    private func find(_ subject: ByteView, _ hash: UInt32) -> SubjectID? {
        var place = Int(hash) & (slotCount - 1)
        while true {
            let slot = slots[place]
            if slot == 0 { return nil }
            if UInt32(truncatingIfNeeded: slot >> 32) == hash {
                let id = SubjectID(truncatingIfNeeded: slot)
                let record = records + Int(id)
                if Int(record.pointee.length) == subject.count, let text = record.pointee.text,
                    memcmp(text, subject.base, subject.count) == 0
                {
                    return id
                }
            }
            place = (place + 1) & (slotCount - 1)
        }
    }

    private func insert(_ id: SubjectID, _ hash: UInt32) {
        var place = Int(hash) & (slotCount - 1)
        while slots[place] != 0 { place = (place + 1) & (slotCount - 1) }
        slots[place] = UInt64(hash) << 32 | UInt64(id)
    }

    /// Removes a slot and moves up those behind it that a search would no longer reach.
    private func erase(_ id: SubjectID, _ hash: UInt32) {
        let mask = slotCount - 1
        var hole = Int(hash) & mask
        while SubjectID(truncatingIfNeeded: slots[hole]) != id {
            if slots[hole] == 0 { return }
            hole = (hole + 1) & mask
        }
        var place = hole
        while true {
            place = (place + 1) & mask
            if slots[place] == 0 { break }
            let home = Int(slots[place] >> 32) & mask
            if (place - home) & mask >= (place - hole) & mask {
                slots[hole] = slots[place]
                hole = place
            }
        }
        slots[hole] = 0
    }

    private func growSlots() {
        let old = slots, oldCount = slotCount
        slotCount *= 2
        slots = .allocate(capacity: slotCount)
        slots.initialize(repeating: 0, count: slotCount)
        for place in 0..<oldCount where old[place] != 0 {
            insert(SubjectID(truncatingIfNeeded: old[place]), UInt32(truncatingIfNeeded: old[place] >> 32))
        }
        old.deallocate()
    }

    /// Multiplies and folds, eight bytes at a time. Seeded, so that nobody can choose subjects that collide.
    private func hash(_ subject: ByteView) -> UInt32 {
        var value = seed ^ UInt64(truncatingIfNeeded: subject.count) &* 0x9E37_79B9_7F4A_7C15
        let bytes = UnsafeRawPointer(subject.base)
        var at = 0
        while at + 8 <= subject.count {
            value = SubjectTable.fold(value ^ bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self))
            at += 8
        }
        if at + 4 <= subject.count {
            value = SubjectTable.fold(value ^ UInt64(bytes.loadUnaligned(fromByteOffset: at, as: UInt32.self)))
            at += 4
        }
        var rest: UInt64 = 0
        while at < subject.count {
            rest = rest << 8 | UInt64(subject.base[at])
            at += 1
        }
        return UInt32(truncatingIfNeeded: SubjectTable.fold(value ^ rest) >> 16)
    }

    @inline(__always)
    private static func fold(_ value: UInt64) -> UInt64 {
        let product = (value ^ 0xA076_1D64_78BD_642F).multipliedFullWidth(by: 0xE703_7ED1_A0B4_28DB)
        return product.high ^ product.low
    }
}

@available(*, unavailable)
extension SubjectTable: Sendable {}
