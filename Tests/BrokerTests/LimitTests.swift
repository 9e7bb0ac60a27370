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
