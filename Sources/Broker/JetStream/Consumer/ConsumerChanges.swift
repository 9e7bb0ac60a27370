// What the API does to a consumer that is there: updates, pauses, resets, and its end.

import Store
import Wire

/// Why a consumer stops.
enum ConsumerEnd {
    /// It, or its stream, is deleted.
    case deleted
    /// The broker stops; the consumer goes on after the restart.
    case shutdown
}

extension Consumer {
    /// Takes over a valid configuration; what may not change has been refused before.
    func update(_ new: ConsumerConfig) {
        let old = config, oldSettings = settings, now = stream.host.now
        var new = new
        // What was durable stays so, also where an update leaves the name out: it would go with its acks after a few idle seconds.
        if new.durable.isEmpty { new.durable = old.durable }
        config = new
        settings = ConsumerSettings(new)
        if old.filters != new.filters {
            filter = SubjectFilter(new.filters, stream.log.subjects)
            keepMatchingLastPerSubject()
            keyed?.filterChanged()
            countPending()
            if stream.config.retention == .interest {
                let last = stream.log.state.lastSequence
                releaseUnwanted(SubjectFilter(old.filters, stream.log.subjects), from: 1, upTo: last)
            }
        }
        if old.deliverSubject != new.deliverSubject || old.deliverGroup != new.deliverGroup { moveTarget(now) }
        if old.rateLimitBitsPerSecond != new.rateLimitBitsPerSecond { setRateLimit(now) }
        if old.inactiveThresholdNs != new.inactiveThresholdNs || old.durable != new.durable {
            setInactiveThreshold()
            armInactivity(now)
        }
        if old.pauseUntilNs != new.pauseUntilNs {
            setPause(now)
            advise(.paused(untilNs: new.pauseUntilNs, nowNs: now.wallNs))
        }
        if old.ackWaitNs != new.ackWaitNs || old.backoffNs != new.backoffNs {
            restartAckWaits(now)
            keyed?.restartAckWaits(from: oldSettings, now)
        }
        if new.priorityPolicy != .pinnedClient { pin = PinnedClient() }
        if let settings = new.keyed { keyed?.update(settings) }
        writeWhole(now)
        touch()
        // A stream that takes over from another goes on behind what it has acked.
        if new.sourcing { resetState(to: state.ackFloor.stream &+ 1) }
    }

    /// A filter that lets less through than before leaves out what it no longer matches.
    private func keepMatchingLastPerSubject() {
        guard !state.lastPerSubject.isEmpty else { return }
        let log = stream.log, filter = filter
        let end = state.lastPerSubject.end
        let left = state.lastPerSubject.remaining.filter { log.subject(of: $0).map { filter.matches($0) } ?? false }
        state.lastPerSubject = LastPerSubject(left, end: end)
        nextSequence = left.first ?? end &+ 1
    }

    /// Deliveries go elsewhere from now on; what is pending goes there again.
    private func moveTarget(_ now: Instant) {
        guard !settings.isPull else { return }
        if let target { stream.host.unwatch(target) }
        var slot = state.pending.first
        while slot != PendingTable.none {
            let following = state.pending.next(slot)
            if settings.maxDeliver > 0 && state.pending[slot].deliveries >= settings.maxDeliver {
                exhaust(slot)
            } else if state.pending[slot].place != .redelivery {
                state.pending.awaitRedelivery(slot, after: journalTicket)
            }
            slot = following
        }
        beginPush(now)
    }

    /// Waits that have begun go by the new length.
    private func restartAckWaits(_ now: Instant) {
        var waiting: [(PendingTable.Slot, UInt64)] = []
        var slot = state.pending.first
        while slot != PendingTable.none {
            if state.pending[slot].place != .redelivery { waiting.append((slot, state.pending[slot].sinceNs)) }
            slot = state.pending.next(slot)
        }
        waiting.sort { $0.1 < $1.1 }
        for (slot, since) in waiting {
            guard let wait = settings.ackWait(deliveries: state.pending[slot].deliveries) else {
                state.pending.awaitNothing(slot)
                continue
            }
            if settings.backoffNs.isEmpty {
                state.pending.awaitAck(slot, sinceNs: since)
            } else {
                state.pending.awaitDeadline(slot, saturatingSum(since, wait))
            }
        }
    }

    /// CONSUMER.PAUSE. nil, or a time that has passed, resumes.
    func pause(untilNs: Int64?) {
        let now = stream.host.now
        guard untilNs != config.pauseUntilNs else { return }
        config.pauseUntilNs = untilNs
        setPause(now)
        advise(.paused(untilNs: untilNs, nowNs: now.wallNs))
        writeWhole(now)
        touch()
    }

    /// CONSUMER.RESET: everything from a sequence on is delivered anew, as if the consumer had just been made.
    ///
    /// - Parameter requested: 0 goes back to the ack floor.
    /// - Returns: the sequence it starts at.
    func reset(to requested: UInt64) throws(APIError) -> UInt64 {
        var sequence = requested
        if requested == 0 {
            if let keyed, keyed.parkedKeys > 0 { throw .consumerInvalidReset("keys are parked") }
            sequence = (keyed?.floor ?? state.ackFloor.stream &+ 1)
        } else {
            switch config.deliverPolicy {
            case .all: break
            case .byStartSequence:
                if requested < config.startSequence { throw .consumerInvalidReset("below start seq") }
            case .byStartTime:
                let log = stream.log
                let first = log.first(atOrAfterNs: config.startTimeNs ?? 0) ?? log.state.lastSequence &+ 1
                if requested < first { throw .consumerInvalidReset("below start time") }
            case .last, .new, .lastPerSubject: throw .consumerInvalidReset("not allowed")
            }
        }
        sequence = max(1, sequence)
        let before = keyed.map { $0.floor &- 1 } ?? state.ackFloor.stream
        resetState(to: sequence)
        if keepsInterest && sequence > 1 { releaseUnwanted(filter, from: before &+ 1, upTo: sequence - 1) }
        return sequence
    }

    private func resetState(to sequence: UInt64) {
        let delivered = state.delivered.consumer
        state.reset(to: sequence)
        nextSequence = sequence
        keyed?.reset(afterDelivery: delivered)
        lastDeliveredNs = nil
        lastAckedNs = nil
        hasAcked = false
        countPending()
        writeWhole(stream.host.now)
        touch()
    }

    /// The consumer no longer waits for some of what it was to have: an interest or workqueue stream may remove that.
    private func releaseUnwanted(_ filter: SubjectFilter, from first: UInt64, upTo last: UInt64) {
        guard first <= last else { return }
        var next = stream.log.next(atOrAfter: first, filter, upTo: last)
        while let sequence = next {
            if !isWaiting(for: sequence) { stream.consumer(self, isDoneWith: sequence) }
            next = sequence < last ? stream.log.next(atOrAfter: sequence + 1, filter, upTo: last) : nil
        }
    }

    /// The stream's configuration has changed.
    func streamUpdated() {
        keepsInterest = stream.config.retention != .limits
        setRateLimit(stream.host.now)
        touch()
    }

    /// Ends it: waiting requests are told, nothing is sent any more. What it kept stays where it is, or goes with `drop`.
    func stop(_ end: ConsumerEnd) {
        guard !isStopped else { return }
        if end == .shutdown { writeRecord(stream.host.now) }
        isStopped = true
        keyed?.stop(end)
        if let target { stream.host.unwatch(target) }
        target = nil
        isActive = false
        forEachRequest { slot in
            self.end(slot, end == .deleted ? ConsumerStatus.consumerDeleted : ConsumerStatus.serverShutdown)
        }
    }

    /// Removes it from the journal, for good.
    func drop() {
        if let journalID { stream.journal?.drop(journalID) }
        journalID = nil
    }
}
