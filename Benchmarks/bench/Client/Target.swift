// Where to connect, and as whom.

/// A server's address with the credentials for it.
struct Target: Sendable {
    /// An IPv4 address, or `localhost`.
    var host = "127.0.0.1"
    var port: UInt16 = 4222
    var user: String?
    var password: String?
    var token: String?

    var address: String { "\(host):\(port)" }

    /// The CONNECT line. `headers` and `no_responders` are on, as in every current client.
    func connectLine(echo: Bool) -> String {
        var members: [JSON.Member] = [
            .init("verbose", .bool(false)), .init("pedantic", .bool(false)), .init("headers", .bool(true)),
            .init("no_responders", .bool(true)), .init("echo", .bool(echo)),
            .init("lang", .string("bellhop-bench")), .init("version", .string("1")), .init("protocol", .number(1)),
        ]
        if let user { members.append(.init("user", .string(user))) }
        if let password { members.append(.init("pass", .string(password))) }
        if let token { members.append(.init("auth_token", .string(token))) }
        return "CONNECT " + JSON.object(members).text + "\r\n"
    }
}
