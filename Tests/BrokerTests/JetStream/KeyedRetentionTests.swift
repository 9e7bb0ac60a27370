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
}
