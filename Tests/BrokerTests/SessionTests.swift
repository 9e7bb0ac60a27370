// What one connection sees, byte for byte: operations, corners, and how it ends.

import Glibc
import Testing

@testable import Broker

@Suite struct SessionTests {
    @Test func aRequestWithoutRespondersIsAnswered503() throws {
        let server = try TestBroker()
        defer { server.stop() }
        let client = try server.connect().hello()
        try client.send("SUB in.* 7\r\nPUB nobody.there in.1 2\r\nhi\r\n")
        let seen = try client.roundTrip()
        #expect(seen.count == 1)
        #expect(seen.first?.line == "HMSG in.1 7 44 44")
        #expect(seen.first?.payload == Array("NATS/1.0 503\r\nNats-Subject: nobody.there\r\n\r\n".utf8))
        // The stream is still in step.
        #expect(try client.roundTrip().isEmpty)
    }

    /// CONNECT comes after SUB: the subscription gets headers from then on.
    @Test func connectAfterSubscribeCounts() throws {
        let server = try TestBroker()
        defer { server.stop() }
        let client = try server.connect()
        try client.send("SUB foo 1\r\n")
        #expect(try client.next().line == "+OK")
        try client.hello().send("HPUB foo 12 14\r\nNATS/1.0\r\n\r\nhi\r\n")
        #expect(try client.roundTrip().map(\.line) == ["HMSG foo 1 12 14"])
    }

    /// Verified against nats-server 2.15.1: a second CONNECT drops what was subscribed.
    @Test func aSecondConnectDropsSubscriptions() throws {
        let server = try TestBroker()
        defer { server.stop() }
        let client = try server.connect().hello()
        try client.send("SUB foo 1\r\n")
        try client.roundTrip()
        try client.hello().send("PUB foo 2\r\nhi\r\nSUB foo 2\r\nPUB foo 2\r\nhi\r\n")
        #expect(try client.roundTrip().map(\.line) == ["MSG foo 2 2"])
    }

    @Test func echoFalseHoldsForEachPublish() throws {
        let server = try TestBroker()
        defer { server.stop() }
        let client = try server.connect().hello(",\"echo\":false,\"protocol\":1")
        let other = try server.connect().hello()
        try other.send("SUB foo 9\r\n")
        try other.roundTrip()
        try client.send("SUB foo 1\r\n" + String(repeating: "PUB foo 2\r\nhi\r\n", count: 5))
        #expect(try client.roundTrip().isEmpty)
        #expect(try other.roundTrip().count == 5)
    }

    @Test func headersAreStrippedForClientsWithoutThem() throws {
        let server = try TestBroker()
        defer { server.stop() }
        let old = try server.connect()
        try old.send("CONNECT {\"verbose\":false}\r\nSUB foo 1\r\n")
        try old.roundTrip()
        let client = try server.connect().hello()
        try client.send(String(repeating: "HPUB foo r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", count: 3))
        try client.send(String(repeating: "HPUB foo 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", count: 3))
        try client.roundTrip()
        let seen = try old.roundTrip()
        #expect(seen.map(\.line) == Array(repeating: "MSG foo 1 r 2", count: 3) + Array(repeating: "MSG foo 1 2", count: 3))
        #expect(seen.allSatisfy { $0.payload == Array("hi".utf8) })
    }

    @Test func aSidThatIsTakenIsIgnored() throws {
        let server = try TestBroker()
        defer { server.stop() }
        let client = try server.connect().hello()
        try client.send("SUB foo 1\r\nSUB bar 1\r\nPUB bar 1\r\na\r\nPUB foo 1\r\nb\r\n")
        #expect(try client.roundTrip().map(\.line) == ["MSG foo 1 1"])
    }

    /// What ends a connection, and what the client is told before it does.
    @Test(arguments: [
        ("FOO\r\n", "-ERR 'Unknown Protocol Operation'"),
        ("\r\n", "-ERR 'Unknown Protocol Operation'"),
        ("UNSUB\r\n", "-ERR 'Unknown Protocol Operation'"),
        ("MSG foo 1 1\r\na\r\n", "-ERR 'Unknown Protocol Operation'"),
        ("PUB foo 2\r\nabc\r\n", "-ERR 'Unknown Protocol Operation'"),
        ("PUB foo 1048577\r\n", "-ERR 'Maximum Payload Violation'"),
        ("SUB " + String(repeating: "a", count: 5_000), "-ERR 'maximum control line exceeded'"),
        ("CONNECT " + String(repeating: " ", count: 100_000), "-ERR 'maximum control line exceeded'"),
        ("PUB " + String(repeating: " ", count: 100_000), "-ERR 'maximum control line exceeded'"),
        ("CONNECT {\"protocol\":2}\r\n", "-ERR 'invalid client protocol'"),
        ("CONNECT {\"no_responders\":true}\r\n", "-ERR 'no responders requires headers support'"),
        ("CONNECT {\"account\":\"A\"}\r\n", "-ERR 'Authorization Violation'"),
        ("CONNECT {x}\r\n", nil), ("PUB foo\r\n", nil), ("PUB foo x\r\n", nil), ("PUB a b c 1\r\n", nil),
        ("PUB foo -1\r\n", nil),
        ("PUB foo 9999999999\r\n", nil), ("SUB foo\r\n", nil), ("SUB a b c d\r\n", nil), ("UNSUB 1 2 3\r\n", nil),
        ("HPUB foo 1\r\n", nil), ("HPUB foo 5 2\r\n", nil), ("HPUB foo 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", nil),
        ("-ERR 'x'\r\n", nil),
    ])
    func theLastWords(_ sent: String, _ expected: String?) throws {
        let server = try TestBroker()
        defer { server.stop() }
        let client = try server.connect()
        // It may be closed before all of it has gone out.
        try? client.send(sent)
        #expect(try client.rest().map(\.line) == (expected.map { [$0] } ?? []))
    }

    /// The last words come behind what waited before them, even if the client reads late.
    @Test func anErrorArrivesBehindQueuedMessages() throws {
        let server = try TestBroker { $0.maxPendingBytes = 1 << 30 }
        defer { server.stop() }
        let client = try RawClient(port: server.port, receiveBytes: 8 << 10).hello()
        try client.send("SUB foo 1\r\n")
        try client.roundTrip()
        let publishers = try (0..<2).map { try server.connect(loop: $0).hello() }
        let message = "PUB foo 100000\r\n" + String(repeating: "x", count: 100_000) + "\r\n"
        for publisher in publishers {
            for _ in 0..<10 { try publisher.send(message) }
            try publisher.roundTrip()
        }
        try client.send("FOO\r\n")
        let seen = try client.rest()
        #expect(seen.filter { $0.payload?.count == 100_000 }.count == 20)
        #expect(seen.last?.line == "-ERR 'Unknown Protocol Operation'")
    }

    @Test func junkAndResetLeaveTheBrokerWhole() throws {
        let server = try TestBroker()
        defer { server.stop() }
        for round in 0..<200 {
            let client = try server.connect()
            try client.send(round % 2 == 0 ? "FOO\r\n" : "SUB foo 1\r\nPUB foo 3\r\nabc\r\nFOO\r\n")
            client.reset()
        }
        try server.connect().hello().roundTrip()
        #expect(eventually { server.broker.connectionCount.load(ordering: .relaxed) <= 1 })
    }

    @Test func maxConnectionsIsToldAndNobodyElseIsHurt() throws {
        let server = try TestBroker { $0.maxConnections = 2 }
        defer { server.stop() }
        let first = try server.connect().hello(), second = try server.connect().hello()
        let third = try server.connect()
        #expect(try third.rest().map(\.line) == ["-ERR 'maximum connections exceeded'"])
        #expect(try first.roundTrip().isEmpty)
        #expect(try second.roundTrip().isEmpty)
    }

    /// A connection that is refused as it enters its account is gone for good: no timer of it is left behind.
    @Test func theAccountLimitLeavesNoTimerBehind() throws {
        let server = try TestBroker {
            $0.pingIntervalMs = 20
            // The first one answers none while the others come and go, however long that takes.
            $0.pingsOutMax = 1_000_000
            var account = AccountOptions(name: "$G")
            account.maxConnections = 1
            $0.accounts = [account]
        }
        defer { server.stop() }
        let first = try server.connect().hello()
        for _ in 0..<20 {
            let refused = try server.connect()
            #expect(try refused.rest().map(\.line) == ["-ERR 'maximum account active connections exceeded'"])
        }
        // Several ping intervals of the first one, seen as PINGs, so the refused ones' timers would have fired.
        for _ in 0..<5 { try first.awaitPing() }
    }
}
