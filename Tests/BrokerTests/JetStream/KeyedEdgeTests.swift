// Keyed consumers where rules meet: restarts, updates and acks at moments that suit nobody.

import Testing
import Wire

@testable import Broker

@Suite struct KeyedEdgeTests {
    private func world() throws -> ConsumerFixture {
        let world = try ConsumerFixture()
        world.subscribe("$BELLHOP.>")
        return world
    }

    /// More messages than one turn reads into the index of keys: two bookings, of which `a` holds the first lease.
    private func longWorld() throws -> (ConsumerFixture, Consumer, Sent) {
        let world = try world()
        for number in 0..<40_000 { try world.append(number == 39_000 ? "s.a" : "s.b") }
        world.commitLog()
        let consumer = try world.createKeyed("c", ["bellhop.release_on_disconnect": "true"]) { config in
            config.deliverPolicy = .byStartSequence
            config.startSequence = 39_001
            config.maxDeliver = 1
        }
        let lease = try #require(world.lease(consumer, 1, client: 7).first)
        #expect(lease.sequence == 39_001)
        return (world, consumer, lease)
    }

    private func turn(_ world: ConsumerFixture, until isDone: () -> Bool) {
        for _ in 0..<100 where !isDone() { world.endTurn() }
        #expect(isDone())
    }

    @Test func acksCountThatComeWhileTheIndexIsReadAnew() throws {
        let (world, consumer, lease) = try longWorld()
        let keyed = try #require(consumer.keyed)
        // It begins further down: the index is read anew, a piece in each turn.
        let other = try world.createKeyed("d")
        #expect(other.keyed?.index === keyed.index && !keyed.isReady)
        world.ack(consumer, lease, reply: "r", ends: false)
        var isAnswered = false
        turn(world) {
            isAnswered = isAnswered || world.taken().contains { $0.to == "r" && $0.headers.isEmpty }
            return isAnswered
        }
        world.pass(ms: 2_000)
        #expect(keyed.isReady && keyed.parkedKeys == 0 && keyed.table.find(39_001) == OutstandingTable.none)
    }

    @Test func leasesEndWithTheirConnectionWhileTheIndexIsReadAnew() throws {
        let (world, consumer, _) = try longWorld()
        let keyed = try #require(consumer.keyed)
        _ = try world.createKeyed("d")
        #expect(!keyed.isReady)
        keyed.clientClosed(7)
        turn(world) { keyed.isReady }
        world.pass(ms: 1)
        #expect(world.parked(consumer).keys.sorted() == ["a"])
    }

    @Test func aRestartDoesNotLeaseBeyondMaxDeliver() throws {
        let before = try world()
        try before.store("s.a", "s.b")
        let consumer = try before.createKeyed("c", ["bellhop.release_on_disconnect": "true"]) { $0.maxDeliver = 1 }
        #expect(before.lease(consumer).sequences == [1, 2])
        let world = try before.restarted()
        let recovered = try #require(world.registry["c"])
        world.pass(ms: 1)
        #expect(world.lease(recovered).isEmpty)
        #expect(world.parked(recovered).keys.sorted() == ["a", "b"])
    }

    @Test func maxDeliverMayBeLowered() throws {
        let world = try world()
        try world.store("s.a")
        let consumer = try world.createKeyed { $0.maxDeliver = 5 }
        for _ in 0..<3 { world.ack(consumer, try #require(world.lease(consumer).first), "-NAK") }
        var config = consumer.config
        config.maxDeliver = 2
        consumer.update(config)
        #expect(world.lease(consumer).isEmpty)
        #expect(world.parked(consumer).keys.sorted() == ["a"])
    }

    @Test func aLeaseThatWasOvertakenIsStaleWhenTheMessageIsDone() throws {
        let world = try world()
        try world.store("s.a")
        let consumer = try world.createKeyed()
        let first = try #require(world.lease(consumer).first)
        world.pass(ms: 1_100)
        let second = try #require(world.lease(consumer).first)
        world.ack(consumer, second)
        world.endTurn()
        for body in ["", "+NXT", "-NAK", "+WPI", "+TERM"] {
            world.ack(consumer, first, body, reply: "r")
            world.endTurn()
            #expect(world.taken().filter { $0.to == "r" }.map(\.status) == ["503 Stale Ack"], "\(body)")
        }
        world.ack(consumer, second, reply: "r")
        world.endTurn()
        #expect(world.taken().filter { $0.to == "r" }.map(\.headers) == [""])
    }

    @Test func whatItsClientTerminatedStaysParked() throws {
        let world = try world()
        try world.store("s.a")
        let consumer = try world.createKeyed()
        let lease = try #require(world.lease(consumer).first)
        world.park(consumer, lease)
        world.ack(consumer, lease, reply: "r")
        world.endTurn()
        #expect(world.taken().filter { $0.to == "r" }.map(\.status) == ["503 Stale Ack"])
        world.ack(consumer, lease, "+TERM", reply: "r")
        world.endTurn()
        #expect(world.taken().filter { $0.to == "r" }.map(\.headers) == [""])
        #expect(world.parked(consumer).keys.sorted() == ["a"])
    }

    @Test func messagesWithoutAKeyOpenTheCircuitToo() throws {
        let world = try world()
        for _ in 0..<10 { try world.append("s") }
        let consumer = try world.createKeyed("c", ["bellhop.park_circuit": "0.5/60s"]) { $0.maxAckPending = 5 }
        world.commitLog()
        for delivery in world.lease(consumer) { world.ack(consumer, delivery, "+TERM") }
        world.endTurn()
        #expect(world.lease(consumer).isEmpty)
        #expect(world.command(consumer, .info).object?["paused"]?.string == "park_circuit")
    }

    @Test func reasonsAndActorsHaveALimit() throws {
        let world = try world()
        try world.store("s.a")
        let consumer = try world.createKeyed()
        _ = world.lease(consumer)
        let long = String(repeating: "x", count: 1_025)
        for body in [#"{"key":"a","reason":"\#(long)"}"#, #"{"key":"a","actor":"\#(long)"}"#] {
            #expect(world.errorCode(world.command(consumer, .park, body)) == 20_001)
        }
        let fits = String(repeating: "x", count: 1_024)
        #expect(world.errorCode(world.command(consumer, .park, #"{"key":"a","reason":"\#(fits)","actor":"\#(fits)"}"#)) == nil)
    }

    @Test func slotsOfAnEmptiedTableAreKnownToBeGone() {
        var table = OutstandingTable()
        let slots = (1...40_000).map { table.insert(UInt64($0), 0) }
        #expect(slots.allSatisfy { table.isUsed($0) })
        for slot in slots { table.remove(slot) }
        #expect(table.count == 0 && slots.allSatisfy { !table.isUsed($0) })
        let again = table.insert(7, 0)
        #expect(table.isUsed(again) && table.find(7) == again)
    }
}
