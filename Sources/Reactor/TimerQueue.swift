// Deadlines of one loop: a binary heap of slots, so that setting and cancelling cost O(log n) and no search.

/// Identifies a timer; one that has fired or was cancelled is simply unknown.
public struct TimerID: Equatable {
    let slot: UInt32
    let generation: UInt32
}

/// Timers owned by one loop, fired in the order of their deadlines.
public struct TimerQueue {
    private struct Slot {
        var deadlineNs: UInt64
        var heapIndex: Int32
        var generation: UInt32
        var action: (() -> Void)?
    }
    private var slots: [Slot] = []
    private var unused: [UInt32] = []
    private var heap: [UInt32] = []

    public init() {}

    public var nextDeadlineNs: UInt64? { heap.first.map { slots[Int($0)].deadlineNs } }

    /// Runs `action` at the first turn after `deadlineNs`.
    public mutating func schedule(at deadlineNs: UInt64, _ action: @escaping () -> Void) -> TimerID {
        let slot: UInt32
        if let free = unused.popLast() {
            slot = free
            slots[Int(slot)].deadlineNs = deadlineNs
            slots[Int(slot)].action = action
        } else {
            slot = UInt32(slots.count)
            slots.append(Slot(deadlineNs: deadlineNs, heapIndex: 0, generation: 0, action: action))
        }
        heap.append(slot)
        slots[Int(slot)].heapIndex = Int32(heap.count - 1)
        siftUp(heap.count - 1)
        return TimerID(slot: slot, generation: slots[Int(slot)].generation)
    }

    public mutating func cancel(_ id: TimerID) {
        guard Int(id.slot) < slots.count, slots[Int(id.slot)].generation == id.generation,
            slots[Int(id.slot)].action != nil
        else { return }
        _ = remove(at: Int(slots[Int(id.slot)].heapIndex))
    }

    /// The action of the earliest timer due at `nowNs`, removed; nil when none is due.
    public mutating func popDue(_ nowNs: UInt64) -> (() -> Void)? {
        guard let first = heap.first, slots[Int(first)].deadlineNs <= nowNs else { return nil }
        return remove(at: 0)
    }

    private mutating func remove(at index: Int) -> (() -> Void)? {
        let slot = heap[index]
        let last = heap.removeLast()
        if index < heap.count {
            heap[index] = last
            slots[Int(last)].heapIndex = Int32(index)
            siftDown(index)
            siftUp(index)
        }
        let action = slots[Int(slot)].action
        slots[Int(slot)].action = nil
        slots[Int(slot)].generation &+= 1
        unused.append(slot)
        return action
    }

    private mutating func siftUp(_ start: Int) {
        var index = start
        while index > 0 {
            let parent = (index - 1) / 2
            guard deadline(index) < deadline(parent) else { return }
            exchange(index, parent)
            index = parent
        }
    }

    private mutating func siftDown(_ start: Int) {
        var index = start
        while true {
            var least = index
            for child in [2 * index + 1, 2 * index + 2] where child < heap.count && deadline(child) < deadline(least) {
                least = child
            }
            if least == index { return }
            exchange(index, least)
            index = least
        }
    }

    private func deadline(_ index: Int) -> UInt64 { slots[Int(heap[index])].deadlineNs }

    private mutating func exchange(_ a: Int, _ b: Int) {
        heap.swapAt(a, b)
        slots[Int(heap[a])].heapIndex = Int32(a)
        slots[Int(heap[b])].heapIndex = Int32(b)
    }
}
