// Records of any length, first in, first out, in chunks of memory that never move.

import Glibc
import Wire

/// What waits in a stream: acks for their commit, message ids for the end of their window. A record stays where it is until it
/// is removed, so pointers to it may be kept, and records may be added while the first one is being read.
struct RecordQueue: ~Copyable {
    /// The first chunk of an empty queue is small, because most streams are idle; each further one is twice as large.
    static let smallestChunk = 4 << 10
    static let largestChunk = 64 << 10

    private struct Chunk {
        var next: UnsafeMutablePointer<Chunk>?
        var capacity: Int
        /// Bytes in use, from the end of this header on.
        var used: Int
    }
    /// In front of each record: its length, rounded up.
    private static let prefix = 8

    private var head: UnsafeMutablePointer<Chunk>?
    private var tail: UnsafeMutablePointer<Chunk>?
    /// Where in the head chunk the first record begins.
    private var read = 0
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }

    deinit {
        var chunk = head
        while let current = chunk {
            chunk = current.pointee.next
            free(current)
        }
    }

    /// Room for one more record at the end. 8-byte aligned, with slack for `copyWithSlack` behind it.
    mutating func append(_ bytes: Int) -> UnsafeMutableRawPointer {
        let rounded = (bytes + 7) & ~7
        let needed = rounded + RecordQueue.prefix
        if tail == nil || tail.unsafelyUnwrapped.pointee.used + needed > tail.unsafelyUnwrapped.pointee.capacity {
            addChunk(atLeast: needed)
        }
        guard let tail else { fatalError("a record queue has a chunk after adding one") }
        let place = RecordQueue.start(of: tail) + tail.pointee.used
        place.storeBytes(of: rounded, as: Int.self)
        tail.pointee.used += needed
        count += 1
        return place + RecordQueue.prefix
    }

    /// The oldest record.
    var first: UnsafeMutableRawPointer? {
        guard count > 0, let head else { return nil }
        return RecordQueue.start(of: head) + read + RecordQueue.prefix
    }

    mutating func removeFirst() {
        guard count > 0, let current = head else { return }
        read += (RecordQueue.start(of: current) + read).load(as: Int.self) + RecordQueue.prefix
        count -= 1
        guard read == current.pointee.used else { return }
        read = 0
        if let next = current.pointee.next {
            head = next
            free(current)
        } else if current.pointee.capacity > RecordQueue.smallestChunk {
            head = nil
            tail = nil
            free(current)
        } else {
            current.pointee.used = 0
        }
    }

    mutating func removeAll() {
        while count > 0 { removeFirst() }
    }

    private mutating func addChunk(atLeast bytes: Int) {
        let last = tail?.pointee.capacity ?? RecordQueue.smallestChunk / 2
        let capacity = max(bytes, min(last * 2, RecordQueue.largestChunk))
        let total = MemoryLayout<Chunk>.size + capacity + Encoder.slackBytes
        guard let memory = malloc(total) else { fatalError("out of memory") }
        let chunk = memory.bindMemory(to: Chunk.self, capacity: 1)
        chunk.initialize(to: Chunk(next: nil, capacity: capacity, used: 0))
        if let tail {
            // A chunk whose records are all gone but that was kept because it is small has nothing to say any more.
            if count == 0 {
                free(tail)
                head = chunk
                read = 0
            } else {
                tail.pointee.next = chunk
            }
        } else {
            head = chunk
            read = 0
        }
        tail = chunk
    }

    @inline(__always)
    private static func start(of chunk: UnsafeMutablePointer<Chunk>) -> UnsafeMutableRawPointer {
        UnsafeMutableRawPointer(chunk) + MemoryLayout<Chunk>.size
    }
}
