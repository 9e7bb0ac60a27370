// `/metrics`: the broker's figures in Prometheus's text format, version 0.0.4.

import Reactor
import Synchronization

enum MetricsPage {
    static func serve(_ call: MonitoringCall) {
        Gathering.collect(call.broker, LoopReport.init) { reports in
            call.responder.answer(
                HTTPResponse(
                    .ok, headers: [HTTPField("Content-Type", "text/plain; version=0.0.4; charset=utf-8")],
                    body: render(call, reports)))
        }
    }

    private static func render(_ call: MonitoringCall, _ reports: [LoopReport]) -> [UInt8] {
        let broker = call.broker
        var page = MetricsText()
        page.family("bellhop_info", .gauge, "The broker's version and identity; always 1.")
        page.sample(
            [
                ("version", BrokerCommandLine.version), ("protocol_version", ServerInfo.protocolVersion),
                ("server_id", broker.serverID), ("server_name", broker.serverName),
            ], 1)
        page.single(
            "bellhop_start_time_seconds", .gauge, "When the broker started, in seconds since 1970.",
            Double(broker.startedWallNs / 1_000_000) / 1_000)
        page.single(
            "bellhop_config_load_time_seconds", .gauge, "When the configuration was last loaded, in seconds since 1970.",
            Double(broker.withState { $0.loadedWallNs } / 1_000_000) / 1_000)
        page.single("bellhop_lame_duck", .gauge, "1 while the broker sends its clients elsewhere.", broker.isLameDuck ? 1 : 0)
        page.single("bellhop_memory_bytes", .gauge, "Resident memory.", Double(call.process.memoryBytes))
        page.single("bellhop_cpu_seconds_total", .counter, "Processor time used.", call.process.cpuSeconds)
        renderTraffic(&page, broker, reports)
        renderLoops(&page, reports)
        renderAccounts(&page, broker)
        renderKeys(&page, reports.flatMap(\.keys))
        page.family("bellhop_http_requests_total", .counter, "Requests to the monitoring pages.")
        for (path, count) in call.requestCounts.sorted(by: { $0.key < $1.key }) { page.sample([("path", path)], Double(count)) }
        return page.bytes
    }

    private static func renderTraffic(_ page: inout MetricsText, _ broker: Broker, _ reports: [LoopReport]) {
        func total(_ name: String, _ help: String, _ value: UInt64) { page.single(name, .counter, help, Double(value)) }
        page.single(
            "bellhop_connections", .gauge, "Client connections that are open.",
            Double(broker.connectionCount.load(ordering: .relaxed)))
        total(
            "bellhop_connections_accepted_total", "Client connections accepted.",
            broker.connectionsTotal.load(ordering: .relaxed))
        total("bellhop_messages_in_total", "Messages that clients published.", reports.sum(\.counters.messagesIn))
        total("bellhop_bytes_in_total", "Payload bytes that clients published.", reports.sum(\.counters.bytesIn))
        total("bellhop_messages_out_total", "Messages delivered to clients.", reports.sum(\.messagesOut))
        total("bellhop_bytes_out_total", "Payload bytes delivered to clients.", reports.sum(\.bytesOut))
        page.family("bellhop_slow_consumers_total", .counter, "Connections cut because they took too long to read.")
        page.sample([("kind", "pending_bytes")], Double(reports.sum(\.counters.slowConsumersPending)))
        page.sample([("kind", "write_deadline")], Double(reports.sum(\.counters.slowConsumersDeadline)))
        total(
            "bellhop_stale_connections_total", "Connections cut because they left PINGs unanswered.", reports.staleConnections)
        total("bellhop_stalls_total", "Pauses of publishers whose receivers were behind.", reports.sum(\.stalls))
        total("bellhop_matches_total", "Messages that were matched against the subscriptions.", reports.sum(\.counters.matches))
        total("bellhop_cache_hits_total", "Messages that went the way of the one before.", reports.sum(\.counters.cacheHits))
    }

    private static func renderLoops(_ page: inout MetricsText, _ reports: [LoopReport]) {
        func perLoop(_ name: String, _ kind: MetricsText.Kind, _ help: String, _ figure: (LoopReport) -> Double) {
            page.family(name, kind, help)
            for (index, report) in reports.enumerated() { page.sample([("loop", String(index))], figure(report)) }
        }
        perLoop("bellhop_loop_connections", .gauge, "Client connections of each event loop.") { Double($0.connections) }
        perLoop("bellhop_loop_messages_in_total", .counter, "Messages that each event loop read.") {
            Double($0.counters.messagesIn)
        }
        perLoop("bellhop_loop_messages_out_total", .counter, "Messages that each event loop delivered.") {
            Double($0.messagesOut)
        }
    }

    private static func renderKeys(_ page: inout MetricsText, _ keys: [KeyReport]) {
        guard !keys.isEmpty else { return }
        let sorted = keys.sorted { ($0.account, $0.stream, $0.consumer) < ($1.account, $1.stream, $1.consumer) }
        func perConsumer(_ name: String, _ kind: MetricsText.Kind, _ help: String, _ figure: (KeyFigures) -> Double) {
            page.family(name, kind, help)
            for report in sorted {
                page.sample(
                    [("account", report.account), ("stream", report.stream), ("consumer", report.consumer)],
                    figure(report.figures))
            }
        }
        perConsumer("bellhop_keys_ready", .gauge, "Keys that may be leased.") { Double($0.ready) }
        perConsumer("bellhop_keys_leased", .gauge, "Leases of keyed consumers.") { Double($0.leased) }
        perConsumer("bellhop_keys_backoff", .gauge, "Keys that wait for a redelivery.") { Double($0.backoff) }
        perConsumer("bellhop_keys_parked", .gauge, "Keys with a dead letter.") { Double($0.parked) }
        perConsumer("bellhop_keys_blocked", .gauge, "Keys in back-off and parked.") { Double($0.blocked) }
        perConsumer("bellhop_keys_waiting_messages", .gauge, "Messages behind outstanding ones of their keys.") {
            Double($0.waiting)
        }
        perConsumer("bellhop_keys_oldest_park_seconds", .gauge, "The age of the oldest dead letter.") {
            Double($0.oldestParkNs / 1_000_000) / 1_000
        }
        perConsumer("bellhop_keys_parked_bytes", .gauge, "Dead letters, and what waits behind them.") { Double($0.parkedBytes) }
        perConsumer("bellhop_keys_paused", .gauge, "1 while a keyed consumer leases nothing.") { $0.isPaused ? 1 : 0 }
        perConsumer("bellhop_keys_parks_total", .counter, "Messages parked.") { Double($0.parksTotal) }
        perConsumer("bellhop_keys_stale_acks_total", .counter, "Acks of leases that had ended.") { Double($0.staleAcks) }
        perConsumer("bellhop_keys_leases_total", .counter, "Leases of keyed consumers.") { Double($0.leasesTotal) }
        perConsumer("bellhop_keys_visits_total", .counter, "Keys looked at to find them.") { Double($0.visits) }
    }

    private static func renderAccounts(_ page: inout MetricsText, _ broker: Broker) {
        let accounts = broker.accounts
        func perAccount(_ name: String, _ kind: MetricsText.Kind, _ help: String, _ figure: (Account) -> Double) {
            page.family(name, kind, help)
            for account in accounts { page.sample([("account", account.name)], figure(account)) }
        }
        perAccount("bellhop_account_connections", .gauge, "Client connections of each account.") {
            Double($0.connections.load(ordering: .relaxed))
        }
        perAccount("bellhop_subscriptions", .gauge, "Subscriptions of each account.") {
            Double($0.index.count.load(ordering: .relaxed))
        }
        perAccount("bellhop_subscription_inserts_total", .counter, "Subscriptions made in each account.") {
            Double($0.index.inserts.load(ordering: .relaxed))
        }
        perAccount("bellhop_account_slow_consumers_total", .counter, "Slow consumers of each account.") {
            Double($0.slowConsumers.load(ordering: .relaxed))
        }
    }
}
