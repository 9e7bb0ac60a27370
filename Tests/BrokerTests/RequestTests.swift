// A subscription counts for whatever its connection sends after it, on every loop at once.

import Glibc
import Testing

@testable import Broker

@Suite(.serialized) struct RequestTests {
    /// Stock clients send `SUB inbox` and the request in one write: the answer must find the inbox.
    @Test(arguments: [2, 4]) func anInboxInTheSameWriteIsFound(loops: Int) throws {
        let server = try TestBroker(loops: loops)
        defer { server.stop() }
        let rounds = 400
        let responders = try (0..<loops).map { try server.connect(loop: $0).hello() }
        for (number, responder) in responders.enumerated() {
            try responder.send("SUB service.\(number) 1\r\n")
            try responder.roundTrip()
        }
        let requesters = try (0..<loops).map { try server.connect(loop: $0).hello() }
        var bodies: [@Sendable () throws -> Void] = responders.map { responder in
            {
                for _ in 0..<(rounds * loops) {
                    let words = try responder.next().line.split(separator: " ")
                    guard words.count == 5 else { throw TestFailure("no request: \(words)") }
                    try responder.send("PUB \(words[3]) 2\r\nok\r\n")
                }
            }
        }
        for (number, requester) in requesters.enumerated() {
            bodies.append {
                for round in 0..<(rounds * loops) {
                    let inbox = "inbox.\(number).\(round)"
                    try requester.send(
                        "SUB \(inbox) \(round)\r\nUNSUB \(round) 1\r\nPUB service.\(round % loops) \(inbox) 4\r\nwhat\r\n")
                    let answer = try requester.next()
                    guard answer.line == "MSG \(inbox) \(round) 2" else { throw TestFailure("\(answer)") }
                }
            }
        }
        try together(bodies)
        #expect(try requesters[0].roundTrip().isEmpty)
    }
}
