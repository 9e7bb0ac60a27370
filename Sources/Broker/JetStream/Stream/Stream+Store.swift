// Stores a message that has passed its checks, within the stream's limits, and does what follows from it.

import Store
import Wire

extension Stream {
    /// - Returns: the message's sequence. Where nobody is interested, the sequence is used up and nothing is stored.
    func store(_ publish: inout Publish) throws(APIError) -> UInt64 {
        if rules.contains(.discardNew), isWanted(publish) { try checkRoom(publish) }
        if let roomForBytes {
            let bytes = storedBytes(publish.subject.count, publish.headers.count, publish.body.count)
            if let error = roomForBytes(0, bytes) { throw error }
        }
        try append(&publish)
        if let schedule = publish.endedSchedule { discard(schedule) }
        makeRoom(publish)
        return publish.storedSequence
    }

    /// Whether it is to be kept at all: interest streams keep what some consumer will get.
    func isWanted(_ publish: Publish) -> Bool {
        !rules.contains(.interest) || consumerList.contains { $0.isInterested(in: publish.subject) }
    }

    /// Puts a message into the log and notes what has to be known of it later.
    func append(_ publish: inout Publish) throws(APIError) {
        let timeNs = publish.timeNs ?? nextTimeNs()
        let known = publish.known
        let previous = rules.contains(.republish) ? lastSequence(matching: publish.subject) : 0
        publish.isStored = isWanted(publish)
        if publish.isStored && !schedules.isEmpty { endSchedule(on: publish.subject) }
        do {
            if publish.isStored {
                publish.storedSequence = try log.append(
                    sequence: publish.sequence, timeNs: timeNs, subject: publish.subject, headers: publish.headers,
                    payload: publish.body, marks: marks(publish))
            } else {
                publish.storedSequence = publish.sequence ?? log.state.lastSequence &+ 1
                try log.skip(to: publish.storedSequence)
            }
        } catch {
            throw storeError(error)
        }
        lastTimeNs = max(lastTimeNs, timeNs)
        lastMessageID.set(known.messageID)
        if !known.messageID.isEmpty && config.duplicateWindowNs > 0 && duplicates.sequence(of: known.messageID) == nil {
            duplicates.insert(known.messageID, sequence: publish.storedSequence, timeNs: timeNs)
        }
        // A schedule has fired even if nobody is interested in what it has made.
        if !known.scheduler.isEmpty { publish.endedSchedule = endedSchedule(known) }
        guard publish.isStored else { return }
        if publish.ttlNs != 0 { expires(publish.storedSequence, timeNs, publish.ttlNs, isMarker: !known.markerReason.isEmpty) }
        if let dueNs = publish.scheduleDueNs { schedule(publish.storedSequence, dueNs: dueNs) }
        if rules.contains(.republish) { republish(publish, timeNs: timeNs, previous: previous) }
    }

    private func marks(_ publish: Publish) -> MessageMarks {
        var marks: MessageMarks = []
        if publish.ttlNs != 0 || !publish.known.markerReason.isEmpty { marks.insert(.expires) }
        // What a schedule has made says when the schedule fires next.
        if publish.scheduleDueNs != nil || !publish.known.scheduler.isEmpty { marks.insert(.schedule) }
        if publish.batchContinues { marks.insert(.batchContinues) }
        if !publish.known.messageID.isEmpty { marks.insert(.hasMessageID) }
        return marks
    }

    /// What JetStream counts for a message.
    func storedBytes(_ subject: Int, _ headers: Int, _ body: Int) -> Int {
        if config.storage == .memory { return subject + headers + body + 16 }
        return 22 + subject + (headers > 0 ? 4 + headers : 0) + body + 8
    }

    // MARK: Republishing

    /// Sends a copy to another subject once the message is durable, and before its ack.
    private func republish(_ publish: Publish, timeNs: Int64, previous: UInt64) {
        guard let republishTransform, let republish = config.republish else { return }
        transformed.removeAll(keepingCapacity: true)
        guard republishTransform.apply(publish.subject, to: &transformed, random: host.random) else { return }
        scratch.removeAll()
        if publish.headers.count > 2 {
            scratch.append(ByteView(publish.headers.base, publish.headers.count - 2))
        } else {
            scratch.append("NATS/1.0\r\n")
        }
        appendStoredHeaders(publish.subject, publish.storedSequence, timeNs)
        scratch.append("Nats-Last-Sequence: ")
        scratch.append(previous)
        if republish.headersOnly {
            scratch.append("\r\nNats-Msg-Size: ")
            scratch.append(UInt64(publish.body.count))
        }
        scratch.append("\r\n\r\n")
        transformed.withUnsafeBytes {
            releases.add(
                .other, ticket: ackTicket, subject: ByteView($0), headers: scratch.view,
                payload: republish.headersOnly ? .empty : publish.body)
        }
    }

    /// The headers that say where a message is stored, as direct gets and republished messages carry them.
    func appendStoredHeaders(_ subject: ByteView, _ sequence: UInt64, _ timeNs: Int64) {
        scratch.append("Nats-Stream: ")
        scratch.append(name.view)
        scratch.append("\r\nNats-Subject: ")
        scratch.append(subject)
        scratch.append("\r\nNats-Sequence: ")
        scratch.append(sequence)
        scratch.append("\r\nNats-Time-Stamp: ")
        scratch.append(Timestamp.text(timeNs))
        scratch.append("\r\n")
    }
}
