// Threads for what must not run on a loop: password hashes, name lookups, files.

import Glibc
import Locks

/// A few threads, started when first needed, that run jobs in the order they came.
///
/// The queue is bounded: beyond it jobs are refused, so that a flood of logins cannot fill the memory.
public final class WorkerPool: Sendable {
    public typealias Job = @Sendable () -> Void
    /// Starts a thread that runs a body.
    public typealias Spawn = @Sendable (_ body: @escaping Job) throws(SystemError) -> pthread_t

    private struct State {
        var jobs: [Job] = []
        var head = 0
        var threads = 0
        var idle = 0
    }
    private let state = Locked(State())
    /// Counts jobs that wait; the threads sleep on it.
    private nonisolated(unsafe) let available: UnsafeMutablePointer<sem_t>
    private let threadsMax: Int
    private let jobsMax: Int
    private let spawn: Spawn

    public init(
        threadsMax: Int, jobsMax: Int = 100_000,
        spawn: @escaping Spawn = { body throws(SystemError) in try spawnThread(name: "worker", body) }
    ) {
        self.threadsMax = threadsMax
        self.jobsMax = jobsMax
        self.spawn = spawn
        available = .allocate(capacity: 1)
        available.initialize(to: sem_t())
        sem_init(available, 0, 0)
    }

    /// Queues a job; false if too many wait already or there is no thread and none can be started. A job that is refused
    /// does not run later.
    @discardableResult
    public func run(_ job: @escaping Job) -> Bool {
        let isQueued = state.withLock { state -> Bool in
            guard state.jobs.count - state.head < jobsMax else { return false }
            // Threads are started with the lock held, so that nobody counts on one that does not come. It happens a few
            // times in a process's life.
            if state.idle <= state.jobs.count - state.head && state.threads < threadsMax, let thread = start() {
                pthread_detach(thread)
                state.threads += 1
            }
            guard state.threads > 0 else { return false }
            state.jobs.append(job)
            return true
        }
        if isQueued { sem_post(available) }
        return isQueued
    }

    private func start() -> pthread_t? { try? spawn { [self] in self.work() } }

    private func work() {
        while true {
            state.withLock { $0.idle += 1 }
            while sem_wait(available) != 0 {}
            let job = state.withLock { state -> Job? in
                state.idle -= 1
                guard state.head < state.jobs.count else { return nil }
                let job = state.jobs[state.head]
                state.head += 1
                if state.head == state.jobs.count || state.head > 1_024 {
                    state.jobs.removeFirst(state.head)
                    state.head = 0
                }
                return job
            }
            job?()
        }
    }
}
