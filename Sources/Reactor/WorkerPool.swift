// Threads for what must not run on a loop: password hashes, name lookups, files.

import Glibc
import Synchronization

/// A few threads, started when first needed, that run jobs in the order they came.
///
/// The queue is bounded: beyond it jobs are refused, so that a flood of logins cannot fill the memory.
public final class WorkerPool: Sendable {
    public typealias Job = @Sendable () -> Void

    private struct State {
        var jobs: [Job] = []
        var head = 0
        var threads = 0
        var idle = 0
    }
    private let state = Mutex(State())
    /// Counts jobs that wait; the threads sleep on it.
    private nonisolated(unsafe) let available: UnsafeMutablePointer<sem_t>
    private let threadsMax: Int
    private let jobsMax: Int

    public init(threadsMax: Int, jobsMax: Int = 100_000) {
        self.threadsMax = threadsMax
        self.jobsMax = jobsMax
        available = .allocate(capacity: 1)
        available.initialize(to: sem_t())
        sem_init(available, 0, 0)
    }

    /// Queues a job; false if too many wait already or no thread could be started.
    @discardableResult
    public func run(_ job: @escaping Job) -> Bool {
        let (accepted, needsThread) = state.withLock { state -> (Bool, Bool) in
            guard state.jobs.count - state.head < jobsMax else { return (false, false) }
            state.jobs.append(job)
            let needs = state.idle == 0 && state.threads < threadsMax
            if needs { state.threads += 1 }
            return (true, needs)
        }
        guard accepted else { return false }
        if needsThread {
            do {
                let thread = try spawnThread(name: "worker") { [self] in self.work() }
                pthread_detach(thread)
            } catch {
                let remaining = state.withLock { state in
                    state.threads -= 1
                    return state.threads
                }
                if remaining == 0 { return false }
            }
        }
        sem_post(available)
        return true
    }

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
