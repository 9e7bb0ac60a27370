// `/accstatz`: connections and traffic of each account; with `unused` those without connections too.

import Reactor
import Synchronization
import Wire

enum AccstatzPage {
    static func serve(_ call: MonitoringCall) throws(MonitoringFailure) {
        let withUnused = try call.query.bool("unused")
        gatherTraffic(call.broker) { traffic in
            var json = call.begin()
            json.name("account_statz")
            json.beginArray()
            for account in call.broker.accounts where withUnused || account.connections.load(ordering: .relaxed) > 0 {
                render(&json, account, traffic[account.name] ?? Traffic())
            }
            json.endArray()
            json.endObject()
            call.answer(json)
        }
    }

    /// Adds up by account what connections have exchanged, those that are closed included. Of a loop with thousands of
    /// connections, one that closes during the walk may be missing until the next.
    static func gatherTraffic(_ broker: Broker, finish: @escaping @Sendable ([String: Traffic]) -> Void) {
        Gathering<[String: Traffic]>.walk(
            broker, start: { $0.formerTraffic }, clientIDs: { Array($0.connections.keys) },
            visit: { connection, traffic, _ in
                if let account = connection.account { traffic[account.name, default: Traffic()].add(connection.accountTraffic) }
                return true
            },
            finish: { parts in
                var all: [String: Traffic] = [:]
                for part in parts { for (name, traffic) in part { all[name, default: Traffic()].add(traffic) } }
                finish(all)
            })
    }

    private static func render(_ json: inout JSONWriter, _ account: Account, _ traffic: Traffic) {
        json.beginObject()
        json.member("acc", account.name)
        json.member("name", account.name)
        json.member("conns", account.connections.load(ordering: .relaxed))
        json.member("leafnodes", 0)
        json.member("total_conns", account.connections.load(ordering: .relaxed))
        json.member("num_subscriptions", account.index.count.load(ordering: .relaxed))
        render(&json, "sent", traffic.messagesOut, traffic.bytesOut)
        render(&json, "received", traffic.messagesIn, traffic.bytesIn)
        json.member("slow_consumers", account.slowConsumers.load(ordering: .relaxed))
        json.endObject()
    }

    private static func render(_ json: inout JSONWriter, _ name: String, _ messages: UInt64, _ bytes: UInt64) {
        json.name(name)
        json.beginObject()
        json.member("msgs", messages)
        json.member("bytes", bytes)
        for kind in ["gateways", "routes", "leafs"] {
            json.name(kind)
            json.beginObject()
            json.member("msgs", 0)
            json.member("bytes", 0)
            json.endObject()
        }
        json.endObject()
    }
}
