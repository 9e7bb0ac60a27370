// A stretch of the message index: what is known in memory of neighbouring messages in one segment, twelve bytes each, or
// four to six where they are all of one subject.

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

    /// From the parts that `UniformEntries` keeps.
    @inline(__always)
    init(word0: UInt32, size: UInt32, subject: SubjectID, distance: UInt32) {
        self.word0 = word0
        word1 = subject | (size >> 3 & 15) << 28
        word2 = (size >> 7) << 24 | distance
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

/// The entries of a full run whose messages are all of one subject, without holes: each leads to the one behind it, so that
/// subject and distance need not be kept, and the size only once if it is always the same.
struct UniformEntries {
    fileprivate let words: UnsafeMutablePointer<UInt32>
    fileprivate let sizes: UnsafeMutablePointer<UInt16>?
    fileprivate let size: UInt32
    fileprivate let subject: SubjectID
    fileprivate let lastSlot: Int
    /// Of the last entry.
    fileprivate var distance: UInt32

    /// nil if the entries are not of that kind.
    init?(_ entries: UnsafeMutablePointer<IndexEntry>, _ count: Int) {
        guard count > 0, entries[0].subject != 0 else { return nil }
        subject = entries[0].subject
        size = entries[0].size
        lastSlot = count - 1
        distance = entries[count - 1].distance
        var isOneSize = true
        for slot in 0..<count {
            let entry = entries[slot]
            guard entry.subject == subject, entry.distance <= 1 || slot == lastSlot else { return nil }
            if entry.size != size { isOneSize = false }
        }
        words = .allocate(capacity: count)
        sizes = isOneSize ? nil : .allocate(capacity: count)
        for slot in 0..<count {
            (words + slot).initialize(to: entries[slot].word0)
            if let sizes { (sizes + slot).initialize(to: UInt16(truncatingIfNeeded: entries[slot].size)) }
        }
    }

    fileprivate var memory: Int { (lastSlot + 1) * (sizes == nil ? 4 : 6) }

    fileprivate func deallocate() {
        words.deallocate()
        sizes?.deallocate()
    }

    @inline(__always)
    fileprivate func entry(_ slot: Int) -> IndexEntry {
        var size = size
        if let sizes { size = UInt32(sizes[slot]) }
        return IndexEntry(word0: words[slot], size: size, subject: subject, distance: slot == lastSlot ? distance : 1)
    }

    /// False if the entry is no longer of the kind.
    fileprivate mutating func set(_ entry: IndexEntry, _ slot: Int) -> Bool {
        let isKept = slot == lastSlot || entry.distance == 1
        guard entry.subject == subject, isKept, entry.size == self.entry(slot).size else { return false }
        words[slot] = entry.word0
        if slot == lastSlot { distance = entry.distance }
        return true
    }
}

/// The entries of consecutive messages of one segment. Dense: entry n is that of sequence `first + n`. Sparse (most are
/// gone): only what is left, with the sequences beside.
final class IndexRun {
    /// A longer stretch is several runs: what grows is never large, and what is full is kept small.
    static let entriesMax = 16 << 10

    /// The segment, as its log numbers them.
    let owner: UInt64
    private(set) var first: UInt64
    /// When the first message was stored.
    let firstTimeNs: Int64
    private(set) var count = 0
    private(set) var live = 0
    private var capacity: Int
    /// Empty where `uniform` has the entries.
    private var full: UnsafeMutablePointer<IndexEntry>
    private var uniform: UniformEntries?
    /// In a sparse run: each entry's distance from `first`.
    private(set) var sparse: UnsafeMutablePointer<UInt32>?
    private(set) var last: UInt64

    init(owner: UInt64, first: UInt64, firstTimeNs: Int64, capacity: Int = 16) {
        self.owner = owner
        self.first = first
        self.firstTimeNs = firstTimeNs
        self.capacity = capacity
        last = first &- 1
        full = .allocate(capacity: capacity)
    }

    deinit {
        full.deallocate()
        uniform?.deallocate()
        sparse?.deallocate()
    }

    var memory: Int {
        capacity * MemoryLayout<IndexEntry>.stride + (sparse == nil ? 0 : capacity * 4) + (uniform?.memory ?? 0)
    }

    /// Whether more entries may be added behind the last one.
    var isOpen: Bool { sparse == nil && uniform == nil && count < IndexRun.entriesMax }

    /// What is known of the message in a slot.
    @inline(__always)
    subscript(slot: Int) -> IndexEntry {
        get {
            if let uniform { return uniform.entry(slot) }
            return full[slot]
        }
        set {
            if uniform?.set(newValue, slot) == true { return }
            if uniform != nil { spread() }
            full[slot] = newValue
        }
    }

    /// Adds the entry of a sequence beyond `last`; holes fill the way there.
    @inline(__always)
    func append(_ sequence: UInt64, _ entry: IndexEntry) {
        assert(sparse == nil && uniform == nil && sequence > last)
        let slot = Int(truncatingIfNeeded: sequence - first)
        if slot >= capacity { grow(slot + 1) }
        if slot > count { (full + count).initialize(repeating: .hole, count: slot - count) }
        full[slot] = entry
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
        self[slot].kill()
        live -= 1
    }

    /// Nothing is added any more: gives back what is not needed.
    func seal() {
        guard count > 0, sparse == nil, uniform == nil else { return }
        if let uniform = UniformEntries(full, count) {
            self.uniform = uniform
            full.deallocate()
            full = .allocate(capacity: 0)
            capacity = 0
            return
        }
        guard count < capacity else { return }
        let tight = UnsafeMutablePointer<IndexEntry>.allocate(capacity: count)
        tight.initialize(from: full, count: count)
        full.deallocate()
        full = tight
        capacity = count
    }

    /// Gives each entry its own subject and distance again.
    private func spread() {
        guard let uniform else { return }
        let entries = UnsafeMutablePointer<IndexEntry>.allocate(capacity: count)
        for slot in 0..<count { (entries + slot).initialize(to: uniform.entry(slot)) }
        full.deallocate()
        uniform.deallocate()
        full = entries
        capacity = count
        self.uniform = nil
    }

    /// Keeps live entries only, and calls `dropped` for the others. Links that lead to them are repaired by those who
    /// follow them.
    func thin(_ dropped: (IndexEntry, UInt64) -> Void) {
        let kept = UnsafeMutablePointer<IndexEntry>.allocate(capacity: max(live, 1))
        let places = UnsafeMutablePointer<UInt32>.allocate(capacity: max(live, 1))
        var used = 0
        for slot in 0..<count {
            let entry = self[slot]
            if entry.isLive {
                kept[used] = entry
                places[used] = UInt32(truncatingIfNeeded: sequence(slot) - first)
                used += 1
            } else if entry.subject != 0 {
                dropped(entry, sequence(slot))
            }
        }
        full.deallocate()
        uniform?.deallocate()
        uniform = nil
        sparse?.deallocate()
        full = kept
        sparse = places
        count = used
        capacity = max(used, 1)
    }

    private func grow(_ wanted: Int) {
        let size = max(wanted, capacity * 2)
        let grown = UnsafeMutablePointer<IndexEntry>.allocate(capacity: size)
        grown.initialize(from: full, count: count)
        full.deallocate()
        full = grown
        capacity = size
    }
}
