// Keyed consumers on disks that forget: what a crash brings back is given out, too.

import Store
import StoreKit
import Testing
import Wire

@testable import Broker

@Suite struct KeyedCrashTests {
    /// The limits remove message 2, which waits behind message 1, while an earlier commit of the log is under way, and message 1
    /// is acked: that must not be durable as long as the removal is not.
    private func limited(_ disk: SimulatedDisk, failsAtChange change: Int) throws {
        let kit = try StoredStream(creating: StoredStream.config { $0.maxMessages = 4 }, on: disk)
        let consumer = kit.create("C") { config in
            config.metadata = ["bellhop.key": "token:2"]
            config.ackWaitNs = 1_000_000_000
        }
        for _ in 1...3 { kit.publish("s.a", "x") }
        let lease = try #require(kit.pull(consumer, 1).first)
        disk.failPower(atChange: disk.changes + change)
        kit.message("s.b", "x") { kit.stream.receive($0) }
        kit.stream.turnEnded()
        for _ in 1...2 { kit.message("s.b", "x") { kit.stream.receive($0) } }
        kit.message(lease.reply, "+ACK", reply: "answer") { consumer.receive(ack: $0) }
        kit.turn()
    }

    @Test func whatTheLimitsRemovedIsGivenWhenItComesBack() throws {
        var change = 0, returned = 0
        while true {
            change += 1
            let disk = try StoredStream.makeDisk()
            try limited(disk, failsAtChange: change)
            for seed in 0..<4 as Range<UInt64> {
                let kit = try #require(try StoredStream(on: disk.crashed(seed: seed)))
                let there = Set(kit.contents.keys), consumer = try #require(kit.registry["C"])
                if there.contains(2) { returned += 1 }
                var given: [UInt64] = [], read = 0
                _ = kit.pull(consumer, 100)
                for _ in 0..<6 {
                    while read < kit.output.count {
                        let output = kit.output[read]
                        read += 1
                        let reference = Array(output.reply.utf8).withUnsafeBytes { AckReference(ByteView($0)) }
                        guard output.subject == "inbox", let reference else { continue }
                        given.append(reference.sequence)
                        #expect(kit.ack(consumer, output.reply))
                    }
                    kit.pass(seconds: 2)
                }
                // The first one's ack may have been kept.
                #expect(there.subtracting([1]).subtracting(given) == [], "at change \(change), seed \(seed): \(given)")
                let key = given.filter { $0 <= 3 }
                #expect(key == key.sorted(), "at change \(change), seed \(seed): \(given)")
            }
            if !disk.isOff { break }
        }
        #expect(change > 3 && returned > 0)
    }
}
