// What time takes from a stream: messages that are too old or past their time to live, and old message ids.

import Store
import Wire

extension Stream {
    /// Messages that grow too old within this time of each other go together.
    private static let agingNs: Int64 = 250_000_000
    /// A message whose time to live is over, and that the limits spare, is looked at so often.
    private static let pinnedRetryNs: Int64 = 10_000_000_000
    /// Entries of the expiry queue whose message is gone are dropped once there are so many.
    private static let staleEntriesMax = 1024

    /// The next moment at which something is due.
    var expiryDeadlineNs: UInt64? {
        guard !isRecovering else { return nil }
        var dueNs = Int64.max
        if let first = expiries.first { dueNs = first.dueNs }
        if config.maxAgeNs > 0, let firstNs = firstAgingNs { dueNs = min(dueNs, firstNs.addingClamped(config.maxAgeNs)) }
        if dueNs < Int64.max { dueNs = max(dueNs, lastExpiryNs &+ Stream.agingNs) }
        if let oldestNs = duplicates.oldestNs {
            // Only to free memory: once for many.
            dueNs = min(
                dueNs,
                oldestNs.addingClamped(config.duplicateWindowNs).addingClamped(
                    max(Stream.agingNs, config.duplicateWindowNs / 8)))
        }
        return dueNs == Int64.max ? nil : monotonicNs(atWallNs: dueNs)
    }

    /// The time of the oldest message that max_age concerns; where that cannot be known without reading, soon.
    private var firstAgingNs: Int64? {
        let state = log.state
        guard state.messages > UInt64(neverExpiring.count) else { return nil }
        return neverExpiring.isEmpty && !hasPins
            ? state.firstTimeNs : max(state.firstTimeNs, lastExpiryNs &+ 1_000_000_000 &- config.maxAgeNs)
    }

    /// Notes the time to live of a message that has been stored.
    func expires(_ sequence: UInt64, _ timeNs: Int64, _ ttlNs: Int64, isMarker: Bool) {
        if isMarker { markers.insert(sequence) }
        if ttlNs < 0 {
            neverExpiring.insert(sequence)
        } else if ttlNs > 0 {
            expiries.add(sequence, dueNs: timeNs.addingClamped(ttlNs))
            if expiries.count > expiriesKept * 2 + Stream.staleEntriesMax {
                expiries.keep { log.contains($0) }
                expiriesKept = expiries.count
            }
        }
    }

    func expire() {
        // Until the messages that have times of their own are known, none of them may go by age.
        guard !isRecovering else { return }
        forgetOldMessageIDs()
        guard failure == nil, host.now.wallNs >= lastExpiryNs &+ Stream.agingNs else { return }
        let countBefore = log.state.messages
        let nowNs = host.now.wallNs
        while let entry = expiries.popDue(nowNs) {
            guard log.contains(entry.sequence) else { continue }
            if isPinned(entry.sequence) {
                // Looked at again: its pin may have ended by then.
                expiries.add(entry.sequence, dueNs: nowNs.addingClamped(Stream.pinnedRetryNs))
            } else {
                expire(entry.sequence)
            }
        }
        if config.maxAgeNs > 0 { expireByAge() }
        if log.state.messages != countBefore || !neverExpiring.isEmpty || hasPins { lastExpiryNs = nowNs }
    }

    private func expireByAge() {
        let state = log.state
        let oldestNs = host.now.wallNs.subtractingClamped(config.maxAgeNs)
        guard state.messages > 0, state.firstTimeNs <= oldestNs else { return }
        let end = log.first(atOrAfterNs: oldestNs &+ 1) ?? state.lastSequence &+ 1
        let hasPins = hasPins
        if neverExpiring.isEmpty && config.subjectDeleteMarkerTTLNs == 0 && !hasPins {
            removeAll(below: end)
            return
        }
        guard end > 0 else { return }
        var next = log.next(atOrAfter: state.firstSequence, everything, upTo: end - 1)
        while let sequence = next {
            if !neverExpiring.contains(sequence) && !(hasPins && isPinned(sequence)) { expire(sequence) }
            next = log.next(atOrAfter: sequence + 1, everything, upTo: end - 1)
        }
    }

    /// Removes a message whose time has come, and puts a marker in its place if it was the only one of its subject.
    private func expire(_ sequence: UInt64) {
        let isMarker = markers.contains(sequence)
        var subject: ByteView?
        if config.subjectDeleteMarkerTTLNs > 0, !isMarker, let id = log.subject(of: sequence),
            log.subjects.summary(id).count == 1
        {
            subject = keep(log.subjects.subject(id).bytes)
        }
        if discard(sequence), let subject { storeMarker(subject) }
        edits.removeAll()
    }

    private func storeMarker(_ subject: ByteView) {
        var editor = HeaderEditor()
        editor.add("Nats-Marker-Reason", "MaxAge")
        editor.add("Nats-TTL", "\(config.subjectDeleteMarkerTTLNs / 1_000_000_000)s")
        editor.add("Nats-Rollup", "sub")
        let headers = keep(editor.bytes)
        var marker = Publish(subject: subject, reply: .empty, headers: headers, body: .empty, known: PublishHeaders(headers))
        marker.origin = .stream
        marker.ttlNs = config.subjectDeleteMarkerTTLNs
        marker.rollup = .subject
        guard isWanted(marker) else { return }
        // If there is no room for it, the message is gone all the same.
        do throws(APIError) {
            try append(&marker)
            makeRoom(marker)
        } catch {}
    }

    func forgetOldMessageIDs() {
        guard duplicates.count > 0 else { return }
        duplicates.removeAll(upTo: host.now.wallNs.subtractingClamped(config.duplicateWindowNs))
    }
}

extension Int64 {
    func addingClamped(_ other: Int64) -> Int64 {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? (other > 0 ? .max : .min) : sum
    }

    func subtractingClamped(_ other: Int64) -> Int64 {
        let (difference, overflow) = subtractingReportingOverflow(other)
        return overflow ? (other > 0 ? .min : .max) : difference
    }
}
