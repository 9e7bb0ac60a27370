// Subscriptions by the hundred thousand: time grows as their number does, not faster.

import Glibc
import Reactor
import Testing

@testable import Broker

@Suite(.serialized) struct ManySubscriptionsTests {
    @Test func aStormOfSubscriptionsTakesLinearTime() throws {
        let server = try TestBroker()
        defer { server.stop() }
        let index = try #require(server.broker.account(named: "$G")).index
        func storm(_ count: Int, _ subject: @escaping (Int) -> String) throws -> UInt64 {
            let client = try server.connect().hello()
            let lines = Array((0..<count).map { "SUB \(subject($0)) \($0)\r\n" }.joined().utf8)
            let begun = Clock.monotonicNs()
            try client.send(lines)
            try client.roundTrip()
            #expect(index.count.load(ordering: .relaxed) == count)
            client.close()
            #expect(eventually { index.count.load(ordering: .relaxed) == 0 })
            return Clock.monotonicNs() - begun
        }
        let shapes: [(Int) -> String] = [
            { "a.b.\($0).c" }, { "x\($0)" }, { _ in "same.subject" }, { "deep.\($0 % 100).\($0 / 100).*" },
        ]
        for subject in shapes {
            let small = try storm(10_000, subject), large = try storm(100_000, subject)
            // Ten times as many; quadratic work would be a hundredfold.
            #expect(large < 40 * max(small, 5_000_000), "\(subject(1)): \(small / 1_000) us, \(large / 1_000) us")
        }
    }

    @Test func oneConnectionHoldsAHundredThousand() throws {
        let server = try TestBroker()
        defer { server.stop() }
        let count = 100_000
        let client = try server.connect().hello(), publisher = try server.connect().hello()
        try client.send((0..<count).map { "SUB s.\($0) \($0)\r\n" }.joined())
        try client.roundTrip()
        let chosen = (0..<500).map { ($0 * 7_919) % count }
        try publisher.send(chosen.map { "PUB s.\($0) 1\r\nx\r\n" }.joined())
        try publisher.roundTrip()
        for number in chosen { #expect(try client.next().line == "MSG s.\(number) \(number) 1") }
        try client.send((0..<count).filter { $0 % 2 == 0 }.map { "UNSUB \($0)\r\n" }.joined())
        try client.roundTrip()
        try publisher.send((0..<100).map { "PUB s.\($0) 1\r\nx\r\n" }.joined())
        try publisher.roundTrip()
        for number in stride(from: 1, to: 100, by: 2) { #expect(try client.next().line == "MSG s.\(number) \(number) 1") }
    }
}
