// What creating a stream, or changing one that exists, asks of its configuration beyond being right in itself.

import Wire

extension StreamConfig {
    /// What a CREATE comes to.
    enum Creation: Equatable {
        /// A stream of this name and configuration exists: the request succeeds and changes nothing.
        case exists
        case new(StreamConfig)
    }

    func checkedForCreate(
        pedantic: Bool, limits: JetStreamLimits, directory: StreamDirectory
    ) throws(APIError) -> Creation {
        if sealed { throw .streamInvalidConfig("stream configuration for create can not be sealed") }
        let config = try checked(pedantic: pedantic, limits: limits, directory: directory)
        if config.replicas > 1 { throw .streamReplicasNotSupported }
        if let existing = directory.stream(name) {
            guard existing.isSame(as: config) else { throw .streamNameExists }
            return .exists
        }
        try config.checkReservation(of: config.maxBytes, limits: limits, directory: directory)
        if limits.account.maxStreams > 0 && directory.streams.count >= limits.account.maxStreams { throw .maximumStreamsLimit }
        if let filter = config.mirror?.filterSubject, !filter.isEmpty, !SubjectText.isValid(filter) {
            throw .streamCreate("subject filter '\(filter)' for the mirror invalid subject")
        }
        for filter in config.sources.map(\.filterSubject) where !filter.isEmpty && !SubjectText.isValid(filter) {
            throw .streamCreate("subject filter '\(filter)' for the source: invalid subject")
        }
        if directory.overlaps(config.subjects, except: name) { throw .streamSubjectOverlap }
        return .new(config)
    }

    /// The configuration that an UPDATE leaves the stream with. `consumers` are the stream's own.
    func checkedForUpdate(
        from old: StreamConfig, pedantic: Bool, limits: JetStreamLimits, directory: StreamDirectory,
        consumers: [ConsumerConfig]
    ) throws(APIError) -> StreamConfig {
        var config = try checked(pedantic: pedantic, limits: limits, directory: directory)
        if config.name != old.name { throw .streamInvalidConfig("stream configuration name must match original") }
        if config.replicas > 1 { throw .streamReplicasNotSupported }
        try config.checkChanges(from: old)
        if config.sealed {
            config.maxAgeNs = 0
            config.discard = .new
            (config.denyDelete, config.denyPurge, config.allowRollup) = (true, true, false)
        }
        let growth = max(0, max(config.maxBytes, 0) - max(old.maxBytes, 0))
        try config.checkReservation(of: growth, beside: config.maxBytes - growth, limits: limits, directory: directory)
        try config.checkConsumerLimits(from: old, consumers)
        if directory.overlaps(config.subjects, except: name) { throw .streamSubjectOverlap }
        return config
    }

    private func checkChanges(from old: StreamConfig) throws(APIError) {
        func refuse(_ change: String) -> APIError { .streamInvalidConfig("stream configuration update can not \(change)") }
        if storage != old.storage { throw refuse("change storage type") }
        if retention != old.retention && (old.retention == .workqueue || retention == .workqueue) {
            throw refuse("change retention policy to/from workqueue")
        }
        if !sealed && old.sealed { throw refuse("unseal a sealed stream") }
        if !denyDelete && old.denyDelete { throw refuse("cancel deny message deletes") }
        if !denyPurge && old.denyPurge { throw refuse("cancel deny purge") }
        // A mirror may lose its origin and become a stream of its own; it may not change it.
        if mirror != nil && mirror != old.mirror { throw .streamMirrorNotUpdatable }
        try checkDiscardNewPerSubject()
        if old.allowMessageTTL && !allowMessageTTL { throw .streamInvalidConfig("message TTL status can not be disabled") }
        if allowMessageCounter != old.allowMessageCounter { throw refuse("change message counter setting") }
        if old.allowMessageSchedules && !allowMessageSchedules {
            throw .streamInvalidConfig("message schedules can not be disabled")
        }
        if persistMode != old.persistMode { throw refuse("change persist mode") }
    }

    /// Consumers keep what they were given: limits below that are refused.
    private func checkConsumerLimits(from old: StreamConfig, _ consumers: [ConsumerConfig]) throws(APIError) {
        let (new, before) = (consumerLimits, old.consumerLimits)
        let isChanged =
            new.inactiveThresholdNs > 0 && new.inactiveThresholdNs != before.inactiveThresholdNs
            || new.maxAckPending > 0 && new.maxAckPending != before.maxAckPending
        guard isChanged else { return }
        let violated = consumers.filter { consumer in
            new.inactiveThresholdNs > 0 && consumer.inactiveThresholdNs > new.inactiveThresholdNs
                || new.maxAckPending > 0 && consumer.maxAckPending > new.maxAckPending
        }
        if !violated.isEmpty {
            let names = violated.map { $0.durable.isEmpty ? $0.name : $0.durable }.sorted()
            throw .streamUpdate("change to limits violates consumers: \(names.joined(separator: ", "))")
        }
    }

    /// Whether account and server have room for what the stream reserves: `bytes` anew, beside what it has.
    private func checkReservation(
        of bytes: Int64, beside kept: Int64 = 0, limits: JetStreamLimits, directory: StreamDirectory
    ) throws(APIError) {
        let account = limits.account
        if maxConsumers > 0 && account.maxConsumers > 0 && maxConsumers > account.maxConsumers { throw .maximumConsumersLimit }
        // A stream without a limit needs one byte to be there.
        let added = bytes < 0 ? 1 : bytes
        let reserved = directory.reservedBytes(storage, except: name).addingSaturated(max(0, kept)).addingSaturated(added)
        switch storage {
        case .memory:
            if account.maxMemoryBytes >= 0 && reserved > account.maxMemoryBytes { throw .memoryResourcesExceeded }
            if let limit = limits.serverMemoryBytes, directory.serverReservedMemoryBytes.addingSaturated(added) > limit {
                throw .memoryResourcesExceeded
            }
        case .file:
            if account.maxStorageBytes >= 0 && reserved > account.maxStorageBytes { throw .storageResourcesExceeded }
            if let limit = limits.serverStorageBytes, directory.serverReservedStorageBytes.addingSaturated(added) > limit {
                throw .storageResourcesExceeded
            }
        }
    }
}
