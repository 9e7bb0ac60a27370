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

    /// A consumer has been deleted: in an interest stream, what only it waited for goes too.
    func consumerHasGone() {
        if config.retention == .interest { removeUnwanted() }
    }

    /// Removes every message that no consumer of an interest stream waits for.
    func removeUnwanted() {
        let last = log.state.lastSequence
        var next = log.next(atOrAfter: log.state.firstSequence, everything, upTo: last)
        while let sequence = next {
            if !consumerList.contains(where: { $0.isWaiting(for: sequence) }) { discard(sequence) }
            next = sequence < last ? log.next(atOrAfter: sequence + 1, everything, upTo: last) : nil
        }
    }
}
