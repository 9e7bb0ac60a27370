// What a journal keeps of a consumer: folded again it is the state that it tells of, and no bytes can do harm.

import Testing

@testable import Broker

@Suite struct ConsumerRecordTests {
    /// Everything a state says, to compare; times are left out, because they depend on the turn they were written in.
    private func summary(_ state: borrowing ConsumerState) -> [String] {
        var lines = ["\(state.delivered) \(state.ackFloor) \(state.exhausted.sorted { $0.key < $1.key })"]
        lines.append("\(Array(state.lastPerSubject.remaining)) \(state.lastPerSubject.end)")
        var slot = state.pending.first
        while slot != PendingTable.none {
            let entry = state.pending[slot]
            lines.append("\(entry.sequence) \(entry.delivery) \(entry.deliveries)")
            slot = state.pending.next(slot)
        }
        return lines
    }

    private struct Driver: ~Copyable {
        var random: SeededGenerator
        var state = ConsumerState(startsAt: 1)
        var turn = TurnRecord()
        var next: UInt64 = 1
        let tracks: Bool

        init(seed: UInt64, tracks: Bool) {
            random = SeededGenerator(seed: seed)
            self.tracks = tracks
        }

        mutating func step(_ now: UInt64) {
            let before = state.delivered.consumer
            switch Int.random(in: 0..<11, using: &random) {
            case 10:
                // A purge removes what was pending, then has the consumer go on behind it.
                guard Int.random(in: 0..<8, using: &random) == 0 else { return }
                let end = next + UInt64.random(in: 0...50, using: &random)
                while !state.pending.isEmpty && Int.random(in: 0..<8, using: &random) > 0 {
                    turn.add(.finished, state.pending[state.pending.first].sequence, delivered: before)
                    state.finish(state.pending.first)
                }
                turn.add(.advanced, end, delivered: before)
                state.advance(to: end)
                next = max(next, end + 1)
            case 0..<4:
                if Int.random(in: 0..<4, using: &random) == 0 { next += UInt64.random(in: 1...300, using: &random) }
                _ = state.deliver(next, tracks: tracks, sinceNs: now)
                turn.add(.delivered, next, delivered: before)
                next += 1
            case 4..<7:
                guard let slot = anySlot() else { return }
                turn.add(.finished, state.pending[slot].sequence, delivered: before)
                state.finish(slot)
            case 7:
                guard let slot = anySlot() else { return }
                turn.add(.redelivered, state.pending[slot].sequence, delivered: before)
                state.redeliver(slot, sinceNs: now)
            case 8:
                guard let slot = anySlot() else { return }
                let sequence = state.pending[slot].sequence
                if Bool.random(using: &random) {
                    turn.add(.exhausted, sequence, delivered: before)
                    state.exhaust(slot)
                } else {
                    turn.add(.delayed, sequence, argument: 12_345, delivered: before)
                }
            default:
                if Int.random(in: 0..<8, using: &random) == 0, let slot = anySlot() {
                    let entry = state.pending[slot]
                    turn.add(.finishedUpTo, entry.sequence, argument: entry.delivery, delivered: before)
                    state.finish(upTo: entry.sequence, delivery: entry.delivery) { _ in }
                } else if let sequence = state.exhausted.keys.sorted().first {
                    turn.add(.forgotten, sequence, delivered: before)
                    state.exhausted[sequence] = nil
                }
            }
        }

        private mutating func anySlot() -> PendingTable.Slot? {
            guard !state.pending.isEmpty else { return nil }
            var slot = state.pending.first
            // Mostly the first, as acks come.
            for _ in 0..<Int.random(in: 0..<min(4, state.pending.count), using: &random) { slot = state.pending.next(slot) }
            return slot
        }
    }

    @Test(arguments: 1...40 as ClosedRange<UInt64>) func foldsToTheSameState(seed: UInt64) throws {
        var driver = Driver(seed: seed, tracks: seed % 4 != 0)
        var records = [whole(driver.state)]
        for turn in 0..<120 {
            for _ in 0..<Int.random(in: 0..<30, using: &driver.random) { driver.step(UInt64(turn)) }
            if !driver.turn.isEmpty { records.append(driver.turn.take(timeNs: Int64(turn))) }
            if turn % 50 == 49 { records.append(whole(driver.state)) }
        }
        var damaged = 0
        let tracks = driver.tracks
        guard let recovered = RecoveredConsumerState.read(records, tracksAcks: { _ in tracks }, damaged: &damaged) else {
            Issue.record("nothing recovered, seed \(seed)")
            return
        }
        #expect(damaged == 0)
        #expect(recovered.name == "name" && recovered.config == Array("{}".utf8) && recovered.createdNs == -5)
        #expect(summary(recovered.state) == summary(driver.state), "seed \(seed)")
        // From the first record on as well: later whole ones only shorten the way.
        let turnsOnly = [records[0]] + records.dropFirst().filter { $0.first == ConsumerRecordFormat.turn }
        guard let again = RecoveredConsumerState.read(turnsOnly, tracksAcks: { _ in tracks }, damaged: &damaged) else {
            Issue.record("nothing recovered, seed \(seed)")
            return
        }
        #expect(summary(again.state) == summary(driver.state), "seed \(seed)")
    }

    private func whole(_ state: borrowing ConsumerState) -> [UInt8] {
        RecoveredConsumerState.whole(
            name: "name", createdNs: -5, config: Array("{}".utf8), state: state, now: Instant(wallNs: 1_000, monotonicNs: 500))
    }

    @Test func keepsTheLastPerSubject() throws {
        var state = ConsumerState(startsAt: 3)
        state.lastPerSubject = LastPerSubject([3, 9, 10, 4_000_000_000], end: 4_000_000_001)
        state.lastPerSubject.advance(beyond: 3)
        guard let read = RecoveredConsumerState.read(whole: whole(state)) else {
            Issue.record("not read")
            return
        }
        #expect(Array(read.state.lastPerSubject.remaining) == [9, 10, 4_000_000_000])
        #expect(read.state.lastPerSubject.end == 4_000_000_001)
    }

    /// A run of a thousand deliveries and acks in order costs a few bytes.
    @Test func isCompact() {
        var turn = TurnRecord()
        for sequence in 1_000_000..<1_001_000 as Range<UInt64> { turn.add(.delivered, sequence, delivered: 5) }
        for sequence in 1_000_000..<1_001_000 as Range<UInt64> { turn.add(.finished, sequence, delivered: 1_005) }
        #expect(turn.take(timeNs: 1_795_264_733_572_388_765).count < 32)
        #expect(turn.isEmpty)
    }

    @Test(arguments: 1...60 as ClosedRange<UInt64>) func noBytesDoHarm(seed: UInt64) {
        var driver = Driver(seed: seed, tracks: true)
        for _ in 0..<200 { driver.step(7) }
        let good = [whole(driver.state), driver.turn.take(timeNs: 1)]
        for _ in 0..<300 {
            var records = good
            for index in records.indices {
                switch Int.random(in: 0..<4, using: &driver.random) {
                case 0: break
                case 1:
                    records[index] = Array(
                        records[index].prefix(Int.random(in: 0...records[index].count, using: &driver.random)))
                case 2:
                    for _ in 0..<Int.random(in: 1...6, using: &driver.random) {
                        guard let place = records[index].indices.randomElement(using: &driver.random) else { continue }
                        records[index][place] = UInt8.random(in: 0...255, using: &driver.random)
                    }
                default:
                    records[index] =
                        [UInt8(index + 1), 1] + (0..<40).map { _ in UInt8.random(in: 0...255, using: &driver.random) }
                }
            }
            var damaged = 0
            guard var read = RecoveredConsumerState.read(records, tracksAcks: { _ in true }, damaged: &damaged) else {
                continue
            }
            read.state.setClocks(now: Instant(wallNs: 5, monotonicNs: 5)) { _ in 100 }
            #expect(read.state.pending.count >= 0)
        }
    }
}
