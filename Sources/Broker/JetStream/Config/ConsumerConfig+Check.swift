// Checks a consumer's configuration and fills in the defaults, in nats-server's order: the first fault is what is answered.

import Wire

extension ConsumerConfig {
    static let heartbeatOfFlowControlNs: Int64 = 1_000_000_000

    var isDurable: Bool { !durable.isEmpty }

    /// The configuration with its defaults, or what is wrong with it. In pedantic mode nothing is corrected silently.
    func checked(pedantic: Bool, stream: StreamConfig, limits: JetStreamLimits) throws(APIError) -> ConsumerConfig {
        var config = self
        config.metadata = APIMetadata.stored(metadata, requiring: requiredAPILevel)
        try config.fillDefaults(pedantic, stream, limits)
        try config.checkNamesAndPolicies(stream)
        try config.checkKeyed()
        if config.ackPolicy == .flowControl { try config.checkFlowControlAcks() }
        if !config.backoffNs.isEmpty && config.maxDeliver != -1 && config.backoffNs.count > config.maxDeliver {
            throw .consumerMaxDeliverBackoff
        }
        if config.description.utf8.count > JetStreamLimits.descriptionBytesMax {
            throw .consumerDescriptionTooLong(JetStreamLimits.descriptionBytesMax)
        }
        if config.isPull { try config.checkPull(stream, limits) } else { try config.checkPush(stream) }
        try config.checkLimits(stream, limits)
        if config.direct {
            if config.isPull { throw .consumerDirectRequiresPush }
            if config.isDurable { throw .consumerDirectRequiresEphemeral }
        }
        try config.checkFilters()
        try config.checkStart()
        try config.checkSampling()
        if config.flowControl && config.heartbeatNs == 0 { throw .consumerWithFlowControlNeedsHeartbeats }
        if config.isDurable && !config.name.isEmpty && config.name != config.durable {
            throw .consumerCreateDurableAndNameMismatch
        }
        if APIMetadata.byteCount(config.metadata) > JetStreamLimits.metadataBytesMax {
            throw .consumerMetadataLength("\(JetStreamLimits.metadataBytesMax / 1024)KB")
        }
        try config.checkPriorities()
        return config
    }

    private mutating func fillDefaults(
        _ pedantic: Bool, _ stream: StreamConfig, _ limits: JetStreamLimits
    ) throws(APIError) {
        /// Puts a number right that is below what it may be.
        func raise<Number: SignedInteger>(
            _ number: inout Number, below least: Number, to value: Number, _ reason: String
        ) throws(APIError) {
            guard number < least else { return }
            if pedantic { throw .pedantic(reason) }
            number = value
        }
        try raise(&maxDeliver, below: -1, to: -1, "max_deliver must be set to -1")
        if maxDeliver == 0 { maxDeliver = -1 }
        try raise(&maxWaiting, below: 0, to: 0, "max_waiting must not be negative")
        try raise(&maxAckPending, below: -1, to: -1, "max_ack_pending must be set to -1")
        try raise(&maxRequestBatch, below: 0, to: 0, "max_batch must not be negative")
        try raise(&maxRequestExpiresNs, below: 0, to: 0, "max_expires must not be negative")
        try raise(&maxRequestMaxBytes, below: 0, to: 0, "max_bytes must not be negative")
        try raise(&heartbeatNs, below: 0, to: 0, "idle_heartbeat must not be negative")
        try raise(&inactiveThresholdNs, below: 0, to: 0, "inactive_threshold must not be negative")
        try raise(&priorityTimeoutNs, below: 0, to: 0, "priority_timeout must not be negative")

        if isPull && maxWaiting == 0 { maxWaiting = 512 }
        if ackWaitNs == 0 && (ackPolicy == .explicit || ackPolicy == .all) { ackWaitNs = 30_000_000_000 }
        if let first = backoffNs.first {
            if pedantic && ackWaitNs != first { throw .pedantic("first backoff value has to equal batch AckWait") }
            ackWaitNs = first
        }
        if maxAckPending == 0 {
            if pedantic && stream.consumerLimits.maxAckPending > 0 {
                throw .pedantic("max_ack_pending must be set if it's configured in stream limits")
            }
            maxAckPending = stream.consumerLimits.maxAckPending
        }
        if inactiveThresholdNs == 0 {
            if pedantic && stream.consumerLimits.inactiveThresholdNs > 0 {
                throw .pedantic("inactive_threshold must be set if it's configured in stream limits")
            }
            inactiveThresholdNs = stream.consumerLimits.inactiveThresholdNs
        }
        if maxAckPending == 0 && ackPolicy != .none {
            maxAckPending = [1_000, limits.maxAckPending, limits.account.maxAckPending].filter { $0 > 0 }.min() ?? 1_000
        }
        if isPull && maxRequestBatch == 0 && limits.maxRequestBatch > 0 {
            if pedantic { throw .pedantic("max_request_batch must be set if it's JetStream limits are set") }
            maxRequestBatch = limits.maxRequestBatch
        }
        if priorityPolicy == .pinnedClient && priorityTimeoutNs == 0 { priorityTimeoutNs = 120_000_000_000 }
        if ackPolicy == .flowControl && !pedantic {
            flowControl = true
            heartbeatNs = ConsumerConfig.heartbeatOfFlowControlNs
        }
    }

    private func checkNamesAndPolicies(_ stream: StreamConfig) throws(APIError) {
        if !name.isEmpty && !AssetName.isValid(name) {
            throw .streamInvalidConfig("consumer name can not contain '.', '*', '>', '\\', '/'")
        }
        if isDurable && !AssetName.isValid(durable) {
            throw .streamInvalidConfig("consumer durable name can not contain '.', '*', '>', '\\', '/'")
        }
        if replicas > stream.replicas { throw .consumerReplicasExceedsStream }
        if replicas < 0 { throw .replicasCountCannotBeNegative }
        if stream.retention != .limits && replicas != 0 && replicas != stream.replicas {
            throw .consumerReplicasShouldMatchStream
        }
        if backoffNs.contains(where: { $0 < 0 }) { throw .consumerBackoffNegative }
        if ackWaitNs < 0 { throw .consumerAckWaitNegative }
    }

    private func checkFlowControlAcks() throws(APIError) {
        if isPull { throw .consumerAckFlowControlRequiresPush }
        if !flowControl { throw .consumerAckFlowControlRequiresFlowControl }
        if heartbeatNs != ConsumerConfig.heartbeatOfFlowControlNs {
            throw .streamInvalidConfig("flow control ack policy heartbeat needs to be 1s")
        }
        if maxAckPending <= 0 { throw .consumerAckFlowControlRequiresMaxAckPending }
        if ackWaitNs != 0 || !backoffNs.isEmpty { throw .consumerAckFlowControlRequiresNoAckWait }
        if maxDeliver > 0 { throw .consumerAckFlowControlRequiresNoMaxDeliver }
    }

    private func checkPush(_ stream: StreamConfig) throws(APIError) {
        if !SubjectText.isLiteral(deliverSubject) { throw .consumerDeliverToWildcards }
        if !SubjectText.isValid(deliverSubject) { throw .consumerInvalidDeliverSubject }
        // What it delivers would be stored and delivered again.
        if stream.subjects.contains(where: { SubjectText.isSubset(deliverSubject, of: $0) }) { throw .consumerDeliverCycle }
        if maxWaiting != 0 { throw .consumerPushMaxWaiting }
        if maxAckPending > 0 && ackPolicy == .none { throw .consumerMaxPendingAckPolicyRequired }
        if heartbeatNs > 0 && heartbeatNs < 100_000_000 { throw .consumerSmallHeartbeat }
    }

    private func checkPull(_ stream: StreamConfig, _ limits: JetStreamLimits) throws(APIError) {
        if ackPolicy == .none && stream.retention == .workqueue { throw .consumerPullRequiresAck }
        if rateLimitBitsPerSecond > 0 { throw .consumerPullWithRateLimit }
        if heartbeatNs > 0 { throw .consumerHeartbeatRequiresPush }
        if flowControl { throw .consumerFlowControlRequiresPush }
        if maxRequestExpiresNs != 0 && maxRequestExpiresNs < 1_000_000 { throw .consumerMaxRequestExpiresTooSmall }
        if limits.maxRequestBatch > 0 && maxRequestBatch > limits.maxRequestBatch {
            throw .consumerMaxRequestBatchExceeded(limits.maxRequestBatch)
        }
    }

    private func checkLimits(_ stream: StreamConfig, _ limits: JetStreamLimits) throws(APIError) {
        for limit in [limits.maxAckPending, limits.account.maxAckPending, stream.consumerLimits.maxAckPending]
        where limit > 0 && maxAckPending > limit {
            throw .consumerMaxPendingAckExcess(limit)
        }
        let threshold = stream.consumerLimits.inactiveThresholdNs
        if threshold > 0 && inactiveThresholdNs > threshold {
            throw .consumerInactiveThresholdExcess("\(ConfigurationDuration(nanoseconds: Int(threshold)))")
        }
    }

    private func checkFilters() throws(APIError) {
        if !filterSubject.isEmpty && !filterSubjects.isEmpty { throw .consumerDuplicateFilterSubjects }
        if !filterSubject.isEmpty && !SubjectText.isValid(filterSubject) { throw .streamInvalidConfig("invalid subject") }
        if filterSubjects.contains("") { throw .consumerEmptyFilter }
        // What is not valid contains nothing, and is refused in its turn.
        let tree = PatternTree(filters.filter(SubjectText.isValid))
        for filter in filters {
            if !SubjectText.isValid(filter) { throw .streamInvalidConfig("invalid subject") }
            if tree.contains(filter, atLeast: 2) { throw .consumerOverlappingSubjectFilters }
        }
    }

    /// Where to start must be said if, and only if, the policy asks for it.
    private func checkStart() throws(APIError) {
        func refuse(_ policy: String, set option: String) -> APIError {
            .consumerInvalidPolicy("consumer delivery policy is deliver \(policy), but optional start \(option) is also set")
        }
        func refuse(_ policy: String, unset option: String) -> APIError {
            .consumerInvalidPolicy("consumer delivery policy is deliver \(policy), but optional \(option) is not set")
        }
        let words = deliverPolicy.rawValue.split(separator: "_").joined(separator: " ")
        switch deliverPolicy {
        case .all, .last, .new, .lastPerSubject:
            if startSequence > 0 { throw refuse(words, set: "sequence") }
            if startTimeNs != nil { throw refuse(words, set: "time") }
            if deliverPolicy == .lastPerSubject && filters.isEmpty { throw refuse(words, unset: "filter subject") }
        case .byStartSequence:
            if startSequence == 0 { throw refuse(words, unset: "start sequence") }
            if startTimeNs != nil { throw refuse(words, set: "time") }
        case .byStartTime:
            if startTimeNs == nil { throw refuse(words, unset: "start time") }
            if startSequence != 0 { throw refuse(words, set: "start sequence") }
        }
    }

    /// The share of acks to sample, in percent; 0 where none is asked for.
    var samplePercent: Int { Int(sampleDigits) ?? 0 }

    private var sampleDigits: Substring { sampleFrequency.hasSuffix("%") ? sampleFrequency.dropLast() : sampleFrequency[...] }

    private func checkSampling() throws(APIError) {
        if sampleFrequency.isEmpty { return }
        let digits = sampleDigits
        guard let percent = Int(digits) else {
            let unsigned = digits.first == "-" || digits.first == "+" ? digits.dropFirst() : digits
            let isNumber = !unsigned.isEmpty && unsigned.utf8.allSatisfy { $0 >= 0x30 && $0 <= 0x39 }
            let reason = isNumber ? "value out of range" : "invalid syntax"
            throw .consumerInvalidSampling("strconv.Atoi: parsing \(goQuoted(String(digits))): \(reason)")
        }
        if percent < 0 { throw .consumerInvalidSampling("<nil>") }
    }

    private func checkPriorities() throws(APIError) {
        guard priorityPolicy != .none else {
            if !priorityGroups.isEmpty { throw .consumerPriorityGroupWithPolicyNone }
            if priorityTimeoutNs > 0 { throw .consumerPinnedTTLWithoutPriorityPolicy }
            return
        }
        if !isPull { throw .consumerPushWithPriorityGroup }
        if priorityGroups.isEmpty { throw .consumerPriorityPolicyWithoutGroup }
        for group in priorityGroups {
            if group.isEmpty { throw .consumerEmptyGroupName }
            let isValid =
                group.utf8.count <= 16
                && group.utf8.allSatisfy { byte in
                    switch byte {
                    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "/"), UInt8(ascii: "_"), UInt8(ascii: "="),
                        UInt8(ascii: "-"):
                        true
                    default: false
                    }
                }
            if !isValid { throw .consumerInvalidGroupName }
        }
    }
}
