// `/gatewayz`: one node has no gateways.

import Wire

enum GatewayzPage {
    static func serve(_ call: MonitoringCall) {
        var json = call.begin()
        for name in ["outbound_gateways", "inbound_gateways"] {
            json.name(name)
            json.beginObject()
            json.endObject()
        }
        json.endObject()
        call.answer(json)
    }
}
