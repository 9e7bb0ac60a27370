// Takes what clients publish: the short way for messages without headers, the long one through the checks for all others.

import Store
import Wire

extension Stream {
    /// A message whose subject the stream captures, with the header block at the start of its payload.
    func receive(_ message: Message) {
        if message.headerBytes < 0 && rules.isEmpty && !FastBatchPlace.isMeant(by: message.reply) {
            return receivePlain(message.subject, message.reply, message.payload)
        }
        let headerBytes = min(max(0, message.headerBytes), message.payload.count)
        let headers = ByteView(message.payload.base, headerBytes)
        let body = ByteView(message.payload.base + headerBytes, message.payload.count - headerBytes)
        receive(subject: message.subject, reply: message.reply, headers: headers, body: body)
    }

    func receive(subject: ByteView, reply: ByteView, headers: ByteView, body: ByteView) {
        var publish = Publish(
            subject: subject, reply: reply, headers: headers, body: body, known: PublishHeaders(headers))
        if !held.isEmpty && !held.isReplaying || rules.contains(.holding) { return hold(publish) }
        let original = publish
        transformSubject(&publish)
        if mustHold(publish) {
            hold(original)
            return edits.removeAll()
        }
        if let place = FastBatchPlace(reply: publish.reply) {
            receiveFast(&publish, place)
        } else if !publish.known.batchID.isEmpty {
            receiveAtomic(publish)
        } else {
            receiveSingle(&publish)
        }
        edits.removeAll()
    }

    /// No headers, no rules: stored as it is.
    @inline(__always)
    private func receivePlain(_ subject: ByteView, _ reply: ByteView, _ body: ByteView) {
        if config.maxMessageBytes >= 0 && body.count > Int(config.maxMessageBytes) {
            return refuse(reply, .streamMessageExceedsMaximum)
        }
        if let roomForBytes, let error = roomForBytes(0, storedBytes(subject.count, 0, body.count)) {
            return refuse(reply, error)
        }
        if !schedules.isEmpty { endSchedule(on: subject) }
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

    private func receiveSingle(_ publish: inout Publish) {
        do throws(APIError) {
            switch try process(&publish) {
            case .stored(let sequence): acknowledge(publish, sequence)
            case .duplicate(let original): acknowledge(publish.reply, original, PubAck.duplicateEnd)
            }
        } catch {
            refuse(publish.reply, error)
        }
    }

    /// Checks a message and stores it.
    func process(_ publish: inout Publish) throws(APIError) -> PublishOutcome {
        try check(&publish)
        if let original = seenBefore(publish) { return .duplicate(original) }
        try checkFurther(&publish)
        return .stored(try store(&publish))
    }

    func transformSubject(_ publish: inout Publish) {
        guard rules.contains(.transform), let subjectTransform else { return }
        transformed.removeAll(keepingCapacity: true)
        guard subjectTransform.apply(publish.subject, to: &transformed, random: host.random) else { return }
        publish.subject = keep(transformed)
    }

    /// Keeps changed bytes until the publish has been handled.
    func keep(_ bytes: [UInt8]) -> ByteView {
        guard !bytes.isEmpty else { return .empty }
        let place = edits.append(bytes.count)
        bytes.withUnsafeBytes { place.copyMemory(from: $0.baseAddress.unsafelyUnwrapped, byteCount: $0.count) }
        return ByteView(place.assumingMemoryBound(to: UInt8.self), bytes.count)
    }

    // MARK: Answers

    /// Has a publisher told its sequence once what has been decided so far is durable.
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

    /// Answers something other than a plain ack, in its turn behind the acks that wait.
    func answerAfterCommit(_ reply: ByteView, _ payload: [UInt8]) {
        if reply.isEmpty || config.noAck { return }
        payload.withUnsafeBytes {
            releases.add(.answer, ticket: ackTicket, subject: reply, headers: .empty, payload: ByteView($0))
        }
    }

    func refuse(_ reply: ByteView, _ error: APIError) {
        if reply.isEmpty || config.noAck { return }
        publish(PubAck.failure(error, stream: config.name), to: reply)
    }

    func publish(_ payload: [UInt8], to subject: ByteView, headers: ByteView = .empty) {
        payload.withUnsafeBytes { host.publish(subject, reply: .empty, headers: headers, payload: ByteView($0)) }
    }

    /// What a publisher is told when the log refuses.
    func storeError(_ error: StoreError) -> APIError {
        if error == .noSpace { return .storageResourcesExceeded }
        if case .failed = error { fail(error) }
        return .streamStoreFailed(error.description)
    }
}
