// One thread, one epoll: reads what is ready, lets the handlers decide, then writes each socket once.

import CLinux
import Glibc
import Synchronization

/// Limits of a loop and its channels. A reload replaces them from a task on the loop.
public struct LoopLimits: Sendable {
    /// Unsent bytes beyond which a channel is cut as a slow consumer.
    public var maxPendingBytes = 64 << 20
    public var writeDeadlineMs = 10_000
    /// Unsent bytes of a target beyond which its producers are stalled, and below which they go on.
    /// Small enough that queued bytes stay in the cache, large enough to keep the socket busy.
    public var stallBytes = 2 << 20
    public var stallMs = 5
    public var stallsProducers = true
    /// Polling after work before blocking.
    public var spinNs: UInt64 = 0
    public init() {}
}

/// Owns the channels that live on its thread and everything their handlers do there.
///
/// A turn: take events, read each ready channel once, take over the mailbox, run due timers and the end-of-turn hook,
/// then flush every channel that has staged output. Not Sendable: other threads reach it through `mailbox`.
public final class EventLoop {
    /// Bytes asked for in one read; a connection owns memory only for an unfinished frame.
    public static let receiveBytes = 256 << 10
    /// The same for a channel that is read in pieces: some hundred small messages, which take longer than the read.
    static let pieceBytes = 20 << 10
    /// An unfinished frame up to this size is copied in front of the next read; a larger one is received in place.
    static let carryCopiedBytesMax = 64 << 10
    static let eventsPerTurn = 512

    public let index: Int
    public let mailbox: Mailbox
    public let group: LoopGroup
    public var limits: LoopLimits
    /// What the modules above keep per loop. Set before the loop runs.
    public var context: AnyObject?
    /// Runs at the end of each turn, before the flush.
    public var turnEnded: (() -> Void)?
    public private(set) var turnStartNs: UInt64 = 0
    /// Messages and payload bytes that this loop has staged for whomever, counted at each flush.
    public internal(set) var messagesOut: UInt64 = 0
    public internal(set) var payloadBytesOut: UInt64 = 0
    /// How often a connection was not read for a while because its target had much unsent.
    public internal(set) var stallsTotal: UInt64 = 0

    // Output, see EventLoop+Output.swift.
    public let stages: UnsafeMutablePointer<OutputStage>
    let dirty: UnsafeMutablePointer<Int32>
    var dirtyCount = 0
    /// The list of dirty stages is being walked: what closing handlers stage meanwhile only joins it.
    var isFlushing = false
    var pool: BufferPool
    var stagedCapacity = 0
    var outboxes: [Outbox]
    var deferredFirst: OutputBufferRef?
    var deferredLast: OutputBufferRef?
    var mailPass: UInt64 = 0
    var stalls: [Stall] = []
    /// The latest channel that was staged for although it has much unsent; forgotten at the end of the turn.
    var congested: ChannelRef?

    let epollFD: Int32
    var timers = TimerQueue()
    var owned: [Int32: ChannelRef] = [:]
    private var retired = RetireList()
    private let readBuffer: UnsafeMutablePointer<UInt8>
    private var sources: [Int32: () -> Void] = [:]
    private var stopping = false
    private var moderation = Moderation()

    init(index: Int, group: LoopGroup, mailbox: Mailbox, limits: LoopLimits) throws(SystemError) {
        self.index = index
        self.group = group
        self.mailbox = mailbox
        self.limits = limits
        epollFD = epoll_create1(Int32(EPOLL_CLOEXEC))
        if epollFD < 0 { throw SystemError("epoll_create1") }
        stages = try mapZeroed(OutputStage.self, group.slotsMax)
        dirty = try mapZeroed(Int32.self, group.slotsMax)
        pool = BufferPool(shelf: group.shelf)
        outboxes = Array(repeating: Outbox(), count: group.count)
        readBuffer = .allocate(
            capacity: EventLoop.carryCopiedBytesMax + EventLoop.receiveBytes + Channel.slackBytes)
        // Edge-triggered: each post that finds the loop asleep wakes it, and nobody has to read the counter back.
        var event = epoll_event()
        event.events = EPOLLIN.rawValue | EPOLLET.rawValue
        event.data.u64 = UInt64(UInt32(bitPattern: mailbox.eventFD)) << 1 | 1
        if epoll_ctl(epollFD, EPOLL_CTL_ADD, mailbox.eventFD, &event) != 0 { throw SystemError("epoll_ctl") }
    }

    deinit {
        Glibc.close(epollFD)
        readBuffer.deallocate()
        munmap(stages, max(1, group.slotsMax) * MemoryLayout<OutputStage>.stride)
        munmap(dirty, max(1, group.slotsMax) * MemoryLayout<Int32>.stride)
        pool.trim()
    }

    // MARK: Turns

    /// Runs until `stop` and returns. The calling thread becomes the loop's.
    func run() {
        clinux_precise_timers()
        let events = UnsafeMutablePointer<epoll_event>.allocate(capacity: EventLoop.eventsPerTurn)
        defer { events.deallocate() }
        var lastWorkNs: UInt64 = 0
        while !stopping {
            let count = waitForEvents(events, lastWorkNs)
            group.epochs.enter(index)
            turnStartNs = Clock.monotonicNs()
            for position in 0..<count { dispatch(events[position]) }
            let worked = count > 0 || mailbox.hasContents
            takeMail()
            fireTimers()
            turnEnded?()
            flush()
            reviewStalls()
            congested = nil
            if !retired.isEmpty { retired.reclaim(before: group.epochs.reclaimable()) }
            let pauseNs = moderation.endTurn(turnStartNs)
            if pauseNs > 0 { pause(pauseNs) }
            if worked && limits.spinNs > 0 { lastWorkNs = Clock.monotonicNs() }
        }
        for channel in Array(owned.values) { close(channel, .loopStopped) }
        flush()
        group.epochs.leave(index)
    }

    /// Lets small reads gather. Counts as sleeping for the others' memory reclamation.
    private func pause(_ lengthNs: UInt64) {
        guard !mailbox.hasContents else { return }
        group.epochs.leave(index)
        var time = timespec(tv_sec: 0, tv_nsec: Int(lengthNs))
        nanosleep(&time, nil)
    }

    /// Ends `run` after the current turn.
    public func stop() { stopping = true }

    private func waitForEvents(_ events: UnsafeMutablePointer<epoll_event>, _ lastWorkNs: UInt64) -> Int {
        let capacity = Int32(EventLoop.eventsPerTurn)
        if deferredFirst != nil || dirtyCount > 0 || mailbox.hasContents {
            return Int(max(0, epoll_wait(epollFD, events, capacity, 0)))
        }
        if limits.spinNs > 0, let count = spin(events, until: lastWorkNs &+ limits.spinNs) { return count }
        let timeout = sleepMs()
        guard timeout != 0, mailbox.prepareToSleep() else {
            return Int(max(0, epoll_wait(epollFD, events, capacity, 0)))
        }
        group.epochs.leave(index)
        let count = epoll_wait(epollFD, events, capacity, timeout)
        mailbox.awoke()
        return Int(max(0, count))
    }

    /// Polls until there are events, mail, or the time is up; nil for the latter. Gives way to whoever wants the core, and
    /// leaves half of the cores to them: a spinning loop that keeps the client from running gains nothing.
    private func spin(_ events: UnsafeMutablePointer<epoll_event>, until deadlineNs: UInt64) -> Int? {
        guard Clock.monotonicNs() < deadlineNs else { return nil }
        let spinners = group.spinning.wrappingAdd(1, ordering: .relaxed).newValue
        defer { group.spinning.wrappingSubtract(1, ordering: .relaxed) }
        guard spinners <= group.spinnersMax else { return nil }
        repeat {
            let count = epoll_wait(epollFD, events, Int32(EventLoop.eventsPerTurn), 0)
            if count > 0 || mailbox.hasContents { return Int(max(0, count)) }
            sched_yield()
        } while Clock.monotonicNs() < deadlineNs
        return nil
    }

    private func sleepMs() -> Int32 {
        var deadline = timers.nextDeadlineNs ?? .max
        for stall in stalls { deadline = min(deadline, stall.deadlineNs) }
        // What is retired waits for the other loops only; look again soon.
        if !retired.isEmpty { deadline = min(deadline, turnStartNs &+ .ms(50)) }
        if deadline == .max { return -1 }
        let now = Clock.monotonicNs()
        if deadline <= now { return 0 }
        return Int32(clamping: (deadline - now + 999_999) / 1_000_000)
    }

    private func dispatch(_ event: epoll_event) {
        let tag = event.data.u64
        if tag & 1 == 1 {
            sources[Int32(truncatingIfNeeded: tag >> 1)]?()
            return
        }
        guard let channel = ChannelRef(bitPattern: UInt(tag)) else { return }
        // Closed earlier in this turn: the memory is still there, the descriptor is not.
        if channel.pointee.state.load(ordering: .relaxed) == Channel.State.closed { return }
        if event.events & EPOLLOUT.rawValue != 0 { drainQueue(channel) }
        guard event.events & ~EPOLLOUT.rawValue != 0 else { return }
        // Draining may have found the socket broken and closed it.
        if channel.pointee.state.load(ordering: .relaxed) == Channel.State.closed { return }
        read(channel)
    }

    private func fireTimers() {
        while let action = timers.popDue(turnStartNs) { action() }
    }

    // MARK: Timers, tasks, descriptors

    /// Runs `action` on this loop after `delayMs`.
    @discardableResult
    public func schedule(afterMs delayMs: Int, _ action: @escaping () -> Void) -> TimerID {
        timers.schedule(at: Clock.monotonicNs() &+ .ms(delayMs), action)
    }

    public func cancel(_ timer: TimerID) { timers.cancel(timer) }

    /// Calls `action` whenever `fd` is readable. The caller keeps the descriptor open until `unwatch`.
    public func watch(fd: Int32, _ action: @escaping () -> Void) {
        sources[fd] = action
        var event = epoll_event()
        event.events = EPOLLIN.rawValue
        event.data.u64 = UInt64(UInt32(bitPattern: fd)) << 1 | 1
        _ = epoll_ctl(epollFD, EPOLL_CTL_ADD, fd, &event)
    }

    public func unwatch(fd: Int32) {
        sources[fd] = nil
        _ = epoll_ctl(epollFD, EPOLL_CTL_DEL, fd, nil)
    }

    /// Frees something that was just unlinked from a shared structure, once no loop can still be reading it.
    /// `release` runs on this loop; it returns false to be asked again later.
    public func retire(_ memory: UnsafeMutableRawPointer, _ release: @escaping (UnsafeMutableRawPointer) -> Bool) {
        retired.append(memory, stamp: group.epochs.retire(), release: release)
    }

    // MARK: Channels

    /// Takes over a connected nonblocking socket. `makeHandler` gets the channel before the first byte is read.
    /// False, and the socket is closed, if as many channels as the group has slots are open.
    @discardableResult
    public func adopt(_ socket: consuming FileDescriptor, _ makeHandler: (ChannelRef) -> any ChannelHandler) -> Bool {
        guard let slot = group.slots.take(forLoop: index) else { return false }
        let channel = ChannelRef.allocate(capacity: 1)
        channel.initialize(
            to: Channel(
                fd: socket.release(), slot: slot, home: Int32(index), serial: group.nextSerial(),
                handler: NoHandler.shared))
        owned[slot] = channel
        stages[Int(slot)] = OutputStage()
        channel.pointee.handler = makeHandler(channel)
        var event = epoll_event()
        event.events = EPOLLIN.rawValue
        event.data.u64 = UInt64(UInt(bitPattern: channel))
        channel.pointee.interest = EPOLLIN.rawValue
        if epoll_ctl(epollFD, EPOLL_CTL_ADD, channel.pointee.fd, &event) != 0 { close(channel, .readError(errno)) }
        return true
    }

    /// The channel of that name, if it is still open on this loop.
    public func channel(_ id: ChannelID) -> ChannelRef? {
        guard let channel = owned[id.slot], channel.pointee.serial == id.serial else { return nil }
        return channel
    }

    public var channelCount: Int { owned.count }

    /// Stops reading until as many `resumeReading` calls.
    public func pauseReading(_ channel: ChannelRef) {
        channel.pointee.readPauses += 1
        updateInterest(channel)
    }

    /// Goes on reading, first with what was left over.
    public func resumeReading(_ channel: ChannelRef) {
        guard channel.pointee.readPauses > 0 else { return }
        channel.pointee.readPauses -= 1
        guard channel.pointee.readPauses == 0, channel.pointee.isOpen else { return }
        updateInterest(channel)
        if channel.pointee.carryCount > 0 { presentCarry(channel) }
    }

    func updateInterest(_ channel: ChannelRef) {
        let state = channel.pointee.state.load(ordering: .relaxed)
        if state == Channel.State.closed { return }
        var wanted: UInt32 = 0
        if channel.pointee.readPauses == 0 && state != Channel.State.flushing { wanted |= EPOLLIN.rawValue }
        if channel.pointee.queueHead != nil { wanted |= EPOLLOUT.rawValue }
        if wanted == channel.pointee.interest { return }
        channel.pointee.interest = wanted
        var event = epoll_event()
        event.events = wanted
        event.data.u64 = UInt64(UInt(bitPattern: channel))
        _ = epoll_ctl(epollFD, EPOLL_CTL_MOD, channel.pointee.fd, &event)
    }

    // MARK: Reading

    private func read(_ channel: ChannelRef) {
        if channel.pointee.state.load(ordering: .relaxed) != Channel.State.open {
            discardInput(channel)
            return
        }
        if channel.pointee.readPauses > 0 {
            // Only an error or a hang-up gets here; it will still be there when reading resumes, but epoll would spin.
            if channel.pointee.interest & EPOLLIN.rawValue == 0 { close(channel, .peerClosed) }
            return
        }
        if channel.pointee.carryCapacity > EventLoop.carryCopiedBytesMax {
            readInPlace(channel)
            return
        }
        let kept = channel.pointee.carryCount
        if kept > 0, let carry = channel.pointee.carry { memcpy(readBuffer, carry, kept) }
        let wanted = channel.pointee.isReadInPieces ? EventLoop.pieceBytes : EventLoop.receiveBytes
        let count = recv(channel.pointee.fd, readBuffer + kept, wanted, 0)
        guard received(channel, count) else { return }
        let written = channel.pointee.bytesWritten.load(ordering: .relaxed)
        if written != channel.pointee.writtenAtRead {
            channel.pointee.writtenAtRead = written
            channel.pointee.unansweredReads = 0
        } else if channel.pointee.unansweredReads < Moderation.unansweredReadsMin {
            channel.pointee.unansweredReads += 1
        }
        moderation.noteRead(count, unansweredReads: channel.pointee.unansweredReads)
        let total = kept + count
        let outcome = present(channel, readBuffer, total)
        keep(channel, readBuffer + outcome.consumed, total - outcome.consumed, frameBytes: outcome.frameBytes)
    }

    /// Receives the rest of a large frame where its beginning is.
    private func readInPlace(_ channel: ChannelRef) {
        guard let carry = channel.pointee.carry else { return }
        let kept = channel.pointee.carryCount
        let count = recv(channel.pointee.fd, carry + kept, channel.pointee.carryCapacity - kept, 0)
        guard received(channel, count) else { return }
        let total = kept + count
        channel.pointee.carryCount = total
        if total < channel.pointee.carryWanted { return }
        presentCarry(channel)
    }

    private func presentCarry(_ channel: ChannelRef) {
        guard let carry = channel.pointee.carry else { return }
        let total = channel.pointee.carryCount
        // Detached while the handler runs, which may close the channel.
        channel.pointee.carry = nil
        channel.pointee.carryCount = 0
        channel.pointee.carryCapacity = 0
        channel.pointee.carryWanted = 0
        let outcome = present(channel, carry, total)
        keep(channel, carry + outcome.consumed, total - outcome.consumed, frameBytes: outcome.frameBytes)
        carry.deallocate()
    }

    private func present(_ channel: ChannelRef, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> ReadOutcome {
        guard let handler = channel.pointee.handler else { return ReadOutcome(consumed: count) }
        let outcome = handler.received(bytes, count)
        precondition(outcome.consumed >= 0 && outcome.consumed <= count)
        return channel.pointee.isOpen ? outcome : ReadOutcome(consumed: count)
    }

    /// Whether `count` from recv means that there are bytes; closes the channel on an error or the end.
    private func received(_ channel: ChannelRef, _ count: Int) -> Bool {
        if count > 0 { return true }
        if count == 0 {
            close(channel, .peerClosed)
        } else if errno != EAGAIN && errno != EINTR {
            close(channel, .readError(errno))
        }
        return false
    }

    /// Keeps an unfinished frame in memory of the channel's own.
    private func keep(_ channel: ChannelRef, _ bytes: UnsafePointer<UInt8>, _ count: Int, frameBytes: Int) {
        if count == 0 {
            releaseCarry(channel)
            return
        }
        var capacity = max(count, frameBytes)
        var wanted = capacity
        if capacity <= EventLoop.carryCopiedBytesMax {
            capacity = count
        } else if capacity == count {
            // A frame of unknown length that has outgrown the copied size.
            capacity = 2 * count
            wanted = count + 1
        }
        let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity + Channel.slackBytes)
        memcpy(memory, bytes, count)
        releaseCarry(channel)
        channel.pointee.carry = memory
        channel.pointee.carryCount = count
        channel.pointee.carryCapacity = capacity
        channel.pointee.carryWanted = wanted
    }

    private func releaseCarry(_ channel: ChannelRef) {
        channel.pointee.carry?.deallocate()
        channel.pointee.carry = nil
        channel.pointee.carryCount = 0
        channel.pointee.carryCapacity = 0
        channel.pointee.carryWanted = 0
    }

    /// A closing channel: what still arrives is thrown away until the peer closes.
    private func discardInput(_ channel: ChannelRef) {
        let count = recv(channel.pointee.fd, readBuffer, EventLoop.receiveBytes, 0)
        if count > 0 || (count < 0 && (errno == EAGAIN || errno == EINTR)) { return }
        destroy(channel)
    }

    // MARK: Closing

    /// Closes now; queued output is dropped. With `linger` what is staged and queued goes out first, then the write side
    /// is shut down and the peer gets a moment to read it.
    public func close(_ channel: ChannelRef, _ reason: CloseReason, linger: Bool = false) {
        guard channel.pointee.state.load(ordering: .relaxed) == Channel.State.open else { return }
        if linger {
            flushStage(channel)
            // The socket may turn out to be broken only now: then it is closed already, and the descriptor may be another's.
            guard channel.pointee.isOpen else { return }
        }
        channel.pointee.linger = linger
        channel.pointee.state.store(Channel.State.flushing, ordering: .releasing)
        channel.pointee.handler?.closed(reason)
        guard linger else {
            destroy(channel)
            return
        }
        let id = channel.pointee.id
        schedule(afterMs: EventLoop.lingerMs) { [unowned self] in
            if let channel = self.channel(id) { self.destroy(channel) }
        }
        updateInterest(channel)
        finishFlushing(channel)
    }

    static let lingerMs = 1_000

    /// Ends the writing of a channel that is closing once nothing for it is queued, deferred or in the mailbox.
    func finishFlushing(_ channel: ChannelRef) {
        guard channel.pointee.state.load(ordering: .relaxed) == Channel.State.flushing, channel.pointee.linger,
            channel.pointee.blocked.load(ordering: .acquiring) == 0
        else { return }
        shutDownWriting(channel)
    }

    private func shutDownWriting(_ channel: ChannelRef) {
        channel.pointee.state.store(Channel.State.lingering, ordering: .releasing)
        shutdown(channel.pointee.fd, Int32(SHUT_WR))
        channel.pointee.readPauses = 0
        updateInterest(channel)
    }

    /// Closes the descriptor and frees the memory when no loop can reach it any more.
    func destroy(_ channel: ChannelRef) {
        guard channel.pointee.state.load(ordering: .relaxed) != Channel.State.closed else { return }
        guard channel.pointee.tryLock() else {
            // Another loop is in the middle of a send: it takes microseconds, unless that thread was preempted.
            let id = channel.pointee.id
            mailbox.post { loop in if let channel = loop.channel(id) { loop.destroy(channel) } }
            return
        }
        channel.pointee.state.store(Channel.State.closed, ordering: .releasing)
        _ = epoll_ctl(epollFD, EPOLL_CTL_DEL, channel.pointee.fd, nil)
        Glibc.close(channel.pointee.fd)
        channel.pointee.unlock()
        owned[channel.pointee.slot] = nil
        releaseCarry(channel)
        dropQueue(channel)
        if let timer = channel.pointee.writeTimer { timers.cancel(timer) }
        wakeStalledLoops(channel)
        let group = self.group, home = index
        retire(channel) { memory in
            let channel = memory.assumingMemoryBound(to: Channel.self)
            guard channel.pointee.pins.load(ordering: .acquiring) == 0,
                channel.pointee.blocked.load(ordering: .acquiring) == 0
            else { return false }
            let slot = channel.pointee.slot
            channel.deinitialize(count: 1)
            channel.deallocate()
            group.slots.put(slot, forLoop: home)
            return true
        }
    }
}

/// Stands in until `makeHandler` has returned.
private final class NoHandler: ChannelHandler, Sendable {
    static let shared = NoHandler()
    func received(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> ReadOutcome { ReadOutcome(consumed: count) }
    func closed(_ reason: CloseReason) {}
}

/// Zeroed memory that costs nothing until it is touched.
func mapZeroed<T>(_ type: T.Type, _ count: Int) throws(SystemError) -> UnsafeMutablePointer<T> {
    let bytes = max(1, count) * MemoryLayout<T>.stride
    guard let memory = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0),
        memory != MAP_FAILED
    else { throw SystemError("mmap") }
    return memory.bindMemory(to: T.self, capacity: count)
}
