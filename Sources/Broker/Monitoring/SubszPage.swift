// `/subsz`: the figures of the subscription index, and with `subs` the subscriptions, those that receive the subject
// `test` if one is given. They come in the order of their connections.

import Reactor
import Wire

enum SubszPage {
    struct Filter: Sendable {
        var account: String
        /// Empty for all.
        var test: [UInt8]
        var page: MonitoringPage
    }

    private struct Entry: Sendable {
        var clientID: UInt64
        var account: String
        var interest: ClientSnapshot.Interest
    }

    /// What one loop has.
    private struct Part: Sendable {
        /// The first of them, as many as the page can need.
        var entries: [Entry] = []
        var total = 0
        /// Where to go on in the connection that is being visited.
        var slot = 0
    }

    static func serve(_ call: MonitoringCall) throws(MonitoringFailure) {
        let withList = try call.query.bool("subs")
        let test = call.query.text("test")
        let filter = Filter(account: call.query.text("acc"), test: Array(test.utf8), page: try call.query.page())
        if !test.isEmpty && !filter.test.withUnsafeBytes({ Subject.isValidLiteral(ByteView($0)) }) {
            throw MonitoringFailure("invalid test subject, must be valid publish subject: \(test)")
        }
        if !filter.account.isEmpty && call.broker.account(named: filter.account) == nil {
            call.answer(render(call, SubscriptionStatistics(), filter, [], total: 0))
            return
        }
        SubscriptionStatistics.gather(call, account: call.broker.account(named: filter.account)) { statistics in
            guard withList else {
                call.answer(render(call, statistics, filter, [], total: 0))
                return
            }
            gatherList(call.broker, filter) { parts in
                let total = parts.reduce(0) { $0 + $1.total }
                call.run(isLarge: parts.contains { $0.entries.count > 100 }) {
                    // Each part is sorted, and a connection is in one of them.
                    let entries = parts.flatMap(\.entries).enumerated().sorted {
                        ($0.element.clientID, $0.offset) < ($1.element.clientID, $1.offset)
                    }
                    let page = filter.page.cut(entries).map(\.element)
                    call.answer(render(call, statistics, filter, page, total: total))
                }
            }
        }
    }

    private static func gatherList(
        _ broker: Broker, _ filter: Filter, finish: @escaping @Sendable ([Part]) -> Void
    ) {
        Gathering<Part>.walk(
            broker, start: { _ in Part() }, clientIDs: { $0.connections.keys.sorted() },
            visit: { connection, part, budget in
                guard let account = connection.account, filter.account.isEmpty || account.name == filter.account else {
                    return true
                }
                if filter.test.isEmpty && part.entries.count >= filter.page.end {
                    part.total += connection.subscriptions.count
                    return true
                }
                let clientID = connection.clientID
                let next = connection.subscriptions.visit(from: part.slot, budget: &budget) { subscription in
                    guard receives(subscription, filter.test) else { return }
                    part.total += 1
                    if part.entries.count < filter.page.end {
                        part.entries.append(
                            Entry(clientID: clientID, account: account.name, interest: ClientSnapshot.Interest(subscription)))
                    }
                }
                part.slot = next ?? 0
                return next == nil
            },
            finish: finish)
    }

    private static func receives(_ subscription: SubscriptionRef, _ test: [UInt8]) -> Bool {
        test.isEmpty || test.withUnsafeBytes { Subject.matches(Subscription.subject(subscription), ByteView($0)) }
    }

    private static func render(
        _ call: MonitoringCall, _ statistics: SubscriptionStatistics, _ filter: Filter, _ entries: [Entry], total: Int
    ) -> JSONWriter {
        var json = call.begin()
        statistics.render(&json)
        json.member("total", total)
        json.member("offset", filter.page.offset)
        json.member("limit", filter.page.limit)
        if !entries.isEmpty {
            json.name("subscriptions_list")
            json.beginArray()
            for entry in entries {
                json.beginObject()
                json.member("account", entry.account)
                json.member("account_tag", entry.account)
                entry.interest.render(&json, clientID: entry.clientID)
                json.endObject()
            }
            json.endArray()
        }
        json.endObject()
        return json
    }
}

extension ClientSnapshot.Interest {
    /// The members, into an object that is open.
    func render(_ json: inout JSONWriter, clientID: UInt64) {
        json.member("subject", subject)
        if !queue.isEmpty { json.member("qgroup", queue) }
        json.member("sid", sid)
        json.member("msgs", delivered)
        if max > 0 { json.member("max", max) }
        json.member("cid", clientID)
    }
}
