// Messages that a consumer has delivered and that are not acked yet, on raw memory: found by sequence in constant time,
// walked in stream order, and expired in the order of their deadlines without a scan.

import Glibc

/// Entries are known by slots, which stay valid until they are removed. Owned by one consumer.
struct PendingTable: ~Copyable {
    typealias Slot = UInt32
    static let none = Slot.max

    /// Where an entry waits. It is in one place at a time.
    enum Place: UInt8 {
        /// For an ack, as long as the consumer's ack wait says: a list, oldest first.
        case acks
        /// For a moment of its own (backoff, delayed nak): a heap.
        case deadline
        /// For its redelivery: a list, first come first served.
        case redelivery
        /// For an ack without any limit.
        case nothing
    }

    /// One cache line.
    struct Entry {
        /// In the stream.
        var sequence: UInt64
        /// The consumer sequence of its first delivery, by which the ack floor goes.
        var delivery: UInt64
        /// When it was last delivered, or said to be in progress; monotonic.
        var sinceNs: UInt64
        /// In the heap: when it is due; monotonic. While it waits for its redelivery: the journal's commit that has to be
        /// finished before.
        var deadlineNs: UInt64 = 0
        var deliveries: UInt32 = 1
        fileprivate var before: Slot = none
        fileprivate var after: Slot = none
        fileprivate var linkBefore: Slot = none
        fileprivate var linkAfter: Slot = none
        fileprivate var heapIndex: UInt32 = 0
        var place = Place.nothing
    }

    private struct Ends {
        var head: Slot = none
        var tail: Slot = none
    }

    private(set) var count = 0
    private(set) var redeliveryCount = 0
    /// Entries that were delivered more than once.
    private(set) var redeliveredCount = 0
    private var entries: UnsafeMutablePointer<Entry>
    private var capacity: Int
    /// Slots that were used and are free, chained by `after`.
    private var unused: Slot = none
    private var usedSlots = 0
    /// Open addressing over slots; a power of two, at most half full.
    private var index: UnsafeMutablePointer<Slot>
    private var indexShift: UInt64
    private var order = Ends()
    private var acks = Ends()
    private var redeliveries = Ends()
    private var heap: [Slot] = []

    private static let capacityMin = 16
    /// What an empty table may hold on to: 4 MiB.
    private static let capacityKept = 65_536

    init() {
        capacity = PendingTable.capacityMin
        entries = .allocate(capacity: capacity)
        (index, indexShift) = PendingTable.makeIndex(capacity: capacity)
    }

    deinit {
        entries.deallocate()
        index.deallocate()
    }

    var isEmpty: Bool { count == 0 }
    /// The entry with the lowest sequence.
    var first: Slot { order.head }
    /// The next one to redeliver.
    var firstRedelivery: Slot { redeliveries.head }

    subscript(slot: Slot) -> Entry {
        @inline(__always) get {
            assert(slot < usedSlots)
            return entries[Int(slot)]
        }
    }

    /// The slot after this one in stream order.
    @inline(__always) func next(_ slot: Slot) -> Slot { entries[Int(slot)].after }

    /// The entry of a sequence, or `none`.
    @inline(__always) func find(_ sequence: UInt64) -> Slot {
        let mask = indexMask
        var place = home(sequence)
        while true {
            let slot = index[place]
            if slot == PendingTable.none || entries[Int(slot)].sequence == sequence { return slot }
            place = (place &+ 1) & mask
        }
    }

    /// The highest that is there; 0 without any.
    var lastSequence: UInt64 { order.tail == PendingTable.none ? 0 : entries[Int(order.tail)].sequence }

    func contains(_ sequence: UInt64) -> Bool { find(sequence) != PendingTable.none }

    /// Adds a message that has just been delivered for the first time. Its sequence is not there yet.
    mutating func insert(_ sequence: UInt64, delivery: UInt64, sinceNs: UInt64, deliveries: UInt32 = 1) -> Slot {
        if count == capacity { grow() }
        let slot: Slot
        if unused != PendingTable.none {
            slot = unused
            unused = entries[Int(slot)].after
        } else {
            slot = Slot(truncatingIfNeeded: usedSlots)
            usedSlots &+= 1
        }
        (entries + Int(slot)).initialize(
            to: Entry(sequence: sequence, delivery: delivery, sinceNs: sinceNs, deliveries: deliveries))
        place(slot, sequence)
        // Sequences rise, so this ends at once; a recovered state is sorted too.
        var previous = order.tail
        while previous != PendingTable.none && entries[Int(previous)].sequence > sequence {
            previous = entries[Int(previous)].before
        }
        linkInOrder(slot, after: previous)
        count &+= 1
        if deliveries > 1 { redeliveredCount &+= 1 }
        return slot
    }

    mutating func remove(_ slot: Slot) {
        leavePlace(slot)
        let entry = entries + Int(slot)
        if entry.pointee.before == PendingTable.none {
            order.head = entry.pointee.after
        } else {
            entries[Int(entry.pointee.before)].after = entry.pointee.after
        }
        if entry.pointee.after == PendingTable.none {
            order.tail = entry.pointee.before
        } else {
            entries[Int(entry.pointee.after)].before = entry.pointee.before
        }
        if entry.pointee.deliveries > 1 { redeliveredCount &-= 1 }
        displace(entry.pointee.sequence)
        entry.pointee.after = unused
        unused = slot
        count &-= 1
        if count == 0 && capacity > PendingTable.capacityKept { reset() }
    }

    mutating func removeAll() {
        count = 0
        redeliveryCount = 0
        redeliveredCount = 0
        reset()
    }

    // MARK: What an entry waits for

    /// One delivery more.
    mutating func countDelivery(_ slot: Slot, sinceNs: UInt64) {
        let entry = entries + Int(slot)
        if entry.pointee.deliveries == 1 { redeliveredCount &+= 1 }
        if entry.pointee.deliveries < .max { entry.pointee.deliveries &+= 1 }
        entry.pointee.sinceNs = sinceNs
    }

    /// Replaces what a restart knew of an entry.
    mutating func setDeliveries(_ slot: Slot, _ deliveries: UInt32) {
        let before = entries[Int(slot)].deliveries
        entries[Int(slot)].deliveries = deliveries
        redeliveredCount += (deliveries > 1 ? 1 : 0) - (before > 1 ? 1 : 0)
    }

    /// Waits for an ack; entries come with rising times.
    @inline(__always) mutating func awaitAck(_ slot: Slot, sinceNs: UInt64) {
        leavePlace(slot)
        let entry = entries + Int(slot)
        entry.pointee.sinceNs = sinceNs
        entry.pointee.place = .acks
        PendingTable.append(slot, to: &acks, entries)
    }

    /// Waits until a moment.
    mutating func awaitDeadline(_ slot: Slot, _ deadlineNs: UInt64) {
        leavePlace(slot)
        let entry = entries + Int(slot)
        entry.pointee.deadlineNs = deadlineNs
        entry.pointee.place = .deadline
        entry.pointee.heapIndex = UInt32(truncatingIfNeeded: heap.count)
        heap.append(slot)
        siftUp(heap.count - 1)
    }

    /// Waits behind all others that wait for a redelivery.
    ///
    /// - Parameter ticket: the commit of the journal that tells of the delivery before; 0: it is told already.
    mutating func awaitRedelivery(_ slot: Slot, after ticket: UInt64) {
        leavePlace(slot)
        entries[Int(slot)].place = .redelivery
        entries[Int(slot)].deadlineNs = ticket
        PendingTable.append(slot, to: &redeliveries, entries)
        redeliveryCount += 1
    }

    /// Waits for nothing but an ack.
    mutating func awaitNothing(_ slot: Slot) { leavePlace(slot) }

    /// The commit that an entry's redelivery waits for.
    @inline(__always) func redeliveryTicket(_ slot: Slot) -> UInt64 { entries[Int(slot)].deadlineNs }

    /// Sets the time without moving the entry: for a state that is read back.
    mutating func setSince(_ slot: Slot, _ sinceNs: UInt64) { entries[Int(slot)].sinceNs = sinceNs }

    /// When the first entry expires, given how long acks are waited for.
    func nextDeadline(ackWaitNs: UInt64) -> UInt64? {
        var next: UInt64?
        if acks.head != PendingTable.none { next = saturatingSum(entries[Int(acks.head)].sinceNs, ackWaitNs) }
        if let top = heap.first { next = min(next ?? .max, entries[Int(top)].deadlineNs) }
        return next
    }

    /// Takes an entry out of its list or heap if its time is up: the caller decides what it waits for next.
    mutating func popExpired(_ nowNs: UInt64, ackWaitNs: UInt64) -> Slot? {
        if acks.head != PendingTable.none, saturatingSum(entries[Int(acks.head)].sinceNs, ackWaitNs) <= nowNs {
            let slot = acks.head
            leavePlace(slot)
            return slot
        }
        if let top = heap.first, entries[Int(top)].deadlineNs <= nowNs {
            leavePlace(top)
            return top
        }
        return nil
    }

    /// When the last entry that waits for an ack or a deadline expires; walks all of them.
    func lastDeadline(_ wait: (borrowing Entry) -> UInt64) -> UInt64? {
        var last: UInt64?
        var slot = order.head
        while slot != PendingTable.none {
            let entry = entries[Int(slot)]
            last = max(last ?? 0, entry.place == .deadline ? entry.deadlineNs : saturatingSum(entry.sinceNs, wait(entry)))
            slot = entry.after
        }
        return last
    }

    // MARK: Lists

    private mutating func linkInOrder(_ slot: Slot, after previous: Slot) {
        let following = previous == PendingTable.none ? order.head : entries[Int(previous)].after
        entries[Int(slot)].before = previous
        entries[Int(slot)].after = following
        if previous == PendingTable.none { order.head = slot } else { entries[Int(previous)].after = slot }
        if following == PendingTable.none { order.tail = slot } else { entries[Int(following)].before = slot }
    }

    @inline(__always)
    private static func append(_ slot: Slot, to list: inout Ends, _ entries: UnsafeMutablePointer<Entry>) {
        entries[Int(slot)].linkBefore = list.tail
        entries[Int(slot)].linkAfter = PendingTable.none
        if list.tail == PendingTable.none { list.head = slot } else { entries[Int(list.tail)].linkAfter = slot }
        list.tail = slot
    }

    @inline(__always)
    private static func unlink(_ slot: Slot, from list: inout Ends, _ entries: UnsafeMutablePointer<Entry>) {
        let before = entries[Int(slot)].linkBefore, after = entries[Int(slot)].linkAfter
        if before == PendingTable.none { list.head = after } else { entries[Int(before)].linkAfter = after }
        if after == PendingTable.none { list.tail = before } else { entries[Int(after)].linkBefore = before }
    }

    @inline(__always) private mutating func leavePlace(_ slot: Slot) {
        switch entries[Int(slot)].place {
        case .nothing: return
        case .acks: PendingTable.unlink(slot, from: &acks, entries)
        case .redelivery:
            PendingTable.unlink(slot, from: &redeliveries, entries)
            redeliveryCount &-= 1
        case .deadline: leaveHeap(slot)
        }
        entries[Int(slot)].place = .nothing
    }

    // MARK: Heap

    private mutating func leaveHeap(_ slot: Slot) {
        let hole = Int(entries[Int(slot)].heapIndex)
        let last = heap.removeLast()
        guard last != slot else { return }
        heap[hole] = last
        entries[Int(last)].heapIndex = UInt32(truncatingIfNeeded: hole)
        siftUp(hole)
        siftDown(Int(entries[Int(last)].heapIndex))
    }

    private mutating func siftUp(_ start: Int) {
        var child = start
        while child > 0 {
            let parent = (child - 1) / 2
            guard entries[Int(heap[child])].deadlineNs < entries[Int(heap[parent])].deadlineNs else { return }
            exchange(child, parent)
            child = parent
        }
    }

    private mutating func siftDown(_ start: Int) {
        var parent = start
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2]
            where child < heap.count && entries[Int(heap[child])].deadlineNs < entries[Int(heap[least])].deadlineNs {
                least = child
            }
            if least == parent { return }
            exchange(least, parent)
            parent = least
        }
    }

    private mutating func exchange(_ a: Int, _ b: Int) {
        heap.swapAt(a, b)
        entries[Int(heap[a])].heapIndex = UInt32(truncatingIfNeeded: a)
        entries[Int(heap[b])].heapIndex = UInt32(truncatingIfNeeded: b)
    }

    // MARK: Index

    private var indexMask: Int { (1 << Int(64 &- indexShift)) &- 1 }

    @inline(__always) private func home(_ sequence: UInt64) -> Int {
        Int(truncatingIfNeeded: (sequence &* 0x9E37_79B9_7F4A_7C15) &>> indexShift)
    }

    private static func makeIndex(capacity: Int) -> (UnsafeMutablePointer<Slot>, UInt64) {
        let size = capacity * 2
        let index = UnsafeMutablePointer<Slot>.allocate(capacity: size)
        index.initialize(repeating: none, count: size)
        return (index, UInt64(64 - size.trailingZeroBitCount))
    }

    @inline(__always) private func place(_ slot: Slot, _ sequence: UInt64) {
        let mask = indexMask
        var place = home(sequence)
        while index[place] != PendingTable.none { place = (place &+ 1) & mask }
        index[place] = slot
    }

    /// Closes the hole by moving later entries of the same run back, so that no search ends early.
    private func displace(_ sequence: UInt64) {
        let mask = indexMask
        var hole = home(sequence)
        while entries[Int(index[hole])].sequence != sequence { hole = (hole &+ 1) & mask }
        var place = hole
        while true {
            place = (place &+ 1) & mask
            let slot = index[place]
            if slot == PendingTable.none { break }
            let wanted = home(entries[Int(slot)].sequence)
            if (place &- wanted) & mask >= (place &- hole) & mask {
                index[hole] = slot
                hole = place
            }
        }
        index[hole] = PendingTable.none
    }

    private mutating func grow() {
        let larger = UnsafeMutablePointer<Entry>.allocate(capacity: capacity * 2)
        larger.moveInitialize(from: entries, count: usedSlots)
        entries.deallocate()
        entries = larger
        capacity *= 2
        index.deallocate()
        (index, indexShift) = PendingTable.makeIndex(capacity: capacity)
        var slot = order.head
        while slot != PendingTable.none {
            place(slot, entries[Int(slot)].sequence)
            slot = entries[Int(slot)].after
        }
    }

    /// Gives back what a burst has taken.
    private mutating func reset() {
        entries.deallocate()
        index.deallocate()
        capacity = PendingTable.capacityMin
        entries = .allocate(capacity: capacity)
        (index, indexShift) = PendingTable.makeIndex(capacity: capacity)
        unused = PendingTable.none
        usedSlots = 0
        order = Ends()
        acks = Ends()
        redeliveries = Ends()
        heap = []
    }
}

@inline(__always) func saturatingSum(_ a: UInt64, _ b: UInt64) -> UInt64 {
    let (sum, overflows) = a.addingReportingOverflow(b)
    return overflows ? .max : sum
}
