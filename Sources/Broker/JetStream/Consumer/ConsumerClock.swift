// What time brings to a consumer: acks that did not come, requests that end, heartbeats, pauses, and the end of idle ones.

import Wire

extension Consumer {
    /// Acks that run out close together are looked at together.
    private static let gatherNs: UInt64 = 1_000_000
    /// What the disk refused to give is asked for again; in the end the log counts it as lost.
    static let readAgainAfterNs: UInt64 = 1_000_000_000

    /// When `advance` has something to do; nil: never, as things stand. Monotonic.
    var nextDeadlineNs: UInt64? {
        if isStopped { return nil }
        if hasMore { return 0 }
        var next = min(requests.dueNs, pin.endsNs, inactiveDueNs, pauseEndsNs, heartbeatDueNs, pacedUntilNs)
        next = min(next, readAgainNs, limiter?.dueNs ?? .max, replay?.dueNs ?? .max)
        if let keyed { next = min(next, saturatingSum(keyed.nextDeadlineNs, Consumer.gatherNs)) }
        if let deadline = state.pending.nextDeadline(ackWaitNs: settings.ackWaitNs) {
            next = min(next, saturatingSum(deadline, Consumer.gatherNs))
        }
        return next == .max ? nil : next
    }

    /// Time has passed.
    func advance() {
        guard !isStopped else { return }
        let now = stream.host.now
        guard isTouched || (nextDeadlineNs.map { $0 <= now.monotonicNs } ?? false) else { return }
        if readAgainNs <= now.monotonicNs {
            readAgainNs = .max
            isReading = false
        }
        expirePending(now)
        keyed?.advance(now)
        expireRequests(now)
        if pin.endsNs <= now.monotonicNs { losePin("timeout", group: pin.group) }
        if pauseEndsNs <= now.monotonicNs {
            pauseEndsNs = .max
            advise(.paused(untilNs: config.pauseUntilNs, nowNs: now.wallNs))
        }
        finishTurn(now)
        heartbeat(now)
        checkInactivity(now)
    }

    /// What was not acked in time is delivered again, in the order of the stream, before anything new.
    private func expirePending(_ now: Instant) {
        expiredSlots.removeAll(keepingCapacity: true)
        var isSorted = true
        var last: UInt64 = 0
        while let slot = state.pending.popExpired(now.monotonicNs, ackWaitNs: settings.ackWaitNs) {
            let entry = state.pending[slot]
            if settings.maxDeliver > 0 && entry.deliveries >= settings.maxDeliver {
                exhaust(slot)
                continue
            }
            isSorted = isSorted && entry.sequence > last
            last = entry.sequence
            expiredSlots.append(slot)
        }
        guard !expiredSlots.isEmpty else { return }
        if !isSorted { expiredSlots.sort { state.pending[$0].sequence < state.pending[$1].sequence } }
        let ticket = journalTicket
        for slot in expiredSlots { state.pending.awaitRedelivery(slot, after: ticket) }
    }

    // MARK: Inactivity

    /// Ephemeral consumers are always deleted when idle, durable ones if they say so. Pull consumers get some jitter.
    func setInactiveThreshold() {
        if config.durable.isEmpty && config.inactiveThresholdNs <= 0 { config.inactiveThresholdNs = 5_000_000_000 }
        inactiveThresholdNs = UInt64(max(0, config.inactiveThresholdNs))
        if inactiveThresholdNs > 0 && settings.isPull {
            inactiveThresholdNs += 100_000_000 + stream.host.random() % 900 * 1_000_000
        }
    }

    func armInactivity(_ now: Instant) {
        let counts = inactiveThresholdNs > 0 && (settings.isPull || !isActive)
        inactiveDueNs = counts ? saturatingSum(now.monotonicNs, inactiveThresholdNs) : .max
    }

    /// Any sign of life from a client.
    func suppressDeletion() {
        guard inactiveThresholdNs > 0 else { return }
        let now = stream.host.now
        lastRequestNs = now.monotonicNs
        if inactiveDueNs != .max { inactiveDueNs = saturatingSum(now.monotonicNs, inactiveThresholdNs) }
    }

    private func checkInactivity(_ now: Instant) {
        guard !isStopped, inactiveDueNs <= now.monotonicNs else { return }
        if settings.isPull, let later = activeUntil(now) {
            inactiveDueNs = later
            return
        }
        inactiveDueNs = .max
        stream.consumerExpired(self)
    }

    /// When to look again, because a client was there, waits, or may still be working on what it was given.
    private func activeUntil(_ now: Instant) -> UInt64? {
        let idleSince = saturatingSum(lastRequestNs, inactiveThresholdNs)
        if idleSince > now.monotonicNs { return idleSince }
        dropRequestsWithoutInterest()
        if !requests.isEmpty { return saturatingSum(now.monotonicNs, inactiveThresholdNs) }
        let settings = settings
        var last = state.pending.lastDeadline { settings.ackWait(deliveries: $0.deliveries) ?? 0 }
        if let keyed { last = keyed.lastLeaseNs }
        if let last, saturatingSum(last, inactiveThresholdNs) > now.monotonicNs {
            return saturatingSum(last, inactiveThresholdNs)
        }
        return nil
    }

    // MARK: Pause

    var isPaused: Bool { pauseEndsNs != .max }

    func setPause(_ now: Instant) {
        pauseEndsNs = .max
        guard let until = config.pauseUntilNs, until > now.wallNs else { return }
        pauseEndsNs = saturatingSum(now.monotonicNs, UInt64(until.subtractingClamped(now.wallNs)))
    }
}
