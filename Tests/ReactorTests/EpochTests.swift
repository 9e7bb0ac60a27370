// Memory that others may still be reading is not freed before each of them has begun anew.

import Glibc
import Locks
import Synchronization
import Testing

@testable import Reactor

@Test func nothingIsFreedWhileALoopIsInItsTurn() {
    let epochs = EpochDomain(loopCount: 2)
    var list = RetireList()
    final class Log { var freed: [UInt] = [] }
    let log = Log()
    func retire(_ number: UInt) {
        list.append(UnsafeMutableRawPointer(bitPattern: number).unsafelyUnwrapped, stamp: epochs.retire()) {
            log.freed.append(UInt(bitPattern: $0))
            return true
        }
    }
    epochs.enter(0)
    epochs.enter(1)
    retire(1)
    list.reclaim(before: epochs.reclaimable())
    #expect(log.freed.isEmpty)
    epochs.enter(0)
    list.reclaim(before: epochs.reclaimable())
    #expect(log.freed.isEmpty, "loop 1 is still in the turn in which it could have found it")
    retire(2)
    epochs.enter(1)
    list.reclaim(before: epochs.reclaimable())
    #expect(log.freed == [1])
    // A loop that sleeps reads nothing.
    epochs.leave(0)
    epochs.leave(1)
    list.reclaim(before: epochs.reclaimable())
    #expect(log.freed == [1, 2])
    #expect(list.isEmpty)
}

@Test func whatIsNotReadyKeepsItsPlace() {
    var list = RetireList()
    final class Log {
        var freed: [Int] = []
        var isReady = false
    }
    let log = Log()
    for number in 1...3_000 {
        list.append(UnsafeMutableRawPointer(bitPattern: UInt(number)).unsafelyUnwrapped, stamp: UInt64(number)) { memory in
            let number = Int(bitPattern: memory)
            if number % 1_000 == 1 && !log.isReady { return false }
            log.freed.append(number)
            return true
        }
    }
    for limit in stride(from: 500, through: 3_500, by: 500) { list.reclaim(before: UInt64(limit)) }
    #expect(log.freed.count == 2_997 && !list.isEmpty)
    log.isReady = true
    list.reclaim(before: .max)
    #expect(Set(log.freed) == Set(1...3_000) && log.freed.count == 3_000 && list.isEmpty)
}

/// A reader on one loop follows a pointer that a writer on another one replaces and retires: it never sees freed memory.
@Test func readersNeverSeeFreedMemory() throws {
    let epochs = EpochDomain(loopCount: 2)
    final class Shared: Sendable {
        let current = Atomic<UInt>(0)
        let isDone = Atomic<Bool>(false)
        let failures = Atomic<Int>(0)
    }
    let shared = Shared()
    let alive = 0x1234_5678
    func make() -> UInt {
        let memory = UnsafeMutablePointer<Int>.allocate(capacity: 1)
        memory.initialize(to: alive)
        return UInt(bitPattern: memory)
    }
    shared.current.store(make(), ordering: .releasing)
    let reader = try spawnThread(name: "reader") {
        while !shared.isDone.load(ordering: .relaxed) {
            epochs.enter(1)
            for _ in 0..<10 {
                if let memory = UnsafePointer<Int>(bitPattern: shared.current.load(ordering: .acquiring)),
                    memory.pointee != alive
                {
                    shared.failures.wrappingAdd(1, ordering: .relaxed)
                }
            }
            epochs.leave(1)
        }
    }
    var list = RetireList()
    for _ in 0..<20_000 {
        epochs.enter(0)
        let old = shared.current.exchange(make(), ordering: .acquiringAndReleasing)
        list.append(UnsafeMutableRawPointer(bitPattern: old).unsafelyUnwrapped, stamp: epochs.retire()) { memory in
            memory.storeBytes(of: 0, as: Int.self)
            memory.deallocate()
            return true
        }
        list.reclaim(before: epochs.reclaimable())
    }
    shared.isDone.store(true, ordering: .relaxed)
    pthread_join(reader, nil)
    #expect(shared.failures.load(ordering: .relaxed) == 0)
    epochs.leave(0)
    list.reclaim(before: epochs.reclaimable())
    UnsafeMutableRawPointer(bitPattern: shared.current.load(ordering: .relaxed))?.deallocate()
}

/// Tasks and blocks come out in the order in which they went in, and a post is never slept through.
@Test func mailboxKeepsOrderAndWakes() throws {
    let loops = try TestLoops(count: 2)
    defer { loops.stop() }
    final class Log: Sendable { let seen = Locked<[Int]>([]) }
    let log = Log()
    for number in 0..<2_000 {
        loops.group.mailboxes[1].post { _ in log.seen.withLock { $0.append(number) } }
        // Time to fall asleep, now and then.
        if number % 50 == 0 { usleep(300) }
    }
    #expect(eventually { log.seen.withLock { $0.count } == 2_000 })
    #expect(log.seen.withLock { $0 } == Array(0..<2_000))
}
