// The worker pool: bounds, and what becomes of jobs when the system has no thread for them.

import Glibc
import Synchronization
import Testing

@testable import Reactor

/// Counts what has run.
private final class Tally: Sendable {
    let count = Atomic<Int>(0)
    func add() { count.wrappingAdd(1, ordering: .sequentiallyConsistent) }
    func reaches(_ expected: Int) -> Bool {
        for _ in 0..<20_000 {
            if count.load(ordering: .sequentiallyConsistent) == expected { return true }
            usleep(500)
        }
        return false
    }
}

/// Starts threads only while it may.
private final class Spawner: Sendable {
    let isWilling = Atomic<Bool>(false)
    let attempts = Atomic<Int>(0)

    func spawn(_ body: @escaping WorkerPool.Job) throws(SystemError) -> pthread_t {
        attempts.wrappingAdd(1, ordering: .relaxed)
        guard isWilling.load(ordering: .relaxed) else { throw SystemError("pthread_create", EAGAIN) }
        return try spawnThread(name: "worker", body)
    }
}

@Suite struct WorkerPoolTests {
    /// Whoever was told that the job does not run has gone on without it.
    @Test func aJobThatIsRefusedDoesNotRunLater() {
        let spawner = Spawner()
        let pool = WorkerPool(threadsMax: 2) { body throws(SystemError) in try spawner.spawn(body) }
        let refused = Tally(), accepted = Tally()
        #expect(!pool.run { refused.add() })
        #expect(!pool.run { refused.add() })
        spawner.isWilling.store(true, ordering: .relaxed)
        #expect(pool.run { accepted.add() })
        #expect(pool.run { accepted.add() })
        #expect(accepted.reaches(2))
        #expect(refused.count.load(ordering: .sequentiallyConsistent) == 0)
    }

    /// One thread is enough to go on with, whatever happens to the second.
    @Test func aSecondThreadThatDoesNotStartRefusesNothing() {
        let spawner = Spawner()
        spawner.isWilling.store(true, ordering: .relaxed)
        let pool = WorkerPool(threadsMax: 2) { body throws(SystemError) in try spawner.spawn(body) }
        let hold = Gate(), done = Tally()
        #expect(
            pool.run {
                hold.wait(); done.add()
            })
        spawner.isWilling.store(false, ordering: .relaxed)
        for _ in 0..<10 { #expect(pool.run { done.add() }) }
        #expect(spawner.attempts.load(ordering: .relaxed) > 1)
        hold.open()
        #expect(done.reaches(11))
    }

    @Test func aFullQueueRefuses() {
        let pool = WorkerPool(threadsMax: 1, jobsMax: 3)
        let hold = Gate(), begun = Tally(), done = Tally()
        #expect(
            pool.run {
                begun.add(); hold.wait(); done.add()
            })
        #expect(begun.reaches(1))
        for _ in 0..<3 { #expect(pool.run { done.add() }) }
        #expect(!pool.run { done.add() })
        hold.open()
        #expect(done.reaches(4))
    }
}

private final class Gate: Sendable {
    private let isOpen = Atomic<Bool>(false)
    func open() { isOpen.store(true, ordering: .releasing) }
    func wait() { while !isOpen.load(ordering: .acquiring) { usleep(200) } }
}
