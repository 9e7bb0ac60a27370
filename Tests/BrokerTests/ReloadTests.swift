// A reload under load: nobody loses a message because permissions are read again.

import Glibc
import Synchronization
import Testing

@testable import Broker

@Suite(.serialized) struct ReloadTests {
    private func write(_ text: String, to path: String) throws {
        guard let file = fopen(path, "w") else { throw TestFailure("cannot write \(path)") }
        fputs(text, file)
        fclose(file)
    }

    /// A broker whose configuration file the test rewrites.
    private func brokerWithFile(_ text: String, _ path: String) throws -> TestBroker {
        try write(text, to: path)
        let loader = ConfigurationLoader(file: path)
        return try TestBroker(configuration: loader.load())
    }

    /// Each reload changes what deliveries to the subscriptions must look at, so each subscription is replaced while
    /// messages pour in: every message arrives exactly once.
    @Test func subscriptionsAreReplacedWithoutAGap() throws {
        let path = "/tmp/bellhop-reload-\(getpid()).conf"
        defer { unlink(path) }
        @Sendable func text(_ permissions: String) -> String {
            """
            host: "127.0.0.1"
            port: -1
            log_file: "/dev/null"
            authorization { users: [ {user: a, password: a \(permissions)}, {user: b, password: b} ] }

            """
        }
        let server = try brokerWithFile(text(""), path)
        defer { server.stop() }
        let subscriber = try server.connect().hello(",\"user\":\"a\",\"pass\":\"a\"")
        try subscriber.send("SUB foo.* 1\r\nSUB foo.> q 2\r\n")
        try subscriber.roundTrip()
        let publisher = try server.connect().hello(",\"user\":\"b\",\"pass\":\"b\"")
        try publisher.roundTrip()
        let rounds = 30_000
        let isDone = Flag()
        try together([
            {
                var round = 0
                while round < rounds {
                    // Bursts of the same line, which is cached, and lines that differ.
                    try publisher.send((round..<(round + 100)).map { "PUB foo.\($0 / 10) 1\r\nx\r\n" }.joined())
                    round += 100
                }
                try publisher.roundTrip()
                isDone.value.store(true, ordering: .relaxed)
            },
            {
                for _ in 0..<(2 * rounds) { _ = try subscriber.next() }
            },
            {
                var isTracking = false
                while !isDone.value.load(ordering: .relaxed) {
                    isTracking.toggle()
                    let permissions = isTracking ? ", permissions: {publish: \"x\", allow_responses: true}" : ""
                    try write(text(permissions), to: path)
                    server.broker.reload()
                    usleep(1_000)
                }
            },
        ])
        #expect(try subscriber.roundTrip().isEmpty)
    }

    /// Thousands of subscriptions are refused at once to a client that does not read: it is cut in the middle of it.
    @Test func aClientThatIsCutWhileItsSubscriptionsAreRefused() throws {
        let path = "/tmp/bellhop-refuse-\(getpid()).conf"
        defer { unlink(path) }
        @Sendable func text(_ permissions: String) -> String {
            """
            host: "127.0.0.1"
            port: -1
            log_file: "/dev/null"
            max_payload: 1000
            max_pending: 100000
            authorization { users: [ {user: a, password: a \(permissions)}, {user: b, password: b} ] }

            """
        }
        let server = try brokerWithFile(text(""), path)
        defer { server.stop() }
        let index = try #require(server.broker.account(named: "$G")).index
        let stuck = try RawClient(port: server.port, receiveBytes: 8 << 10).hello(",\"user\":\"a\",\"pass\":\"a\"")
        let long = String(repeating: "x", count: 500)
        for part in 0..<20 { try stuck.send((0..<1_000).map { "SUB \(long).\(part).\($0) \(part)-\($0)\r\n" }.joined()) }
        try stuck.roundTrip()
        try write(text(", permissions: {subscribe: \"nothing\"}"), to: path)
        server.broker.reload()
        #expect(eventually { server.broker.connectionCount.load(ordering: .relaxed) == 0 })
        #expect(index.count.load(ordering: .relaxed) == 0)
        try server.connect().hello(",\"user\":\"b\",\"pass\":\"b\"").roundTrip()
    }
}

private final class Flag: Sendable {
    let value = Atomic<Bool>(false)
}
