import Testing

@testable import Reactor

@Test func timersFireInOrderOfTheirDeadlines() {
    var queue = TimerQueue()
    var fired: [Int] = []
    for (number, deadline) in [30, 10, 20, 10].enumerated() {
        _ = queue.schedule(at: UInt64(deadline)) { fired.append(number) }
    }
    #expect(queue.nextDeadlineNs == 10)
    #expect(queue.popDue(9) == nil)
    while let action = queue.popDue(20) { action() }
    #expect(Set(fired.prefix(2)) == [1, 3] && fired.last == 2 && fired.count == 3)
    #expect(queue.nextDeadlineNs == 30)
}

@Test func cancellingIsExact() {
    var queue = TimerQueue()
    var fired: [String] = []
    let first = queue.schedule(at: 1) { fired.append("first") }
    queue.cancel(first)
    // The slot is used again; the old name must not reach the new timer.
    let second = queue.schedule(at: 2) { fired.append("second") }
    queue.cancel(first)
    while let action = queue.popDue(5) { action() }
    #expect(fired == ["second"])
    queue.cancel(second)
    #expect(queue.nextDeadlineNs == nil)
}

/// Random schedules, cancellations and steps of time against a list that is searched.
@Test(arguments: [1, 2, UInt64.random(in: 3...UInt64.max)])
func timersAgreeWithAList(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    var queue = TimerQueue()
    var expected: [(deadline: UInt64, number: Int, id: TimerID)] = []
    var gone: [TimerID] = []
    var fired: [Int] = []
    var now: UInt64 = 0
    for number in 0..<5_000 {
        switch random.below(4) {
        case 0, 1:
            let deadline = now + UInt64(random.below(100))
            let id = queue.schedule(at: deadline) { fired.append(number) }
            expected.append((deadline, number, id))
        case 2:
            if let old = gone.last { queue.cancel(old) }
            if !expected.isEmpty {
                let cancelled = expected.remove(at: random.below(expected.count))
                queue.cancel(cancelled.id)
                gone.append(cancelled.id)
            }
        default:
            now += UInt64(random.below(30))
            fired = []
            var deadlines: [UInt64] = []
            while true {
                let next = queue.nextDeadlineNs
                guard let action = queue.popDue(now) else { break }
                action()
                deadlines.append(next ?? 0)
            }
            let due = expected.filter { $0.deadline <= now }
            #expect(Set(fired) == Set(due.map(\.number)) && fired.count == due.count, "seed \(seed) step \(number)")
            #expect(deadlines == deadlines.sorted(), "seed \(seed) step \(number)")
            gone += due.map(\.id)
            expected.removeAll { $0.deadline <= now }
        }
        #expect(queue.nextDeadlineNs == expected.map(\.deadline).min(), "seed \(seed) step \(number)")
    }
}
