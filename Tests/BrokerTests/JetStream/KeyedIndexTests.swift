// What the index of keys keeps: while a key is blocked, what waits behind it, and nothing of what passes by.

import Store
import Testing
import Wire

@testable import Broker

@Suite struct KeyedIndexTests {
    /// Ten bookings that are handled, over and over, beside one that is parked with a few events behind it.
    private func parkedBooking(_ events: Int) throws -> (ConsumerFixture, Consumer) {
        let world = try ConsumerFixture()
        let consumer = try world.createKeyed("c") { $0.maxAckPending = 5_000 }
        try world.append("s.poison")
        world.commitLog()
        world.park(consumer, try #require(world.lease(consumer).first))
        for number in 0..<events {
            try world.append(number % 1_000 == 0 ? "s.poison" : "s.k\(number % 10)")
            if number % 1_000 == 999 { finishAll(world, consumer) }
        }
        finishAll(world, consumer)
        return (world, consumer)
    }

    private func finishAll(_ world: ConsumerFixture, _ consumer: Consumer) {
        world.commitLog()
        while true {
            let leases = world.lease(consumer, 1_000)
            if leases.isEmpty { return }
            for delivery in leases { world.ack(consumer, delivery, ends: false) }
            world.endTurn()
            world.endTurn()
        }
    }

    private func drain(_ world: ConsumerFixture, _ consumer: Consumer) -> [UInt64] {
        var found: [UInt64] = []
        while let delivery = world.lease(consumer, 1).first {
            found.append(delivery.sequence ?? 0)
            world.ack(consumer, delivery)
        }
        return found
    }

    private let poison = [1] + (0..<20).map { UInt64($0 * 1_000 + 2) }

    @Test func whatPassesAParkedKeyIsForgotten() throws {
        let (world, consumer) = try parkedBooking(20_000)
        let keyed = try #require(consumer.keyed)
        #expect(keyed.isReady && keyed.table.count == 1 && keyed.floor == 1)
        // Dense, it would take eight bytes for each of 20,000 messages.
        #expect(keyed.index.memory < 40_000, "\(keyed.index.memory) bytes")
        #expect(world.parked(consumer)["poison"] != nil)
        _ = world.command(consumer, .retry, #"{"all":true}"#)
        #expect(drain(world, consumer) == poison)
        #expect(consumer.numPending == 0 && keyed.table.count == 0)
    }

    @Test func aConsumerThatBeginsLaterSeesEverything() throws {
        let (world, first) = try parkedBooking(20_000)
        let second = try world.createKeyed("d") { $0.maxAckPending = 5_000 }
        var bookings: [String: [UInt64]] = [:], count = 0
        // The index begins anew for it, a piece in each turn.
        for _ in 0..<10_000 where count < 20_001 {
            for delivery in world.lease(second, 1_000) {
                bookings[delivery.subject, default: []].append(delivery.sequence ?? 0)
                world.ack(second, delivery, ends: false)
                count += 1
            }
            world.endTurn()
        }
        #expect(count == 20_001 && bookings["s.poison"] == poison)
        for (key, sequences) in bookings { #expect(sequences == sequences.sorted(), "\(key)") }
        _ = world.command(first, .retry, #"{"all":true}"#)
        #expect(drain(world, first) == poison)
    }

    @Test func aRestartFindsWhatWaits() throws {
        let (before, _) = try parkedBooking(20_000)
        let world = try before.restarted()
        let consumer = try #require(world.registry.all.first)
        let keyed = try #require(consumer.keyed)
        for _ in 0..<100 where !keyed.isReady { world.endTurn() }
        #expect(keyed.isReady && consumer.numPending == 20)
        _ = world.command(consumer, .retry, #"{"all":true}"#)
        #expect(drain(world, consumer) == poison)
    }

    @Test func whatIsParkedIsCountedAsItComesAndGoes() throws {
        let (world, consumer) = try parkedBooking(20_000)
        let keyed = try #require(consumer.keyed)
        func sizes(_ sequences: [UInt64]) -> UInt64 { sequences.reduce(0) { $0 + UInt64(world.log.size(of: $1) ?? 0) } }
        #expect(keyed.parked.bytes == sizes(poison) && keyed.pinned.bytes == keyed.parked.bytes && keyed.parked.bytes > 0)
        // One that waits leaves the stream.
        let removed = poison[5]
        #expect(try world.log.remove(removed, erases: false))
        #expect(keyed.parked.bytes == sizes(poison))
        // The parked one is passed over: nothing is parked, and the rest stays pinned until it is handled.
        let version = try #require(world.parked(consumer)["poison"])
        _ = world.command(consumer, .skip, #"{"key":"poison","version":\#(version),"reason":"r","actor":"a"}"#)
        #expect(keyed.parked.bytes == 0 && keyed.pinned.bytes == sizes(Array(poison.dropFirst())))
        let next = try #require(world.lease(consumer, 1).first)
        #expect(next.sequence == poison[1])
        world.park(consumer, next)
        #expect(keyed.parked.bytes == sizes(Array(poison.dropFirst())) && keyed.pinned.bytes == keyed.parked.bytes)
        _ = world.command(consumer, .retry, #"{"all":true}"#)
        #expect(drain(world, consumer) == poison.dropFirst().filter { $0 != removed })
        #expect(keyed.parked.bytes == 0 && keyed.pinned.bytes == 0 && !keyed.hasPins)
    }
}
