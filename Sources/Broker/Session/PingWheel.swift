// When each connection of a loop is looked at next: buckets of client ids, a few bytes a connection.

/// A timing wheel for the ping interval. A connection is looked at up to one tick late, which is a 64th of the interval.
///
/// A timer each would cost an idle connection ten times as much memory.
struct PingWheel {
    private static let ticksPerInterval = 64
    private static let tickMsMin = 10

    let tickMs: Int
    private var buckets: [[UInt64]]
    private var position = 0
    private(set) var count = 0

    /// An interval that makes no sense, as a negative one, is one tick.
    init(intervalMs: Int) {
        let intervalMs = max(PingWheel.tickMsMin, intervalMs)
        tickMs = max(PingWheel.tickMsMin, intervalMs / PingWheel.ticksPerInterval)
        // One more than the longest delay, so that nothing lands in the bucket that is being taken.
        buckets = Array(repeating: [], count: intervalMs / tickMs + 2)
    }

    /// Has a connection come up after `delayMs`, at most the interval.
    mutating func add(_ clientID: UInt64, afterMs delayMs: Int) {
        let ticks = min(max(1, (delayMs + tickMs - 1) / tickMs), buckets.count - 1)
        buckets[(position + ticks) % buckets.count].append(clientID)
        count += 1
    }

    /// Moves on by one tick and takes what is due. Connections that have closed meanwhile are among it.
    mutating func tick() -> [UInt64] {
        position = (position + 1) % buckets.count
        let due = buckets[position]
        buckets[position] = []
        count -= due.count
        return due
    }
}
