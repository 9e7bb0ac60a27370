// Stores a message that has passed its checks, within the stream's limits.

import Store
import Wire

extension Stream {
    /// - Returns: the message's sequence. Where nobody is interested, the sequence is used up and nothing is stored.
    func store(_ publish: Publish) throws(APIError) -> UInt64 {
        let isWanted = !rules.contains(.interest) || consumerList.contains { $0.isInterested(in: publish.subject) }
        if isWanted && rules.contains(.discardNew) { try checkRoom(publish) }
        if let roomForBytes {
            let bytes = storedBytes(publish.subject.count, publish.headers.count, publish.body.count)
            if let error = roomForBytes(bytes) { throw error }
        }
        let sequence = try append(publish, isWanted: isWanted)
        if isWanted { makeRoom(publish, sequence) }
        return sequence
    }

    private func append(_ publish: Publish, isWanted: Bool) throws(APIError) -> UInt64 {
        let timeNs = nextTimeNs()
        var marks: MessageMarks = []
        if publish.ttlNs != 0 { marks.insert(.expires) }
        if publish.scheduleDueNs != nil { marks.insert(.schedule) }
        if !publish.known.messageID.isEmpty { marks.insert(.hasMessageID) }
        let sequence: UInt64
        do {
            if isWanted {
                sequence = try log.append(
                    sequence: nil, timeNs: timeNs, subject: publish.subject, headers: publish.headers, payload: publish.body,
                    marks: marks)
            } else {
                sequence = log.state.lastSequence &+ 1
                try log.skip(to: sequence)
            }
        } catch {
            throw storeError(error)
        }
        lastMessageID.set(publish.known.messageID)
        if !publish.known.messageID.isEmpty && config.duplicateWindowNs > 0 {
            duplicates.insert(publish.known.messageID, sequence: sequence, timeNs: timeNs)
        }
        return sequence
    }

    /// What JetStream counts for a message.
    func storedBytes(_ subject: Int, _ headers: Int, _ body: Int) -> Int {
        if config.storage == .memory { return subject + headers + body + 16 }
        return 22 + subject + (headers > 0 ? 4 + headers : 0) + body + 8
    }

    // MARK: Limits

    /// With discard new: whether a message fits. A subject at its own limit replaces its oldest message, so it needs no room of
    /// its own in max_msgs.
    private func checkRoom(_ publish: Publish) throws(APIError) {
        var oldestOfSubject: UInt64?
        if config.maxMessagesPerSubject > 0, let id = log.subjects.id(of: publish.subject) {
            let summary = log.subjects.summary(id)
            if summary.count >= UInt64(config.maxMessagesPerSubject) {
                if config.discardNewPerSubject && publish.rollup == .none {
                    throw .streamStoreFailed("maximum messages per subject exceeded")
                }
                oldestOfSubject = summary.first
            }
        }
        guard config.maxMessages > 0 || config.maxBytes > 0 else { return }
        let state = log.state
        if config.maxMessages > 0 && state.messages >= UInt64(config.maxMessages) && oldestOfSubject == nil {
            throw .streamStoreFailed("maximum messages exceeded")
        }
        if config.maxBytes > 0 {
            let bytes = storedBytes(publish.subject.count, publish.headers.count, publish.body.count)
            let (total, overflow) = state.bytes.addingReportingOverflow(UInt64(bytes))
            if overflow || total > UInt64(config.maxBytes) {
                // Replacing a message of the subject by a smaller one is no growth.
                guard let oldestOfSubject, let oldBytes = bytesOf(oldestOfSubject), oldBytes > bytes else {
                    throw .streamStoreFailed("maximum bytes exceeded")
                }
            }
        }
    }

    private func bytesOf(_ sequence: UInt64) -> Int? {
        guard case .message(let message) = log.load(sequence) else { return nil }
        return storedBytes(message.subject.count, message.headers.count, message.payload.count)
    }

    /// After a message has been stored: removes what it rolls up and what the limits no longer allow.
    private func makeRoom(_ publish: Publish, _ sequence: UInt64) {
        switch publish.rollup {
        case .none: break
        case .subject: removeSubject(publish.subject, below: sequence)
        case .all: removeAll(below: sequence)
        }
        guard rules.contains(.limits) else { return }
        if config.maxMessagesPerSubject > 0 { enforceSubjectLimit(publish.subject) }
        enforceTotals()
    }

    private func enforceSubjectLimit(_ subject: ByteView) {
        guard let id = log.subjects.id(of: subject) else { return }
        while true {
            let summary = log.subjects.summary(id)
            guard summary.count > UInt64(config.maxMessagesPerSubject), discard(summary.first) else { return }
        }
    }

    /// max_msgs and max_bytes, oldest first.
    func enforceTotals() {
        guard config.maxMessages > 0 || config.maxBytes > 0 else { return }
        while true {
            let state = log.state
            let isOver =
                (config.maxMessages > 0 && state.messages > UInt64(config.maxMessages))
                || (config.maxBytes > 0 && state.bytes > UInt64(config.maxBytes))
            guard isOver && state.messages > 0, discard(state.firstSequence) else { return }
        }
    }

    /// Every limit at once, over everything that is there: after an update, and after a restart.
    func enforceLimits() {
        if config.maxMessagesPerSubject > 0 {
            let limit = UInt64(config.maxMessagesPerSubject)
            var over: [SubjectID] = []
            log.subjects.forEach(SubjectFilter([], log.subjects)) { id, summary in
                if summary.count > limit { over.append(id) }
            }
            for id in over {
                while log.subjects.summary(id).count > limit, discard(log.subjects.summary(id).first) {}
            }
        }
        enforceTotals()
    }

    // MARK: Removing

    /// Removes a message, keeping its bytes on disk until they are overwritten. False if it could not be removed.
    @discardableResult
    func discard(_ sequence: UInt64) -> Bool {
        do { return try log.remove(sequence, erases: false) } catch {
            _ = storeError(error)
            return false
        }
    }

    func removeSubject(_ subject: ByteView, below sequence: UInt64) {
        guard let id = log.subjects.id(of: subject) else { return }
        while true {
            let summary = log.subjects.summary(id)
            guard summary.count > 0, summary.first < sequence, discard(summary.first) else { return }
        }
    }

    func removeAll(below sequence: UInt64) {
        do { _ = try log.removeAll(below: sequence) } catch { _ = storeError(error) }
    }
}
