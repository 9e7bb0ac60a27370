// A connection as monitoring shows it: a copy that may leave the loop.

import Reactor
import Synchronization

/// The facts behind one entry of /connz. Times are wall nanoseconds since 1970.
struct ClientSnapshot: Sendable {
    struct Interest: Sendable {
        var subject: String
        var queue: String
        var sid: String
        var delivered: UInt64
        var max: UInt64
    }

    var clientID: UInt64
    var address: SocketAddress
    var startedWallNs: Int64
    var lastActivityWallNs: Int64
    /// Set for closed connections.
    var stoppedWallNs: Int64?
    var reason: String?
    /// 0 while it has not been measured.
    var roundTripNs: UInt64
    var pendingBytes: Int
    var messagesIn: UInt64
    var bytesIn: UInt64
    var messagesOut: UInt64
    var bytesOut: UInt64
    var subscriptionCount: Int
    var subscriptions: [Interest]
    var name: String
    var lang: String
    var version: String
    var account: String?
    var user: String?
}

extension ClientSnapshot.Interest {
    init(_ subscription: SubscriptionRef) {
        self.init(
            subject: Subscription.subject(subscription).string, queue: Subscription.queue(subscription).string,
            sid: Subscription.sid(subscription).string,
            delivered: subscription.pointee.counter.pointee.delivered.load(ordering: .relaxed),
            max: subscription.pointee.counter.pointee.maxMessages.load(ordering: .relaxed))
    }
}
