// The INFO line: who the server is and what it allows.

import Wire

/// The part of INFO that is the same for every connection, and the assembly of the line.
struct ServerInfo: Sendable {
    /// Clients gate features on this: it names the nats-server whose protocol we speak.
    static let protocolVersion = "2.15.1"

    /// The level of the JetStream API that this protocol version goes with.
    static let apiLevel = 5

    var serverID: String
    var serverName: String
    var host: String
    var port: Int
    var headers: Bool
    var maxPayloadBytes: Int
    var authRequired: Bool
    var lameDuck = false
    var jetStream = false
    var domain: String?

    struct Recipient {
        var clientID: UInt64
        var clientIP: String
        var nonce: String?
        /// Set in the INFO that follows the first PONG.
        var remoteAccount: String?
        var isSystemAccount = false
    }

    /// `INFO {...} \r\n`, as nats-server writes it.
    func line(for recipient: Recipient) -> [UInt8] {
        var json = JSONWriter()
        json.beginObject()
        json.member("server_id", serverID)
        json.member("server_name", serverName)
        json.member("version", ServerInfo.protocolVersion)
        json.member("proto", 1)
        json.member("go", "")
        json.member("host", host)
        json.member("port", port)
        json.member("headers", headers)
        if authRequired { json.member("auth_required", true) }
        json.member("max_payload", maxPayloadBytes)
        if jetStream { json.member("jetstream", true) }
        json.member("client_id", recipient.clientID)
        json.member("client_ip", recipient.clientIP)
        if let nonce = recipient.nonce { json.member("nonce", nonce) }
        if let domain { json.member("domain", domain) }
        if lameDuck { json.member("ldm", true) }
        if let account = recipient.remoteAccount {
            json.member("connect_info", true)
            json.member("remote_account", account)
            if recipient.isSystemAccount { json.member("acc_is_sys", true) }
        }
        // nats-server says so with JetStream off, too.
        json.member("api_lvl", ServerInfo.apiLevel)
        json.endObject()
        return Array("INFO ".utf8) + json.bytes + Array(" \r\n".utf8)
    }
}
