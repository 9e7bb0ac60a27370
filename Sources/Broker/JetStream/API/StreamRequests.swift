// The bodies of the requests about streams. Field names and meanings are JetStream's.

import Wire

/// STREAM.CREATE and STREAM.UPDATE.
struct StreamConfigRequest: JSONReadable {
    static let goName = "StreamConfigRequest"
    var config = StreamConfig()
    /// What the server would correct silently is an error.
    var pedantic = false

    mutating func read(_ name: String, _ field: JSONField) throws(APIError) -> Bool {
        if name == "pedantic" {
            try field.read(&pedantic)
            return true
        }
        return try config.read(name, field)
    }
}

/// STREAM.NAMES and STREAM.LIST.
struct StreamNamesRequest: JSONReadable {
    static let goName = "JSApiStreamNamesRequest"
    var offset = 0
    /// Only streams with a subject that overlaps it.
    var subject = ""

    mutating func read(_ name: String, _ field: JSONField) throws(APIError) -> Bool {
        switch name {
        case "offset": try field.read(&offset)
        case "subject": try field.read(&subject)
        default: return false
        }
        return true
    }
}

/// STREAM.LIST: the same under the name that Go's errors show.
struct StreamListRequest: JSONReadable {
    static let goName = "JSApiStreamListRequest"
    var names = StreamNamesRequest()

    mutating func read(_ name: String, _ field: JSONField) throws(APIError) -> Bool { try names.read(name, field) }
}

/// STREAM.INFO.
struct StreamInfoRequest: JSONReadable {
    static let goName = "JSApiStreamInfoRequest"
    var offset = 0
    var deletedDetails = false
    /// Asks for the number of messages of each subject that matches it.
    var subjectsFilter = ""

    mutating func read(_ name: String, _ field: JSONField) throws(APIError) -> Bool {
        switch name {
        case "offset": try field.read(&offset)
        case "deleted_details": try field.read(&deletedDetails)
        case "subjects_filter": try field.read(&subjectsFilter)
        default: return false
        }
        return true
    }
}

/// STREAM.PURGE.
struct StreamPurgeRequest: JSONReadable {
    static let goName = "JSApiStreamPurgeRequest"
    var filter = ""
    /// Purges up to but not including it; 0 is none.
    var sequence: UInt64 = 0
    /// How many of the newest that match stay.
    var keep: UInt64 = 0

    mutating func read(_ name: String, _ field: JSONField) throws(APIError) -> Bool {
        switch name {
        case "filter": try field.read(&filter)
        case "seq": try field.read(&sequence)
        case "keep": try field.read(&keep)
        default: return false
        }
        return true
    }

    /// Reads a body; nil where there is none and everything is to go.
    static func decode(_ body: ByteView, isStrict: Bool = true) throws(APIError) -> StreamPurgeRequest? {
        guard RequestBody.isObjectOrArray(body) else { return nil }
        let request = try RequestBody.decode(body, as: StreamPurgeRequest.self, isStrict: isStrict)
        if request.sequence > 0 && request.keep > 0 { throw .badRequest }
        return request
    }
}

/// STREAM.SNAPSHOT.
struct StreamSnapshotRequest: JSONReadable {
    static let goName = "JSApiStreamSnapshotRequest"
    var deliverSubject = ""
    var noConsumers = false
    var chunkBytes = 0
    var windowBytes = 0
    var checksMessages = false

    mutating func read(_ name: String, _ field: JSONField) throws(APIError) -> Bool {
        switch name {
        case "deliver_subject": try field.read(&deliverSubject)
        case "no_consumers": try field.read(&noConsumers)
        case "chunk_size": try field.read(&chunkBytes)
        case "window_size": try field.read(&windowBytes)
        case "jsck": try field.read(&checksMessages)
        default: return false
        }
        return true
    }
}

/// STREAM.RESTORE. The state is what the snapshot's response held; only its form is checked.
struct StreamRestoreRequest: JSONReadable {
    static let goName = "JSApiStreamRestoreRequest"
    var config = StreamConfig()
    var state = RestoreState()

    mutating func read(_ name: String, _ field: JSONField) throws(APIError) -> Bool {
        switch name {
        case "config": try field.read(&config)
        case "state": try field.read(&state)
        default: return false
        }
        return true
    }

    struct RestoreState: JSONReadable {
        static let goName = "StreamState"
        var messages: UInt64 = 0
        var bytes: UInt64 = 0
        var firstSequence: UInt64 = 0
        var lastSequence: UInt64 = 0

        mutating func read(_ name: String, _ field: JSONField) throws(APIError) -> Bool {
            switch name {
            case "messages": try field.read(&messages)
            case "bytes": try field.read(&bytes)
            case "first_seq": try field.read(&firstSequence)
            case "last_seq": try field.read(&lastSequence)
            case "first_ts", "last_ts", "num_subjects", "subjects", "num_deleted", "deleted", "lost", "consumer_count": break
            default: return false
            }
            return true
        }
    }
}
