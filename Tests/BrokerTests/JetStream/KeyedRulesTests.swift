// Keyed consumers: one test for each rule of metadata, filters, removals, retention and acks.

import Testing
import Wire

@testable import Broker

@Suite struct KeyedRulesTests {
    private func world(_ change: (inout StreamConfig) -> Void = { _ in }) throws -> ConsumerFixture {
        let world = try ConsumerFixture(change)
        world.subscribe("$BELLHOP.>")
        return world
    }

    private func refusal(_ change: (inout ConsumerConfig) -> Void) -> APIError? {
        do {
            let world = try world()
            _ = try world.createKeyed("c") { change(&$0) }
            return nil
        } catch { return error as? APIError }
    }

    // MARK: Metadata

    @Test(arguments: [
        ["bellhop.key": "token:0"], ["bellhop.key": "token:x"], ["bellhop.key": "subject"], ["bellhop.key": "header:"],
        ["bellhop.key": "header:a b"], ["bellhop.unknown": "1"], ["bellhop.on_max_deliver": "drop"],
        ["bellhop.park_retention": "keep"], ["bellhop.max_parked_keys": "0"], ["bellhop.max_parked_keys": "-1"],
        ["bellhop.max_parked_bytes": "1GB"], ["bellhop.max_pending_per_key": "0"], ["bellhop.park_circuit": "2/60s"],
        ["bellhop.park_circuit": "0.5"], ["bellhop.park_circuit": "0.5/60"], ["bellhop.key_affinity": "yes"],
        ["bellhop.release_on_disconnect": "1"],
    ]) func badMetadataIsRefused(metadata: [String: String]) {
        let error = refusal { $0.metadata.merge(metadata) { $1 } }
        #expect(error?.errorCode == 10012, "\(metadata)")
    }

    @Test func othersWithoutAKeyAreRefused() {
        let error = refusal { $0.metadata = ["bellhop.max_parked_keys": "1"] }
        #expect(error?.errorCode == 10012)
    }

    @Test func whatDoesNotGoTogetherIsRefused() {
        let changes: [(String, (inout ConsumerConfig) -> Void)] = [
            ("requires explicit ack", { $0.ackPolicy = .none }), ("requires explicit ack", { $0.ackPolicy = .all }),
            ("requires explicit ack", { $0.ackPolicy = .flowControl }),
            ("has to be a pull consumer", { $0.deliverSubject = "push" }),
            ("can not replay original", { $0.replayPolicy = .original }),
            ("can not be direct", { $0.direct = true }), ("can not be sourcing", { $0.sourcing = true }),
            (
                "has either sticky affinity or a priority group",
                {
                    $0.metadata["bellhop.key_affinity"] = "sticky"
                    $0.priorityGroups = ["g"]
                    $0.priorityPolicy = .overflow
                }
            ),
        ]
        for (words, change) in changes {
            let error = refusal(change)
            #expect(error?.errorCode == 10012 && error?.description == "bellhop: a consumer with a key " + words)
        }
        // Each of the two alone.
        #expect(refusal { $0.metadata["bellhop.key_affinity"] = "sticky" } == nil)
        #expect(
            refusal {
                $0.priorityGroups = ["g"]
                $0.priorityPolicy = .overflow
            } == nil)
    }

    @Test func repliesTellTheLevel() throws {
        let world = try world()
        let consumer = try world.createKeyed()
        #expect(consumer.config.metadata["bellhop.level"] == nil)
        #expect(consumer.info().config?.metadata["bellhop.level"] == "1")
        #expect(consumer.info().config?.metadata["bellhop.durable"] == nil)
        var asked = consumer.config
        asked.metadata["bellhop.level"] = "7"
        asked.metadata["bellhop.durable"] = "false"
        #expect(asked.isSame(as: consumer.config))
        let plain = try world.create("plain")
        #expect(plain.info().config?.metadata["bellhop.level"] == nil)
        let memory = try world.createKeyed("m") { $0.memoryStorage = true }
        #expect(memory.info().config?.metadata["bellhop.durable"] == "false")
    }

    // MARK: Filters

    @Test func oneKeySpaceForAllFilters() throws {
        let world = try world()
        try world.store("s.k.x", "s.k.y", "s.k.z", "s.k.x")
        let consumer = try world.createKeyed("c") { $0.filterSubjects = ["s.*.x", "s.*.y"] }
        let first = world.lease(consumer)
        #expect(first.sequences == [1])
        world.ack(consumer, first[0])
        let second = world.lease(consumer)
        #expect(second.sequences == [2])
        world.ack(consumer, second[0])
        #expect(world.lease(consumer).sequences == [4])
    }

    @Test func aFilterUpdateDropsWhatWaits() throws {
        let world = try world()
        try world.store("s.a.x", "s.a.y", "s.a.x", "s.b.y", "s.c.y", "s.c.x")
        let consumer = try world.createKeyed()
        let first = world.lease(consumer)
        #expect(first.sequences == [1, 4, 5])
        world.ack(consumer, first[1], "-NAK 1h")
        world.ack(consumer, first[2], "-NAK")
        try world.update(consumer) { $0.filterSubjects = ["s.*.x"] }
        world.endTurn()
        // b has nothing left; c goes on with what matches; the lease of a finishes.
        #expect(world.lease(consumer).sequences == [6])
        world.ack(consumer, first[0])
        #expect(world.lease(consumer).sequences == [3])
        #expect(consumer.info().pending == 0)
    }

    // MARK: Removed

    @Test func removedWhileItWaits() throws {
        let world = try world()
        try world.store("s.a", "s.a", "s.a", "s.b")
        let consumer = try world.createKeyed()
        let first = world.lease(consumer)
        _ = try world.log.remove(2, erases: false)
        #expect(consumer.info().pending == 1)
        world.ack(consumer, first[1], "-NAK 1h")
        _ = try world.log.remove(4, erases: false)
        world.ack(consumer, first[0])
        #expect(world.lease(consumer).sequences == [3])
        #expect(consumer.keyed?.table.count == 1)
    }

    @Test func removedWhileItIsLeased() throws {
        let world = try world()
        try world.store("s.a", "s.a", "s.b", "s.b")
        let consumer = try world.createKeyed("c") { $0.maxDeliver = 1 }
        let first = world.lease(consumer)
        _ = try world.log.remove(1, erases: false)
        _ = try world.log.remove(3, erases: false)
        world.endTurn()
        // The worker still works: the next waits for its ack, or for the ack wait.
        #expect(world.lease(consumer).isEmpty)
        world.ack(consumer, first[0])
        #expect(world.lease(consumer).sequences == [2])
        world.pass(ms: 500)
        #expect(world.lease(consumer).isEmpty)
        world.pass(ms: 600)
        #expect(world.lease(consumer).sequences == [4])
        #expect(Set(world.parked(consumer).keys).isSubset(of: ["a"]))
    }

    @Test func anExplicitRemovalEndsAPark() throws {
        let world = try world()
        try world.store("s.a", "s.a")
        let consumer = try world.createKeyed()
        world.park(consumer, world.lease(consumer)[0])
        #expect(world.lease(consumer).isEmpty && world.parked(consumer).count == 1)
        _ = world.taken()
        _ = try world.log.remove(1, erases: false)
        world.endTurn()
        world.endTurn()
        #expect(world.taken().contains { $0.to == "$BELLHOP.ADVISORY.PARK_ENDED.S.c" && $0.payload.contains("removed") })
        #expect(world.lease(consumer).sequences == [2] && world.parked(consumer).isEmpty)
    }

    @Test func whatLeftDuringARestart() throws {
        var world = try world()
        try world.store("s.a", "s.a", "s.b", "s.b")
        let consumer = try world.createKeyed()
        world.park(consumer, world.lease(consumer)[0])
        for sequence in [1, 3] as [UInt64] { _ = try world.log.remove(sequence, erases: false) }
        world.commitLog()
        // The journal knows nothing of it: it had no turn any more.
        world = try world.restarted(afterNs: 100_000_000)
        let recovered = try #require(world.registry["c"])
        world.endTurn()
        #expect(world.lease(recovered).sequences == [2])
        world.pass(ms: 1_100)
        #expect(Set(world.lease(recovered).sequences) == [2, 4])
    }

    // MARK: Max deliver, term, nak

    @Test func exhaustedMessagesPark() throws {
        let world = try world()
        try world.store("s.a", "s.a", "s.b")
        let consumer = try world.createKeyed("c") { $0.maxDeliver = 2 }
        for _ in 0..<2 {
            let sent = world.lease(consumer)
            for delivery in sent where delivery.sequence == 3 { world.ack(consumer, delivery) }
            world.pass(ms: 1_100)
        }
        let dead = world.taken().filter { $0.to == "$BELLHOP.DLQ.S.c.YQ" }
        #expect(dead.count == 1 && dead[0].payload.contains(#""reason":"max_deliver""#))
        #expect(dead[0].payload.contains(#""stream_seq":1"#) && dead[0].payload.contains(#""deliveries":2"#))
        #expect(world.lease(consumer).isEmpty)
        #expect(consumer.info().ackPending == 0 && consumer.info().ackFloor.stream == 0)
    }

    @Test func skipGoesOn() throws {
        let world = try world { $0.retention = .workqueue }
        try world.store("s.a", "s.a", "s.a")
        let consumer = try world.createKeyed("c", ["bellhop.on_max_deliver": "skip"]) { $0.maxDeliver = 1 }
        _ = world.lease(consumer)
        world.pass(ms: 1_100)
        #expect(!world.log.contains(1))
        let second = world.lease(consumer)
        #expect(second.sequences == [2])
        world.ack(consumer, second[0], "+TERM bad", reply: "t")
        world.endTurn()
        #expect(world.taken().contains { $0.to == "t" && $0.headers.isEmpty })
        #expect(world.lease(consumer).sequences == [3] && !world.log.contains(2) && world.parked(consumer).isEmpty)
    }

    @Test func withoutMaxDeliverOnlyTermParks() throws {
        let world = try world()
        try world.store("s.a")
        let consumer = try world.createKeyed()
        for delivery in 1...20 {
            let sent = world.lease(consumer)
            #expect(sent.first?.reference?.deliveries == UInt64(delivery))
            world.pass(ms: 1_100)
        }
        world.ack(consumer, world.lease(consumer)[0], "+TERM")
        world.endTurn()
        #expect(world.parked(consumer).count == 1)
    }

    /// Clients compare the count of deliveries, so that a retry begins anew; the record keeps the total.
    @Test func aRetryCountsAnewAndTheRecordKeepsTheTotal() throws {
        var world = try world()
        try world.store("s.a")
        var consumer = try world.createKeyed("c") { $0.maxDeliver = 2 }
        for _ in 0..<2 {
            _ = world.lease(consumer)
            world.pass(ms: 1_100)
        }
        for (rewrites, total) in [(false, 4), (true, 6)] {
            let body = #"{"key":"a","version":\#(try #require(world.parked(consumer)["a"]))}"#
            #expect(world.errorCode(world.command(consumer, .retry, body)) == nil)
            _ = world.taken()
            for delivery in 1...2 as ClosedRange<UInt64> {
                #expect(world.lease(consumer).first?.reference?.deliveries == delivery)
                world.pass(ms: 1_100)
            }
            #expect(world.taken().contains { $0.to == "$BELLHOP.DLQ.S.c.YQ" && $0.payload.contains("\"deliveries\":\(total)") })
            if rewrites { world.lists.rewrite() }
            world.endTurn()
            world = try world.restarted()
            consumer = try #require(world.registry["c"])
            let listed = world.command(consumer, .list)["keys"]?.array?.first
            #expect(listed?["deliveries"]?.int == total && listed?["state"]?.string == "parked")
        }
    }

    @Test func termIsAnsweredWhenTheParkIsDurable() throws {
        let world = try world()
        try world.store("s.a")
        let consumer = try world.createKeyed()
        let first = world.lease(consumer)
        world.ack(consumer, first[0], "+TERM", reply: "t", ends: false)
        world.endTurn(commits: false)
        #expect(!world.taken().contains { $0.to == "t" || $0.to.hasPrefix("$BELLHOP.DLQ") })
        #expect(consumer.keyed?.table.count(.parked) == 0)
        world.commitJournal()
        let sent = world.taken()
        #expect(sent.contains { $0.to == "t" } && sent.contains { $0.to.hasPrefix("$BELLHOP.DLQ") })
        #expect(consumer.keyed?.table.count(.parked) == 1)
    }

    @Test func aDelayedNakCountsAnAttempt() throws {
        let world = try world()
        try world.store("s.a")
        let consumer = try world.createKeyed("c") { $0.maxDeliver = 2 }
        world.ack(consumer, world.lease(consumer)[0], "-NAK 100ms")
        world.pass(ms: 150)
        world.ack(consumer, world.lease(consumer)[0], "-NAK 100ms")
        world.endTurn()
        #expect(world.parked(consumer).count == 1)
    }

    @Test func blockedKeysTakeNoSlot() throws {
        let world = try world()
        for key in 0..<6 { try world.append("s.k\(key)") }
        world.commitLog()
        let consumer = try world.createKeyed("c") { $0.maxAckPending = 2 }
        let first = world.lease(consumer)
        #expect(first.count == 2)
        world.ack(consumer, first[0], "-NAK 1h")
        world.park(consumer, first[1])
        let second = world.lease(consumer)
        #expect(second.count == 2)
        world.ack(consumer, second[0])
        // A redelivery needs a free slot, too.
        world.pass(ms: 1_100)
        #expect(world.lease(consumer).count == 2 && world.lease(consumer).isEmpty)
    }

    // MARK: Work queue and interest

    @Test func workQueuesKeepWhatIsParkedOrWaits() throws {
        let world = try world { $0.retention = .workqueue }
        try world.store("s.a", "s.a", "s.b")
        let consumer = try world.createKeyed()
        let first = world.lease(consumer)
        world.park(consumer, first[0])
        world.ack(consumer, first[1])
        #expect(world.log.contains(1) && world.log.contains(2) && !world.log.contains(3))
        #expect(consumer.isWaiting(for: 1) && consumer.isWaiting(for: 2))
        let version = try #require(world.parked(consumer)["a"])
        _ = world.command(consumer, .skip, #"{"key":"a","version":\#(version),"reason":"r","actor":"me"}"#)
        #expect(!world.log.contains(1))
        world.ack(consumer, world.lease(consumer)[0])
        #expect(world.log.state.messages == 0)
    }
}
