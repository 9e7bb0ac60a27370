// Checks a stream's configuration and fills in the defaults, in nats-server's order, since the first fault is what is answered.

import Wire

extension StreamConfig {
    /// The configuration as it will be stored, or what is wrong with it. In pedantic mode nothing is corrected silently.
    func checked(pedantic: Bool, limits: JetStreamLimits, directory: StreamDirectory) throws(APIError) -> StreamConfig {
        var config = self
        config.metadata = APIMetadata.stored(metadata, requiring: requiredAPILevel)
        try config.checkTexts()
        try config.fillLimits(pedantic)
        try config.fillDuplicateWindow(pedantic, limits)
        try config.checkFeatures(pedantic)
        try config.checkMirrorAndSources(pedantic, directory)
        try config.checkSubjects(limits)
        try config.checkTransforms(pedantic)
        if config.placement == PlacementConfig() { config.placement = nil }
        if config.placement?.preferred.isEmpty == false {
            throw .streamInvalidConfig("preferred server not permitted in placement")
        }
        return config
    }

    private func checkTexts() throws(APIError) {
        guard AssetName.isValid(name) else {
            throw .streamInvalidConfig("stream name is required and can not contain '.', '*', '>', '\\', '/'")
        }
        guard name.utf8.count <= JetStreamLimits.nameBytesMax else {
            throw .streamInvalidConfig("stream name is too long, maximum allowed is \(JetStreamLimits.nameBytesMax)")
        }
        guard description.utf8.count <= JetStreamLimits.descriptionBytesMax else {
            throw .streamInvalidConfig(
                "stream description is too long, maximum allowed is \(JetStreamLimits.descriptionBytesMax)")
        }
        guard APIMetadata.byteCount(metadata) <= JetStreamLimits.metadataBytesMax else {
            throw .streamInvalidConfig("stream metadata exceeds maximum size of \(JetStreamLimits.metadataBytesMax) bytes")
        }
    }

    private mutating func fillLimits(_ pedantic: Bool) throws(APIError) {
        if replicas == 0 { replicas = 1 }
        if replicas > JetStreamLimits.replicasMax {
            throw .streamInvalidConfig("maximum replicas is \(JetStreamLimits.replicasMax)")
        }
        if replicas < 0 { throw .replicasCountCannotBeNegative }
        try StreamConfig.fill(&maxMessages, "max_msgs", pedantic)
        try StreamConfig.fill(&maxMessagesPerSubject, "max_msgs_per_subject", pedantic)
        try StreamConfig.fill(&maxBytes, "max_bytes", pedantic)
        try StreamConfig.fill(&maxMessageBytes, "max_msg_size", pedantic)
        try StreamConfig.fill(&maxConsumers, "max_consumers", pedantic)
        if maxAgeNs < 0 { throw .streamInvalidConfig("max age can not be negative") }
        if maxAgeNs != 0 && maxAgeNs < 100_000_000 { throw .streamInvalidConfig("max age needs to be >= 100ms") }
    }

    private static func fill<Number: SignedInteger>(_ limit: inout Number, _ name: String, _ pedantic: Bool) throws(APIError) {
        if limit < -1 && pedantic { throw .pedantic("\(name) must be set to -1") }
        if limit == 0 || limit < -1 { limit = -1 }
    }

    private mutating func fillDuplicateWindow(_ pedantic: Bool, _ limits: JetStreamLimits) throws(APIError) {
        if duplicateWindowNs == 0 && mirror == nil && sources.isEmpty {
            var window: Int64 = 120_000_000_000
            if limits.maxDuplicateWindowNs > 0 && window > limits.maxDuplicateWindowNs {
                if pedantic { throw .pedantic("duplicate window limits are higher than current limits") }
                window = limits.maxDuplicateWindowNs
            }
            if maxAgeNs != 0 && maxAgeNs < window {
                if pedantic { throw .pedantic("duplicate window cannot be bigger than max age") }
                window = maxAgeNs
            }
            duplicateWindowNs = window
        }
        if duplicateWindowNs < 0 { throw .streamInvalidConfig("duplicates window can not be negative") }
        if maxAgeNs != 0 && duplicateWindowNs > maxAgeNs {
            throw .streamInvalidConfig("duplicates window can not be larger then max age")
        }
        if limits.maxDuplicateWindowNs > 0 && duplicateWindowNs > limits.maxDuplicateWindowNs {
            let limit = ConfigurationDuration(nanoseconds: Int(limits.maxDuplicateWindowNs))
            throw .streamInvalidConfig("duplicates window can not be larger then server limit of \(limit)")
        }
        if duplicateWindowNs > 0 && duplicateWindowNs < 100_000_000 {
            throw .streamInvalidConfig("duplicates window needs to be >= 100ms")
        }
    }

    private mutating func checkFeatures(_ pedantic: Bool) throws(APIError) {
        if denyPurge && allowRollup { throw .streamInvalidConfig("roll-ups require the purge permission") }
        if allowMessageCounter {
            if discard == .new { throw .streamInvalidConfig("counter stream cannot use discard new") }
            if allowMessageTTL { throw .streamInvalidConfig("counter stream cannot use message TTLs") }
            if allowMessageSchedules { throw .streamInvalidConfig("counter stream cannot use message schedules") }
            if retention != .limits { throw .streamInvalidConfig("counter stream can only use limits retention") }
        }
        try checkDiscardNewPerSubject()
        if subjectDeleteMarkerTTLNs > 0 {
            if subjectDeleteMarkerTTLNs < 1_000_000_000 {
                throw .streamInvalidConfig("subject delete marker TTL must be at least 1 second")
            }
            if !allowMessageTTL {
                if pedantic { throw .streamInvalidConfig("subject delete marker cannot be set if message TTLs are disabled") }
                allowMessageTTL = true
            }
            try implyRollup("subject delete marker", pedantic)
        } else if subjectDeleteMarkerTTLNs < 0 {
            throw .streamInvalidConfig("subject delete marker TTL must not be negative")
        }
        if allowMessageSchedules {
            if discard == .new { throw .streamInvalidConfig("message scheduling cannot use discard new") }
            try implyRollup("message scheduling", pedantic)
        }
        if persistMode == .async {
            if storage != .file { throw .streamInvalidConfig("async persist mode is only supported on file storage") }
            if replicas > 1 { throw .streamInvalidConfig("async persist mode is not supported on replicated streams") }
            if allowAtomicPublish {
                throw .streamInvalidConfig("async persist mode is not supported with atomic batch publish")
            }
        }
    }

    func checkDiscardNewPerSubject() throws(APIError) {
        guard discardNewPerSubject else { return }
        if discard != .new { throw .streamInvalidConfig("discard new per subject requires discard new policy to be set") }
        if maxMessagesPerSubject <= 0 {
            throw .streamInvalidConfig("discard new per subject requires max msgs per subject > 0")
        }
    }

    /// What delete markers and schedules store needs roll-ups, and those may not be denied.
    private mutating func implyRollup(_ feature: String, _ pedantic: Bool) throws(APIError) {
        if allowRollup { return }
        if pedantic { throw .streamInvalidConfig("\(feature) cannot be set if roll-ups are disabled") }
        (allowRollup, denyPurge) = (true, false)
    }

    private mutating func checkSubjects(_ limits: JetStreamLimits) throws(APIError) {
        if subjects.isEmpty {
            if mirror == nil && sources.isEmpty { subjects = [name] }
        } else {
            if mirror != nil { throw .mirrorWithSubjects }
            let tree = PatternTree(subjects.filter(SubjectText.isValid))
            let invalid = subjects.filter { !SubjectText.isValid($0) }
            for (place, subject) in subjects.enumerated() {
                try check(subject, at: place) {
                    tree.overlaps(subject, atLeast: 2) || invalid.contains { SubjectText.overlap($0, subject) }
                }
            }
        }
        let streamBytes = storage == .memory ? limits.account.memoryMaxStreamBytes : limits.account.storageMaxStreamBytes
        if limits.account.maxBytesRequired && maxBytes <= 0 { throw .streamMaxBytesRequired }
        if streamBytes > 0 && maxBytes > streamBytes { throw .streamMaxStreamBytesExceeded }
    }

    /// - Parameter overlaps: whether the subject does with any of the others, so that it is worth looking for the first of them.
    private func check(_ subject: String, at place: Int, overlaps: () -> Bool) throws(APIError) {
        if !SubjectText.isValid(subject) { throw .streamInvalidConfig("invalid subject") }
        if subject == ">" {
            if !noAck { throw .streamInvalidConfig("capturing all subjects requires no-ack to be true") }
            if replicas != 1 { throw .streamInvalidConfig("capturing all subjects requires replicas of 1") }
        }
        // An ack of the server's own API would be answered as a publish.
        if !noAck {
            for space in ["$JS.>", "$JSC.>", "$NRG.>"]
            where SubjectText.overlap(subject, space) && !SubjectText.isSubset(subject, of: "$JS.EVENT.>") {
                throw .streamInvalidConfig("subjects that overlap with jetstream api require no-ack to be true")
            }
            if SubjectText.overlap(subject, "$SYS.>") && !SubjectText.isSubset(subject, of: "$SYS.ACCOUNT.>") {
                throw .streamInvalidConfig("subjects that overlap with system api require no-ack to be true")
            }
        }
        guard overlaps() else { return }
        for other in subjects[(place + 1)...] where SubjectText.overlap(other, subject) {
            throw .streamInvalidConfig("subject \(goQuoted(subject)) overlaps with \(goQuoted(other))")
        }
    }

    private mutating func checkTransforms(_ pedantic: Bool) throws(APIError) {
        if let transform = subjectTransform {
            if !transform.source.isEmpty && !SubjectText.isValid(transform.source) {
                throw .streamTransformInvalidSource("invalid subject \(transform.source)")
            }
            do throws(SubjectTransform.Failure) {
                try SubjectTransform.validate(source: transform.source, destination: transform.destination)
            } catch {
                throw .streamTransformInvalidDestination(error.description)
            }
        }
        guard var republish else { return }
        if republish.source.isEmpty {
            if pedantic { throw .pedantic("republish source can not be empty") }
            republish.source = ">"
        }
        // From everything to everything means: whatever the transform makes of it, where it makes something else of it.
        if republish.source == ">", republish.destination == ">", let transform = subjectTransform,
            subjects == [transform.source]
        {
            if pedantic { throw .pedantic("implicit republish based on subject transform") }
            (republish.source, republish.destination) = (transform.destination, transform.destination)
        }
        if subjects.contains(where: { SubjectText.overlap(republish.destination, $0) }) {
            throw .streamInvalidConfig("stream configuration for republish destination forms a cycle")
        }
        do throws(SubjectTransform.Failure) {
            _ = try SubjectTransform.parse(source: republish.source, destination: republish.destination)
        } catch {
            throw .streamInvalidConfig(
                "stream configuration for republish with transform from '\(republish.source)' to "
                    + "'\(republish.destination)' not valid")
        }
        self.republish = republish
    }
}
