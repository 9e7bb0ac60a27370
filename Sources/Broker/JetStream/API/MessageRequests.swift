// The bodies of the requests for messages: STREAM.MSG.GET, STREAM.MSG.DELETE and direct gets.

import Wire

/// STREAM.MSG.GET and DIRECT.GET, which share a body and differ in what of it they take.
struct MessageGetRequest: JSONReadable {
    static let goName = "JSApiMsgGetRequest"
    var sequence: UInt64 = 0
    var lastBySubject = ""
    var nextBySubject = ""
    var startTimeNs: Int64?
    /// Only the payload is asked for.
    var noHeaders = false
    // What follows is for direct gets only.
    var batch = 0
    var maxBytes = 0
    var multiLast: [String] = []
    var upToSequence: UInt64 = 0
    var upToTimeNs: Int64?

    mutating func read(_ name: String, _ field: JSONField) throws(APIError) -> Bool {
        switch name {
        case "seq": try field.read(&sequence)
        case "last_by_subj": try field.read(&lastBySubject)
        case "next_by_subj": try field.read(&nextBySubject)
        case "start_time": try field.readTime(&startTimeNs)
        case "no_hdr": try field.read(&noHeaders)
        case "batch": try field.read(&batch)
        case "max_bytes": try field.read(&maxBytes)
        case "multi_last": try field.read(&multiLast)
        case "up_to_seq": try field.read(&upToSequence)
        case "up_to_time": try field.readTime(&upToTimeNs)
        default: return false
        }
        return true
    }

    /// The body of STREAM.MSG.GET: exactly one way of saying which message.
    static func decode(_ body: ByteView, isStrict: Bool = true) throws(APIError) -> MessageGetRequest {
        let request = try RequestBody.decode(body, as: MessageGetRequest.self, isStrict: isStrict)
        let isConflict =
            request.sequence > 0 && !request.lastBySubject.isEmpty
            || !request.lastBySubject.isEmpty && !request.nextBySubject.isEmpty
            || request.startTimeNs != nil && (request.sequence > 0 || !request.lastBySubject.isEmpty)
        let isNothing =
            request.sequence == 0 && request.lastBySubject.isEmpty && request.nextBySubject.isEmpty
            && request.startTimeNs == nil
        // Batches are for direct gets only.
        guard !isConflict, !isNothing, request.batch == 0, request.maxBytes == 0 else { throw .badRequest }
        return request
    }

    /// Why a direct get is answered with a 408.
    enum DirectFailure: String, Error {
        case empty = "Empty Request"
        case malformed = "Malformed Request"
        case bad = "Bad Request"
    }

    /// The body of DIRECT.GET.<stream>.
    static func decodeDirect(_ body: ByteView) throws(DirectFailure) -> MessageGetRequest {
        if body.isEmpty { throw .empty }
        let request: MessageGetRequest
        do throws(APIError) {
            request = try RequestBody.decodeLenient(body)
        } catch {
            throw .malformed
        }
        if request.sequence == 0, request.lastBySubject.isEmpty, request.nextBySubject.isEmpty, request.multiLast.isEmpty,
            request.startTimeNs == nil
        {
            throw .empty
        }
        if request.isDirectConflict { throw .bad }
        return request
    }

    /// The body of DIRECT.GET.<stream>.<subject>, where the subject has said which message: it may only ask for no headers.
    static func decodeDirect(_ body: ByteView, lastBySubject subject: String) throws(DirectFailure) -> MessageGetRequest {
        var request = MessageGetRequest()
        if !body.isEmpty {
            do throws(APIError) {
                request = try RequestBody.decodeLenient(body)
            } catch {
                throw .malformed
            }
            let noHeaders = request.noHeaders
            request.noHeaders = false
            guard request == MessageGetRequest() else { throw .bad }
            request.noHeaders = noHeaders
        }
        request.lastBySubject = subject
        return request
    }

    private var isDirectConflict: Bool {
        if sequence > 0 && startTimeNs != nil { return true }
        if !lastBySubject.isEmpty && (sequence > 0 || startTimeNs != nil || !nextBySubject.isEmpty) { return true }
        if !multiLast.isEmpty && (sequence > 0 || startTimeNs != nil || !lastBySubject.isEmpty || !nextBySubject.isEmpty) {
            return true
        }
        if upToSequence > 0 && upToTimeNs != nil { return true }
        return false
    }
}

extension MessageGetRequest: Equatable {}

/// STREAM.MSG.DELETE.
struct MessageDeleteRequest: JSONReadable {
    static let goName = "JSApiMsgDeleteRequest"
    var sequence: UInt64 = 0
    /// Leaves the message's bytes where they are.
    var noErase = false

    mutating func read(_ name: String, _ field: JSONField) throws(APIError) -> Bool {
        switch name {
        case "seq": try field.read(&sequence)
        case "no_erase": try field.read(&noErase)
        default: return false
        }
        return true
    }
}
