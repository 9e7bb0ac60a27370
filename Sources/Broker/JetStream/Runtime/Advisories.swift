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
        Advisory.publish(Advisory.prefix + "API", "api_audit", in: call.account.account, router: router) { json in
            json.member("server", router.broker.serverName)
            json.name("client")
            json.beginObject()
            json.member("acc", call.account.account.name)
            json.endObject()
            json.member("subject", String(decoding: call.subject, as: UTF8.self))
            if !call.body.isEmpty { json.member("request", String(decoding: call.body, as: UTF8.self)) }
            json.member("response", String(decoding: response, as: UTF8.self))
        }
    }
}
