// A hash table of slots, for tables that find their entries by a number.

/// Open addressing; the entries' own numbers are the keys, which the owner compares.
struct SlotIndex: ~Copyable {
    static let none = UInt32.max

    private var slots: UnsafeMutablePointer<UInt32>
    private var size = 16
    private var count = 0

    init() {
        slots = .allocate(capacity: 16)
        slots.initialize(repeating: SlotIndex.none, count: 16)
    }

    deinit { slots.deallocate() }

    var memory: Int { size * 4 }
    /// One more would make searches long. Numbers that follow each other spread evenly, so that little room is enough.
    var isFull: Bool { (count + 1) * 16 > size * 13 }

    @inline(__always) subscript(place: Int) -> UInt32 { slots[place] }
    @inline(__always) func home(_ number: UInt64) -> Int {
        Int(truncatingIfNeeded: (number &* 0x9E37_79B9_7F4A_7C15) >> 32) & (size &- 1)
    }
    @inline(__always) func after(_ place: Int) -> Int { (place &+ 1) & (size &- 1) }

    /// Not while `isFull`.
    mutating func insert(_ slot: UInt32, _ number: UInt64) {
        var place = home(number)
        while slots[place] != SlotIndex.none { place = after(place) }
        slots[place] = slot
        count += 1
    }

    /// Closes the hole by moving later slots of the same run back, so that no search ends early.
    mutating func remove(_ slot: UInt32, _ number: UInt64, _ numberOf: (UInt32) -> UInt64) {
        var hole = home(number)
        while slots[hole] != slot {
            if slots[hole] == SlotIndex.none { return }
            hole = after(hole)
        }
        var place = hole
        while true {
            place = after(place)
            let moved = slots[place]
            if moved == SlotIndex.none { break }
            let wanted = home(numberOf(moved))
            if (place &- wanted) & (size &- 1) >= (place &- hole) & (size &- 1) {
                slots[hole] = moved
                hole = place
            }
        }
        slots[hole] = SlotIndex.none
        count -= 1
    }

    mutating func grow(_ numberOf: (UInt32) -> UInt64) {
        let old = slots, oldSize = size
        size *= 2
        slots = .allocate(capacity: size)
        slots.initialize(repeating: SlotIndex.none, count: size)
        for place in 0..<oldSize where old[place] != SlotIndex.none {
            var next = home(numberOf(old[place]))
            while slots[next] != SlotIndex.none { next = after(next) }
            slots[next] = old[place]
        }
        old.deallocate()
    }
}
