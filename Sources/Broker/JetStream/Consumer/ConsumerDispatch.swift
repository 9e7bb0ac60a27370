// Chooses the next message and sends it to whoever is to have it, until messages, takers or the turn's budget end.

import Store
import Wire

/// How much one consumer sends before the others and the loop get their turn.
enum DispatchBudget {
    static let messages = 4096
    static let bytes = 2 << 20
}

/// What a turn's dispatch ended with.
enum DispatchEnd {
    /// Nothing is left that may be delivered.
    case messages
    /// Nobody wants more, or nobody may have it now.
    case takers
    case maxAckPending
    case reading
    /// The delivery before is not durable yet: a crash must not forget more than the latest one.
    case journal
    case budget
}

extension Consumer {
    /// What has come in during a turn is looked at once: messages go out, and the journal gets one record.
    func turnEnded() {
        guard isTouched, !isStopped else { return }
        finishTurn(stream.host.now)
    }

    func finishTurn(_ now: Instant) {
        untouch()
        keyed?.turnBegins()
        noteAcked(now)
        dispatch(now)
        writeRecord(now)
        tellRemovals(now)
        if let keyed, keyed.hasFresh { hasMore = true }
    }

    private func dispatch(_ now: Instant) {
        hasMore = false
        pacedUntilNs = .max
        // Set anew if it is still so: nobody may be there to be held back any more.
        limiter?.forgetWait()
        replay?.forgetWait()
        guard !isReading else { return }
        if isPaused {
            if requests.noWaitCount > 0 { endNoWaitRequests() }
            return
        }
        let end: DispatchEnd
        if let keyed {
            end = deliverByKey(keyed, now)
        } else {
            end = settings.isPull ? deliverToRequests(now) : deliverToSubject(now)
        }
        switch end {
        case .reading: isReading = true
        case .budget: hasMore = true
        case .messages, .takers:
            if requests.noWaitCount > 0 { endNoWaitRequests() }
            if let replay, nextSequence > replay.endsAt { self.replay = nil }
        case .journal: stream.awaitsJournal(self)
        case .maxAckPending: break
        }
    }

    private func deliverToRequests(_ now: Instant) -> DispatchEnd {
        guard !requests.isEmpty else { return .takers }
        let log = stream.log, host = stream.host
        var sent = 0, sentBytes = 0
        while !requests.isEmpty {
            if sent >= DispatchBudget.messages || sentBytes >= DispatchBudget.bytes { return .budget }
            var next = NextMessage()
            if let end = choose(&next, log) { return end }
            guard case .message(let message) = load(next, log) else {
                if isReading { return .reading }
                continue
            }
            if replay != nil, !(replay?.isDue(message.timeNs, now) ?? true) { return .takers }
            next.timeNs = message.timeNs
            let ack = ackSubject(next, message)
            var delivery = Delivery(
                subject: message.subject, reply: ack, headers: message.headers, payload: message.payload)
            if settings.headersOnly { leaveOutPayload(&delivery) }
            let bytes = delivery.subject.count + ack.count + delivery.headers.count + delivery.payload.count
            let slot = chooseRequest(bytes: bytes, now)
            if slot == WaitingRequests.none { return .takers }
            // A status went out meanwhile: the views may be gone.
            if slot == WaitingRequests.again { continue }
            if settings.priority == .pinnedClient {
                delivery.headers = scratch.extended(
                    message.headers, payloadBytes: settings.headersOnly ? message.payload.count : nil, pinID: pin.id)
            }
            guard host.deliver(delivery, to: requests[slot].target) else {
                requests.remove(slot)
                continue
            }
            delivered(next, now)
            serve(slot, bytes: bytes, now)
            sent += 1
            sentBytes += bytes
        }
        return .takers
    }

    private func deliverToSubject(_ now: Instant) -> DispatchEnd {
        guard isActive, let target, !isHeldBack(by: target, now) else { return .takers }
        let log = stream.log, host = stream.host
        var sent = 0, sentBytes = 0
        while flow?.isOpen ?? true {
            if sent >= DispatchBudget.messages || sentBytes >= DispatchBudget.bytes { return .budget }
            var next = NextMessage()
            if let end = choose(&next, log) { return end }
            guard case .message(let message) = load(next, log) else {
                if isReading { return .reading }
                continue
            }
            if replay != nil, !(replay?.isDue(message.timeNs, now) ?? true) { return .takers }
            next.timeNs = message.timeNs
            let ack = ackSubject(next, message)
            var delivery = Delivery(
                subject: message.subject, reply: ack, headers: message.headers, payload: message.payload)
            if settings.headersOnly { leaveOutPayload(&delivery) }
            let content = ack.count + delivery.headers.count + delivery.payload.count
            let bytes = content + message.subject.count
            if limiter != nil, !(limiter?.admits(bytes, now.monotonicNs) ?? true) { return .takers }
            guard host.deliver(delivery, to: target) else {
                interestChanged()
                return .takers
            }
            delivered(next, now)
            if settings.heartbeatNs > 0 { heartbeatDueNs = saturatingSum(now.monotonicNs, settings.heartbeatNs) }
            if flow != nil { countFlow(target.subject.count + content) }
            sent += 1
            sentBytes += bytes
        }
        return .takers
    }

    /// The next message by the rules of redelivery, ack pending and order.
    @inline(__always)
    private func choose(_ next: inout NextMessage, _ log: any MessageLog) -> DispatchEnd? {
        while state.pending.firstRedelivery != PendingTable.none {
            let slot = state.pending.firstRedelivery
            if settings.maxDeliver > 0 && state.pending[slot].deliveries >= settings.maxDeliver {
                exhaust(slot)
                continue
            }
            let ticket = state.pending.redeliveryTicket(slot)
            if ticket > 0, ticket > stream.journalSettled { return .journal }
            next.slot = slot
            next.sequence = state.pending[slot].sequence
            return nil
        }
        if settings.maxAckPending > 0 && state.pending.count >= settings.maxAckPending { return .maxAckPending }
        if !state.lastPerSubject.isEmpty {
            next.sequence = state.lastPerSubject.first
            return next.sequence <= visibleSequence ? nil : .messages
        }
        if nextSequence <= visibleSequence {
            if let sequence = log.next(atOrAfter: nextSequence, filter, upTo: visibleSequence) {
                next.sequence = sequence
                return nil
            }
            nextSequence = visibleSequence &+ 1
        }
        numPending = 0
        return .messages
    }

    /// The message, or why there is none: then what stood in its place has been passed over.
    private func load(_ next: NextMessage, _ log: any MessageLog) -> LoadOutcome {
        let before = numPending
        let outcome = log.load(next.sequence)
        switch outcome {
        case .message: break
        case .reading: isReading = true
        case .absent where next.slot != PendingTable.none:
            // It left the stream while it waited for its redelivery.
            let entry = state.pending[next.slot]
            removals.append(
                Removal(sequence: entry.sequence, delivery: entry.delivery, deliveries: entry.deliveries))
            finish(next.slot)
        case .absent:
            let wasCounted = state.lastPerSubject.isEmpty
            pass(next.sequence)
            if wasCounted && numPending == before && numPending > 0 { numPending -= 1 }
        case .failed:
            isReading = true
            readLater()
        }
        return outcome
    }

    /// A message could not be read: it is tried again after a while.
    func readLater() { readAgainNs = saturatingSum(stream.host.now.monotonicNs, Consumer.readAgainAfterNs) }

    /// Moves the read position behind a sequence.
    @inline(__always)
    private func pass(_ sequence: UInt64) {
        if state.lastPerSubject.isEmpty {
            nextSequence = sequence &+ 1
        } else {
            let end = state.lastPerSubject.end
            state.lastPerSubject.advance(beyond: sequence)
            nextSequence = state.lastPerSubject.isEmpty ? end &+ 1 : sequence &+ 1
        }
    }

    @inline(__always)
    private func ackSubject(_ next: NextMessage, _ message: StoredMessage) -> ByteView {
        let isNew = next.slot == PendingTable.none
        return ackSubjects.write(
            deliveries: isNew ? 1 : UInt64(state.pending[next.slot].deliveries) + 1, sequence: next.sequence,
            delivery: state.delivered.consumer &+ 1, timeNs: message.timeNs,
            pending: isNew && numPending > 0 ? numPending &- 1 : numPending)
    }

    func leaveOutPayload(_ delivery: inout Delivery) {
        delivery.headers = scratch.extended(delivery.headers, payloadBytes: delivery.payload.count, pinID: nil)
        delivery.payload = .empty
    }

    /// A message is on its way.
    @inline(__always)
    private func delivered(_ next: NextMessage, _ now: Instant) {
        var slot = next.slot
        let before = state.delivered.consumer
        if slot == PendingTable.none {
            if numPending > 0 { numPending &-= 1 }
            pass(next.sequence)
            slot = state.deliver(next.sequence, tracks: settings.tracksAcks, sinceNs: now.monotonicNs)
            record.add(.delivered, next.sequence, delivered: before)
        } else {
            state.redeliver(slot, sinceNs: now.monotonicNs)
            record.add(.redelivered, next.sequence, delivered: before)
        }
        lastDeliveredNs = now.wallNs
        if slot != PendingTable.none {
            awaitAck(slot, now)
        } else if keepsInterest {
            stream.consumer(self, isDoneWith: next.sequence)
        }
        replay?.sent(next.timeNs, now)
        if record.isFull { writeRecord(now) }
    }

    /// Sets the clock of a message that has just been delivered.
    @inline(__always)
    func awaitAck(_ slot: PendingTable.Slot, _ now: Instant) {
        if settings.backoffNs.isEmpty {
            if settings.ackWaitNs > 0 {
                state.pending.awaitAck(slot, sinceNs: now.monotonicNs)
            } else {
                state.pending.awaitNothing(slot)
            }
        } else if let wait = settings.ackWait(deliveries: state.pending[slot].deliveries) {
            state.pending.awaitDeadline(slot, saturatingSum(now.monotonicNs, wait))
        }
    }
}

/// What is to be delivered: a new message, or a pending one again.
private struct NextMessage {
    var sequence: UInt64 = 0
    var slot = PendingTable.none
    var timeNs: Int64 = 0
}
