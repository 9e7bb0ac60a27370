// What a consumer has delivered and what of it is acked: the part of a consumer that survives a restart. The same methods
// run when something happens and when the journal tells of it again, so that both arrive at the same state.

import Wire

/// A place in both numberings. 0 is before the first.
struct ConsumerPosition: Equatable, Sendable {
    var consumer: UInt64 = 0
    var stream: UInt64 = 0
}

struct ConsumerState: ~Copyable {
    /// The last consumer sequence that was given out, and the highest stream sequence that was delivered.
    var delivered = ConsumerPosition()
    /// Everything up to here is acked.
    var ackFloor = ConsumerPosition()
    var pending = PendingTable()
    /// Deliveries of messages that used up `max_deliver`: they are no longer waited for, and stay in the stream.
    var exhausted: [UInt64: UInt32] = [:]
    /// What `deliver_policy: last_per_subject` found when the consumer was made: the sequences that are left, in order.
    var lastPerSubject = LastPerSubject()

    /// Starts before a stream sequence.
    init(startsAt sequence: UInt64) {
        delivered.stream = sequence &- 1
        ackFloor.stream = sequence &- 1
    }

    /// As in JetStream: pending or exhausted after more than one delivery.
    var redelivered: Int { pending.redeliveredCount + exhausted.count }

    /// A first delivery.
    ///
    /// - Parameter tracks: whether it waits for an ack; otherwise it counts as acked.
    /// - Returns: the consumer sequence, and the slot if it is tracked.
    @inline(__always)
    mutating func deliver(_ sequence: UInt64, tracks: Bool, sinceNs: UInt64) -> PendingTable.Slot {
        delivered.consumer &+= 1
        if sequence > delivered.stream { delivered.stream = sequence }
        if tracks { return pending.insert(sequence, delivery: delivered.consumer, sinceNs: sinceNs) }
        ackFloor = ConsumerPosition(consumer: delivered.consumer, stream: sequence)
        return PendingTable.none
    }

    /// A delivery after the first.
    mutating func redeliver(_ slot: PendingTable.Slot, sinceNs: UInt64) {
        delivered.consumer &+= 1
        pending.countDelivery(slot, sinceNs: sinceNs)
    }

    /// A message is acked, terminated, or gone. The floor follows the lowest that is pending, unless something that has used
    /// up its deliveries lies in between: that is passed over when nothing is pending any more.
    @inline(__always)
    mutating func finish(_ slot: PendingTable.Slot) {
        let isNext = slot == pending.first && pending[slot].delivery == ackFloor.consumer &+ 1
        let following = pending.next(slot)
        pending.remove(slot)
        if isNext || pending.count == 0 { moveFloor(before: following) }
    }

    @inline(__always)
    private mutating func moveFloor(before following: PendingTable.Slot) {
        if following == PendingTable.none {
            ackFloor = delivered
        } else {
            let entry = pending[following]
            ackFloor = ConsumerPosition(consumer: entry.delivery &- 1, stream: entry.sequence &- 1)
        }
    }

    /// `ack_policy: all`: a message is acked with all before it.
    ///
    /// - Parameter each: called with each sequence that this finishes.
    mutating func finish(upTo sequence: UInt64, delivery: UInt64, _ each: (UInt64) -> Void) {
        for exhausted in exhausted.keys where exhausted <= sequence { each(exhausted) }
        while pending.first != PendingTable.none, pending[pending.first].sequence <= sequence {
            each(pending[pending.first].sequence)
            pending.remove(pending.first)
        }
        if !exhausted.isEmpty { exhausted = exhausted.filter { $0.key > sequence } }
        ackFloor = ConsumerPosition(
            consumer: max(ackFloor.consumer, min(delivery, delivered.consumer)), stream: max(ackFloor.stream, sequence))
    }

    /// A message has used up its deliveries. The floor stays where it is, as on nats-server.
    mutating func exhaust(_ slot: PendingTable.Slot) {
        let entry = pending[slot]
        exhausted[entry.sequence] = entry.deliveries
        pending.remove(slot)
    }

    /// Nothing that it waits for, and nothing new, is left up to a sequence: `delivered` and the floor go there.
    mutating func advance(to sequence: UInt64) {
        if sequence > delivered.stream { delivered.stream = sequence }
        lastPerSubject.advance(beyond: sequence)
        if pending.first == PendingTable.none {
            ackFloor = delivered
        } else {
            // What a filter let through before it was changed may still be pending further down.
            ackFloor.stream = max(ackFloor.stream, min(sequence, pending[pending.first].sequence &- 1))
        }
    }

    /// Begins anew before a sequence.
    mutating func reset(to sequence: UInt64) {
        pending.removeAll()
        exhausted = [:]
        lastPerSubject = LastPerSubject()
        delivered = ConsumerPosition(consumer: 0, stream: sequence &- 1)
        ackFloor = delivered
    }
}

/// The last message of each subject at one moment: a consumer that starts with them jumps from one to the next, and goes
/// on with everything behind `end`.
struct LastPerSubject: Equatable {
    /// Rising; those before `index` are done.
    private(set) var sequences: [UInt64] = []
    private(set) var index = 0
    /// The last sequence of the stream at that moment.
    private(set) var end: UInt64 = 0

    init() {}

    init(_ sequences: [UInt64], end: UInt64) {
        self.sequences = sequences
        self.end = end
    }

    var isEmpty: Bool { index >= sequences.count }
    var count: Int { sequences.count - index }
    var first: UInt64 { sequences[index] }
    var remaining: ArraySlice<UInt64> { sequences[index...] }

    func contains(_ sequence: UInt64) -> Bool {
        var low = index, high = sequences.count
        while low < high {
            let middle = (low + high) / 2
            if sequences[middle] < sequence { low = middle + 1 } else { high = middle }
        }
        return low < sequences.count && sequences[low] == sequence
    }

    /// Passes over everything up to a sequence.
    mutating func advance(beyond sequence: UInt64) {
        while index < sequences.count && sequences[index] <= sequence { index += 1 }
        if isEmpty {
            sequences = []
            index = 0
        }
    }
}
