// Updates of a keyed consumer: the key stays what it is, every other setting may change and counts from then on.

import Store
import StoreKit
import Testing
import Wire

@testable import Broker

extension ConsumerFixture {
    /// As CONSUMER.CREATE of a consumer that is there.
    func update(_ consumer: Consumer, _ change: (inout ConsumerConfig) -> Void) throws {
        var config = consumer.config
        change(&config)
        let creation = try config.checkedForCreate(
            action: .update, pedantic: false, stream: self.config, limits: JetStreamLimits(), existing: consumer.config,
            others: [], hasInterest: { _ in false })
        guard case .update(let checked) = creation else { throw ErrorText("no update") }
        consumer.update(checked)
        endTurn()
    }

    func update(_ consumer: Consumer, _ name: String, _ value: String?) throws {
        try update(consumer) { $0.metadata["bellhop." + name] = value }
    }
}

@Suite struct KeyedUpdateTests {
    private func world(_ subjects: String...) throws -> ConsumerFixture {
        let world = try ConsumerFixture()
        world.subscribe("$BELLHOP.>")
        for subject in subjects { try world.append(subject) }
        world.commitLog()
        return world
    }

    @Test func theKeyCanNotBeAddedChangedOrDropped() throws {
        let world = try world()
        let keyed = try world.createKeyed(), plain = try world.create("plain")
        for (consumer, key) in [(keyed, "token:1"), (keyed, nil), (plain, "token:2")] as [(Consumer, String?)] {
            do {
                try world.update(consumer, "key", key)
                Issue.record("\(key ?? "none") was accepted")
            } catch let error as APIError { #expect(error.errorCode == 10012) }
        }
        // Nor with a parameter that a plain consumer has no use for.
        #expect(throws: APIError.self) { try world.update(plain, "max_parked_keys", "1") }
    }

    @Test func onMaxDeliver() throws {
        let world = try world("s.a", "s.a", "s.b", "s.b")
        let consumer = try world.createKeyed()
        let first = world.lease(consumer)
        world.park(consumer, first[0])
        try world.update(consumer, "on_max_deliver", "skip")
        world.park(consumer, first[1])
        // What is parked already stays so.
        #expect(world.parked(consumer).keys.sorted() == ["a"] && world.lease(consumer).sequences == [4])
    }

    @Test(arguments: [("max_parked_keys", nil), ("max_parked_bytes", "1000000")] as [(String, String?)])
    func limitsOfParks(name: String, room: String?) throws {
        let world = try world("s.a", "s.b")
        let consumer = try world.createKeyed { $0.maxAckPending = 1 }
        world.park(consumer, world.lease(consumer)[0])
        try world.update(consumer, name, "1")
        #expect(world.lease(consumer).isEmpty)
        #expect(world.command(consumer, .info).object?["paused"]?.string == name)
        try world.update(consumer, name, room)
        #expect(world.lease(consumer).sequences == [2])
    }

    @Test func maxPendingPerKey() throws {
        var world = try world("s.a", "s.a", "s.a", "s.b")
        var consumer = try world.createKeyed()
        var held = world.lease(consumer)
        #expect(held.sequences == [1, 4])
        try world.update(consumer, "max_pending_per_key", "2")
        held += world.lease(consumer)
        #expect(held.sequences == [1, 4, 2])
        // Lowered while two are out: what was acked meanwhile is not given again, in any order, and after a restart neither.
        world.ack(consumer, held[2])
        held += world.lease(consumer)
        #expect(held.sequences == [1, 4, 2, 3])
        try world.update(consumer, "max_pending_per_key", nil)
        world.ack(consumer, held[3])
        world.endTurn()
        #expect(world.lease(consumer).isEmpty)
        world = try world.restarted(afterNs: 1_000)
        consumer = try #require(world.registry["c"])
        world.endTurn()
        #expect(world.lease(consumer).isEmpty && consumer.info().pending == 0)
        world.pass(ms: 1_100)
        #expect(world.lease(consumer).sequences.sorted() == [1, 4])
    }

    /// Several leases of a key that end after the limit was lowered are given again one by one, in their order.
    @Test(arguments: [false, true]) func aLowerLimitOfAKeyHolds(restarts: Bool) throws {
        var world = try world("s.a", "s.a", "s.a", "s.b")
        var consumer = try world.createKeyed("c", ["bellhop.max_pending_per_key": "3"])
        let held = world.lease(consumer)
        #expect(held.sequences == [1, 2, 3, 4])
        try world.update(consumer, "max_pending_per_key", nil)
        // The leases that are out go on. What comes back waits for those before it, and for those that are still out.
        world.ack(consumer, held[0], "-NAK")
        world.endTurn()
        #expect(world.lease(consumer).isEmpty)
        world.ack(consumer, held[2], "-NAK")
        if restarts {
            world.endTurn()
            world = try world.restarted(afterNs: 1_000)
            consumer = try #require(world.registry["c"])
            world.endTurn()
            world.pass(ms: 1_100)
            #expect(world.lease(consumer).sequences.sorted() == [1, 4])
            return
        }
        #expect(world.lease(consumer).isEmpty)
        world.ack(consumer, held[1], "-NAK")
        for sequence in 1...3 {
            let next = world.lease(consumer)
            #expect(next.sequences == [UInt64(sequence)] && world.lease(consumer).isEmpty)
            world.ack(consumer, next[0])
            world.endTurn()
        }
        #expect(world.lease(consumer).isEmpty)
        world.ack(consumer, held[3])
        world.endTurn()
        #expect(consumer.keyed?.table.count == 0 && consumer.keyed?.held.isEmpty == true)
    }

    /// Raised again, what was held back is ready at once.
    @Test func aLimitThatIsRaisedAgain() throws {
        let world = try world("s.a", "s.a", "s.a")
        let consumer = try world.createKeyed("c", ["bellhop.max_pending_per_key": "3"])
        let held = world.lease(consumer)
        try world.update(consumer, "max_pending_per_key", nil)
        for delivery in held { world.ack(consumer, delivery, "-NAK") }
        world.endTurn()
        #expect(world.lease(consumer).sequences == [1])
        try world.update(consumer, "max_pending_per_key", "3")
        #expect(world.lease(consumer).sequences.sorted() == [2, 3])
    }

    @Test func parkCircuit() throws {
        let world = try world("s.a", "s.b", "s.c", "s.d")
        let consumer = try world.createKeyed("c", ["bellhop.park_circuit": "0.5/60s"]) { $0.maxAckPending = 3 }
        for delivery in world.lease(consumer) { world.park(consumer, delivery) }
        #expect(world.lease(consumer).isEmpty)
        #expect(world.command(consumer, .info).object?["paused"]?.string == "park_circuit")
        try world.update(consumer, "park_circuit", "off")
        #expect(world.lease(consumer).sequences == [4])
    }

    @Test func keyAffinity() throws {
        let world = try world("s.a", "s.a")
        let consumer = try world.createKeyed()
        try world.update(consumer, "key_affinity", "sticky")
        let first = world.lease(consumer, client: 2)
        world.interests += ["one", "two"]
        for (reply, client) in [("one", 1), ("two", 2)] as [(String, UInt64)] {
            world.send(#"{"batch":1,"expires":60000000000}"#, to: "$JS.API.CONSUMER.MSG.NEXT.S.c", reply: reply) {
                consumer.receive(next: $0, from: client)
            }
        }
        world.ack(consumer, first[0])
        world.endTurn()
        #expect(world.taken().map(\.to) == ["two"])
    }

    @Test func releaseOnDisconnect() throws {
        let world = try world("s.a")
        let consumer = try world.createKeyed()
        _ = world.lease(consumer, client: 7)
        try world.update(consumer, "release_on_disconnect", "true")
        consumer.keyed?.clientClosed(7)
        #expect(world.lease(consumer).sequences == [1])
    }

    @Test func parkRetention() throws {
        let kit = try StoredStream(creating: StoredStream.config { $0.maxMessages = 3 }, on: try StoredStream.makeDisk())
        let consumer = kit.createKeyed()
        func update(_ retention: String) {
            var config = consumer.config
            config.metadata["bellhop.park_retention"] = retention
            consumer.update(config)
            kit.turn()
        }
        for subject in ["s.a", "s.a"] { kit.publish(subject, "x") }
        kit.say(consumer, kit.lease(consumer)[0], "+TERM")
        for _ in 0..<5 { kit.publish("s.b", "y") }
        #expect(kit.contents.keys.sorted() == [1, 2, 5, 6, 7])
        update("expire")
        #expect(kit.contents.keys.sorted() == [5, 6, 7] && kit.parked(consumer).isEmpty)
        kit.say(consumer, kit.lease(consumer)[0], "+TERM")
        update("pin")
        for _ in 0..<5 { kit.publish("s.c", "y") }
        #expect(kit.contents.keys.sorted() == [5, 6, 7, 10, 11, 12] && kit.parked(consumer).count == 1)
    }

    /// As for plain consumers: what is leased waits as long as the new settings say.
    @Test func ackWait() throws {
        let world = try world("s.a", "s.b")
        let consumer = try world.createKeyed { $0.ackWaitNs = 60_000_000_000 }
        #expect(world.lease(consumer, 1).sequences == [1])
        world.pass(ms: 1_000)
        try world.update(consumer) { $0.ackWaitNs = 2_000_000_000 }
        world.pass(ms: 900)
        #expect(world.lease(consumer).sequences == [2])
        world.pass(ms: 200)
        #expect(world.lease(consumer).sequences == [1])
    }
}
