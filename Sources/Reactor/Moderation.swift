// One message per write() is the dearest way to publish: each costs a wake-up, a read and a send. This lets them gather.

/// Decides when a loop may pause for some microseconds so that the next turn finds many small reads instead of one.
///
/// As network cards moderate interrupts. Only for streams: every channel read in the turn must have sent several times
/// in a row without having been sent anything, so nobody who waits for an answer waits longer; and turns must follow
/// each other so fast that the pause is short beside the gain. Ends as soon as pausing gathers nothing.
struct Moderation {
    /// A channel counts as streaming after this many reads without a write to it.
    static let unansweredReadsMin: UInt8 = 4
    /// Reads larger than this are batches already.
    static let smallReadBytes = 2_048
    static let pauseNs: UInt64 = 40_000
    /// Turns at least this frequent are worth moderating.
    private static let hotIntervalNs: UInt64 = 20_000
    private static let hotTurnsMin = 16

    private var previousTurnNs: UInt64 = 0
    private var hotTurns = 0
    private var isPausing = false
    /// Bytes per turn before pausing began, as a moving average.
    private var usualBytes = 0

    // Of the current turn.
    private var reads = 0
    private var bytes = 0
    private var allStream = true

    @inline(__always)
    mutating func noteRead(_ count: Int, unansweredReads: UInt8) {
        reads &+= 1
        bytes &+= count
        if unansweredReads < Moderation.unansweredReadsMin || count > Moderation.smallReadBytes { allStream = false }
    }

    /// Called at the end of a turn that began at `nowNs`: whether to pause before the next.
    @inline(__always)
    mutating func endTurn(_ nowNs: UInt64) -> Bool {
        defer {
            previousTurnNs = nowNs
            reads = 0
            bytes = 0
            allStream = true
        }
        guard reads > 0 else { return false }
        guard allStream else {
            hotTurns = 0
            isPausing = false
            return false
        }
        if isPausing {
            if bytes >= 2 * usualBytes { return true }
            isPausing = false
            hotTurns = 0
            return false
        }
        if nowNs &- previousTurnNs > Moderation.hotIntervalNs {
            hotTurns = 0
            return false
        }
        usualBytes = hotTurns == 0 ? bytes : (usualBytes * 7 + bytes) / 8
        hotTurns += 1
        isPausing = hotTurns >= Moderation.hotTurnsMin
        return isPausing
    }
}
