// Limits with odd values: whatever the configuration says, the broker runs and answers.

import Testing

@testable import Broker

@Suite struct LimitTests {
    @Test(arguments: [Int.min / 2, -1_000_000, -1, 0, 1, Int.max / 2]) func oddLimitsDoNotStopTheBroker(value: Int) throws {
        let changes: [(inout Options) -> Void] = [
            { $0.maxConnections = value }, { $0.maxSubscriptions = value }, { $0.maxClosedClients = value },
            { $0.pingsOutMax = value },
            { $0.pingIntervalMs = value }, { $0.writeDeadlineMs = value }, { $0.maxPayloadBytes = value },
            { $0.maxSubscriptionTokens = value }, { $0.maxControlLineBytes = value },
        ]
        for change in changes {
            let server = try TestBroker(change)
            let client = try server.connect()
            // It may be turned away, but not left without an answer or an end.
            try? client.hello().send("SUB foo 1\r\nPUB foo 2\r\nhi\r\nPING\r\n")
            do { try client.upToPong() } catch is EndOfStream {}
            server.stop()
        }
    }

    /// As on nats-server, a negative max_payload is none.
    @Test func aNegativePayloadLimitIsNone() throws {
        let server = try TestBroker { $0.maxPayloadBytes = -1 }
        defer { server.stop() }
        let client = try server.connect().hello()
        let text = String(repeating: "x", count: 3 << 20)
        try client.send("SUB foo 1\r\nPUB foo \(text.utf8.count)\r\n\(text)\r\n")
        #expect(try client.roundTrip().first?.payload?.count == 3 << 20)
    }

    /// The account is known only once CONNECT has been read, and what follows it in the same read obeys the account.
    @Test func anAccountsPayloadLimitHoldsFromTheFirstReadOn() throws {
        var limited = account("A", user("a"))
        limited.maxPayloadBytes = 10
        for noAuthUser in [nil, "a"] {
            let server = try TestBroker {
                $0.accounts = [limited, account("B", user("b"))]
                $0.noAuthUser = noAuthUser
            }
            defer { server.stop() }
            let small = "PUB foo 10\r\n0123456789\r\n", large = "PUB foo 11\r\n0123456789a\r\n"
            let connect = noAuthUser == nil ? "CONNECT {\"verbose\":false,\"user\":\"a\",\"pass\":\"p\"}\r\n" : ""
            let client = try server.connect()
            try client.send(connect + "SUB foo 1\r\n" + small + large)
            let lines = try client.rest().map(\.line).filter { $0 != "+OK" }
            #expect(lines == ["MSG foo 1 10", "-ERR 'Maximum Payload Violation'"])
            // Nobody else's limit.
            let other = try server.connect().hello(",\"user\":\"b\",\"pass\":\"p\"")
            try other.send("SUB foo 1\r\n" + large)
            #expect(try other.roundTrip().map(\.line) == ["MSG foo 1 11"])
        }
    }

    /// Ten come at once where five may stay: five stay, and it is those who came first.
    @Test func connectionsBeyondTheLimitDoNotTakeThoseBeforeThemAlong() throws {
        let server = try TestBroker { $0.maxConnections = 5 }
        defer { server.stop() }
        // Loop 0 accepts: whoever comes now is taken in one go when it goes on.
        let gate = try server.hold(loop: 0)
        defer { gate.open() }
        let clients = try (0..<10).map { _ in try RawClient(port: server.port, readsInfo: false) }
        gate.open()
        for client in clients { try client.readInfo() }
        for client in clients.sorted(by: { $0.clientID < $1.clientID }).prefix(5) {
            #expect(try client.hello().roundTrip().isEmpty)
        }
        for client in clients.sorted(by: { $0.clientID < $1.clientID }).dropFirst(5) {
            #expect(try client.rest().map(\.line) == ["-ERR 'maximum connections exceeded'"])
        }
    }

    @Test func theSubscriptionLimitIsTold() throws {
        let server = try TestBroker { $0.maxSubscriptions = 2 }
        defer { server.stop() }
        let client = try server.connect().hello()
        try client.send("SUB a 1\r\nSUB b 2\r\nSUB c 3\r\nPUB c 1\r\nx\r\n")
        #expect(try client.roundTrip().map(\.line) == ["-ERR 'maximum subscriptions exceeded'"])
        try client.send("UNSUB 1\r\nSUB c 3\r\nPUB c 1\r\nx\r\n")
        #expect(try client.roundTrip().map(\.line) == ["MSG c 3 1"])
    }
}
