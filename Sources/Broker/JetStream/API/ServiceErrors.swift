// The errors that belong to no stream or consumer: the request itself, the account, the server.
// Codes and texts are nats-server 2.15.1's own.

extension APIError {
    static let badRequest = APIError(400, 10003, "bad request")
    static let clusterRequired = APIError(503, 10010, "JetStream clustering support required")
    static let snapshotDeliverSubjectInvalid = APIError(400, 10015, "deliver subject not valid")
    static func invalidJSON(_ reason: String) -> APIError { APIError(400, 10025, "invalid JSON: \(reason)") }
    static let maximumConsumersLimit = APIError(400, 10026, "maximum consumers limit reached")
    static let maximumStreamsLimit = APIError(400, 10027, "maximum number of streams reached")
    static let noAccount = APIError(503, 10035, "account not found")
    static let noMessageFound = APIError(404, 10037, "no message found")
    static let notEmptyRequest = APIError(400, 10038, "expected an empty request payload")
    static let notEnabledForAccount = APIError(503, 10039, "JetStream not enabled for account")
    static func restoreSubscribeFailed(_ subject: String, _ reason: String) -> APIError {
        APIError(500, 10042, "JetStream unable to subscribe to restore snapshot \(subject): \(reason)")
    }
    static func sequenceNotFound(_ sequence: UInt64) -> APIError { APIError(400, 10043, "sequence \(sequence) not found") }
    static let tempStorageFailed = APIError(500, 10072, "JetStream unable to open temp storage for restore")
    static let notEnabled = APIError(503, 10076, "JetStream not enabled")
    static let noLimits = APIError(400, 10120, "no JetStream default or applicable tiered limit present")
    static let replicasCountCannotBeNegative = APIError(400, 10133, "replicas count cannot be negative")
    static func pedantic(_ reason: String) -> APIError { APIError(400, 10157, "pedantic mode: \(reason)") }
    static let requiredAPILevel = APIError(412, 10185, "JetStream minimum api level required")
}
