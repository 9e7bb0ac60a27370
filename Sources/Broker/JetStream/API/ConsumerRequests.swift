// The bodies of the requests about consumers. Field names and meanings are JetStream's.

import Wire

/// What CONSUMER.CREATE is to do where the consumer exists, or does not.
enum ConsumerAction: String, Sendable {
    case createOrUpdate = ""
    case create, update
}

/// CONSUMER.CREATE and CONSUMER.DURABLE.CREATE.
struct ConsumerCreateRequest: JSONReadable {
    static let goName = "CreateConsumerRequest"
    var stream = ""
    var config = ConsumerConfig()
    var action = ConsumerAction.createOrUpdate
    var pedantic = false

    mutating func read(_ name: String, _ field: JSONField) throws(APIError) -> Bool {
        switch name {
        case "stream_name": try field.read(&stream)
        case "config": try field.read(&config)
        case "action": try field.readName(&action, "consumer action")
        case "pedantic": try field.read(&pedantic)
        default: return false
        }
        return true
    }
}

/// CONSUMER.NAMES and CONSUMER.LIST.
struct ConsumerNamesRequest: JSONReadable {
    static let goName = "JSApiConsumersRequest"
    var offset = 0

    mutating func read(_ name: String, _ field: JSONField) throws(APIError) -> Bool {
        guard name == "offset" else { return false }
        try field.read(&offset)
        return true
    }
}

/// CONSUMER.PAUSE. nil, or a time that has passed, resumes.
struct ConsumerPauseRequest: JSONReadable {
    static let goName = "JSApiConsumerPauseRequest"
    var pauseUntilNs: Int64?

    mutating func read(_ name: String, _ field: JSONField) throws(APIError) -> Bool {
        guard name == "pause_until" else { return false }
        try field.readTime(&pauseUntilNs)
        return true
    }

    static func decode(_ body: ByteView, isStrict: Bool = true) throws(APIError) -> ConsumerPauseRequest {
        guard RequestBody.isObjectOrArray(body) else { return ConsumerPauseRequest() }
        return try RequestBody.decode(body, isStrict: isStrict)
    }
}

/// CONSUMER.UNPIN.
struct ConsumerUnpinRequest: JSONReadable {
    static let goName = "JSApiConsumerUnpinRequest"
    var group = ""

    mutating func read(_ name: String, _ field: JSONField) throws(APIError) -> Bool {
        guard name == "group" else { return false }
        try field.read(&group)
        return true
    }

    static func decode(_ body: ByteView) throws(APIError) -> ConsumerUnpinRequest {
        let request = try RequestBody.decodeLenient(body, as: ConsumerUnpinRequest.self)
        if request.group.isEmpty { throw .invalidJSON("consumer group not specified") }
        return request
    }
}

/// CONSUMER.RESET. 0 goes back to the ack floor.
struct ConsumerResetRequest: JSONReadable {
    static let goName = "JSApiConsumerResetRequest"
    var sequence: UInt64 = 0

    mutating func read(_ name: String, _ field: JSONField) throws(APIError) -> Bool {
        guard name == "seq" else { return false }
        try field.read(&sequence)
        return true
    }

    static func decode(_ body: ByteView) throws(APIError) -> ConsumerResetRequest {
        body.isEmpty ? ConsumerResetRequest() : try RequestBody.decodeLenient(body)
    }
}
