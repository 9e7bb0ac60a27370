// What a handler answers, and how it looks on the wire.

/// A status, headers and the whole body. Content-Length, Date and Connection are the server's to add.
public struct HTTPResponse: Sendable {
    public var status: HTTPStatus
    public var headers: [HTTPField]
    public var body: [UInt8]

    public init(_ status: HTTPStatus, headers: [HTTPField] = [], body: [UInt8] = []) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    /// A body of plain text.
    public static func text(_ status: HTTPStatus, _ text: String, headers: [HTTPField] = []) -> HTTPResponse {
        HTTPResponse(
            status, headers: [HTTPField("Content-Type", "text/plain; charset=utf-8")] + headers, body: Array(text.utf8))
    }

    /// The answer to a request that the parser refused.
    static func refusal(_ refusal: HTTPRefusal) -> HTTPResponse {
        let detail = refusal.detail.isEmpty ? "" : ": \(refusal.detail)"
        return .text(refusal.status, "\(refusal.status.code) \(refusal.status.reason)\(detail)")
    }

    /// 1xx, 204 and 304 end with their head.
    var mayHaveBody: Bool { status.code >= 200 && status.code != 204 && status.code != 304 }

    /// Everything in front of the body, with the empty line.
    func head(dateSeconds: Int, closes: Bool, announcesKeepAlive: Bool) -> [UInt8] {
        var text = "HTTP/1.1 \(status.code) \(status.reason)\r\n"
        for header in headers { text += "\(header.name): \(HTTPResponse.oneLine(header.value))\r\n" }
        text += "Date: \(HTTPText.date(seconds: dateSeconds))\r\n"
        if mayHaveBody { text += "Content-Length: \(body.count)\r\n" }
        if closes {
            text += "Connection: close\r\n"
        } else if announcesKeepAlive {
            text += "Connection: keep-alive\r\n"
        }
        return Array((text + "\r\n").utf8)
    }

    /// A value may come from a request: it must not be able to begin another header.
    private static func oneLine(_ value: String) -> String {
        if value.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) { return value }
        return String(decoding: value.utf8.map { $0 < 0x20 || $0 == 0x7F ? 0x20 : $0 }, as: UTF8.self)
    }
}
