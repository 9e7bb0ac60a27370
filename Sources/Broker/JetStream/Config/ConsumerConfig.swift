// A consumer's configuration, field for field as JetStream names them (reference: ConsumerConfig of nats-server 2.15).

enum DeliverPolicy: String, Sendable {
    case all, last, new
    case byStartSequence = "by_start_sequence"
    case byStartTime = "by_start_time"
    case lastPerSubject = "last_per_subject"
}
enum AckPolicy: String, Sendable {
    case none, all, explicit
    case flowControl = "flow_control"
}
enum ReplayPolicy: String, Sendable { case instant, original }
enum PriorityPolicy: String, Sendable {
    case none, overflow, prioritized
    case pinnedClient = "pinned_client"
}

/// Durations are nanoseconds, times nanoseconds since 1970.
struct ConsumerConfig: Sendable, Equatable {
    var durable = ""
    var name = ""
    var description = ""
    var deliverPolicy = DeliverPolicy.all
    var startSequence: UInt64 = 0
    var startTimeNs: Int64?
    var ackPolicy = AckPolicy.none
    var ackWaitNs: Int64 = 0
    var maxDeliver = 0
    var backoffNs: [Int64] = []
    var filterSubject = ""
    var filterSubjects: [String] = []
    var replayPolicy = ReplayPolicy.instant
    var rateLimitBitsPerSecond: UInt64 = 0
    var sampleFrequency = ""
    var maxWaiting = 0
    var maxAckPending = 0
    var headersOnly = false
    var maxRequestBatch = 0
    var maxRequestExpiresNs: Int64 = 0
    var maxRequestMaxBytes = 0
    /// Empty in a pull consumer.
    var deliverSubject = ""
    var deliverGroup = ""
    var flowControl = false
    var heartbeatNs: Int64 = 0
    var inactiveThresholdNs: Int64 = 0
    var replicas = 0
    var memoryStorage = false
    var direct = false
    var sourcing = false
    var metadata: [String: String] = [:]
    var pauseUntilNs: Int64?
    var priorityGroups: [String] = []
    var priorityPolicy = PriorityPolicy.none
    var priorityTimeoutNs: Int64 = 0

    var isPull: Bool { deliverSubject.isEmpty }
    /// What it filters by: nothing means everything.
    var filters: [String] { filterSubject.isEmpty ? filterSubjects : [filterSubject] }
}
