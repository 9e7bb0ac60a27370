// Logins whose password takes long to check: what happens to them when something else happens meanwhile.

import Glibc
import Testing

@testable import Broker

private let hashOfFoobar = "$2a$04$abcdefghijklmnopqrstuu9log0hrAUiurK9/TETFbcPOPd.iIULC"
/// The same for a work factor of 12: a check of it takes a tenth of a second and more. No password matches it.
private let slowHash = "$2a$12$abcdefghijklmnopqrstuu9log0hrAUiurK9/TETFbcPOPd.iIULC"

@Suite struct SlowLoginTests {
    private let directory = TestDirectory()

    private func server(_ text: String) throws -> TestBroker {
        try directory.broker(text)
    }

    /// The password was right when the client sent it; the user is gone when the check has ended.
    @Test func aUserWhoIsRemovedDuringTheCheckStaysOutside() throws {
        let server = try server("authorization { users: [ {user: a, password: \"\(hashOfFoobar)\"}, {user: b, password: b} ] }")
        defer { server.stop() }
        let gate = try server.holdWorkers()
        defer { gate.open() }
        let client = try server.connect().hello(",\"user\":\"a\",\"pass\":\"foobar\"")
        #expect(eventually { server.checkingCount == 1 })
        try directory.reload(server, "authorization { users: [ {user: b, password: b} ] }")
        gate.open()
        try client.send("PING\r\n")
        #expect(try client.rest().map(\.line) == ["-ERR 'Authorization Violation'"])
        try server.connect().hello(",\"user\":\"b\",\"pass\":\"b\"").roundTrip()
    }

    /// The user is still there with other permissions: those count.
    @Test func permissionsThatChangeDuringTheCheckAreTheNewOnes() throws {
        func text(_ permissions: String) -> String {
            "authorization { users: [ {user: a, password: \"\(hashOfFoobar)\", permissions: {subscribe: \"\(permissions)\"}} ] }"
        }
        let server = try server(text("old"))
        defer { server.stop() }
        let gate = try server.holdWorkers()
        defer { gate.open() }
        let client = try server.connect().hello(",\"user\":\"a\",\"pass\":\"foobar\"")
        #expect(eventually { server.checkingCount == 1 })
        try directory.reload(server, text("new"))
        gate.open()
        try client.send("SUB new 1\r\nSUB old 2\r\n")
        #expect(try client.roundTrip().map(\.line) == ["-ERR 'Permissions Violation for Subscription to \"old\"'"])
    }

    /// A client that is in as one user and logs in as another belongs to the first one's account until the check has
    /// ended. When the first user goes meanwhile, so does the client: it is not looked at again.
    @Test func aClientThatChangesItsUserIsCutWhenItsOldUserGoes() throws {
        let second = "{user: b, password: \"\(hashOfFoobar)\"}"
        let server = try server("authorization { users: [ {user: a, password: a}, \(second) ] }")
        defer { server.stop() }
        let index = try #require(server.broker.account(named: "$G")).index
        let client = try server.connect().hello(",\"user\":\"a\",\"pass\":\"a\"")
        try client.send("SUB foo 1\r\n")
        try client.roundTrip()
        let gate = try server.holdWorkers()
        defer { gate.open() }
        try client.hello(",\"user\":\"b\",\"pass\":\"foobar\"")
        #expect(eventually { server.checkingCount == 1 })
        try directory.reload(server, "authorization { users: [ \(second) ] }")
        // The check has not ended: nothing but the reload can have closed it.
        #expect(eventually { server.broker.connectionCount.load(ordering: .relaxed) == 0 })
        #expect(index.count.load(ordering: .relaxed) == 0)
        #expect(try client.rest().map(\.line) == ["-ERR 'Authorization Violation'"])
    }

    /// A flood of logins does not outlive its clients: nobody waits behind checks whose clients have gone.
    @Test func checksOfClientsThatHaveLeftAreSkipped() throws {
        let server = try server(
            "authorization { timeout: 5, users: [ {user: slow, password: \"\(slowHash)\"}, {user: a, password: \"\(hashOfFoobar)\"} ] }"
        )
        defer { server.stop() }
        let gate = try server.holdWorkers()
        defer { gate.open() }
        let flood = try (0..<150).map { _ in try server.connect().hello(",\"user\":\"slow\",\"pass\":\"x\"") }
        #expect(eventually { server.checkingCount == flood.count })
        for client in flood { client.reset() }
        #expect(eventually { server.broker.connectionCount.load(ordering: .relaxed) == 0 })
        let client = try server.connect().hello(",\"user\":\"a\",\"pass\":\"foobar\"")
        #expect(eventually { server.checkingCount == 1 })
        gate.open()
        #expect(try client.roundTrip().isEmpty)
    }
}
