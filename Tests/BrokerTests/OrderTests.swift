// Order and wholeness of what subscribers get, with publishers on every loop.

import Glibc
import Testing

@testable import Broker

@Suite(.serialized) struct OrderTests {
    /// A full socket ends a direct write inside a frame; what other loops have for the same socket must wait for its rest.
    @Test func framesStayWholeWhenLoopsShareAFullSocket() throws {
        let server = try TestBroker(loops: 2) { $0.maxPendingBytes = 1 << 30 }
        defer { server.stop() }
        let subscriber = try RawClient(port: server.port, receiveBytes: 64 << 10).hello()
        try subscriber.send("SUB load.* 1\r\n")
        try subscriber.roundTrip()
        let rounds = 1_000
        let publishers = try (0..<4).map { try server.connect(loop: $0 % 2).hello() }
        var bodies: [@Sendable () throws -> Void] = publishers.enumerated().map { number, publisher in
            {
                for round in 0..<rounds {
                    let text = "\(round) " + String(repeating: "x", count: (round * 37) % 2_000)
                    try publisher.send("PUB load.\(number) \(text.utf8.count)\r\n\(text)\r\n")
                }
                try publisher.roundTrip()
            }
        }
        bodies.append {
            var expected = [0, 0, 0, 0]
            for _ in 0..<(4 * rounds) {
                let operation = try subscriber.next()
                let words = operation.line.split(separator: " ")
                guard words.count == 4, words[0] == "MSG",
                    let number = words[1].split(separator: ".").last.flatMap({ Int($0) }),
                    let payload = operation.payload,
                    let round = Int(String(decoding: payload.prefix { $0 != 0x20 }, as: UTF8.self))
                else { throw TestFailure("not a message: \(operation.line)") }
                guard round == expected[number] else {
                    throw TestFailure("publisher \(number): \(round) instead of \(expected[number])")
                }
                expected[number] += 1
            }
        }
        try together(bodies)
    }

    /// Each publisher's messages reach each subscription in order, while others come and go on every loop.
    @Test(arguments: [2, 4]) func orderHoldsWhileConnectionsComeAndGo(loops: Int) throws {
        let server = try TestBroker(loops: loops)
        defer { server.stop() }
        let rounds = 4_000
        let publishers = try (0..<loops).map { try server.connect(loop: $0).hello() }
        let subscribers = try (0..<loops).map { try server.connect(loop: $0).hello() }
        for subscriber in subscribers {
            try subscriber.send("SUB order.* 1\r\nSUB order.> 2\r\n")
            try subscriber.roundTrip()
        }
        var bodies: [@Sendable () throws -> Void] = publishers.enumerated().map { number, publisher in
            {
                var round = 0
                while round < rounds {
                    // Bursts of one message up to more than what is handed over to the other loop; those of small messages
                    // are, those of large ones are not.
                    var burst = ""
                    let sizeMax = round % 2 == 0 ? 900 : 2_000
                    for _ in 0..<min(rounds - round, 1 + (round * 31) % 97) {
                        let text = "\(round) " + String(repeating: "x", count: (round * 37) % sizeMax)
                        burst += "PUB order.\(number) \(text.utf8.count)\r\n\(text)\r\n"
                        round += 1
                    }
                    try publisher.send(burst)
                }
            }
        }
        for subscriber in subscribers {
            bodies.append {
                var expected = [String: Int]()
                for _ in 0..<(2 * rounds * loops) {
                    let operation = try subscriber.next()
                    let words = operation.line.split(separator: " ")
                    guard words.count == 4, let payload = operation.payload,
                        let round = Int(String(decoding: payload.prefix { $0 != 0x20 }, as: UTF8.self))
                    else { throw TestFailure("not a message: \(operation.line)") }
                    let key = "\(words[1]) \(words[2])"
                    guard round == expected[key, default: 0] else {
                        throw TestFailure("\(key): \(round) instead of \(expected[key, default: 0])")
                    }
                    expected[key] = round + 1
                }
            }
        }
        bodies.append {
            for round in 0..<150 {
                let guest = try server.connect().hello()
                try guest.send("SUB order.> 1\r\nSUB order.0 q 2\r\n")
                if round % 3 == 0 { try guest.roundTrip() }
                if round % 2 == 0 { guest.reset() } else { guest.close() }
            }
        }
        try together(bodies)
    }
}
