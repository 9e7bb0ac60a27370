// Keyed consumers: order in a key, independence of keys, fencing, and what a restart keeps.

import Testing
import Wire

@testable import Broker

@Suite struct KeyedOrderTests {
    private func world() throws -> ConsumerFixture { try ConsumerFixture() }

    @Test func oneLeaseForAKeyAtATime() throws {
        let world = try world()
        try world.store("s.a", "s.a", "s.b", "s.a", "s.b")
        let consumer = try world.createKeyed()
        let first = world.lease(consumer)
        #expect(first.sequences == [1, 3])
        #expect(world.lease(consumer).isEmpty)
        world.ack(consumer, first[0])
        #expect(world.lease(consumer).sequences == [2])
        #expect(consumer.info().ackPending == 2 && consumer.info().pending == 2)
    }

    @Test func theNextWaitsForADurableAck() throws {
        let world = try world()
        try world.store("s.a", "s.a")
        let consumer = try world.createKeyed()
        world.pull(consumer, #"{"batch":10,"expires":60000000000}"#)
        let first = world.taken()
        #expect(first.sequences == [1])
        world.ack(consumer, first[0], ends: false)
        world.endTurn(commits: false)
        world.endTurn(commits: false)
        #expect(world.taken().isEmpty)
        world.commitJournal()
        world.endTurn()
        #expect(world.taken().sequences == [2])
    }

    @Test func aKeyWaitsForItsOwnNakOnly() throws {
        let world = try world()
        try world.store("s.a", "s.a", "s.b", "s.b")
        let consumer = try world.createKeyed()
        let first = world.lease(consumer)
        world.ack(consumer, first[0], "-NAK 5s")
        world.ack(consumer, first[1])
        #expect(world.lease(consumer).sequences == [4])
        #expect(consumer.info().ackPending == 1 && consumer.info().redelivered == 1)
        world.pass(ms: 5_100)
        let again = world.lease(consumer)
        #expect(Set(again.sequences) == [1, 4])
        #expect(again.first { $0.sequence == 1 }?.reference?.deliveries == 2)
    }

    @Test func aPlainNakGoesToTheBackOfTheQueue() throws {
        let world = try world()
        try world.store("s.a", "s.b", "s.c")
        let consumer = try world.createKeyed()
        let first = world.lease(consumer, 1)
        #expect(first.sequences == [1])
        world.ack(consumer, first[0], "-NAK")
        // Those that were ready before it come first.
        var order: [UInt64] = []
        for _ in 0..<3 { order += world.lease(consumer, 1).sequences }
        #expect(order == [2, 3, 1])
    }

    @Test func backoffIsTheWaitForEachDelivery() throws {
        let world = try world()
        try world.store("s.a", "s.a")
        let consumer = try world.createKeyed {
            $0.backoffNs = [1_000_000_000, 3_000_000_000]
            $0.maxDeliver = 3
        }
        for (delivery, wait) in [(1, 1_000), (2, 3_000), (3, 3_000)] as [(UInt64, Int64)] {
            let sent = world.lease(consumer)
            #expect(sent.sequences == [1] && sent.first?.reference?.deliveries == delivery)
            world.pass(ms: wait - 100)
            #expect(world.lease(consumer).isEmpty && world.parked(consumer).isEmpty)
            world.pass(ms: 200)
        }
        #expect(world.lease(consumer).isEmpty && world.parked(consumer).keys.sorted() == ["a"])
    }

    @Test func headersAreKeysToo() throws {
        let world = try world()
        for key in ["x", "y", "x", "", "x"] {
            try world.append("s.1", headers: key.isEmpty ? "" : "NATS/1.0\r\nBooking: \(key)\r\nBooking: z\r\n\r\n")
        }
        try world.append("s.1", headers: "NATS/1.0\r\nBooking:  \r\n\r\n")
        try world.append("s.1")
        world.commitLog()
        let consumer = try world.createKeyed("c", ["bellhop.key": "header:Booking"])
        let first = world.lease(consumer)
        // Without a key, or with an empty one, a message is its own key.
        #expect(first.sequences == [1, 2, 4, 6, 7])
        world.ack(consumer, first[0])
        #expect(world.lease(consumer).sequences == [3])
    }

    @Test func aStaleAckChangesNothing() throws {
        let world = try world()
        try world.store("s.a", "s.a")
        world.subscribe("$BELLHOP.>")
        let consumer = try world.createKeyed()
        let first = world.lease(consumer)
        world.pass(ms: 1_100)
        let second = world.lease(consumer)
        #expect(second.sequences == [1] && second[0].reply != first[0].reply)
        for body in ["", "+NXT", "-NAK", "+WPI", "+TERM"] {
            world.ack(consumer, first[0], body, reply: "r")
            world.endTurn()
            let sent = world.taken()
            #expect(sent.filter { $0.to == "r" }.map(\.status) == ["503 Stale Ack"], "\(body)")
            #expect(sent.contains { $0.to == "$BELLHOP.ADVISORY.STALE_ACK.S.c" }, "\(body)")
        }
        #expect(consumer.info().ackPending == 1 && consumer.keyed?.staleAcks == 5)
        world.ack(consumer, second[0], reply: "r")
        world.endTurn()
        #expect(world.taken().filter { $0.to == "r" }.map(\.headers) == [""])
        // Repeated, it is answered as what it is: done.
        world.ack(consumer, second[0], reply: "r")
        #expect(world.taken().filter { $0.to == "r" }.map(\.headers) == [""])
        #expect(world.lease(consumer).sequences == [2])
    }

    @Test func anExpiredLeaseMayStillEnd() throws {
        let world = try world()
        try world.store("s.a", "s.b", "s.c", "s.a")
        let consumer = try world.createKeyed()
        let first = world.lease(consumer)
        world.pass(ms: 1_100)
        world.ack(consumer, first[0], "+WPI", reply: "w")
        world.ack(consumer, first[1], "-NAK 1h", reply: "n")
        #expect(world.taken().map(\.status) == ["503 Stale Ack", "503 Stale Ack"])
        world.ack(consumer, first[0], reply: "a")
        world.ack(consumer, first[2], "+TERM", reply: "t")
        world.endTurn()
        #expect(world.taken().map { "\($0.to)\($0.status)" } == ["a", "t"])
        #expect(Set(world.lease(consumer).sequences) == [2, 4])
        #expect(world.parked(consumer).keys.sorted() == ["c"])
    }

    @Test func progressProlongs() throws {
        let world = try world()
        try world.store("s.a")
        let consumer = try world.createKeyed()
        let first = world.lease(consumer)
        world.pass(ms: 700)
        world.ack(consumer, first[0], "+WPI")
        world.pass(ms: 700)
        #expect(world.lease(consumer).isEmpty)
        world.pass(ms: 400)
        #expect(world.lease(consumer).sequences == [1])
    }

    @Test func nextAcksAndTakesAnyReadyKey() throws {
        let world = try world()
        try world.store("s.a", "s.a", "s.b")
        let consumer = try world.createKeyed()
        let first = world.lease(consumer, 1)
        world.interests.append("next")
        world.ack(consumer, first[0], "+NXT", reply: "next")
        world.endTurn()
        #expect(world.taken().map { "\($0.to) \($0.sequence ?? 0)" } == ["next 3"])
        #expect(world.lease(consumer).sequences == [2] && consumer.info().ackFloor.stream == 1)
    }

    @Test func aRestartKeepsOrderAndLeases() throws {
        var world = try world()
        try world.store("s.a", "s.a", "s.b", "s.a", "s.c", "s.c")
        var consumer = try world.createKeyed()
        let first = world.lease(consumer)
        #expect(first.sequences == [1, 3, 5])
        world.ack(consumer, first[0])
        world.ack(consumer, first[2], "-NAK 10s")
        let second = world.lease(consumer)
        #expect(second.sequences == [2])
        world.lists.rewrite()
        world = try world.restarted(afterNs: 100_000_000)
        consumer = try #require(world.registry["c"])
        #expect(consumer.info().pending == 2 && consumer.info().ackPending == 2)
        #expect(world.lease(consumer).isEmpty)
        // An ack from before counts; new leases have sequences of a new block.
        world.ack(consumer, second[0])
        let third = world.lease(consumer)
        #expect(third.sequences == [4])
        let (old, new) = (try #require(second[0].reference?.delivery), try #require(third[0].reference?.delivery))
        #expect(new >> 16 > old >> 16)
        world.pass(ms: 1_100)
        #expect(Set(world.lease(consumer).sequences) == [3, 4])
        world.pass(ms: 9_000)
        #expect(world.lease(consumer).sequences.contains(5))
    }

    @Test func whatWasNotDurableIsLeasedAgainInOrder() throws {
        var world = try world()
        try world.store("s.a", "s.a", "s.a")
        var consumer = try world.createKeyed()
        let first = world.lease(consumer)
        world.ack(consumer, first[0], ends: false)
        world.endTurn(commits: false)
        world = try world.restarted(afterNs: 2_000_000_000)
        consumer = try #require(world.registry["c"])
        world.pass(ms: 10)
        #expect(world.lease(consumer).sequences == [1])
    }

    @Test func sequencesWaitForTheirReservation() throws {
        let world = try world()
        try world.store("s.a")
        var config = ConsumerConfig()
        config.durable = "c"
        config.ackPolicy = .explicit
        config.metadata = ["bellhop.key": "token:2"]
        let checked = try config.checked(pedantic: false, stream: world.config, limits: JetStreamLimits())
        let consumer = world.registry.create(checked)
        world.pull(consumer, #"{"batch":1,"expires":60000000000}"#, ends: false)
        world.endTurn(commits: false)
        #expect(world.taken().isEmpty)
        world.commitJournal()
        world.endTurn()
        #expect(world.taken().sequences == [1])
    }

    @Test func moreThanOneForAKeyIfAsked() throws {
        let world = try world()
        try world.store("s.a", "s.a", "s.a", "s.a", "s.a", "s.b")
        let consumer = try world.createKeyed("c", ["bellhop.max_pending_per_key": "3"])
        let first = world.lease(consumer)
        #expect(first.sequences == [1, 2, 3, 6])
        world.ack(consumer, first[1])
        #expect(world.lease(consumer).sequences == [4])
        world.ack(consumer, first[0])
        world.ack(consumer, first[2])
        #expect(world.lease(consumer).sequences == [5])
        let again = try world.restarted(afterNs: 2_000_000_000)
        let recovered = try #require(again.registry["c"])
        again.pass(ms: 10)
        #expect(Set(again.lease(recovered).sequences) == [4, 5, 6])
    }

    @Test func oneHotKeyHoldsUpNobody() throws {
        let world = try world()
        for _ in 0..<50_000 { try world.append("s.hot") }
        for key in 0..<10 { try world.append("s.k\(key)") }
        world.commitLog()
        let consumer = try world.createKeyed()
        world.pull(consumer, #"{"batch":100,"expires":60000000000}"#)
        world.pass(ms: 10)
        #expect(world.taken().count == 11)
        // Its backlog costs the consumer one entry.
        #expect(consumer.keyed?.table.count == 11)
    }

    @Test func aLongBacklogTakesItsTurn() throws {
        let world = try world()
        for _ in 0..<20 { try world.append("s.hot") }
        for key in 0..<20 { try world.append("s.k\(key)") }
        world.commitLog()
        let consumer = try world.createKeyed()
        var order: [UInt64] = []
        for _ in 0..<22 {
            for delivery in world.lease(consumer, 1) {
                order.append(delivery.sequence ?? 0)
                world.ack(consumer, delivery)
            }
        }
        #expect(order == [1] + (21...40) + [2])
    }
}
