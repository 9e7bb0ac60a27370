// What a keyed consumer does when the stream or its definition changes under it: messages that are removed, filters that
// change, resets.

import Store
import Wire

extension KeyedDelivery {
    /// A message that the read position has passed has left the stream, whatever removed it.
    func messageRemoved(_ sequence: UInt64, _ subject: SubjectID, bytes: Int) {
        let slot = table.find(sequence)
        guard isReady else {
            consumer.stream.journalFollowsLog()
            hasMissedRemovals = true
            return
        }
        if slot != OutstandingTable.none {
            consumer.stream.journalFollowsLog()
            return removed(slot, bytes: bytes)
        }
        let key = index.key(of: sequence)
        guard isWaitingBehind(sequence, key), wasWanted(sequence, subject) else { return }
        consumer.stream.journalFollowsLog()
        if consumer.numPending > 0 { consumer.numPending -= 1 }
        let first = table.first(of: key)
        waitsNoLonger(sequence, first, bytes: bytes)
    }

    private func wasWanted(_ sequence: UInt64, _ subject: SubjectID) -> Bool {
        starts(with: sequence) && consumer.filter.matches(subject)
    }

    /// An outstanding message has left the stream.
    func removed(_ slot: OutstandingTable.Slot, bytes: Int) {
        let entry = table[slot]
        switch entry.state {
        case .ready, .backoff: finish(slot, bytes: bytes)
        case .settling: if entry.sequence != 0 { finish(slot, bytes: bytes) }
        case .leased:
            // The worker still works on it: its key waits, and nothing is ever parked of it.
            consumer.removals.append(
                Removal(sequence: entry.sequence, delivery: entry.delivery, deliveries: entry.attempts))
            record.add(.orphaned, entry.sequence)
            table.move(slot, to: .orphaned, moment: entry.moment)
        case .orphaned: break
        case .parked, .parking:
            endPark(slot, .removed, bytes: bytes)
            finish(slot, bytes: bytes)
        }
        consumer.touch()
    }

    /// After a restart: what has left the stream in the meantime.
    func dropRemoved() {
        var slots: [OutstandingTable.Slot] = []
        table.forEach { slot in
            if !log.contains(table[slot].sequence) { slots.append(slot) }
        }
        slots.sort { table[$0].sequence < table[$1].sequence }
        for slot in slots { removed(slot, bytes: 0) }
    }

    /// The filter has changed: what waits and no longer matches is dropped, leases finish, parks stay.
    func filterChanged() {
        hasNewFilter = true
        if resolve() { dropUnwanted() }
    }

    func dropUnwanted() {
        guard hasNewFilter else { return }
        hasNewFilter = false
        var slots: [OutstandingTable.Slot] = []
        table.forEach { slot in
            let entry = table[slot]
            let waits = entry.state == .ready || entry.state == .backoff || entry.state == .settling
            if waits && entry.sequence != 0 && !wants(entry.sequence) { slots.append(slot) }
        }
        slots.sort { table[$0].sequence < table[$1].sequence }
        for slot in slots { finish(slot) }
        countWaiting()
    }

    /// The metadata has changed.
    func update(_ new: KeyedSettings) {
        let old = settings
        settings = new
        if old.circuit != new.circuit { circuit = new.circuit.map(CircuitState.init) }
        if new.maxPendingPerKey < old.maxPendingPerKey { mayExceed = true }
        letAllGo()
        if new.maxPendingPerKey > old.maxPendingPerKey && isReady {
            var keys: [KeyID] = []
            table.forEach { slot in
                let key = table[slot].key
                if key != 0 && table.first(of: key) == slot { keys.append(key) }
            }
            for key in keys { fill(key) }
        }
        if old.parkRetention != new.parkRetention && isReady { countWaiting() }
        consumer.stream.pinsEnded(from: 0)
        if old.parkRetention == .pin && new.parkRetention == .expire { consumer.stream.limitsApplyAgain() }
        updateHold(host.now)
    }

    /// Everything begins anew at the consumer's read position; consumer sequences go on, so that no old ack matches.
    func reset(afterDelivery delivered: UInt64) {
        consumer.state.delivered.consumer = delivered
        consumer.state.ackFloor.consumer = delivered
        endAll()
        circuit?.reset()
        isResolved = true
        hasMissedRemovals = false
        unresolvedHashes = [:]
        orphans = [:]
        recoveredCursors = [:]
        recoveredDrains = []
        start = LastPerSubject()
        index.detach(self)
        attachIndex(from: consumer.nextSequence)
    }

    func stop(_ end: ConsumerEnd) {
        if end == .deleted { endAll() }
        index.detach(self)
    }

    /// Parks, pins and leases go; one advisory says how many parks that were.
    func endAll() {
        let count = parkedKeys
        var slots: [OutstandingTable.Slot] = []
        table.forEach { slots.append($0) }
        for slot in slots { remove(slot) }
        settling = []
        settledCount = 0
        held = []
        mayExceed = false
        heldAcks = []
        heldBytes = 0
        hasNewFilter = false
        retrying = nil
        errors = [:]
        parked = Backlog()
        pinned = Backlog()
        draining = DrainingKeys()
        hold = .none
        consumer.stream.pinsEnded(from: 0)
        consumer.stream.limitsApplyAgain()
        if count > 0 { advise(.parksDropped(count: count)) }
    }
}
