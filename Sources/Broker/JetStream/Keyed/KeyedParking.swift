// Dead letters: a message that failed for good is parked with everything of its key behind it, until an operator retries or
// skips it. It stays where it is in the stream.

import Store
import Wire

/// Why a park ends without an operator.
enum ParkEnd: String {
    /// The message has left the stream.
    case removed
    /// A late ack came.
    case acked
    case retried
    case skipped
}

extension KeyedDelivery {
    /// Parks a message: it takes effect when that is durable.
    func park(_ slot: OutstandingTable.Slot, _ reason: ParkReason) {
        lastVersion += 1
        table[slot].holder = lastVersion
        table[slot].reason = reason
        record.park(table[slot].sequence, version: lastVersion, reason: reason, error: errors[slot] ?? [])
        settle(slot, to: .parking)
    }

    /// The park is durable: it counts, and whoever listens is told.
    func parkTakesEffect(_ slot: OutstandingTable.Slot) {
        let now = host.now
        table[slot].isUnpinned = settings.parkRetention == .expire
        table.move(slot, to: .parked, moment: UInt64(max(0, now.wallNs)))
        parksTotal += 1
        addToParked(slot, 1)
        let entry = table[slot]
        if entry.key != 0 { circuit?.parked(now.monotonicNs) }
        advise(
            .parked(
                Park(
                    key: keyText(entry), sequence: entry.sequence, version: entry.holder, reason: entry.reason.text,
                    attempts: UInt64(entry.total), error: errors[slot] ?? [], parkedNs: now.wallNs)))
        updateHold(now)
    }

    /// A parked message is to be leased again, its leases counted from the beginning. Takes effect when that is durable.
    func retry(_ slot: OutstandingTable.Slot) {
        record.add(.retried, table[slot].sequence)
        endPark(slot, .retried, bytes: nil)
        table[slot].attempts = 0
        table[slot].reason = .none
        // No filter of the consumer may match it any more.
        if wants(table[slot].sequence) { settle(slot) } else { finish(slot) }
    }

    /// A parked message is passed over. Takes effect when that is durable.
    func skip(_ slot: OutstandingTable.Slot) {
        let sequence = table[slot].sequence
        endPark(slot, .skipped, bytes: nil)
        finish(slot)
        afterRecord { [consumer] in consumer.keyed?.done(sequence) }
    }

    /// An entry is no longer parked. What becomes of it is the caller's matter.
    ///
    /// - Parameter bytes: the size of a message that has left the stream; nil if it is there.
    func endPark(_ slot: OutstandingTable.Slot, _ end: ParkEnd, bytes: Int?) {
        let entry = table[slot]
        if entry.state == .parked { addToParked(slot, -1, ownBytes: bytes) }
        table.move(slot, to: .settling)
        if end == .removed || end == .acked {
            advise(.parkEnded(sequence: entry.sequence, key: keyText(entry), version: entry.holder, why: end))
        }
        if table.count(.parked) == 0 {
            parkedBytes = 0
            pinnedBytes = 0
            pinnedMessages = 0
        }
        consumer.stream.pinsEnded(from: entry.sequence)
        updateHold(host.now)
    }

    // MARK: What is parked

    var parkedKeys: Int { table.count(.parked) + table.count(.parking) }

    /// What pins may hold.
    var maxParkedBytes: UInt64 {
        if let bytes = settings.maxParkedBytes { return bytes }
        let limit = consumer.stream.config.maxBytes
        return limit > 0 ? max(1, UInt64(limit) / 10) : KeyedSettings.maxParkedBytesDefault
    }

    /// Whether there may be messages that the stream's limits have to spare.
    var hasPins: Bool { pinnedMessages > 0 || !isReady }

    /// Whether the stream's limits have to spare a message.
    func pins(_ sequence: UInt64) -> Bool {
        guard hasPins else { return false }
        let slot = table.find(sequence)
        if slot != OutstandingTable.none { return table[slot].state == .parked && !table[slot].isUnpinned }
        // Better too long than too short.
        guard isReady else { return sequence >= floor && sequence < consumer.nextSequence }
        let key = index.key(of: sequence)
        guard isWaitingBehind(sequence, key), let parked = parkedEntry(of: key) else { return false }
        return !table[parked].isUnpinned && wants(sequence)
    }

    private func parkedEntry(of key: KeyID) -> OutstandingTable.Slot? {
        var slot = table.first(of: key)
        while slot != OutstandingTable.none {
            if table[slot].state == .parked { return slot }
            slot = table.sibling(slot)
        }
        return nil
    }

    /// Adds a parked message and what waits behind it to what is parked, or takes it away.
    private func addToParked(_ slot: OutstandingTable.Slot, _ sign: Int, ownBytes: Int? = nil) {
        let entry = table[slot]
        var bytes = UInt64(max(0, ownBytes ?? log.size(of: entry.sequence) ?? 0)), messages: UInt64 = 1
        if entry.key != 0 {
            var place = table.cursor(table.first(of: entry.key))
            while let next = nextWaiting(entry.key, after: place) {
                bytes += UInt64(max(0, log.size(of: next) ?? 0))
                messages += 1
                place = next
            }
        }
        change(bytes, messages, sign, isPinned: !entry.isUnpinned)
    }

    private func change(_ bytes: UInt64, _ messages: UInt64, _ sign: Int, isPinned: Bool) {
        if sign > 0 {
            parkedBytes += bytes
            if isPinned {
                pinnedBytes += bytes
                pinnedMessages += messages
            }
        } else {
            parkedBytes -= min(parkedBytes, bytes)
            if isPinned {
                pinnedBytes -= min(pinnedBytes, bytes)
                pinnedMessages -= min(pinnedMessages, messages)
            }
        }
    }

    /// The read position has passed a message that waits behind a parked one, or such a message has left the stream.
    func countWaiting(_ sequence: UInt64, behind first: OutstandingTable.Slot, leaves bytes: Int? = nil) {
        guard let parked = parkedEntry(of: table[first].key) else { return }
        let size = UInt64(max(0, bytes ?? log.size(of: sequence) ?? 0))
        change(size, 1, bytes == nil ? 1 : -1, isPinned: !table[parked].isUnpinned)
    }

    /// After a restart.
    func countParked() {
        parkedBytes = 0
        pinnedBytes = 0
        pinnedMessages = 0
        var slot = table.firstParked
        while slot != OutstandingTable.none {
            table[slot].isUnpinned = settings.parkRetention == .expire
            addToParked(slot, 1)
            slot = table.following(slot)
        }
        updateHold(host.now)
    }

    /// The oldest pins fall to the stream's limits as long as all together hold too much.
    private func unpinOldest() {
        let most = maxParkedBytes
        guard pinnedBytes > most else { return }
        var slot = table.firstParked
        while slot != OutstandingTable.none && pinnedBytes > most {
            if !table[slot].isUnpinned {
                addToParked(slot, -1)
                table[slot].isUnpinned = true
                addToParked(slot, 1)
                let entry = table[slot]
                advise(.unpinned(sequence: entry.sequence, key: keyText(entry), version: entry.holder))
                consumer.stream.pinsEnded(from: entry.sequence)
            }
            slot = table.following(slot)
        }
    }

    // MARK: Pauses

    /// Whether anything keeps the consumer from leasing at all.
    func updateHold(_ now: Instant) {
        unpinOldest()
        var next = KeyedHold.none
        if let circuit, circuit.isOpen {
            next = .circuit
        } else if circuit?.trips(now.monotonicNs) ?? false {
            circuit?.isOpen = true
            record.add(.circuit, 0, argument: 1)
            next = .circuit
        } else if parkedKeys >= settings.maxParkedKeys {
            next = .parkedKeys
        } else if parkedBytes > maxParkedBytes {
            next = .parkedBytes
        }
        guard next != hold else { return }
        let before = hold
        hold = next
        advise(next == .none ? .resumed(from: before) : .paused(next))
        consumer.touch()
    }

    // MARK: Durability

    /// Runs an action when everything that has happened so far is durable.
    func afterRecord(_ action: @escaping () -> Void) {
        consumer.writeRecord(host.now)
        if consumer.journalID == nil { action() } else { consumer.stream.afterJournalCommit(action) }
    }

    func keyText(_ entry: OutstandingTable.Entry) -> [UInt8] { entry.key == 0 ? [] : index.text(entry.key).bytes }
}

/// Why a keyed consumer leases nothing.
enum KeyedHold: String {
    case none
    /// `max_parked_keys` is reached.
    case parkedKeys = "max_parked_keys"
    /// What is parked, with what waits behind it, is more than `max_parked_bytes`.
    case parkedBytes = "max_parked_bytes"
    /// `park_circuit` has opened; an operator closes it.
    case circuit = "park_circuit"
}
