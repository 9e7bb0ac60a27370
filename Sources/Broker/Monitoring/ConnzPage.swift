// `/connz`: the connections, open or lately closed, a page of them in the order that is asked for.
//
// Twice around the loops: first for two numbers of each connection, to find the page; then for what the page shows. So a
// broker with 65,000 connections copies the details of those that are asked for only, and neither sorts nor renders on
// a loop.

import Reactor
import Synchronization
import Wire

enum ConnzPage {
    private struct Candidate: Sendable {
        var key: Int64
        var clientID: UInt64
        var loop: Int
        /// Set for a closed one, which is complete.
        var closed: ClientSnapshot?
    }

    /// What one loop has.
    private struct Candidates: Sendable {
        var open: [Candidate] = []
        var closed: [ClientSnapshot] = []
        /// Connections of the account, whether other conditions let them through or not.
        var openTotal = 0
    }

    /// Details of the connections of a page that live on one loop.
    private struct Details: Sendable {
        var snapshots: [ClientSnapshot] = []
        /// Where to go on in the subscriptions of the last one.
        var slot = 0
        var isInside = false
    }

    static func serve(_ call: MonitoringCall) throws(MonitoringFailure) {
        let options = try ConnzOptions(call.query)
        if !options.account.isEmpty && call.broker.account(named: options.account) == nil {
            call.answer(renderUnknownAccount(call, options))
            return
        }
        gatherCandidates(call, options) { parts in
            call.run(isLarge: parts.contains { $0.open.count + $0.closed.count > 100 }) {
                let (page, total) = choose(parts, call, options)
                gatherDetails(call, options, page) { snapshots in
                    call.run(isLarge: snapshots.count > 30 || options.withSubscriptions) {
                        call.answer(render(call, options, snapshots, total: total))
                    }
                }
            }
        }
    }

    // MARK: Finding the page

    private static func gatherCandidates(
        _ call: MonitoringCall, _ options: ConnzOptions, finish: @escaping @Sendable ([Candidates]) -> Void
    ) {
        let now = call.nowWallNs
        Gathering<Candidates>.walk(
            call.broker,
            start: { router in
                var part = Candidates()
                if options.state != .open { part.closed = router.closedConnections.all }
                return part
            },
            clientIDs: { options.state == .closed ? [] : Array($0.connections.keys) },
            visit: { connection, part, _ in
                if !options.account.isEmpty && connection.account?.name != options.account { return true }
                part.openTotal += 1
                if options.clientID > 0 && connection.clientID != options.clientID { return true }
                if !options.user.isEmpty && connection.userName != options.user { return true }
                part.open.append(
                    Candidate(
                        key: ConnzFigures(connection).key(options.sort, nowWallNs: now), clientID: connection.clientID,
                        loop: connection.router.loop.index))
                return true
            },
            finish: finish)
    }

    /// The page in its order, and how many connections there are in all.
    private static func choose(
        _ parts: [Candidates], _ call: MonitoringCall, _ options: ConnzOptions
    ) -> (page: [Candidate], total: Int) {
        var total = 0
        var all: [Candidate] = []
        for part in parts {
            all += part.open
            total += part.openTotal
            for snapshot in part.closed {
                if !options.account.isEmpty && snapshot.account != options.account { continue }
                total += 1
                if options.clientID > 0 && snapshot.clientID != options.clientID { continue }
                if !options.user.isEmpty && snapshot.user != options.user { continue }
                let key = ConnzFigures(snapshot).key(options.sort, nowWallNs: call.nowWallNs)
                all.append(Candidate(key: key, clientID: snapshot.clientID, loop: 0, closed: snapshot))
            }
        }
        if options.sort == .reason {
            all.sort { ($0.closed?.reason ?? "", $0.clientID) < ($1.closed?.reason ?? "", $1.clientID) }
        } else {
            all.sort { ($0.key, $0.clientID) < ($1.key, $1.clientID) }
        }
        return (Array(options.page.cut(all)), total)
    }

    // MARK: Filling it

    /// Gives `finish` the connections of the page in its order; those that have closed since are missing.
    private static func gatherDetails(
        _ call: MonitoringCall, _ options: ConnzOptions, _ page: [Candidate],
        finish: @escaping @Sendable ([ClientSnapshot]) -> Void
    ) {
        var clientIDs = Array(repeating: [UInt64](), count: call.broker.group.count)
        for candidate in page where candidate.closed == nil { clientIDs[candidate.loop].append(candidate.clientID) }
        if clientIDs.allSatisfy(\.isEmpty) {
            finish(page.compactMap(\.closed))
            return
        }
        let wanted = clientIDs
        Gathering<Details>.walk(
            call.broker, start: { _ in Details() }, clientIDs: { wanted[$0.loop.index] },
            visit: { connection, part, budget in
                if !part.isInside {
                    part.snapshots.append(connection.snapshot(withSubscriptions: false))
                    guard options.withSubscriptions else { return true }
                    part.isInside = true
                }
                let last = part.snapshots.count - 1
                // Of a connection that closed between two turns, only what had been seen stays.
                guard part.snapshots[last].clientID == connection.clientID else {
                    part.isInside = false
                    part.slot = 0
                    return false
                }
                let next = connection.subscriptions.visit(from: part.slot, budget: &budget) {
                    part.snapshots[last].subscriptions.append(ClientSnapshot.Interest($0))
                }
                part.slot = next ?? 0
                part.isInside = next != nil
                return next == nil
            },
            finish: { parts in
                var open: [UInt64: ClientSnapshot] = [:]
                for part in parts { for snapshot in part.snapshots { open[snapshot.clientID] = snapshot } }
                finish(page.compactMap { $0.closed ?? open[$0.clientID] })
            })
    }

    // MARK: Rendering

    /// nats-server leaves the server's id out of this answer, and the list null.
    private static func renderUnknownAccount(_ call: MonitoringCall, _ options: ConnzOptions) -> JSONWriter {
        var json = JSONWriter(style: .pretty)
        json.beginObject()
        json.member("server_id", "")
        json.member("now", MonitoringText.timestamp(call.nowWallNs))
        json.member("num_connections", 0)
        json.member("total", 0)
        json.member("offset", options.page.offset)
        json.member("limit", options.page.limit)
        json.name("connections")
        json.null()
        json.endObject()
        return json
    }

    private static func render(
        _ call: MonitoringCall, _ options: ConnzOptions, _ snapshots: [ClientSnapshot], total: Int
    ) -> JSONWriter {
        var json = call.begin()
        json.member("num_connections", snapshots.count)
        json.member("total", total)
        json.member("offset", options.page.offset)
        json.member("limit", options.page.limit)
        json.name("connections")
        json.beginArray()
        for snapshot in snapshots { render(&json, snapshot, call, options) }
        json.endArray()
        json.endObject()
        return json
    }

    private static func render(
        _ json: inout JSONWriter, _ snapshot: ClientSnapshot, _ call: MonitoringCall, _ options: ConnzOptions
    ) {
        let now = snapshot.stoppedWallNs ?? call.nowWallNs
        json.beginObject()
        json.member("cid", snapshot.clientID)
        json.member("kind", "Client")
        json.member("type", "nats")
        json.member("ip", snapshot.address.host)
        json.member("port", snapshot.address.port)
        json.member("start", MonitoringText.timestamp(snapshot.startedWallNs))
        json.member("last_activity", MonitoringText.timestamp(snapshot.lastActivityWallNs))
        if let stopped = snapshot.stoppedWallNs { json.member("stop", MonitoringText.timestamp(stopped)) }
        if let reason = snapshot.reason { json.member("reason", reason) }
        json.member("rtt", MonitoringText.roundTrip(snapshot.roundTripNs))
        json.member("uptime", MonitoringText.uptime(now - snapshot.startedWallNs))
        json.member("idle", MonitoringText.uptime(now - snapshot.lastActivityWallNs))
        json.member("pending_bytes", snapshot.pendingBytes)
        json.member("in_msgs", snapshot.messagesIn)
        json.member("out_msgs", snapshot.messagesOut)
        json.member("in_bytes", snapshot.bytesIn)
        json.member("out_bytes", snapshot.bytesOut)
        json.member("subscriptions", snapshot.subscriptionCount)
        for (name, text) in [("name", snapshot.name), ("lang", snapshot.lang), ("version", snapshot.version)]
        where !text.isEmpty {
            json.member(name, text)
        }
        if options.withAuth {
            if let user = snapshot.user, !user.isEmpty { json.member("authorized_user", user) }
            if let account = snapshot.account, account != Account.defaultName { json.member("account", account) }
        }
        renderSubscriptions(&json, snapshot, options)
        if options.withAuth && snapshot.stoppedWallNs == nil {
            json.member("name_tag", snapshot.account ?? Account.defaultName)
        }
        json.endObject()
    }

    private static func renderSubscriptions(
        _ json: inout JSONWriter, _ snapshot: ClientSnapshot, _ options: ConnzOptions
    ) {
        guard options.withSubscriptions, !snapshot.subscriptions.isEmpty else { return }
        json.name(options.withDetail ? "subscriptions_list_detail" : "subscriptions_list")
        json.beginArray()
        for interest in snapshot.subscriptions {
            if options.withDetail {
                json.beginObject()
                interest.render(&json, clientID: snapshot.clientID)
                json.endObject()
            } else {
                json.value(interest.subject)
            }
        }
        json.endArray()
    }
}
