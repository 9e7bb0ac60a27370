// Which commits a loop does itself instead of handing them to a thread and being woken when it is done.

import Store

/// Handing a commit over and back costs two wake-ups: more than a short write takes, and about as much as a sync of a fast
/// device. A loop that has nothing else to do does such a commit itself.
///
/// That the disk may be slow for once is what speaks against it: then everything on the loop waits. So each commit that took
/// long bars the way for 32 times as long, which bounds what a loop can lose to some three percent of its time.
struct ShortCommits {
    /// Written without a sync: a copy into the page cache.
    static let writeBytesMax = 128 << 10
    /// Written and synced: one small publish, or a few.
    static let syncBytesMax = 2 << 10
    /// Longer than this is slow.
    static let slowNs: UInt64 = 500_000
    static let penalty: UInt64 = 32
    /// Turns with other work than streams' that must have been no part of the last so many.
    private static let quietTurns = 16

    private var barredUntilNs: UInt64 = 0
    private var turnsSinceOthers = 0

    /// A turn has ended.
    /// - Parameter hadOthers: something happened in it that concerned no stream, or several things at once.
    mutating func noteTurn(hadOthers: Bool) {
        turnsSinceOthers = hadOthers ? 0 : min(turnsSinceOthers + 1, ShortCommits.quietTurns)
    }

    /// - Parameter isAlone: no other commit is under way or about to begin.
    func takes(_ job: CommitJob, isAlone: Bool, nowNs: UInt64) -> Bool {
        guard nowNs >= barredUntilNs else { return false }
        if !job.syncs { return job.bytes <= ShortCommits.writeBytesMax }
        return isAlone && job.bytes <= ShortCommits.syncBytesMax && turnsSinceOthers >= ShortCommits.quietTurns
    }

    /// A commit was done here.
    mutating func note(fromNs startNs: UInt64, toNs endNs: UInt64) {
        guard endNs > startNs &+ ShortCommits.slowNs else { return }
        barredUntilNs = endNs &+ (endNs - startNs) &* ShortCommits.penalty
    }
}
