// Which messages a consumer delivers, in what order, and what it says of those that are left.

import Testing
import Wire

@testable import Broker

@Suite struct ConsumerDeliveryTests {
    @Test func deliversInOrderAndCountsWhatIsLeft() throws {
        let world = try ConsumerFixture()
        try world.store("s.a", "s.b", "s.a")
        let consumer = try world.create()
        #expect(consumer.info().pending == 3)
        #expect(consumer.info().delivered.stream == 0 && consumer.info().ackFloor.stream == 0)
        world.pull(consumer, "2")
        let sent = world.taken()
        let time = ConsumerFixture.startWallNs
        #expect(sent.map(\.reply) == ["$JS.ACK.S.c.1.1.1.\(time).2", "$JS.ACK.S.c.1.2.2.\(time).1"])
        #expect(sent.map(\.subject) == ["s.a", "s.b"] && sent.allSatisfy { $0.to == "inbox" && $0.payload == "hello" })
        #expect(consumer.info().pending == 1 && consumer.info().ackPending == 2)
        #expect(consumer.info().delivered.consumer == 2 && consumer.info().delivered.stream == 2)
    }

    @Test func waitsForWhatIsNotThereYet() throws {
        let world = try ConsumerFixture()
        let consumer = try world.create()
        world.pull(consumer, #"{"batch":2,"expires":60000000000}"#)
        #expect(world.taken().isEmpty)
        try world.append("s.a")
        world.endTurn()
        // Stored, but a crash could still take it back.
        #expect(world.taken().isEmpty && consumer.info().pending == 0)
        world.commitLog()
        world.endTurn()
        #expect(world.taken().map(\.sequence) == [1])
        try world.store("s.b")
        world.endTurn()
        #expect(world.taken().map(\.sequence) == [2])
        try world.store("s.c")
        world.endTurn()
        #expect(world.taken().isEmpty && consumer.info().pending == 1 && consumer.info().waiting == 0)
    }

    @Test func startsByPolicy() throws {
        let world = try ConsumerFixture()
        for index in 0..<10 {
            try world.store(index % 2 == 0 ? "s.even" : "s.odd")
            world.pass(ms: 1_000)
        }
        func start(_ change: (inout ConsumerConfig) -> Void) throws -> (first: UInt64?, pending: UInt64, delivered: UInt64) {
            let consumer = try world.create("c\(world.registry.count)", change)
            let info = consumer.info()
            world.pull(consumer, #"{"batch":1,"no_wait":true}"#)
            return (world.taken().first?.sequence, info.pending, info.delivered.stream)
        }
        #expect(try start { $0.deliverPolicy = .all } == (1, 10, 0))
        #expect(try start { $0.deliverPolicy = .last } == (10, 1, 9))
        #expect(try start { $0.deliverPolicy = .new } == (nil, 0, 10))
        #expect(
            try start {
                $0.deliverPolicy = .last; $0.filterSubject = "s.even"
            } == (9, 1, 8))
        #expect(
            try start {
                $0.deliverPolicy = .byStartSequence; $0.startSequence = 4
            } == (4, 7, 3))
        #expect(
            try start {
                $0.deliverPolicy = .byStartSequence; $0.startSequence = 400
            } == (nil, 0, 399))
        let fifth = ConsumerFixture.startWallNs + 4_000_000_000
        #expect(
            try start {
                $0.deliverPolicy = .byStartTime; $0.startTimeNs = fifth
            } == (5, 6, 4))
        #expect(
            try start {
                $0.deliverPolicy = .byStartTime; $0.startTimeNs = .max
            } == (nil, 0, 10))
        #expect(
            try start {
                $0.deliverPolicy = .lastPerSubject; $0.filterSubject = "s.*"
            } == (9, 2, 8))
        #expect(try start { $0.filterSubjects = ["s.odd", "s.x"] } == (2, 5, 0))
    }

    @Test func lastPerSubjectThenEverythingBehind() throws {
        let world = try ConsumerFixture()
        try world.store("s.a", "s.b", "s.a", "s.c", "s.b")
        let consumer = try world.create {
            $0.deliverPolicy = .lastPerSubject; $0.filterSubject = "s.*"
        }
        #expect(consumer.info().pending == 3)
        // What is removed from among them is not waited for; what is not among them does not count.
        #expect(try world.log.remove(4, erases: false))
        #expect(try world.log.remove(1, erases: false))
        #expect(consumer.info().pending == 2)
        try world.store("s.a", "s.d")
        #expect(consumer.info().pending == 4)
        world.pull(consumer, #"{"batch":10,"no_wait":true}"#)
        let sent = world.taken()
        #expect(sent.map(\.sequence) == [3, 5, 6, 7, nil])
        #expect(sent.compactMap(\.reference?.pending) == [3, 2, 1, 0])
        #expect(consumer.info().pending == 0)
    }

    @Test func pendingIsExactWhileMessagesComeAndGo() throws {
        for seed in 1...8 as ClosedRange<UInt64> {
            var random = SeededGenerator(seed: seed)
            let world = try ConsumerFixture(seed: seed)
            for _ in 0..<30 { try world.append("s.\(Int.random(in: 0..<4, using: &random)).x") }
            world.commitLog()
            let filters: [[String]] = [[], ["s.1.x"], ["s.1.x", "s.2.*"], ["s.*.x"]]
            let policies: [DeliverPolicy] = [.all, .new, .lastPerSubject]
            var consumers: [Consumer] = []
            for filter in filters {
                for policy in policies where policy != .lastPerSubject || !filter.isEmpty {
                    consumers.append(
                        try world.create("c\(consumers.count)") {
                            $0.filterSubjects = filter
                            $0.deliverPolicy = policy
                            $0.maxAckPending = 5
                        })
                }
            }
            for _ in 0..<300 {
                let last = world.log.state.lastSequence
                switch Int.random(in: 0..<6, using: &random) {
                case 0, 1: try world.append("s.\(Int.random(in: 0..<4, using: &random)).x")
                case 2: world.commitLog()
                case 3: _ = try world.log.remove(UInt64.random(in: 1...last, using: &random), erases: false)
                case 4:
                    guard let consumer = consumers.randomElement(using: &random) else { continue }
                    world.pull(consumer, "\(Int.random(in: 1..<4, using: &random))", ends: false)
                default:
                    for delivery in world.taken() where delivery.reference != nil {
                        guard let consumer = world.registry[String(delivery.reply.split(separator: ".")[3])] else { continue }
                        if Bool.random(using: &random) { world.ack(consumer, delivery, ends: false) }
                    }
                    world.endTurn()
                }
                for consumer in consumers {
                    let claimed = consumer.numPending
                    consumer.countPending()
                    #expect(claimed == consumer.numPending, "seed \(seed), \(consumer.name) \(consumer.config.filters)")
                }
            }
        }
    }

    @Test func headersOnlyTellsTheSize() throws {
        let world = try ConsumerFixture()
        try world.store("s.a")
        try world.store("s.a", headers: "NATS/1.0\r\na: b\r\n\r\n")
        let consumer = try world.create { $0.headersOnly = true }
        world.pull(consumer, "2")
        let sent = world.taken()
        #expect(
            sent.map(\.headers) == ["NATS/1.0\r\nNats-Msg-Size: 5\r\n\r\n", "NATS/1.0\r\na: b\r\nNats-Msg-Size: 5\r\n\r\n"])
        #expect(sent.allSatisfy { $0.payload.isEmpty })
    }

    @Test func withoutAcksTheFloorFollows() throws {
        let world = try ConsumerFixture { $0.retention = .interest }
        let consumer = try world.create { $0.ackPolicy = .none }
        try world.store("s.a", "s.b")
        world.pull(consumer, "5")
        #expect(world.taken().count == 2 && world.doneSequences == [1, 2])
        let info = consumer.info()
        #expect(info.ackFloor.consumer == 2 && info.ackFloor.stream == 2 && info.ackPending == 0)
        #expect(world.log.state.messages == 0)
    }

    @Test func maxAckPendingHoldsNewMessagesBack() throws {
        let world = try ConsumerFixture()
        try world.store("s.a", "s.a", "s.a", "s.a")
        let consumer = try world.create { $0.maxAckPending = 2 }
        world.pull(consumer, #"{"batch":10,"no_wait":true}"#)
        let first = world.taken()
        // A request that does not wait hears nothing while acks are what is missing.
        #expect(first.map(\.sequence) == [1, 2])
        world.ack(consumer, first[0])
        #expect(world.taken().map(\.sequence) == [3])
        // A redelivery needs no free place.
        world.ack(consumer, first[1], "-NAK")
        #expect(world.taken().map(\.sequence) == [2])
    }

    @Test func removedMessagesAreTerminated() throws {
        let world = try ConsumerFixture()
        world.subscribe("$JS.EVENT.ADVISORY.>")
        try world.store("s.a", "s.b", "s.c")
        let consumer = try world.create()
        world.pull(consumer, "2")
        _ = world.taken()
        _ = world.events()
        #expect(try world.log.remove(1, erases: false))
        #expect(world.events().isEmpty)
        world.endTurn()
        let events = world.events()
        #expect(events.map(\.to) == ["$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.S.c"])
        #expect(
            events[0].payload.contains(
                #""consumer_seq":1,"stream_seq":1,"deliveries":1,"reason":"Unacknowledged message was deleted""#))
        #expect(consumer.info().ackPending == 1 && consumer.info().ackFloor.stream == 1)
        #expect(try world.log.removeAll(below: 10) == 2)
        #expect(consumer.info().ackPending == 0 && consumer.info().pending == 0)
    }

    @Test func aTurnHasABudget() throws {
        let world = try ConsumerFixture()
        for _ in 0..<(DispatchBudget.messages + 10) { try world.append("s.a") }
        world.commitLog()
        let consumer = try world.create { $0.ackPolicy = .none }
        world.pull(consumer, "100000")
        #expect(world.taken().count == DispatchBudget.messages)
        #expect(consumer.nextDeadlineNs == 0)
        world.pass(ms: 1)
        #expect(world.taken().count == 10)
        #expect(consumer.nextDeadlineNs == nil)
    }

    @Test func saysWhatItStillNeeds() throws {
        let world = try ConsumerFixture { $0.retention = .interest }
        let consumer = try world.create {
            $0.filterSubject = "s.a"; $0.maxDeliver = 1; $0.ackWaitNs = 1_000_000_000
        }
        try world.store("s.a", "s.b", "s.a")
        #expect([1, 2, 3].map { consumer.isWaiting(for: $0) } == [true, false, true])
        world.pull(consumer, "2")
        let sent = world.taken()
        #expect([1, 2, 3].map { consumer.isWaiting(for: $0) } == [true, false, true])
        world.ack(consumer, sent[0])
        #expect([1, 2, 3].map { consumer.isWaiting(for: $0) } == [false, false, true])
        // Used up its deliveries: it stays in the stream.
        world.pass(ms: 2_000)
        #expect(consumer.info().ackPending == 0 && consumer.isWaiting(for: 3))
        world.ack(consumer, sent[1])
        #expect(!consumer.isWaiting(for: 3))
    }
}
