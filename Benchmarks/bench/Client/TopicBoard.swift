// What the publisher and the subscribers of one topic tell each other, be they on one thread or on two.

import Synchronization

/// The publisher writes when its messages leave and where it stopped; the subscribers' side writes how far they are.
/// Each field has one writer; a release store publishes what was written before it.
final class TopicBoard: Sendable {
    /// What the slowest subscriber has received and measured, in messages.
    let delivered = Atomic<Int>(0)
    /// How many phases the publisher has ended, and how many messages it had then sent since the beginning.
    let phasesEnded = Atomic<Int>(0)
    let limit = Atomic<Int>(0)

    private let markCount = Atomic<Int>(0)
    /// The address of a ring of marks: the first message of a send, counted from 1, and when it left.
    private let marks: UInt
    private static let marksMax = 4096

    private struct Mark {
        var message = 0
        var ns: UInt64 = 0
    }

    init() {
        let ring = UnsafeMutablePointer<Mark>.allocate(capacity: TopicBoard.marksMax)
        ring.initialize(repeating: Mark(), count: TopicBoard.marksMax)
        marks = UInt(bitPattern: ring)
    }

    deinit { UnsafeMutablePointer<Mark>(bitPattern: marks)?.deallocate() }

    /// Notes a send, unless the mark it would replace is still waited for. The publisher's thread only.
    @inline(__always)
    func mark(message: Int, ns: UInt64) {
        guard let ring = UnsafeMutablePointer<Mark>(bitPattern: marks) else { return }
        let count = markCount.load(ordering: .relaxed)
        let slot = ring + (count & (TopicBoard.marksMax - 1))
        if count >= TopicBoard.marksMax, slot.pointee.message > delivered.load(ordering: .acquiring) { return }
        slot.pointee = Mark(message: message, ns: ns)
        markCount.store(count + 1, ordering: .releasing)
    }

    /// Records the delays of all marks from `cursor` on that lie within the first `messages`. Returns the new cursor.
    @inline(__always)
    func measure(from cursor: Int, messages: Int, now: UInt64, into latency: inout Histogram) -> Int {
        guard let ring = UnsafeMutablePointer<Mark>(bitPattern: marks) else { return cursor }
        let count = markCount.load(ordering: .acquiring)
        var cursor = cursor
        while cursor < count {
            let mark = ring[cursor & (TopicBoard.marksMax - 1)]
            if mark.message > messages { break }
            latency.record(now > mark.ns ? now - mark.ns : 0)
            cursor += 1
        }
        return cursor
    }
}
