// A consumer's configuration as its decisions need it: numbers instead of texts and optionals.

/// Durations are nanoseconds; a limit that is not set is 0, but for those that say otherwise.
struct ConsumerSettings {
    var isPull = true
    var ackPolicy = AckPolicy.none
    /// 0 waits for ever.
    var ackWaitNs: UInt64 = 0
    var backoffNs: [UInt64] = []
    var maxDeliver: UInt32 = 0
    var maxAckPending = 0
    var maxWaiting = 0
    /// More than so many wait for no consumer, whatever it says: each takes memory, and some requests look at all of them.
    static let waitingMax = 16_384
    var headersOnly = false
    var heartbeatNs: UInt64 = 0
    /// Of a hundred acks, how many raise a metric.
    var samplePercent: UInt64 = 0
    var priority = PriorityPolicy.none
    var pinNs: UInt64 = 0

    init(_ config: ConsumerConfig) {
        isPull = config.isPull
        ackPolicy = config.ackPolicy
        ackWaitNs = UInt64(max(0, config.ackWaitNs))
        backoffNs = config.backoffNs.map { UInt64(max(0, $0)) }
        if let first = backoffNs.first { ackWaitNs = first }
        maxDeliver = UInt32(clamping: max(0, config.maxDeliver))
        maxAckPending = config.ackPolicy == .none ? 0 : max(0, config.maxAckPending)
        maxWaiting = min(max(1, config.maxWaiting), ConsumerSettings.waitingMax)
        headersOnly = config.headersOnly
        heartbeatNs = UInt64(max(0, config.heartbeatNs))
        priority = config.priorityPolicy
        pinNs = UInt64(max(0, config.priorityTimeoutNs))
        let frequency = config.sampleFrequency.hasSuffix("%") ? config.sampleFrequency.dropLast() : config.sampleFrequency[...]
        samplePercent = UInt64(max(0, Int(frequency) ?? 0))
    }

    /// Whether deliveries wait for acks at all.
    var tracksAcks: Bool { ackPolicy != .none }

    /// How long an ack is waited for after so many deliveries; nil is for ever.
    func ackWait(deliveries: UInt32) -> UInt64? {
        if !backoffNs.isEmpty { return backoffNs[min(Int(max(1, deliveries)) - 1, backoffNs.count - 1)] }
        return ackWaitNs > 0 ? ackWaitNs : nil
    }
}
