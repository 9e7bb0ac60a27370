// `/varz`: the server's settings and totals, in nats-server's order.

import Glibc
import Reactor
import Synchronization
import Wire

enum VarzPage {
    static func serve(_ call: MonitoringCall) {
        Gathering.collect(call.broker, LoopReport.init) { reports in call.answer(render(call, reports)) }
    }

    private static func render(_ call: MonitoringCall, _ reports: [LoopReport]) -> JSONWriter {
        let broker = call.broker
        let (options, digest, loadedWallNs, client, monitor) = broker.withState {
            ($0.options, $0.digest, $0.loadedWallNs, $0.clientAddress, $0.monitorAddress)
        }
        var json = JSONWriter(style: .pretty)
        json.beginObject()
        json.member("server_id", broker.serverID)
        json.member("server_name", broker.serverName)
        json.member("version", ServerInfo.protocolVersion)
        json.member("proto", 1)
        json.member("git_commit", "")
        json.member("go", "")
        json.member("host", client?.host ?? options.host)
        json.member("port", client?.port ?? options.port)
        if reports.contains(where: \.authRequired) { json.member("auth_required", true) }
        json.member("max_connections", options.maxConnections)
        if options.maxSubscriptions > 0 { json.member("max_subscriptions", options.maxSubscriptions) }
        json.member("ping_interval", options.pingIntervalMs * 1_000_000)
        json.member("ping_max", options.pingsOutMax)
        json.member("http_host", monitor?.host ?? "")
        json.member("http_port", monitor?.port ?? 0)
        json.member("http_base_path", options.monitorBasePath)
        json.member("https_port", 0)
        json.member("auth_timeout", seconds(options.authTimeoutMs))
        json.member("max_control_line", options.maxControlLineBytes)
        json.member("max_payload", options.maxPayloadBytes)
        json.member("max_pending", options.maxPendingBytes)
        for part in ["cluster", "gateway", "leaf", "mqtt", "websocket"] {
            json.name(part)
            json.beginObject()
            json.endObject()
        }
        json.name("jetstream")
        json.beginObject()
        if let jetStream = broker.jetStream {
            JszPage.writeConfig(&json, jetStream)
            json.name("stats")
            json.beginObject()
            JszPage.writeStats(&json, jetStream)
            json.endObject()
            json.name("limits")
            json.beginObject()
            json.member("default_max_consumers", jetStream.options.defaultMaxConsumers)
            json.endObject()
        }
        json.endObject()
        json.member("tls_timeout", 2)
        json.member("write_deadline", options.writeDeadlineMs * 1_000_000)
        json.member("start", MonitoringText.timestamp(broker.startedWallNs))
        json.member("now", MonitoringText.timestamp(call.nowWallNs))
        json.member("uptime", MonitoringText.uptime(call.nowWallNs - broker.startedWallNs))
        json.member("mem", call.process.memoryBytes)
        json.member("cores", sysconf(Int32(_SC_NPROCESSORS_ONLN)))
        json.member("gomaxprocs", broker.group.count)
        json.member("cpu", number(call.process.cpuPercent))
        renderTotals(&json, call, reports)
        json.name("http_req_stats")
        json.beginObject()
        for (path, count) in call.requestCounts.sorted(by: { $0.key < $1.key }) { json.member(path, count) }
        json.endObject()
        json.member("config_load_time", MonitoringText.timestamp(loadedWallNs))
        json.member("config_digest", digest ?? "")
        // Go's switches for its JetStream; there are none here.
        json.name("feature_flags")
        json.beginObject()
        json.endObject()
        if !options.noSystemAccount { json.member("system_account", broker.systemAccountName) }
        peers(&json, "slow_consumer_stats", clients: reports.slowConsumers)
        peers(&json, "stale_connection_stats", clients: reports.staleConnections)
        json.name("disk_io_wait_stats")
        json.beginObject()
        for name in ["waiters", "waits", "wait_time", "max_wait_time"] { json.member(name, 0) }
        json.endObject()
        json.endObject()
        return json
    }

    private static func renderTotals(_ json: inout JSONWriter, _ call: MonitoringCall, _ reports: [LoopReport]) {
        let broker = call.broker
        json.member("connections", broker.connectionCount.load(ordering: .relaxed))
        json.member("total_connections", broker.connectionsTotal.load(ordering: .relaxed))
        for name in ["routes", "remotes", "leafnodes"] { json.member(name, 0) }
        let messagesIn = reports.sum(\.counters.messagesIn), bytesIn = reports.sum(\.counters.bytesIn)
        let messagesOut = reports.sum(\.messagesOut), bytesOut = reports.sum(\.bytesOut)
        json.member("in_msgs", messagesIn)
        json.member("in_bytes", bytesIn)
        json.member("in_client_msgs", messagesIn)
        json.member("in_client_bytes", bytesIn)
        json.member("out_msgs", messagesOut)
        json.member("out_bytes", bytesOut)
        json.member("out_client_msgs", messagesOut)
        json.member("out_client_bytes", bytesOut)
        json.member("slow_consumers", reports.slowConsumers)
        json.member("stale_connections", reports.staleConnections)
        json.member("stalled_clients", reports.sum(\.stalls))
        json.member("subscriptions", broker.accounts.reduce(0) { $0 + $1.index.count.load(ordering: .relaxed) })
    }

    private static func peers(_ json: inout JSONWriter, _ name: String, clients: UInt64) {
        json.name(name)
        json.beginObject()
        json.member("clients", clients)
        for kind in ["routes", "gateways", "leafs"] { json.member(kind, 0) }
        json.endObject()
    }

    /// Whole numbers without a fraction, as Go prints them.
    private static func number(_ value: Double) -> JSONValue {
        Int(exactly: value).map { .number(JSONNumber($0)) } ?? JSONNumber(value).map { .number($0) } ?? .null
    }

    private static func seconds(_ milliseconds: Int) -> JSONValue { number(Double(milliseconds) / 1_000) }
}
