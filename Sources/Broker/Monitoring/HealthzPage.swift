// `/healthz`: whether the broker can be used. It answers on the loop that serves clients, so that it answers is the test.

import Reactor
import Wire

enum HealthzPage {
    /// - Throws: for a parameter that is not a boolean.
    static func serve(_ call: MonitoringCall) throws(MonitoringFailure) {
        // Conditions that concern JetStream hold while there is none, as on nats-server.
        for name in ["js-enabled", "js-enabled-only", "js-server-only", "js-meta-only", "details"] {
            _ = try call.query.bool(name)
        }
        let account = call.query.text("account"), stream = call.query.text("stream"), consumer = call.query.text("consumer")
        if account.isEmpty && !stream.isEmpty {
            refuse(call, "\"account\" must not be empty when checking stream health")
        } else if stream.isEmpty && !consumer.isEmpty {
            refuse(call, "\"stream\" must not be empty when checking consumer health")
        } else {
            var json = JSONWriter()
            json.beginObject()
            json.member("status", "ok")
            json.endObject()
            call.answer(json)
        }
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
