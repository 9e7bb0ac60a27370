// One message per write() is the dearest way to publish: each costs a wake-up, a read and a send. This lets them gather.

/// Decides when a loop may pause for some microseconds so that the next turn finds many small reads instead of one.
///
/// As network cards moderate interrupts. Only for streams: every channel that was read within the last window must have
/// sent several times in a row without having been sent anything, so nobody who waits for an answer waits longer. And
/// only while so much comes in that a short pause gathers a good deal, in pieces so small that gathering pays.
struct Moderation {
    /// A channel counts as streaming after this many reads without a write to it.
    static let unansweredReadsMin: UInt8 = 4
    private static let windowNs: UInt64 = 1_000_000
    /// Bytes in a window from which on pauses begin, and below which they end: 16 and 8 MB/s.
    private static let denseBytes = 16 << 10
    private static let sparseBytes = 8 << 10
    /// A turn that reads more than this is batch enough.
    private static let smallTurnBytes = 16 << 10
    /// What a pause should gather.
    private static let gatheredBytes: UInt64 = 32 << 10
    private static let pauseNsMin: UInt64 = 50_000
    private static let pauseNsMax: UInt64 = 250_000

    /// How long to pause; 0 while not pausing.
    private var pauseNs: UInt64 = 0
    private var windowStartNs: UInt64 = 0

    // Of the current window.
    private var bytes = 0
    private var reads = 0
    private var turns = 0
    private var allStream = true
    private var hasRead = false

    @inline(__always)
    mutating func noteRead(_ count: Int, unansweredReads: UInt8) {
        bytes &+= count
        reads &+= 1
        hasRead = true
        if unansweredReads < Moderation.unansweredReadsMin { allStream = false }
    }

    /// Called at the end of a turn that began at `nowNs`: how long to pause before the next, in nanoseconds.
    @inline(__always)
    mutating func endTurn(_ nowNs: UInt64) -> UInt64 {
        guard hasRead else { return 0 }
        hasRead = false
        turns &+= 1
        if nowNs &- windowStartNs >= Moderation.windowNs { endWindow(nowNs) }
        return allStream ? pauseNs : 0
    }

    private mutating func endWindow(_ nowNs: UInt64) {
        let elapsedNs = max(Moderation.windowNs, nowNs &- windowStartNs)
        let bytesPerWindow = Int(clamping: UInt64(bytes) &* Moderation.windowNs / elapsedNs)
        let isDense = bytesPerWindow >= (pauseNs > 0 ? Moderation.sparseBytes : Moderation.denseBytes)
        let turnBytesMax = pauseNs > 0 ? 8 * Moderation.smallTurnBytes : Moderation.smallTurnBytes
        // Several channels to a turn gather by themselves, and their clients' TCP runs cheaper while somebody reads.
        let isSingle = reads * 4 <= turns * 5
        if allStream && isDense && isSingle && bytes / turns <= turnBytesMax {
            let wanted = Moderation.gatheredBytes &* elapsedNs / UInt64(bytes)
            pauseNs = min(max(wanted, Moderation.pauseNsMin), Moderation.pauseNsMax)
        } else {
            pauseNs = 0
        }
        windowStartNs = nowNs
        bytes = 0
        reads = 0
        turns = 0
        allStream = true
    }
}
