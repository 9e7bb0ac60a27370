// One connection that talks in whole messages of any length: what is half received or half sent waits here.

import CLinux
import Glibc

/// A run of bytes inside the receive buffer; valid until the message's handler returns.
struct Bytes {
    let start: UnsafePointer<UInt8>
    let count: Int

    /// Compares with bytes that are known beforehand.
    @inline(__always)
    func hasPrefix(_ other: [UInt8]) -> Bool {
        count >= other.count && other.withUnsafeBufferPointer { memcmp(start, $0.baseAddress!, $0.count) == 0 }
    }

    @inline(__always)
    static func == (one: Bytes, other: [UInt8]) -> Bool { one.count == other.count && one.hasPrefix(other) }

    var text: String { String(decoding: UnsafeBufferPointer(start: start, count: count), as: UTF8.self) }
}

/// A MSG or HMSG as it stands in the receive buffer.
struct Message {
    let subject: Bytes
    /// Empty where the message has none.
    let reply: Bytes
    /// The header block with its status line; empty for MSG.
    let header: Bytes
    let payload: Bytes

    /// The number in `NATS/1.0 404 No Messages`; nil for a message without a status.
    var status: Int? {
        guard header.count > 12, header.start[8] == 32 else { return nil }
        var value = 0
        for offset in 9..<12 {
            let digit = Int(header.start[offset]) - 48
            guard (0...9).contains(digit) else { return nil }
            value = value * 10 + digit
        }
        return value
    }

    /// For an error text.
    var shown: String {
        let head = header.count > 0 ? header.text.split(separator: "\r\n").joined(separator: " | ") + " " : ""
        return JSON.quoted("\(subject.text) \(reply.text) \(head)\(payload.text.prefix(160))")
    }
}

/// Belongs to one thread. `reserve` collects, `flush` sends what the kernel takes, `receive` hands out what has come.
final class MessagePipe {
    let connection: Connection
    private var input: UnsafeMutablePointer<UInt8>
    private var inputCapacity = 1 << 20
    private var inputCount = 0
    private var output: UnsafeMutablePointer<UInt8>
    private var outputCapacity = 1 << 18
    private var outputStart = 0
    private var outputEnd = 0
    /// PONGs seen.
    private(set) var pongs = 0

    private static let stallMs: Int32 = 30_000
    private static let inputBytesMax = 1 << 26

    init(_ target: Target) throws {
        connection = try Connection(target)
        input = .allocate(capacity: inputCapacity)
        output = .allocate(capacity: outputCapacity)
        let unread = connection.takeUnread()
        input.update(from: unread, count: unread.count)
        inputCount = unread.count
    }

    deinit {
        input.deallocate()
        output.deallocate()
    }

    /// Whether bytes wait to be sent.
    var hasOutput: Bool { outputStart < outputEnd }

    /// Room for `count` more bytes of output, which the caller fills at once.
    @inline(__always)
    func reserve(_ count: Int) -> UnsafeMutablePointer<UInt8> {
        if outputEnd + count > outputCapacity { makeRoom(count) }
        defer { outputEnd += count }
        return output + outputEnd
    }

    func queue(_ text: String) { queue(Array(text.utf8)) }

    func queue(_ bytes: [UInt8]) { reserve(bytes.count).update(from: bytes, count: bytes.count) }

    private func makeRoom(_ count: Int) {
        let kept = outputEnd - outputStart
        if kept + count > outputCapacity {
            let grown = max(outputCapacity * 2, kept + count)
            let larger = UnsafeMutablePointer<UInt8>.allocate(capacity: grown)
            larger.update(from: output + outputStart, count: kept)
            output.deallocate()
            output = larger
            outputCapacity = grown
        } else {
            memmove(output, output + outputStart, kept)
        }
        outputStart = 0
        outputEnd = kept
    }

    /// Sends what the kernel takes.
    func flush() throws {
        while outputStart < outputEnd {
            switch connection.socket.send(output + outputStart, outputEnd - outputStart) {
            case .bytes(let count): outputStart += count
            case .wouldBlock: return
            case .closed: throw connection.brokenError()
            }
        }
        outputStart = 0
        outputEnd = 0
    }

    /// One receive; hands each whole message to `body`. False when there was nothing.
    @inline(__always)
    @discardableResult
    func receive(_ body: (Message) throws -> Void) throws -> Bool {
        switch connection.socket.receive(input + inputCount, inputCapacity - inputCount) {
        case .wouldBlock: return false
        case .closed: throw connection.brokenError()
        case .bytes(let count): inputCount += count
        }
        var at = 0
        while at < inputCount {
            guard let found = memchr(input + at, 10, inputCount - at) else { break }
            let lineEnd = UnsafePointer<UInt8>(found.assumingMemoryBound(to: UInt8.self)) - UnsafePointer(input)
            let first = input[at]
            if first == UInt8(ascii: "M") || first == UInt8(ascii: "H") {
                let head = try Head(UnsafePointer(input) + at, lineEnd - at, hasHeader: first == UInt8(ascii: "H"))
                let end = lineEnd + 1 + head.totalBytes + 2
                guard end <= inputCount else { break }
                let block = UnsafePointer(input) + lineEnd + 1
                try body(
                    Message(
                        subject: head.subject, reply: head.reply, header: Bytes(start: block, count: head.headerBytes),
                        payload: Bytes(start: block + head.headerBytes, count: head.totalBytes - head.headerBytes)))
                at = end
            } else {
                try control(Bytes(start: UnsafePointer(input) + at, count: lineEnd - at).text)
                at = lineEnd + 1
            }
        }
        if at > 0 {
            memmove(input, input + at, inputCount - at)
            inputCount -= at
        }
        if inputCount == inputCapacity { try growInput() }
        return true
    }

    private func growInput() throws {
        guard inputCapacity < MessagePipe.inputBytesMax else { throw BenchError.mismatch("a message of over 64 MiB") }
        let larger = UnsafeMutablePointer<UInt8>.allocate(capacity: inputCapacity * 2)
        larger.update(from: input, count: inputCount)
        input.deallocate()
        input = larger
        inputCapacity *= 2
    }

    private func control(_ line: String) throws {
        if line.hasPrefix("PING") {
            queue("PONG\r\n")
        } else if line.hasPrefix("PONG") {
            pongs += 1
        } else if line.hasPrefix("-ERR") {
            throw BenchError.refused(String(line.dropFirst(5)))
        } else if !line.hasPrefix("INFO") && !line.hasPrefix("+OK") {
            throw BenchError.mismatch("unexpected: \(line.prefix(120))")
        }
    }

    /// Waits until one of `pipes` has something to receive or takes output again. Throws when nothing happens for long.
    static func wait(_ pipes: [MessagePipe], for what: @autoclosure () -> String) throws {
        var entries = pipes.map { pipe in
            pollfd(
                fd: pipe.connection.socket.descriptor, events: Int16(POLLIN | (pipe.hasOutput ? POLLOUT : 0)), revents: 0)
        }
        while true {
            let count = poll(&entries, nfds_t(entries.count), stallMs)
            if count > 0 { return }
            if count == 0 { throw BenchError.stalled("\(what()) for \(stallMs / 1000) s") }
            if errno != EINTR { throw BenchError.connection("poll: \(BenchError.systemText())") }
        }
    }

    /// Likewise for this pipe alone, without an array.
    func wait(for what: @autoclosure () -> String) throws {
        var entry = pollfd(
            fd: connection.socket.descriptor, events: Int16(POLLIN | (hasOutput ? POLLOUT : 0)), revents: 0)
        while true {
            let count = poll(&entry, 1, MessagePipe.stallMs)
            if count > 0 { return }
            if count == 0 { throw BenchError.stalled("\(what()) for \(MessagePipe.stallMs / 1000) s") }
            if errno != EINTR { throw BenchError.connection("poll: \(BenchError.systemText())") }
        }
    }

    /// PING, and everything up to its PONG; what arrives meanwhile goes to `body`.
    func settle(_ body: (Message) throws -> Void = { _ in }) throws {
        let wanted = pongs + 1
        queue("PING\r\n")
        try flush()
        while pongs < wanted {
            try wait(for: "no PONG")
            try receive(body)
            try flush()
        }
    }
}

@available(*, unavailable)
extension MessagePipe: Sendable {}

/// The line above a message: `MSG subject sid [reply] size`, `HMSG subject sid [reply] header-size size`.
private struct Head {
    let subject: Bytes
    let reply: Bytes
    let headerBytes: Int
    let totalBytes: Int

    /// The subject is found from the front and the sizes from the back, so that a long reply is not walked.
    @inline(__always)
    init(_ line: UnsafePointer<UInt8>, _ lineBytes: Int, hasHeader: Bool) throws {
        var end = lineBytes
        if end > 0, line[end - 1] == 13 { end -= 1 }
        let subjectStart = hasHeader ? 5 : 4
        var at = subjectStart
        while at < end, line[at] != 32 { at += 1 }
        let subjectEnd = at
        at += 1
        while at < end, line[at] != 32 { at += 1 }
        let sidEnd = at
        guard let total = Head.number(line, &end, from: sidEnd) else { throw Head.fault(line, lineBytes) }
        totalBytes = total
        if hasHeader {
            guard let header = Head.number(line, &end, from: sidEnd), header <= total else {
                throw Head.fault(line, lineBytes)
            }
            headerBytes = header
        } else {
            headerBytes = 0
        }
        subject = Bytes(start: line + subjectStart, count: subjectEnd - subjectStart)
        reply = Bytes(start: line + min(sidEnd + 1, end), count: max(0, end - sidEnd - 1))
    }

    /// The number that ends at `end`, which then moves before the space in front of it.
    @inline(__always)
    private static func number(_ line: UnsafePointer<UInt8>, _ end: inout Int, from start: Int) -> Int? {
        var value = 0
        var scale = 1
        var at = end
        while at > start, line[at - 1] != 32, scale < 1_000_000_000 {
            let digit = Int(line[at - 1]) - 48
            guard digit >= 0, digit <= 9 else { return nil }
            value += digit * scale
            scale *= 10
            at -= 1
        }
        guard at > start, line[at - 1] == 32, scale > 1 else { return nil }
        end = at - 1
        return value
    }

    private static func fault(_ line: UnsafePointer<UInt8>, _ count: Int) -> BenchError {
        .mismatch("no message line: \(JSON.quoted(String(Bytes(start: line, count: count).text.prefix(160))))")
    }
}
