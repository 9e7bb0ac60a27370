// `/jsz`: what streams hold, for the server, its accounts, their streams and consumers, as deep as asked for.

import Reactor
import Store
import Wire

enum JszPage {
    private struct Wants: Sendable {
        var account: String
        var accounts = false
        var streams = false
        var consumers = false
        var config = false
        var page: MonitoringPage
    }

    /// - Throws: for a parameter that is no boolean or number.
    static func serve(_ call: MonitoringCall) throws(MonitoringFailure) {
        let query = call.query
        var wants = Wants(account: query.text("acc"), page: try query.page())
        wants.accounts = try query.bool("accounts")
        wants.streams = try query.bool("streams")
        wants.consumers = try query.bool("consumers")
        wants.config = try query.bool("config")
        for name in ["leader-only", "raft", "stream-leader-only"] { _ = try query.bool(name) }
        guard let jetStream = call.broker.jetStream else { return disabled(call) }
        var accounts = jetStream.accounts
        if !wants.account.isEmpty {
            accounts = accounts.filter { $0.account.name == wants.account }
            if accounts.isEmpty { throw MonitoringFailure("account \(goQuoted(wants.account)) not found") }
        }
        let shown = wants.account.isEmpty ? Array(wants.page.cut(accounts)) : accounts
        let entries = wants.streams || wants.consumers ? shown.flatMap { $0.all } : []
        let asked = wants
        JetStreamLoop.gatherReports(of: entries, withConsumers: wants.consumers, call.broker.group) { reports in
            let details = Dictionary(reports.map { ($0.serial, $0) }, uniquingKeysWith: { a, _ in a })
            call.run(isLarge: reports.count > 16) { render(call, jetStream, asked, shown, details) }
        }
    }

    private static func disabled(_ call: MonitoringCall) {
        var json = call.begin()
        json.member("disabled", true)
        json.endObject()
        call.answer(json)
    }

    /// `"memory":..., ... "api":{...}`, which /varz shows too.
    static func writeStats(_ json: inout JSONWriter, _ jetStream: JetStream) {
        let accounts = jetStream.accounts
        let tiers = accounts.map(\.usage)
        json.member("memory", tiers.reduce(0) { $0 &+ $1.memory })
        json.member("storage", tiers.reduce(0) { $0 &+ $1.storage })
        json.member("reserved_memory", tiers.reduce(0) { $0 &+ $1.reservedMemory })
        json.member("reserved_storage", tiers.reduce(0) { $0 &+ $1.reservedStorage })
        json.member("accounts", accounts.count)
        json.member("ha_assets", 0)
        json.name("api")
        json.beginObject()
        json.member("level", APIMetadata.level)
        json.member("total", accounts.reduce(0) { $0 &+ $1.requestsTotal.load(ordering: .relaxed) })
        json.member("errors", accounts.reduce(0) { $0 &+ $1.requestErrors.load(ordering: .relaxed) })
        json.endObject()
    }

    static func writeConfig(_ json: inout JSONWriter, _ jetStream: JetStream) {
        json.name("config")
        json.beginObject()
        json.member("max_memory", jetStream.maxMemoryBytes)
        json.member("max_storage", jetStream.maxFileBytes)
        json.member("store_dir", jetStream.directory)
        switch jetStream.options.sync {
        case .always: json.member("sync_always", true)
        case .every(let ns): json.member("sync_interval", ns)
        case .never: json.member("sync_interval", 0)
        }
        if let domain = jetStream.options.domain { json.member("domain", domain) }
        json.member("strict", jetStream.options.isStrict)
        json.endObject()
    }

    private static func render(
        _ call: MonitoringCall, _ jetStream: JetStream, _ wants: Wants, _ accounts: [JetStreamAccount],
        _ details: [UInt64: StreamReport]
    ) {
        var json = JSONWriter(style: .pretty)
        json.beginObject()
        writeStats(&json, jetStream)
        json.member("server_id", call.broker.serverID)
        json.member("now", MonitoringText.timestamp(call.nowWallNs))
        writeConfig(&json, jetStream)
        json.name("limits")
        json.beginObject()
        json.member("default_max_consumers", jetStream.options.defaultMaxConsumers)
        json.endObject()
        let all = jetStream.accounts.flatMap(\.all)
        json.member("streams", all.count)
        json.member("consumers", all.reduce(0) { $0 + $1.usage.consumers.load(ordering: .relaxed) })
        json.member("messages", all.reduce(0) { $0 &+ $1.usage.messages.load(ordering: .relaxed) })
        json.member("bytes", all.reduce(0) { $0 &+ $1.usage.bytes.load(ordering: .relaxed) })
        if wants.accounts || wants.streams || wants.consumers || !wants.account.isEmpty {
            json.name("account_details")
            json.beginArray()
            for account in accounts { write(&json, account, wants, details) }
            json.endArray()
        }
        json.member("total", wants.account.isEmpty ? jetStream.accounts.count : accounts.count)
        json.endObject()
        call.answer(json)
    }

    private static func write(
        _ json: inout JSONWriter, _ account: JetStreamAccount, _ wants: Wants, _ details: [UInt64: StreamReport]
    ) {
        let tier = account.usage
        json.beginObject()
        json.member("name", account.account.name)
        json.member("id", account.account.name)
        json.member("memory", tier.memory)
        json.member("storage", tier.storage)
        json.member("reserved_memory", tier.reservedMemory)
        json.member("reserved_storage", tier.reservedStorage)
        json.member("accounts", 0)
        json.member("ha_assets", 0)
        json.name("api")
        json.beginObject()
        json.member("level", 0)
        json.member("total", account.requestsTotal.load(ordering: .relaxed))
        json.member("errors", account.requestErrors.load(ordering: .relaxed))
        json.endObject()
        let reports = account.all.compactMap { details[$0.serial] }
        if wants.streams || wants.consumers {
            json.name("stream_detail")
            json.beginArray()
            for report in reports { write(&json, report, wants) }
            json.endArray()
        }
        json.endObject()
    }

    private static func write(_ json: inout JSONWriter, _ report: StreamReport, _ wants: Wants) {
        let info = report.info
        json.beginObject()
        json.member("name", info.config.name)
        json.time("created", info.createdNs)
        if let leader = info.leader { json.leader(leader) }
        if wants.config {
            json.name("config")
            var config = info.config
            config.metadata[APIMetadata.serverVersionKey] = nil
            config.metadata[APIMetadata.serverLevelKey] = nil
            config.write(to: &json)
        }
        json.name("state")
        info.state.write(to: &json)
        if wants.consumers {
            json.name("consumer_detail")
            json.beginArray()
            for consumer in report.consumers {
                var consumer = consumer
                if wants.config {
                    consumer.config?.metadata[APIMetadata.serverVersionKey] = nil
                    consumer.config?.metadata[APIMetadata.serverLevelKey] = nil
                } else {
                    consumer.config = nil
                }
                consumer.write(to: &json)
            }
            json.endArray()
        }
        if let mirror = info.mirror {
            json.name("mirror")
            mirror.write(to: &json)
        }
        json.optional("sources", info.sources) { $1.write(to: &$0) }
        json.endObject()
    }
}
