// Keyed consumers from their creation to their end: what lives in memory, what a deletion and a reset leave, what INFO tells.

import Testing
import Wire

@testable import Broker

@Suite struct KeyedLifeTests {
    private func world() throws -> ConsumerFixture {
        let world = try ConsumerFixture()
        world.subscribe("$BELLHOP.>")
        return world
    }

    @Test func memoryConsumersWorkAlike() throws {
        let world = try world()
        try world.store("s.a", "s.a", "s.b")
        let consumer = try world.createKeyed("c") { $0.memoryStorage = true }
        let first = world.lease(consumer)
        #expect(first.sequences == [1, 3])
        world.ack(consumer, first[0])
        world.park(consumer, first[1])
        #expect(world.lease(consumer).sequences == [2])
        #expect(world.parked(consumer).keys.sorted() == ["b"])
        #expect(consumer.info().config?.metadata["bellhop.durable"] == "false")
        // It dies with the server, and its park with it.
        #expect(try world.restarted().registry.names.isEmpty)
    }

    @Test func whatIsDeletedLeavesNothingInTheJournal() throws {
        let world = try world()
        try world.store("s.a", "s.b", "s.b")
        let consumer = try world.createKeyed()
        world.park(consumer, world.lease(consumer)[0])
        world.registry.delete(consumer)
        world.endTurn()
        #expect(try world.restarted().registry.names.isEmpty)
        _ = try world.createKeyed()
        world.endTurn()
        let restarted = try world.restarted()
        let again = try #require(restarted.registry["c"])
        #expect(restarted.parked(again).isEmpty && restarted.lease(again).sequences == [1, 2])
    }

    @Test func oldAcksDoNotMatchARecreatedConsumer() throws {
        let world = try world()
        try world.store("s.a", "s.b", "s.c")
        var consumer = try world.createKeyed()
        let first = world.lease(consumer)
        world.park(consumer, first[1])
        _ = world.taken()
        world.registry.delete(consumer)
        #expect(
            world.taken().contains { $0.to == "$BELLHOP.ADVISORY.PARKS_DROPPED.S.c" && $0.payload.contains(#""parked":1"#) })
        consumer = try world.createKeyed()
        let again = world.lease(consumer)
        #expect(again.sequences == [1, 2, 3])
        world.ack(consumer, first[0], reply: "r")
        world.endTurn()
        #expect(world.taken().filter { $0.to == "r" }.map(\.status) == ["503 Stale Ack"])
        #expect(consumer.info().ackPending == 3)
    }

    @Test func resetIsRefusedWhileKeysAreParked() throws {
        let world = try world()
        try world.store("s.a", "s.a")
        let consumer = try world.createKeyed()
        let first = world.lease(consumer)
        world.park(consumer, first[0])
        #expect(throws: APIError.self) { try consumer.reset(to: 0) }
        _ = try consumer.reset(to: 1)
        world.endTurn()
        #expect(world.parked(consumer).isEmpty)
        let again = world.lease(consumer)
        #expect(again.sequences == [1])
        world.ack(consumer, first[0], reply: "r")
        world.endTurn()
        #expect(world.taken().filter { $0.to == "r" }.map(\.status) == ["503 Stale Ack"])
    }

    @Test func infoHasJetStreamsFields() throws {
        let world = try world()
        try world.store("s.a", "s.a", "s.b", "s.c", "s.d")
        let consumer = try world.createKeyed()
        let first = world.lease(consumer)
        #expect(first.sequences == [1, 3, 4, 5])
        world.ack(consumer, first[0])
        world.ack(consumer, first[1], "-NAK 1h")
        world.park(consumer, first[2])
        let info = consumer.info()
        #expect(info.pending == 1 && info.ackPending == 1 && info.redelivered == 1)
        #expect(info.delivered.stream == 5 && info.ackFloor.stream == 1)
        let reply = world.command(consumer, .info).object
        #expect(reply?["parked"]?.int64 == 1 && reply?["backoff"]?.int64 == 1 && reply?["blocked"]?.int64 == 2)
    }

    @Test func theOldestParkHasAnAge() throws {
        var world = try world()
        try world.store("s.a", "s.a", "s.b")
        var consumer = try world.createKeyed("c") { $0.ackWaitNs = 60_000_000_000 }
        func age() -> Int? { world.command(consumer, .info)["oldest_park_age"]?.int.map { $0 / 1_000_000_000 } }
        let first = world.lease(consumer)
        #expect(age() == 0)
        world.park(consumer, first[0])
        world.pass(ms: 5_000)
        world.park(consumer, first[1])
        world.pass(ms: 3_000)
        #expect(age() == 8 && world.command(consumer, .info)["waiting"]?.int == 1)
        world = try world.restarted(afterNs: 10_000_000_000)
        consumer = try #require(world.registry["c"])
        #expect(age() == 18)
        let version = try #require(world.parked(consumer)["a"])
        _ = world.command(consumer, .retry, #"{"key":"a","version":\#(version)}"#)
        #expect(age() == 13)
    }
}
