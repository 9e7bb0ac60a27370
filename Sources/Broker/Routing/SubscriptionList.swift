// The subscriptions that stand in one place of the subject index, plain ones and those of a queue group.

import Glibc
import Synchronization
import Wire

typealias SubscriptionListRef = UnsafeMutablePointer<SubscriptionList>
typealias QueueGroupRef = UnsafeMutablePointer<QueueGroup>

/// Subscriptions in one place. Appending writes behind what readers see, then shows it; removing makes a new list.
///
///     | count | capacity | subscription ... |
struct SubscriptionList: ~Copyable {
    let count = Atomic<Int>(0)
    let capacity: Int

    private init(capacity: Int) { self.capacity = capacity }

    static func elements(_ list: SubscriptionListRef) -> UnsafeMutablePointer<SubscriptionRef> {
        (UnsafeMutableRawPointer(list) + MemoryLayout<SubscriptionList>.size)
            .assumingMemoryBound(to: SubscriptionRef.self)
    }

    private static func make(capacity: Int) -> SubscriptionListRef {
        let size = MemoryLayout<SubscriptionList>.size + capacity * MemoryLayout<SubscriptionRef>.stride
        guard let memory = malloc(size) else { fatalError("out of memory") }
        let list = memory.bindMemory(to: SubscriptionList.self, capacity: 1)
        list.initialize(to: SubscriptionList(capacity: capacity))
        return list
    }

    static func append(
        _ place: borrowing Atomic<UInt>, _ subscription: SubscriptionRef, retire: SubjectIndex.Retire
    ) {
        guard let list = SubscriptionListRef(bitPattern: place.load(ordering: .relaxed)) else {
            let made = make(capacity: 1)
            elements(made)[0] = subscription
            made.pointee.count.store(1, ordering: .relaxed)
            place.store(UInt(bitPattern: made), ordering: .releasing)
            return
        }
        let count = list.pointee.count.load(ordering: .relaxed)
        if count < list.pointee.capacity {
            elements(list)[count] = subscription
            list.pointee.count.store(count + 1, ordering: .releasing)
            return
        }
        let larger = make(capacity: count * 2)
        memcpy(elements(larger), elements(list), count * MemoryLayout<SubscriptionRef>.stride)
        elements(larger)[count] = subscription
        larger.pointee.count.store(count + 1, ordering: .relaxed)
        place.store(UInt(bitPattern: larger), ordering: .releasing)
        retire(UnsafeMutableRawPointer(list))
    }

    /// Takes one subscription out, and with `sweeps` all that are closed; how many that were.
    static func remove(
        _ place: borrowing Atomic<UInt>, _ subscription: SubscriptionRef, sweeps: Bool, retire: SubjectIndex.Retire
    ) -> Int {
        guard let list = SubscriptionListRef(bitPattern: place.load(ordering: .relaxed)) else { return 0 }
        let count = list.pointee.count.load(ordering: .relaxed)
        let old = elements(list)
        guard let position = (0..<count).first(where: { old[$0] == subscription }) else { return 0 }
        if count == 1 {
            subscription.pointee.isListed = false
            place.store(0, ordering: .releasing)
            retire(UnsafeMutableRawPointer(list))
            return 1
        }
        let shorter = make(capacity: count)
        let new = elements(shorter)
        var kept = 0
        if sweeps {
            for index in 0..<count where !takeOut(old[index], subscription) {
                new[kept] = old[index]
                kept += 1
            }
        } else {
            memcpy(new, old, position * MemoryLayout<SubscriptionRef>.stride)
            memcpy(new + position, old + position + 1, (count - position - 1) * MemoryLayout<SubscriptionRef>.stride)
            subscription.pointee.isListed = false
            kept = count - 1
        }
        shorter.pointee.count.store(kept, ordering: .relaxed)
        if kept == 0 {
            place.store(0, ordering: .releasing)
            free(shorter)
        } else {
            place.store(UInt(bitPattern: shorter), ordering: .releasing)
        }
        retire(UnsafeMutableRawPointer(list))
        return count - kept
    }

    /// Makes a list in which `new` stands where `old` stood.
    static func replace(
        _ place: borrowing Atomic<UInt>, _ old: SubscriptionRef, with new: SubscriptionRef, retire: SubjectIndex.Retire
    ) {
        guard let list = SubscriptionListRef(bitPattern: place.load(ordering: .relaxed)) else { return }
        let count = list.pointee.count.load(ordering: .relaxed)
        guard let position = (0..<count).first(where: { elements(list)[$0] == old }) else { return }
        let copy = make(capacity: count)
        memcpy(elements(copy), elements(list), count * MemoryLayout<SubscriptionRef>.stride)
        elements(copy)[position] = new
        copy.pointee.count.store(count, ordering: .relaxed)
        old.pointee.isListed = false
        new.pointee.isListed = true
        place.store(UInt(bitPattern: copy), ordering: .releasing)
        retire(UnsafeMutableRawPointer(list))
    }

    private static func takeOut(_ candidate: SubscriptionRef, _ subscription: SubscriptionRef) -> Bool {
        guard candidate == subscription || candidate.pointee.isClosed.load(ordering: .relaxed) else { return false }
        candidate.pointee.isListed = false
        return true
    }
}

/// The queue subscriptions of one name on one subject.
struct QueueGroup: ~Copyable {
    let members = Atomic<UInt>(0)
    let next: Atomic<UInt>
    let nameCount: Int

    private init(nameCount: Int, next: UInt) {
        self.nameCount = nameCount
        self.next = Atomic(next)
    }

    static func make(_ name: ByteView, next: UInt) -> QueueGroupRef {
        guard let memory = malloc(MemoryLayout<QueueGroup>.size + name.count) else { fatalError("out of memory") }
        let group = memory.bindMemory(to: QueueGroup.self, capacity: 1)
        group.initialize(to: QueueGroup(nameCount: name.count, next: next))
        memcpy(memory + MemoryLayout<QueueGroup>.size, name.base, name.count)
        return group
    }

    static func name(_ group: QueueGroupRef) -> ByteView {
        ByteView(
            UnsafePointer(
                (UnsafeMutableRawPointer(group) + MemoryLayout<QueueGroup>.size).assumingMemoryBound(to: UInt8.self)),
            group.pointee.nameCount)
    }
}
