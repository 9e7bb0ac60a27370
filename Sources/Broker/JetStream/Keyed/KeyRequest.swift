// The bodies of the requests about keys, under `$BELLHOP.API.KEY.<operation>.<stream>.<consumer>`, and why they are refused.

import Store
import Wire

/// What an operator may ask for.
enum KeyOperation: String {
    case list = "LIST"
    case info = "INFO"
    case park = "PARK"
    case retry = "RETRY"
    case skip = "SKIP"
    case resume = "RESUME"
}

/// The members of all of them; each operation says which it reads.
struct KeyRequest: JSONReadable {
    static let goName = "KeyRequest"
    /// The key as text.
    var key: String?
    /// Any key, in base64.
    var keyBase64: String?
    /// Names a message that is its own key.
    var sequence: UInt64 = 0
    /// Of the park that is meant.
    var version: UInt64 = 0
    var all = false
    /// At most so many, with `all` and in lists; 0 is no limit.
    var limit = 0
    /// So many a second, with `all`; 0 is at once.
    var rate = 0
    var offset = 0
    var state = "parked"
    var reason = ""
    var actor = ""

    mutating func read(_ name: String, _ field: JSONField) throws(APIError) -> Bool {
        switch name {
        case "key":
            var text = ""
            try field.read(&text)
            key = text
        case "key_base64":
            var text = ""
            try field.read(&text)
            keyBase64 = text
        case "stream_seq": try field.read(&sequence)
        case "version": try field.read(&version)
        case "all": try field.read(&all)
        case "limit": try field.read(&limit)
        case "rate": try field.read(&rate)
        case "offset": try field.read(&offset)
        case "state": try field.read(&state)
        case "reason": try readText(field, &reason)
        case "actor": try readText(field, &actor)
        default: return false
        }
        return true
    }

    /// Of `reason` and `actor`, which are kept with the last commands.
    static let textBytesMax = 1024

    private func readText(_ field: JSONField, _ text: inout String) throws(APIError) {
        try field.read(&text)
        guard text.utf8.count <= KeyRequest.textBytesMax else {
            throw .keyRequest("reason and actor take \(KeyRequest.textBytesMax) bytes each")
        }
    }

    /// The key that is named; nil: none is.
    func keyBytes() throws(APIError) -> [UInt8]? {
        if let keyBase64 {
            guard let bytes = Base64.decode(Array(keyBase64.utf8), .standard, padded: true) else {
                throw .keyRequest("key_base64 is not base64")
            }
            return bytes
        }
        return key.map { Array($0.utf8) }
    }
}

extension APIError {
    static func keyRequest(_ reason: String) -> APIError { APIError(400, 20_001, "bad key request: \(reason)") }
    static let keyNotFound = APIError(404, 20_002, "key has nothing outstanding")
    static let keyNotParked = APIError(409, 20_003, "key is not parked")
    /// The park that is meant has ended, or another has begun.
    static let keyVersion = APIError(409, 20_004, "park version does not match")
    static let keysRecovering = APIError(503, 20_005, "keys are being recovered")
    static let keyParked = APIError(409, 20_008, "key is parked")
    static let keyCircuitClosed = APIError(409, 20_006, "consumer is not paused by its park circuit")
    static func keysNotStored(_ error: StoreError) -> APIError {
        let then = error == .noSpace ? "; make room: what was asked for takes effect then" : ""
        return APIError(503, 20_007, "keys can not be stored: \(error)\(then)")
    }
}
