// What a keyed consumer has outstanding, on raw memory: messages that are ready, leased, in back-off or parked, found by
// sequence and by key in constant time, and never more of a key than it may have leased at a time.

import Glibc

/// Entries are known by slots, which stay valid until they are removed. Owned by one consumer.
///
/// What waits behind an outstanding message of its key is not here: the stream's `KeyIndex` knows it.
struct OutstandingTable: ~Copyable {
    typealias Slot = UInt32
    static let none = Slot.max
    /// Stands where a free slot would have a sibling.
    private static let gone = Slot.max - 1

    private struct Ends {
        var head = none
        var tail = none
    }

    private static let chunkShift = 9
    private static let chunkSize = 1 << 9

    private(set) var count = 0
    private var chunks: UnsafeMutablePointer<UnsafeMutablePointer<Entry>>
    private var chunkCount = 0
    private var chunkCapacity = 8
    private var unused = none
    private var usedSlots = 0
    /// Open addressing over slots, by sequence and by key; powers of two, at most thirteen sixteenths full.
    private var bySequence: SlotIndex
    private var byKey: SlotIndex
    private var ready = Ends()
    private var parked = Ends()
    private var heap: [Slot] = []
    private var counts: (Int, Int, Int, Int, Int, Int, Int) = (0, 0, 0, 0, 0, 0, 0)

    init() {
        chunks = .allocate(capacity: chunkCapacity)
        bySequence = SlotIndex()
        byKey = SlotIndex()
    }

    deinit {
        for place in 0..<chunkCount { chunks[place].deallocate() }
        chunks.deallocate()
    }

    /// Bytes that it holds.
    var memory: Int {
        chunkCount * OutstandingTable.chunkSize * MemoryLayout<Entry>.stride + chunkCapacity * 8 + bySequence.memory
            + byKey.memory + heap.capacity * 4
    }

    // MARK: Finding

    subscript(slot: Slot) -> Entry {
        @inline(__always) _read { yield entry(slot).pointee }
        @inline(__always) nonmutating _modify { yield &entry(slot).pointee }
    }

    /// To set what is computed of an entry: through the subscript the compiler cannot build that for the thread sanitizer.
    @inline(__always) func at(_ slot: Slot) -> UnsafeMutablePointer<Entry> { entry(slot) }

    @inline(__always) private func entry(_ slot: Slot) -> UnsafeMutablePointer<Entry> {
        assert(slot < usedSlots)
        return OutstandingTable.entry(chunks, slot)
    }

    @inline(__always)
    private static func entry(
        _ chunks: UnsafeMutablePointer<UnsafeMutablePointer<Entry>>, _ slot: Slot
    ) -> UnsafeMutablePointer<Entry> {
        chunks[Int(slot >> UInt32(chunkShift))] + Int(slot & UInt32(chunkSize - 1))
    }

    /// Whether a slot that was given out once is there.
    func isUsed(_ slot: Slot) -> Bool { slot < usedSlots && entry(slot).pointee.sibling != OutstandingTable.gone }

    /// The entry of a message, or `none`.
    func find(_ sequence: UInt64) -> Slot {
        var place = bySequence.home(sequence)
        while true {
            let slot = bySequence[place]
            if slot == OutstandingTable.none || entry(slot).pointee.sequence == sequence { return slot }
            place = bySequence.after(place)
        }
    }

    /// The key's first entry, or `none`.
    func first(of key: KeyID) -> Slot {
        guard key != 0 else { return OutstandingTable.none }
        var place = byKey.home(UInt64(key))
        while true {
            let slot = byKey[place]
            if slot == OutstandingTable.none || entry(slot).pointee.key == key { return slot }
            place = byKey.after(place)
        }
    }

    /// The key's lowest sequence that is outstanding, or else the last that was taken; nil without an entry.
    func lowest(of key: KeyID) -> UInt64? {
        let first = first(of: key)
        guard first != OutstandingTable.none else { return nil }
        var lowest = entry(first).pointee.cursor, slot = first
        while slot != OutstandingTable.none {
            let sequence = entry(slot).pointee.sequence
            if sequence != 0 && sequence < lowest { lowest = sequence }
            slot = entry(slot).pointee.sibling
        }
        return lowest
    }

    /// The key's next entry.
    func sibling(_ slot: Slot) -> Slot { entry(slot).pointee.sibling }

    /// Everything of the key up to here has been taken. For a message that is its own key, itself.
    func cursor(_ first: Slot) -> UInt64 { entry(first).pointee.cursor }
    /// What waits of the key.
    func waiting(_ first: Slot) -> Backlog {
        Backlog(messages: UInt64(entry(first).pointee.waitingCount), bytes: entry(first).pointee.waitingBytes)
    }
    func setWaiting(_ first: Slot, _ backlog: Backlog) {
        entry(first).pointee.waitingCount = UInt32(clamping: backlog.messages)
        entry(first).pointee.waitingBytes = backlog.bytes
    }
    func entries(ofKeyAt first: Slot) -> Int { Int(entry(first).pointee.ofKey) }
    func isParked(keyAt first: Slot) -> Bool { entry(first).pointee.parkedOfKey > 0 }

    func count(_ state: State) -> Int {
        switch state {
        case .ready: counts.0
        case .leased: counts.1
        case .orphaned: counts.2
        case .backoff: counts.3
        case .settling: counts.4
        case .parking: counts.5
        case .parked: counts.6
        }
    }

    /// The next one to lease.
    var firstReady: Slot { ready.head }
    /// The one that was parked first.
    var firstParked: Slot { parked.head }
    /// The slot behind it in its list.
    func following(_ slot: Slot) -> Slot { entry(slot).pointee.after }

    /// Calls `body` for every entry, in no order. The body may change states and remove the entry it is called with.
    func forEach(_ body: (Slot) -> Void) {
        for slot in 0..<Slot(usedSlots) where entry(slot).pointee.sibling != OutstandingTable.gone {
            body(slot)
        }
    }

    // MARK: Coming and going

    /// Adds a message that is not there yet. It is in no list: `move` says what becomes of it.
    mutating func insert(_ sequence: UInt64, _ key: KeyID) -> Slot {
        let slot = takeSlot()
        entry(slot).initialize(to: Entry(sequence: sequence, key: 0, state: .settling))
        add(1, .settling)
        count += 1
        entry(slot).pointee.cursor = sequence
        if sequence != 0 { place(slot, sequence) }
        join(slot, key)
        return slot
    }

    /// Makes it one of its key's: for entries whose key is found out later.
    mutating func join(_ slot: Slot, _ key: KeyID) {
        guard key != 0 else { return }
        entry(slot).pointee.key = key
        let first = first(of: key, except: slot)
        guard first != OutstandingTable.none else {
            if byKey.isFull { growKeys() }
            byKey.insert(slot, UInt64(key))
            return
        }
        entry(slot).pointee.sibling = entry(first).pointee.sibling
        entry(slot).pointee.ofKey = 0x7FFF
        entry(first).pointee.sibling = slot
        entry(first).pointee.ofKey += 1
        if entry(slot).pointee.state == .parked || entry(slot).pointee.state == .parking {
            entry(first).pointee.parkedOfKey += 1
        }
        raiseCursor(first, to: entry(slot).pointee.sequence)
    }

    private func first(of key: KeyID, except slot: Slot) -> Slot {
        var place = byKey.home(UInt64(key))
        while true {
            let found = byKey[place]
            if found == OutstandingTable.none || entry(found).pointee.key == key && found != slot { return found }
            place = byKey.after(place)
        }
    }

    mutating func remove(_ slot: Slot) {
        leaveList(slot)
        let state = entry(slot).pointee.state
        if entry(slot).pointee.sequence != 0 { leaveSequence(slot) }
        if entry(slot).pointee.key != 0 { leaveKey(slot) }
        add(-1, state)
        entry(slot).pointee.ofKey = 0
        entry(slot).pointee.sibling = OutstandingTable.gone
        entry(slot).pointee.sequence = 0
        entry(slot).pointee.moment = .max
        entry(slot).pointee.after = unused
        unused = slot
        count -= 1
        if count == 0 && chunkCount > 64 { reset() }
    }

    mutating func removeAll() { reset() }

    /// Has a settling entry stand for the key's next message; 0: there is none yet.
    mutating func replace(_ slot: Slot, with sequence: UInt64) {
        assert(entry(slot).pointee.state == .settling)
        if entry(slot).pointee.sequence != 0 { leaveSequence(slot) }
        let old = entry(slot)
        old.pointee.sequence = sequence
        old.pointee.delivery = 0
        old.pointee.holder = 0
        old.pointee.attempts = 0
        old.pointee.total = 0
        old.pointee.reason = .none
        old.pointee.isUnpinned = false
        if sequence != 0 { place(slot, sequence) }
        let first = old.pointee.key == 0 ? slot : first(of: old.pointee.key)
        raiseCursor(first, to: sequence)
    }

    /// The key has taken everything up to a sequence.
    func raiseCursor(_ first: Slot, to sequence: UInt64) {
        if sequence > entry(first).pointee.cursor { entry(first).pointee.cursor = sequence }
    }

    /// A lease more.
    func countLease(_ slot: Slot) {
        let entry = entry(slot)
        if entry.pointee.attempts < .max { entry.pointee.attempts += 1 }
        entry.pointee.total += 1
    }

    // MARK: States

    /// Gives an entry another state, and its place in that state's list or heap. `moment` is what the state says it is.
    mutating func move(_ slot: Slot, to state: State, moment: UInt64 = 0) {
        leaveList(slot)
        let entry = entry(slot)
        let before = entry.pointee.state
        add(-1, before)
        add(1, state)
        let wasParked = before == .parked || before == .parking, isParked = state == .parked || state == .parking
        if wasParked != isParked {
            let first = entry.pointee.key == 0 ? slot : first(of: entry.pointee.key)
            if isParked { self.entry(first).pointee.parkedOfKey += 1 } else { self.entry(first).pointee.parkedOfKey -= 1 }
        }
        entry.pointee.state = state
        entry.pointee.moment = moment
        switch state {
        case .ready: OutstandingTable.append(slot, to: &ready, chunks)
        case .parked: OutstandingTable.append(slot, to: &parked, chunks)
        case .leased, .orphaned, .backoff:
            entry.pointee.before = Slot(truncatingIfNeeded: heap.count)
            heap.append(slot)
            siftUp(heap.count - 1)
        case .settling, .parking: break
        }
    }

    /// When the first lease or back-off ends; nil without any.
    var nextMoment: UInt64? { heap.first.map { entry($0).pointee.moment } }
    /// Its slot.
    var nextTimed: Slot { heap.first ?? OutstandingTable.none }

    private mutating func add(_ number: Int, _ state: State) {
        switch state {
        case .ready: counts.0 += number
        case .leased: counts.1 += number
        case .orphaned: counts.2 += number
        case .backoff: counts.3 += number
        case .settling: counts.4 += number
        case .parking: counts.5 += number
        case .parked: counts.6 += number
        }
    }

    // MARK: Lists

    private static func append(
        _ slot: Slot, to list: inout Ends, _ chunks: UnsafeMutablePointer<UnsafeMutablePointer<Entry>>
    ) {
        let added = entry(chunks, slot)
        added.pointee.before = list.tail
        added.pointee.after = none
        if list.tail == none { list.head = slot } else { entry(chunks, list.tail).pointee.after = slot }
        list.tail = slot
    }

    private static func unlink(
        _ slot: Slot, from list: inout Ends, _ chunks: UnsafeMutablePointer<UnsafeMutablePointer<Entry>>
    ) {
        let before = entry(chunks, slot).pointee.before, after = entry(chunks, slot).pointee.after
        if before == none { list.head = after } else { entry(chunks, before).pointee.after = after }
        if after == none { list.tail = before } else { entry(chunks, after).pointee.before = before }
    }

    private mutating func leaveList(_ slot: Slot) {
        switch entry(slot).pointee.state {
        case .ready: OutstandingTable.unlink(slot, from: &ready, chunks)
        case .parked: OutstandingTable.unlink(slot, from: &parked, chunks)
        case .leased, .orphaned, .backoff: leaveHeap(slot)
        case .settling, .parking: break
        }
    }

    // MARK: Heap

    private mutating func leaveHeap(_ slot: Slot) {
        let hole = Int(entry(slot).pointee.before)
        let last = heap.removeLast()
        guard last != slot else { return }
        heap[hole] = last
        entry(last).pointee.before = Slot(truncatingIfNeeded: hole)
        siftUp(hole)
        siftDown(Int(entry(last).pointee.before))
    }

    private mutating func siftUp(_ start: Int) {
        var child = start
        while child > 0 {
            let parent = (child - 1) / 2
            guard entry(heap[child]).pointee.moment < entry(heap[parent]).pointee.moment else { return }
            exchange(child, parent)
            child = parent
        }
    }

    private mutating func siftDown(_ start: Int) {
        var parent = start
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2]
            where child < heap.count && entry(heap[child]).pointee.moment < entry(heap[least]).pointee.moment {
                least = child
            }
            if least == parent { return }
            exchange(least, parent)
            parent = least
        }
    }

    private mutating func exchange(_ a: Int, _ b: Int) {
        heap.swapAt(a, b)
        entry(heap[a]).pointee.before = Slot(truncatingIfNeeded: a)
        entry(heap[b]).pointee.before = Slot(truncatingIfNeeded: b)
    }

    // MARK: Slots

    private mutating func place(_ slot: Slot, _ sequence: UInt64) {
        if bySequence.isFull { growSequences() }
        bySequence.insert(slot, sequence)
    }

    private mutating func growSequences() {
        let chunks = chunks
        bySequence.grow { OutstandingTable.entry(chunks, $0).pointee.sequence }
    }

    private mutating func growKeys() {
        let chunks = chunks
        byKey.grow { UInt64(OutstandingTable.entry(chunks, $0).pointee.key) }
    }

    private mutating func leaveSequence(_ slot: Slot) {
        let chunks = chunks
        bySequence.remove(slot, entry(slot).pointee.sequence) { OutstandingTable.entry(chunks, $0).pointee.sequence }
    }

    /// Hands what the key's first entry knows of the key to the next one.
    private mutating func leaveKey(_ slot: Slot) {
        let key = entry(slot).pointee.key
        let head = first(of: key)
        let isParked = entry(slot).pointee.state == .parked || entry(slot).pointee.state == .parking
        if isParked { entry(head).pointee.parkedOfKey -= 1 }
        if head == slot {
            let chunks = chunks
            byKey.remove(slot, UInt64(key)) { UInt64(OutstandingTable.entry(chunks, $0).pointee.key) }
            let next = entry(slot).pointee.sibling
            if next != OutstandingTable.none {
                entry(next).pointee.cursor = entry(slot).pointee.cursor
                entry(next).pointee.waitingBytes = entry(slot).pointee.waitingBytes
                entry(next).pointee.waitingCount = entry(slot).pointee.waitingCount
                entry(next).pointee.ofKey = entry(slot).pointee.ofKey - 1
                entry(next).pointee.parkedOfKey = entry(slot).pointee.parkedOfKey
                byKey.insert(next, UInt64(key))
            }
        } else {
            var previous = head
            while entry(previous).pointee.sibling != slot { previous = entry(previous).pointee.sibling }
            entry(previous).pointee.sibling = entry(slot).pointee.sibling
            entry(head).pointee.ofKey -= 1
        }
    }

    private mutating func takeSlot() -> Slot {
        if unused != OutstandingTable.none {
            let slot = unused
            unused = entry(slot).pointee.after
            return slot
        }
        if usedSlots == chunkCount * OutstandingTable.chunkSize {
            if chunkCount == chunkCapacity {
                let larger = UnsafeMutablePointer<UnsafeMutablePointer<Entry>>.allocate(capacity: chunkCapacity * 2)
                larger.moveInitialize(from: chunks, count: chunkCount)
                chunks.deallocate()
                chunks = larger
                chunkCapacity *= 2
            }
            (chunks + chunkCount).initialize(to: .allocate(capacity: OutstandingTable.chunkSize))
            chunkCount += 1
        }
        defer { usedSlots += 1 }
        return Slot(truncatingIfNeeded: usedSlots)
    }

    /// Gives back what a burst has taken.
    private mutating func reset() {
        for place in 0..<chunkCount { chunks[place].deallocate() }
        chunkCount = 0
        usedSlots = 0
        count = 0
        unused = OutstandingTable.none
        bySequence = SlotIndex()
        byKey = SlotIndex()
        ready = Ends()
        parked = Ends()
        heap = []
        counts = (0, 0, 0, 0, 0, 0, 0)
    }
}
