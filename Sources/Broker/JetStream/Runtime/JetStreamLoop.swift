// The streams of one loop: carries their messages, their time and their finished commits to them, turn by turn.

import Glibc
import Reactor
import Store
import Wire

/// Owned by its loop, through the `Router`.
final class JetStreamLoop {
    /// Rounds in which streams may feed each other within one turn before the loop looks at its sockets again.
    private static let roundsMax = 16

    let shared: JetStream
    unowned let router: Router
    private(set) var streams: [UInt64: StreamRuntime] = [:]
    /// Streams with something to decide at the end of this turn.
    private var active: [StreamRuntime] = []
    let admin: StreamAdmin

    init(_ shared: JetStream, router: Router) {
        self.shared = shared
        self.router = router
        admin = StreamAdmin(shared, router: router)
        admin.streams = self
        router.endpoints.accountRequest = { [unowned self] account, message, origin in
            guard let account = shared.account(account) else { return }
            admin.receive(message, for: account)
        }
        router.loop.turnEnded = { [unowned self] in turnEnded() }
    }

    private var loop: EventLoop { router.loop }

    func add(_ runtime: StreamRuntime) { streams[runtime.serial] = runtime }
    func remove(_ runtime: StreamRuntime) { streams[runtime.serial] = nil }
    func stream(_ serial: UInt64) -> StreamRuntime? { streams[serial] }

    /// Has a stream asked what follows from this turn, at its end.
    func touch(_ runtime: StreamRuntime) {
        guard !runtime.isActive else { return }
        runtime.isActive = true
        active.append(runtime)
    }

    private func turnEnded() {
        var rounds = 0
        while router.endpoints.hasLocalMail || !active.isEmpty {
            router.endpoints.deliverLocal()
            let taken = active
            active = []
            for runtime in taken {
                runtime.isActive = false
                runtime.turnEnded()
            }
            rounds += 1
            if rounds == JetStreamLoop.roundsMax {
                // The rest is for the next turn, which comes at once.
                loop.mailbox.post { _ in }
                break
            }
        }
        router.endpoints.post()
    }

    /// Runs a commit: on this thread if it does not wait for a disk, else on a sync thread.
    func run(_ job: CommitJob, for serial: UInt64, then: @escaping (CommitResult) -> Void) {
        commits += 1
        let number = commits
        waiting[number] = then
        let mailbox = loop.mailbox
        let isQueued = shared.syncThreads.run {
            let result = job.run()
            mailbox.post { loop in (loop.context as? Router)?.streams?.committed(number, result) }
        }
        if !isQueued { committed(number, CommitResult(error: DiskError("pthread_create", "sync thread", EAGAIN))) }
    }

    private var commits: UInt64 = 0
    private var waiting: [UInt64: (CommitResult) -> Void] = [:]

    private func committed(_ number: UInt64, _ result: CommitResult) { waiting.removeValue(forKey: number)?(result) }
}
