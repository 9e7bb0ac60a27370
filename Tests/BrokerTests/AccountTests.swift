// Accounts keep their subjects apart, also while a connection changes from one to another.

import Glibc
import Testing

@testable import Broker

@Suite struct AccountTests {
    private static func twoAccounts(_ options: inout Options) {
        var guest = UserOptions(), member = UserOptions()
        guest.name = "guest"
        guest.password = "g"
        member.name = "member"
        member.password = "m"
        var first = AccountOptions(name: "A"), second = AccountOptions(name: "B")
        first.users = [guest]
        second.users = [member]
        options.accounts = [first, second]
        options.noAuthUser = "guest"
    }

    /// It subscribes as the user for those without credentials, then logs in elsewhere: its first subscriptions must not
    /// stay behind in an index that it no longer knows.
    @Test func loggingInElsewhereLeavesNothingBehind() throws {
        let server = try TestBroker(loops: 2, AccountTests.twoAccounts)
        defer { server.stop() }
        let guest = try server.connect(loop: 0).hello()
        try guest.roundTrip()
        let accounts = server.broker.accounts
        let first = try #require(accounts.first { $0.name == "A" }), second = try #require(accounts.first { $0.name == "B" })
        for round in 0..<50 {
            let client = try server.connect(loop: round % 2)
            try client.send("SUB foo 1\r\nSUB foo q 2\r\n")
            #expect(try client.next().line == "+OK")
            #expect(try client.next().line == "+OK")
            try client.hello(",\"user\":\"member\",\"pass\":\"m\"").send("SUB bar 1\r\n")
            try client.roundTrip()
            #expect(first.index.count.load(ordering: .relaxed) == 0)
            #expect(second.index.count.load(ordering: .relaxed) == 1)
            client.close()
            #expect(eventually { second.index.count.load(ordering: .relaxed) == 0 })
            try guest.send(String(repeating: "PUB foo 2\r\nhi\r\n", count: 10))
            try guest.roundTrip()
        }
        #expect(eventually { second.connections.load(ordering: .relaxed) == 0 })
        #expect(first.connections.load(ordering: .relaxed) == 1)
    }

    /// The same line in two accounts reaches each account's subscribers only, cached or not.
    @Test func aCachedLineStaysInItsAccount() throws {
        let server = try TestBroker(loops: 2, AccountTests.twoAccounts)
        defer { server.stop() }
        let a = try server.connect().hello(",\"user\":\"guest\",\"pass\":\"g\""),
            b = try server.connect().hello(",\"user\":\"member\",\"pass\":\"m\"")
        try a.send("SUB foo 1\r\n")
        try b.send("SUB foo 2\r\n")
        try a.roundTrip()
        try b.roundTrip()
        let client = try server.connect()
        let burst = String(repeating: "PUB foo 1\r\nx\r\n", count: 10)
        try client.hello(",\"user\":\"guest\",\"pass\":\"g\"").send(burst)
        try client.roundTrip()
        try client.hello(",\"user\":\"member\",\"pass\":\"m\"").send(burst)
        try client.roundTrip()
        #expect(try a.roundTrip().map(\.line) == Array(repeating: "MSG foo 1 1", count: 10))
        #expect(try b.roundTrip().map(\.line) == Array(repeating: "MSG foo 2 1", count: 10))
    }
}
