// The handlers that are at work: timers, in the order in which they end.

import Glibc

/// One message with the worker that handles it.
struct Handler {
    var dueNs: UInt64 = 0
    var mark = KeyedMark()
    var key = 0
    var deliveries = 0
    /// Who handles it: a place in the pool, and which process there; these are counted from 1.
    var place = 0
    var generation = 0
    var consumer = 0
    var replyBytes = 0
}

/// All handlers take equally long, so that the first to begin is the first to end. One thread's.
final class HandlerQueue {
    private var handlers: [Handler]
    private let replies: UnsafeMutablePointer<UInt8>
    private let mask: Int
    private var head = 0
    private var tail = 0
    private static let replyBytesMax = 192

    init(room: Int) {
        var size = 1
        while size < room { size *= 2 }
        mask = size - 1
        handlers = Array(repeating: Handler(), count: size)
        replies = .allocate(capacity: size * HandlerQueue.replyBytesMax)
    }

    deinit { replies.deallocate() }

    /// When the first one ends; nil while all workers are idle.
    var nextNs: UInt64? { head == tail ? nil : handlers[head & mask].dueNs }

    @inline(__always)
    func begin(_ handler: Handler, reply: Bytes) throws {
        guard tail - head <= mask, reply.count <= HandlerQueue.replyBytesMax else {
            throw BenchError.mismatch("more messages than were asked for, or a reply of \(reply.count) bytes")
        }
        let at = tail & mask
        handlers[at] = handler
        handlers[at].replyBytes = reply.count
        memcpy(replies + at * HandlerQueue.replyBytesMax, reply.start, reply.count)
        tail += 1
    }

    /// Those of a process that crashed come to nothing; `body` gets each.
    func abandon(_ place: Int, _ generation: Int, _ body: (Handler) -> Void) {
        for number in head..<tail {
            let handler = handlers[number & mask]
            guard handler.place == place, handler.generation == generation else { continue }
            handlers[number & mask].generation = HandlerQueue.nobody
            body(handler)
        }
    }

    private static let nobody = 0

    /// Takes the first one off if it ends by `now`.
    @inline(__always)
    func end(_ now: UInt64) -> (handler: Handler, reply: Bytes)? {
        let at = head & mask
        guard head != tail, handlers[at].dueNs <= now else { return nil }
        head += 1
        let reply = Bytes(
            start: UnsafePointer(replies + at * HandlerQueue.replyBytesMax), count: handlers[at].replyBytes)
        return (handlers[at], reply)
    }
}

@available(*, unavailable)
extension HandlerQueue: Sendable {}
