// UNSUB with a count: so many messages and not one more, whoever publishes them.

import Glibc
import Testing

@testable import Broker

@Suite(.serialized) struct AutoUnsubscribeTests {
    @Test func theCountIncludesWhatCameBefore() throws {
        let server = try TestBroker()
        defer { server.stop() }
        let client = try server.connect().hello()
        let one = "PUB foo 1\r\na\r\n"
        try client.send("SUB foo 1\r\n\(one)UNSUB 1 3\r\n\(one)\(one)\(one)SUB foo 1\r\n\(one)UNSUB 1 1\r\n\(one)")
        #expect(try client.roundTrip().count == 4)
        #expect(server.broker.accounts.allSatisfy { $0.index.count.load(ordering: .relaxed) == 0 })
    }

    /// Publishers on every loop race for the last messages; a plain and a queue subscription have a limit each.
    @Test(arguments: [2, 4]) func publishersOnOtherLoopsDeliverExactlySoMany(loops: Int) throws {
        let server = try TestBroker(loops: loops)
        defer { server.stop() }
        let subscriber = try server.connect(loop: 0).hello()
        let publishers = try (0..<4).map { try server.connect(loop: $0 % loops).hello() }
        let index = try #require(server.broker.account(named: "$G")).index
        for round in 0..<40 {
            let limit = 1 + round * 7
            try subscriber.send("SUB foo 1\r\nUNSUB 1 \(limit)\r\nSUB foo q 2\r\nUNSUB 2 \(limit)\r\n")
            try subscriber.roundTrip()
            // Alternately the same line over and over, which is served from the cache, and lines that differ.
            let burst = (0..<300).map { number in
                let text = round % 2 == 0 ? "x" : String(repeating: "x", count: number % 9)
                return "PUB foo \(text.utf8.count)\r\n\(text)\r\n"
            }.joined()
            try together(
                publishers.map { publisher in
                    {
                        try publisher.send(burst)
                        try publisher.roundTrip()
                    }
                })
            #expect(eventually { index.count.load(ordering: .relaxed) == 0 })
            let seen = try subscriber.roundTrip()
            for sid in ["1", "2"] {
                let count = seen.filter { $0.line.split(separator: " ")[2] == sid }.count
                #expect(count == limit, "round \(round), sid \(sid)")
            }
        }
    }

    /// The limit is set while messages pour in: however many the client has got by then, the subscription ends.
    @Test func aLimitSetInTheMiddleOfAStreamEndsTheSubscription() throws {
        let server = try TestBroker()
        defer { server.stop() }
        let index = try #require(server.broker.account(named: "$G")).index
        let subscriber = try server.connect(loop: 0).hello(), publisher = try server.connect(loop: 1).hello()
        let burst = String(repeating: "PUB foo 1\r\nx\r\n", count: 2_000)
        for round in 0..<30 {
            try subscriber.send("SUB foo 1\r\n")
            try subscriber.roundTrip()
            try together([
                { for _ in 0..<5 { try publisher.send(burst) } },
                {
                    // In the middle of it, or near enough.
                    for _ in 0..<(round * 20) { _ = try subscriber.next() }
                    try subscriber.send("UNSUB 1 \(round * 20 + 500)\r\n")
                    try subscriber.roundTrip()
                },
            ])
            try publisher.roundTrip()
            #expect(eventually { index.count.load(ordering: .relaxed) == 0 })
            try subscriber.roundTrip()
        }
    }

    /// As soon as the last message is there, its sid may be used again.
    @Test func theSidIsFreeWhenTheLastMessageIsThere() throws {
        let server = try TestBroker()
        defer { server.stop() }
        let subscriber = try server.connect(loop: 0).hello(), publisher = try server.connect(loop: 1).hello()
        for round in 0..<300 {
            try subscriber.send("SUB a.\(round) 1\r\nUNSUB 1 1\r\n")
            try subscriber.roundTrip()
            try publisher.send("PUB a.\(round) 1\r\nx\r\n")
            #expect(try subscriber.next().line == "MSG a.\(round) 1 1")
        }
    }
}
