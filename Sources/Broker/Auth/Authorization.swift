// The one door: every path that takes a message from a client, or gives it one, asks here and nowhere else.

import Locks
import Wire

/// What one connection may do: who it is, the permissions it shares with others of the same user, and the replies it
/// still owes. A reload replaces it by `renewed(as:)`.
///
/// Without permissions, the default, each question is a nil check and a look at the first byte.
public struct Authorization: Sendable {
    public let identity: Identity
    private var permissions: Permissions? { identity.permissions }
    private var responsePermits: SharedPermits?

    /// Given by deliveries on any loop, used on the connection's own.
    private final class SharedPermits: Sendable {
        let options: ResponsePermissionOptions
        let table: Locked<ResponsePermits>
        init(_ options: ResponsePermissionOptions) {
            self.options = options
            table = Locked(ResponsePermits(options))
        }
    }

    public init(_ identity: Identity) {
        self.identity = identity
        responsePermits = identity.permissions?.responses.map { SharedPermits($0) }
    }

    /// The same connection under newly loaded permissions; permits already given stay while the new ones allow replies.
    public func renewed(as identity: Identity) -> Authorization {
        var renewed = Authorization(identity)
        if let old = responsePermits, renewed.responsePermits?.options == old.options { renewed.responsePermits = old }
        return renewed
    }

    public enum PublishVerdict: Sendable, Equatable {
        case allowed
        /// Answer `Permissions Violation for Publish to "subject"`.
        case deniedSubject
        /// Answer `Permissions Violation for Publish with Reply of "reply"`.
        case deniedReply
    }

    /// Whether a client's PUB or HPUB may go on; an empty reply is none. A reply that `allow_responses` permits is counted.
    /// The reply subject is not held against the publish permissions, only against the names the server keeps to itself.
    public func publish(_ subject: ByteView, reply: ByteView, nowMs: @autoclosure () -> Int64) -> PublishVerdict {
        if Authorization.isReserved(subject: subject, inSystemAccount: identity.isSystem) { return .deniedSubject }
        if let permissions, !permissions.mayPublish(subject) {
            guard let responsePermits else { return .deniedSubject }
            let now = nowMs()
            guard responsePermits.table.withLock({ $0.use(subject, nowMs: now) }) else { return .deniedSubject }
        }
        if !reply.isEmpty && Authorization.isReserved(reply: reply) { return .deniedReply }
        return .allowed
    }

    /// Whether a SUB is accepted; an empty queue is none. `filtered` is to be kept with the subscription.
    public func subscribe(_ subject: ByteView, queue: ByteView) -> Permissions.SubscribeVerdict {
        permissions?.subscribe(subject, queue: queue) ?? .allowed
    }

    /// Whether a message may be delivered to a subscription that was accepted as `filtered`. Any loop may ask.
    public func mayDeliver(_ subject: ByteView, queue: ByteView) -> Bool {
        permissions?.mayDeliver(subject, queue: queue) ?? true
    }

    /// Whether deliveries have to be noted.
    public var tracksResponses: Bool { responsePermits != nil }

    /// Notes the reply subject of a message that is being delivered to this connection. Any loop may call it.
    public func didDeliver(reply: ByteView, nowMs: Int64) {
        if !reply.isEmpty { responsePermits?.table.withLock { $0.permit(reply, nowMs: nowMs) } }
    }

    /// Subjects by which servers talk among themselves. Recorded from nats-server 2.15.1, which lets the system account
    /// publish to `$NRG.`, and nobody to the others; a bare prefix is an ordinary subject.
    static func isReserved(subject: ByteView, inSystemAccount: Bool) -> Bool {
        guard let first = subject.buffer.first else { return false }
        switch first {
        case UInt8(ascii: "_"): return isGatewayReply(subject)
        case UInt8(ascii: "$"): return isGatewayReply(subject) || (!inSystemAccount && subject.hasPrefix("$NRG."))
        default: return false
        }
    }

    /// Reply subjects that the server itself makes: a client that could name one could answer for it.
    static func isReserved(reply: ByteView) -> Bool {
        guard let first = reply.buffer.first else { return false }
        switch first {
        case UInt8(ascii: "_"): return reply.hasPrefix("_R_.") || isGatewayReply(reply)
        case UInt8(ascii: "$"): return (reply.hasPrefix("$JS.ACK.") && reply.count > 8) || isGatewayReply(reply)
        default: return false
        }
    }

    private static func isGatewayReply(_ subject: ByteView) -> Bool {
        (subject.hasPrefix("_GR_.") && subject.count > 5) || (subject.hasPrefix("$GR.") && subject.count > 4)
    }
}
