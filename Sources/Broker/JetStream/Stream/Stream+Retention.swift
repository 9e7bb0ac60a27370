// Interest and workqueue streams: a message stays until the consumers are done with it.

import Store
import Wire

extension Stream {
    func consumer(_ consumer: Consumer, isDoneWith sequence: UInt64) {
        switch config.retention {
        case .limits: return
        case .workqueue: discard(sequence)
        case .interest:
            if !consumerList.contains(where: { $0.isWaiting(for: sequence) }) { discard(sequence) }
        }
    }

    func retentionAppliesAgain() { isSweepDue = true }

    /// How often a turn's sweep asks a consumer for a message.
    private static let sweepQuestions = 8_192

    /// Removes what has no reason to stay: after a restart, when a consumer has been deleted or knows its keys, when the
    /// retention has changed.
    /// What is too much for one turn is left for the next ones.
    func sweep() {
        let nowNs = host.now.monotonicNs
        if isSweepDue { sweepsFrom = log.state.firstSequence } else if sweptNs == nowNs { return }
        isSweepDue = false
        sweptNs = nowNs
        guard let start = sweepsFrom else { return }
        sweepsFrom = nil
        guard config.retention != .limits, failure == nil else { return }
        let last = log.state.lastSequence
        var left = max(64, Stream.sweepQuestions / (consumerList.count + 1))
        var next = start <= last ? log.next(atOrAfter: start, everything, upTo: last) : nil
        while let sequence = next {
            if left == 0 {
                sweepsFrom = sequence
                return
            }
            left -= 1
            if isDone(sequence) { discard(sequence) }
            next = sequence < last ? log.next(atOrAfter: sequence + 1, everything, upTo: last) : nil
        }
    }

    /// In a workqueue a message that no consumer is for stays until there is one.
    private func isDone(_ sequence: UInt64) -> Bool {
        if consumerList.contains(where: { $0.isWaiting(for: sequence) }) { return false }
        guard config.retention == .workqueue else { return true }
        guard let id = log.subject(of: sequence) else { return false }
        let subject = log.subjects.subject(id)
        return consumerList.contains { $0.isInterested(in: subject) }
    }
}
