// The errors of the consumer API: what a request for a consumer can be refused for.
// Codes and texts are nats-server 2.15.1's own.

extension APIError {
    static func consumerCreate(_ reason: String) -> APIError { APIError(500, 10012, "\(reason)") }
    static let consumerNameExists = APIError(400, 10013, "consumer name already in use")
    static let consumerNotFound = APIError(404, 10014, "consumer not found")
    static let consumerDurableNameNotInSubject = APIError(
        400, 10016, "consumer expected to be durable but no durable name set in subject")
    static let consumerDurableNameNotMatchSubject = APIError(
        400, 10017, "consumer name in subject does not match durable name in request")
    static let consumerDurableNameNotSet = APIError(
        400, 10018, "consumer expected to be durable but a durable name was not set")
    static let consumerEphemeralWithDurableInSubject = APIError(
        400, 10019, "consumer expected to be ephemeral but detected a durable name set in subject")
    static let consumerEphemeralWithDurableName = APIError(
        400, 10020, "consumer expected to be ephemeral but a durable name was set in request")
    static let consumerConfigRequired = APIError(400, 10078, "consumer config required")
    static let consumerDeliverToWildcards = APIError(400, 10079, "consumer deliver subject has wildcards")
    static let consumerPushMaxWaiting = APIError(400, 10080, "consumer in push mode can not set max waiting")
    static let consumerDeliverCycle = APIError(400, 10081, "consumer deliver subject forms a cycle")
    static let consumerMaxPendingAckPolicyRequired = APIError(400, 10082, "consumer requires ack policy for max ack pending")
    static let consumerSmallHeartbeat = APIError(400, 10083, "consumer idle heartbeat needs to be >= 100ms")
    static let consumerPullRequiresAck = APIError(
        400, 10084, "consumer in pull mode requires explicit ack policy on workqueue stream")
    static let consumerPullNotDurable = APIError(400, 10085, "consumer in pull mode requires a durable name")
    static let consumerPullWithRateLimit = APIError(400, 10086, "consumer in pull mode can not have rate limit set")
    static let consumerMaxWaitingNegative = APIError(400, 10087, "consumer max waiting needs to be positive")
    static let consumerHeartbeatRequiresPush = APIError(400, 10088, "consumer idle heartbeat requires a push based consumer")
    static let consumerFlowControlRequiresPush = APIError(400, 10089, "consumer flow control requires a push based consumer")
    static let consumerDirectRequiresPush = APIError(400, 10090, "consumer direct requires a push based consumer")
    static let consumerDirectRequiresEphemeral = APIError(400, 10091, "consumer direct requires an ephemeral consumer")
    static let consumerOnMapped = APIError(400, 10092, "consumer direct on a mapped consumer")
    static let consumerFilterNotSubset = APIError(
        400, 10093, "consumer filter subject is not a valid subset of the interest subjects")
    static func consumerInvalidPolicy(_ reason: String) -> APIError { APIError(400, 10094, "\(reason)") }
    static func consumerInvalidSampling(_ reason: String) -> APIError {
        APIError(400, 10095, "failed to parse consumer sampling configuration: \(reason)")
    }
    static let consumerWorkQueueRequiresExplicitAck = APIError(400, 10098, "workqueue stream requires explicit ack")
    static let consumerWorkQueueMultipleUnfiltered = APIError(
        400, 10099, "multiple non-filtered consumers not allowed on workqueue stream")
    static let consumerWorkQueueNotUnique = APIError(400, 10100, "filtered consumer not unique on workqueue stream")
    static let consumerWorkQueueNotDeliverAll = APIError(400, 10101, "consumer must be deliver all on workqueue stream")
    static func consumerNameTooLong(_ maximum: Int) -> APIError {
        APIError(400, 10102, "consumer name is too long, maximum allowed is \(maximum)")
    }
    static let consumerBadDurableName = APIError(400, 10103, "durable name can not contain '.', '*', '>'")
    static func consumerStoreFailed(_ reason: String) -> APIError {
        APIError(500, 10104, "error creating store for consumer: \(reason)")
    }
    static let consumerExistingActive = APIError(400, 10105, "consumer already exists and is still active")
    static let consumerReplacementWithDifferentName = APIError(400, 10106, "consumer replacement durable config not the same")
    static func consumerDescriptionTooLong(_ maximum: Int) -> APIError {
        APIError(400, 10107, "consumer description is too long, maximum allowed is \(maximum)")
    }
    static let consumerWithFlowControlNeedsHeartbeats = APIError(
        400, 10108, "consumer with flow control also needs heartbeats")
    static let consumerInvalidDeliverSubject = APIError(400, 10112, "invalid push consumer deliver subject")
    static let consumerMaxRequestBatchNegative = APIError(400, 10114, "consumer max request batch needs to be > 0")
    static let consumerMaxRequestExpiresTooSmall = APIError(400, 10115, "consumer max request expires needs to be >= 1ms")
    static let consumerMaxDeliverBackoff = APIError(400, 10116, "max deliver is required to be > length of backoff values")
    static func consumerMaxPendingAckExcess(_ limit: Int) -> APIError {
        APIError(400, 10121, "consumer max ack pending exceeds system limit of \(limit)")
    }
    static func consumerMaxRequestBatchExceeded(_ limit: Int) -> APIError {
        APIError(400, 10125, "consumer max request batch exceeds server limit of \(limit)")
    }
    static let consumerReplicasExceedsStream = APIError(400, 10126, "consumer config replica count exceeds parent stream")
    static let consumerNameContainsPathSeparators = APIError(400, 10127, "Consumer name can not contain path separators")
    static let consumerCreateFilterSubjectMismatch = APIError(
        400, 10131, "Consumer create request did not match filtered subject from create subject")
    static let consumerCreateDurableAndNameMismatch = APIError(
        400, 10132, "Consumer Durable and Name have to be equal if both are provided")
    static let consumerReplicasShouldMatchStream = APIError(
        400, 10134, "consumer config replicas must match interest retention stream's replicas")
    static func consumerMetadataLength(_ limit: String) -> APIError {
        APIError(400, 10135, "consumer metadata exceeds maximum size of \(limit)")
    }
    static let consumerDuplicateFilterSubjects = APIError(
        400, 10136, "consumer cannot have both FilterSubject and FilterSubjects specified")
    static let consumerMultipleFiltersNotAllowed = APIError(
        400, 10137, "consumer with multiple subject filters cannot use subject based API")
    static let consumerOverlappingSubjectFilters = APIError(400, 10138, "consumer subject filters cannot overlap")
    static let consumerEmptyFilter = APIError(400, 10139, "consumer filter in FilterSubjects cannot be empty")
    static let consumerAlreadyExists = APIError(400, 10148, "consumer already exists")
    static let consumerDoesNotExist = APIError(400, 10149, "consumer does not exist")
    static func consumerInactiveThresholdExcess(_ limit: String) -> APIError {
        APIError(400, 10153, "consumer inactive threshold exceeds system limit of \(limit)")
    }
    static let consumerPriorityPolicyWithoutGroup = APIError(
        400, 10159, "Setting PriorityPolicy requires at least one PriorityGroup to be set")
    static let consumerInvalidPriorityGroup = APIError(400, 10160, "Provided priority group does not exist for this consumer")
    static let consumerEmptyGroupName = APIError(400, 10161, "Group name cannot be an empty string")
    static let consumerInvalidGroupName = APIError(
        400, 10162, "Valid priority group name must match A-Z, a-z, 0-9, -_/=)+ and may not exceed 16 characters")
    static let consumerPushWithPriorityGroup = APIError(400, 10178, "priority groups can not be used with push consumers")
    static let consumerAckPolicyInvalid = APIError(400, 10181, "consumer ack policy invalid")
    static let consumerReplayPolicyInvalid = APIError(400, 10182, "consumer replay policy invalid")
    static let consumerAckWaitNegative = APIError(400, 10183, "consumer ack wait needs to be positive")
    static let consumerBackoffNegative = APIError(400, 10184, "consumer backoff needs to be positive")
    static func consumerOffline(_ reason: String) -> APIError { APIError(500, 10195, "consumer is offline: \(reason)") }
    static let consumerPriorityGroupWithPolicyNone = APIError(
        400, 10196, "consumer can not have priority groups when policy is none")
    static let consumerPinnedTTLWithoutPriorityPolicy = APIError(
        400, 10197, "PinnedTTL cannot be set when PriorityPolicy is none")
    static func consumerInvalidReset(_ reason: String) -> APIError { APIError(400, 10204, "invalid reset: \(reason)") }
    static let consumerAckFlowControlRequiresPush = APIError(
        400, 10218, "flow control ack policy requires a push based consumer")
    static let consumerAckFlowControlRequiresFlowControl = APIError(
        400, 10219, "flow control ack policy requires flow control")
    static let consumerAckFlowControlRequiresMaxAckPending = APIError(
        400, 10220, "flow control ack policy requires max ack pending")
    static let consumerAckFlowControlRequiresNoAckWait = APIError(
        400, 10221, "flow control ack policy requires unset ack wait")
    static let consumerAckFlowControlRequiresNoMaxDeliver = APIError(
        400, 10222, "flow control ack policy requires unset max deliver")
    static func consumerStreamIdentityMismatch(_ text: String) -> APIError {
        APIError(400, 10225, "consumer's stream identity does not match: \(text)")
    }
}
