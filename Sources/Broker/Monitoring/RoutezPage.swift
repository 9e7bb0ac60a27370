// `/routez`: one node has no routes.

import Wire

enum RoutezPage {
    static func serve(_ call: MonitoringCall) {
        var json = JSONWriter(style: .pretty)
        json.beginObject()
        json.member("server_id", call.broker.serverID)
        json.member("server_name", call.broker.serverName)
        json.member("now", MonitoringText.timestamp(call.nowWallNs))
        json.member("num_routes", 0)
        json.name("routes")
        json.beginArray()
        json.endArray()
        json.endObject()
        call.answer(json)
    }
}
