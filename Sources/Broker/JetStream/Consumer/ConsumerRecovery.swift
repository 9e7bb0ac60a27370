// Makes a consumer's state of the records that a journal has kept. Nothing in them is trusted.

import Wire

/// Times are nanoseconds since 1970 until the consumer that takes the state over has set its clocks.
struct RecoveredConsumerState: ~Copyable {
    var name: String
    var createdNs: Int64
    /// JSON, as it was when the definition was last written.
    var config: [UInt8]
    var state: ConsumerState

    /// nil where no record is a definition: without one there is no consumer. Later records that make no sense are passed
    /// over; `damaged` says how many.
    static func read(
        _ records: [[UInt8]], tracksAcks: (_ config: [UInt8]) -> Bool, damaged: inout Int
    ) -> RecoveredConsumerState? {
        guard let first = records.lastIndex(where: { $0.first == ConsumerRecordFormat.whole && read(whole: $0) != nil }),
            var recovered = read(whole: records[first])
        else { return nil }
        // What is pending was delivered. Were it not so, it would be delivered again as if for the first time.
        recovered.state.delivered.stream = max(recovered.state.delivered.stream, recovered.state.pending.lastSequence)
        recovered.state.lastPerSubject.advance(beyond: recovered.state.delivered.stream)
        let tracks = tracksAcks(recovered.config)
        for record in records[(first + 1)...] where !recovered.state.apply(turn: record, tracks: tracks) { damaged += 1 }
        return recovered
    }

    /// Reads a record that stands for all before it.
    static func read(whole record: [UInt8]) -> RecoveredConsumerState? {
        var reader = VarintReader(record)
        guard reader.byte() == ConsumerRecordFormat.whole, reader.byte() == ConsumerRecordFormat.version,
            let name = reader.text(), let created = reader.signed(), let config = reader.text(),
            let time = reader.signed(), let deliveredConsumer = reader.number(), let deliveredStream = reader.number(),
            let floorConsumer = reader.number(), let floorStream = reader.number()
        else { return nil }
        var state = ConsumerState(startsAt: 1)
        state.delivered = ConsumerPosition(consumer: deliveredConsumer, stream: deliveredStream)
        state.ackFloor = ConsumerPosition(consumer: floorConsumer, stream: floorStream)
        guard state.readPending(&reader, timeNs: time), state.readExhausted(&reader), state.readLastPerSubject(&reader),
            reader.isAtEnd
        else { return nil }
        return RecoveredConsumerState(
            name: String(decoding: name, as: UTF8.self), createdNs: created, config: config, state: state)
    }

    /// Writes a record that stands for all before it. Times of the state are monotonic: `now` tells their wall times.
    static func whole(
        name: String, createdNs: Int64, config: [UInt8], state: borrowing ConsumerState, now: Instant
    ) -> [UInt8] {
        var writer = VarintWriter()
        writer.byte(ConsumerRecordFormat.whole)
        writer.byte(ConsumerRecordFormat.version)
        writer.text(Array(name.utf8))
        writer.signed(createdNs)
        writer.text(config)
        writer.signed(now.wallNs)
        for number in [
            state.delivered.consumer, state.delivered.stream, state.ackFloor.consumer, state.ackFloor.stream,
        ] { writer.number(number) }
        state.writePending(&writer, now: now)
        var last: UInt64 = 0
        writer.number(UInt64(state.exhausted.count))
        for (sequence, deliveries) in state.exhausted.sorted(by: { $0.key < $1.key }) {
            writer.signed(Int64(bitPattern: sequence &- last))
            writer.number(UInt64(deliveries))
            last = sequence
        }
        last = 0
        writer.number(UInt64(state.lastPerSubject.count))
        for sequence in state.lastPerSubject.remaining {
            writer.signed(Int64(bitPattern: sequence &- last))
            last = sequence
        }
        writer.number(state.lastPerSubject.end)
        return writer.bytes
    }
}

extension ConsumerState {
    fileprivate func writePending(_ writer: inout VarintWriter, now: Instant) {
        writer.number(UInt64(pending.count))
        var lastSequence: UInt64 = 0, lastDelivery: UInt64 = 0
        var slot = pending.first
        while slot != PendingTable.none {
            let entry = pending[slot]
            writer.signed(Int64(bitPattern: entry.sequence &- lastSequence))
            writer.signed(Int64(bitPattern: entry.delivery &- lastDelivery))
            writer.number(UInt64(entry.deliveries))
            writer.byte(entry.place.rawValue)
            writer.signed(Int64(bitPattern: entry.sinceNs &- now.monotonicNs))
            writer.signed(entry.place == .deadline ? distance(to: entry.deadlineNs, from: now.monotonicNs) : 0)
            lastSequence = entry.sequence
            lastDelivery = entry.delivery
            slot = pending.next(slot)
        }
    }

    fileprivate mutating func readPending(_ reader: inout VarintReader, timeNs: Int64) -> Bool {
        // An entry takes six bytes at least.
        guard let count = reader.number(), count <= UInt64(reader.remaining / 6) else { return false }
        var sequence: UInt64 = 0, delivery: UInt64 = 0
        for _ in 0..<count {
            guard let step = reader.signed(), let deliveryStep = reader.signed(), let deliveries = reader.number(),
                let place = reader.byte().flatMap(PendingTable.Place.init), let since = reader.signed(),
                let deadline = reader.signed()
            else { return false }
            let next = sequence &+ UInt64(bitPattern: step)
            guard next > sequence else { return false }
            sequence = next
            delivery = delivery &+ UInt64(bitPattern: deliveryStep)
            let slot = pending.insert(
                sequence, delivery: delivery, sinceNs: wall(timeNs, since),
                deliveries: UInt32(clamping: max(1, deliveries)))
            switch place {
            case .acks: pending.awaitAck(slot, sinceNs: wall(timeNs, since))
            case .deadline: pending.awaitDeadline(slot, wall(timeNs, deadline))
            case .redelivery: pending.awaitRedelivery(slot, after: 0)
            case .nothing: break
            }
        }
        return true
    }

    fileprivate mutating func readExhausted(_ reader: inout VarintReader) -> Bool {
        guard let count = reader.number(), count <= UInt64(reader.remaining / 2) else { return false }
        var sequence: UInt64 = 0
        for _ in 0..<count {
            guard let step = reader.signed(), let deliveries = reader.number() else { return false }
            sequence = sequence &+ UInt64(bitPattern: step)
            exhausted[sequence] = UInt32(clamping: deliveries)
        }
        return true
    }

    fileprivate mutating func readLastPerSubject(_ reader: inout VarintReader) -> Bool {
        guard let count = reader.number(), count <= UInt64(reader.remaining) else { return false }
        var sequences: [UInt64] = []
        sequences.reserveCapacity(Int(count))
        for _ in 0..<count {
            guard let step = reader.signed() else { return false }
            let next = (sequences.last ?? 0) &+ UInt64(bitPattern: step)
            guard next > sequences.last ?? 0 else { return false }
            sequences.append(next)
        }
        guard let end = reader.number() else { return false }
        lastPerSubject = LastPerSubject(sequences, end: end)
        return true
    }

    /// Takes over what a turn's record tells. False if it makes no sense, or not to its end.
    mutating func apply(turn record: [UInt8], tracks: Bool) -> Bool {
        var reader = VarintReader(record)
        guard reader.byte() == ConsumerRecordFormat.turn, reader.byte() == ConsumerRecordFormat.version,
            let time = reader.signed(), let base = reader.number()
        else { return false }
        // Older than what is known already.
        guard base >= delivered.consumer else { return true }
        delivered.consumer = base
        var last: UInt64 = 0, budget = ConsumerRecordFormat.runsMax
        while !reader.isAtEnd {
            guard let head = reader.byte(), let event = ConsumerEvent(rawValue: head & 15) else { return false }
            var run = UInt64(head >> 4) + 1
            if run == 16 {
                guard let more = reader.number(), more <= budget else { return false }
                run += more
            }
            guard run <= budget, let step = reader.signed() else { return false }
            budget -= run
            let sequence = last &+ UInt64(bitPattern: step)
            guard sequence > 0, sequence <= .max - run else { return false }
            last = sequence + (run - 1)
            var argument: UInt64 = 0
            if event.hasArgument {
                guard let number = reader.number() else { return false }
                argument = number
            }
            for sequence in sequence...last { apply(event, sequence, argument, wall(time, 0), tracks: tracks) }
        }
        return true
    }

    private mutating func apply(
        _ event: ConsumerEvent, _ sequence: UInt64, _ argument: UInt64, _ timeNs: UInt64, tracks: Bool
    ) {
        if event == .delivered {
            guard !pending.contains(sequence) else { return }
            let slot = deliver(sequence, tracks: tracks, sinceNs: timeNs)
            if slot != PendingTable.none { pending.awaitAck(slot, sinceNs: timeNs) }
            lastPerSubject.advance(beyond: sequence)
            return
        }
        let slot = pending.find(sequence)
        switch event {
        case .finishedUpTo: finish(upTo: sequence, delivery: argument) { _ in }
        case .forgotten: exhausted[sequence] = nil
        case .advanced: advance(to: sequence)
        case _ where slot == PendingTable.none: break
        case .finished: finish(slot)
        case .redelivered:
            redeliver(slot, sinceNs: timeNs)
            pending.awaitAck(slot, sinceNs: timeNs)
        case .progressed: pending.awaitAck(slot, sinceNs: timeNs)
        case .delayed:
            pending.setSince(slot, timeNs)
            pending.awaitDeadline(slot, saturatingSum(timeNs, argument))
        case .exhausted: exhaust(slot)
        case .delivered: break
        }
    }

    /// Sets the clocks of a state that was read: what waited goes on waiting for what is left of its time, and never for
    /// longer than it had to at first, whatever the wall clock says now.
    ///
    /// - Parameter ackWaitNs: for a message with so many deliveries; nil waits for ever.
    mutating func setClocks(now: Instant, ackWaitNs: (_ deliveries: UInt32) -> UInt64?) {
        let wallNow = wall(now.wallNs, 0)
        var slot = pending.first
        while slot != PendingTable.none {
            let entry = pending[slot]
            let age = wallNow > entry.sinceNs ? wallNow - entry.sinceNs : 0
            pending.setSince(slot, now.monotonicNs > age ? now.monotonicNs - age : 0)
            switch entry.place {
            case .redelivery: break
            case .deadline:
                let length = entry.deadlineNs > entry.sinceNs ? entry.deadlineNs - entry.sinceNs : 0
                pending.awaitDeadline(slot, saturatingSum(now.monotonicNs, length > age ? length - age : 0))
            case .acks, .nothing:
                if let length = ackWaitNs(entry.deliveries) {
                    pending.awaitDeadline(slot, saturatingSum(now.monotonicNs, length > age ? length - age : 0))
                } else {
                    pending.awaitNothing(slot)
                }
            }
            slot = pending.next(slot)
        }
    }
}

/// How far a moment is away; one that is further than can be said is that far.
private func distance(to later: UInt64, from moment: UInt64) -> Int64 {
    later >= moment ? Int64(clamping: later - moment) : -Int64(clamping: moment - later)
}

/// A time of a record as the table holds it while it is read.
private func wall(_ timeNs: Int64, _ offset: Int64) -> UInt64 {
    UInt64(max(0, timeNs.addingClamped(offset)))
}
