// `/healthz`: whether the broker can be used. It answers on the loop that serves clients, so that it answers is the test; and
// every stream can be stored to, unless the request asks for less.

import Reactor
import Wire

enum HealthzPage {
    private struct Wants: Sendable {
        var account: String
        var stream: String
        var consumer: String
        var hasDetails = false
    }

    /// What is wrong, with what nats-server says of it.
    private struct Finding: Sendable {
        var type: String
        var account = ""
        var stream = ""
        var consumer = ""
        var text: String
        var status = HTTPStatus.notFound
    }

    /// - Throws: for a parameter that is not a boolean.
    static func serve(_ call: MonitoringCall) throws(MonitoringFailure) {
        var isOfServer = false
        for name in ["js-enabled", "js-enabled-only", "js-server-only", "js-meta-only"] {
            if try call.query.bool(name) { isOfServer = true }
        }
        let wants = Wants(
            account: call.query.text("account"), stream: call.query.text("stream"), consumer: call.query.text("consumer"),
            hasDetails: try call.query.bool("details"))
        if wants.account.isEmpty && !wants.stream.isEmpty {
            return refuse(call, "\"account\" must not be empty when checking stream health")
        }
        if wants.stream.isEmpty && !wants.consumer.isEmpty {
            return refuse(call, "\"stream\" must not be empty when checking consumer health")
        }
        guard let jetStream = call.broker.jetStream, !isOfServer else { return answer(call, wants, []) }
        check(call, wants, jetStream)
    }

    private static func check(_ call: MonitoringCall, _ wants: Wants, _ jetStream: JetStream) {
        var accounts = jetStream.accounts
        if !wants.account.isEmpty {
            accounts = accounts.filter { $0.account.name == wants.account }
            if accounts.isEmpty {
                let text = "JetStream account \(goQuoted(wants.account)) not found"
                return answer(call, wants, [Finding(type: "ACCOUNT", account: wants.account, text: text)])
            }
        }
        var entries: [StreamEntry] = [], owners: [UInt64: String] = [:]
        for account in accounts {
            for entry in account.all where wants.stream.isEmpty || entry.config.name == wants.stream {
                entries.append(entry)
                owners[entry.serial] = account.account.name
            }
        }
        if !wants.stream.isEmpty && entries.isEmpty {
            let text = "JetStream stream \(goQuoted(wants.stream)) not found on account \(goQuoted(wants.account))"
            return answer(call, wants, [Finding(type: "STREAM", account: wants.account, stream: wants.stream, text: text)])
        }
        let names = Dictionary(uniqueKeysWithValues: entries.map { ($0.serial, $0.config.name) }), accountNames = owners
        JetStreamLoop.gatherHealth(of: entries, call.broker.group) { found in
            var findings: [Finding] = []
            for stream in found {
                guard let failure = stream.failure else { continue }
                let account = accountNames[stream.serial] ?? "", name = names[stream.serial] ?? ""
                findings.append(
                    Finding(
                        type: "STREAM", account: account, stream: name,
                        text: "JetStream stream '\(account) > \(name)' stores nothing any more: \(failure)",
                        status: .serviceUnavailable))
            }
            if !wants.consumer.isEmpty, let stream = found.first, !stream.consumers.contains(wants.consumer) {
                let text =
                    "JetStream consumer \(goQuoted(wants.consumer)) not found for stream \(goQuoted(wants.stream)) on account "
                    + goQuoted(wants.account)
                findings.append(
                    Finding(
                        type: "CONSUMER", account: wants.account, stream: wants.stream, consumer: wants.consumer, text: text))
            }
            let all = findings
            answer(call, wants, all)
        }
    }

    private static func answer(_ call: MonitoringCall, _ wants: Wants, _ findings: [Finding]) {
        var json = JSONWriter()
        json.beginObject()
        guard let first = findings.first else {
            json.member("status", "ok")
            json.endObject()
            return call.answer(json)
        }
        call.broker.log.warning("Healthcheck failed: \(goQuoted(first.text))")
        if wants.hasDetails {
            json.member("status", "error")
            json.array("errors", findings) { json, finding in
                json.beginObject()
                json.member("type", finding.type)
                if !finding.account.isEmpty { json.member("account", finding.account) }
                if !finding.stream.isEmpty { json.member("stream", finding.stream) }
                if !finding.consumer.isEmpty { json.member("consumer", finding.consumer) }
                json.member("error", finding.text)
                json.endObject()
            }
        } else {
            json.member("status", "unavailable")
            json.member("error", first.text)
        }
        json.endObject()
        call.answer(json, status: first.status)
    }

    private static func refuse(_ call: MonitoringCall, _ error: String) {
        call.broker.log.warning("Healthcheck failed: \(goQuoted(error))")
        var json = JSONWriter()
        json.beginObject()
        json.member("status", "error")
        json.member("error", error)
        json.endObject()
        call.answer(json, status: .badRequest)
    }
}
