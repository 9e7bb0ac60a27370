// Reads the bodies of pull requests: the usual ones in one pass over their bytes, since a client may send one a message.

import Wire

/// What a pull request's body says.
struct PullBody {
    var request: PullRequest
    /// Only JSON can name a priority group, and is asked for one.
    var isJSON: Bool

    static func read(_ body: ByteView) throws(PullRequest.Failure) -> PullBody {
        var reader = PullRequestReader(body)
        if let request = reader.read() { return PullBody(request: request, isJSON: true) }
        var start = 0
        while start < body.count && Subject.isWhitespace(body[start]) { start += 1 }
        let isJSON = start < body.count && body[start] == UInt8(ascii: "{")
        return PullBody(request: try PullRequest.decode(body), isJSON: isJSON)
    }
}

/// Reads one flat object of known members with plain values. Whatever else comes is left to the reader that knows it all.
private struct PullRequestReader {
    let body: ByteView
    var index = 0

    init(_ body: ByteView) { self.body = body }

    mutating func read() -> PullRequest? {
        var request = PullRequest()
        guard take(UInt8(ascii: "{")) else { return nil }
        if take(UInt8(ascii: "}")) { return isAtEnd ? request : nil }
        repeat {
            guard let name = string(), take(UInt8(ascii: ":")), member(name, &request) else { return nil }
        } while take(UInt8(ascii: ","))
        guard take(UInt8(ascii: "}")), isAtEnd else { return nil }
        return request
    }

    private mutating func member(_ name: ByteView, _ request: inout PullRequest) -> Bool {
        if name.equals("batch") { return integer(&request.batch) }
        if name.equals("expires") { return integer(&request.expiresNs) }
        if name.equals("no_wait") { return flag(&request.noWait) }
        if name.equals("idle_heartbeat") { return integer(&request.heartbeatNs) }
        if name.equals("max_bytes") { return integer(&request.maxBytes) }
        if name.equals("group") { return text(&request.group) }
        if name.equals("id") { return text(&request.id) }
        if name.equals("min_pending") { return integer(&request.minPending) }
        if name.equals("min_ack_pending") { return integer(&request.minAckPending) }
        if name.equals("priority") { return integer(&request.priority) }
        return false
    }

    private mutating func skipSpace() {
        while index < body.count, body[index] == 0x20 || body[index] == 0x0A || body[index] == 0x0D || body[index] == 0x09 {
            index += 1
        }
    }

    private var isAtEnd: Bool {
        mutating get {
            skipSpace()
            return index == body.count
        }
    }

    private mutating func take(_ byte: UInt8) -> Bool {
        skipSpace()
        guard index < body.count, body[index] == byte else { return false }
        index += 1
        return true
    }

    /// A string of printable ASCII without escapes.
    private mutating func string() -> ByteView? {
        guard take(UInt8(ascii: "\"")) else { return nil }
        let start = index
        while index < body.count, body[index] != UInt8(ascii: "\"") {
            if body[index] == UInt8(ascii: "\\") || body[index] < 0x20 || body[index] >= 0x80 { return nil }
            index += 1
        }
        guard index < body.count else { return nil }
        index += 1
        return ByteView(body.base + start, index - 1 - start)
    }

    private mutating func text(_ value: inout String) -> Bool {
        guard let text = string() else { return false }
        value = text.string
        return true
    }

    private mutating func flag(_ value: inout Bool) -> Bool {
        skipSpace()
        let rest = ByteView(body.base + index, body.count - index)
        if rest.hasPrefix("true") {
            value = true
            index += 4
        } else if rest.hasPrefix("false") {
            value = false
            index += 5
        } else {
            return false
        }
        return true
    }

    /// Digits only: signs, fractions and exponents are rare, and so are numbers of more than 18 digits.
    private mutating func integer<Value: FixedWidthInteger>(_ value: inout Value) -> Bool {
        skipSpace()
        let start = index
        var sum: Int64 = 0
        while index < body.count, index - start < 18, body[index] &- 0x30 <= 9 {
            sum = sum * 10 + Int64(body[index] - 0x30)
            index += 1
        }
        // A leading zero is no number but zero itself.
        guard index > start, body[start] != 0x30 || index == start + 1 else { return false }
        guard index == body.count || (body[index] &- 0x30 > 9 && body[index] != UInt8(ascii: ".") && body[index] | 0x20 != 0x65)
        else { return false }
        value = Value(clamping: sum)
        return true
    }
}
