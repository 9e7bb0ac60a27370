// Push consumers: interest, heartbeats, flow control, rate, and the pace of the past.

import Testing
import Wire

@testable import Broker

@Suite struct ConsumerPushTests {
    private func push(_ world: ConsumerFixture, _ change: (inout ConsumerConfig) -> Void = { _ in }) throws -> Consumer {
        try world.create("c") {
            $0.deliverSubject = "out"
            change(&$0)
        }
    }

    @Test func deliversWhileSomebodyListens() throws {
        let world = try ConsumerFixture()
        try world.store("s.a", "s.b")
        let consumer = try push(world)
        #expect(world.taken().isEmpty && !consumer.info().pushBound)
        world.subscribe("out")
        world.endTurn()
        let sent = world.taken()
        #expect(sent.map(\.sequence) == [1, 2] && sent.allSatisfy { $0.to == "out" } && sent.map(\.subject) == ["s.a", "s.b"])
        #expect(consumer.info().pushBound)
        world.unsubscribe("out")
        try world.store("s.c")
        world.endTurn()
        #expect(world.taken().isEmpty && !consumer.info().pushBound && consumer.info().pending == 1)
        world.subscribe("out")
        world.endTurn()
        #expect(world.taken().map(\.sequence) == [3])
    }

    @Test func waitsForAFullSocket() throws {
        let world = try ConsumerFixture()
        world.subscribe("out")
        let consumer = try push(world) { $0.ackPolicy = .none }
        world.isCongested = true
        try world.store("s.a", "s.b")
        world.endTurn()
        world.pass(ms: 500)
        #expect(world.taken().isEmpty && consumer.info().pending == 2)
        world.isCongested = false
        world.pass(ms: 64)
        #expect(world.taken().map(\.sequence) == [1, 2] && consumer.nextDeadlineNs == nil)
    }

    @Test func deliversToAGroup() throws {
        let world = try ConsumerFixture()
        world.subscribe("out")
        _ = try push(world) { $0.deliverGroup = "workers" }
        try world.store("s.a")
        world.endTurn()
        #expect(world.taken().map(\.queue) == ["workers"])
    }

    @Test func heartbeatsWhenIdle() throws {
        let world = try ConsumerFixture()
        world.subscribe("out")
        let consumer = try push(world) {
            $0.heartbeatNs = 1_000_000_000; $0.ackPolicy = .none
        }
        world.pass(ms: 900)
        try world.store("s.a")
        world.endTurn()
        #expect(world.taken().count == 1)
        world.pass(ms: 900)
        #expect(world.taken().isEmpty)
        world.pass(ms: 101)
        #expect(
            world.taken().map(\.headers) == [
                "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 1\r\nNats-Last-Stream: 1\r\n\r\n"
            ])
        world.unsubscribe("out")
        world.pass(ms: 5_000)
        #expect(world.taken().isEmpty)
        _ = consumer
    }

    @Test func flowControlHoldsBackAndGrows() throws {
        let world = try ConsumerFixture()
        world.subscribe("out")
        let payload = String(repeating: "x", count: 100_000)
        for _ in 0..<60 { try world.append("s.a", payload: payload) }
        world.commitLog()
        let consumer = try push(world) {
            $0.flowControl = true; $0.heartbeatNs = 5_000_000_000; $0.ackPolicy = .none
        }
        world.pass(ms: 1)
        var sent = world.taken()
        // One question in the middle of the first window of 2 MiB, then nothing beyond its end.
        let questions = sent.filter { $0.status == "100 FlowControl Request" }
        #expect(questions.count == 1 && questions[0].to == "out")
        #expect(questions[0].reply.hasPrefix("$JS.FC.S.c.") && questions[0].reply.utf8.count == "$JS.FC.S.c.".utf8.count + 4)
        #expect(sent.count { $0.sequence != nil } == 21)
        world.pass(ms: 5_000)
        sent = world.taken()
        #expect(sent.count == 1 && sent[0].header("Nats-Consumer-Stalled") == questions[0].reply)
        // An old answer does nothing; the right one doubles the window.
        world.send("", to: "$JS.FC.S.c.xxxx") { consumer.receive(flowControl: $0) }
        world.endTurn()
        #expect(world.taken().isEmpty)
        world.send("", to: questions[0].reply) { consumer.receive(flowControl: $0) }
        world.endTurn()
        world.pass(ms: 1)
        sent = world.taken()
        #expect(sent.count { $0.sequence != nil } >= 20 && consumer.flow?.windowBytes == 4 << 20)
    }

    @Test func acksByFlowControl() throws {
        let world = try ConsumerFixture()
        world.subscribe("out")
        let consumer = try push(world) {
            $0.ackPolicy = .flowControl; $0.maxAckPending = 2
        }
        try world.store("s.a", "s.a", "s.a")
        world.endTurn()
        let sent = world.taken()
        let question = try #require(sent.last)
        #expect(sent.map(\.sequence) == [1, 2, nil] && question.status == "100 FlowControl Request")
        world.send(
            "", headers: "NATS/1.0\r\nNats-Last-Consumer: 2\r\nNats-Last-Stream: 2\r\n\r\n", to: question.reply
        ) { consumer.receive(flowControl: $0) }
        world.endTurn()
        #expect(world.taken().map(\.sequence) == [3])
        #expect(consumer.info().ackFloor.stream == 2 && consumer.info().ackPending == 1)
    }

    @Test func keepsToItsRate() throws {
        let world = try ConsumerFixture { $0.maxMessageBytes = 1_000 }
        world.subscribe("out")
        for _ in 0..<20 { try world.append("s.a", payload: String(repeating: "x", count: 900)) }
        world.commitLog()
        // 10,000 bytes a second.
        _ = try push(world) { $0.rateLimitBitsPerSecond = 80_000 }
        #expect(world.taken().count == 1)
        world.pass(ms: 1_000)
        let count = world.taken().count
        #expect(count >= 9 && count <= 11)
    }

    /// Who listens no more is not waited for either.
    @Test func theRateIsForgottenWithTheListener() throws {
        let world = try ConsumerFixture { $0.maxMessageBytes = 1_000 }
        world.subscribe("out")
        for _ in 0..<5 { try world.append("s.a", payload: String(repeating: "x", count: 900)) }
        world.commitLog()
        let consumer = try push(world) { $0.rateLimitBitsPerSecond = 80_000 }
        #expect(consumer.nextDeadlineNs != nil)
        world.unsubscribe("out")
        world.pass(ms: 10_000)
        #expect(consumer.nextDeadlineNs.map { $0 > world.now.monotonicNs } ?? true)
    }

    @Test func replaysAtTheOldPace() throws {
        let world = try ConsumerFixture()
        for gap in [0, 500, 1_000] as [Int64] {
            world.pass(ms: gap)
            try world.store("s.a")
        }
        world.subscribe("out")
        _ = try push(world) { $0.replayPolicy = .original }
        #expect(world.taken().map(\.sequence) == [1])
        world.pass(ms: 499)
        #expect(world.taken().isEmpty)
        world.pass(ms: 2)
        #expect(world.taken().map(\.sequence) == [2])
        world.pass(ms: 1_001)
        #expect(world.taken().map(\.sequence) == [3])
        // Behind what was there at first it is a consumer as any other.
        world.pass(ms: 10_000)
        try world.store("s.a", "s.a")
        world.endTurn()
        #expect(world.taken().map(\.sequence) == [4, 5])
    }

    @Test func anotherSubjectGetsWhatIsPending() throws {
        let world = try ConsumerFixture()
        world.subscribe("out")
        let consumer = try push(world)
        try world.store("s.a", "s.b")
        world.endTurn()
        _ = world.taken()
        world.unsubscribe("out")
        world.subscribe("new")
        var config = consumer.config
        config.deliverSubject = "new"
        consumer.update(config)
        world.endTurn()
        #expect(world.taken().map { "\($0.to) \($0.sequence ?? 0)" } == ["new 1", "new 2"])
    }

    /// What stock clients make: they expect consumer sequences without a gap from 1 on.
    @Test func orderedConsumers() throws {
        let world = try ConsumerFixture()
        world.subscribe("out")
        try world.store("s.a", "s.b", "s.c")
        let consumer = try push(world) {
            $0.durable = ""
            $0.ackPolicy = .none
            $0.maxDeliver = 1
            $0.memoryStorage = true
            $0.flowControl = true
            $0.heartbeatNs = 5_000_000_000
            $0.deliverPolicy = .byStartSequence
            $0.startSequence = 2
            $0.replicas = 1
        }
        try world.store("s.a")
        world.endTurn()
        #expect(world.taken().compactMap(\.reference?.delivery) == [1, 2, 3])
        #expect(consumer.journalID == nil && world.lists.live.isEmpty)
    }
}
