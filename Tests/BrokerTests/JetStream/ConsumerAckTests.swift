// Acks of all kinds, redelivery, and what is told of both.

import Testing
import Wire

@testable import Broker

@Suite struct ConsumerAckTests {
    private func world(_ count: Int = 3, _ change: (inout ConsumerConfig) -> Void = { _ in }) throws -> (
        ConsumerFixture, Consumer
    ) {
        let world = try ConsumerFixture()
        for _ in 0..<count { try world.append("s.a") }
        world.commitLog()
        world.subscribe("$JS.EVENT.>")
        let consumer = try world.create("c", change)
        _ = world.events()
        return (world, consumer)
    }

    @Test(arguments: ["", "+ACK", "+OK"]) func acks(body: String) throws {
        let (world, consumer) = try world()
        world.pull(consumer, "3")
        let sent = world.taken()
        world.ack(consumer, sent[1], body)
        #expect(consumer.info().ackFloor.stream == 0 && consumer.info().ackPending == 2)
        world.ack(consumer, sent[0], body)
        #expect(consumer.info().ackFloor.stream == 2 && consumer.info().ackFloor.consumer == 2)
        world.ack(consumer, sent[2], body)
        #expect(consumer.info().ackFloor.stream == 3 && consumer.info().ackPending == 0)
        #expect(world.taken().isEmpty && world.events().isEmpty)
        world.pass(ms: 100_000)
        world.pull(consumer, #"{"no_wait":true}"#)
        #expect(world.taken().map(\.status) == ["404 No Messages"])
    }

    @Test func ackAllTakesThoseBefore() throws {
        let (world, consumer) = try world(5) { $0.ackPolicy = .all }
        world.pull(consumer, "4")
        let sent = world.taken()
        world.ack(consumer, sent[2])
        #expect(consumer.info().ackFloor.stream == 3 && consumer.info().ackPending == 1)
        world.ack(consumer, sent[0])
        #expect(consumer.info().ackFloor.stream == 3)
        // What was not delivered cannot be acked.
        world.send("", to: "$JS.ACK.S.c.1.5.5.1.0") { consumer.receive(ack: $0) }
        #expect(consumer.info().ackFloor.stream == 3 && consumer.info().ackPending == 1)
    }

    /// Two deliveries of one message that a crash could forget would bring its count back by two.
    @Test func aRedeliveryWaitsUntilTheOneBeforeIsDurable() throws {
        let (world, consumer) = try world()
        world.pull(consumer, "1")
        let first = world.taken()
        world.lists.commitTicket = 1
        world.ack(consumer, first[0], "-NAK")
        world.pull(consumer, "2")
        // Nothing new goes before it either.
        #expect(world.taken().isEmpty)
        world.pull(consumer, #"{"no_wait":true}"#, reply: "other")
        #expect(world.taken().isEmpty)
        world.lists.finishedCommit = 1
        consumer.touch()
        world.endTurn()
        let sent = world.taken()
        #expect(sent.map(\.sequence) == [1, 2, 3] && sent[0].reference?.deliveries == 2)
    }

    @Test func aReplyComesAfterTheCommit() throws {
        let (world, consumer) = try world()
        world.pull(consumer, "2")
        let sent = world.taken()
        world.ack(consumer, sent[0], reply: "r1", ends: false)
        world.endTurn(commits: false)
        #expect(world.taken().isEmpty)
        world.commitJournal()
        #expect(world.taken() == [Sent(to: "r1", subject: "r1", reply: "", headers: "", payload: "")])
        // Once more, in progress, nak, term, nonsense: all are answered. What was never delivered is not.
        for (body, reply) in [("", "r2"), ("+WPI", "r3"), ("-NAK", "r4"), ("+TERM", "r5"), ("what", "r6")] {
            world.ack(consumer, sent[0], body, reply: reply)
        }
        world.send("", to: "$JS.ACK.S.c.1.3.3.1.0", reply: "r7") { consumer.receive(ack: $0) }
        world.send("", to: "$JS.ACK.S.c.1.0.3.1.0", reply: "r8") { consumer.receive(ack: $0) }
        world.endTurn()
        #expect(world.taken().map(\.to) == ["r2", "r3", "r4", "r5", "r6"])
    }

    @Test func nextAcksAndAsks() throws {
        let (world, consumer) = try world()
        world.pull(consumer)
        let first = world.taken()
        world.interests.append("next")
        world.ack(consumer, first[0], "+NXT", reply: "next")
        #expect(world.taken().map { "\($0.to) \($0.sequence ?? 0)" } == ["next 2"])
        world.send(#"+NXT {"batch":2,"no_wait":true}"#, to: "$JS.ACK.S.c.1.2.2.1.0", reply: "next") {
            consumer.receive(ack: $0)
        }
        world.endTurn()
        #expect(world.taken().map { $0.sequence.map { "\($0)" } ?? $0.status } == ["3", "404 No Messages"])
        #expect(consumer.info().ackFloor.stream == 2)
    }

    @Test func whatIsNotAckedComesAgainFirst() throws {
        let (world, consumer) = try world(5) { $0.ackWaitNs = 2_000_000_000 }
        world.pull(consumer, "3")
        let sent = world.taken()
        world.pass(ms: 1_000)
        world.ack(consumer, sent[0], "+WPI")
        world.ack(consumer, sent[1])
        world.pass(ms: 1_100)
        world.pull(consumer, "2")
        let again = world.taken()
        #expect(again.map(\.sequence) == [3, 4])
        #expect(again[0].reference?.deliveries == 2 && again[0].reference?.delivery == 4)
        #expect(consumer.info().redelivered == 1)
        // Message 1 began anew with its progress.
        world.pass(ms: 1_000)
        world.pull(consumer, "1")
        #expect(world.taken().map(\.sequence) == [1])
        // In the order of the stream where they run out together, else in that of their clocks; before anything new.
        world.pass(ms: 2_500)
        world.pull(consumer, "9")
        #expect(world.taken().map(\.sequence) == [3, 4, 1, 5])
    }

    @Test func nakAndItsDelays() throws {
        let (world, consumer) = try world()
        world.pull(consumer, "3")
        let sent = world.taken()
        world.ack(consumer, sent[0], #"-NAK {"delay": 1000000000}"#)
        world.ack(consumer, sent[1], "-NAK 500ms")
        world.ack(consumer, sent[2], "-NAK")
        let events = world.events()
        #expect(events.map(\.to) == Array(repeating: "$JS.EVENT.ADVISORY.CONSUMER.MSG_NAKED.S.c", count: 3))
        #expect(events[2].payload.hasSuffix(#""stream":"S","consumer":"c","consumer_seq":3,"stream_seq":3,"deliveries":1}"#))
        world.pull(consumer, #"{"batch":5,"expires":60000000000}"#)
        #expect(world.taken().map(\.sequence) == [3])
        world.pass(ms: 502)
        #expect(world.taken().map(\.sequence) == [2])
        world.pass(ms: 500)
        #expect(world.taken().map(\.sequence) == [1])
        // A delay that cannot be read is none.
        world.ack(consumer, sent[0], "-NAK soon")
        #expect(world.taken().map(\.sequence) == [1])
        // One that was acked meanwhile does not come again.
        world.ack(consumer, sent[0], "-NAK 1s")
        world.ack(consumer, sent[0])
        world.pass(ms: 2_000)
        #expect(world.taken().isEmpty)
    }

    @Test func backoffByDelivery() throws {
        let (world, consumer) = try world(1) {
            $0.backoffNs = [1_000_000_000, 3_000_000_000]; $0.maxDeliver = 4
        }
        world.pull(consumer, #"{"batch":9,"expires":600000000000}"#)
        #expect(world.taken().count == 1)
        for (wait, deliveries) in [(1_000, 2), (3_000, 3), (3_000, 4)] as [(Int64, UInt64)] {
            world.pass(ms: wait - 10)
            #expect(world.taken().isEmpty)
            world.pass(ms: 12)
            #expect(world.taken().map { $0.reference?.deliveries } == [deliveries])
        }
        world.pass(ms: 3_002)
        #expect(world.taken().isEmpty)
        let events = world.events()
        #expect(events.map(\.to) == ["$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.S.c"])
        #expect(events[0].payload.hasSuffix(#""stream":"S","consumer":"c","stream_seq":1,"deliveries":4}"#))
        #expect(consumer.info().ackPending == 0 && consumer.info().redelivered == 1)
        // A late ack is still taken.
        world.send("", to: "$JS.ACK.S.c.4.1.4.1.0", reply: "r") { consumer.receive(ack: $0) }
        world.endTurn()
        #expect(world.taken().map(\.to) == ["r"] && consumer.info().redelivered == 0)
    }

    @Test func nakAtTheLastDelivery() throws {
        let (world, consumer) = try world(1) { $0.maxDeliver = 1 }
        world.pull(consumer, #"{"batch":9,"expires":600000000000}"#)
        world.ack(consumer, world.taken()[0], "-NAK")
        #expect(world.taken().isEmpty && consumer.info().ackPending == 0 && consumer.info().redelivered == 0)
        #expect(world.events().map(\.to).last == "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.S.c")
        world.pass(ms: 100_000)
        #expect(world.taken().isEmpty && world.events().isEmpty)
    }

    @Test func termTellsItsReason() throws {
        let (world, consumer) = try world()
        world.pull(consumer, "2")
        let sent = world.taken()
        world.ack(consumer, sent[0], "+TERM  no good ")
        world.ack(consumer, sent[1], "+TERM")
        let events = world.events()
        #expect(events.map(\.to) == Array(repeating: "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.S.c", count: 2))
        #expect(events[0].payload.hasSuffix(#""consumer_seq":1,"stream_seq":1,"deliveries":1,"reason":"no good"}"#))
        #expect(events[1].payload.hasSuffix(#""deliveries":1}"#))
        #expect(consumer.info().ackFloor.stream == 2)
    }

    @Test func samplesAcks() throws {
        let (world, consumer) = try world { $0.sampleFrequency = "100%" }
        world.pull(consumer)
        world.pass(ms: 25)
        world.ack(consumer, world.taken()[0])
        let events = world.events()
        #expect(events.map(\.to) == ["$JS.EVENT.METRIC.CONSUMER.ACK.S.c"])
        #expect(events[0].payload.hasPrefix(#"{"type":"io.nats.jetstream.metric.v1.consumer_ack","id":""#))
        #expect(events[0].payload.hasSuffix(#""consumer_seq":1,"stream_seq":1,"ack_time":25000000,"deliveries":1}"#))
    }

    @Test func acksOfNobodysMessagesDoNothing() throws {
        let (world, consumer) = try world()
        world.pull(consumer)
        _ = world.taken()
        for subject in ["$JS.ACK.S.c.1.18446744073709551615.1.1.1", "$JS.ACK.S.c.1.x.1.1.1", "$JS.ACK", ""] {
            for body in ["", "-NAK", "+TERM", "+WPI", "+NXT", "-NAK {", "-NAK -5s"] {
                world.send(body, to: subject) { consumer.receive(ack: $0) }
            }
        }
        world.endTurn()
        #expect(consumer.info().ackPending == 1 && consumer.info().ackFloor.stream == 0)
    }
}
