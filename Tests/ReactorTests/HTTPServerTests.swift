import Glibc
import Synchronization
import Testing

@testable import Reactor

/// A server on a loop of its own. `/late` answers after `?ms=`, `/size` with `?bytes=` of text, `/never` not at all, and
/// everything else with the request's method, path and body.
private final class TestServer: Sendable {
    let loops: RunningLoops
    let port: Int

    init(_ limits: HTTPServerLimits = HTTPServerLimits(), loopLimits: LoopLimits = LoopLimits()) throws {
        let bound = Answer<Int>()
        loops = try RunningLoops(1, limits: loopLimits) { loop in
            let server = try HTTPServer(host: "127.0.0.1", port: -1, loop: loop, limits: limits) {
                [unowned loop] request, responder in
                switch request.path {
                case "/late":
                    let delay = Int(request.parameter("ms") ?? "") ?? 0
                    loop.schedule(afterMs: delay) { responder.answer(.text(.ok, "late \(delay)")) }
                case "/size":
                    let count = Int(request.parameter("bytes") ?? "") ?? 0
                    responder.answer(HTTPResponse(.ok, body: [UInt8](repeating: 0x78, count: count)))
                case "/never": break
                default:
                    responder.answer(
                        .text(.ok, "\(request.method) \(request.path) \(String(decoding: request.body, as: UTF8.self))"))
                    responder.answer(.text(.ok, "a second answer is ignored"))
                }
            }
            server.start()
            bound.set(server.address.port)
            return server
        }
        port = bound.wait() ?? 0
    }

    var connectionCount: Int? { loops.on { ($0.context as? HTTPServer)?.connectionCount ?? -1 } }
    func connect() throws -> TestSocket { try TestSocket(port: port) }
}

private func get(_ path: String, _ more: String = "") -> String { "GET \(path) HTTP/1.1\r\nHost: h\r\n\(more)\r\n" }

private struct Reply: Equatable {
    var status: Int
    var headers: [String]
    var body: String
}

/// Reads one answer off `socket`; `rest` keeps what came behind it.
private func reply(_ socket: TestSocket, _ rest: inout [UInt8], hasBody: Bool = true) -> Reply? {
    let gap = Array("\r\n\r\n".utf8)
    while true {
        let text = rest
        if let end = (0..<max(0, text.count - 3)).first(where: { Array(text[$0..<$0 + 4]) == gap }) {
            let lines = String(decoding: text[..<end], as: UTF8.self).split(separator: "\r\n").map(String.init)
            let length = lines.first { $0.hasPrefix("Content-Length: ") }.flatMap { Int($0.dropFirst(16)) } ?? 0
            let wanted = end + 4 + (hasBody ? length : 0)
            if text.count >= wanted {
                rest = Array(text[wanted...])
                return Reply(
                    status: Int(lines[0].split(separator: " ")[1]) ?? 0, headers: Array(lines.dropFirst()),
                    body: String(decoding: text[(end + 4)..<wanted], as: UTF8.self))
            }
        }
        guard let more = socket.receive(), !more.isEmpty else { return nil }
        rest += more
    }
}

@Test func requestsOnOneConnectionAreAnsweredInOrder() throws {
    let server = try TestServer()
    let socket = try server.connect()
    var rest: [UInt8] = []
    socket.send(get("/late?ms=60") + get("/a") + "HEAD /b HTTP/1.1\r\nHost: h\r\n\r\n" + get("/late?ms=5"))
    #expect(reply(socket, &rest)?.body == "late 60")
    #expect(reply(socket, &rest)?.body == "GET /a ")
    let head = reply(socket, &rest, hasBody: false)
    #expect(head?.headers.contains("Content-Length: 8") == true && head?.body == "")
    #expect(reply(socket, &rest)?.body == "late 5")
    socket.send("POST /c HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhel")
    usleep(20_000)
    socket.send("lo" + get("/d", "Connection: close\r\n"))
    #expect(reply(socket, &rest)?.body == "POST /c hello")
    #expect(reply(socket, &rest)?.headers.last == "Connection: close")
    #expect(socket.receive() == [])
    server.loops.stop()
}

@Test func clientsMayCloseTheirSideFirst() throws {
    let server = try TestServer()
    let socket = try server.connect()
    socket.send(get("/late?ms=30"))
    shutdown(socket.fd, Int32(SHUT_WR))
    #expect(String(decoding: socket.receiveAll(), as: UTF8.self).hasSuffix("late 30"))
    server.loops.stop()
}

@Test func continueIsSaidOnce() throws {
    let server = try TestServer()
    let socket = try server.connect()
    socket.send("POST /c HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    let go = Array("HTTP/1.1 100 Continue\r\n\r\n".utf8)
    #expect(socket.receive(count: go.count) == go)
    socket.send("hello")
    var rest: [UInt8] = []
    #expect(reply(socket, &rest)?.body == "POST /c hello")
    server.loops.stop()
}

@Test func largeAnswersPassSlowReadersAndSmallQueues() throws {
    // A loop that cuts channels with more than 32 KiB unsent: the answer must be fed to it bit by bit.
    var loopLimits = LoopLimits()
    loopLimits.maxPendingBytes = 32 << 10
    let server = try TestServer(loopLimits: loopLimits)
    let socket = try server.connect()
    let size = 30_000_000
    socket.send(get("/size?bytes=\(size)") + get("/next"))
    usleep(100_000)
    var rest: [UInt8] = []
    let large = reply(socket, &rest)
    #expect(large?.body.utf8.count == size)
    #expect(reply(socket, &rest)?.body == "GET /next ")
    server.loops.stop()
}

@Test func mistakesAreAnsweredAndEndTheConnection() throws {
    let server = try TestServer()
    for (text, status) in [
        ("FOO\r\n\r\n", 400), (get("/x", "Transfer-Encoding: chunked\r\n"), 501),
        (get("/x", "Content-Length: 99999999\r\n"), 413), (get("/" + String(repeating: "x", count: 20_000)), 431),
        ("GET / HTTP/3.0\r\nHost: h\r\n\r\n", 505),
    ] {
        let socket = try server.connect()
        var rest: [UInt8] = []
        socket.send(text + get("/ignored"))
        let answer = reply(socket, &rest)
        #expect(answer?.status == status && answer?.headers.contains("Connection: close") == true)
        #expect(socket.receive() == [], "nothing follows a \(status)")
    }
    server.loops.stop()
}

@Test func slowRequestsRunOutOfTime() throws {
    var limits = HTTPServerLimits()
    limits.readMs = 150
    limits.idleMs = 100
    limits.answerMs = 100
    let server = try TestServer(limits)
    // A byte now and then does not extend the time.
    let trickle = try server.connect()
    for byte in Array(get("/x").utf8.prefix(12)) {
        trickle.send([byte])
        usleep(20_000)
    }
    var rest: [UInt8] = []
    #expect(reply(trickle, &rest)?.status == 408)
    // Saying nothing at all ends without a word.
    #expect(try server.connect().receive() == [])
    // So does waiting for the next request.
    let idle = try server.connect()
    idle.send(get("/x"))
    rest = []
    #expect(reply(idle, &rest)?.status == 200)
    #expect(idle.receive() == [])
    // And a handler that never answers costs its client no more than this.
    let unanswered = try server.connect()
    unanswered.send(get("/never"))
    rest = []
    #expect(reply(unanswered, &rest)?.status == 503)
    #expect(server.connectionCount == 0)
    server.loops.stop()
}

@Test func connectionsAreLimited() throws {
    var limits = HTTPServerLimits()
    limits.connectionsMax = 3
    let server = try TestServer(limits)
    // Idle ones make room for new ones.
    let idle = try (0..<3).map { _ in try server.connect() }
    usleep(20_000)
    let busy = try (0..<3).map { _ in
        let socket = try server.connect()
        socket.send(get("/never"))
        usleep(20_000)
        return socket
    }
    for socket in idle { #expect(socket.receive() == []) }
    #expect(server.connectionCount == 3)
    // Busy ones do not.
    let refused = try server.connect()
    #expect(String(decoding: refused.receiveAll(), as: UTF8.self).hasPrefix("HTTP/1.1 503 "))
    withExtendedLifetime(busy) {}
    server.loops.stop()
}

@Test func aFloodOfPipelinedRequestsIsCutOff() throws {
    let server = try TestServer()
    let socket = try server.connect()
    socket.setTimeout(seconds: 2)
    // Far more than is kept while the first is being answered.
    let one = get("/late?ms=50", "X: \(String(repeating: "y", count: 1_000))\r\n")
    socket.send(String(repeating: one, count: 150))
    var rest: [UInt8] = []
    var answers = 0
    while reply(socket, &rest) != nil { answers += 1 }
    #expect(answers >= 1 && answers <= 150)
    #expect(server.connectionCount == 0)
    server.loops.stop()
}

/// Random requests in random pieces over real connections: as many answers, in order.
@Test(arguments: [1, UInt64.random(in: 2...UInt64.max)])
func piecesDoNotMatter(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let server = try TestServer()
    for _ in 0..<20 {
        let socket = try server.connect()
        var expected: [String] = []
        var text = ""
        for number in 0...random.below(8) {
            switch random.below(3) {
            case 0:
                text += get("/late?ms=\(number % 3)")
                expected.append("late \(number % 3)")
            case 1:
                let body = String(repeating: "b", count: random.below(3_000))
                text += "POST /p\(number) HTTP/1.1\r\nHost: h\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
                expected.append("POST /p\(number) \(body)")
            default:
                text += get("/g\(number)")
                expected.append("GET /g\(number) ")
            }
        }
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = min(bytes.count, 1 + random.below(400))
            socket.send(Array(bytes.prefix(count)))
            bytes = bytes.dropFirst(count)
        }
        var rest: [UInt8] = []
        for body in expected { #expect(reply(socket, &rest)?.body == body, "seed \(seed)") }
    }
    server.loops.stop()
}
