// What JetStream tells about a stream: plain values that the stream fills in, and their JSON.

import Wire

/// The `stream_info_response`'s object, which lists and creations answer with too.
struct StreamInfo: Sendable {
    var config: StreamConfig
    var createdNs: Int64
    var state = StreamState()
    var domain = ""
    /// The leader's name, which nats-server adds to some replies though it stands alone.
    var leader: String?
    var mirror: StreamSourceInfo?
    var sources: [StreamSourceInfo] = []
    /// When this was gathered.
    var timestampNs: Int64

    /// As lists show it: with the metadata that is stored, and nothing of the moment.
    var listed: StreamInfo {
        var info = self
        info.config.metadata[APIMetadata.serverVersionKey] = nil
        info.config.metadata[APIMetadata.serverLevelKey] = nil
        return info
    }

    /// The members alone, for replies that put more around them.
    func writeMembers(to json: inout JSONWriter) {
        json.name("config")
        config.write(to: &json)
        json.time("created", createdNs)
        json.name("state")
        state.write(to: &json)
        json.optional("domain", domain)
        if let leader { json.leader(leader) }
        if let mirror {
            json.name("mirror")
            mirror.write(to: &json)
        }
        json.optional("sources", sources) { $1.write(to: &$0) }
        json.time("ts", timestampNs)
    }

    func write(to json: inout JSONWriter) {
        json.beginObject()
        writeMembers(to: &json)
        json.endObject()
    }
}

struct StreamState: Sendable, Equatable {
    var messages: UInt64 = 0
    var bytes: UInt64 = 0
    var firstSequence: UInt64 = 0
    /// Zero times are Go's.
    var firstTimeNs = Timestamp.zero
    var lastSequence: UInt64 = 0
    var lastTimeNs = Timestamp.zero
    var subjectCount = 0
    /// Messages per subject, where they were asked for: a JSON object, for there may be very many.
    var subjects: [UInt8] = []
    var deletedCount = 0
    /// The sequences themselves, where they were asked for.
    var deleted: [UInt64] = []
    /// Messages that a damaged file has cost.
    var lost: [UInt64] = []
    var lostBytes: UInt64 = 0
    var consumers = 0

    func write(to json: inout JSONWriter) {
        json.beginObject()
        json.member("messages", messages)
        json.member("bytes", bytes)
        json.member("first_seq", firstSequence)
        json.time("first_ts", firstTimeNs)
        json.member("last_seq", lastSequence)
        json.time("last_ts", lastTimeNs)
        json.optional("num_subjects", subjectCount)
        if !subjects.isEmpty {
            json.name("subjects")
            json.value(written: subjects)
        }
        json.optional("num_deleted", deletedCount)
        json.optional("deleted", deleted) { $0.value($1) }
        if !lost.isEmpty || lostBytes > 0 {
            json.name("lost")
            json.beginObject()
            json.nullable("msgs", lost) { $0.value($1) }
            json.member("bytes", lostBytes)
            json.endObject()
        }
        json.member("consumer_count", consumers)
        json.endObject()
    }
}

/// How far a mirror or source has come.
struct StreamSourceInfo: Sendable {
    var name: String
    var external: ExternalStreamConfig?
    /// How many messages of the origin are still to come.
    var lag: UInt64 = 0
    /// Since the origin was last heard of; -1: never.
    var activeNs: Int64 = -1
    var error: APIError?
    var filterSubject = ""
    var subjectTransforms: [SubjectTransformConfig] = []
    /// The origin's sequence that was stored last.
    var sequence: UInt64 = 0

    func write(to json: inout JSONWriter) {
        json.beginObject()
        json.member("name", name)
        if let external {
            json.name("external")
            external.write(to: &json)
        }
        json.member("lag", lag)
        json.optional("seq", sequence)
        json.member("active", activeNs)
        if let error {
            json.name("error")
            error.write(to: &json)
        }
        json.optional("filter_subject", filterSubject)
        json.optional("subject_transforms", subjectTransforms) { $1.write(to: &$0) }
        json.endObject()
    }
}

extension JSONWriter {
    /// `"cluster":{"leader":"name"}`, which replies carry on one node as well.
    mutating func leader(_ name: String) {
        self.name("cluster")
        beginObject()
        member("leader", name)
        endObject()
    }
}
