// A stream's configuration, field for field as JetStream names them (reference: StreamConfig of nats-server 2.15).

enum RetentionPolicy: String, Sendable { case limits, interest, workqueue }
enum DiscardPolicy: String, Sendable { case old, new }
enum StorageType: String, Sendable { case file, memory }
enum StoreCompression: String, Sendable { case none, s2 }
enum PersistMode: String, Sendable { case `default`, async }

/// Durations are nanoseconds, sizes bytes. -1 is unlimited where JetStream says so. Defaults are those of a stream that was
/// created with its name only, before the server's own have been filled in.
struct StreamConfig: Sendable, Equatable {
    var name = ""
    var description = ""
    var subjects: [String] = []
    var retention = RetentionPolicy.limits
    var maxConsumers = -1
    var maxMessages: Int64 = -1
    var maxBytes: Int64 = -1
    var maxAgeNs: Int64 = 0
    var maxMessagesPerSubject: Int64 = -1
    /// Of headers and payload.
    var maxMessageBytes: Int32 = -1
    var discard = DiscardPolicy.old
    var discardNewPerSubject = false
    var storage = StorageType.file
    var replicas = 1
    var noAck = false
    var duplicateWindowNs: Int64 = 0
    var placement: PlacementConfig?
    var mirror: StreamSourceConfig?
    var sources: [StreamSourceConfig] = []
    var compression = StoreCompression.none
    var firstSequence: UInt64 = 0
    var subjectTransform: SubjectTransformConfig?
    var republish: RepublishConfig?
    var allowDirect = false
    var mirrorDirect = false
    var sealed = false
    var denyDelete = false
    var denyPurge = false
    var allowRollup = false
    var consumerLimits = ConsumerLimitsConfig()
    var allowMessageTTL = false
    var subjectDeleteMarkerTTLNs: Int64 = 0
    var allowMessageCounter = false
    var allowAtomicPublish = false
    var allowMessageSchedules = false
    var persistMode = PersistMode.default
    var allowBatchPublish = false
    var metadata: [String: String] = [:]
}

struct PlacementConfig: Sendable, Equatable {
    var cluster = ""
    var tags: [String] = []
    var preferred = ""
}

struct StreamSourceConfig: Sendable, Equatable {
    var name = ""
    var startSequence: UInt64 = 0
    /// nil where none was given.
    var startTimeNs: Int64?
    var filterSubject = ""
    var subjectTransforms: [SubjectTransformConfig] = []
    var external: ExternalStreamConfig?
    var consumer: StreamConsumerSourceConfig?
}

struct ExternalStreamConfig: Sendable, Equatable {
    var apiPrefix = ""
    var deliverPrefix = ""
}

struct StreamConsumerSourceConfig: Sendable, Equatable {
    var name = ""
    var deliverSubject = ""
}

struct SubjectTransformConfig: Sendable, Equatable {
    var source = ""
    var destination = ""
}

struct RepublishConfig: Sendable, Equatable {
    var source = ""
    var destination = ""
    var headersOnly = false
}

struct ConsumerLimitsConfig: Sendable, Equatable {
    var inactiveThresholdNs: Int64 = 0
    var maxAckPending = 0
}
