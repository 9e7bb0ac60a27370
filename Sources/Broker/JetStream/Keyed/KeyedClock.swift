// What time brings to a keyed consumer: leases and back-offs that end, retries that an operator wants spread.

import Wire

extension KeyedDelivery {
    /// When `advance` has something to do; monotonic.
    var nextDeadlineNs: UInt64 {
        guard isReady else { return .max }
        return min(table.nextMoment ?? .max, retrying?.dueNs ?? .max)
    }

    func advance(_ now: Instant) {
        guard resolve() else { return }
        while let moment = table.nextMoment, moment <= now.monotonicNs, moment != .max {
            expire(table.nextTimed)
            if record.isFull { consumer.writeRecord(now) }
        }
        continueRetries(now)
        if circuit != nil { updateHold(now) }
    }

    /// A lease or a back-off has ended.
    private func expire(_ slot: OutstandingTable.Slot) {
        switch table[slot].state {
        case .leased where isExhausted(slot): exhaust(slot)
        case .orphaned: finish(slot)
        default: release(slot)
        }
    }

    /// A client's connection has closed: with `release_on_disconnect` its leases end.
    func clientClosed(_ client: UInt64) {
        guard settings.releasesOnDisconnect, client != 0 else { return }
        var slots: [OutstandingTable.Slot] = []
        table.forEach { slot in
            let entry = table[slot]
            if entry.holder == client && (entry.state == .leased || entry.state == .orphaned) { slots.append(slot) }
        }
        slots.sort { table[$0].sequence < table[$1].sequence }
        guard isReady else {
            // They end as soon as the keys are known.
            for slot in slots { table.move(slot, to: table[slot].state, moment: host.now.monotonicNs) }
            return
        }
        for slot in slots { expire(slot) }
    }

    /// Leases that have begun go by the new length.
    func restartAckWaits(from old: ConsumerSettings, _ now: Instant) {
        var slots: [OutstandingTable.Slot] = []
        table.forEach { slot in
            if table[slot].state == .leased || table[slot].state == .orphaned { slots.append(slot) }
        }
        for slot in slots {
            let entry = table[slot]
            var since = now.monotonicNs
            if entry.moment != .max, let wait = old.ackWait(deliveries: entry.attempts) {
                since = entry.moment > wait ? entry.moment - wait : 0
            }
            let wait = consumer.settings.ackWait(deliveries: entry.attempts)
            table.move(slot, to: entry.state, moment: wait.map { saturatingSum(since, $0) } ?? .max)
        }
        consumer.touch()
    }

    /// When the last lease ends; nil without any. 0 stands for those that never do.
    var lastLeaseNs: UInt64? {
        var last: UInt64?
        table.forEach { slot in
            let entry = table[slot]
            if entry.state.isTimed { last = max(last ?? 0, entry.moment == .max ? 0 : entry.moment) }
        }
        return last
    }
}

/// Retries of everything that is parked, spread over time.
struct RetryRun {
    var left: Int
    /// Retries in a second; 0 is all at once.
    var rate: Int
    /// Only what was parked up to this version.
    var lastVersion: UInt64
    var actor: String
    var reason: String
    var dueNs: UInt64
}
