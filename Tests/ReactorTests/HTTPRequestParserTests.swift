import Testing

@testable import Reactor

private func parse(_ text: String, limits: HTTPRequestLimits = HTTPRequestLimits()) -> HTTPRequestParser.Step {
    parse(Array(text.utf8), limits: limits)
}

func parse(_ bytes: [UInt8], limits: HTTPRequestLimits) -> HTTPRequestParser.Step {
    var parser = HTTPRequestParser(limits: limits)
    return bytes.withUnsafeBufferPointer { parser.parse($0) }
}

private func request(_ text: String) -> HTTPRequest? {
    if case .request(let request, _) = parse(text) { request } else { nil }
}

private func refusal(_ text: String, limits: HTTPRequestLimits = HTTPRequestLimits()) -> Int? {
    if case .refused(let refusal) = parse(text, limits: limits) { refusal.status.code } else { nil }
}

@Test func aRequestIsDecoded() {
    let text = "GET /a%20b/c?x=1&y=a+b%26&z&=e HTTP/1.1\r\nHost: h\r\nX-Thing:  some value \t\r\n\r\nrest"
    guard case .request(let request, let consumed) = parse(text) else {
        Issue.record("no request")
        return
    }
    #expect(request.method == "GET")
    #expect(request.path == "/a b/c")
    #expect(request.query == [HTTPField("x", "1"), HTTPField("y", "a b&"), HTTPField("z", ""), HTTPField("", "e")])
    #expect(request.headers == [HTTPField("host", "h"), HTTPField("x-thing", "some value")])
    #expect(request.keepsAlive)
    #expect(consumed == text.utf8.count - 4)
}

@Test func aBodyIsAsLongAsItSays() {
    let head = "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n"
    #expect(request(head + "hello")?.body == Array("hello".utf8))
    #expect(request(head + "hello, world")?.body == Array("hello".utf8))
    #expect(parse(head + "hell") == .incomplete(frameBytes: head.utf8.count + 5, awaitsContinue: false))
    let expecting = "POST /x HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 5\r\n\r\n"
    #expect(parse(expecting) == .incomplete(frameBytes: expecting.utf8.count + 5, awaitsContinue: true))
}

@Test func connectionsAreKeptOrClosed() {
    #expect(request("GET / HTTP/1.1\r\nHost: h\r\nConnection: foo, Close\r\n\r\n")?.keepsAlive == false)
    #expect(request("GET / HTTP/1.0\r\n\r\n")?.keepsAlive == false)
    #expect(request("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")?.keepsAlive == true)
    #expect(request("GET / HTTP/1.1\nHost: h\n\n")?.keepsAlive == true)
}

@Test func targetsComeInThreeForms() {
    #expect(request("GET http://host:80/p?q=1 HTTP/1.1\r\nHost: h\r\n\r\n")?.path == "/p")
    #expect(request("GET HTTPS://host HTTP/1.1\r\nHost: h\r\n\r\n")?.path == "/")
    #expect(request("GET http://host?q=1 HTTP/1.1\r\nHost: h\r\n\r\n")?.parameter("q") == "1")
    #expect(request("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n")?.path == "*")
    #expect(request("\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n")?.path == "/")
}

@Test func badRequestsAreRefused() {
    let host = "Host: h\r\n"
    for line in [
        "FOO", "GET /", "GET  / HTTP/1.1", "GET / HTTP/1.1 x", "GET x HTTP/1.1", "G(T / HTTP/1.1", "GET /%zz HTTP/1.1",
        "GET /% HTTP/1.1", "GET /\u{1} HTTP/1.1", "GET * HTTP/1.1", "GET http:// HTTP/1.1", "GET / FTP/1.1",
    ] {
        #expect(refusal(line + "\r\n" + host + "\r\n") == 400, "\(line)")
    }
    for header in [
        "NoColon", ": empty", "Name : space", " folded: line", "A: \u{0}", "A: b\rc", "Host: again",
        "Content-Length: x", "Content-Length: -1", "Content-Length: ", "Content-Length: 1\r\nContent-Length: 1",
        "Transfer-Encoding: chunked\r\nContent-Length: 1",
    ] {
        #expect(refusal("GET / HTTP/1.1\r\n" + host + header + "\r\n\r\n") == 400, "\(header)")
    }
    #expect(refusal("GET / HTTP/1.1\r\n\r\n") == 400)
    #expect(refusal("GET / HTTP/2.0\r\n" + host + "\r\n") == 505)
    #expect(refusal("POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n") == 501)
    #expect(refusal("POST / HTTP/1.1\r\n" + host + "Content-Length: 40000\r\n\r\n") == 413)
    #expect(refusal("POST / HTTP/1.1\r\n" + host + "Content-Length: 99999999999999999999999\r\n\r\n") == 413)
}

@Test func sizesAreBounded() {
    let long = String(repeating: "x", count: 17_000)
    #expect(refusal("GET /" + long) == 431)
    #expect(refusal("GET / HTTP/1.1\r\nHost: h\r\nA: \(long)\r\n\r\n") == 431)
    let many = String(repeating: "a: b\r\n", count: 200)
    #expect(refusal("GET / HTTP/1.1\r\nHost: h\r\n\(many)\r\n") == 431)
    #expect(refusal(String(repeating: "\r\n", count: 10_000)) == 431)
}

@Test func datesAreSpelledAsInRFC9110() {
    #expect(HTTPText.date(seconds: 784_111_777) == "Sun, 06 Nov 1994 08:49:37 GMT")
    #expect(HTTPText.date(seconds: 0) == "Thu, 01 Jan 1970 00:00:00 GMT")
}

@Test func answersCannotBeSplit() {
    let response = HTTPResponse(.ok, headers: [HTTPField("Location", "/a\r\nEvil: 1")])
    let head = String(decoding: response.head(dateSeconds: 0, closes: true, announcesKeepAlive: false), as: UTF8.self)
    #expect(head.contains("Location: /a  Evil: 1\r\n"))
    #expect(HTTPText.percentEncoded("/a b#\r%") == "/a%20b%23%0D%25")
}
