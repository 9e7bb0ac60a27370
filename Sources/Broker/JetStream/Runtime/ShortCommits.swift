// Which commits a loop does itself instead of handing them to a thread and being woken when it is done.

import Store

/// Handing a commit over and back costs two wake-ups: more than a short write into the page cache takes. A loop does such a
/// write itself. What syncs leaves the loop, always: a disk may take any time for that.
///
/// Writes may be slow as well, when the kernel has too much to write back. So each commit that took long bars the way for 32
/// times as long, which bounds what a loop can lose to some three percent of its time.
struct ShortCommits {
    static let bytesMax = 128 << 10
    /// Longer than this is slow.
    static let slowNs: UInt64 = 500_000
    static let penalty: UInt64 = 32

    private var barredUntilNs: UInt64 = 0

    func takes(_ job: CommitJob, nowNs: UInt64) -> Bool {
        nowNs >= barredUntilNs && !job.syncs && job.bytes <= ShortCommits.bytesMax
    }

    /// A commit was done here.
    mutating func note(fromNs startNs: UInt64, toNs endNs: UInt64) {
        guard endNs > startNs &+ ShortCommits.slowNs else { return }
        barredUntilNs = endNs &+ (endNs - startNs) &* ShortCommits.penalty
    }
}
