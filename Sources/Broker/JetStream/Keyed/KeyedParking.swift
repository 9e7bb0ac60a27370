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
        table.at(slot).pointee.reason = reason
        record.park(table[slot].sequence, version: lastVersion, reason: reason, error: errors[slot] ?? [])
        settle(slot, to: .parking)
    }

    /// The park is durable: it counts, and whoever listens is told.
    func parkTakesEffect(_ slot: OutstandingTable.Slot) {
        let now = host.now
        table.at(slot).pointee.isUnpinned = settings.parkRetention == .expire
        changeParks(of: table[slot].key) { table.move(slot, to: .parked, moment: UInt64(max(0, now.wallNs))) }
        change(backlog(table[slot].sequence, nil), 1, isPinned: !table[slot].isUnpinned)
        parksTotal += 1
        if !draining.isEmpty { pinned -= draining.end(table[slot].key, table[slot].sequence) }
        let entry = table[slot]
        if entry.reason != .operatorCommand {
            circuit?.parked(entry.key == 0 ? KeyNames.hash(entry.sequence) : hash(entry.key), now.monotonicNs)
        }
        advise(
            .parked(
                Park(
                    key: keyText(entry), sequence: entry.sequence, version: entry.holder, reason: entry.reason.text,
                    attempts: UInt64(entry.total), error: errors[slot] ?? [], parkedNs: now.wallNs)))
        letGo(entry.key)
        updateHold(now)
    }

    /// A parked message is to be leased again, its leases counted from the beginning. Takes effect when that is durable.
    func retry(_ slot: OutstandingTable.Slot) {
        record.add(.retried, table[slot].sequence)
        endPark(slot, .retried, bytes: nil)
        table[slot].attempts = 0
        table.at(slot).pointee.reason = .none
        let sequence = table[slot].sequence
        if wants(sequence) { return settle(slot) }
        // No filter of the consumer matches it any more, and nobody of an interest stream waits for it.
        finish(slot)
        if consumer.stream.config.retention == .interest { afterRecord { [consumer] in consumer.keyed?.done(sequence) } }
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
        if entry.state == .parked {
            var left = backlog(entry.sequence, bytes)
            change(left, -1, isPinned: !entry.isUnpinned)
            changeParks(of: entry.key) { table.move(slot, to: .settling) }
            // It stays pinned until it is handled, and so does what waited, unless there is another park of the key.
            if !entry.isUnpinned {
                if entry.key != 0, parkedEntry(of: entry.key) == nil { left += table.waiting(table.first(of: entry.key)) }
                pinned += left
                draining.begin(entry.sequence, entry.key, left, before: consumer.nextSequence)
                record.drain(entry.sequence, hash: hash(entry.key), before: consumer.nextSequence)
            }
        } else {
            table.move(slot, to: .settling)
        }
        if end == .removed || end == .acked {
            advise(.parkEnded(sequence: entry.sequence, key: keyText(entry), version: entry.holder, why: end))
        }
        if table.count(.parked) == 0 { parked = Backlog() }
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
    var hasPins: Bool { pinned.messages > 0 || !draining.isEmpty || !isReady }

    /// Whether the stream's limits have to spare a message.
    func pins(_ sequence: UInt64) -> Bool {
        guard hasPins else { return false }
        let slot = table.find(sequence)
        if slot != OutstandingTable.none {
            let entry = table[slot]
            return entry.state == .parked && !entry.isUnpinned || draining.contains(sequence, entry.key)
        }
        // Better too long than too short.
        guard isReady else { return sequence >= floor && sequence < consumer.nextSequence }
        let key = index.key(of: sequence)
        guard isWaitingBehind(sequence, key), wants(sequence) else { return false }
        if let parked = parkedEntry(of: key), !table[parked].isUnpinned { return true }
        return draining.contains(sequence, key)
    }

    private func parkedEntry(of key: KeyID) -> OutstandingTable.Slot? {
        var slot = table.first(of: key)
        while slot != OutstandingTable.none {
            if table[slot].state == .parked { return slot }
            slot = table.sibling(slot)
        }
        return nil
    }

    /// Changes which messages of a key are parked. What waits behind them counts once, however many they are.
    private func changeParks(of key: KeyID, _ body: () -> Void) {
        addWaiting(of: key, -1)
        body()
        addWaiting(of: key, 1)
    }

    private func addWaiting(of key: KeyID, _ sign: Int) {
        guard key != 0, let park = parkedEntry(of: key) else { return }
        change(table.waiting(table.first(of: key)), sign, isPinned: !table[park].isUnpinned)
    }

    private func change(_ backlog: Backlog, _ sign: Int, isPinned: Bool) {
        if sign > 0 {
            parked += backlog
            if isPinned { pinned += backlog }
        } else {
            parked -= backlog
            if isPinned { pinned -= backlog }
        }
    }

    /// - Parameter bytes: the size of a message that has left the stream; nil if it is there.
    private func backlog(_ sequence: UInt64, _ bytes: Int?) -> Backlog {
        Backlog(messages: 1, bytes: UInt64(max(0, bytes ?? log.size(of: sequence) ?? 0)))
    }

    /// The read position has passed a message that waits behind an outstanding one of its key.
    func startsToWait(_ sequence: UInt64, _ first: OutstandingTable.Slot) {
        let one = backlog(sequence, nil)
        var waiting = table.waiting(first)
        waiting += one
        table.setWaiting(first, waiting)
        changeParked(first, one, 1)
    }

    /// A message that waited is taken, or has left the stream.
    ///
    /// - Parameter bytes: the size of one that has left; nil if it is there.
    func waitsNoLonger(_ sequence: UInt64, _ first: OutstandingTable.Slot, bytes: Int? = nil) {
        let one = backlog(sequence, bytes)
        var waiting = table.waiting(first)
        waiting -= one
        table.setWaiting(first, waiting)
        changeParked(first, one, -1)
        if bytes != nil && !draining.isEmpty { drained(sequence, table[first].key, bytes: bytes) }
    }

    /// A message has been handled, or has left the stream, that may have been pinned since its key's park ended.
    func drained(_ sequence: UInt64, _ key: KeyID, bytes: Int?) {
        guard draining.contains(sequence, key) else { return }
        pinned -= draining.finish(sequence, key, backlog(sequence, bytes))
        consumer.stream.pinEnded(of: sequence)
    }

    private func changeParked(_ first: OutstandingTable.Slot, _ one: Backlog, _ sign: Int) {
        guard table.isParked(keyAt: first), let parked = parkedEntry(of: table[first].key) else { return }
        let isPinned = !table[parked].isUnpinned
        change(one, sign, isPinned: isPinned)
        if isPinned && sign > 0 { hasPassedPins = true }
    }

    /// Counts anew what waits and what is parked: after a restart, and when what is wanted has changed.
    func countWaiting() {
        table.forEach { slot in
            let key = table[slot].key
            guard key != 0, table.first(of: key) == slot else { return }
            var place = table.cursor(slot), waiting = Backlog()
            while let next = nextWaiting(key, after: place) {
                waiting += backlog(next, nil)
                place = next
            }
            table.setWaiting(slot, waiting)
        }
        var slot = table.firstParked
        while slot != OutstandingTable.none {
            table.at(slot).pointee.isUnpinned = settings.parkRetention == .expire
            slot = table.following(slot)
        }
        parked = Backlog()
        pinned = Backlog()
        slot = table.firstParked
        while slot != OutstandingTable.none {
            let entry = table[slot]
            change(backlog(entry.sequence, nil), 1, isPinned: !entry.isUnpinned)
            if entry.key != 0, parkedEntry(of: entry.key) == slot { addWaiting(of: entry.key, 1) }
            slot = table.following(slot)
        }
        countDraining()
        updateHold(host.now)
    }

    /// Counts anew what is still to be handled of keys whose park has ended.
    private func countDraining() {
        let before = draining.drains
        draining = DrainingKeys()
        guard settings.parkRetention == .pin else { return }
        for drain in before {
            var left = Backlog()
            var slot = drain.key == 0 ? table.find(drain.sequence) : table.first(of: drain.key)
            guard slot != OutstandingTable.none, drain.key == 0 || !table.isParked(keyAt: slot) else { continue }
            if drain.key != 0 {
                var place = table.cursor(slot)
                while let next = nextWaiting(drain.key, after: place), next < drain.end {
                    left += backlog(next, nil)
                    place = next
                }
            }
            while slot != OutstandingTable.none {
                let entry = table[slot]
                let isLeft = entry.sequence != 0 && entry.sequence < drain.end && entry.state != .parked
                if isLeft && log.contains(entry.sequence) { left += backlog(entry.sequence, nil) }
                slot = drain.key == 0 ? OutstandingTable.none : table.sibling(slot)
            }
            guard left.messages > 0 else { continue }
            draining.begin(drain.sequence, drain.key, left, before: drain.end)
            pinned += left
        }
    }

    /// The oldest pins fall to the stream's limits as long as all together hold too much.
    private func unpinOldest() {
        let most = maxParkedBytes
        guard pinned.bytes > most else { return }
        var slot = table.firstParked
        while slot != OutstandingTable.none && pinned.bytes > most {
            if !table[slot].isUnpinned {
                pinned -= backlog(table[slot].sequence, nil)
                changeParks(of: table[slot].key) { table.at(slot).pointee.isUnpinned = true }
                let entry = table[slot]
                advise(.unpinned(sequence: entry.sequence, key: keyText(entry), version: entry.holder))
                consumer.stream.pinsEnded(from: entry.sequence)
                consumer.stream.limitsApplyAgain()
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
        } else if settings.parkRetention == .pin && parked.bytes > maxParkedBytes {
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
