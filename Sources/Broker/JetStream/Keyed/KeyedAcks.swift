// Acks of a keyed consumer: each is checked against the lease that it answers, and a stale one changes nothing.

import Wire

/// What a client may say of a message.
private enum AckKind {
    case ack, next, nak, progress, term
    case unknown

    init(_ body: ByteView) {
        if body.isEmpty || body.equals("+ACK") || body.equals("+OK") {
            self = .ack
        } else if body.hasPrefix("+NXT") {
            self = .next
        } else if body.hasPrefix("-NAK") {
            self = .nak
        } else if body.equals("+WPI") {
            self = .progress
        } else if body.hasPrefix("+TERM") {
            self = .term
        } else {
            self = .unknown
        }
    }
}

/// An ack that came while the consumer did not know its keys: after a restart, or while the index is read anew.
struct HeldAck {
    var subject: [UInt8]
    var reply: [UInt8]
    var headerBytes: Int
    var payload: [UInt8]
    var client: UInt64

    /// So many bytes of them are kept; whoever sent the others is given the message again.
    static let heldBytesMax = 16 << 20

    init(_ message: Message, client: UInt64) {
        subject = message.subject.bytes
        reply = message.reply.bytes
        headerBytes = message.headerBytes
        payload = message.payload.bytes
        self.client = client
    }

    var bytes: Int { subject.count + reply.count + payload.count + 128 }

    func replay(_ keyed: KeyedDelivery) {
        subject.withUnsafeBytes { subject in
            reply.withUnsafeBytes { reply in
                payload.withUnsafeBytes { payload in
                    keyed.consumer.receive(
                        ack: Message(
                            subject: ByteView(subject), reply: ByteView(reply), headerBytes: headerBytes,
                            payload: ByteView(payload), sizes: .empty), from: client)
                }
            }
        }
    }
}

extension KeyedDelivery {
    /// The last error that a client tells with a nak or a term, cut to so many bytes.
    static let errorBytesMax = 256

    func receive(ack message: Message, _ reference: AckReference, _ body: ByteView, from client: UInt64) {
        guard resolve() else {
            let held = HeldAck(message, client: client)
            if heldBytes + held.bytes <= HeldAck.heldBytesMax {
                heldAcks.append(held)
                heldBytes += held.bytes
            }
            consumer.touch()
            return
        }
        let kind = AckKind(body)
        guard isCurrent(reference, kind) else { return refuse(message, reference) }
        let slot = table.find(reference.sequence)
        var answers = !message.reply.isEmpty
        if slot != OutstandingTable.none {
            let error = KeyIndex.value(of: KeyedDelivery.errorHeader, in: message.headers)
            let argument = argument(of: body, kind)
            switch kind {
            case .ack, .next: ack(slot, reference)
            case .nak: nak(slot, reference, argument, error)
            case .progress: progress(slot)
            case .term: term(slot, reference, reason: argument, error)
            case .unknown: break
            }
        }
        if kind == .next {
            consumer.pull(ByteView(body.base + 4, body.count - 4), reply: message.reply, from: client)
            answers = false
        }
        if answers { consumer.ackReplies.add(message.reply) }
    }

    private static let errorHeader = Array("Bellhop-Error".utf8)

    private func argument(of body: ByteView, _ kind: AckKind) -> ByteView {
        guard kind == .nak || kind == .term else { return .empty }
        let bytes = kind == .nak ? 4 : 5
        return trimmed(ByteView(body.base + bytes, body.count - bytes))
    }

    private func trimmed(_ text: ByteView) -> ByteView {
        var start = 0, end = text.count
        while start < end && Subject.isWhitespace(text[start]) { start += 1 }
        while end > start && Subject.isWhitespace(text[end - 1]) { end -= 1 }
        return ByteView(text.base + start, end - start)
    }

    /// Whether an ack answers the last lease of its message, as far as that may still be answered so; or a message that is
    /// done, which it cannot change.
    private func isCurrent(_ reference: AckReference, _ kind: AckKind) -> Bool {
        let slot = table.find(reference.sequence)
        guard slot != OutstandingTable.none else {
            let sequence = reference.sequence
            guard sequence > 0, sequence < consumer.nextSequence, reference.delivery <= consumer.state.delivered.consumer,
                kind != .nak, kind != .progress
            else { return false }
            if let delivery = lastLeases.delivery(of: sequence), delivery != reference.delivery { return false }
            return !(isWaitingBehind(sequence, index.key(of: sequence)) && wants(sequence))
        }
        let entry = table[slot]
        if checks.contains(.fence) {
            guard entry.delivery != 0, entry.delivery == reference.delivery else { return false }
        }
        switch kind {
        // An expired lease may still be ended, but neither prolonged nor refused.
        case .nak, .progress: return entry.state == .leased || entry.state == .orphaned
        // What its own client has given up for good does not come back with an ack.
        case .ack, .next: return !(entry.state == .parked || entry.state == .parking) || entry.reason != .terminated
        case .term, .unknown: return true
        }
    }

    /// A stale ack changes nothing; whoever asked is told.
    private func refuse(_ message: Message, _ reference: AckReference) {
        staleAcks += 1
        if !message.reply.isEmpty { consumer.send(ConsumerStatus.staleAck, to: message.reply) }
        advise(.staleAck(sequence: reference.sequence, delivery: reference.delivery))
    }

    // MARK: What it does

    private func ack(_ slot: OutstandingTable.Slot, _ reference: AckReference) {
        let entry = table[slot]
        let now = host.now
        consumer.lastAckedNs = now.wallNs
        if entry.state == .leased && consumer.settings.samplePercent > 0 { sample(entry, reference, now) }
        if entry.state == .parked || entry.state == .parking { endPark(slot, .acked, bytes: nil) }
        let sequence = entry.sequence
        finish(slot)
        done(sequence)
    }

    /// An interest or workqueue stream may remove a message.
    func done(_ sequence: UInt64) {
        if consumer.keepsInterest { consumer.stream.consumer(consumer, isDoneWith: sequence) }
    }

    private func sample(_ entry: OutstandingTable.Entry, _ reference: AckReference, _ now: Instant) {
        if consumer.settings.samplePercent < 100 && host.random() % 100 > consumer.settings.samplePercent { return }
        let wait = consumer.settings.ackWait(deliveries: entry.attempts) ?? 0
        let since = entry.moment == .max || entry.moment < wait ? now.monotonicNs : entry.moment - wait
        consumer.advise(
            .acked(
                sequence: reference.sequence, delivery: reference.delivery, deliveries: reference.deliveries,
                afterNs: Int64(clamping: now.monotonicNs > since ? now.monotonicNs - since : 0)))
    }

    private func nak(
        _ slot: OutstandingTable.Slot, _ reference: AckReference, _ argument: ByteView, _ error: ByteView
    ) {
        consumer.advise(
            .naked(sequence: reference.sequence, delivery: reference.delivery, deliveries: reference.deliveries))
        keepError(slot, error)
        if table[slot].state == .orphaned { return finish(slot) }
        if isExhausted(slot) { return exhaust(slot) }
        let sequence = table[slot].sequence
        if !argument.isEmpty, let delay = consumer.nakDelay(argument), delay > 0 {
            record.add(.delayed, sequence, argument: delay)
            table.move(slot, to: .backoff, moment: saturatingSum(host.now.monotonicNs, delay))
            return letGo(table[slot].key)
        }
        release(slot)
    }

    /// A lease or a back-off has ended: the message goes behind those that are ready.
    func release(_ slot: OutstandingTable.Slot) {
        record.add(.released, table[slot].sequence)
        table.move(slot, to: .ready)
        letGo(table[slot].key)
        consumer.touch()
    }

    private func progress(_ slot: OutstandingTable.Slot) {
        let entry = table[slot]
        record.add(.progressed, entry.sequence)
        let wait = consumer.settings.ackWait(deliveries: entry.attempts)
        table.move(slot, to: entry.state, moment: wait.map { saturatingSum(host.now.monotonicNs, $0) } ?? .max)
    }

    private func term(
        _ slot: OutstandingTable.Slot, _ reference: AckReference, reason: ByteView, _ error: ByteView
    ) {
        consumer.advise(
            .terminated(
                sequence: reference.sequence, delivery: reference.delivery, deliveries: reference.deliveries,
                reason: reason.string))
        keepError(slot, error.isEmpty ? reason : error)
        switch table[slot].state {
        case .parked, .parking: return
        case .orphaned: finish(slot)
        default: giveUp(slot, .terminated)
        }
    }

    private func keepError(_ slot: OutstandingTable.Slot, _ error: ByteView) {
        if !error.isEmpty { errors[slot] = Array(error.buffer.prefix(KeyedDelivery.errorBytesMax)) }
    }

    // MARK: Exhausted

    func isExhausted(_ slot: OutstandingTable.Slot) -> Bool {
        let most = consumer.settings.maxDeliver
        return most > 0 && table[slot].attempts >= most
    }

    /// A message has used up its deliveries.
    func exhaust(_ slot: OutstandingTable.Slot) {
        let entry = table[slot]
        consumer.advise(.maxDeliver(sequence: entry.sequence, deliveries: UInt64(entry.attempts)))
        giveUp(slot, .maxDeliver)
    }

    /// Parks a message, or passes over it, as `on_max_deliver` says.
    private func giveUp(_ slot: OutstandingTable.Slot, _ reason: ParkReason) {
        if settings.onMaxDeliver == .park { return park(slot, reason) }
        let entry = table[slot]
        advise(.skipped(sequence: entry.sequence, key: keyText(entry), reason: reason.text))
        finish(slot)
        afterRecord { [consumer] in consumer.keyed?.done(entry.sequence) }
    }
}

/// Which lease ended a message, for the last that were: a table of fixed size, in which messages that share a place forget each
/// other.
struct LastLeases {
    private static let size = 1 << 10
    private var leases: [(sequence: UInt64, delivery: UInt64)] = []

    mutating func set(_ sequence: UInt64, _ delivery: UInt64) {
        guard delivery != 0 else { return }
        if leases.isEmpty { leases = Array(repeating: (0, 0), count: LastLeases.size) }
        leases[Int(truncatingIfNeeded: sequence) & (LastLeases.size - 1)] = (sequence, delivery)
    }

    /// nil where that is not known.
    func delivery(of sequence: UInt64) -> UInt64? {
        guard !leases.isEmpty else { return nil }
        let known = leases[Int(truncatingIfNeeded: sequence) & (LastLeases.size - 1)]
        return known.sequence == sequence ? known.delivery : nil
    }
}
