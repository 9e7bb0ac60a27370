// Acks: what a client says of a message that it was given.

import Wire

extension Consumer {
    /// A publish to one of the consumer's ack subjects.
    ///
    /// - Parameter client: who sent it; 0 is the broker itself.
    func receive(ack message: Message, from client: UInt64 = 0) {
        guard !isStopped, settings.tracksAcks, settings.ackPolicy != .flowControl else { return }
        guard let reference = ackSubjects.read(message.subject) else { return }
        let header = max(0, message.headerBytes)
        let body = ByteView(message.payload.base + header, message.payload.count - header)
        touch()
        suppressDeletion()
        if let keyed { return keyed.receive(ack: message, reference, body, from: client) }
        let reply = message.reply
        var answers = reference.sequence > 0
        if body.isEmpty || body.equals("+ACK") || body.equals("+OK") {
            answers = ack(reference, samples: true)
        } else if body.hasPrefix("+NXT") {
            _ = ack(reference, samples: true)
            pull(ByteView(body.base + 4, body.count - 4), reply: reply, from: client)
            answers = false
        } else if body.hasPrefix("-NAK") {
            nak(reference, ByteView(body.base + 4, body.count - 4))
        } else if body.equals("+WPI") {
            progress(reference.sequence)
        } else if body.hasPrefix("+TERM") {
            answers = ack(reference, samples: false)
            let reason = trimmed(ByteView(body.base + 5, body.count - 5)).string
            advise(
                .terminated(
                    sequence: reference.sequence, delivery: reference.delivery, deliveries: reference.deliveries,
                    reason: reason))
        }
        if answers && !reply.isEmpty { ackReplies.add(reply) }
    }

    /// - Returns: whether the sender may be told that it is done. A repeated ack is; one of what was never delivered is not.
    @inline(__always)
    private func ack(_ reference: AckReference, samples: Bool) -> Bool {
        guard reference.sequence > 0, wasDelivered(reference.sequence) else { return false }
        if settings.ackPolicy == .all {
            ackAll(reference.sequence, delivery: reference.delivery)
            return true
        }
        let slot = state.pending.find(reference.sequence)
        if slot != PendingTable.none {
            if samples && settings.samplePercent > 0 { sample(slot, reference) }
            finish(slot)
        } else if !forget(reference.sequence) {
            // Acked before, or passed over: an ack that was meant for an earlier consumer of this name, with another filter,
            // must not take a message from whoever is to have it.
            return true
        }
        if keepsInterest { stream.consumer(self, isDoneWith: reference.sequence) }
        return true
    }

    /// Whether a message is behind the read position.
    func wasDelivered(_ sequence: UInt64) -> Bool {
        if state.lastPerSubject.isEmpty { return sequence < nextSequence }
        return sequence <= state.lastPerSubject.end && !state.lastPerSubject.contains(sequence)
    }

    /// Acks a message with all before it, as `ack_policy: all` and answers to flow control do.
    func ackAll(_ sequence: UInt64, delivery: UInt64) {
        guard sequence > state.ackFloor.stream else { return }
        hasAcked = true
        record.add(.finishedUpTo, sequence, argument: delivery, delivered: state.delivered.consumer)
        guard keepsInterest else { return state.finish(upTo: sequence, delivery: delivery) { _ in } }
        var finished: [UInt64] = []
        state.finish(upTo: sequence, delivery: delivery) { finished.append($0) }
        for sequence in finished { stream.consumer(self, isDoneWith: sequence) }
    }

    func noteAcked(_ now: Instant) {
        guard hasAcked else { return }
        hasAcked = false
        lastAckedNs = now.wallNs
    }

    /// A pending message is done with.
    @inline(__always)
    func finish(_ slot: PendingTable.Slot) {
        hasAcked = true
        record.add(.finished, state.pending[slot].sequence, delivered: state.delivered.consumer)
        state.finish(slot)
        if record.isFull { writeRecord(stream.host.now) }
    }

    /// A message that had used up its deliveries no longer matters.
    ///
    /// - Returns: whether it was one.
    @discardableResult
    func forget(_ sequence: UInt64) -> Bool {
        guard !state.exhausted.isEmpty, state.exhausted.removeValue(forKey: sequence) != nil else { return false }
        record.add(.forgotten, sequence, delivered: state.delivered.consumer)
        return true
    }

    /// A message has used up its deliveries: it is no longer waited for, and stays in the stream.
    func exhaust(_ slot: PendingTable.Slot) {
        let entry = state.pending[slot]
        record.add(.exhausted, entry.sequence, delivered: state.delivered.consumer)
        state.exhaust(slot)
        advise(.maxDeliver(sequence: entry.sequence, deliveries: UInt64(entry.deliveries)))
        touch()
    }

    private func nak(_ reference: AckReference, _ argument: ByteView) {
        guard reference.delivery > state.ackFloor.consumer, reference.delivery <= state.delivered.consumer else { return }
        let slot = state.pending.find(reference.sequence)
        guard slot != PendingTable.none else { return }
        advise(
            .naked(sequence: reference.sequence, delivery: reference.delivery, deliveries: reference.deliveries))
        let now = stream.host.now
        let text = trimmed(argument)
        if !text.isEmpty, let delay = nakDelay(text) {
            delayRedelivery(slot, reference.sequence, delay, now)
            return
        }
        if settings.maxDeliver > 0 && state.pending[slot].deliveries >= settings.maxDeliver { return exhaust(slot) }
        guard state.pending[slot].place != .redelivery else { return }
        state.pending.awaitRedelivery(slot, after: journalTicket)
        record.add(.delayed, reference.sequence, argument: 0, delivered: state.delivered.consumer)
    }

    private func delayRedelivery(_ slot: PendingTable.Slot, _ sequence: UInt64, _ delay: UInt64, _ now: Instant) {
        state.pending.setSince(slot, now.monotonicNs)
        state.pending.awaitDeadline(slot, saturatingSum(now.monotonicNs, delay))
        record.add(.delayed, sequence, argument: delay, delivered: state.delivered.consumer)
    }

    /// `{"delay": nanoseconds}` or a Go duration; nil is neither, and counts as a plain nak.
    func nakDelay(_ text: ByteView) -> UInt64? {
        if text[0] == UInt8(ascii: "{") {
            guard let value = try? JSONValue.parse(text), let object = value.object else { return nil }
            guard let delay = object["delay"], !delay.isNull else { return 0 }
            return delay.int64.map { UInt64(max(0, $0)) }
        }
        return GoDuration.parse(text).map { UInt64(max(0, $0)) }
    }

    /// The client is still at it.
    private func progress(_ sequence: UInt64) {
        let slot = state.pending.find(sequence)
        // What waits for its redelivery already keeps its place.
        guard slot != PendingTable.none, state.pending[slot].place != .redelivery else { return }
        let now = stream.host.now
        state.pending.setSince(slot, now.monotonicNs)
        awaitAck(slot, now)
        record.add(.progressed, sequence, delivered: state.delivered.consumer)
    }

    private func sample(_ slot: PendingTable.Slot, _ reference: AckReference) {
        let host = stream.host
        if settings.samplePercent < 100 && host.random() % 100 > settings.samplePercent { return }
        let now = host.now.monotonicNs, since = state.pending[slot].sinceNs
        advise(
            .acked(
                sequence: reference.sequence, delivery: reference.delivery, deliveries: reference.deliveries,
                afterNs: Int64(clamping: now > since ? now - since : 0)))
    }

    private func trimmed(_ text: ByteView) -> ByteView {
        var start = 0, end = text.count
        while start < end && Subject.isWhitespace(text[start]) { start += 1 }
        while end > start && Subject.isWhitespace(text[end - 1]) { end -= 1 }
        return ByteView(text.base + start, end - start)
    }
}
