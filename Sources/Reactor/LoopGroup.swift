// All loops of a process: one per core, their mailboxes, and what they share.

import CLinux
import Glibc
import Locks
import Synchronization

/// Starts one thread per loop and waits for their end.
public final class LoopGroup: Sendable {
    public let count: Int
    public let mailboxes: [Mailbox]
    public let epochs: EpochDomain
    /// Channels that can be open at once.
    public let slotsMax: Int
    let shelf = BufferShelf()
    let slots: SlotAllocator
    private let serials = Atomic<UInt64>(1)
    /// Loops that poll instead of sleeping, and how many may.
    let spinning = Atomic<Int>(0)
    let spinnersMax = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)) / 2)

    /// - Parameter slotsMax: bounds the channels of all loops together; memory is reserved, not used, for them.
    public init(count: Int, slotsMax: Int) throws(SystemError) {
        self.count = count
        self.slotsMax = slotsMax
        var boxes: [Mailbox] = []
        for _ in 0..<count { boxes.append(try Mailbox()) }
        mailboxes = boxes
        epochs = EpochDomain(loopCount: count)
        slots = SlotAllocator(capacity: slotsMax, loopCount: count)
    }

    func nextSerial() -> UInt64 { serials.wrappingAdd(1, ordering: .relaxed).oldValue }

    /// Runs all loops and returns when the last has stopped. `prepare` is called on each loop's own thread before its
    /// first turn; all have been prepared before any begins.
    public func run(
        limits: LoopLimits, prepare: @escaping @Sendable (EventLoop) throws -> Void
    ) throws {
        let start = StartGate(parties: count)
        var threads: [pthread_t] = []
        for index in 1..<max(1, count) {
            threads.append(
                try spawnThread(name: "loop-\(index)") { [self] in
                    self.runLoop(index, limits, start, prepare)
                })
        }
        runLoop(0, limits, start, prepare)
        for thread in threads { pthread_join(thread, nil) }
        if let failure = start.failure { throw failure }
    }

    private func runLoop(
        _ index: Int, _ limits: LoopLimits, _ start: StartGate, _ prepare: @Sendable (EventLoop) throws -> Void
    ) {
        do {
            let loop = try EventLoop(index: index, group: self, mailbox: mailboxes[index], limits: limits)
            try prepare(loop)
            guard start.arrive(nil) else { return }
            loop.run()
        } catch {
            _ = start.arrive(error)
        }
    }

    /// Asks every loop to stop after its current turn.
    public func stop() {
        for mailbox in mailboxes { mailbox.post { $0.stop() } }
    }
}

/// Lets the loops begin together, or none of them if one could not be prepared.
private final class StartGate: Sendable {
    private struct State {
        var waiting: Int
        var failure: (any Error)?
    }
    private let state: Locked<State>
    private let turnstile = Atomic<UInt32>(0)

    init(parties: Int) { state = Locked(State(waiting: parties, failure: nil)) }

    var failure: (any Error)? { state.withLock { $0.failure } }

    func arrive(_ error: (any Error)?) -> Bool {
        let last = state.withLock { state in
            state.waiting -= 1
            if let error, state.failure == nil { state.failure = error }
            return state.waiting == 0
        }
        if last {
            turnstile.store(1, ordering: .releasing)
        } else {
            while turnstile.load(ordering: .acquiring) == 0 { usleep(100) }
        }
        return failure == nil
    }
}

/// Hands out small numbers, each to one channel at a time. Each loop draws from blocks of its own, so that the channels of
/// a loop lie together in its table of stages.
final class SlotAllocator: Sendable {
    private static let blockSize: Int32 = 64

    private struct State {
        var next: Int32 = 0
        var unused: [[Int32]]
    }
    private let state: Locked<State>
    private let capacity: Int

    init(capacity: Int, loopCount: Int) {
        self.capacity = capacity
        state = Locked(State(unused: Array(repeating: [], count: loopCount)))
    }

    func take(forLoop loop: Int) -> Int32? {
        state.withLock { state in
            if let slot = state.unused[loop].popLast() { return slot }
            let first = state.next
            let end = Int32(min(Int(first) + Int(SlotAllocator.blockSize), capacity))
            guard first < end else {
                for other in state.unused.indices { if let slot = state.unused[other].popLast() { return slot } }
                return nil
            }
            state.next = end
            state.unused[loop].append(contentsOf: (first + 1..<end).reversed())
            return first
        }
    }

    func put(_ slot: Int32, forLoop loop: Int) { state.withLock { $0.unused[loop].append(slot) } }
}

/// Starts a thread with an 8 MiB stack. Signals stay blocked in it: the main thread's loop handles them.
public func spawnThread(name: String, _ body: @escaping @Sendable () -> Void) throws(SystemError) -> pthread_t {
    final class Box {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    var thread = pthread_t()
    let box = Unmanaged.passRetained(Box(body))
    let failure = pthread_create(
        &thread, nil,
        { argument in
            guard let argument else { return nil }
            Unmanaged<Box>.fromOpaque(argument).takeRetainedValue().body()
            return nil
        }, box.toOpaque())
    guard failure == 0 else {
        box.release()
        throw SystemError("pthread_create", failure)
    }
    clinux_name_thread(thread, name)
    return thread
}
