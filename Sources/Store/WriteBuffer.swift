// Memory that a commit writes from while its log goes on: bytes that are owned by whoever holds the object.

/// A stretch of raw memory, freed with its last reference. Whoever hands it to a job does not change what the job writes.
final class WriteBuffer: Sendable {
    // Kept as a number, which may cross threads; what it points to is written by one side at a time.
    private let address: UInt
    let capacity: Int

    init(capacity: Int) {
        self.capacity = capacity
        address = UInt(bitPattern: UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16))
    }

    deinit { base.deallocate() }

    @inline(__always) var base: UnsafeMutableRawPointer { UnsafeMutableRawPointer(bitPattern: address).unsafelyUnwrapped }
}

/// What one commit will write to one segment: a block under construction, in memory.
struct OpenBlock {
    let segment: LogSegment
    /// Where the block begins in the segment.
    let offset: Int
    private(set) var buffer: WriteBuffer
    /// Bytes used, the header's included.
    private(set) var count = BlockHeader.size
    private(set) var records = 0
    /// As of its beginning.
    let nextSequence: UInt64
    let lastMessage: UInt64

    init(segment: LogSegment, offset: Int, buffer: WriteBuffer, nextSequence: UInt64, lastMessage: UInt64) {
        self.segment = segment
        self.offset = offset
        self.buffer = buffer
        self.nextSequence = nextSequence
        self.lastMessage = lastMessage
    }

    @inline(__always) var end: Int { offset + count }

    /// Room for a record at the end of the block, to be written at once.
    @inline(__always)
    mutating func add(_ bytes: Int) -> UnsafeMutableRawPointer {
        if count + bytes > buffer.capacity { grow(count + bytes) }
        defer {
            count += bytes
            records += 1
        }
        return buffer.base + count
    }

    /// The bytes at a place in the segment, if they are in this block.
    @inline(__always)
    func bytes(at place: Int) -> UnsafeMutableRawPointer? {
        place >= offset && place < end ? buffer.base + (place - offset) : nil
    }

    private mutating func grow(_ wanted: Int) {
        let grown = WriteBuffer(capacity: max(wanted, buffer.capacity * 2))
        grown.base.copyMemory(from: buffer.base, byteCount: count)
        buffer = grown
    }
}
