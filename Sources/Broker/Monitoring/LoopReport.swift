// The figures of one loop, copied for the pages that add them up.

import Reactor

struct LoopReport: Sendable {
    var counters: LoopCounters
    var messagesOut: UInt64
    var bytesOut: UInt64
    var stalls: UInt64
    var connections: Int
    var authRequired: Bool
    var keys: [KeyReport]

    init(_ router: Router) {
        counters = router.counters
        messagesOut = router.loop.messagesOut
        bytesOut = router.loop.payloadBytesOut
        stalls = router.loop.stallsTotal
        connections = router.connections.count
        authRequired = router.settings.info.authRequired
        keys = router.streams?.keyReports ?? []
    }
}

extension [LoopReport] {
    func sum(_ figure: (LoopReport) -> UInt64) -> UInt64 { reduce(0) { $0 &+ figure($1) } }
    var slowConsumers: UInt64 { sum { $0.counters.slowConsumersPending &+ $0.counters.slowConsumersDeadline } }
    var staleConnections: UInt64 { sum(\.counters.staleConnections) }
}
