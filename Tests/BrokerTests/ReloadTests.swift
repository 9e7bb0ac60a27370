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
        // Nor is one of them missing in the subscriptions' own counts.
        let counts = server.onEveryLoop { router in
            router.connections.values.flatMap { $0.snapshot(withSubscriptions: true).subscriptions.map(\.delivered) }
        }
        #expect(counts.flatMap { $0 } == [UInt64(rounds), UInt64(rounds)])
    }

    /// What a subscription may still get is not counted anew when a reload puts another one in its place.
    @Test func anAutomaticUnsubscribeOutlivesReloads() throws {
        let directory = TestDirectory()
        func text(_ permissions: String) -> String { "authorization { users: [ {user: a, password: a \(permissions)} ] }" }
        let server = try directory.broker(text(""))
        defer { server.stop() }
        let client = try server.connect().hello(",\"user\":\"a\",\"pass\":\"a\"")
        try client.send("SUB foo 1\r\nUNSUB 1 5\r\nPUB foo 1\r\n1\r\nPUB foo 1\r\n2\r\n")
        #expect(try client.roundTrip().count == 2)
        for permissions in [
            ", permissions: {publish: \"foo\", allow_responses: true}", "", ", permissions: {subscribe: {deny: \"x\"}}",
        ] {
            try directory.reload(server, text(permissions))
        }
        try client.send(String(repeating: "PUB foo 1\r\nx\r\n", count: 5))
        #expect(try client.roundTrip().count == 3)
        let index = try #require(server.broker.account(named: "$G")).index
        #expect(index.count.load(ordering: .relaxed) == 0)
    }

    /// A loop that reads between the change of the index's generation and its own new settings caches a line once more
    /// under the old ones.
    @Test func aLineThatWasCachedUnderOldSettingsIsLookedAtAgain() throws {
        let directory = TestDirectory()
        let server = try directory.broker("max_payload: 100")
        defer { server.stop() }
        let publisher = try server.connect(loop: 1).hello()
        let subscriber = try server.connect(loop: 0).hello()
        try subscriber.send("SUB foo 1\r\n")
        try subscriber.roundTrip()
        let lines = String(repeating: "PUB foo 50\r\n\(String(repeating: "x", count: 50))\r\n", count: 4)
        try publisher.send(lines)
        try publisher.roundTrip()
        let gate = try server.hold(loop: 1)
        defer { gate.open() }
        // Both are waiting when the loop goes on, and it reads sockets before it takes its mail.
        try publisher.send(lines)
        try directory.write("max_payload: 20")
        server.broker.reload()
        gate.open()
        _ = server.onEveryLoop { _ in true }
        try publisher.send(lines)
        #expect(try publisher.rest().map(\.line).filter { !$0.hasPrefix("INFO") } == ["-ERR 'Maximum Payload Violation'"])
    }

    /// An account without limits in the file has none, whatever it had before.
    @Test func limitsThatAreRemovedFromTheFileAreGone() throws {
        let directory = TestDirectory()
        let system = "accounts { $SYS { users: [ {user: s, password: s} ]"
        let limits = ", limits { max_connections: 1, max_subs: 1, max_payload: 10 } }"
        let server = try directory.broker("\(system) \(limits), A { users: [ {user: a, password: a} ] \(limits) }")
        defer { server.stop() }
        func says(_ user: String, _ text: String) throws -> [String] {
            let client = try server.connect().hello(",\"user\":\"\(user)\",\"pass\":\"\(user)\"")
            try client.send(text)
            return try client.roundTrip().map(\.line)
        }
        let work = "SUB foo 1\r\nSUB bar 2\r\nPUB bar 5\r\nhello\r\n"
        let refusal = "-ERR 'maximum subscriptions exceeded'"
        #expect(try says("a", work) == [refusal])
        #expect(try says("s", work) == [refusal])
        // The limits go and the accounts stay.
        try directory.reload(server, "\(system) }, A { users: [ {user: a, password: a} ] } }")
        #expect(try says("a", work) == ["MSG bar 2 5"])
        #expect(try says("s", work) == ["MSG bar 2 5"])
        // The accounts go, too. The system account is still there, without anything that the file said of it.
        try directory.reload(server, "\(system) \(limits), A { users: [ {user: a, password: a} ] \(limits) }")
        #expect(try says("a", work) == [refusal])
        try directory.reload(server, "")
        for name in ["A", "$SYS"] {
            let account = try #require(server.broker.account(named: name))
            #expect(account.maxSubscriptions.load(ordering: .relaxed) == -1)
            #expect(account.maxConnections.load(ordering: .relaxed) == -1)
            #expect(account.maxPayloadBytes.load(ordering: .relaxed) == -1)
        }
    }

    /// Files are written at the start: a reload that names others is refused as a whole.
    @Test(arguments: [("pid_file", "PidFile"), ("ports_file_dir", "PortsFileDir")])
    func filesOfTheStartCannotBeReloaded(key: String, name: String) throws {
        let directory = TestDirectory()
        let old = "\(directory.path)\(key == "pid_file" ? "/one" : "")", new = "\(old)-other"
        let server = try directory.broker("\(key): \"\(old)\"")
        defer { server.stop() }
        try directory.reload(server, "\(key): \"\(new)\"\nmax_payload: 20")
        let refusal = "config reload not supported for \(name): old=\(old), new=\(new)"
        #expect(try directory.log().contains(refusal))
        #expect(access(new, F_OK) != 0)
        let client = try server.connect().hello()
        try client.send("SUB foo 1\r\nPUB foo 30\r\n\(String(repeating: "x", count: 30))\r\n")
        #expect(try client.roundTrip().map(\.line) == ["MSG foo 1 30"])
    }

    /// More than the start foresaw: it takes a place for each, and a descriptor.
    @Test func theConnectionLimitCanBeRaisedFar() throws {
        let directory = TestDirectory()
        let server = try directory.broker("max_connections: 2")
        defer { server.stop() }
        try directory.reload(server, "max_connections: 2000")
        let clients = try (0..<1_300).map { _ in try server.connect().hello() }
        for client in clients { try client.send("PING\r\n") }
        for client in clients { try client.upToPong() }
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
