// Keeps a keyed consumer's state in the journal, and takes it back from there after a restart.

import Store
import Wire

extension KeyedDelivery {
    /// Writes what the turn has brought; what waits for it takes effect when it is durable.
    func writeRecord(_ now: Instant) {
        // What waits behind a park is pinned from now on, after a restart too.
        if !record.isEmpty || hasPassedPins { record.pass(before: consumer.nextSequence) }
        hasPassedPins = false
        if !record.isEmpty {
            if let id = consumer.journalID, let journal = consumer.stream.journal {
                record.take(timeNs: now.wallNs, delivered: consumer.state.delivered.consumer).withUnsafeBytes {
                    journal.append(id, $0, replaces: false)
                }
            } else {
                record.removeAll()
            }
        }
        endBatch()
    }

    /// A new batch begins; the one before waits for the journal.
    func endBatch() {
        guard let last = settling.last, last.batch == batch else { return }
        let ended = batch
        batch += 1
        guard consumer.journalID != nil else { return settled(ended) }
        // The commit keeps its consumer: a weak reference would make each count of references to this object slow for good.
        consumer.stream.afterJournalCommit { [consumer] in
            if !consumer.isStopped { consumer.keyed?.settled(ended) }
        }
    }

    /// Where nothing is kept, what the end of a turn has brought is seen to in the next one.
    var hasFresh: Bool { consumer.journalID == nil && consumer.isTouched }

    /// A record that stands for everything up to now.
    func whole(_ now: Instant) -> [UInt8] {
        // What the turn has gathered is part of the state already.
        record.removeAll()
        var json = JSONWriter()
        consumer.config.write(to: &json)
        var writer = VarintWriter()
        writer.byte(KeyedRecordFormat.whole)
        writer.byte(KeyedRecordFormat.version)
        writer.text(Array(consumer.name.utf8))
        writer.signed(consumer.createdNs)
        writer.text(json.take())
        writer.signed(now.wallNs)
        for number in [consumer.nextSequence, consumer.state.delivered.stream, reservedEnd, lastVersion] {
            writer.number(number)
        }
        writer.byte(circuit?.isOpen ?? false ? 1 : 0)
        writeEntries(&writer, now)
        writer.number(UInt64(audits.count))
        for audit in audits {
            writer.number(audit.sequence)
            audit.write(to: &writer)
        }
        if floor > start.end { start = LastPerSubject() }
        writer.number(start.end)
        writer.number(UInt64(start.count))
        var last: UInt64 = 0
        for sequence in start.remaining {
            writer.signed(Int64(bitPattern: sequence &- last))
            last = sequence
        }
        let drains = isResolved ? draining.drains.map { ($0.sequence, hash($0.key), $0.end) } : recoveredDrains
        writer.number(UInt64(drains.count))
        for (sequence, hash, end) in drains {
            writer.number(sequence)
            writer.hash(hash)
            writer.number(end)
        }
        return writer.bytes
    }

    private func writeEntries(_ writer: inout VarintWriter, _ now: Instant) {
        var slots: [OutstandingTable.Slot] = []
        var cursors: [(UInt64, UInt64)] = []
        table.forEach { slot in
            let entry = table[slot]
            if entry.sequence != 0 { slots.append(slot) }
            guard entry.key != 0, table.first(of: entry.key) == slot else { return }
            // What is outstanding tells it, unless a key has more than one lease, or had before an update.
            let cursor = table.cursor(slot), hasMore = table.entries(ofKeyAt: slot) > 1
            if settings.maxPendingPerKey > 1 || hasMore || entry.sequence != 0 && cursor > entry.sequence {
                cursors.append((hash(entry.key), cursor))
            }
        }
        slots.sort { table[$0].sequence < table[$1].sequence }
        writer.number(UInt64(slots.count))
        var last: UInt64 = 0
        for slot in slots {
            let entry = table[slot]
            writer.signed(Int64(bitPattern: entry.sequence &- last))
            last = entry.sequence
            // By the time that this record counts, what waits for it has happened.
            let state: OutstandingTable.State =
                entry.state == .settling ? .ready : entry.state == .parking ? .parked : entry.state
            writer.byte(state.rawValue)
            writer.hash(entry.key == 0 ? unresolvedHash(slot) : hash(entry.key))
            for number in [entry.delivery, UInt64(entry.attempts), UInt64(entry.total)] { writer.number(number) }
            switch state {
            case .parked: writer.signed(entry.state == .parked ? Int64(clamping: entry.moment) : now.wallNs)
            case .leased, .orphaned, .backoff:
                let left = entry.moment > now.monotonicNs ? entry.moment - now.monotonicNs : 0
                writer.signed(entry.moment == .max ? -1 : Int64(clamping: left))
            default: writer.signed(0)
            }
            writer.number(state == .parked ? entry.holder : 0)
            writer.byte(entry.reason.rawValue)
            writer.text(errors[slot] ?? [])
        }
        writer.number(UInt64(cursors.count))
        for (hash, cursor) in cursors {
            writer.hash(hash)
            writer.number(cursor)
        }
    }

    private func unresolvedHash(_ slot: OutstandingTable.Slot) -> UInt64 {
        unresolvedHashes[slot] ?? orphans.first { $0.value == slot }?.key ?? 0
    }

    // MARK: Consumer sequences

    /// A new consumer's sequences begin at a block of its own, so that no ack of an earlier consumer of its name matches.
    func beginSequences() {
        let first = (1 + host.random() % (1 << 30)) * KeyedDelivery.blockSize
        consumer.state.delivered.consumer = first
        consumer.state.ackFloor.consumer = first
        reservedEnd = first + KeyedDelivery.blockSize
        // Versions neither: a command that was meant for an earlier consumer of the name finds no park of this one's.
        lastVersion = (host.random() % (1 << 20)) << 20
    }

    /// What has been reserved so far may be used once the journal has it.
    func confirmReservation() {
        let end = reservedEnd
        guard consumer.journalID != nil else {
            durableEnd = max(durableEnd, end)
            return
        }
        consumer.stream.afterJournalCommit { [consumer] in
            guard !consumer.isStopped, let keyed = consumer.keyed else { return }
            keyed.durableEnd = max(keyed.durableEnd, end)
            consumer.touch()
        }
    }

    /// Reserves the next block in time. False: no sequence is left until that is durable.
    func reserve() -> Bool {
        let next = consumer.state.delivered.consumer
        if reservedEnd &- next <= KeyedDelivery.blockSize / 2 {
            reservedEnd += KeyedDelivery.blockSize
            record.add(.reserved, 0, argument: reservedEnd)
            if consumer.journalID != nil { consumer.writeRecord(host.now) }
            confirmReservation()
        }
        return next < durableEnd
    }

    // MARK: Recovery

    /// Takes over what the journal has kept. Keys are known as soon as the index has read what is outstanding.
    func take(_ recovered: RecoveredKeyedState) {
        consumer.state.delivered = ConsumerPosition(consumer: recovered.reservedEnd, stream: recovered.highestLeased)
        reservedEnd = recovered.reservedEnd + KeyedDelivery.blockSize
        record.add(.reserved, 0, argument: reservedEnd)
        lastVersion = recovered.lastVersion
        audits = recovered.audits
        start = recovered.start
        recoveredCursors = recovered.cursors
        recoveredDrains = recovered.drains
        if recovered.isCircuitOpen { circuit?.isOpen = true }
        let now = host.now
        for entry in recovered.entries.values.sorted(by: { $0.sequence < $1.sequence }) { take(entry, now) }
        isResolved = false
    }

    private func take(_ recovered: RecoveredKeyedState.Entry, _ now: Instant) {
        guard recovered.sequence < consumer.nextSequence else { return }
        let slot = table.insert(recovered.sequence, 0)
        table[slot].delivery = recovered.delivery
        table[slot].attempts = recovered.attempts
        table.at(slot).pointee.total = recovered.total
        table.at(slot).pointee.reason = recovered.reason
        if recovered.hash != 0 { unresolvedHashes[slot] = recovered.hash }
        if !recovered.error.isEmpty { errors[slot] = recovered.error }
        switch recovered.state {
        case .parked, .parking:
            table[slot].holder = recovered.version
            table.move(slot, to: .parked, moment: UInt64(max(0, recovered.sinceNs)))
        case .leased where settings.releasesOnDisconnect && log.contains(recovered.sequence):
            // Whoever had it is no longer connected: it ends as soon as the keys are known.
            table.move(slot, to: .leased, moment: now.monotonicNs)
        case .leased, .orphaned, .backoff:
            var end = UInt64.max
            if let length = recovered.lengthNs {
                // Never longer than at first, whatever the wall clock says now.
                let age = now.wallNs > recovered.sinceNs ? UInt64(now.wallNs &- recovered.sinceNs) : 0
                end = saturatingSum(now.monotonicNs, length > age ? length - age : 0)
            }
            table.move(slot, to: recovered.state, moment: end)
        case .ready, .settling: table.move(slot, to: .ready)
        }
    }

    /// Has the index read up to the read position, a piece in each turn, and finds the keys of what a restart has brought back.
    ///
    /// - Returns: false: not yet. `awaitsDisk` says whether for the disk, or for turns.
    func resolve() -> Bool {
        if isReady { return true }
        let position = consumer.nextSequence
        if position > 0, index.end < position {
            var steps = KeyedDelivery.stepsMax
            let reach = index.extend(through: position - 1, &steps)
            awaitsDisk = reach == .reading || reach == .failed
            if reach == .budget { consumer.touch() }
            if reach == .failed { consumer.readLater() }
            guard reach == .covered else { return false }
        }
        if !isResolved || hasMissedRemovals {
            if !isResolved {
                isResolved = true
                joinKeys()
            }
            hasMissedRemovals = false
            dropRemoved()
            countWaiting()
            consumer.countPending()
        }
        dropUnwanted()
        if consumer.keepsInterest { consumer.stream.retentionAppliesAgain() }
        let held = heldAcks
        heldAcks = []
        heldBytes = 0
        for ack in held { ack.replay(self) }
        return true
    }

    private func joinKeys() {
        var slots: [OutstandingTable.Slot] = []
        table.forEach { slots.append($0) }
        slots.sort { table[$0].sequence < table[$1].sequence }
        for slot in slots {
            let sequence = table[slot].sequence
            var key = index.key(of: sequence)
            if key == 0, let hash = unresolvedHashes[slot] {
                key = index.names.find(hash: hash) ?? 0
                if key == 0 { orphans[hash] = slot }
            }
            guard key != 0 else { continue }
            index.retain(key)
            table.join(slot, key)
            if table.entries(ofKeyAt: table.first(of: key)) > settings.maxPendingPerKey { mayExceed = true }
        }
        for (hash, cursor) in recoveredCursors {
            guard let key = index.names.find(hash: hash) else { continue }
            let first = table.first(of: key)
            if first != OutstandingTable.none { table.raiseCursor(first, to: cursor) }
        }
        for (sequence, hash, end) in recoveredDrains {
            guard let key = hash == 0 ? 0 : index.names.find(hash: hash) else { continue }
            draining.begin(sequence, key, Backlog(), before: min(end, consumer.nextSequence))
        }
        unresolvedHashes = [:]
        recoveredCursors = [:]
        recoveredDrains = []
    }

    /// Messages that match and were never leased: those ahead, and those that were passed and are not done.
    func countPending() -> UInt64 {
        let position = consumer.nextSequence, visible = consumer.visibleSequence
        var count: UInt64 = 0
        let from = start.isEmpty ? position : max(position, start.end &+ 1)
        if from <= visible { count += log.count(from: from, upTo: visible, consumer.filter) }
        for sequence in start.remaining where sequence >= position && log.contains(sequence) && wants(sequence) { count += 1 }
        guard isReady else { return count }
        table.forEach { slot in
            let entry = table[slot]
            if entry.sequence != 0 && entry.total == 0 && log.contains(entry.sequence) { count += 1 }
            guard entry.key != 0, table.first(of: entry.key) == slot else { return }
            var place = table.cursor(slot)
            while let next = nextWaiting(entry.key, after: place) {
                count += 1
                place = next
            }
        }
        return count
    }
}
