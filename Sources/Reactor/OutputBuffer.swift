// Memory for bytes on their way out: one block with its bookkeeping in front, so that queues link blocks, not objects.

import Glibc
import Locks

public typealias OutputBufferRef = UnsafeMutablePointer<OutputBuffer>

/// The head of a block; the bytes follow it. Blocks come from a `BufferPool` and travel between loops.
///
///     | next | channel | start | end | capacity | bytes ... | slack |
public struct OutputBuffer {
    /// The next block of the queue or the mailbox that holds this one.
    var next: OutputBufferRef?
    /// Where the bytes go, while the block is in a mailbox.
    var channel: ChannelRef?
    /// Offset of the first unsent byte.
    var start: Int
    /// Offset behind the last byte.
    var end: Int
    /// Bytes the block can hold, slack not counted.
    let capacity: Int

    /// Writers that copy in blocks may scribble this far behind `capacity`.
    public static let slackBytes = 64
    static let headBytes = 64

    @inline(__always)
    static func bytes(_ buffer: OutputBufferRef) -> UnsafeMutablePointer<UInt8> {
        (UnsafeMutableRawPointer(buffer) + headBytes).assumingMemoryBound(to: UInt8.self)
    }

    static func allocate(capacity: Int) -> OutputBufferRef {
        assert(MemoryLayout<OutputBuffer>.size <= headBytes)
        guard let memory = malloc(headBytes + capacity + slackBytes) else { fatalError("out of memory") }
        let buffer = memory.bindMemory(to: OutputBuffer.self, capacity: 1)
        buffer.initialize(to: OutputBuffer(next: nil, channel: nil, start: 0, end: 0, capacity: capacity))
        return buffer
    }

    var unsent: Int { end - start }
}

/// Blocks of three sizes, kept for reuse: most turns need a few small ones, busy connections large ones.
///
/// Each loop keeps its own pool. A block handed to another loop ends in that loop's pool, so large ones are balanced
/// through a shared shelf.
struct BufferPool {
    static let sizes = (small: 2 << 10, medium: 16 << 10, large: 256 << 10)
    /// Kept per loop and size; beyond it blocks return to the shared shelf or the system.
    private static let keptSmall = 64, keptMedium = 32, keptLarge = 4

    private var small: OutputBufferRef?
    private var medium: OutputBufferRef?
    private var large: OutputBufferRef?
    private var counts = (small: 0, medium: 0, large: 0)
    private let shelf: BufferShelf

    init(shelf: BufferShelf) { self.shelf = shelf }

    /// A block for at least `bytes` bytes. Above the large size it is made to measure.
    mutating func take(atLeast bytes: Int) -> OutputBufferRef {
        if bytes <= BufferPool.sizes.small {
            if let block = BufferPool.pop(&small, &counts.small) { return block }
            return OutputBuffer.allocate(capacity: BufferPool.sizes.small)
        }
        if bytes <= BufferPool.sizes.medium {
            if let block = BufferPool.pop(&medium, &counts.medium) { return block }
            return OutputBuffer.allocate(capacity: BufferPool.sizes.medium)
        }
        if bytes <= BufferPool.sizes.large {
            if let block = BufferPool.pop(&large, &counts.large) { return block }
            return shelf.take() ?? OutputBuffer.allocate(capacity: BufferPool.sizes.large)
        }
        return OutputBuffer.allocate(capacity: bytes)
    }

    mutating func recycle(_ block: OutputBufferRef) {
        block.pointee.start = 0
        block.pointee.end = 0
        block.pointee.channel = nil
        switch block.pointee.capacity {
        case BufferPool.sizes.small where counts.small < BufferPool.keptSmall:
            BufferPool.push(&small, &counts.small, block)
        case BufferPool.sizes.medium where counts.medium < BufferPool.keptMedium:
            BufferPool.push(&medium, &counts.medium, block)
        case BufferPool.sizes.large:
            if counts.large < BufferPool.keptLarge {
                BufferPool.push(&large, &counts.large, block)
            } else {
                shelf.put(block)
            }
        default:
            free(block)
        }
    }

    /// Returns what has been idle to the system.
    mutating func trim() {
        while let block = BufferPool.pop(&large, &counts.large) { free(block) }
        while let block = BufferPool.pop(&medium, &counts.medium) { free(block) }
        while let block = BufferPool.pop(&small, &counts.small) { free(block) }
        shelf.trim()
    }

    private static func pop(_ list: inout OutputBufferRef?, _ count: inout Int) -> OutputBufferRef? {
        guard let block = list else { return nil }
        list = block.pointee.next
        block.pointee.next = nil
        count -= 1
        return block
    }

    private static func push(_ list: inout OutputBufferRef?, _ count: inout Int, _ block: OutputBufferRef) {
        block.pointee.next = list
        list = block
        count += 1
    }
}

/// Large blocks shared by all loops: a loop that only receives hands them back to the one that only sends.
final class BufferShelf: Sendable {
    private static let kept = 16
    private let blocks = Locked<[UInt]>([])

    func take() -> OutputBufferRef? {
        let address = blocks.withLock { $0.popLast() }
        return address.flatMap { OutputBufferRef(bitPattern: $0) }
    }

    func put(_ block: OutputBufferRef) {
        let address = UInt(bitPattern: block)
        let kept = blocks.withLock { list in
            guard list.count < BufferShelf.kept else { return false }
            list.append(address)
            return true
        }
        if !kept { free(block) }
    }

    func trim() {
        let all = blocks.withLock { list in
            defer { list = [] }
            return list
        }
        for address in all { free(UnsafeMutableRawPointer(bitPattern: address)) }
    }
}
