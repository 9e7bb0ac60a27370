// The pull requests that wait for messages, in the order in which they are served.

import Wire

/// One pull request. Counts and bytes are what is left of it.
struct WaitingRequest {
    let target: DeliveryTarget
    /// The connection that asked.
    var client: UInt64 = 0
    var batch: Int
    /// How much of `batch` was not asked for: a request that does not say how many gets one, and is told that none is left.
    var implied = 0
    /// 0 is unlimited.
    var bytes: Int
    /// Monotonic; the far future where it does not expire.
    var expiresNs: UInt64
    var noWait = false
    /// How often it wants to hear from us while nothing comes; 0 is never.
    var heartbeatNs: UInt64 = 0
    var heartbeatDueNs: UInt64 = .max
    var delivered = 0
    var priority = Int.max
    var minPending: Int64 = 0
    var minAckPending: Int64 = 0
    /// The priority group it belongs to, and the pin it claims to hold.
    var group = ""
    var pinID = ""
    fileprivate var before = WaitingRequests.none
    fileprivate var after = WaitingRequests.none

    init(target: DeliveryTarget, batch: Int, bytes: Int, expiresNs: UInt64) {
        self.target = target
        self.batch = batch
        self.bytes = bytes
        self.expiresNs = expiresNs
    }
}

/// A doubly linked list in one block of memory. Slots are valid until their request is removed.
struct WaitingRequests: ~Copyable {
    typealias Slot = UInt32
    static let none = Slot.max

    private(set) var count = 0
    /// Requests that end when there is nothing left to send.
    private(set) var noWaitCount = 0
    private(set) var head = WaitingRequests.none
    private var tail = WaitingRequests.none
    private var slots: UnsafeMutablePointer<WaitingRequest>
    private var capacity = 4
    private var used = 0
    private var unused: [Slot] = []
    /// Nothing is due before; some of what made it so may be gone.
    private(set) var dueNs = UInt64.max

    init() { slots = .allocate(capacity: 4) }

    deinit {
        var slot = head
        while slot != WaitingRequests.none {
            let next = slots[Int(slot)].after
            (slots + Int(slot)).deinitialize(count: 1)
            slot = next
        }
        slots.deallocate()
    }

    var isEmpty: Bool { count == 0 }

    subscript(slot: Slot) -> WaitingRequest {
        @inline(__always) _read { yield slots[Int(slot)] }
    }

    /// To change it. (A `_modify` here is what the compiler cannot build for the thread sanitizer.)
    @inline(__always) func at(_ slot: Slot) -> UnsafeMutablePointer<WaitingRequest> { slots + Int(slot) }

    func next(_ slot: Slot) -> Slot { slots[Int(slot)].after }

    mutating func append(_ request: WaitingRequest) { link(store(request), after: tail) }

    /// Behind the requests of the same and of lower priority numbers.
    mutating func insertByPriority(_ request: WaitingRequest) {
        let slot = store(request)
        link(slot, after: lastOfPriority(upTo: request.priority))
    }

    mutating func remove(_ slot: Slot) {
        unlink(slot)
        if slots[Int(slot)].noWait { noWaitCount -= 1 }
        (slots + Int(slot)).deinitialize(count: 1)
        unused.append(slot)
        if count == 0 { dueNs = .max }
    }

    /// To the end, so that the others get their turn.
    @inline(__always) mutating func moveToEnd(_ slot: Slot) {
        if slot == tail { return }
        unlink(slot)
        link(slot, after: tail)
    }

    mutating func moveToEndOfPriority(_ slot: Slot) {
        let priority = slots[Int(slot)].priority
        unlink(slot)
        link(slot, after: lastOfPriority(upTo: priority))
    }

    /// Looks again when the first request expires or wants a heartbeat.
    mutating func findDue() {
        dueNs = .max
        var slot = head
        while slot != WaitingRequests.none {
            dueNs = min(dueNs, slots[Int(slot)].expiresNs, slots[Int(slot)].heartbeatDueNs)
            slot = slots[Int(slot)].after
        }
    }

    private mutating func store(_ request: WaitingRequest) -> Slot {
        dueNs = min(dueNs, request.expiresNs, request.heartbeatDueNs)
        if request.noWait { noWaitCount += 1 }
        if let slot = unused.popLast() {
            (slots + Int(slot)).initialize(to: request)
            return slot
        }
        if used == capacity {
            let larger = UnsafeMutablePointer<WaitingRequest>.allocate(capacity: capacity * 2)
            larger.moveInitialize(from: slots, count: used)
            slots.deallocate()
            slots = larger
            capacity *= 2
        }
        (slots + used).initialize(to: request)
        used += 1
        return Slot(truncatingIfNeeded: used - 1)
    }

    private func lastOfPriority(upTo priority: Int) -> Slot {
        var previous = WaitingRequests.none, slot = head
        while slot != WaitingRequests.none && slots[Int(slot)].priority <= priority {
            previous = slot
            slot = slots[Int(slot)].after
        }
        return previous
    }

    private mutating func link(_ slot: Slot, after previous: Slot) {
        let following = previous == WaitingRequests.none ? head : slots[Int(previous)].after
        slots[Int(slot)].before = previous
        slots[Int(slot)].after = following
        if previous == WaitingRequests.none { head = slot } else { slots[Int(previous)].after = slot }
        if following == WaitingRequests.none { tail = slot } else { slots[Int(following)].before = slot }
        count += 1
    }

    private mutating func unlink(_ slot: Slot) {
        let before = slots[Int(slot)].before, after = slots[Int(slot)].after
        if before == WaitingRequests.none { head = after } else { slots[Int(before)].after = after }
        if after == WaitingRequests.none { tail = before } else { slots[Int(after)].before = before }
        count -= 1
    }
}
