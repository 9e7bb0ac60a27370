// What a stream has taken in and not yet written: its part of the loop's backlog, which tells when publishers have to wait.

import Reactor

/// Owned by the stream's loop.
final class StreamBacklog {
    private unowned let router: Router
    /// Bytes of this turn, not yet reported.
    private var turnBytes = 0
    /// Bytes not yet handed to a commit.
    private var freshBytes = 0
    private var committingBytes = 0
    /// Publishes that wait for something to come from the disk.
    private var heldBytes = 0
    private(set) var commitsRunning = 0

    init(_ router: Router) { self.router = router }

    @inline(__always)
    func count(_ bytes: Int) { turnBytes &+= bytes }

    private func add(_ bytes: Int) { router.broker.backlog.add(router.loop.index, bytes) }

    /// Counts what a turn has brought in, once for all of it.
    func report() {
        guard turnBytes > 0 else { return }
        add(turnBytes)
        freshBytes += turnBytes
        turnBytes = 0
    }

    /// What was taken in and refused is nothing that a disk has yet to do.
    func releaseRefused() {
        guard commitsRunning == 0, freshBytes > 0 else { return }
        add(-freshBytes)
        freshBytes = 0
    }

    func countHeld(_ bytes: Int) {
        guard bytes != heldBytes else { return }
        add(bytes - heldBytes)
        heldBytes = bytes
    }

    /// - Returns: what it is to write.
    func commitBegins() -> Int {
        commitsRunning += 1
        let bytes = freshBytes
        freshBytes = 0
        committingBytes += bytes
        return bytes
    }

    func commitEnds(_ bytes: Int) {
        commitsRunning -= 1
        // Nothing is left of it when the stream has gone meanwhile.
        guard committingBytes > 0 else { return }
        committingBytes -= bytes
        add(-bytes)
    }

    /// The stream is gone.
    func end() {
        add(-freshBytes - committingBytes - heldBytes)
        freshBytes = 0
        heldBytes = 0
        committingBytes = 0
    }
}
