// What JetStream tells whoever listens: which streams come and go, and every API request.

import Reactor
import Wire

/// An advisory's frame: type, id and time. Nothing is built unless somebody subscribes.
enum Advisory {
    static let prefix = "$JS.EVENT.ADVISORY."

    /// - Parameter kind: the last part of the type, `stream_action`.
    static func publish(
        _ subject: String, _ kind: String, in account: Account, router: Router, timeNs: Int64 = Clock.wallNs(),
        _ members: (inout JSONWriter) -> Void
    ) {
        Array(subject.utf8).withUnsafeBytes { subject in
            guard router.hasInterest(ByteView(subject), account.index) else { return }
            var json = JSONWriter()
            json.beginObject()
            json.member("type", "io.nats.jetstream.advisory.v1." + kind)
            json.member("id", identifier(router))
            json.time("timestamp", timeNs)
            members(&json)
            if let domain = router.broker.options.jetStream.domain { json.member("domain", domain) }
            json.endObject()
            json.bytes.withUnsafeBytes { payload in
                _ = router.publish(
                    account.index, subject: ByteView(subject), reply: .empty, headers: .empty, payload: ByteView(payload))
            }
        }
    }

    /// 22 letters and digits, as NATS's unique ids.
    private static func identifier(_ router: Router) -> String {
        let digits = Array("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".utf8)
        return String(decoding: (0..<22).map { _ in digits[router.random(below: digits.count)] }, as: UTF8.self)
    }

    enum StreamAction: String {
        case create, delete, modify
        var subject: String {
            switch self {
            case .create: "CREATED"
            case .delete: "DELETED"
            case .modify: "UPDATED"
            }
        }
    }

    static func stream(_ action: StreamAction, _ name: String, in account: Account, router: Router) {
        publish("\(prefix)STREAM.\(action.subject).\(name)", "stream_action", in: account, router: router) { json in
            json.member("stream", name)
            json.member("action", action.rawValue)
        }
    }
}

/// `$JS.EVENT.ADVISORY.API`: one for each request that was answered.
enum APIAudit {
    static func publish(_ call: APICall, _ response: [UInt8], router: Router) {
        Advisory.publish(Advisory.prefix + "API", "api_audit", by: call, router: router) { json, call, server in
            json.member("server", server)
            json.client(call, server: server)
            json.member("subject", String(decoding: call.subject, as: UTF8.self))
            if !call.body.isEmpty { json.member("request", String(decoding: call.body, as: UTF8.self)) }
            json.member("response", String(decoding: response, as: UTF8.self))
        }
    }
}

extension Advisory {
    /// Tells of something that a client has asked for, from the loop that knows the client.
    static func publish(
        _ subject: String, _ kind: String, by call: APICall, router: Router,
        _ members: @escaping @Sendable (inout JSONWriter, APICall, _ server: String) -> Void
    ) {
        let account = call.account.account
        guard Array(subject.utf8).withUnsafeBytes({ router.hasInterest(ByteView($0), account.index) }) else { return }
        @Sendable func tell(_ router: Router) {
            var call = call
            call.client = router.connections[call.clientID]?.snapshot(withSubscriptions: false)
            publish(subject, kind, in: account, router: router) { json in members(&json, call, router.broker.serverName) }
        }
        let group = router.loop.group
        let home = Int(truncatingIfNeeded: call.clientID % UInt64(group.count))
        if call.clientID == 0 || home == router.loop.index { return tell(router) }
        group.mailboxes[home].post { loop in
            if let router = loop.context as? Router { tell(router) }
        }
    }
}

extension JSONWriter {
    /// Who asked, as far as it is known: a client that has gone meanwhile leaves the name of its account.
    mutating func client(_ call: APICall, server: String = "") {
        name("client")
        beginObject()
        if let client = call.client {
            time("start", client.startedWallNs)
            member("host", client.address.host)
            member("id", client.clientID)
        }
        member("acc", call.account.account.name)
        if let client = call.client {
            optional("user", client.user ?? "")
            optional("name", client.name)
            optional("lang", client.lang)
            optional("ver", client.version)
            if client.roundTripNs > 0 { member("rtt", client.roundTripNs) }
            member("server", server)
            member("kind", "Client")
            member("client_type", "nats")
        }
        endObject()
    }
}
