// Receives one topic over one connection, and checks every chunk.

import Glibc

/// Belongs to its loop's thread.
final class Subscriber {
    let connection: Connection
    /// What has arrived, in messages.
    private(set) var messages = 0
    var readable = true
    /// How far this subscriber is through its topic's marks.
    var markCursor = 0
    private var checker: StreamChecker

    /// Subscribes, and returns once the server has taken it.
    init(_ connection: Connection, _ block: FrameBlock, everyChunk: Bool) throws {
        self.connection = connection
        checker = StreamChecker(block, everyChunk: everyChunk)
        try connection.say("SUB \(block.subscription) 1\r\n")
        try connection.settle()
        let unread = connection.takeUnread()
        if !unread.isEmpty { try unread.withUnsafeBufferPointer { try checker.feed($0.baseAddress!, $0.count) } }
    }

    /// One receive. Returns the bytes; 0 when there is nothing.
    @inline(__always)
    func pump(_ buffer: UnsafeMutablePointer<UInt8>, _ capacity: Int) throws -> Int {
        switch connection.socket.receive(buffer, capacity) {
        case .bytes(let count):
            // A short read has emptied the socket; what comes later is a new event.
            if count < capacity { readable = false }
            try checker.feed(buffer, count)
            messages = checker.messages
            while checker.pingsToAnswer > 0 {
                checker.pingsToAnswer -= 1
                try connection.say("PONG\r\n")
            }
            return count
        case .wouldBlock:
            readable = false
            return 0
        case .closed: throw connection.brokenError()
        }
    }

    /// Whether exactly `expected` messages have arrived and not a byte more.
    func holdsExactly(_ expected: Int, _ block: FrameBlock) -> Bool {
        checker.position == expected * block.deliverFrameBytes
    }
}

@available(*, unavailable)
extension Subscriber: Sendable {}
