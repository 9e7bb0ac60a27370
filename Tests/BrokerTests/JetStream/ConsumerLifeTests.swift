// A consumer's life: idle ones end, paused ones wait, updates and resets take hold, restarts find everything.

import Testing
import Wire

@testable import Broker

@Suite struct ConsumerLifeTests {
    private func filled(_ count: Int, _ change: (inout StreamConfig) -> Void = { _ in }) throws -> ConsumerFixture {
        let world = try ConsumerFixture(change)
        for _ in 0..<count { try world.append("s.a") }
        world.commitLog()
        return world
    }

    // MARK: Inactivity

    @Test func idleEphemeralsEnd() throws {
        let world = try filled(3)
        world.subscribe("$JS.EVENT.ADVISORY.CONSUMER.DELETED.>")
        let pull = try world.create("pull") { $0.durable = "" }
        let push = try world.create("push") {
            $0.durable = ""; $0.deliverSubject = "out"
        }
        let durable = try world.create("durable")
        #expect(pull.config.inactiveThresholdNs == 5_000_000_000)
        world.pass(ms: 4_900)
        world.pull(pull, "1")
        world.pass(ms: 200)
        #expect(world.expired == ["push"])
        // It may still be working on what it was given, for as long as the ack wait says.
        world.pass(ms: 29_000)
        #expect(world.expired == ["push"])
        world.pass(ms: 7_000)
        #expect(world.expired == ["push", "pull"])
        #expect(world.registry.names == ["durable"] && world.events().count == 2)
        _ = (push, durable)
    }

    @Test func interestKeepsAPushConsumer() throws {
        let world = try filled(0)
        world.subscribe("out")
        _ = try world.create("push") {
            $0.durable = ""; $0.deliverSubject = "out"
        }
        world.pass(ms: 60_000)
        #expect(world.expired.isEmpty)
        world.unsubscribe("out")
        world.pass(ms: 4_000)
        world.subscribe("out")
        world.pass(ms: 60_000)
        #expect(world.expired.isEmpty)
        world.unsubscribe("out")
        world.pass(ms: 5_100)
        #expect(world.expired == ["push"])
    }

    @Test func aWaitingRequestKeepsAPullConsumer() throws {
        let world = try filled(0)
        let consumer = try world.create("pull") { $0.durable = "" }
        world.pull(consumer)
        world.pass(ms: 60_000)
        #expect(world.expired.isEmpty)
        world.unsubscribe("inbox")
        world.pass(ms: 13_000)
        #expect(world.expired == ["pull"])
    }

    // MARK: Pause, update, reset

    @Test func pausedConsumersWait() throws {
        let world = try filled(3)
        world.subscribe("$JS.EVENT.ADVISORY.CONSUMER.PAUSE.>")
        let consumer = try world.create()
        world.pull(consumer, "1")
        let sent = world.taken()
        consumer.pause(untilNs: world.now.wallNs + 10_000_000_000)
        #expect(world.events().map(\.payload).first?.contains(#""paused":true,"pause_until":""#) == true)
        world.pull(consumer, "1")
        world.ack(consumer, sent[0])
        #expect(world.taken().isEmpty && consumer.info().ackPending == 0)
        #expect(consumer.info().paused && consumer.info().pauseRemainingNs == 10_000_000_000)
        world.pass(ms: 9_999)
        #expect(world.taken().isEmpty)
        world.pass(ms: 2)
        #expect(world.taken().map(\.sequence) == [2])
        #expect(world.events().map(\.payload).first?.contains(#""paused":false"#) == true && !consumer.info().paused)
        consumer.pause(untilNs: world.now.wallNs + 10_000_000_000)
        world.pull(consumer, "1")
        consumer.pause(untilNs: nil)
        world.endTurn()
        #expect(world.taken().map(\.sequence) == [3])
    }

    @Test func updatesTakeHold() throws {
        let world = try filled(0)
        try world.store("s.a", "s.b", "s.a", "s.b")
        let consumer = try world.create {
            $0.maxAckPending = 1; $0.filterSubject = "s.a"
        }
        world.pull(consumer, "9")
        #expect(world.taken().map(\.sequence) == [1] && consumer.info().pending == 1)
        var config = consumer.config
        config.maxAckPending = 3
        config.filterSubject = "s.b"
        consumer.update(config)
        #expect(consumer.info().pending == 2)
        world.endTurn()
        #expect(world.taken().map(\.sequence) == [2, 4])
        // A shorter ack wait counts from the delivery.
        world.pass(ms: 3_000)
        config.ackWaitNs = 4_000_000_000
        consumer.update(config)
        world.pass(ms: 1_002)
        #expect(world.taken().map(\.sequence) == [1, 2, 4])
    }

    /// An update that leaves out the name of a durable consumer does not make it one that ends when it is idle.
    @Test func durableConsumersStaySo() throws {
        let world = try filled(1)
        let consumer = try world.create { $0.durable = "c" }
        var config = consumer.config
        config.durable = ""
        consumer.update(config)
        world.pass(ms: 20_000)
        #expect(world.registry["c"] != nil && consumer.config.inactiveThresholdNs == 0)
    }

    @Test func resets() throws {
        let world = try filled(5)
        let consumer = try world.create {
            $0.deliverPolicy = .byStartSequence; $0.startSequence = 2
        }
        world.pull(consumer, "3")
        world.ack(consumer, world.taken()[0])
        #expect(throws: APIError.consumerInvalidReset("below start seq")) { try consumer.reset(to: 1) }
        #expect(try consumer.reset(to: 4) == 4)
        #expect(consumer.info().delivered.consumer == 0 && consumer.info().pending == 2 && consumer.info().ackPending == 0)
        world.pull(consumer, "1")
        #expect(world.taken().compactMap(\.reference).map { [$0.sequence, $0.delivery] } == [[4, 1]])
        #expect(try consumer.reset(to: 0) == 4)
        let new = try world.create("new") { $0.deliverPolicy = .new }
        #expect(throws: APIError.consumerInvalidReset("not allowed")) { try new.reset(to: 1) }
    }

    // MARK: Restart

    @Test func aRestartFindsEverything() throws {
        let world = try filled(9)
        let consumer = try world.create {
            $0.maxDeliver = 2; $0.ackWaitNs = 10_000_000_000; $0.description = "kept"
        }
        world.pull(consumer, "6")
        let sent = world.taken()
        world.ack(consumer, sent[0])
        world.ack(consumer, sent[1], "-NAK")
        world.pull(consumer, "1")
        world.ack(consumer, sent[2], "-NAK 20s")
        world.ack(consumer, sent[4])
        world.ack(consumer, world.taken()[0], "-NAK")
        let before = consumer.info()
        #expect(before.ackPending == 3 && before.redelivered == 1)

        let next = try world.restarted(afterNs: 4_000_000_000)
        let again = try #require(next.registry["c"])
        let after = again.info()
        #expect(after.config == before.config && after.createdNs == before.createdNs)
        #expect(after.delivered.consumer == before.delivered.consumer && after.delivered.stream == before.delivered.stream)
        #expect(after.ackFloor.stream == before.ackFloor.stream && after.ackFloor.consumer == before.ackFloor.consumer)
        #expect(after.ackPending == 3 && after.redelivered == 1 && after.pending == 3)
        // 4 and 6 have six seconds left of their ten, 3 sixteen of its twenty.
        next.pull(again, #"{"batch":9,"expires":60000000000}"#)
        #expect(next.taken().map(\.sequence) == [7, 8, 9])
        next.pass(ms: 5_990)
        #expect(next.taken().isEmpty)
        next.pass(ms: 12)
        #expect(next.taken().map(\.sequence) == [4, 6])
        next.pass(ms: 10_010)
        #expect(next.taken().map(\.sequence) == [7, 8, 9, 3])
    }

    /// Where not every commit syncs, a power cut may take more from the log than from the journal. Sequences come again then,
    /// and do not count as delivered, now or after the next restart.
    @Test(arguments: [false, true]) func sequencesThatComeAgainAreDelivered(isKeyed: Bool) throws {
        let before = try ConsumerFixture()
        let first = isKeyed ? try before.createKeyed() : try before.create()
        try before.store("s.a", "s.b", "s.c")
        before.pull(first, "3")
        for delivery in before.taken() { before.ack(first, delivery) }
        before.endTurn()

        // Of the log only the first message is left.
        let after = try ConsumerFixture(journal: before.lists.reopened())
        try after.store("s.a")
        _ = after.registry.recover(after.lists.found)
        after.endTurn()
        try after.store("s.a", "s.b")

        let last = try after.restarted()
        let consumer = try #require(last.registry["c"])
        last.pull(consumer, "3")
        last.endTurn()
        #expect(last.taken().map(\.sequence) == [2, 3])
    }

    @Test func whatWasNotDurableIsDeliveredAgain() throws {
        let world = try filled(3)
        let consumer = try world.create()
        world.pull(consumer, "2", ends: false)
        world.endTurn(commits: false)
        #expect(world.taken().count == 2)
        let next = try world.restarted()
        let info = try #require(next.registry["c"]).info()
        #expect(info.delivered.consumer == 0 && info.pending == 3)
    }

    @Test func aClockThatJumpsMakesNobodyWaitLonger() throws {
        let world = try filled(1)
        let consumer = try world.create { $0.ackWaitNs = 10_000_000_000 }
        world.pull(consumer)
        _ = world.taken()
        // An hour back.
        let next = try world.restarted(afterNs: -3_600_000_000_000)
        let again = try #require(next.registry["c"])
        next.pull(again, #"{"expires":60000000000}"#)
        next.pass(ms: 10_002)
        #expect(next.taken().map(\.sequence) == [1])
    }

    @Test func aRewrittenJournalSaysTheSame() throws {
        let world = try filled(50)
        let consumer = try world.create()
        for _ in 0..<5 {
            world.pull(consumer, "5", ends: false)
            world.endTurn()
            for (index, delivery) in world.taken().enumerated() where index % 2 == 0 {
                world.ack(consumer, delivery, ends: false)
            }
            // In the middle of a turn, with events that no record has yet.
            world.lists.rewrite()
            world.endTurn()
        }
        let before = consumer.info()
        let next = try world.restarted()
        let after = try #require(next.registry["c"]).info()
        #expect(after.ackPending == before.ackPending && after.ackFloor.stream == before.ackFloor.stream)
        #expect(after.delivered.consumer == before.delivered.consumer && after.pending == before.pending)
    }

    @Test func aStartToComeSurvivesARestart() throws {
        let world = try filled(3)
        _ = try world.create {
            $0.deliverPolicy = .byStartSequence
            $0.startSequence = 10
        }
        let next = try world.restarted()
        let consumer = try #require(next.registry["c"])
        #expect(consumer.info().delivered.stream == 9)
        for _ in 0..<8 { try next.store("s.a") }
        next.pull(consumer, "20")
        #expect(next.taken().map(\.sequence) == [10, 11])
    }

    @Test func aStreamThatLostItsEndIsFollowed() throws {
        let world = try filled(3)
        let consumer = try world.create()
        world.pull(consumer, "3")
        _ = world.taken()
        try world.log.skip(to: 3)
        _ = try world.log.remove(2, erases: false)
        world.commitLog()
        world.endTurn()
        let next = try world.restarted()
        let info = try #require(next.registry["c"]).info()
        #expect(info.ackPending == 2 && info.delivered.stream == 3)
    }

    @Test func lastPerSubjectGoesOnAfterARestart() throws {
        let world = try ConsumerFixture()
        try world.store("s.a", "s.b", "s.a", "s.c", "s.b")
        let consumer = try world.create {
            $0.deliverPolicy = .lastPerSubject; $0.filterSubject = "s.*"
        }
        world.pull(consumer, "1")
        #expect(world.taken().map(\.sequence) == [3])
        let next = try world.restarted()
        try next.store("s.a")
        let again = try #require(next.registry["c"])
        #expect(again.info().pending == 3)
        next.pull(again, "9")
        #expect(next.taken().map(\.sequence) == [4, 5, 6])
    }

    @Test func acksOfAWorkqueueEmptyIt() throws {
        let world = try filled(3) { $0.retention = .workqueue }
        let consumer = try world.create()
        world.pull(consumer, "3")
        let sent = world.taken()
        world.ack(consumer, sent[1])
        #expect(world.log.state.messages == 2 && world.log.state.firstSequence == 1)
        world.ack(consumer, sent[0])
        world.ack(consumer, sent[2])
        #expect(world.log.state.messages == 0)
    }
}
