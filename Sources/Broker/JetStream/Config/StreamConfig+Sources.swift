// Checks a stream's mirror and sources, and finds cycles among streams that feed each other.

import Wire

extension StreamSourceConfig {
    /// What tells this source apart from others of the same stream: name, domain, filters, and what they are turned into.
    /// Source headers of stored messages name the filters and destinations in the same form.
    var indexName: String { "\(originName) \(indexSource) \(indexDestination)" }

    /// The origin's name, with where it is if that is elsewhere.
    var originName: String { external.map { "\(name):\($0.apiPrefix)" } ?? name }

    var indexSource: String {
        if subjectTransforms.isEmpty { return filterSubject.isEmpty ? ">" : filterSubject }
        return subjectTransforms.map { $0.source.isEmpty ? ">" : $0.source }.joined(separator: "\u{0C}")
    }

    var indexDestination: String {
        if subjectTransforms.isEmpty { return ">" }
        return subjectTransforms.map { $0.destination.isEmpty ? ">" : $0.destination }.joined(separator: "\u{0C}")
    }

    /// Whether its durable consumer can be what it says, and stands instead of what the consumer decides itself.
    fileprivate var hasValidConsumer: Bool {
        guard let consumer else { return true }
        return AssetName.isValid(consumer.name) && SubjectText.isLiteral(consumer.deliverSubject)
            && SubjectText.isValid(consumer.deliverSubject) && startSequence == 0 && startTimeNs == nil && filterSubject.isEmpty
    }
}

extension StreamConfig {
    mutating func checkMirrorAndSources(_ pedantic: Bool, _ directory: StreamDirectory) throws(APIError) {
        /// The subjects of the streams that feed this one.
        var originSubjects: [String] = []
        if let mirror {
            try check(mirror: mirror)
            if mirror.external == nil {
                guard AssetName.isValid(mirror.name) else { throw .mirrorInvalidStreamName }
                if let origin = directory.stream(mirror.name) {
                    originSubjects += origin.subjects
                    if isSmaller(than: origin) { throw .mirrorMaxMessageSizeTooBig }
                    if pedantic && mirrorDirect != origin.allowDirect {
                        throw .pedantic("origin stream has direct get set, mirror has it disabled")
                    }
                    mirrorDirect = origin.allowDirect
                }
            }
        } else if mirrorDirect && directory.stream(name)?.mirrorDirect != true {
            // One that was a mirror may keep it.
            throw .streamInvalidConfig("stream has no mirror but does have mirror direct")
        }
        if !sources.isEmpty && allowMessageSchedules { throw .sourceWithMessageSchedules }
        var names: Set<String> = []
        var consumerNames: Set<String> = []
        for source in sources {
            try check(source: source, &names, &consumerNames)
            guard source.external == nil, let origin = directory.stream(source.name) else { continue }
            originSubjects += origin.subjects
            if isSmaller(than: origin) { throw .sourceMaxMessageSizeTooBig }
        }
        try checkExternals(originSubjects)
        try checkCycles(directory)
    }

    private func isSmaller(than origin: StreamConfig) -> Bool {
        maxMessageBytes > 0 && origin.maxMessageBytes > 0 && maxMessageBytes < origin.maxMessageBytes
    }

    private func check(mirror: StreamSourceConfig) throws(APIError) {
        if firstSequence > 0 { throw .mirrorWithFirstSequence }
        if !subjects.isEmpty { throw .mirrorWithSubjects }
        if !sources.isEmpty { throw .mirrorWithSources }
        if allowMessageCounter { throw .mirrorWithCounters }
        if allowAtomicPublish { throw .mirrorWithAtomicPublish }
        if allowBatchPublish { throw .mirrorWithBatchPublish }
        if allowMessageSchedules { throw .mirrorWithMessageSchedules }
        if !mirror.hasValidConsumer { throw .mirrorConsumerConfigInvalid }
        if !mirror.filterSubject.isEmpty && !mirror.subjectTransforms.isEmpty { throw .mirrorMultipleFiltersNotAllowed }
        if subjectDeleteMarkerTTLNs > 0 { throw .streamInvalidConfig("subject delete markers forbidden on mirrors") }
        for (place, transform) in mirror.subjectTransforms.enumerated() {
            if !transform.source.isEmpty && !SubjectText.isValid(transform.source) {
                throw .mirrorInvalidSubjectFilter("invalid subject \(transform.source)")
            }
            do throws(SubjectTransform.Failure) {
                try SubjectTransform.validate(source: transform.source, destination: transform.destination)
            } catch {
                throw .mirrorInvalidTransformDestination(error.description)
            }
            for (otherPlace, other) in mirror.subjectTransforms.enumerated()
            where otherPlace != place && SubjectText.overlap(transform.source, other.source) {
                throw .mirrorOverlappingSubjectFilters
            }
        }
    }

    private func check(
        source: StreamSourceConfig, _ names: inout Set<String>, _ consumerNames: inout Set<String>
    ) throws(APIError) {
        guard AssetName.isValid(source.name) else { throw .sourceInvalidStreamName }
        guard names.insert(source.indexName).inserted else { throw .sourceDuplicateDetected }
        if !source.filterSubject.isEmpty && !source.subjectTransforms.isEmpty { throw .sourceMultipleFiltersNotAllowed }
        for transform in source.subjectTransforms {
            if !transform.source.isEmpty && !SubjectText.isValid(transform.source) {
                throw .sourceInvalidSubjectFilter("invalid subject \(transform.source)")
            }
            do throws(SubjectTransform.Failure) {
                try SubjectTransform.validate(source: transform.source, destination: transform.destination)
            } catch {
                throw .sourceInvalidTransformDestination(error.description)
            }
        }
        for (place, transform) in source.subjectTransforms.enumerated() {
            for (otherPlace, other) in source.subjectTransforms.enumerated()
            where otherPlace != place && SubjectText.isSubset(transform.source, of: other.source) {
                throw .sourceOverlappingSubjectFilters
            }
        }
        guard let consumer = source.consumer else { return }
        if !source.hasValidConsumer { throw .sourceConsumerConfigInvalid }
        let consumerName = "\(source.name):\(source.external?.apiPrefix ?? "") \(consumer.name)"
        guard consumerNames.insert(consumerName).inserted else { throw .sourceDuplicateConsumerDetected }
    }

    private func checkExternals(_ originSubjects: [String]) throws(APIError) {
        let externals = ([mirror].compactMap { $0 } + sources).compactMap(\.external)
        for prefix in externals.map(\.deliverPrefix) where !prefix.isEmpty {
            if !SubjectText.isValidLiteral(prefix) { throw .streamInvalidExternalDeliverySubject(prefix) }
            for subject in originSubjects where SubjectText.overlap(subject, "\(prefix).\(subject)") {
                throw .streamExternalDeliveryPrefixOverlaps(prefix, subject: subject)
            }
        }
        for prefix in externals.map(\.apiPrefix) where !prefix.isEmpty {
            if !SubjectText.isValidLiteral(prefix) {
                throw .streamInvalidConfig(
                    "stream external api prefix \(goQuoted(prefix)) must be a valid subject without wildcards")
            }
            if SubjectText.overlap(prefix, "$JS.API") { throw .streamExternalAPIOverlap(prefix, subject: "$JS.API") }
        }
    }

    /// Follows sources and mirrors from stream to stream: none may lead back to one that was passed.
    private func checkCycles(_ directory: StreamDirectory) throws(APIError) {
        var toVisit = [self]
        var visited: Set<String> = []
        while let config = toVisit.first {
            toVisit.removeFirst()
            visited.insert(config.name)
            for source in config.sources where source.external == nil {
                if visited.contains(source.name) {
                    let feedsItself =
                        source.filterSubject.isEmpty
                        || config.subjects.contains { SubjectText.overlap($0, source.filterSubject) }
                    if feedsItself { throw .streamInvalidConfig("detected cycle") }
                } else if let origin = directory.stream(source.name) {
                    toVisit.append(origin)
                }
            }
            if let mirror = config.mirror, mirror.external == nil {
                if visited.contains(mirror.name) { throw .streamInvalidConfig("detected cycle") }
                if let origin = directory.stream(mirror.name) { toVisit.append(origin) }
            }
        }
    }
}
