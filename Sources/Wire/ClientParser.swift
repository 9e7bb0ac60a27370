// Turns the bytes a client sends into operations, one at a time, without copying or allocating.

import Glibc

/// What one call of `ClientParser.parse` found.
public enum ParseStep {
    /// A whole operation; its arguments are in the parser until the next call. `next` is the first byte after it.
    case operation(ClientVerb, next: UnsafePointer<UInt8>)
    /// The bytes end inside an operation. `frameBytes` is its full length where that is known already, else 0.
    case incomplete(frameBytes: Int)
    /// The bytes are not what the protocol allows; the connection must close.
    case violation(ProtocolViolation)
}

public enum ClientVerb: UInt8, Sendable {
    case connect, publish, subscribe, unsubscribe, ping, pong, info, ok, error
}

/// Why a connection must close. nats-server answers some of these with an `-ERR` and others by closing only.
public enum ProtocolViolation: Sendable, Equatable {
    /// Not a verb, or a payload that does not end in CRLF.
    case unknownOperation
    /// A wrong number of arguments or a bad size: closed without an `-ERR`.
    case badArguments
    case controlLineTooLong
    /// The declared size exceeds the limit.
    case payloadTooLarge
}

/// The client side of the NATS protocol, as nats-server 2.15 parses it.
///
/// The parser holds no state between operations: after `.incomplete` the caller presents the same bytes again with more
/// behind them, so a split at any byte gives the same result. One parser serves every connection of a loop.
///
/// Bytes are read up to `ClientParser.slackBytes` beyond the end that is passed in; they must be readable, their values
/// do not matter.
public struct ClientParser: ~Copyable {
    /// How far behind the end of its input the parser may read.
    public static let slackBytes = 16

    /// The longest run of argument bytes, without the verb.
    public var controlLineBytesMax: Int
    /// The largest `#bytes` of a publish, headers included.
    public var payloadBytesMax: Int

    // Arguments of the latest operation; which of them are set follows from the verb.

    /// PUB, HPUB, SUB.
    public private(set) var subject = ByteView.empty
    /// PUB and HPUB; empty without one.
    public private(set) var reply = ByteView.empty
    /// SUB; empty without one.
    public private(set) var queue = ByteView.empty
    /// SUB, UNSUB.
    public private(set) var sid = ByteView.empty
    /// UNSUB; 0 without one.
    public private(set) var maxMessages = 0
    /// HPUB: bytes of the header block at the start of `payload`; -1 for PUB.
    public private(set) var headerBytes = -1
    /// PUB, HPUB: the digits of the total size, as the client wrote them; HPUB: of the header size, else empty.
    public private(set) var totalDigits = ByteView.empty
    public private(set) var headerDigits = ByteView.empty
    /// PUB, HPUB: header block and body, without the final CRLF.
    public private(set) var payload = ByteView.empty
    /// PUB, HPUB: the control line with its line end.
    public private(set) var controlLine = ByteView.empty
    /// CONNECT, INFO, -ERR: everything behind the verb.
    public private(set) var text = ByteView.empty

    public init(controlLineBytesMax: Int, payloadBytesMax: Int) {
        self.controlLineBytesMax = controlLineBytesMax
        self.payloadBytesMax = payloadBytesMax
    }

    /// Parses the operation that begins at `start`.
    public mutating func parse(_ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) -> ParseStep {
        if end - start >= 4 {
            let word = UnsafeRawPointer(start).loadUnaligned(as: UInt32.self)
            // "PUB" in either case, then a space or a tab.
            if word & 0x00DF_DFDF == 0x0042_5550, start[3] == 0x20 || start[3] == 0x09 {
                return parsePublish(start, arguments: start + 4, end, withHeaders: false)
            }
        }
        return parseOther(start, end)
    }

    // MARK: Publishing

    private mutating func parsePublish(
        _ start: UnsafePointer<UInt8>, arguments: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>, withHeaders: Bool
    ) -> ParseStep {
        var cursor = skipBlanks(arguments, end)
        let argumentsStart = cursor
        if argumentsStart - arguments > controlLineBytesMax { return .violation(.controlLineTooLong) }
        var first = ByteView.empty, second = ByteView.empty, third = ByteView.empty, fourth = ByteView.empty
        var count = 0
        while true {
            let stop = firstBlankOrControl(cursor, end)
            if stop == end { return incompleteLine(argumentsStart, end) }
            let byte = stop[0]
            if byte == 0x0D, stop + 1 == end { return incompleteLine(argumentsStart, end) }
            if byte > 0x20 || !(byte == 0x20 || byte == 0x09 || byte == 0x0A || (byte == 0x0D && stop[1] == 0x0A)) {
                // A control character that separates nothing belongs to its argument, and so does a CR within the line.
                guard let (token, after) = longToken(cursor, end) else { return incompleteLine(argumentsStart, end) }
                append(token, &count, &first, &second, &third, &fourth)
                cursor = after
            } else {
                if stop > cursor {
                    append(ByteView(cursor, stop - cursor), &count, &first, &second, &third, &fourth)
                }
                cursor = stop
            }
            if cursor == end { return incompleteLine(argumentsStart, end) }
            if cursor[0] == 0x0A { break }
            cursor += 1
        }
        let body = cursor + 1
        var argumentsEnd = cursor
        if argumentsEnd > argumentsStart, argumentsEnd[-1] == 0x0D { argumentsEnd -= 1 }
        if argumentsEnd - argumentsStart > controlLineBytesMax { return .violation(.controlLineTooLong) }

        subject = first
        let total: Int
        if withHeaders {
            guard count == 3 || count == 4 else { return .violation(.badArguments) }
            reply = count == 4 ? second : ByteView.empty
            guard let header = parseSize(count == 4 ? third : second), let size = parseSize(count == 4 ? fourth : third),
                header <= size
            else { return .violation(.badArguments) }
            headerDigits = count == 4 ? third : second
            totalDigits = count == 4 ? fourth : third
            headerBytes = header
            total = size
        } else {
            guard count == 2 || count == 3 else { return .violation(.badArguments) }
            reply = count == 3 ? second : ByteView.empty
            guard let size = parseSize(count == 3 ? third : second) else { return .violation(.badArguments) }
            headerDigits = ByteView.empty
            totalDigits = count == 3 ? third : second
            headerBytes = -1
            total = size
        }
        if total > payloadBytesMax { return .violation(.payloadTooLarge) }

        controlLine = ByteView(start, body - start)
        let available = end - body
        if available < total + 2 {
            // A wrong byte where the CR belongs is refused as soon as it is seen.
            if available > total, body[total] != 0x0D { return .violation(.unknownOperation) }
            return .incomplete(frameBytes: (body - start) + total + 2)
        }
        guard body[total] == 0x0D, body[total + 1] == 0x0A else { return .violation(.unknownOperation) }
        payload = ByteView(body, total)
        return .operation(.publish, next: body + total + 2)
    }

    @inline(__always)
    private func append(
        _ token: ByteView, _ count: inout Int, _ first: inout ByteView, _ second: inout ByteView, _ third: inout ByteView,
        _ fourth: inout ByteView
    ) {
        switch count {
        case 0: first = token
        case 1: second = token
        case 2: third = token
        default: fourth = token
        }
        count &+= 1
    }

    private func incompleteLine(_ argumentsStart: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) -> ParseStep {
        isTooLong(argumentsStart, end) ? .violation(.controlLineTooLong) : .incomplete(frameBytes: 0)
    }

    /// Whether a line without its newline exceeds the limit, a CR at its end not counted: it may belong to the line end.
    private func isTooLong(_ argumentsStart: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) -> Bool {
        let count = end - argumentsStart
        return count > controlLineBytesMax && (count > controlLineBytesMax + 1 || end[-1] != 0x0D)
    }

    /// A token that holds control characters; nil when it is not known yet where it ends.
    @inline(never)
    private func longToken(
        _ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>
    ) -> (ByteView, UnsafePointer<UInt8>)? {
        var cursor = start
        while cursor < end {
            let byte = cursor[0]
            if byte == 0x0D, cursor + 1 == end { return nil }
            if byte == 0x20 || byte == 0x09 || byte == 0x0A || (byte == 0x0D && cursor[1] == 0x0A) {
                return (ByteView(start, cursor - start), cursor)
            }
            cursor += 1
        }
        return nil
    }

    // MARK: Everything else

    private static let verbs: [(name: StaticString, verb: ClientVerb, arguments: VerbArguments)] = [
        ("PING", .ping, .ignored), ("PONG", .pong, .ignored), ("SUB", .subscribe, .required),
        ("UNSUB", .unsubscribe, .required), ("HPUB", .publish, .required), ("PUB", .publish, .required),
        ("CONNECT", .connect, .adjacent), ("INFO", .info, .adjacent), ("+OK", .ok, .ignored), ("-ERR", .error, .required),
    ]

    private enum VerbArguments {
        /// Whatever follows up to the line end is skipped.
        case ignored
        /// A blank, then arguments.
        case required
        /// A text that may follow without a blank, as nats-server takes it.
        case adjacent
    }

    @inline(never)
    private mutating func parseOther(_ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) -> ParseStep {
        guard start < end else { return .incomplete(frameBytes: 0) }
        for (name, verb, arguments) in ClientParser.verbs {
            let length = name.utf8CodeUnitCount
            let available = end - start
            guard matchesIgnoringCase(start, name, min(length, available)) else { continue }
            if available < length { return .incomplete(frameBytes: 0) }
            let behind = start + length
            switch arguments {
            case .ignored:
                // nats-server skips what stands between the verb and the line end; so do we, but not without bound.
                guard let found = memchr(behind, 0x0A, end - behind) else { return incompleteLine(behind, end) }
                let newline = UnsafePointer(found.assumingMemoryBound(to: UInt8.self))
                if isTooLong(behind, newline) { return .violation(.controlLineTooLong) }
                return .operation(verb, next: newline + 1)
            case .adjacent:
                let line = skipBlanks(behind, end)
                if line - behind > controlLineBytesMax + 1 { return .violation(.controlLineTooLong) }
                return parseLine(verb, arguments: line, end)
            case .required:
                if behind == end { return .incomplete(frameBytes: 0) }
                guard behind[0] == 0x20 || behind[0] == 0x09 else { return .violation(.unknownOperation) }
                if verb == .publish {
                    return parsePublish(start, arguments: behind + 1, end, withHeaders: length == 4)
                }
                let line = skipBlanks(behind + 1, end)
                if line - behind > controlLineBytesMax + 1 { return .violation(.controlLineTooLong) }
                return parseLine(verb, arguments: line, end)
            }
        }
        return .violation(.unknownOperation)
    }

    private mutating func parseLine(
        _ verb: ClientVerb, arguments: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>
    ) -> ParseStep {
        guard let newline = memchr(arguments, 0x0A, end - arguments) else { return incompleteLine(arguments, end) }
        var lineEnd = UnsafePointer(newline.assumingMemoryBound(to: UInt8.self))
        let next = lineEnd + 1
        if lineEnd > arguments, lineEnd[-1] == 0x0D { lineEnd -= 1 }
        if lineEnd - arguments > controlLineBytesMax { return .violation(.controlLineTooLong) }
        text = ByteView(arguments, lineEnd - arguments)

        switch verb {
        case .subscribe:
            let (count, first, second, third) = splitThree(text)
            guard count == 2 || count == 3 else { return .violation(.badArguments) }
            subject = first
            queue = count == 3 ? second : ByteView.empty
            sid = count == 3 ? third : second
        case .unsubscribe:
            let (count, first, second, _) = splitThree(text)
            guard count == 1 || count == 2 else { return .violation(.badArguments) }
            sid = first
            maxMessages = 0
            if count == 2 {
                // nats-server takes a bad number as "no limit".
                maxMessages = parseSize(second) ?? -1
            }
        default:
            break
        }
        return .operation(verb, next: next)
    }

    /// The first three arguments of a line and how many there are.
    private func splitThree(_ line: ByteView) -> (count: Int, ByteView, ByteView, ByteView) {
        var count = 0
        var first = ByteView.empty, second = ByteView.empty, third = ByteView.empty, unused = ByteView.empty
        var cursor = line.base
        while cursor < line.end {
            if isSeparator(cursor[0]) {
                cursor += 1
                continue
            }
            let start = cursor
            while cursor < line.end, !isSeparator(cursor[0]) { cursor += 1 }
            append(ByteView(start, cursor - start), &count, &first, &second, &third, &unused)
        }
        return (count, first, second, third)
    }
}

/// A decimal number of one to nine digits, as nats-server bounds its sizes; nil for anything else.
@inline(__always)
func parseSize(_ digits: ByteView) -> Int? {
    guard digits.count > 0, digits.count <= 9 else { return nil }
    var value = 0
    for index in 0..<digits.count {
        let digit = digits.base[index] &- 0x30
        guard digit <= 9 else { return nil }
        value = value &* 10 &+ Int(digit)
    }
    return value
}

/// What separates the arguments of SUB and UNSUB. Those of PUB and HPUB are separated by blanks alone, as in nats-server.
@inline(__always)
private func isSeparator(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0D || byte == 0x0A }

@inline(__always)
private func skipBlanks(_ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) -> UnsafePointer<UInt8> {
    var cursor = start
    while cursor < end, cursor[0] == 0x20 || cursor[0] == 0x09 { cursor += 1 }
    return cursor
}

/// The first byte at or after `start` that is 0x20 or less, or `end`. Looks at eight bytes at a time.
@inline(__always)
func firstBlankOrControl(_ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) -> UnsafePointer<UInt8> {
    var cursor = start
    while cursor < end {
        let word = UnsafeRawPointer(cursor).loadUnaligned(as: UInt64.self)
        let found = (word &- 0x2121_2121_2121_2121) & ~word & 0x8080_8080_8080_8080
        if found != 0 {
            let hit = cursor + (found.trailingZeroBitCount &>> 3)
            return hit < end ? hit : end
        }
        cursor += 8
    }
    return end
}

private func matchesIgnoringCase(_ bytes: UnsafePointer<UInt8>, _ name: StaticString, _ count: Int) -> Bool {
    for index in 0..<count {
        let expected = name.utf8Start[index]
        let byte = bytes[index]
        let folded = byte >= 0x61 && byte <= 0x7A ? byte &- 0x20 : byte
        if folded != expected { return false }
    }
    return true
}
