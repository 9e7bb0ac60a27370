// Makes a request out of the bytes at the beginning of a buffer, or says what is wrong with them. Pure: the caller
// presents the bytes from the start of the request again, with more behind them, until there is an answer.
//
//     GET /connz?subs=1 HTTP/1.1 CRLF        request line: method SP target SP version
//     Host: example CRLF                     fields
//     CRLF                                   end of the head
//     ...                                    body, as long as Content-Length says

/// How large a request may be.
public struct HTTPRequestLimits: Sendable {
    /// Request line and headers together.
    public var headBytesMax = 16 << 10
    /// With the head it stays below what a loop keeps for an unfinished read (64 KiB).
    public var bodyBytesMax = 32 << 10
    public var headersMax = 100
    public init() {}
}

/// A request that is answered with an error, and whose connection ends: where the next one begins is unknown.
public struct HTTPRefusal: Error, Sendable, Equatable {
    public let status: HTTPStatus
    public let detail: String

    init(_ status: HTTPStatus, _ detail: String = "") {
        self.status = status
        self.detail = detail
    }
}

/// Follows RFC 9112 where it matters to security: no white space before a colon, no folded headers, one Content-Length,
/// no body whose end two readers could see in different places. A bare LF ends a line too, as section 2.2 allows.
public struct HTTPRequestParser: Sendable {
    public enum Step: Sendable, Equatable {
        /// - Parameters:
        ///   - frameBytes: the length of the whole request once the head is complete; else 0.
        ///   - awaitsContinue: the client holds its body back until it is told to go on (`Expect: 100-continue`).
        case incomplete(frameBytes: Int, awaitsContinue: Bool)
        case request(HTTPRequest, consumed: Int)
        case refused(HTTPRefusal)
    }

    public var limits: HTTPRequestLimits
    /// Bytes known not to hold the end of the head, so that a head that trickles in is searched once.
    private var searched = 0
    /// The length of the request whose head is complete, so that it is not read again for every piece of the body.
    private var frameBytes = 0

    public init(limits: HTTPRequestLimits = HTTPRequestLimits()) { self.limits = limits }

    /// Looks at the bytes of one request, from its first one on.
    public mutating func parse(_ bytes: UnsafeBufferPointer<UInt8>) -> Step {
        if bytes.count < frameBytes { return .incomplete(frameBytes: frameBytes, awaitsContinue: false) }
        guard let head = findHead(bytes) else {
            if bytes.count > limits.headBytesMax { return .refused(HTTPRefusal(.requestHeaderFieldsTooLarge)) }
            return .incomplete(frameBytes: 0, awaitsContinue: false)
        }
        if head.end > limits.headBytesMax { return .refused(HTTPRefusal(.requestHeaderFieldsTooLarge)) }
        do throws(HTTPRefusal) {
            var request = try parseHead(Array(bytes[head.start..<head.end]))
            let bodyBytes = try bodyLength(of: request)
            frameBytes = head.end + bodyBytes
            if bytes.count < frameBytes {
                let expectation = request.header("expect").map { Array($0.utf8.map(HTTPText.lowercased)) }
                return .incomplete(
                    frameBytes: frameBytes,
                    awaitsContinue: expectation == Array("100-continue".utf8) && bytes.count == head.end)
            }
            request.body = Array(bytes[head.end..<frameBytes])
            defer {
                searched = 0
                frameBytes = 0
            }
            return .request(request, consumed: frameBytes)
        } catch {
            return .refused(error)
        }
    }

    // MARK: The head

    /// Where the request line begins, behind empty lines that some clients send, and where the body does.
    private mutating func findHead(_ bytes: UnsafeBufferPointer<UInt8>) -> (start: Int, end: Int)? {
        var start = 0
        while start < bytes.count, bytes[start] == 0x0D || bytes[start] == 0x0A { start += 1 }
        var index = max(start, min(searched, bytes.count))
        while index < bytes.count {
            if bytes[index] == 0x0A, index > start,
                bytes[index - 1] == 0x0A || (bytes[index - 1] == 0x0D && index - 1 > start && bytes[index - 2] == 0x0A)
            {
                return (start, index + 1)
            }
            index += 1
        }
        searched = index
        return nil
    }

    private func parseHead(_ head: [UInt8]) throws(HTTPRefusal) -> HTTPRequest {
        var lines = head.split(separator: 0x0A, omittingEmptySubsequences: false).map { line in
            line.last == 0x0D ? line.dropLast() : line
        }
        // The empty line, and what follows its line end.
        lines.removeLast(2)
        var request = try parseRequestLine(lines[0])
        if lines.count - 1 > limits.headersMax { throw HTTPRefusal(.requestHeaderFieldsTooLarge) }
        for line in lines.dropFirst() { request.headers.append(try parseHeader(line)) }
        let hosts = request.headers.count { $0.name == "host" }
        if hosts > 1 { throw HTTPRefusal(.badRequest, "too many Host headers") }
        if hosts == 0 && request.minorVersion > 0 { throw HTTPRefusal(.badRequest, "missing required Host header") }
        request.keepsAlive = keepsAlive(request)
        return request
    }

    private func parseRequestLine(_ line: ArraySlice<UInt8>) throws(HTTPRefusal) -> HTTPRequest {
        let parts = line.split(separator: 0x20, omittingEmptySubsequences: false)
        guard parts.count == 3, !parts[0].isEmpty, parts[0].allSatisfy(HTTPText.isTokenByte),
            !parts[1].isEmpty, parts[1].allSatisfy({ $0 > 0x20 && $0 != 0x7F })
        else { throw HTTPRefusal(.badRequest) }
        let minorVersion: Int
        switch String(decoding: parts[2], as: UTF8.self) {
        case "HTTP/1.1": minorVersion = 1
        case "HTTP/1.0": minorVersion = 0
        case let version where version.hasPrefix("HTTP/"):
            throw HTTPRefusal(.versionNotSupported, "unsupported protocol version")
        default: throw HTTPRefusal(.badRequest)
        }
        let method = String(decoding: parts[0], as: UTF8.self)
        var target = parts[1]
        if target == [UInt8(ascii: "*")] && method == "OPTIONS" {
            return HTTPRequest(method: method, path: "*", minorVersion: minorVersion)
        }
        if target.first != UInt8(ascii: "/") { target = try pathOfAbsolute(target) }
        let halves = target.split(separator: UInt8(ascii: "?"), maxSplits: 1, omittingEmptySubsequences: false)
        guard let path = HTTPText.percentDecoded(halves[0], plusIsSpace: false) else { throw HTTPRefusal(.badRequest) }
        return HTTPRequest(
            method: method, path: path.isEmpty ? "/" : path, query: halves.count > 1 ? HTTPText.query(halves[1]) : [],
            minorVersion: minorVersion)
    }

    /// The part of `http://host/path?query` that begins with the path, or with the query where there is no path.
    private func pathOfAbsolute(_ target: ArraySlice<UInt8>) throws(HTTPRefusal) -> ArraySlice<UInt8> {
        for scheme in ["http://", "https://"] where target.lazy.map(HTTPText.lowercased).starts(with: scheme.utf8) {
            let rest = target.dropFirst(scheme.utf8.count)
            let start = rest.firstIndex { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "?") } ?? rest.endIndex
            if start == rest.startIndex { break }
            return rest[start...]
        }
        throw HTTPRefusal(.badRequest)
    }

    private func parseHeader(_ line: ArraySlice<UInt8>) throws(HTTPRefusal) -> HTTPField {
        guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > line.startIndex,
            line[..<colon].allSatisfy(HTTPText.isTokenByte)
        else { throw HTTPRefusal(.badRequest) }
        var value = line[(colon + 1)...]
        while let first = value.first, first == 0x20 || first == 0x09 { value.removeFirst() }
        while let last = value.last, last == 0x20 || last == 0x09 { value.removeLast() }
        guard value.allSatisfy({ $0 >= 0x20 && $0 != 0x7F || $0 == 0x09 }) else { throw HTTPRefusal(.badRequest) }
        return HTTPField(
            String(decoding: line[..<colon].map(HTTPText.lowercased), as: UTF8.self), String(decoding: value, as: UTF8.self))
    }

    private func keepsAlive(_ request: HTTPRequest) -> Bool {
        var keeps = request.minorVersion > 0
        for header in request.headers where header.name == "connection" {
            for part in header.value.utf8.split(separator: UInt8(ascii: ",")) {
                let token = part.filter { $0 != 0x20 && $0 != 0x09 }.map(HTTPText.lowercased)
                if token == Array("close".utf8) { return false }
                if token == Array("keep-alive".utf8) { keeps = true }
            }
        }
        return keeps
    }

    // MARK: The body

    private func bodyLength(of request: HTTPRequest) throws(HTTPRefusal) -> Int {
        let lengths = request.headers.filter { $0.name == "content-length" }
        if request.header("transfer-encoding") != nil {
            if !lengths.isEmpty { throw HTTPRefusal(.badRequest) }
            throw HTTPRefusal(.notImplemented, "send the body with a Content-Length")
        }
        guard let first = lengths.first else { return 0 }
        guard lengths.count == 1, !first.value.isEmpty,
            first.value.utf8.allSatisfy({ UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 })
        else { throw HTTPRefusal(.badRequest) }
        guard let length = Int(first.value), length <= limits.bodyBytesMax else { throw HTTPRefusal(.contentTooLarge) }
        return length
    }
}
