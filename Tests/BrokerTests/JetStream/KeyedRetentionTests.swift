// Keyed consumers of work queues and interest streams: what is parked or waits stays, what is done goes.

import Store
import StoreKit
import Testing
import Wire

@testable import Broker

@Suite struct KeyedRetentionTests {
    private func world(
        _ retention: RetentionPolicy, _ metadata: [String: String] = [:], _ change: (inout ConsumerConfig) -> Void = { _ in }
    ) throws -> (StoredStream, Consumer) {
        let kit = try StoredStream(creating: StoredStream.config { $0.retention = retention }, on: try StoredStream.makeDisk())
        return (kit, kit.createKeyed(metadata, change))
    }

    /// After a restart, too, in which a stream looks for what nobody waits for.
    @Test(arguments: [RetentionPolicy.workqueue, .interest]) func whatIsParkedOrWaitsStays(retention: RetentionPolicy) throws {
        var (kit, consumer) = try world(retention)
        let other = retention == .interest ? kit.create("OTHER") : nil
        for subject in ["s.a", "s.a", "s.b"] { kit.publish(subject, "x") }
        if let other {
            for delivery in kit.pull(other, 3) { #expect(kit.ack(other, delivery.reply)) }
            #expect(other.info().ackFloor.stream == 3)
        }
        let first = kit.lease(consumer)
        #expect(first.sequences == [1, 3] && kit.log.state.messages == 3)
        kit.say(consumer, first[0], "+TERM")
        kit.say(consumer, first[1])
        #expect(kit.log.contains(1) && kit.log.contains(2) && !kit.log.contains(3))
        kit = try #require(try StoredStream(on: kit.disk.crashed(seed: 1)))
        kit.pass(seconds: 1)
        consumer = try #require(kit.registry["C"])
        #expect(kit.log.contains(1) && kit.log.contains(2) && !kit.log.contains(3))
        let version = try #require(kit.parked(consumer)["a"])
        _ = kit.command(consumer, .skip, #"{"key":"a","version":\#(version),"reason":"r","actor":"me"}"#)
        #expect(!kit.log.contains(1) && kit.log.contains(2))
        let second = kit.lease(consumer)
        #expect(second.sequences == [2])
        kit.say(consumer, second[0])
        #expect(kit.log.state.messages == 0)
    }

    @Test(arguments: [RetentionPolicy.workqueue, .interest]) func skippedMessagesAreAcked(retention: RetentionPolicy) throws {
        let (kit, consumer) = try world(retention, ["bellhop.on_max_deliver": "skip"]) { $0.maxDeliver = 1 }
        for subject in ["s.a", "s.a", "s.a"] { kit.publish(subject, "x") }
        kit.say(consumer, kit.lease(consumer)[0], "+TERM")
        #expect(!kit.log.contains(1))
        #expect(kit.lease(consumer).sequences == [2])
        kit.pass(seconds: 61)
        #expect(!kit.log.contains(2) && kit.lease(consumer).sequences == [3])
    }

    /// Nobody waits any more for what no filter matches, nor for a park that ends.
    @Test func anInterestStreamLetsGoOfWhatNoLongerMatches() throws {
        let (kit, consumer) = try world(.interest)
        for subject in ["s.a.x", "s.a.y", "s.b.y", "s.a.x"] { kit.publish(subject, "x") }
        let first = kit.lease(consumer)
        #expect(first.sequences == [1, 3])
        kit.say(consumer, first[1], "+TERM")
        let version = try #require(kit.parked(consumer)["b"])
        var config = consumer.config
        config.filterSubjects = ["s.*.x"]
        consumer.update(config)
        kit.turn()
        #expect(kit.log.contains(1) && !kit.log.contains(2) && kit.log.contains(3) && kit.log.contains(4))
        _ = kit.command(consumer, .retry, #"{"key":"b","version":\#(version)}"#)
        #expect(!kit.log.contains(3) && kit.lease(consumer).isEmpty)
        kit.say(consumer, first[0])
        let second = kit.lease(consumer)
        #expect(second.sequences == [4])
        kit.say(consumer, second[0])
        #expect(kit.log.state.messages == 0)
    }

    /// A crash that forgets removals, but not the acks: what is back goes again, even if the keys are known only later, because
    /// the headers with them have to come from the disk.
    @Test(arguments: [RetentionPolicy.workqueue, .interest]) func whatIsDoneGoesAgainAfterACrash(
        retention: RetentionPolicy
    ) throws {
        var change = 0, returned = 0
        while true {
            change += 1
            let (kit, consumer) = try world(retention, ["bellhop.key": "header:Booking"])
            for key in ["a", "b", "a"] { kit.publish("s.x", "x", ["Booking": key]) }
            let leases = kit.lease(consumer)
            #expect(leases.sequences == [1, 2])
            kit.say(consumer, leases[0], "+TERM")
            #expect(kit.parked(consumer)["a"] != nil)
            kit.reversesCommits = true
            kit.disk.failPower(atChange: kit.disk.changes + change)
            kit.message(leases[1].reply, "", reply: "answer") { consumer.receive(ack: $0) }
            kit.turn()
            let disk = kit.disk.crashed(seed: 1), cold = kit.disk.crashed(seed: 1)
            let found = try #require(try StreamFiles.open(StoredStream.directory, disk))
            let isBack = found.log.contains(2)
            cold.missCache(onceIn: 1)
            let restarted = try #require(try StoredStream(on: cold))
            restarted.pass(seconds: 2)
            let recovered = try #require(restarted.registry["C"])
            let keyed = try #require(recovered.keyed)
            #expect(keyed.isReady && keyed.parkedKeys == 1)
            if keyed.table.find(2) == OutstandingTable.none {
                if isBack { returned += 1 }
                #expect(!restarted.log.contains(2), "at change \(change) it is kept for nobody")
            }
            if !kit.disk.isOff { break }
        }
        #expect(change > 2 && returned > 0)
    }

    /// What has a reason to stay is known only when the keys are: so much waits that they take more than one turn to read.
    @Test func whatIsDoneGoesWhenTheKeysAreKnown() throws {
        let (kit, consumer) = try world(.limits)
        for subject in ["s.a", "s.b"] { kit.publish(subject, "x") }
        let leases = kit.lease(consumer)
        kit.say(consumer, leases[0], "+TERM")
        kit.say(consumer, leases[1])
        for number in 1...20_000 {
            kit.message("s.a", "x") { kit.stream.receive($0) }
            if number % 1_000 == 0 { kit.turn() }
        }
        // The read position passes them.
        for _ in 0..<5 { #expect(kit.lease(consumer).isEmpty) }
        try kit.close()
        let again = try #require(try StoredStream(on: kit.disk) { $0.retention = .interest })
        for _ in 0..<10 { again.turn() }
        again.pass(seconds: 10)
        let recovered = try #require(again.registry["C"])
        #expect(recovered.keyed?.isReady ?? false && recovered.info().pending == 20_000)
        #expect(again.log.contains(1) && !again.log.contains(2) && again.log.state.messages == 20_001)
    }
}
