// `/leafz`: one node has no leaf nodes.

import Wire

enum LeafzPage {
    static func serve(_ call: MonitoringCall) {
        var json = call.begin()
        json.member("leafnodes", 0)
        json.name("leafs")
        json.beginArray()
        json.endArray()
        json.endObject()
        call.answer(json)
    }
}
