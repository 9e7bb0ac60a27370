// The settings of streams: where they live, how much they may hold, when they are durable.

/// The `jetstream` block and the flags `-js` and `-sd`.
public struct JetStreamOptions: Sendable, Equatable {
    /// When what was published is durable, and so acknowledged.
    public enum Sync: Sendable, Equatable {
        /// Before each ack; one sync serves all that wait. Our default: an ack means that it is on disk.
        case always
        /// Acks follow the write to the page cache; the sync comes at least this often.
        case every(ns: Int)
        /// The system decides.
        case never
    }

    public var isEnabled = false
    /// The folder above `jetstream/`; nil is the system's temporary folder, as in nats-server.
    public var storeDirectory: String?
    /// -1: three quarters of the machine's memory.
    public var maxMemoryBytes = -1
    /// -1: three quarters of what is free on the file system at the start.
    public var maxFileBytes = -1
    public var domain: String?
    public var sync = Sync.always
    /// Requests with unknown JSON fields are refused.
    public var isStrict = true
    public var requestQueueLimit = 10_000
    /// -1 is unlimited.
    public var maxAckPending = -1
    public var maxRequestBatch = -1
    /// 0 is JetStream's own default.
    public var duplicateWindowMaxNs = 0
    /// What a stream without `max_consumers` may have.
    public var defaultMaxConsumers = 1_000
    public init() {}
}

/// The `jetstream` block of one account. -1 is unlimited.
public struct AccountJetStreamOptions: Sendable, Equatable {
    public var maxMemoryBytes = -1
    public var maxFileBytes = -1
    public var maxStreams = -1
    public var maxConsumers = -1
    public var maxAckPending = -1
    public var memoryStreamBytesMax = -1
    public var fileStreamBytesMax = -1
    public var maxBytesRequired = false
    public init() {}
}
