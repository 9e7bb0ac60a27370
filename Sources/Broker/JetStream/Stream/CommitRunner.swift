// Who runs a stream's commits, and when they sync.

import Store

/// Runs commit jobs off the loop: a pool of sync threads in the broker, the simulator's disk in tests.
protocol CommitRunner: AnyObject {
    /// Runs `job` on any thread, then calls `then` on the stream's loop, in a turn that ends with `Stream.turnEnded`.
    func run(_ job: CommitJob, then: @escaping (CommitResult) -> Void)
}

/// When what has been written is synced: JetStream's `sync_interval`.
enum SyncPolicy: Sendable, Equatable {
    /// Before each ack.
    case always
    /// An ack means written; a sync follows within the interval.
    case interval(ns: UInt64)
    /// Left to the operating system.
    case never

    var syncsEveryCommit: Bool { self == .always }
}
