// A run of consecutive sequences in a stream's index of keys: all of its messages, or, once every consumer has read on, only
// those that one still needs.

import CLinux
import Glibc

/// Raw memory; whoever holds the page frees it with `free`. A page begins dense, with a place for every sequence, and
/// becomes sparse, with its places in ascending order of sequence.
struct KeyPage {
    struct Entry {
        /// 0 where the message has no key, or none is known.
        var key: KeyID
        /// To the next message of the key; 0 at its last, `far` where it does not fit.
        var distance: UInt32
        static let far = UInt32.max
        static let empty = Entry(key: 0, distance: 0)
    }

    static let shift: UInt64 = 7
    static let size = 1 << 7

    /// The first sequence, divided by the page's size.
    let number: UInt64
    private var entries: UnsafeMutablePointer<Entry>
    /// Sparse: where in the page each entry belongs.
    private var places: UnsafeMutablePointer<UInt8>?
    private(set) var count: Int

    /// A dense page without keys.
    init(number: UInt64) {
        self.number = number
        entries = .allocate(capacity: KeyPage.size)
        entries.initialize(repeating: .empty, count: KeyPage.size)
        count = KeyPage.size
    }

    func free() {
        entries.deallocate()
        places?.deallocate()
    }

    var firstSequence: UInt64 { number << KeyPage.shift }
    var isEmpty: Bool { count == 0 }
    /// Bytes that it holds, itself included.
    var memory: Int {
        MemoryLayout<KeyPage>.stride + malloc_usable_size(entries) + 8 + (places.map { malloc_usable_size($0) + 8 } ?? 0)
    }

    /// The entry of a sequence; nil if a sparse page has none.
    @inline(__always)
    func entry(_ sequence: UInt64) -> UnsafeMutablePointer<Entry>? {
        let place = UInt8(truncatingIfNeeded: sequence & UInt64(KeyPage.size - 1))
        guard let places else { return entries + Int(place) }
        var low = 0, high = count
        while low < high {
            let middle = (low + high) >> 1
            if places[middle] < place { low = middle + 1 } else { high = middle }
        }
        return low < count && places[low] == place ? entries + low : nil
    }

    /// Calls `body` for every message that has a key, in ascending order; until it returns true.
    @discardableResult
    func forEach(_ body: (UInt64, Entry) -> Bool) -> Bool {
        for slot in 0..<count where entries[slot].key != 0 {
            if body(firstSequence + UInt64(places?[slot] ?? UInt8(slot)), entries[slot]) { return true }
        }
        return false
    }

    /// Keeps the entries that `isNeeded` says, and calls `dropped` with the sequence and the entry of each other.
    mutating func compact(_ isNeeded: (UInt64, KeyID) -> Bool, dropped: (UInt64, Entry) -> Void) {
        var kept = 0
        // A sparse page moves its entries forward; a dense one collects what it keeps first.
        var keptPlaces: [UInt8] = []
        for slot in 0..<count where entries[slot].key != 0 {
            let entry = entries[slot], place = places?[slot] ?? UInt8(slot)
            guard isNeeded(firstSequence + UInt64(place), entry.key) else {
                dropped(firstSequence + UInt64(place), entry)
                continue
            }
            entries[kept] = entry
            if let places { places[kept] = place } else { keptPlaces.append(place) }
            kept += 1
        }
        let isSmaller = kept <= count / 2
        if places == nil {
            let fresh = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, kept))
            for (slot, place) in keptPlaces.enumerated() { (fresh + slot).initialize(to: place) }
            places = fresh
        }
        count = kept
        if isSmaller { shrink() }
    }

    private mutating func shrink() {
        let smaller = UnsafeMutablePointer<Entry>.allocate(capacity: max(1, count))
        smaller.initialize(from: entries, count: count)
        entries.deallocate()
        entries = smaller
        if let old = places {
            let smallerPlaces = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, count))
            smallerPlaces.initialize(from: old, count: count)
            old.deallocate()
            places = smallerPlaces
        }
    }
}
