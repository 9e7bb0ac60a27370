// The errors of the stream API: what a request for a stream, mirror or source can be refused for.
// Codes and texts are nats-server 2.15.1's own.

extension APIError {
    static func streamExternalAPIOverlap(_ prefix: String, subject: String) -> APIError {
        APIError(400, 10021, "stream external api prefix \(prefix) must not overlap with \(subject)")
    }
    static func streamExternalDeliveryPrefixOverlaps(_ prefix: String, subject: String) -> APIError {
        APIError(400, 10022, "stream external delivery prefix \(prefix) overlaps with stream subject \(subject)")
    }
    static func streamInvalidExternalDeliverySubject(_ prefix: String) -> APIError {
        APIError(400, 10024, "stream external delivery prefix \(prefix) must not contain wildcards")
    }
    static func mirrorConsumerSetupFailed(_ reason: String) -> APIError { APIError(500, 10029, "\(reason)") }
    static let mirrorMaxMessageSizeTooBig = APIError(400, 10030, "stream mirror must have max message size >= source")
    static let mirrorWithSources = APIError(400, 10031, "stream mirrors can not also contain other sources")
    static let mirrorWithStartSequenceAndTime = APIError(
        400, 10032, "stream mirrors can not have both start seq and start time configured")
    static let mirrorWithSubjectFilters = APIError(400, 10033, "stream mirrors can not contain filtered subjects")
    static let mirrorWithSubjects = APIError(400, 10034, "stream mirrors can not contain subjects")
    static func sourceConsumerSetupFailed(_ reason: String) -> APIError { APIError(500, 10045, "\(reason)") }
    static let sourceMaxMessageSizeTooBig = APIError(400, 10046, "stream source must have max message size >= target")
    static func streamCreate(_ reason: String) -> APIError { APIError(500, 10049, "\(reason)") }
    static func streamDelete(_ reason: String) -> APIError { APIError(500, 10050, "\(reason)") }
    static func streamGeneral(_ reason: String) -> APIError { APIError(500, 10051, "\(reason)") }
    static func streamInvalidConfig(_ reason: String) -> APIError { APIError(500, 10052, "\(reason)") }
    static func streamLimits(_ reason: String) -> APIError { APIError(500, 10053, "\(reason)") }
    static let streamMirrorNotUpdatable = APIError(400, 10055, "stream mirror configuration can not be updated")
    static let streamMismatch = APIError(400, 10056, "stream name in subject does not match request")
    static func streamMessageDeleteFailed(_ reason: String) -> APIError { APIError(500, 10057, "\(reason)") }
    static let streamNameExists = APIError(400, 10058, "stream name already in use with a different configuration")
    static let streamNotFound = APIError(404, 10059, "stream not found")
    static func streamRestore(_ reason: String) -> APIError { APIError(500, 10062, "restore failed: \(reason)") }
    static func streamSnapshot(_ reason: String) -> APIError { APIError(500, 10064, "snapshot failed: \(reason)") }
    static let streamSubjectOverlap = APIError(400, 10065, "subjects overlap with an existing stream")
    static func streamUpdate(_ reason: String) -> APIError { APIError(500, 10069, "\(reason)") }
    static let streamReplicasNotSupported = APIError(500, 10074, "replicas > 1 not supported in non-clustered mode")
    static let streamInvalid = APIError(500, 10096, "stream not valid")
    static func streamPurgeFailed(_ reason: String) -> APIError { APIError(500, 10110, "\(reason)") }
    static let streamMaxBytesRequired = APIError(400, 10113, "account requires a stream config to have max bytes set")
    static let streamInfoMaxSubjects = APIError(500, 10117, "subject details would exceed maximum allowed")
    static let streamMaxStreamBytesExceeded = APIError(400, 10122, "stream max bytes exceeds account limit max stream bytes")
    static let streamNameContainsPathSeparators = APIError(400, 10128, "Stream name can not contain path separators")
    static let streamNameExistsRestoreFailed = APIError(400, 10130, "stream name already in use, cannot restore")
    static let sourceDuplicateDetected = APIError(400, 10140, "duplicate source configuration detected")
    static let sourceInvalidStreamName = APIError(400, 10141, "sourced stream name is invalid")
    static let mirrorInvalidStreamName = APIError(400, 10142, "mirrored stream name is invalid")
    static let mirrorWithFirstSequence = APIError(400, 10143, "stream mirrors can not have first sequence configured")
    static let sourceMultipleFiltersNotAllowed = APIError(
        400, 10144, "source with multiple subject transforms cannot also have a single subject filter")
    static func sourceInvalidSubjectFilter(_ reason: String) -> APIError {
        APIError(400, 10145, "source transform source: \(reason)")
    }
    static func sourceInvalidTransformDestination(_ reason: String) -> APIError {
        APIError(400, 10146, "source transform: \(reason)")
    }
    static let sourceOverlappingSubjectFilters = APIError(400, 10147, "source filters can not overlap")
    static let mirrorMultipleFiltersNotAllowed = APIError(
        400, 10150, "mirror with multiple subject transforms cannot also have a single subject filter")
    static func mirrorInvalidSubjectFilter(_ reason: String) -> APIError {
        APIError(400, 10151, "mirror transform source: \(reason)")
    }
    static let mirrorOverlappingSubjectFilters = APIError(400, 10152, "mirror subject filters can not overlap")
    static func mirrorInvalidTransformDestination(_ reason: String) -> APIError {
        APIError(400, 10154, "mirror transform: \(reason)")
    }
    static func streamTransformInvalidSource(_ reason: String) -> APIError {
        APIError(400, 10155, "stream transform source: \(reason)")
    }
    static func streamTransformInvalidDestination(_ reason: String) -> APIError {
        APIError(400, 10156, "stream transform: \(reason)")
    }
    static let mirrorWithCounters = APIError(400, 10173, "stream mirrors can not also calculate counters")
    static let mirrorWithMessageSchedules = APIError(400, 10186, "stream mirrors can not also schedule messages")
    static let sourceWithMessageSchedules = APIError(400, 10187, "stream source can not also schedule messages")
    static func streamOffline(_ reason: String) -> APIError { APIError(500, 10194, "stream is offline: \(reason)") }
    static let mirrorWithAtomicPublish = APIError(400, 10198, "stream mirrors can not also use atomic publishing")
    static let mirrorWithBatchPublish = APIError(400, 10209, "stream mirrors can not also use batch publishing")
    static let mirrorConsumerConfigInvalid = APIError(400, 10213, "stream mirror consumer config is invalid")
    static let mirrorConsumerRequiresAckFlowControl = APIError(
        400, 10214, "stream mirror consumer requires flow control ack policy")
    static let sourceConsumerConfigInvalid = APIError(400, 10215, "stream source consumer config is invalid")
    static let sourceDuplicateConsumerDetected = APIError(400, 10216, "duplicate stream source consumer detected")
    static let sourceConsumerRequiresAckFlowControl = APIError(
        400, 10217, "stream source consumer requires flow control ack policy")
}
