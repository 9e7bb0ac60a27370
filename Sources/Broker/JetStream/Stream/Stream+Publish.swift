// Decides whether a publish is stored: what its headers expect and ask for, in JetStream's order of checks.

import Glibc
import Store
import Wire

/// A message on its way into the stream. Views are valid while it is handled.
struct Publish {
    var subject: ByteView
    /// Where the ack goes; empty where nobody wants one.
    var reply: ByteView
    /// The whole header block as it will be stored, or empty.
    var headers: ByteView
    var body: ByteView
    var known: PublishHeaders
    /// Nanoseconds from the time it is stored; 0 none, -1 never expires, not even by max_age.
    var ttlNs: Int64 = 0
    var rollup = Rollup.none
    /// When it fires, if it is a schedule.
    var scheduleDueNs: Int64?
    /// A counter's new value.
    var counterValue: DecimalInteger?
    var origin = Origin.client

    enum Rollup { case none, subject, all }
    /// Who stores it: a client; the stream itself (a delete marker, a schedule that fires); another stream that it sources or mirrors.
    enum Origin { case client, stream, source }
}

extension Stream {
    /// A message whose subject the stream captures, with the header block at the start of its payload.
    func receive(_ message: Message) {
        if message.headerBytes < 0 && rules.isEmpty && failure == nil {
            receivePlain(message.subject, message.reply, message.payload)
        } else {
            let headerBytes = min(max(0, message.headerBytes), message.payload.count)
            let headers = ByteView(message.payload.base, headerBytes)
            let body = ByteView(message.payload.base + headerBytes, message.payload.count - headerBytes)
            receive(subject: message.subject, reply: message.reply, headers: headers, body: body)
        }
    }

    /// No headers, no limits: stored as it is.
    @inline(__always)
    private func receivePlain(_ subject: ByteView, _ reply: ByteView, _ body: ByteView) {
        if config.maxMessageBytes >= 0 && body.count > Int(config.maxMessageBytes) {
            return refuse(reply, .streamMessageExceedsMaximum)
        }
        if let roomForBytes, let error = roomForBytes(storedBytes(subject.count, 0, body.count)) { return refuse(reply, error) }
        let sequence: UInt64
        do {
            sequence = try log.append(
                sequence: nil, timeNs: nextTimeNs(), subject: subject, headers: .empty, payload: body, marks: [])
        } catch {
            return refuse(reply, storeError(error))
        }
        lastMessageID.removeAll()
        acknowledge(reply, sequence, PubAck.plainEnd)
    }

    private func receive(subject: ByteView, reply: ByteView, headers: ByteView, body: ByteView) {
        var publish = Publish(subject: subject, reply: reply, headers: headers, body: body, known: PublishHeaders(headers))
        do throws(APIError) {
            try check(&publish)
            switch try seenBefore(publish) {
            case .none: break
            case .some(let original): return acknowledge(reply, original, PubAck.duplicateEnd)
            }
            try checkAfterDuplicates(&publish)
            acknowledge(publish, try store(publish))
        } catch {
            refuse(reply, error)
        }
    }

    // MARK: Answers

    /// Has a publisher told its sequence once the message is durable.
    @inline(__always)
    func acknowledge(_ reply: ByteView, _ sequence: UInt64, _ suffix: ByteView) {
        if reply.isEmpty || config.noAck { return }
        releases.addAck(ticket: ackTicket, reply: reply, prefix: ackPrefix.view, sequence: sequence, suffix: suffix)
    }

    func acknowledge(_ publish: Publish, _ sequence: UInt64) {
        guard let value = publish.counterValue else { return acknowledge(publish.reply, sequence, PubAck.plainEnd) }
        scratch.removeAll()
        scratch.append(",\"val\":\"")
        scratch.append(value.description)
        scratch.append("\"}")
        acknowledge(publish.reply, sequence, scratch.view)
    }

    func refuse(_ reply: ByteView, _ error: APIError) {
        if reply.isEmpty || config.noAck { return }
        PubAck.failure(error, stream: config.name).withUnsafeBytes {
            host.publish(reply, reply: .empty, headers: .empty, payload: ByteView($0))
        }
    }

    func storeError(_ error: StoreError) -> APIError {
        if error == .noSpace { return .storageResourcesExceeded }
        if case .failed = error { fail(error) }
        return .streamStoreFailed(error.description)
    }

    // MARK: Checks

    /// Everything that comes before the search for duplicates.
    func check(_ publish: inout Publish) throws(APIError) {
        if let failure { throw .streamStoreFailed(failure.description) }
        if publish.headers.count > Int(UInt16.max) { throw .streamHeaderExceedsMaximum }
        try checkSize(publish)
        if rules.contains(.sealed) { throw .streamSealed }
        let known = publish.known
        guard known.isRelevant || rules.contains(.counter) else { return }
        if !known.expectedStream.isEmpty && !(known.expectedStream == name.view) { throw .streamNotMatch }
        if !known.ttl.isEmpty && !config.allowMessageTTL && publish.origin != .source { throw .messageTTLDisabled }
        try checkExpectedSubjectSequence(publish)
        if !known.expectedLastSequence.isEmpty {
            let last = log.state.lastSequence
            if sequenceNumber(known.expectedLastSequence) != last { throw .streamWrongLastSequence(last) }
        }
        if !known.streamSource.isEmpty && publish.origin == .client { throw .messageSourceHeaderNotAllowed }
    }

    /// The sequence under which the same message id has been stored within the window.
    func seenBefore(_ publish: Publish) throws(APIError) -> UInt64? {
        guard !publish.known.messageID.isEmpty else { return nil }
        forgetOldMessageIDs()
        return duplicates.sequence(of: publish.known.messageID)
    }

    func checkAfterDuplicates(_ publish: inout Publish) throws(APIError) {
        let known = publish.known
        guard known.isRelevant else { return }
        if !known.expectedLastMessageID.isEmpty && !(known.expectedLastMessageID == lastMessageID.view) {
            throw .streamWrongLastMessageID(lastMessageID.view.string)
        }
        try checkRollup(&publish)
    }

    func checkSize(_ publish: Publish) throws(APIError) {
        if config.maxMessageBytes >= 0 && publish.headers.count + publish.body.count > Int(config.maxMessageBytes) {
            throw .streamMessageExceedsMaximum
        }
    }

    private func checkExpectedSubjectSequence(_ publish: Publish) throws(APIError) {
        let known = publish.known
        if known.expectedLastSubjectSequence.isEmpty {
            if !known.expectedLastSubjectSequenceSubject.isEmpty { throw .streamExpectedLastSequencePerSubjectInvalid }
            return
        }
        let other = known.expectedLastSubjectSequenceSubject
        let last = lastSequence(matching: other.isEmpty ? publish.subject : other)
        if sequenceNumber(known.expectedLastSubjectSequence) != last { throw .streamWrongLastSequence(last) }
    }

    /// Of the last message on a subject, or on any that a pattern matches; 0 without one.
    func lastSequence(matching subject: ByteView) -> UInt64 {
        if Subject.hasWildcards(subject) {
            return log.last(upTo: UInt64.max, SubjectFilter([subject.string], log.subjects)) ?? 0
        }
        guard let id = log.subjects.id(of: subject) else { return 0 }
        return log.subjects.summary(id).last
    }

    private func checkRollup(_ publish: inout Publish) throws(APIError) {
        guard !publish.known.rollup.isEmpty else { return }
        if !config.allowRollup || config.denyPurge { throw .streamRollupFailed("rollup not permitted") }
        switch publish.known.rollup.string.lowercased() {
        case "sub": publish.rollup = .subject
        case "all": publish.rollup = .all
        case let other: throw .streamRollupFailed("rollup value invalid: \"\(other)\"")
        }
    }
}
