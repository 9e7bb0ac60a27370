// `/accountz`: the accounts, or with `acc` one of them in detail.

import Reactor
import Synchronization
import Wire

enum AccountzPage {
    static func serve(_ call: MonitoringCall) {
        let name = call.query.text("acc")
        guard !name.isEmpty else {
            call.answer(renderList(call))
            return
        }
        guard let account = call.broker.account(named: name) else {
            call.responder.answer(.text(.badRequest, "Account \(name) does not exist"))
            return
        }
        SubscriptionStatistics.gather(call, account: account) { statistics in
            call.answer(renderDetail(call, account, statistics))
        }
    }

    private static func begin(_ call: MonitoringCall) -> JSONWriter {
        var json = call.begin()
        if !call.broker.options.noSystemAccount { json.member("system_account", call.broker.systemAccountName) }
        return json
    }

    private static func renderList(_ call: MonitoringCall) -> JSONWriter {
        var json = begin(call)
        json.name("accounts")
        json.beginArray()
        for account in call.broker.accounts { json.value(account.name) }
        json.endArray()
        json.endObject()
        return json
    }

    private static func renderDetail(
        _ call: MonitoringCall, _ account: Account, _ statistics: SubscriptionStatistics
    ) -> JSONWriter {
        var json = begin(call)
        json.name("account_detail")
        json.beginObject()
        json.member("account_name", account.name)
        json.member("update_time", MonitoringText.timestamp(call.broker.withState { $0.loadedWallNs }))
        json.member("expired", false)
        json.member("complete", true)
        json.member("jetstream_enabled", call.broker.jetStream?.account(account.number) != nil)
        json.member("leafnode_connections", 0)
        json.member("client_connections", account.connections.load(ordering: .relaxed))
        json.member("subscriptions", statistics.subscriptions)
        json.member("name_tag", account.name)
        json.name("sublist_stats")
        json.beginObject()
        statistics.render(&json)
        json.endObject()
        json.endObject()
        json.endObject()
        return json
    }
}
