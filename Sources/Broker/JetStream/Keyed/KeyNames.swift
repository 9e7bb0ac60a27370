// Gives each ordering key of a stream a small number, and holds its text once for all consumers.

import CLinux
import Glibc
import Wire

/// A small number for a key, valid while somebody uses it. 0 is no key: such a message is its own.
typealias KeyID = UInt32

/// A key's number, and how many keys had that number before.
struct IssuedKey {
    var id: KeyID
    var issue: UInt32
}

/// Records in one array by number; a hash table with open addressing leads from a text to its number. The keys that were used last
/// rest a while before they are forgotten: most bookings that have nothing outstanding will soon have something again.
struct KeyNames: ~Copyable {
    /// How many may rest, and how long their texts may be. That is 400 KB at most.
    static let restMax = 1 << 12
    static let restBytesMax = 64

    /// 32 bytes, beside the text and the slot in the hash table.
    struct Record {
        /// Of the text alone: a journal may hold it.
        var hash: UInt64 = 0
        /// Its length comes before it.
        var text: UnsafeMutableRawPointer?
        /// The last message with this key that the index knows. While nobody uses the key: its turn among those that rest.
        var tail: UInt64 = 0
        /// How many keys had this number before.
        var issue: UInt32 = 0
        /// Messages in the index, and consumers for whom something of the key is outstanding.
        var uses: UInt32 = 0

        var bytes: ByteView {
            guard let text else { return .empty }
            let length = Int(text.loadUnaligned(as: UInt32.self))
            return ByteView((text + 4).assumingMemoryBound(to: UInt8.self), length)
        }
    }

    private var records: UnsafeMutablePointer<Record>
    private var capacity = 16
    private var nextID = 1
    private var unused: [KeyID] = []
    /// Numbers; 0 where there is none.
    private var slots: UnsafeMutablePointer<KeyID>
    private var slotCount = 32
    private(set) var count = 0
    /// A ring, by turn. The same key may be there several times; its last turn counts.
    private var resting: UnsafeMutablePointer<KeyID>?
    private var turns: UInt64 = 0

    init() {
        records = .allocate(capacity: capacity)
        slots = .allocate(capacity: slotCount)
        slots.initialize(repeating: 0, count: slotCount)
    }

    deinit {
        for id in 1..<nextID { records[id].text?.deallocate() }
        records.deallocate()
        slots.deallocate()
        resting?.deallocate()
    }

    /// Bytes that it holds, texts included.
    var memory: Int {
        var bytes = capacity * MemoryLayout<Record>.stride + slotCount * 4 + unused.capacity * 4
        if resting != nil { bytes += KeyNames.restMax * 4 }
        for id in 1..<nextID where records[id].text != nil { bytes += malloc_usable_size(records[id].text) + 8 }
        return bytes
    }

    /// Of a number that is in use.
    @inline(__always)
    func record(_ id: KeyID) -> UnsafeMutablePointer<Record> {
        assert(id > 0 && Int(id) < nextID)
        return records + Int(id)
    }

    /// Valid until the number is no longer used.
    func text(_ id: KeyID) -> ByteView {
        id > 0 && Int(id) < nextID ? records[Int(id)].bytes : .empty
    }

    /// A number with which `isSame` tells later whether it still stands for the same key.
    func issue(of id: KeyID) -> IssuedKey { IssuedKey(id: id, issue: records[Int(id)].issue) }

    @inline(__always)
    func isSame(_ key: IssuedKey) -> Bool { record(key.id).pointee.issue == key.issue }

    /// nil where nobody uses it.
    func find(_ text: ByteView) -> KeyID? {
        let hash = KeyNames.hash(text)
        var place = home(hash)
        while slots[place] != 0 {
            let id = slots[place]
            if isKey(id, text, hash) { return records[Int(id)].uses > 0 ? id : nil }
            place = (place &+ 1) & (slotCount &- 1)
        }
        return nil
    }

    /// The key with a hash that a journal has kept; nil where nobody uses it.
    func find(hash: UInt64) -> KeyID? {
        var place = home(hash)
        while slots[place] != 0 {
            let id = slots[place]
            if records[Int(id)].hash == hash, records[Int(id)].uses > 0 { return id }
            place = (place &+ 1) & (slotCount &- 1)
        }
        return nil
    }

    /// The number of a text, with one use more; 0 where no number is left.
    mutating func use(_ text: ByteView) -> KeyID {
        let hash = KeyNames.hash(text)
        var place = home(hash)
        while slots[place] != 0 {
            let id = slots[place]
            if isKey(id, text, hash) {
                retain(id)
                return id
            }
            place = (place &+ 1) & (slotCount &- 1)
        }
        return add(text, hash)
    }

    /// Stands for a message that is its own key.
    static func hash(_ sequence: UInt64) -> UInt64 {
        var sequence = sequence
        return withUnsafeBytes(of: &sequence) { hash(ByteView($0)) }
    }

    /// Of one that is in use, or that rests: `isSame` has said so.
    @inline(__always)
    mutating func retain(_ id: KeyID) {
        if records[Int(id)].uses == 0 { records[Int(id)].tail = 0 }
        records[Int(id)].uses &+= 1
    }

    @inline(__always)
    mutating func release(_ id: KeyID) {
        assert(records[Int(id)].uses > 0)
        records[Int(id)].uses &-= 1
        if records[Int(id)].uses == 0 { rest(id) }
    }

    /// Nobody uses a key any more: whoever rests longest makes room for it.
    private mutating func rest(_ id: KeyID) {
        guard records[Int(id)].bytes.count <= KeyNames.restBytesMax else { return remove(id) }
        let ring = resting ?? .allocate(capacity: KeyNames.restMax)
        if resting == nil {
            ring.initialize(repeating: 0, count: KeyNames.restMax)
            resting = ring
        }
        turns &+= 1
        let place = Int(truncatingIfNeeded: turns) & (KeyNames.restMax - 1)
        let oldest = ring[place]
        ring[place] = id
        records[Int(id)].tail = turns
        if oldest != 0, records[Int(oldest)].uses == 0, records[Int(oldest)].tail == turns &- UInt64(KeyNames.restMax) {
            remove(oldest)
        }
    }

    private mutating func add(_ text: ByteView, _ hash: UInt64) -> KeyID {
        guard let id = takeID() else { return 0 }
        if (count + 1) * 4 > slotCount * 3 { growSlots() }
        let copy = UnsafeMutableRawPointer.allocate(byteCount: text.count + 4, alignment: 4)
        copy.storeBytes(of: UInt32(truncatingIfNeeded: text.count), as: UInt32.self)
        (copy + 4).copyMemory(from: text.base, byteCount: text.count)
        let record = records + Int(id)
        record.pointee.hash = hash
        record.pointee.text = copy
        record.pointee.tail = 0
        record.pointee.uses = 1
        insert(id, hash)
        count += 1
        return id
    }

    private mutating func takeID() -> KeyID? {
        if let id = unused.popLast() { return id }
        guard nextID < 1 << 31 else { return nil }
        if nextID == capacity {
            let larger = UnsafeMutablePointer<Record>.allocate(capacity: capacity * 2)
            // The first one is never used.
            (larger + 1).moveInitialize(from: records + 1, count: capacity - 1)
            records.deallocate()
            records = larger
            capacity *= 2
        }
        (records + nextID).initialize(to: Record())
        defer { nextID += 1 }
        return KeyID(nextID)
    }

    // MARK: Hash table

    /// The same for the same text everywhere.
    static func hash(_ text: ByteView) -> UInt64 {
        var value = UInt64(truncatingIfNeeded: text.count) &* 0x9E37_79B9_7F4A_7C15
        let bytes = UnsafeRawPointer(text.base)
        var at = 0
        while at + 8 <= text.count {
            value = fold(value ^ bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self))
            at += 8
        }
        var rest: UInt64 = 1
        while at < text.count {
            rest = rest << 8 | UInt64(text.base[at])
            at += 1
        }
        return fold(value ^ rest)
    }

    @inline(__always)
    private static func fold(_ value: UInt64) -> UInt64 {
        let product = (value ^ 0xA076_1D64_78BD_642F).multipliedFullWidth(by: 0xE703_7ED1_A0B4_28DB)
        return product.high ^ product.low
    }

    /// Seeded, so that nobody can choose keys that collide in the table alone.
    @inline(__always) private func home(_ hash: UInt64) -> Int {
        Int(truncatingIfNeeded: ((hash ^ KeyNames.seed) &* 0x9E37_79B9_7F4A_7C15) >> 32) & (slotCount &- 1)
    }

    private static let seed = UInt64.random(in: 0...UInt64.max)

    @inline(__always) private func isKey(_ id: KeyID, _ text: ByteView, _ hash: UInt64) -> Bool {
        let record = records + Int(id)
        return record.pointee.hash == hash && record.pointee.bytes == text
    }

    private mutating func insert(_ id: KeyID, _ hash: UInt64) {
        var place = home(hash)
        while slots[place] != 0 { place = (place &+ 1) & (slotCount &- 1) }
        slots[place] = id
    }

    private mutating func growSlots() {
        let old = slots, oldCount = slotCount
        slotCount *= 2
        slots = .allocate(capacity: slotCount)
        slots.initialize(repeating: 0, count: slotCount)
        for place in 0..<oldCount where old[place] != 0 { insert(old[place], records[Int(old[place])].hash) }
        old.deallocate()
    }

    /// Closes the hole by moving later slots of the same run back, so that no search ends early.
    private mutating func remove(_ id: KeyID) {
        let mask = slotCount - 1
        var hole = home(records[Int(id)].hash)
        while slots[hole] != id {
            if slots[hole] == 0 { return }
            hole = (hole + 1) & mask
        }
        var place = hole
        while true {
            place = (place + 1) & mask
            if slots[place] == 0 { break }
            let wanted = home(records[Int(slots[place])].hash)
            if (place &- wanted) & mask >= (place &- hole) & mask {
                slots[hole] = slots[place]
                hole = place
            }
        }
        slots[hole] = 0
        records[Int(id)].text?.deallocate()
        records[Int(id)].text = nil
        records[Int(id)].tail = 0
        records[Int(id)].issue &+= 1
        unused.append(id)
        count -= 1
    }
}
