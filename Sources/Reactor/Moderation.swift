// One message per write() is the dearest way to publish: each costs a wake-up, a read and a send. This lets them gather.

/// Decides when a loop may pause for some microseconds so that the next turn finds many small reads instead of one.
///
/// As network cards moderate interrupts. Only for streams: every channel that was read within the last window must have
/// sent several times in a row without having been sent anything, so nobody who waits for an answer waits longer. And
/// only when so much comes in that a pause gathers several reads.
struct Moderation {
    /// A channel counts as streaming after this many reads without a write to it.
    static let unansweredReadsMin: UInt8 = 4
    /// Reads larger than this are batches already.
    static let smallReadBytes = 2_048
    static let pauseNs: UInt64 = 50_000
    private static let windowNs: UInt64 = 1_000_000
    /// Reads of the usual size per window from which on pausing pays: about four per pause.
    private static let readsPerWindowMin = 80

    private var isPausing = false
    private var windowStartNs: UInt64 = 0
    /// Bytes of one read while not pausing, as a moving average: what one message per write comes to.
    private var usualReadBytes = 64

    // Of the current window.
    private var reads = 0
    private var bytes = 0
    private var largest = 0
    private var allStream = true
    private var hasRead = false

    @inline(__always)
    mutating func noteRead(_ count: Int, unansweredReads: UInt8) {
        reads &+= 1
        bytes &+= count
        hasRead = true
        if unansweredReads < Moderation.unansweredReadsMin { allStream = false }
        if count > largest { largest = count }
    }

    /// Called at the end of a turn that began at `nowNs`: whether to pause before the next.
    @inline(__always)
    mutating func endTurn(_ nowNs: UInt64) -> Bool {
        if nowNs &- windowStartNs >= Moderation.windowNs { endWindow(nowNs) }
        defer { hasRead = false }
        return isPausing && allStream && hasRead
    }

    private mutating func endWindow(_ nowNs: UInt64) {
        if reads > 0 && !isPausing { usualReadBytes = max(16, (usualReadBytes * 3 + bytes / reads) / 4) }
        let windows = max(1, Int(clamping: (nowNs &- windowStartNs) / Moderation.windowNs))
        // While pausing, reads are expected to be large: it is their number without pauses that counts.
        let wouldBeReads = bytes / usualReadBytes / windows
        isPausing =
            allStream && wouldBeReads >= Moderation.readsPerWindowMin
            && (isPausing || largest <= Moderation.smallReadBytes)
        windowStartNs = nowNs
        reads = 0
        bytes = 0
        largest = 0
        allStream = true
    }
}
