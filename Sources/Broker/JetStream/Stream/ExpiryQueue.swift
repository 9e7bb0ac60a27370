// Which messages are due, and when: those with a time to live of their own, and schedules.

/// Pairs of a time and a sequence, the earliest first: a binary heap of sixteen bytes an entry. An entry may outlive its message;
/// whoever takes it out looks whether it still means anything.
struct ExpiryQueue {
    struct Entry {
        /// Wall time.
        var dueNs: Int64
        var sequence: UInt64
    }

    private var heap: [Entry] = []

    var count: Int { heap.count }
    var first: Entry? { heap.first }

    mutating func add(_ sequence: UInt64, dueNs: Int64) {
        heap.append(Entry(dueNs: dueNs, sequence: sequence))
        var index = heap.count - 1
        while index > 0 {
            let parent = (index - 1) / 2
            guard heap[index].isBefore(heap[parent]) else { return }
            heap.swapAt(index, parent)
            index = parent
        }
    }

    /// Takes out the first entry that is due.
    mutating func popDue(_ nowNs: Int64) -> Entry? {
        guard let first = heap.first, first.dueNs <= nowNs, let last = heap.popLast() else { return nil }
        if !heap.isEmpty {
            heap[0] = last
            sink(0)
        }
        return first
    }

    /// Drops entries whose message is gone, so that a subject that is rewritten all the time costs no memory for each time.
    mutating func keep(_ isWanted: (UInt64) -> Bool) {
        heap.removeAll { !isWanted($0.sequence) }
        guard heap.count > 1 else { return }
        for index in stride(from: heap.count / 2 - 1, through: 0, by: -1) { sink(index) }
    }

    mutating func removeAll() { heap = [] }

    private mutating func sink(_ start: Int) {
        var index = start
        while true {
            var child = index * 2 + 1
            guard child < heap.count else { return }
            if child + 1 < heap.count && heap[child + 1].isBefore(heap[child]) { child += 1 }
            guard heap[child].isBefore(heap[index]) else { return }
            heap.swapAt(index, child)
            index = child
        }
    }
}

extension ExpiryQueue.Entry {
    /// Equal times go by sequence, so that the order is the same in every run.
    fileprivate func isBefore(_ other: ExpiryQueue.Entry) -> Bool {
        dueNs != other.dueNs ? dueNs < other.dueNs : sequence < other.sequence
    }
}
