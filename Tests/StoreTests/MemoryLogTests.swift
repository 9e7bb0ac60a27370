import StoreKit
import Testing
import Wire

@testable import Store

extension MemoryLog {
    fileprivate func message(_ sequence: UInt64) -> TestMessage? {
        guard case .message(let message) = load(sequence) else { return nil }
        return TestMessage(
            subject: message.subject.string, headers: message.headers.string, payload: message.payload.bytes,
            timeNs: message.timeNs)
    }
}

@Suite struct MemoryLogTests {
    @Test func keepsMessages() throws {
        let log = MemoryLog()
        #expect(log.state == LogState())
        #expect(try log.publish("a.b", [1, 2, 3], headers: "NATS/1.0\r\n\r\n", timeNs: 10) == 1)
        #expect(try log.publish("a.c", [], timeNs: 5, sequence: 7) == 7)
        #expect(log.message(1) == TestMessage(subject: "a.b", headers: "NATS/1.0\r\n\r\n", payload: [1, 2, 3], timeNs: 10))
        #expect(log.message(7) == TestMessage(subject: "a.c", payload: [], timeNs: 10))
        #expect(log.durableSequence == 7 && log.commitTicket == log.finishedCommit && log.beginCommit(syncs: true) == nil)
        #expect(throws: StoreError.self) { try log.publish("a", sequence: 7) }
        var state = LogState()
        state.messages = 2
        state.bytes = UInt64(3 + 12 + 3 + 16 + 3 + 16)
        state.firstSequence = 1
        state.lastSequence = 7
        state.firstTimeNs = 10
        state.lastTimeNs = 10
        state.subjects = 2
        state.deleted = 5
        #expect(log.state == state)
    }

    @Test func skipsAndPurges() throws {
        let log = MemoryLog()
        for _ in 0..<10 { try log.publish("a") }
        #expect(try log.removeAll(below: 5) == 4)
        #expect(log.state.firstSequence == 5)
        try log.skip(to: 20)
        #expect(try log.publish("a") == 21)
        #expect(try log.removeAll(below: 100) == 7)
        #expect(log.state.firstSequence == 100 && log.state.lastSequence == 99 && log.state.bytes == 0)
        #expect(try log.publish("a") == 100)
    }

    /// Consumers count by the subject of what goes.
    @Test func theSubjectIsThereWhileARemovalIsTold() throws {
        let log = MemoryLog()
        var told: [String] = []
        log.onRemoved = { [unowned log] _, subject, _ in told.append(log.subjects.subject(subject).string) }
        // More than half of a slab: the index forgets it with its last message.
        for _ in 0..<3 { try log.publish("a", pattern(1_000, 1)) }
        for sequence in 1...3 { #expect(try log.remove(UInt64(sequence), erases: false)) }
        #expect(told == ["a", "a", "a"])
    }

    @Test func aMessageLargerThanASlab() throws {
        let log = MemoryLog()
        let large = pattern(300_000, 5)
        try log.publish("a")
        try log.publish("a", large)
        try log.publish("a")
        #expect(log.message(2)?.payload == large)
        #expect(try log.remove(2, erases: true))
        #expect(log.memory < 200_000 && log.state.bytes == 2 * (1 + 3 + 16))
    }

    /// A queue that is always nearly empty takes no more memory than a full one would at its fullest.
    @Test func memoryOfWhatIsGoneComesBack() throws {
        let log = MemoryLog()
        for n in 0..<20_000 as Range<UInt64> {
            try log.publish("a", pattern(200, n))
            if n >= 10 { #expect(try log.remove(n - 9, erases: false)) }
        }
        #expect(log.state.messages == 10)
        #expect(log.memory < 3 << 20, "\(log.memory)")
    }

    @Test(arguments: [1, 2, 3] as [UInt64]) func agreesWithADictionary(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let log = MemoryLog()
        var model: [UInt64: TestMessage] = [:]
        var removed: [UInt64] = []
        log.onRemoved = { sequence, _, _ in removed.append(sequence) }
        var last: UInt64 = 0, timeNs: Int64 = 0
        for step in 0..<4000 {
            switch random.below(20) {
            case 0:
                let floor = (model.keys.min() ?? last) + UInt64(random.below(8))
                let gone = model.keys.filter { $0 < floor }.sorted()
                removed = []
                #expect(try log.removeAll(below: floor) == UInt64(gone.count))
                #expect(removed == gone)
                for sequence in gone { model[sequence] = nil }
                last = max(last, floor > 0 ? floor - 1 : 0)
            case 1...9:
                guard let sequence = model.keys.sorted().randomElement(using: &random) else { continue }
                #expect(try log.remove(sequence, erases: random.once(in: 2)))
                #expect(try !log.remove(sequence, erases: false))
                model[sequence] = nil
            default:
                let gap = random.once(in: 10) ? UInt64(random.below(5)) : 0
                timeNs += Int64(random.below(3))
                let payload = pattern(random.once(in: 50) ? random.below(30_000) : random.below(300), UInt64(step))
                let headers = random.once(in: 3) ? "NATS/1.0\r\nA: \(step)\r\n\r\n" : ""
                let subject = "s.\(random.below(7))"
                last = try log.publish(subject, payload, headers: headers, timeNs: timeNs, sequence: last + 1 + gap)
                model[last] = TestMessage(subject: subject, headers: headers, payload: payload, timeNs: timeNs)
            }
            guard step % 50 == 0 || step == 3999 else { continue }
            let state = log.state
            #expect(state.messages == UInt64(model.count) && state.lastSequence == last, "seed \(seed) step \(step)")
            #expect(state.firstSequence == model.keys.min() ?? last + 1)
            #expect(
                state.bytes
                    == model.values.reduce(0) {
                        $0 + UInt64($1.subject.utf8.count + $1.headers.utf8.count + $1.payload.count + 16)
                    })
            for (sequence, message) in model {
                #expect(log.message(sequence) == message, "seed \(seed) step \(step) \(sequence)")
            }
            let filter = SubjectFilter(["s.3"], log.subjects)
            #expect(log.count(from: 1, upTo: last, filter) == UInt64(model.values.count { $0.subject == "s.3" }))
            #expect(log.last(upTo: last, filter) == model.filter { $0.value.subject == "s.3" }.keys.max())
            let middle = timeNs / 2
            #expect(log.first(atOrAfterNs: middle) == model.filter { $0.value.timeNs >= middle }.keys.min())
        }
    }
}
