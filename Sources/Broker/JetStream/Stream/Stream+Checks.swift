// Decides whether a message may be stored: what its headers expect and ask for, in JetStream's order of checks.
// While an atomic batch is committed, `staging` stands for what its earlier messages will have changed.

import Store
import Wire

extension Stream {
    /// Everything that comes before the search for duplicates.
    func check(_ publish: inout Publish) throws(APIError) {
        if let failure { throw .streamStoreFailed(failure.description) }
        if rules.contains(.sealed) { throw .streamSealed }
        try checkSize(publish)
        if publish.headers.count > Int(UInt16.max) { throw .streamHeaderExceedsMaximum }
        let known = publish.known
        guard known.isRelevant || rules.contains(.counter) else { return }
        try checkIncrement(publish)
        if !known.expectedStream.isEmpty && !(known.expectedStream == name.view) { throw .streamNotMatch }
        if !known.ttl.isEmpty && publish.origin == .client {
            if !config.allowMessageTTL { throw .messageTTLDisabled }
            // In a batch what it says is looked at as early as that.
            if staging != nil && MessageTTL(known.ttl) == nil { throw .messageTTLInvalid }
        }
        try checkExpectedSubjectSequence(publish)
        try checkExpectedSequence(publish)
        try checkSchedule(&publish)
        if !known.streamSource.isEmpty && publish.origin == .client { throw .messageSourceHeaderNotAllowed }
        if !known.requestInfo.isEmpty {
            // The server's own; what a client sends under that name is not stored.
            edit(&publish) { $0.remove("Nats-Request-Info") }
        }
    }

    /// The sequence under which the same message id has been stored within the window.
    func seenBefore(_ publish: Publish) -> UInt64? {
        guard !publish.known.messageID.isEmpty else { return nil }
        forgetOldMessageIDs()
        return duplicates.sequence(of: publish.known.messageID)
    }

    /// Everything that comes behind it.
    func checkFurther(_ publish: inout Publish) throws(APIError) {
        if rules.contains(.counter) { try count(&publish) }
        let known = publish.known
        guard known.isRelevant else { return }
        if !known.expectedLastMessageID.isEmpty {
            if staging != nil { throw .atomicPublishUnsupportedHeader("Nats-Expected-Last-Msg-Id") }
            if !(known.expectedLastMessageID == lastMessageID.view) {
                throw .streamWrongLastMessageID(lastMessageID.view.string)
            }
        }
        try checkRollup(&publish)
        try checkSize(publish)
        if !known.ttl.isEmpty && config.allowMessageTTL { try checkTTL(&publish) }
    }

    func checkSize(_ publish: Publish) throws(APIError) {
        if config.maxMessageBytes >= 0 && publish.headers.count + publish.body.count > Int(config.maxMessageBytes) {
            throw .streamMessageExceedsMaximum
        }
    }

    func edit(_ publish: inout Publish, _ change: (inout HeaderEditor) -> Void) {
        var editor = HeaderEditor(publish.headers)
        change(&editor)
        publish.headers = keep(editor.bytes)
    }

    // MARK: Expectations

    private func checkExpectedSubjectSequence(_ publish: Publish) throws(APIError) {
        let known = publish.known
        if known.expectedLastSubjectSequence.isEmpty {
            if !known.expectedLastSubjectSequenceSubject.isEmpty { throw .streamExpectedLastSequencePerSubjectInvalid }
            return
        }
        let other = known.expectedLastSubjectSequenceSubject
        let subject = other.isEmpty ? publish.subject : other
        if let staging, staging.hasWritten(subject) { throw .streamWrongLastSequenceConstant }
        let last = lastSequence(matching: subject)
        if sequenceNumber(known.expectedLastSubjectSequence) != last { throw .streamWrongLastSequence(last) }
    }

    private func checkExpectedSequence(_ publish: Publish) throws(APIError) {
        guard !publish.known.expectedLastSequence.isEmpty else { return }
        let last = log.state.lastSequence
        if let staging, staging.messages > 0 { throw .streamWrongLastSequence(last &+ staging.messages) }
        if sequenceNumber(publish.known.expectedLastSequence) != last { throw .streamWrongLastSequence(last) }
    }

    /// Of the last message on a subject, or on any that a pattern matches; 0 without one.
    func lastSequence(matching subject: ByteView) -> UInt64 {
        if Subject.hasWildcards(subject) {
            return patternLasts.last(subject, log)
        }
        guard let id = log.subjects.id(of: subject) else { return 0 }
        return log.subjects.summary(id).last
    }

    // MARK: Rollups

    private func checkRollup(_ publish: inout Publish) throws(APIError) {
        guard !publish.known.rollup.isEmpty else {
            // A schedule's own.
            if publish.rollup == .subject { try checkSubjectRollup(publish) }
            return
        }
        if !config.allowRollup || config.denyPurge {
            // It rolled up its subject where it comes from; here it is a message like any other.
            if publish.origin == .source { return }
            throw .streamRollupFailed("rollup not permitted")
        }
        switch publish.known.rollup.string.lowercased() {
        case "sub":
            try checkSubjectRollup(publish)
            publish.rollup = .subject
        case "all":
            if let staging, staging.messages > 0 { throw .streamRollupFailed("batch rollup all invalid") }
            publish.rollup = .all
        case let other: throw .streamRollupFailed("rollup value invalid: \"\(other)\"")
        }
    }

    private func checkSubjectRollup(_ publish: Publish) throws(APIError) {
        if let staging, staging.hasWritten(publish.subject) { throw .streamRollupFailed("batch rollup sub invalid") }
    }

    // MARK: Time to live

    private func checkTTL(_ publish: inout Publish) throws(APIError) {
        guard let ttl = MessageTTL(publish.known.ttl) else { throw .messageTTLInvalid }
        publish.ttlNs = ttl.ns
        // A marker that is to follow lives that long; the message before it no shorter.
        let least = config.subjectDeleteMarkerTTLNs
        guard ttl.ns > 0, ttl.ns < least, config.maxMessagesPerSubject != 1, publish.known.markerReason.isEmpty else { return }
        publish.ttlNs = least
        edit(&publish) { $0.set("Nats-TTL", String(least / 1_000_000_000)) }
    }
}

/// The value of Nats-TTL: seconds, a duration as Go writes it, or `never`.
struct MessageTTL {
    /// -1: never.
    let ns: Int64

    /// nil for anything below a second and what is none of these.
    init?(_ text: ByteView) {
        if text.string.lowercased() == "never" {
            ns = -1
            return
        }
        if let seconds = sequenceNumber(text) {
            guard seconds > 0, seconds <= UInt64(Int64.max) else { return nil }
            ns = Int64(min(seconds, UInt64(Int64.max) / 1_000_000_000)) * 1_000_000_000
            return
        }
        guard let duration = GoDuration.parse(text), duration >= 1_000_000_000 else { return nil }
        // Whole seconds, as it is counted.
        ns = duration / 1_000_000_000 * 1_000_000_000
    }
}
