// The errors that a publisher gets: checks of a message, of a batch, of a counter or of a schedule, and limits.
// Codes and texts are nats-server 2.15.1's own.

extension APIError {
    static let accountResourcesExceeded = APIError(400, 10002, "resource limits exceeded for account")
    static let insufficientResources = APIError(503, 10023, "insufficient resources")
    static let memoryResourcesExceeded = APIError(500, 10028, "insufficient memory resources available")
    static let storageResourcesExceeded = APIError(500, 10047, "insufficient storage resources available")
    static let streamMessageExceedsMaximum = APIError(400, 10054, "message size exceeds maximum allowed")
    static let streamNotMatch = APIError(400, 10060, "expected stream does not match")
    static func streamWrongLastMessageID(_ id: String) -> APIError { APIError(400, 10070, "wrong last msg ID: \(id)") }
    static func streamWrongLastSequence(_ sequence: UInt64) -> APIError {
        APIError(400, 10071, "wrong last sequence: \(sequence)")
    }
    static func streamStoreFailed(_ reason: String) -> APIError { APIError(503, 10077, "\(reason)") }
    static let streamHeaderExceedsMaximum = APIError(400, 10097, "header size exceeds maximum allowed of 64k")
    static let streamSealed = APIError(400, 10109, "invalid operation on sealed stream")
    static func streamRollupFailed(_ reason: String) -> APIError { APIError(500, 10111, "\(reason)") }
    static let streamDuplicateMessageConflict = APIError(409, 10158, "duplicate message id is in process")
    static let streamWrongLastSequenceConstant = APIError(400, 10164, "wrong last sequence")
    static let messageTTLInvalid = APIError(400, 10165, "invalid per-message TTL")
    static let messageTTLDisabled = APIError(400, 10166, "per-message TTL is disabled")
    static let streamTooManyRequests = APIError(429, 10167, "too many requests")
    static let messageIncrementDisabled = APIError(400, 10168, "message counters is disabled")
    static let messageIncrementMissing = APIError(400, 10169, "message counter increment is missing")
    static let messageIncrementPayload = APIError(400, 10170, "message counter has payload")
    static let messageIncrementInvalid = APIError(400, 10171, "message counter increment is invalid")
    static let messageCounterBroken = APIError(400, 10172, "message counter is broken")
    static let atomicPublishDisabled = APIError(400, 10174, "atomic publish is disabled")
    static let atomicPublishMissingSequence = APIError(400, 10175, "atomic publish sequence is missing")
    static let atomicPublishIncompleteBatch = APIError(400, 10176, "atomic publish batch is incomplete")
    static func atomicPublishUnsupportedHeader(_ header: String) -> APIError {
        APIError(400, 10177, "atomic publish unsupported header used: \(header)")
    }
    static let atomicPublishInvalidBatchID = APIError(400, 10179, "atomic publish batch ID is invalid")
    static let streamMinLastSequence = APIError(412, 10180, "min last sequence")
    static let messageSchedulesDisabled = APIError(400, 10188, "message schedules is disabled")
    static let messageSchedulesPatternInvalid = APIError(400, 10189, "message schedules pattern is invalid")
    static let messageSchedulesTargetInvalid = APIError(400, 10190, "message schedules target is invalid")
    static let messageSchedulesTTLInvalid = APIError(400, 10191, "message schedules invalid per-message TTL")
    static let messageSchedulesRollupInvalid = APIError(400, 10192, "message schedules invalid rollup")
    static let streamExpectedLastSequencePerSubjectInvalid = APIError(
        400, 10193, "missing sequence for expected last sequence per subject")
    static func atomicPublishTooLargeBatch(_ size: Int) -> APIError {
        APIError(400, 10199, "atomic publish batch is too large: \(size)")
    }
    static let atomicPublishInvalidBatchCommit = APIError(400, 10200, "atomic publish batch commit is invalid")
    static let atomicPublishContainsDuplicateMessage = APIError(
        400, 10201, "atomic publish batch contains duplicate message id")
    static let messageSchedulesSourceInvalid = APIError(400, 10203, "message schedules source is invalid")
    static let batchPublishDisabled = APIError(400, 10205, "batch publish is disabled")
    static let batchPublishInvalidPattern = APIError(400, 10206, "batch publish pattern is invalid")
    static let batchPublishInvalidBatchID = APIError(400, 10207, "batch publish ID is invalid")
    static let batchPublishUnknownBatchID = APIError(400, 10208, "batch publish ID unknown")
    static let atomicPublishTooManyInflight = APIError(429, 10210, "atomic publish too many inflight")
    static let batchPublishTooManyInflight = APIError(429, 10211, "batch publish too many inflight")
    static let messageSchedulesSchedulerInvalid = APIError(400, 10212, "message schedules invalid scheduler")
    static let messageSchedulesTimeZoneInvalid = APIError(400, 10223, "message schedules time zone is invalid")
    static let messageSourceHeaderNotAllowed = APIError(400, 10227, "message stream source header is not allowed")
}
