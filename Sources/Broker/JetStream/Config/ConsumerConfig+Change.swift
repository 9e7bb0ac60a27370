// What creating a consumer, or changing one that exists, asks of its configuration beyond being right in itself.

import Wire

extension ConsumerConfig {
    /// What a CREATE comes to.
    enum Creation: Equatable {
        case new(ConsumerConfig)
        /// The consumer exists and gets this configuration, which may be the one it has.
        case update(ConsumerConfig)
    }

    /// `name` is the consumer's, empty for one that is still to get a name; `existing` the configuration of the consumer of
    /// that name, `others` those of the stream's other consumers. `hasInterest` says whether somebody subscribes to a subject.
    func checkedForCreate(
        action: ConsumerAction, pedantic: Bool, stream: StreamConfig, limits: JetStreamLimits, existing: ConsumerConfig?,
        others: [ConsumerConfig], hasInterest: (String) -> Bool
    ) throws(APIError) -> Creation {
        if replicas > 1 { throw .streamReplicasNotSupported }
        var requested = self
        // A pause is set with the consumer and changed by CONSUMER.PAUSE.
        if let existing { requested.pauseUntilNs = existing.pauseUntilNs }
        var config = try requested.checked(pedantic: pedantic, stream: stream, limits: limits)
        let limited = others.filter { !$0.direct && !$0.sourcing }
        if let existing {
            if action == .create && !existing.isSame(as: config) { throw .consumerAlreadyExists }
            if stream.retention == .workqueue && !config.isDisjoint(from: limited) { throw .consumerWorkQueueNotUnique }
            try config.checkChanges(from: existing, hasInterest: hasInterest)
            if !existing.isDurable && existing.inactiveThresholdNs != 0 && config.inactiveThresholdNs == 0 {
                config.inactiveThresholdNs = ConsumerConfig.inactiveThresholdOfEphemeralNs
            }
            return .update(config)
        }
        if action == .update { throw .consumerDoesNotExist }
        if let most = ConsumerConfig.countMax(stream, limits), limited.count >= most { throw .maximumConsumersLimit }
        if stream.retention == .workqueue && !config.direct && !config.sourcing {
            if config.ackPolicy != .explicit && config.ackPolicy != .flowControl { throw .consumerWorkQueueRequiresExplicitAck }
            if config.deliverPolicy != .all { throw .consumerWorkQueueNotDeliverAll }
            if !limited.isEmpty {
                if config.filters.isEmpty { throw .consumerWorkQueueMultipleUnfiltered }
                if !config.isDisjoint(from: limited) { throw .consumerWorkQueueNotUnique }
            }
        }
        if max(config.durable.utf8.count, config.name.utf8.count) > JetStreamLimits.nameBytesMax {
            throw .consumerNameTooLong(JetStreamLimits.nameBytesMax)
        }
        if !config.isDurable && config.inactiveThresholdNs == 0 {
            config.inactiveThresholdNs = ConsumerConfig.inactiveThresholdOfEphemeralNs
        }
        return .new(config)
    }

    static let inactiveThresholdOfEphemeralNs: Int64 = 5_000_000_000

    /// How many consumers the stream may have; nil: any number.
    private static func countMax(_ stream: StreamConfig, _ limits: JetStreamLimits) -> Int? {
        var most = stream.maxConsumers
        if most <= 0 || limits.account.maxConsumers > 0 && limits.account.maxConsumers < most {
            most = limits.account.maxConsumers
        }
        if most <= 0 { most = limits.defaultMaxConsumers }
        return most > 0 ? most : nil
    }

    /// Whether each message of a workqueue would still have one consumer at most.
    private func isDisjoint(from others: [ConsumerConfig]) -> Bool {
        !others.contains { other in
            !filters.isEmpty
                && (other.filters.isEmpty
                    || other.filters.contains { taken in filters.contains { SubjectText.overlap($0, taken) } })
        }
    }

    private func checkChanges(from old: ConsumerConfig, hasInterest: (String) -> Bool) throws(APIError) {
        if isSame(as: old) { return }
        func refuse(_ what: String) -> APIError { .consumerCreate("\(what) can not be updated") }
        try checkKeyChange(from: old)
        if deliverPolicy != old.deliverPolicy { throw refuse("deliver policy") }
        if memoryStorage != old.memoryStorage { throw refuse("storage type") }
        if direct != old.direct { throw refuse("direct") }
        if sourcing != old.sourcing { throw refuse("sourcing") }
        if startSequence != old.startSequence { throw refuse("start sequence") }
        if startTimeNs != old.startTimeNs { throw refuse("start time") }
        if ackPolicy != old.ackPolicy { throw refuse("ack policy") }
        if replayPolicy != old.replayPolicy { throw refuse("replay policy") }
        if heartbeatNs != old.heartbeatNs { throw refuse("heart beats") }
        if flowControl != old.flowControl { throw refuse("flow control") }
        if deliverSubject != old.deliverSubject {
            if old.isPull { throw .consumerCreate("can not update pull consumer to push based") }
            if isPull { throw .consumerCreate("can not update push consumer to pull based") }
            if hasInterest(old.deliverSubject) { throw .consumerNameExists }
        }
        if maxWaiting != old.maxWaiting { throw refuse("max waiting") }
    }
}
