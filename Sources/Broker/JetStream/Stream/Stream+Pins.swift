// Messages that the limits have to spare: what keyed consumers have parked, and what waits behind it. Deletes and purges do not.

import Store
import Wire

extension Stream {
    /// What the limits leave out of their counts.
    var pinned: Backlog {
        var sum = Backlog()
        for consumer in keyedConsumers {
            if let keyed = consumer.keyed { sum += keyed.pinned }
        }
        return sum
    }

    var hasPins: Bool { keyedConsumers.contains { $0.keyed?.hasPins ?? false } }

    func isPinned(_ sequence: UInt64) -> Bool {
        keyedConsumers.contains { $0.keyed?.pins(sequence) ?? false }
    }

    func pinsEnded(from sequence: UInt64) { pinScan = min(pinScan, sequence) }

    func limitsApplyAgain() { areLimitsDue = true }

    /// One message is no longer spared.
    func pinEnded(of sequence: UInt64) {
        pinsEnded(from: sequence)
        areTotalsDue = true
        if config.maxMessagesPerSubject > 0, let id = log.subject(of: sequence) { subjectsDue.insert(id) }
    }

    /// The oldest message that the limits may remove.
    func firstUnpinned(_ state: LogState) -> UInt64? {
        guard hasPins else { return state.firstSequence }
        var place = max(pinScan, state.firstSequence)
        while let next = log.next(atOrAfter: place, everything, upTo: state.lastSequence) {
            if !isPinned(next) {
                pinScan = next
                return next
            }
            place = next + 1
        }
        return nil
    }

    /// The oldest message of a subject that a limit may remove, if the subject has too many without those that it spares.
    func unpinned(_ id: SubjectID, _ summary: SubjectSummary, beyond limit: UInt64) -> UInt64? {
        guard isPinned(summary.first) else { return summary.first }
        let filter = SubjectFilter([log.subjects.subject(id).string], log.subjects)
        var left = summary.count, place = summary.first
        while left > limit, let next = log.next(atOrAfter: place, filter, upTo: summary.last) {
            if !isPinned(next) { return next }
            left -= 1
            place = next + 1
        }
        return nil
    }
}
