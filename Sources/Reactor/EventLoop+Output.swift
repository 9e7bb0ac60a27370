// The way out of a loop: output is staged per channel during a turn and written once at its end.

import CLinux
import Glibc
import Synchronization

/// What one loop has for one channel in this turn. Zeroed memory is an empty stage.
public struct OutputStage {
    /// Where the next byte goes; `limit - cursor` bytes fit, with `OutputBuffer.slackBytes` behind them.
    public var cursor: UnsafeMutablePointer<UInt8>?
    public var limit: UnsafeMutablePointer<UInt8>?
    var buffer: OutputBufferRef?
    var channel: ChannelRef?
    /// Messages and payload bytes since the last count was added to the channel's.
    public var messages: Int = 0
    public var payloadBytes: Int = 0
    /// The size the last turns needed, so that a busy channel starts with a large block.
    var sizeHint: Int32 = 0
    /// It is on the loop's list of stages to flush.
    var isDirty = false
    /// It holds an answer (PONG, +OK) that must not overtake what the same turn delivers to others.
    public var holdsReply = false

    public init() {}
}

/// Blocks for one other loop, posted together at the end of the flush.
struct Outbox {
    var first: OutputBufferRef?
    var last: OutputBufferRef?
}

extension EventLoop {
    /// Staged output below this goes to another loop's socket directly (latency); from here on the block is handed over
    /// (throughput: the other loop sends while this one parses).
    static let handOverBytes = 32 << 10
    /// Blocks of messages with more payload than this on average are never handed over: they are quickly built, so that little
    /// is gained by building the next one meanwhile, and their bytes would have to move to the other core's cache first.
    static let handOverPayloadMax = 512
    /// Blocks that a turn may hold for all its channels before it flushes early.
    static let stagedCapacityMax = 16 << 20
    /// Channels that a turn may stage for before it flushes early: a message to thousands needs few blocks at a time.
    static let dirtyStagesMax = 256
    /// Bytes that may wait in a mailbox before the connections that feed it are not read.
    static let mailboxBytesMax = 64 << 20

    // MARK: Staging

    /// Room for `count` bytes to `channel` in this turn. The pointer is valid until the next call for any channel.
    @inlinable @inline(__always)
    public func reserve(_ channel: ChannelRef, _ count: Int) -> UnsafeMutablePointer<OutputStage> {
        reserve(slot: channel.pointee.slot, channel, count)
    }

    @inlinable @inline(__always)
    public func reserve(slot: Int32, _ channel: ChannelRef, _ count: Int) -> UnsafeMutablePointer<OutputStage> {
        let stage = stages + Int(slot)
        if let cursor = stage.pointee.cursor, let limit = stage.pointee.limit, limit - cursor >= count { return stage }
        grow(stage, channel, count)
        return stage
    }

    @inline(never) @usableFromInline
    func grow(_ stage: UnsafeMutablePointer<OutputStage>, _ channel: ChannelRef, _ count: Int) {
        if !stage.pointee.isDirty {
            stage.pointee.isDirty = true
            stage.pointee.channel = channel
            dirty[dirtyCount] = channel.pointee.slot
            dirtyCount += 1
        }
        guard let old = stage.pointee.buffer else {
            if isCongested(channel) { congested = channel }
            install(stage, pool.take(atLeast: max(count, Int(stage.pointee.sizeHint))))
            if (stagedCapacity > EventLoop.stagedCapacityMax || dirtyCount > EventLoop.dirtyStagesMax) && !isFlushing {
                flushOthers(keeping: stage)
            }
            return
        }
        settle(stage, old)
        let used = old.pointee.end
        if used + count <= BufferPool.sizes.large && old.pointee.capacity < BufferPool.sizes.large {
            let larger = pool.take(atLeast: max(used + count, old.pointee.capacity * 8))
            memcpy(OutputBuffer.bytes(larger), OutputBuffer.bytes(old), used)
            larger.pointee.end = used
            stagedCapacity -= old.pointee.capacity
            pool.recycle(old)
            install(stage, larger)
            return
        }
        // Full: out with it. A reply in it must not overtake what this turn has for others.
        if stage.pointee.holdsReply && !isFlushing { flushOthers(keeping: stage) }
        stage.pointee.sizeHint = Int32(BufferPool.sizes.large)
        let isDense = holdsSmallMessages(stage)
        detach(stage)
        send(channel, old, mayHandOver: isDense)
        if isCongested(channel) { congested = channel }
        install(stage, pool.take(atLeast: max(count, BufferPool.sizes.large)))
    }

    private func install(_ stage: UnsafeMutablePointer<OutputStage>, _ block: OutputBufferRef) {
        let bytes = OutputBuffer.bytes(block)
        stage.pointee.buffer = block
        stage.pointee.cursor = bytes + block.pointee.end
        stage.pointee.limit = bytes + block.pointee.capacity
        stagedCapacity += block.pointee.capacity
    }

    /// Writes the cursor back into the block.
    private func settle(_ stage: UnsafeMutablePointer<OutputStage>, _ block: OutputBufferRef) {
        guard let cursor = stage.pointee.cursor else { return }
        block.pointee.end = cursor - OutputBuffer.bytes(block)
        assert(block.pointee.end <= block.pointee.capacity)
    }

    private func detach(_ stage: UnsafeMutablePointer<OutputStage>) {
        if let block = stage.pointee.buffer { stagedCapacity -= block.pointee.capacity }
        stage.pointee.buffer = nil
        stage.pointee.cursor = nil
        stage.pointee.limit = nil
    }

    /// Appends bytes that are no message.
    public func write(_ channel: ChannelRef, _ bytes: UnsafeRawBufferPointer, isReply: Bool = false) {
        guard let base = bytes.baseAddress, bytes.count > 0 else { return }
        let stage = reserve(channel, bytes.count)
        guard let cursor = stage.pointee.cursor else { return }
        memcpy(cursor, base, bytes.count)
        stage.pointee.cursor = cursor + bytes.count
        if isReply { stage.pointee.holdsReply = true }
    }

    public func write(_ channel: ChannelRef, _ text: StaticString, isReply: Bool = false) {
        write(channel, UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount), isReply: isReply)
    }

    public func write(_ channel: ChannelRef, _ text: String, isReply: Bool = false) {
        var text = text
        text.withUTF8 { write(channel, UnsafeRawBufferPointer($0), isReply: isReply) }
    }

    // MARK: Flushing

    /// Writes everything that is staged: deliveries first, answers last, so that whoever reads an answer knows that what
    /// came before it is on its way.
    func flush() {
        let count = dirtyCount
        if count > 0 {
            isFlushing = true
            defer { isFlushing = false }
            var replies = 0
            for position in 0..<count {
                let slot = dirty[position]
                let stage = stages + Int(slot)
                if stage.pointee.holdsReply {
                    dirty[replies] = slot
                    replies += 1
                } else {
                    flush(stage)
                }
            }
            postOutboxes()
            for position in 0..<replies { flush(stages + Int(dirty[position])) }
            // What handlers of channels that closed meanwhile have staged is for the next turn.
            for position in count..<dirtyCount { dirty[position - count] = dirty[position] }
            dirtyCount -= count
        }
        postOutboxes()
    }

    private func flush(_ stage: UnsafeMutablePointer<OutputStage>) {
        guard let channel = stage.pointee.channel else { return }
        let isDense = holdsSmallMessages(stage)
        if stage.pointee.messages > 0 {
            channel.pointee.messagesOut.wrappingAdd(UInt64(stage.pointee.messages), ordering: .relaxed)
            channel.pointee.payloadBytesOut.wrappingAdd(UInt64(stage.pointee.payloadBytes), ordering: .relaxed)
            messagesOut &+= UInt64(stage.pointee.messages)
            payloadBytesOut &+= UInt64(stage.pointee.payloadBytes)
            stage.pointee.messages = 0
            stage.pointee.payloadBytes = 0
        }
        stage.pointee.isDirty = false
        stage.pointee.holdsReply = false
        stage.pointee.channel = nil
        guard let block = stage.pointee.buffer else { return }
        settle(stage, block)
        detach(stage)
        stage.pointee.sizeHint = block.pointee.end > BufferPool.sizes.medium ? Int32(BufferPool.sizes.large) : 0
        send(channel, block, mayHandOver: isDense)
    }

    /// Whether what this turn has staged for a channel took long to build, by the byte.
    private func holdsSmallMessages(_ stage: UnsafeMutablePointer<OutputStage>) -> Bool {
        stage.pointee.payloadBytes <= stage.pointee.messages &* EventLoop.handOverPayloadMax
    }

    /// Flushes early: all but `kept`, which is on the list and stays there.
    private func flushOthers(keeping kept: UnsafeMutablePointer<OutputStage>) {
        guard let slot = kept.pointee.channel?.pointee.slot else { return }
        isFlushing = true
        defer { isFlushing = false }
        let count = dirtyCount
        for position in 0..<count where dirty[position] != slot {
            let stage = stages + Int(dirty[position])
            if !stage.pointee.holdsReply { flush(stage) }
        }
        postOutboxes()
        for position in 0..<count where dirty[position] != slot {
            let stage = stages + Int(dirty[position])
            if stage.pointee.holdsReply { flush(stage) }
        }
        dirty[0] = slot
        // What handlers of channels that closed meanwhile have staged stays, too.
        for position in count..<dirtyCount { dirty[position - count + 1] = dirty[position] }
        dirtyCount = dirtyCount - count + 1
        postOutboxes()
    }

    /// Writes what this loop has staged for one channel now.
    func flushStage(_ channel: ChannelRef) {
        let stage = stages + Int(channel.pointee.slot)
        guard stage.pointee.isDirty else { return }
        if stage.pointee.holdsReply { flushOthers(keeping: stage) }
        let slot = channel.pointee.slot
        var kept = 0
        for position in 0..<dirtyCount where dirty[position] != slot {
            dirty[kept] = dirty[position]
            kept += 1
        }
        dirtyCount = kept
        flush(stage)
    }

    private func postOutboxes() {
        for target in 0..<outboxes.count {
            guard let first = outboxes[target].first, let last = outboxes[target].last else { continue }
            outboxes[target] = Outbox()
            group.mailboxes[target].post(first: first, last: last)
        }
    }

    // MARK: Sending

    /// Writes a block to a channel or passes it to the channel's home loop. Takes the block over.
    ///
    /// - Parameter mayHandOver: a large block for another loop's channel is left to that loop.
    private func send(_ channel: ChannelRef, _ block: OutputBufferRef, mayHandOver: Bool) {
        let count = block.pointee.unsent
        guard count > 0, channel.pointee.isOpen else {
            pool.recycle(block)
            return
        }
        let isHome = channel.pointee.home == Int32(index)
        if isHome && channel.pointee.queueHead != nil && deferredFirst == nil {
            enqueue(channel, block)
            return
        }
        if (isHome || !mayHandOver || count < EventLoop.handOverBytes)
            && channel.pointee.blocked.load(ordering: .acquiring) == 0
            && channel.pointee.tryLock()
        {
            // Looked at again under the lock: from now on nobody else can begin to write.
            if channel.pointee.blocked.load(ordering: .acquiring) == 0 {
                sendLocked(channel, block, isHome: isHome)
                return
            }
            channel.pointee.unlock()
        }
        handOver(channel, block)
    }

    /// With the write lock held and nothing waiting: writes, and leaves the rest to the home loop. Unlocks.
    private func sendLocked(_ channel: ChannelRef, _ block: OutputBufferRef, isHome: Bool) {
        guard channel.pointee.isOpen else {
            channel.pointee.unlock()
            pool.recycle(block)
            return
        }
        let failure = writeOut(channel, block)
        if block.pointee.unsent == 0 || failure != 0 {
            channel.pointee.unlock()
            pool.recycle(block)
            if failure != 0 && isHome { close(channel, .writeError(failure)) }
            return
        }
        let rest = block.pointee.unsent
        if isHome {
            // Counted before the lock opens: the queue keeps the others from writing.
            channel.pointee.blocked.wrappingAdd(1, ordering: .acquiringAndReleasing)
            channel.pointee.pendingBytes.wrappingAdd(rest, ordering: .relaxed)
            channel.pointee.unlock()
            link(channel, block)
            startWriteDeadline(channel)
            updateInterest(channel)
            checkPending(channel)
        } else {
            handOverRest(channel, block)
        }
    }

    /// Gives the home loop the rest of a block that this loop has begun to write, and unlocks.
    ///
    /// Others may have handed over blocks already, because they found the lock taken: the mark keeps those behind the rest.
    func handOverRest(_ channel: ChannelRef, _ block: OutputBufferRef) {
        let rest = block.pointee.unsent
        channel.pointee.isTorn = block.pointee.start > 0
        channel.pointee.blocked.wrappingAdd(1, ordering: .acquiringAndReleasing)
        channel.pointee.pendingBytes.wrappingAdd(rest, ordering: .relaxed)
        block.pointee.channel = channel
        block.pointee.next = nil
        let mailbox = group.mailboxes[Int(channel.pointee.home)]
        mailbox.bytes.wrappingAdd(rest, ordering: .relaxed)
        mailbox.post(first: block, last: block)
        channel.pointee.unlock()
    }

    /// Sends until all is out or the socket is full. Returns an errno for a broken socket, else 0.
    private func writeOut(_ channel: ChannelRef, _ block: OutputBufferRef) -> Int32 {
        while block.pointee.unsent > 0 {
            let sent = Glibc.send(
                channel.pointee.fd, OutputBuffer.bytes(block) + block.pointee.start, block.pointee.unsent,
                Int32(MSG_NOSIGNAL))
            if sent > 0 {
                block.pointee.start += sent
                channel.pointee.bytesWritten.wrappingAdd(UInt64(sent), ordering: .relaxed)
            } else if errno == EAGAIN {
                return 0
            } else if errno != EINTR {
                return errno
            }
        }
        return 0
    }

    /// Appends a block to this loop's batch for the channel's home loop.
    private func handOver(_ channel: ChannelRef, _ block: OutputBufferRef) {
        let fitted = fit(block)
        fitted.pointee.channel = channel
        fitted.pointee.next = nil
        let count = fitted.pointee.unsent
        let home = Int(channel.pointee.home)
        channel.pointee.blocked.wrappingAdd(1, ordering: .acquiringAndReleasing)
        channel.pointee.pendingBytes.wrappingAdd(count, ordering: .relaxed)
        group.mailboxes[home].bytes.wrappingAdd(count, ordering: .relaxed)
        if channel.pointee.home == Int32(index) {
            // Another loop holds the lock: tried again next turn, in order.
            if let last = deferredLast { last.pointee.next = fitted } else { deferredFirst = fitted }
            deferredLast = fitted
            return
        }
        if let last = outboxes[home].last { last.pointee.next = fitted } else { outboxes[home].first = fitted }
        outboxes[home].last = fitted
    }

    /// A block that will wait should not hold much more memory than it has bytes.
    private func fit(_ block: OutputBufferRef) -> OutputBufferRef {
        let count = block.pointee.unsent
        if block.pointee.capacity <= BufferPool.sizes.small || count * 4 > block.pointee.capacity { return block }
        let smaller = pool.take(atLeast: count)
        memcpy(OutputBuffer.bytes(smaller), OutputBuffer.bytes(block) + block.pointee.start, count)
        smaller.pointee.end = count
        pool.recycle(block)
        return smaller
    }

    // MARK: The home loop's side

    /// Takes over what others posted: tasks run, blocks go to their sockets or queues in the order they came.
    func takeMail() {
        guard mailbox.hasContents || deferredFirst != nil else { return }
        let (blocks, tasks) = mailbox.take()
        mailPass += 1
        var next = deferredFirst
        if let last = deferredLast { last.pointee.next = blocks } else { next = blocks }
        deferredFirst = nil
        deferredLast = nil
        while let block = next {
            next = block.pointee.next
            block.pointee.next = nil
            place(block)
        }
        for task in tasks { task(self) }
    }

    private func place(_ block: OutputBufferRef) {
        guard let channel = block.pointee.channel else { return }
        let count = block.pointee.unsent
        func leave() {
            channel.pointee.blocked.wrappingSubtract(1, ordering: .acquiringAndReleasing)
            finishFlushing(channel)
        }
        guard channel.pointee.state.load(ordering: .relaxed) <= Channel.State.flushing else {
            mailbox.bytes.wrappingSubtract(count, ordering: .relaxed)
            channel.pointee.pendingBytes.wrappingSubtract(count, ordering: .relaxed)
            leave()
            pool.recycle(block)
            return
        }
        let isRest = block.pointee.start > 0
        if channel.pointee.deferredPass == mailPass && !isRest {
            deferAgain(block)
            return
        }
        if channel.pointee.queueHead != nil {
            mailbox.bytes.wrappingSubtract(count, ordering: .relaxed)
            // Counted again by `enqueue`.
            channel.pointee.pendingBytes.wrappingSubtract(count, ordering: .relaxed)
            enqueue(channel, block)
            leave()
            return
        }
        // Somebody may still be in the send that began before this block was handed over.
        guard channel.pointee.tryLock() else {
            channel.pointee.deferredPass = mailPass
            deferAgain(block)
            return
        }
        let isTorn = channel.pointee.isTorn
        channel.pointee.unlock()
        if isTorn && !isRest {
            // The rest of a frame was posted before the lock opened: it is in this pass or in the next one.
            channel.pointee.deferredPass = mailPass
            deferAgain(block)
            return
        }
        // Nobody else looks at the mark while this block counts as blocked.
        if isTorn { channel.pointee.isTorn = false }
        mailbox.bytes.wrappingSubtract(count, ordering: .relaxed)
        let failure = writeOut(channel, block)
        if failure != 0 {
            channel.pointee.pendingBytes.wrappingSubtract(count, ordering: .relaxed)
            leave()
            pool.recycle(block)
            close(channel, .writeError(failure))
            return
        }
        let rest = block.pointee.unsent
        channel.pointee.pendingBytes.wrappingSubtract(count - rest, ordering: .relaxed)
        if rest == 0 {
            leave()
            pool.recycle(block)
            if channel.pointee.stalledLoops.load(ordering: .relaxed) != 0 { drained(channel) }
            return
        }
        // The count for the mailbox becomes the count for the queue.
        link(channel, block)
        startWriteDeadline(channel)
        updateInterest(channel)
        checkPending(channel)
    }

    private func deferAgain(_ block: OutputBufferRef) {
        block.pointee.next = nil
        if let last = deferredLast { last.pointee.next = block } else { deferredFirst = block }
        deferredLast = block
    }

    /// Appends to a queue that already holds bytes; small blocks are copied together.
    private func enqueue(_ channel: ChannelRef, _ block: OutputBufferRef) {
        let count = block.pointee.unsent
        channel.pointee.pendingBytes.wrappingAdd(count, ordering: .relaxed)
        if let tail = channel.pointee.queueTail, tail.pointee.capacity - tail.pointee.end >= count {
            memcpy(
                OutputBuffer.bytes(tail) + tail.pointee.end, OutputBuffer.bytes(block) + block.pointee.start, count)
            tail.pointee.end += count
            pool.recycle(block)
        } else {
            link(channel, growTail(block))
        }
        checkPending(channel)
    }

    /// What queues gets room to grow, so that many small pieces end in few blocks.
    private func growTail(_ block: OutputBufferRef) -> OutputBufferRef {
        let count = block.pointee.unsent
        guard block.pointee.capacity <= BufferPool.sizes.medium else { return fit(block) }
        let larger = pool.take(atLeast: BufferPool.sizes.medium)
        memcpy(OutputBuffer.bytes(larger), OutputBuffer.bytes(block) + block.pointee.start, count)
        larger.pointee.end = count
        pool.recycle(block)
        return larger
    }

    private func link(_ channel: ChannelRef, _ block: OutputBufferRef) {
        block.pointee.next = nil
        if let tail = channel.pointee.queueTail { tail.pointee.next = block } else { channel.pointee.queueHead = block }
        channel.pointee.queueTail = block
    }

    /// The socket can take bytes again.
    func drainQueue(_ channel: ChannelRef) {
        while let block = channel.pointee.queueHead {
            let before = block.pointee.unsent
            let failure = writeOut(channel, block)
            channel.pointee.pendingBytes.wrappingSubtract(before - block.pointee.unsent, ordering: .relaxed)
            if failure != 0 {
                if channel.pointee.isOpen { close(channel, .writeError(failure)) } else { destroy(channel) }
                return
            }
            if block.pointee.unsent > 0 {
                drained(channel)
                return
            }
            channel.pointee.queueHead = block.pointee.next
            if channel.pointee.queueHead == nil { channel.pointee.queueTail = nil }
            pool.recycle(block)
        }
        if let timer = channel.pointee.writeTimer {
            timers.cancel(timer)
            channel.pointee.writeTimer = nil
        }
        updateInterest(channel)
        channel.pointee.blocked.wrappingSubtract(1, ordering: .acquiringAndReleasing)
        finishFlushing(channel)
        drained(channel)
        if channel.pointee.isOpen { channel.pointee.handler?.queueDrained() }
    }

    /// Frees a queue whose channel is gone.
    func dropQueue(_ channel: ChannelRef) {
        guard channel.pointee.queueHead != nil else { return }
        while let block = channel.pointee.queueHead {
            channel.pointee.queueHead = block.pointee.next
            pool.recycle(block)
        }
        channel.pointee.queueTail = nil
        channel.pointee.blocked.wrappingSubtract(1, ordering: .acquiringAndReleasing)
    }

    // MARK: Slow consumers

    private func checkPending(_ channel: ChannelRef) {
        if channel.pointee.pendingBytes.load(ordering: .relaxed) > limits.maxPendingBytes {
            close(channel, .slowConsumerPendingBytes)
        }
    }

    /// What waits now must be out when the deadline comes; what joins later does not extend it.
    private func startWriteDeadline(_ channel: ChannelRef) {
        guard channel.pointee.writeTimer == nil, limits.writeDeadlineMs > 0 else { return }
        channel.pointee.writeMark =
            channel.pointee.bytesWritten.load(ordering: .relaxed)
            &+ UInt64(max(0, channel.pointee.pendingBytes.load(ordering: .relaxed)))
        let id = channel.pointee.id
        channel.pointee.writeTimer = schedule(afterMs: limits.writeDeadlineMs) { [unowned self] in
            guard let channel = self.channel(id) else { return }
            channel.pointee.writeTimer = nil
            guard channel.pointee.queueHead != nil else { return }
            if channel.pointee.bytesWritten.load(ordering: .relaxed) >= channel.pointee.writeMark {
                self.startWriteDeadline(channel)
            } else {
                self.close(channel, .slowConsumerWriteDeadline)
            }
        }
    }
}
