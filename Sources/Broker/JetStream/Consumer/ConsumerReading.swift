// What a consumer knows of the stream in front of it: which messages it may still deliver, and how many.

import Store
import Wire

extension Consumer {
    /// More of the stream is durable, or a read has finished.
    func messagesVisible() {
        isReading = false
        visibleSequence = stream.visibleSequence
        if visibleSequence > countedSequence {
            let from = max(countedSequence &+ 1, firstBehindLastPerSubject)
            if from <= visibleSequence { numPending += stream.log.count(from: from, upTo: visibleSequence, filter) }
            countedSequence = visibleSequence
        }
        touch()
    }

    /// Counts from the beginning.
    func countPending() {
        countedSequence = visibleSequence
        if let keyed {
            numPending = keyed.countPending()
            return
        }
        let log = stream.log
        numPending = UInt64(state.lastPerSubject.remaining.count { log.contains($0) })
        let from = firstBehindLastPerSubject
        if from <= visibleSequence { numPending += log.count(from: from, upTo: visibleSequence, filter) }
    }

    /// Where the messages begin that are delivered one after the other.
    private var firstBehindLastPerSubject: UInt64 {
        state.lastPerSubject.isEmpty ? nextSequence : state.lastPerSubject.end &+ 1
    }

    /// A message has left the stream, whatever removed it.
    ///
    /// - Parameters:
    ///   - bytes: its size as the stream counts it.
    ///   - isTold: whether clients are told that it was pending. They are not when a stream is purged, as on nats-server.
    func messageRemoved(_ sequence: UInt64, _ subject: SubjectID, bytes: Int = 0, isTold: Bool = true) {
        guard !isStopped else { return }
        let isAhead: Bool
        if state.lastPerSubject.isEmpty {
            isAhead = sequence >= nextSequence
        } else if sequence <= state.lastPerSubject.end {
            isAhead = state.lastPerSubject.contains(sequence)
        } else {
            isAhead = true
        }
        if isAhead {
            guard filter.matches(subject) else { return }
            if keyed != nil { stream.journalFollowsLog() }
            removedAhead = min(removedAhead, sequence)
            if sequence <= countedSequence || sequence <= state.lastPerSubject.end, numPending > 0,
                keyed?.starts(with: sequence) ?? true
            {
                numPending -= 1
            }
            return
        }
        if let keyed { return keyed.messageRemoved(sequence, subject, bytes: bytes) }
        let slot = state.pending.find(sequence)
        guard slot != PendingTable.none else {
            forget(sequence)
            return
        }
        let entry = state.pending[slot]
        if isTold {
            removals.append(Removal(sequence: sequence, delivery: entry.delivery, deliveries: entry.deliveries))
        }
        if journalID != nil { stream.journalFollowsLog() }
        finish(slot)
        touch()
    }

    /// The stream was purged, and nothing that the consumer would be given is left below a sequence: as on nats-server, it
    /// counts everything up to there as delivered, and as acked. What was pending there has been removed one by one.
    func purged(below sequence: UInt64) {
        guard !isStopped, keyed == nil, sequence > 1 else { return }
        let last = sequence - 1
        guard last > state.delivered.stream || last > state.ackFloor.stream else { return }
        let startsEnd = state.lastPerSubject.isEmpty ? 0 : state.lastPerSubject.end
        state.advance(to: last)
        nextSequence = state.lastPerSubject.isEmpty ? max(nextSequence, sequence, startsEnd &+ 1) : state.lastPerSubject.first
        record.add(.advanced, last, delivered: state.delivered.consumer)
        if journalID != nil { stream.journalFollowsLog() }
        touch()
    }

    /// Whether an interest or workqueue stream has to keep a message for this consumer.
    func isWaiting(for sequence: UInt64) -> Bool {
        if let keyed, sequence < nextSequence { return keyed.isWaiting(for: sequence) }
        if state.pending.contains(sequence) || state.exhausted[sequence] != nil { return true }
        guard !wasDelivered(sequence) else { return false }
        // The last of each subject is all that is wanted of what was there at first.
        if !state.lastPerSubject.isEmpty && sequence <= state.lastPerSubject.end { return true }
        if filter.isEverything { return true }
        return stream.log.subject(of: sequence).map { filter.matches($0) } ?? false
    }

    /// Whether its filters let a subject through.
    func isInterested(in subject: ByteView) -> Bool { filter.matches(subject) }

    /// As in CONSUMER.INFO.
    func info() -> ConsumerInfo {
        let now = stream.host.now
        noteAcked(now)
        var info = ConsumerInfo(stream: streamName, name: name, createdNs: createdNs, timestampNs: now.wallNs)
        info.config = config
        info.delivered = SequencePair(
            consumer: state.delivered.consumer, stream: state.delivered.stream, lastActiveNs: lastDeliveredNs)
        info.ackFloor = SequencePair(
            consumer: state.ackFloor.consumer, stream: state.ackFloor.stream, lastActiveNs: lastAckedNs)
        info.ackPending = state.pending.count
        // With max_deliver 1 nothing is ever redelivered, so nothing counts as such.
        info.redelivered = config.maxDeliver == 1 ? 0 : state.redelivered
        info.pending = numPending
        keyed?.fill(&info)
        info.pushBound = !settings.isPull && isActive
        if settings.isPull {
            dropRequestsWithoutInterest()
            info.waiting = requests.count
        }
        if let until = config.pauseUntilNs, until > now.wallNs {
            info.paused = true
            info.pauseRemainingNs = until.subtractingClamped(now.wallNs)
        }
        if let group = config.priorityGroups.first {
            info.priorityGroups = [
                pin.id.isEmpty
                    ? PriorityGroupState(group: group)
                    : PriorityGroupState(group: group, pinnedClientID: pin.id, pinnedNs: pin.sinceNs)
            ]
        }
        return info
    }
}
