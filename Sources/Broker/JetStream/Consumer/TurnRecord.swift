// What happened to a consumer in one turn, as one compact record for the journal.

import Wire

/// The layout of a consumer's records. Numbers are varints; `Δ` is the signed difference to the last sequence that the
/// record named, at first 0.
///
///     whole    1, version, name, created, config (JSON), time, delivered and floor (4 numbers),
///              count of pending, each: Δ, delivery Δ, deliveries, place, since, deadline (times: signed, to `time`);
///              count of exhausted, each: Δ, deliveries;
///              count of last per subject, each: Δ; end
///     turn     2, version, time, consumer sequence before it, then events up to the end:
///              event | (run - 1, at most 15) << 4, [run - 16], Δ, [argument]
enum ConsumerRecordFormat {
    static let version: UInt8 = 1
    static let whole: UInt8 = 1
    static let turn: UInt8 = 2
    /// Longer runs are split, and a record that would hold more in all is ended: so a reader knows what to believe.
    static let runsMax: UInt64 = 1 << 16
}

/// What a turn's record tells. Each names a sequence; the first two a run of them.
enum ConsumerEvent: UInt8 {
    case delivered = 1
    /// Acked, terminated, or gone from the stream.
    case finished = 2
    case redelivered = 3
    /// With all before it; the argument is the consumer sequence.
    case finishedUpTo = 4
    /// The ack wait begins anew.
    case progressed = 5
    /// The argument is how long its next delivery waits at least, in nanoseconds.
    case delayed = 6
    case exhausted = 7
    /// An exhausted message was acked after all, or has left the stream.
    case forgotten = 8
    /// A purge has left nothing for the consumer up to there: it goes on behind it.
    case advanced = 9

    var hasArgument: Bool { self == .finishedUpTo || self == .delayed }
}

/// Gathers events; neighbours of the same kind become one.
struct TurnRecord {
    private(set) var events = VarintWriter()
    private var isOpen = false
    private var event = ConsumerEvent.delivered
    private var first: UInt64 = 0
    private var run: UInt64 = 0
    private var last: UInt64 = 0
    private var total: UInt64 = 0
    private var base: UInt64 = 0

    var isEmpty: Bool { !isOpen && events.isEmpty }
    /// Whether what has been gathered should be written now, in the middle of a turn.
    var isFull: Bool { total >= ConsumerRecordFormat.runsMax / 2 }

    /// - Parameter delivered: the last consumer sequence before the event.
    @inline(__always)
    mutating func add(_ event: ConsumerEvent, _ sequence: UInt64, delivered: UInt64) {
        if isOpen && self.event == event && sequence == first &+ run && run < ConsumerRecordFormat.runsMax / 4 {
            run &+= 1
            return
        }
        begin(event, sequence, delivered: delivered)
    }

    mutating func add(_ event: ConsumerEvent, _ sequence: UInt64, argument: UInt64, delivered: UInt64) {
        begin(event, sequence, delivered: delivered)
        close()
        events.number(argument)
    }

    private mutating func begin(_ event: ConsumerEvent, _ sequence: UInt64, delivered: UInt64) {
        if isEmpty { base = delivered }
        close()
        self.event = event
        first = sequence
        run = 1
        isOpen = true
    }

    private mutating func close() {
        guard isOpen else { return }
        isOpen = false
        let more = run - 1
        events.byte(event.rawValue | UInt8(truncatingIfNeeded: min(more, 15)) << 4)
        if more >= 15 { events.number(more - 15) }
        events.signed(Int64(bitPattern: first &- last))
        last = first &+ more
        total += run
    }

    /// The record, and an empty one again.
    mutating func take(timeNs: Int64) -> [UInt8] {
        close()
        var record = VarintWriter()
        record.byte(ConsumerRecordFormat.turn)
        record.byte(ConsumerRecordFormat.version)
        record.signed(timeNs)
        record.number(base)
        defer { removeAll() }
        return record.bytes + events.bytes
    }

    mutating func removeAll() {
        events.removeAll()
        isOpen = false
        last = 0
        total = 0
    }
}
