// Clients that do not read: they are cut, and cost the others neither messages nor the broker its memory.

import Glibc
import Synchronization
import Testing

@testable import Broker

@Suite(.serialized) struct SlowConsumerTests {
    private let message = "PUB load 20000\r\n" + String(repeating: "x", count: 20_000) + "\r\n"

    @Test func tooManyPendingBytesCut() throws {
        let server = try TestBroker { $0.maxPendingBytes = 1 << 20 }
        defer { server.stop() }
        let stuck = try RawClient(port: server.port, receiveBytes: 8 << 10).hello()
        try stuck.send("SUB load 1\r\n")
        try stuck.roundTrip()
        let publisher = try server.connect().hello()
        for _ in 0..<1_000 { try publisher.send(message) }
        try publisher.roundTrip()
        #expect(eventually { server.broker.connectionCount.load(ordering: .relaxed) == 1 })
        #expect(closedReasons(server) == ["Slow Consumer (Pending Bytes)"])
    }

    @Test func aWriteThatMakesNoProgressIsCut() throws {
        let server = try TestBroker { $0.writeDeadlineMs = 100 }
        defer { server.stop() }
        let stuck = try RawClient(port: server.port, receiveBytes: 8 << 10).hello()
        try stuck.send("SUB load 1\r\n")
        try stuck.roundTrip()
        let publisher = try server.connect().hello()
        for _ in 0..<400 { try publisher.send(message) }
        try publisher.roundTrip()
        #expect(eventually { server.broker.connectionCount.load(ordering: .relaxed) == 1 })
        #expect(closedReasons(server) == ["Slow Consumer (Write Deadline)"])
    }

    /// A reader that is slow but reads is not cut by the deadline.
    @Test func aSlowReaderThatReadsIsNotCut() throws {
        let server = try TestBroker { $0.writeDeadlineMs = 300 }
        defer { server.stop() }
        let slow = try RawClient(port: server.port, receiveBytes: 64 << 10).hello()
        try slow.send("SUB load 1\r\n")
        try slow.roundTrip()
        let publisher = try server.connect().hello()
        try together([
            {
                for _ in 0..<500 { try publisher.send(message) }
                try publisher.roundTrip()
            },
            {
                // About 1 MB each 10 ms: everything takes longer than one deadline if it is far behind.
                for number in 0..<500 {
                    guard try slow.next().payload?.count == 20_000 else { throw TestFailure("not the message") }
                    if number % 50 == 0 { usleep(10_000) }
                }
            },
        ])
    }

    /// One consumer reads, one is stuck: the one that reads gets everything, and what waits for the other one stays within
    /// its limit.
    @Test(arguments: [1, 2]) func aStuckConsumerDoesNotHoldUpTheOthers(loops: Int) throws {
        let limit = 8 << 20
        let server = try TestBroker(loops: loops) { $0.maxPendingBytes = limit }
        defer { server.stop() }
        let stuck = try RawClient(port: server.port, receiveBytes: 8 << 10).hello()
        try stuck.send("SUB load 1\r\n")
        try stuck.roundTrip()
        let live = try server.connect().hello()
        try live.send("SUB load 1\r\n")
        try live.roundTrip()
        let publisher = try server.connect().hello()
        let before = residentBytes()
        let read = Counter()
        try together([
            {
                for number in 0..<4_000 {
                    // Never so far ahead that the one that reads would be cut, too.
                    while number - read.value.load(ordering: .relaxed) > 150 { usleep(100) }
                    try publisher.send(message)
                }
                try publisher.roundTrip()
            },
            {
                for _ in 0..<4_000 {
                    guard try live.next().payload?.count == 20_000 else { throw TestFailure("not the message") }
                    read.value.wrappingAdd(1, ordering: .relaxed)
                }
            },
        ])
        // 80 MB went through. Tests beside this one use memory, too.
        let isSanitized = getenv("ASAN_OPTIONS") != nil || getenv("TSAN_OPTIONS") != nil
        #expect(residentBytes() - before < 60 << 20 || isSanitized)
        #expect(eventually { server.broker.connectionCount.load(ordering: .relaxed) == 2 })
        #expect(closedReasons(server) == ["Slow Consumer (Pending Bytes)"])
    }

    /// Nobody but the consumer slows the publisher down: stalled, it goes on as soon as there is room.
    @Test func aStalledPublisherGoesOn() throws {
        // 60 MB in all: less than max_pending, and much more than what stalls.
        let server = try TestBroker(loops: 2)
        defer { server.stop() }
        let live = try RawClient(port: server.port, receiveBytes: 64 << 10).hello()
        try live.send("SUB load 1\r\n")
        try live.roundTrip()
        let publishers = try (0..<2).map { try server.connect(loop: $0).hello() }
        var bodies: [@Sendable () throws -> Void] = publishers.map { publisher in
            {
                for _ in 0..<1_500 { try publisher.send(message) }
                try publisher.roundTrip()
            }
        }
        bodies.append { for _ in 0..<3_000 { _ = try live.next() } }
        try together(bodies)
        #expect(try live.roundTrip().isEmpty)
    }

    /// A client that sends PINGs and never reads its PONGs is cut like any other.
    @Test func unreadAnswersCount() throws {
        let server = try TestBroker { $0.maxPendingBytes = 1 << 20 }
        defer { server.stop() }
        let client = try RawClient(port: server.port, receiveBytes: 8 << 10).hello()
        let pings = Array(String(repeating: "PING\r\n", count: 10_000).utf8)
        // Ends with an error when it has been cut.
        #expect(throws: TestFailure.self) { for _ in 0..<10_000 { try client.send(pings) } }
        #expect(eventually { server.broker.connectionCount.load(ordering: .relaxed) == 0 })
    }

    private func closedReasons(_ server: TestBroker) -> [String] {
        server.onEveryLoop { $0.closedConnections.all.compactMap(\.reason) }.flatMap { $0 }
    }
}

private final class Counter: Sendable {
    let value = Atomic<Int>(0)
}

/// Physical memory of this process.
private func residentBytes() -> Int {
    guard let file = fopen("/proc/self/statm", "r") else { return 0 }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 128)
    guard fgets(&line, 128, file) != nil else { return 0 }
    let words = String(decoding: line.map { UInt8(bitPattern: $0) }, as: UTF8.self).split(separator: " ")
    return (Int(words[1]) ?? 0) * 4_096
}
