// The figures of a subscription index, as /subsz and /accountz show them.

import Reactor
import Synchronization
import Wire

/// nats-server counts the results its index has cached; here these are the publish lines that connections have cached.
struct SubscriptionStatistics: Sendable {
    var subscriptions = 0
    var inserts: UInt64 = 0
    var removes: UInt64 = 0
    var matches: UInt64 = 0
    var cacheHits: UInt64 = 0
    var caches = 0
    var fanoutMax = 0
    var fanoutTotal = 0

    /// - Parameter account: nil for all of them together.
    static func gather(
        _ call: MonitoringCall, account: Account?, finish: @escaping @Sendable (SubscriptionStatistics) -> Void
    ) {
        Gathering<SubscriptionStatistics>.walk(
            call.broker, start: { part(of: $0, account) }, clientIDs: { Array($0.connections.keys) },
            visit: { connection, statistics, _ in
                guard account == nil || connection.account === account else { return true }
                // A message is matched once; the loops do not tell accounts apart.
                if account != nil { statistics.matches &+= connection.accountTraffic.messagesIn }
                if let fanout = connection.cachedFanout { statistics.add(fanout: fanout) }
                return true
            },
            finish: { parts in
                var all = SubscriptionStatistics()
                for part in parts { all.add(part) }
                for index in account.map({ [$0.index] }) ?? call.broker.accounts.map(\.index) { all.add(index) }
                finish(all)
            })
    }

    private static func part(of router: Router, _ account: Account?) -> SubscriptionStatistics {
        var part = SubscriptionStatistics()
        if let account {
            part.matches = router.formerTraffic[account.name]?.messagesIn ?? 0
        } else {
            part.matches = router.counters.matches &+ router.counters.cacheHits
            part.cacheHits = router.counters.cacheHits
        }
        return part
    }

    private mutating func add(fanout: Int) {
        caches += 1
        fanoutMax = max(fanoutMax, fanout)
        fanoutTotal += fanout
    }

    private mutating func add(_ part: SubscriptionStatistics) {
        matches &+= part.matches
        cacheHits &+= part.cacheHits
        caches += part.caches
        fanoutMax = max(fanoutMax, part.fanoutMax)
        fanoutTotal += part.fanoutTotal
    }

    private mutating func add(_ index: SubjectIndex) {
        subscriptions += index.count.load(ordering: .relaxed)
        inserts &+= index.inserts.load(ordering: .relaxed)
        removes &+= index.removes.load(ordering: .relaxed)
    }

    /// The members, into an object that is open.
    func render(_ json: inout JSONWriter) {
        json.member("num_subscriptions", subscriptions)
        json.member("num_cache", caches)
        json.member("num_inserts", inserts)
        json.member("num_removes", removes)
        json.member("num_matches", matches)
        ratio(&json, "cache_hit_rate", Double(cacheHits), Double(matches))
        json.member("max_fanout", fanoutMax)
        ratio(&json, "avg_fanout", Double(fanoutTotal), Double(caches))
    }

    private func ratio(_ json: inout JSONWriter, _ name: String, _ part: Double, _ whole: Double) {
        if part == 0 || whole == 0 {
            json.member(name, 0)
        } else {
            json.member(name, part / whole)
        }
    }
}
