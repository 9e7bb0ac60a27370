// A stretch of the message index: what is known in memory of the messages in one segment, twelve bytes each.

import Glibc

/// One message in the index, in twelve bytes.
///
///     word 0   bits 0-24 place in its segment, in units of eight bytes | 25 live | 26-28 marks | 29-31 size, bits 0-2
///     word 1   bits 0-27 subject | 28-31 size, bits 3-6
///     word 2   bits 0-23 distance to the next message of the subject | 24-31 size, bits 7-14
///
/// A message that was removed keeps its subject and its distance, so that whoever stood there finds the way on. A sequence
/// that never had a message has subject 0. The distance is 0 at the end of a chain and `farDistance` where it does not fit,
/// the size `largeSize` where that does not fit.
struct IndexEntry {
    /// Segments are smaller than this, in bytes.
    static let placesEnd = 1 << 28
    static let farDistance: UInt32 = 0xFF_FFFF
    static let largeSize: UInt32 = 0x7FFF
    private static let liveBit: UInt32 = 1 << 25

    var word0: UInt32
    var word1: UInt32
    var word2: UInt32

    static let hole = IndexEntry(word0: 0, word1: 0, word2: 0)

    private init(word0: UInt32, word1: UInt32, word2: UInt32) {
        self.word0 = word0
        self.word1 = word1
        self.word2 = word2
    }

    /// - Parameters:
    ///   - place: in bytes, a multiple of eight.
    ///   - size: as the stream counts it.
    init(place: Int, size: Int, marks: MessageMarks, subject: SubjectID) {
        assert(place & 7 == 0 && place < IndexEntry.placesEnd)
        let size = UInt32(truncatingIfNeeded: min(size, Int(IndexEntry.largeSize)))
        word0 = UInt32(truncatingIfNeeded: place >> 3) | IndexEntry.liveBit | IndexEntry.pack(marks) << 26 | (size & 7) << 29
        word1 = subject | (size >> 3 & 15) << 28
        word2 = (size >> 7) << 24
    }

    @inline(__always) var place: Int { Int(word0 & 0x1FF_FFFF) << 3 }
    @inline(__always) var isLive: Bool { word0 & IndexEntry.liveBit != 0 }
    @inline(__always) var subject: SubjectID { word1 & 0xFFF_FFFF }
    @inline(__always) var distance: UInt32 { word2 & 0xFF_FFFF }
    /// `largeSize` where it must be looked up.
    @inline(__always) var size: UInt32 { word0 >> 29 | (word1 >> 28) << 3 | (word2 >> 24) << 7 }
    /// Without `batchContinues`: that matters to recovery only.
    var marks: MessageMarks {
        let bits = UInt8(truncatingIfNeeded: word0 >> 26 & 7)
        return MessageMarks(rawValue: bits & 3 | (bits & 4) << 1)
    }

    @inline(__always) mutating func kill() { word0 &= ~IndexEntry.liveBit }
    @inline(__always) mutating func link(_ distance: UInt32) { word2 = word2 & 0xFF00_0000 | distance }
    mutating func move(to place: Int) { word0 = word0 & ~0x1FF_FFFF | UInt32(truncatingIfNeeded: place >> 3) }

    @inline(__always)
    static func pack(_ marks: MessageMarks) -> UInt32 { UInt32(marks.rawValue & 3 | marks.rawValue >> 1 & 4) }
}

/// The entries of consecutive messages of one segment. Dense: entry n is that of sequence `first + n`. Sparse (most are
/// gone): only what is left, with the sequences beside.
final class IndexRun {
    /// The segment, as its log numbers them.
    let owner: UInt64
    private(set) var first: UInt64
    /// When the first message was stored.
    let firstTimeNs: Int64
    private(set) var count = 0
    private(set) var live = 0
    private var capacity: Int
    private(set) var entries: UnsafeMutablePointer<IndexEntry>
    /// In a sparse run: each entry's distance from `first`.
    private(set) var sparse: UnsafeMutablePointer<UInt32>?
    private(set) var last: UInt64

    init(owner: UInt64, first: UInt64, firstTimeNs: Int64, capacity: Int = 16) {
        self.owner = owner
        self.first = first
        self.firstTimeNs = firstTimeNs
        self.capacity = capacity
        last = first &- 1
        entries = .allocate(capacity: capacity)
    }

    deinit {
        entries.deallocate()
        sparse?.deallocate()
    }

    var memory: Int { capacity * MemoryLayout<IndexEntry>.stride + (sparse == nil ? 0 : capacity * 4) }

    /// Adds the entry of a sequence beyond `last`; holes fill the way there.
    @inline(__always)
    func append(_ sequence: UInt64, _ entry: IndexEntry) {
        assert(sparse == nil && sequence > last)
        let slot = Int(truncatingIfNeeded: sequence - first)
        if slot >= capacity { grow(slot + 1) }
        if slot > count { (entries + count).initialize(repeating: .hole, count: slot - count) }
        entries[slot] = entry
        count = slot + 1
        last = sequence
        live += 1
    }

    /// The slot of a sequence, or -1.
    @inline(__always)
    func slot(of sequence: UInt64) -> Int {
        if sequence < first || sequence > last { return -1 }
        guard let sparse else { return Int(truncatingIfNeeded: sequence - first) }
        let slot = lowerSlot(sequence)
        return slot < count && UInt64(sparse[slot]) == sequence - first ? slot : -1
    }

    /// The first slot whose sequence is not below this one; `count` if there is none.
    @inline(__always)
    func lowerSlot(_ sequence: UInt64) -> Int {
        if sequence <= first { return 0 }
        if sequence > last { return count }
        guard let sparse else { return Int(truncatingIfNeeded: sequence - first) }
        let wanted = UInt32(truncatingIfNeeded: sequence - first)
        var low = 0, high = count
        while low < high {
            let middle = (low + high) >> 1
            if sparse[middle] < wanted { low = middle + 1 } else { high = middle }
        }
        return low
    }

    @inline(__always)
    func sequence(_ slot: Int) -> UInt64 {
        if let sparse { return first + UInt64(sparse[slot]) }
        return first + UInt64(truncatingIfNeeded: slot)
    }

    @inline(__always)
    func kill(_ slot: Int) {
        entries[slot].kill()
        live -= 1
    }

    /// Gives back what doubling has reserved.
    func seal() {
        guard count < capacity, count > 0 else { return }
        let tight = UnsafeMutablePointer<IndexEntry>.allocate(capacity: count)
        tight.initialize(from: entries, count: count)
        entries.deallocate()
        entries = tight
        capacity = count
    }

    /// Keeps live entries only, and calls `dropped` for the others. Links that lead to them are repaired by those who
    /// follow them.
    func thin(_ dropped: (IndexEntry, UInt64) -> Void) {
        let kept = UnsafeMutablePointer<IndexEntry>.allocate(capacity: max(live, 1))
        let places = UnsafeMutablePointer<UInt32>.allocate(capacity: max(live, 1))
        var used = 0
        for slot in 0..<count {
            let entry = entries[slot]
            if entry.isLive {
                kept[used] = entry
                places[used] = UInt32(truncatingIfNeeded: sequence(slot) - first)
                used += 1
            } else if entry.subject != 0 {
                dropped(entry, sequence(slot))
            }
        }
        entries.deallocate()
        sparse?.deallocate()
        entries = kept
        sparse = places
        count = used
        capacity = max(used, 1)
    }

    private func grow(_ wanted: Int) {
        let size = max(wanted, capacity * 2)
        let grown = UnsafeMutablePointer<IndexEntry>.allocate(capacity: size)
        grown.initialize(from: entries, count: count)
        entries.deallocate()
        entries = grown
        capacity = size
    }
}
