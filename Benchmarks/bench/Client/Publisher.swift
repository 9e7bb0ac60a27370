// Publishes one topic over one connection, in large pieces of ready-made frames.

import Glibc

/// Counts in bytes of PUB frames; whole messages follow by division. Belongs to its loop's thread.
final class Publisher {
    let connection: Connection
    let block: FrameBlock
    /// The poller's last word; false after `wouldBlock`.
    var writable = true
    var readable = true
    /// PUB bytes that the kernel has taken.
    private(set) var sentBytes = 0
    /// PONGs that came back.
    private(set) var pongs = 0

    private var offset = 0
    private var round = 0
    /// PING and PONG wait here for the end of a frame.
    private var control: [UInt8] = []
    private var line: [UInt8] = []

    /// One send never exceeds this, so that a loop turns to its subscribers in between.
    private static let sendBytesMax = 1 << 18
    /// How many single-message writes are done before the loop turns to its subscribers.
    private static let singleWritesPerTurn = 32

    init(_ connection: Connection, _ block: FrameBlock) {
        self.connection = connection
        self.block = block
        line = connection.takeUnread()
        block.retag(round: 0)
    }

    /// Messages of which at least the first byte was sent.
    var begunMessages: Int { (sentBytes + block.publishFrameBytes - 1) / block.publishFrameBytes }
    /// Messages that were sent whole.
    var messages: Int { sentBytes / block.publishFrameBytes }

    /// One send, up to `limit` messages in all. Returns the bytes sent; 0 when the socket is full or the limit reached.
    @inline(__always)
    func pump(upTo limit: Int) throws -> Int {
        let limitBytes = limit * block.publishFrameBytes
        guard writable, sentBytes < limitBytes || !control.isEmpty else { return 0 }
        if !control.isEmpty, try !flushControl() { return try finishFrame() }
        if offset == block.publishBytes { startRound() }
        return try send(min(Publisher.sendBytesMax, block.publishBytes - offset, limitBytes - sentBytes))
    }

    /// A write for each message, some 32 at a time.
    func pumpSingly(upTo limit: Int) throws -> Int {
        let limitBytes = limit * block.publishFrameBytes
        var total = 0
        var writes = 0
        while writable, sentBytes < limitBytes, writes < Publisher.singleWritesPerTurn {
            if !control.isEmpty, try !flushControl() {
                total += try finishFrame()
                continue
            }
            if offset == block.publishBytes { startRound() }
            total += try send(block.publishFrameBytes - offset % block.publishFrameBytes)
            writes += 1
        }
        if !control.isEmpty { _ = try flushControl() }
        return total
    }

    /// Puts a control line into the stream at the next frame's end; `pump` sends it.
    func queue(_ text: String) { control.append(contentsOf: Array(text.utf8)) }

    /// Reads what the server says to a publisher: PING, PONG, INFO, or an `-ERR`, which is thrown.
    func readControl(_ buffer: UnsafeMutablePointer<UInt8>, _ capacity: Int) throws {
        while readable {
            switch connection.socket.receive(buffer, capacity) {
            case .bytes(let count):
                line.append(contentsOf: UnsafeBufferPointer(start: buffer, count: count))
                while let end = line.firstIndex(of: 10) {
                    try take(String(decoding: line[0..<end], as: UTF8.self))
                    line.removeFirst(end + 1)
                }
                if count < capacity { readable = false }
            case .wouldBlock: readable = false
            case .closed: throw connection.brokenError()
            }
        }
    }

    private func take(_ text: String) throws {
        if text.hasPrefix("PING") {
            queue("PONG\r\n")
        } else if text.hasPrefix("PONG") {
            pongs += 1
        } else if text.hasPrefix("-ERR") {
            throw BenchError.refused(String(text.dropFirst(5)))
        } else if !text.hasPrefix("INFO") && !text.hasPrefix("+OK") {
            throw BenchError.mismatch("a publisher received: \(text.prefix(120))")
        }
    }

    private func startRound() {
        offset = 0
        round += 1
        block.retag(round: round)
    }

    private func finishFrame() throws -> Int {
        let into = offset % block.publishFrameBytes
        return into == 0 ? 0 : try send(block.publishFrameBytes - into)
    }

    @inline(__always)
    private func send(_ count: Int) throws -> Int {
        switch connection.socket.send(block.publish + offset, count) {
        case .bytes(let sent):
            offset += sent
            sentBytes += sent
            if sent < count { writable = false }
            return sent
        case .wouldBlock:
            writable = false
            return 0
        case .closed:
            // The reason, if the server gave one, is still to be read.
            readable = true
            var rest = [UInt8](repeating: 0, count: 4096)
            try rest.withUnsafeMutableBufferPointer { try readControl($0.baseAddress!, $0.count) }
            throw connection.brokenError()
        }
    }

    /// True when nothing is left to say. Sends only between two frames.
    private func flushControl() throws -> Bool {
        guard offset % block.publishFrameBytes == 0 else { return false }
        while !control.isEmpty {
            let result = control.withUnsafeBufferPointer { connection.socket.send($0.baseAddress!, $0.count) }
            switch result {
            case .bytes(let count): control.removeFirst(count)
            case .wouldBlock:
                writable = false
                return false
            case .closed: throw connection.brokenError()
            }
        }
        return true
    }
}

@available(*, unavailable)
extension Publisher: Sendable {}
