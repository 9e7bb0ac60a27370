// TimerQueue against a list that is searched from one end to the other.

import Reactor

enum TimerFuzz {
    @Sendable static func iterate(_ random: inout SeededRandom) throws(FuzzFailure) {
        var queue = TimerQueue()
        var expected: [(id: TimerID, deadlineNs: UInt64, number: Int)] = []
        var gone: [TimerID] = []
        final class Log { var fired: [Int] = [] }
        let log = Log()
        var now: UInt64 = 0
        for number in 0..<random.pick([5, 50, 500]) {
            switch random.below(4) {
            case 0, 1:
                let deadlineNs = now + UInt64(random.below(50))
                let id = queue.schedule(at: deadlineNs) { log.fired.append(number) }
                expected.append((id, deadlineNs, number))
            case 2:
                if random.once(in: 3), let old = gone.last {
                    // Unknown by now, though its place may be another's.
                    queue.cancel(old)
                } else if !expected.isEmpty {
                    let entry = expected.remove(at: random.below(expected.count))
                    queue.cancel(entry.id)
                    gone.append(entry.id)
                }
            default:
                now += UInt64(random.below(20))
                log.fired = []
                while let action = queue.popDue(now) { action() }
                let due = expected.filter { $0.deadlineNs <= now }
                expected.removeAll { $0.deadlineNs <= now }
                gone += due.map(\.id)
                try require(log.fired.sorted() == due.map(\.number).sorted(), "fired \(log.fired), not \(due.map(\.number))")
                let deadlines = log.fired.map { fired in due.first { $0.number == fired }?.deadlineNs ?? 0 }
                try require(deadlines == deadlines.sorted(), "fired out of order")
            }
            try require(queue.nextDeadlineNs == expected.map(\.deadlineNs).min(), "next deadline")
        }
    }
}
