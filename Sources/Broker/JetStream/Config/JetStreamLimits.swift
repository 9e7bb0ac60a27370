// What server and account allow: the limits that configurations are checked against.

/// An account's limits; -1 is unlimited, as JetStream shows them.
struct JetStreamAccountLimits: Sendable, Equatable {
    var maxMemoryBytes: Int64 = -1
    var maxStorageBytes: Int64 = -1
    var maxStreams = -1
    var maxConsumers = -1
    var maxAckPending = -1
    var memoryMaxStreamBytes: Int64 = -1
    var storageMaxStreamBytes: Int64 = -1
    var maxBytesRequired = false
}

/// Both kinds of limits. 0 in those of the server means none.
struct JetStreamLimits: Sendable, Equatable {
    var account = JetStreamAccountLimits()
    // `jetstream { limits { ... } }`:
    var maxRequestBatch = 0
    var maxAckPending = 0
    var maxDuplicateWindowNs: Int64 = 0
    /// Per stream, where neither stream nor account says how many (nats-server's `default_max_consumers`).
    var defaultMaxConsumers = 1_000
    /// What all of the server's memory and file streams may reserve; nil is no limit.
    var serverMemoryBytes: Int64?
    var serverStorageBytes: Int64?

    static let nameBytesMax = 255
    static let descriptionBytesMax = 4 * 1024
    /// Keys and values together.
    static let metadataBytesMax = 128 * 1024
    static let replicasMax = 5
}
