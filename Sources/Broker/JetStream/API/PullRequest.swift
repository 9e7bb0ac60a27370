// The body of a pull request (CONSUMER.MSG.NEXT, `+NXT`): nothing, a number, or JSON.

import Wire

/// What one pull request asks for.
struct PullRequest: JSONReadable, Sendable, Equatable {
    static let goName = ""
    /// As it was asked for. Without a number it is 0, and one message is meant.
    var batch = 0
    var maxBytes = 0
    /// 0: until it is served or its inbox has no subscriber.
    var expiresNs: Int64 = 0
    var noWait = false
    var heartbeatNs: Int64 = 0
    var group = ""
    var minPending: Int64 = 0
    var minAckPending: Int64 = 0
    var id = ""
    var priority = 0

    /// How many messages it gets.
    var messages: Int { max(1, batch) }

    mutating func read(_ name: String, _ field: JSONField) throws(APIError) -> Bool {
        switch name {
        case "batch": try field.read(&batch)
        case "max_bytes": try field.read(&maxBytes)
        case "expires": try field.readDuration(&expiresNs)
        case "no_wait": try field.read(&noWait)
        case "idle_heartbeat": try field.readDuration(&heartbeatNs)
        case "group": try field.read(&group)
        case "min_pending": try field.read(&minPending)
        case "min_ack_pending": try field.read(&minAckPending)
        case "id": try field.read(&id)
        case "priority": try field.read(&priority)
        default: return false
        }
        return true
    }

    /// Why a request is answered with `400 Bad Request - ...`.
    struct Failure: Error, Equatable {
        var text: String
    }

    static func decode(_ body: ByteView) throws(Failure) -> PullRequest {
        var trimmed = body
        while !trimmed.isEmpty, Subject.isWhitespace(trimmed[0]) { trimmed = ByteView(trimmed.base + 1, trimmed.count - 1) }
        guard !trimmed.isEmpty else { return PullRequest() }
        guard trimmed[0] == UInt8(ascii: "{") else {
            var request = PullRequest()
            if let batch = Int(trimmed.string), batch > 0 { request.batch = batch }
            return request
        }
        do throws(APIError) {
            return try RequestBody.decodeLenient(trimmed)
        } catch {
            throw Failure(text: String(error.description.dropFirst("invalid JSON: ".count)))
        }
    }
}
