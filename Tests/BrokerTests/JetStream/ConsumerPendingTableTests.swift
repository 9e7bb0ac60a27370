// The table of pending messages against a plain model of it.

import Testing

@testable import Broker

@Suite struct ConsumerPendingTableTests {
    private struct Model {
        var delivery: UInt64
        var sinceNs: UInt64
        var deadlineNs: UInt64?
        var waitsForAck = false
        var deliveries: UInt32 = 1
    }

    @Test(arguments: 1...20 as ClosedRange<UInt64>) func agreesWithAModel(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var table = PendingTable()
        var model: [UInt64: Model] = [:]
        var redeliveries: [UInt64] = []
        var sequence: UInt64 = 0, now: UInt64 = 1_000
        let ackWait: UInt64 = 500
        for step in 0..<4_000 {
            now += UInt64.random(in: 0...20, using: &random)
            switch Int.random(in: 0..<12, using: &random) {
            case 0..<5:
                // Now and then with a gap that would collide under a weak hash.
                sequence += Bool.random(using: &random) ? 1 : UInt64.random(in: 1...4, using: &random) << 20
                let slot = table.insert(sequence, delivery: UInt64(step), sinceNs: now)
                table.awaitAck(slot, sinceNs: now)
                model[sequence] = Model(delivery: UInt64(step), sinceNs: now, waitsForAck: true)
            case 5..<8:
                guard let key = model.keys.randomElement(using: &random) else { continue }
                table.remove(table.find(key))
                model[key] = nil
                redeliveries.removeAll { $0 == key }
            case 8:
                guard let key = model.keys.randomElement(using: &random) else { continue }
                let deadline = now + UInt64.random(in: 0...2_000, using: &random)
                table.awaitDeadline(table.find(key), deadline)
                model[key]?.deadlineNs = deadline
                model[key]?.waitsForAck = false
                redeliveries.removeAll { $0 == key }
            case 9:
                while let slot = table.popExpired(now, ackWaitNs: ackWait) {
                    let key = table[slot].sequence
                    let entry = model[key]
                    #expect(entry.map { $0.deadlineNs ?? ($0.sinceNs + ackWait) <= now ? 1 : 0 } != nil)
                    #expect((entry?.deadlineNs ?? ((entry?.sinceNs ?? .max) + ackWait)) <= now)
                    table.awaitRedelivery(slot, after: 0)
                    model[key]?.deadlineNs = nil
                    model[key]?.waitsForAck = false
                    redeliveries.append(key)
                }
                let left = model.values.compactMap { $0.deadlineNs ?? ($0.waitsForAck ? $0.sinceNs + ackWait : nil) }.min()
                #expect(table.nextDeadline(ackWaitNs: ackWait) == left)
                #expect(left ?? .max > now)
            case 10:
                guard let key = redeliveries.first else { continue }
                let slot = table.firstRedelivery
                #expect(table[slot].sequence == key)
                table.countDelivery(slot, sinceNs: now)
                table.awaitAck(slot, sinceNs: now)
                model[key]?.deliveries += 1
                model[key]?.sinceNs = now
                model[key]?.waitsForAck = true
                redeliveries.removeFirst()
            default:
                let absent = UInt64.random(in: 0...sequence + 10, using: &random)
                #expect(table.contains(absent) == (model[absent] != nil))
            }
            #expect(table.count == model.count)
            #expect(table.redeliveryCount == redeliveries.count)
            #expect(table.redeliveredCount == model.values.count { $0.deliveries > 1 })
        }
        var walked: [UInt64] = []
        var slot = table.first
        while slot != PendingTable.none {
            walked.append(table[slot].sequence)
            #expect(table[slot].delivery == model[table[slot].sequence]?.delivery)
            #expect(table[slot].deliveries == model[table[slot].sequence]?.deliveries)
            slot = table.next(slot)
        }
        #expect(walked == model.keys.sorted(), "seed \(seed)")
    }

    @Test func givesMemoryBackAndGoesOn() {
        var table = PendingTable()
        for sequence in 1...100_000 as ClosedRange<UInt64> {
            _ = table.insert(sequence, delivery: sequence, sinceNs: 0)
        }
        for sequence in 1...100_000 as ClosedRange<UInt64> { table.remove(table.find(sequence)) }
        #expect(table.isEmpty && table.first == PendingTable.none)
        let slot = table.insert(7, delivery: 1, sinceNs: 0)
        #expect(table.find(7) == slot && table.count == 1)
    }
}
