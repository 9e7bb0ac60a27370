// What JetStream tells about a consumer: plain values that the consumer fills in, and their JSON.

import Wire

/// The `consumer_info_response`'s object, which lists and creations answer with too.
struct ConsumerInfo: Sendable {
    var stream: String
    var name: String
    var createdNs: Int64
    /// nil leaves it out, as for a consumer that is about to go.
    var config: ConsumerConfig?
    var delivered = SequencePair()
    var ackFloor = SequencePair()
    var ackPending = 0
    var redelivered = 0
    var waiting = 0
    var pending: UInt64 = 0
    var leader: String?
    var pushBound = false
    var paused = false
    var pauseRemainingNs: Int64 = 0
    /// When this was gathered.
    var timestampNs: Int64
    var priorityGroups: [PriorityGroupState] = []

    /// The members alone, for replies that put more around them.
    func writeMembers(to json: inout JSONWriter) {
        json.member("stream_name", stream)
        json.member("name", name)
        json.time("created", createdNs)
        if let config {
            json.name("config")
            config.write(to: &json)
        }
        json.name("delivered")
        delivered.write(to: &json)
        json.name("ack_floor")
        ackFloor.write(to: &json)
        json.member("num_ack_pending", ackPending)
        json.member("num_redelivered", redelivered)
        json.member("num_waiting", waiting)
        json.member("num_pending", pending)
        if let leader { json.leader(leader) }
        json.optional("push_bound", pushBound)
        json.optional("paused", paused)
        json.optional("pause_remaining", pauseRemainingNs)
        json.time("ts", timestampNs)
        json.optional("priority_groups", priorityGroups) { $1.write(to: &$0) }
    }

    func write(to json: inout JSONWriter) {
        json.beginObject()
        writeMembers(to: &json)
        json.endObject()
    }
}

/// A position in both numberings.
struct SequencePair: Sendable, Equatable {
    var consumer: UInt64 = 0
    var stream: UInt64 = 0
    var lastActiveNs: Int64?

    func write(to json: inout JSONWriter) {
        json.beginObject()
        json.member("consumer_seq", consumer)
        json.member("stream_seq", stream)
        if let lastActiveNs { json.time("last_active", lastActiveNs) }
        json.endObject()
    }
}

struct PriorityGroupState: Sendable, Equatable {
    var group: String
    var pinnedClientID = ""
    var pinnedNs = Timestamp.zero

    func write(to json: inout JSONWriter) {
        json.beginObject()
        json.member("group", group)
        json.optional("pinned_client_id", pinnedClientID)
        json.time("pinned_ts", pinnedNs)
        json.endObject()
    }
}
