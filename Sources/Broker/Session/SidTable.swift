// The subscriptions of one connection by the id the client gave them.

import Glibc
import Wire

/// Open addressing over subscription pointers; holds no memory while there are none.
package struct SidTable: ~Copyable {
    private var slots: UnsafeMutablePointer<SubscriptionRef?>?
    private var capacity = 0
    package private(set) var count = 0
    private let seed: UInt64

    package init(seed: UInt64) { self.seed = seed }

    deinit { slots?.deallocate() }

    package func find(_ sid: ByteView) -> SubscriptionRef? {
        guard let slots, count > 0 else { return nil }
        var index = home(sid)
        while let subscription = slots[index] {
            if Subscription.sid(subscription) == sid { return subscription }
            index = (index + 1) & (capacity - 1)
        }
        return nil
    }

    /// Adds a subscription whose sid is not in the table.
    package mutating func insert(_ subscription: SubscriptionRef) {
        if (count + 1) * 4 > capacity * 3 { resize(max(2, capacity * 2)) }
        place(subscription)
        count += 1
    }

    /// False if it is not in the table.
    @discardableResult
    package mutating func remove(_ subscription: SubscriptionRef) -> Bool {
        guard let slots, count > 0 else { return false }
        let mask = capacity - 1
        var hole = home(Subscription.sid(subscription))
        while let found = slots[hole], found != subscription { hole = (hole + 1) & mask }
        guard slots[hole] != nil else { return false }
        count -= 1
        if count == 0 {
            slots.deallocate()
            self.slots = nil
            capacity = 0
            return true
        }
        // Close the gap: whatever was pushed past the hole moves back into it.
        var index = hole
        while true {
            slots[hole] = nil
            while true {
                index = (index + 1) & mask
                guard let moving = slots[index] else { return true }
                let wanted = home(Subscription.sid(moving))
                let staysPut = hole <= index ? (hole < wanted && wanted <= index) : (hole < wanted || wanted <= index)
                if !staysPut {
                    slots[hole] = moving
                    hole = index
                    break
                }
            }
        }
    }

    func forEach(_ body: (SubscriptionRef) -> Void) {
        guard let slots else { return }
        for index in 0..<capacity { if let subscription = slots[index] { body(subscription) } }
    }

    /// Visits some of them, so that a long table can be walked over several turns: `budget` is what may be visited yet.
    /// Returns where to go on, or nil at the end. A table that changes in between is visited more or less.
    func visit(from start: Int, budget: inout Int, _ body: (SubscriptionRef) -> Void) -> Int? {
        guard let slots else { return nil }
        var index = start
        while index < capacity {
            if budget <= 0 { return index }
            budget -= 1
            if let subscription = slots[index] { body(subscription) }
            index += 1
        }
        return nil
    }

    /// All of them, as a copy that may be walked while the table changes.
    package var all: [SubscriptionRef] {
        var result: [SubscriptionRef] = []
        result.reserveCapacity(count)
        forEach { result.append($0) }
        return result
    }

    private func home(_ sid: ByteView) -> Int {
        Int(truncatingIfNeeded: hashBytes(sid.base, sid.count, seed: seed)) & (capacity - 1)
    }

    private func place(_ subscription: SubscriptionRef) {
        guard let slots else { return }
        var index = home(Subscription.sid(subscription))
        while slots[index] != nil { index = (index + 1) & (capacity - 1) }
        slots[index] = subscription
    }

    private mutating func resize(_ newCapacity: Int) {
        let old = slots
        let oldCapacity = capacity
        let memory = UnsafeMutablePointer<SubscriptionRef?>.allocate(capacity: newCapacity)
        memory.initialize(repeating: nil, count: newCapacity)
        slots = memory
        capacity = newCapacity
        if let old {
            for index in 0..<oldCapacity { if let subscription = old[index] { place(subscription) } }
            old.deallocate()
        }
    }
}
