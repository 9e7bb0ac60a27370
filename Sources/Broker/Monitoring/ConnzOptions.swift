// What a request to /connz asks for, and the order it asks for.

import Reactor
import Synchronization

struct ConnzOptions: Sendable {
    enum State: Sendable { case open, closed, any }

    enum Sort: String, Sendable {
        case cid, start, subs, pending
        case messagesTo = "msgs_to"
        case messagesFrom = "msgs_from"
        case bytesTo = "bytes_to"
        case bytesFrom = "bytes_from"
        case last, idle, uptime, stop, reason, rtt
    }

    var sort = Sort.cid
    var state = State.open
    var withSubscriptions = false
    var withDetail = false
    var withAuth: Bool
    /// 0 for all.
    var clientID: UInt64
    var user: String
    var account: String
    var page: MonitoringPage

    /// - Throws: what nats-server answers to a parameter that it cannot use.
    init(_ query: MonitoringQuery) throws(MonitoringFailure) {
        withAuth = try query.bool("auth")
        if query.text("subs").lowercased() == "detail" {
            withSubscriptions = true
            withDetail = true
        } else {
            withSubscriptions = try query.bool("subs")
        }
        page = try query.page()
        clientID = try query.uint64("cid")
        if clientID > 0 { page = MonitoringPage(offset: 0, limit: 1) }
        switch query.text("state").lowercased() {
        case "", "open": state = .open
        case "closed": state = .closed
        case "any", "all": state = .any
        default: throw MonitoringFailure("Error decoding state for \(query.text("state"))")
        }
        user = query.text("user")
        account = query.text("acc")
        let order = query.text("sort")
        guard let sort = order.isEmpty ? .cid : Sort(rawValue: order) else {
            throw MonitoringFailure("invalid sorting option: \(order)")
        }
        if sort == .stop || sort == .reason, state != .closed {
            throw MonitoringFailure("sort by \(order) only valid on closed connections")
        }
        self.sort = sort
    }
}

/// The numbers that connections are sorted by.
struct ConnzFigures {
    var startedWallNs: Int64
    var lastActivityWallNs: Int64
    var stoppedWallNs: Int64?
    var subscriptions: Int
    var pendingBytes: Int
    var traffic: Traffic
    var roundTripNs: UInt64

    init(_ connection: ClientConnection) {
        startedWallNs = connection.startedWallNs
        lastActivityWallNs = connection.lastActivityWallNs
        subscriptions = connection.subscriptions.count
        pendingBytes = connection.channel.pointee.pendingBytes.load(ordering: .relaxed)
        traffic = connection.traffic
        roundTripNs = connection.roundTripNs
    }

    init(_ snapshot: ClientSnapshot) {
        startedWallNs = snapshot.startedWallNs
        lastActivityWallNs = snapshot.lastActivityWallNs
        stoppedWallNs = snapshot.stoppedWallNs
        subscriptions = snapshot.subscriptionCount
        pendingBytes = snapshot.pendingBytes
        traffic = Traffic(
            messagesIn: snapshot.messagesIn, bytesIn: snapshot.bytesIn, messagesOut: snapshot.messagesOut,
            bytesOut: snapshot.bytesOut)
        roundTripNs = snapshot.roundTripNs
    }

    /// Smaller comes first; the connection's id decides between equals.
    func key(_ sort: ConnzOptions.Sort, nowWallNs: Int64) -> Int64 {
        switch sort {
        case .cid, .start, .reason: 0
        case .uptime: (stoppedWallNs ?? nowWallNs) &- startedWallNs
        case .subs: -Int64(subscriptions)
        case .pending: -Int64(pendingBytes)
        case .messagesTo: -Int64(clamping: traffic.messagesOut)
        case .messagesFrom: -Int64(clamping: traffic.messagesIn)
        case .bytesTo: -Int64(clamping: traffic.bytesOut)
        case .bytesFrom: -Int64(clamping: traffic.bytesIn)
        case .last: -lastActivityWallNs
        case .idle: lastActivityWallNs &- nowWallNs
        case .stop: -(stoppedWallNs ?? 0)
        case .rtt: -Int64(clamping: roundTripNs)
        }
    }
}
