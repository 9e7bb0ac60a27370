// How much a stream may hold: max_msgs, max_bytes, max_msgs_per_subject, and what has to go for a new message.

import Store
import Wire

extension Stream {
    /// With discard new: whether a message fits. A subject at its own limit replaces its oldest message, so it needs no room of
    /// its own in max_msgs.
    func checkRoom(_ publish: Publish) throws(APIError) {
        guard rules.contains(.discardNew) else { return }
        var oldestOfSubject: UInt64?
        if config.maxMessagesPerSubject > 0 {
            let staged = staging?.count(publish.subject) ?? 0
            let summary = log.subjects.id(of: publish.subject).map(log.subjects.summary)
            if staged + (summary?.count ?? 0) >= UInt64(config.maxMessagesPerSubject) {
                if config.discardNewPerSubject && publish.rollup == .none {
                    throw .streamStoreFailed("maximum messages per subject exceeded")
                }
                oldestOfSubject = summary?.first ?? 0
            }
        }
        guard config.maxMessages > 0 || config.maxBytes > 0 else { return }
        let state = log.state
        let exempt = keyedConsumers.isEmpty ? Backlog() : pinned
        let messages = (state.messages &+ (staging?.messages ?? 0)) &- min(state.messages, exempt.messages)
        if config.maxMessages > 0 && messages >= UInt64(config.maxMessages) && oldestOfSubject == nil {
            throw .streamStoreFailed("maximum messages exceeded")
        }
        if config.maxBytes > 0 {
            let bytes = storedBytes(publish.subject.count, publish.headers.count, publish.body.count)
            let stored = state.bytes - min(state.bytes, exempt.bytes)
            let total = Int(clamping: stored) + Int(clamping: staging?.bytes ?? 0) + bytes
            if total > Int(config.maxBytes) {
                // Replacing a message of the subject by one that is no larger is no growth.
                guard let oldestOfSubject, let oldBytes = log.size(of: oldestOfSubject), oldBytes >= bytes else {
                    throw .streamStoreFailed("maximum bytes exceeded")
                }
            }
        }
    }

    /// After a message has been stored: removes what the limits no longer allow, then what it rolls up. In this order, which
    /// is nats-server's: a message that is rolled up still takes its place in the limits.
    ///
    /// - Parameter later: messages of the same batch that are in the log, and come behind this one.
    func makeRoom(_ publish: Publish, before later: BatchStaging? = nil) {
        guard publish.isStored else { return }
        if rules.contains(.limits) {
            if config.maxMessagesPerSubject > 0, let id = log.subjects.id(of: publish.subject) {
                enforceSubjectLimit(id, leaving: later?.count(publish.subject) ?? 0)
            }
            enforceTotals(before: later)
        }
        if publish.rollup != .none { rollUp(publish) }
    }

    private func rollUp(_ publish: Publish) {
        isPurging = true
        defer { isPurging = false }
        if publish.rollup == .all {
            removeAll(below: publish.storedSequence)
            tellPurge(of: nil, upTo: publish.storedSequence)
        } else {
            removeSubject(publish.subject, below: publish.storedSequence)
            // A delete marker takes the place of what has expired: that moves no consumer.
            let isMarker = publish.origin == .stream && !publish.known.markerReason.isEmpty
            if !consumerList.isEmpty && !isMarker {
                tellPurge(of: publish.subject.string, upTo: publish.storedSequence)
            }
        }
    }

    private func enforceSubjectLimit(_ id: SubjectID, leaving later: UInt64 = 0) {
        while true {
            let summary = log.subjects.summary(id)
            let kept = UInt64(config.maxMessagesPerSubject) + later
            guard summary.count > kept else { return }
            if keyedConsumers.isEmpty {
                guard discard(summary.first) else { return }
            } else {
                guard let oldest = unpinned(id, summary, beyond: kept), discard(oldest) else { return }
            }
        }
    }

    /// max_msgs and max_bytes, oldest first.
    private func enforceTotals(before later: BatchStaging? = nil) {
        guard config.maxMessages > 0 || config.maxBytes > 0 else { return }
        let laterMessages = later?.messages ?? 0, laterBytes = later?.bytes ?? 0
        while true {
            let state = log.state
            let exempt = keyedConsumers.isEmpty ? Backlog() : pinned
            let isOver =
                (config.maxMessages > 0
                    && state.messages > saturatingSum(UInt64(config.maxMessages) + laterMessages, exempt.messages))
                || (config.maxBytes > 0 && state.bytes > saturatingSum(UInt64(config.maxBytes) + laterBytes, exempt.bytes))
            guard isOver && state.messages > laterMessages, let oldest = firstUnpinned(state), discard(oldest) else { return }
        }
    }

    /// Every limit at once, over everything that is there: after an update, and after a restart.
    func enforceLimits() {
        guard rules.contains(.limits) else { return }
        if config.maxMessagesPerSubject > 0 {
            let limit = UInt64(config.maxMessagesPerSubject)
            var over: [SubjectID] = []
            log.subjects.forEach(everything) { id, summary in
                if summary.count > limit { over.append(id) }
            }
            for id in over.sorted() { enforceSubjectLimit(id) }
        }
        enforceTotals()
    }

    /// After single messages are no longer spared: no other subject is looked at.
    func enforceLimitsThatAreDue() {
        areTotalsDue = false
        let due = subjectsDue
        subjectsDue = []
        guard rules.contains(.limits) else { return }
        for id in due.sorted() { enforceSubjectLimit(id) }
        enforceTotals()
    }

    // MARK: Removing

    /// Removes a message, leaving its bytes on the disk until they are overwritten. False if it could not be removed.
    @discardableResult
    func discard(_ sequence: UInt64) -> Bool {
        do { return try log.remove(sequence, erases: false) } catch {
            _ = storeError(error)
            return false
        }
    }

    /// A subject with wildcards, which publishing does not forbid, stands for all that match it, as on nats-server: clients
    /// purge many keys so.
    func removeSubject(_ subject: ByteView, below sequence: UInt64) {
        if Subject.hasWildcards(subject) {
            removeMatching(SubjectFilter([subject.string], log.subjects), below: sequence)
            return
        }
        guard let id = log.subjects.id(of: subject) else { return }
        while true {
            let summary = log.subjects.summary(id)
            guard summary.count > 0, summary.first < sequence, discard(summary.first) else { return }
        }
    }

    /// - Returns: how many messages that were.
    @discardableResult
    func removeMatching(_ filter: SubjectFilter, below end: UInt64) -> UInt64 {
        var removed: UInt64 = 0
        var from = log.state.firstSequence
        while from < end, let sequence = log.next(atOrAfter: from, filter, upTo: end - 1) {
            if discard(sequence) { removed += 1 }
            from = sequence + 1
        }
        return removed
    }

    /// - Returns: how many messages that were.
    @discardableResult
    func removeAll(below sequence: UInt64) -> UInt64 {
        do { return try log.removeAll(below: sequence) } catch {
            _ = storeError(error)
            return 0
        }
    }
}
