// Pull requests: how they are served, and with which words they end.

import Testing
import Wire

@testable import Broker

@Suite struct ConsumerPullTests {
    private func world(_ count: Int = 0, _ change: (inout ConsumerConfig) -> Void = { _ in }) throws -> (
        ConsumerFixture, Consumer
    ) {
        let world = try ConsumerFixture()
        for _ in 0..<count { try world.append("s.a") }
        world.commitLog()
        return (world, try world.create("c", change))
    }

    private func ending(_ status: String, messages: Int, bytes: Int) -> String {
        "NATS/1.0 \(status)\r\nNats-Pending-Messages: \(messages)\r\nNats-Pending-Bytes: \(bytes)\r\n\r\n"
    }

    @Test func requestsTakeTurns() throws {
        let (world, consumer) = try world()
        world.pull(consumer, "2", reply: "a")
        world.pull(consumer, "3", reply: "b")
        world.pull(consumer, "1", reply: "c")
        #expect(consumer.info().waiting == 3)
        for _ in 0..<6 { try world.append("s.a") }
        world.commitLog()
        world.endTurn()
        #expect(world.taken().map(\.to) == ["a", "b", "c", "a", "b", "b"])
        #expect(consumer.info().waiting == 0)
    }

    @Test func expires() throws {
        let (world, consumer) = try world(1)
        world.pull(consumer, #"{"batch":5,"expires":1000000000,"max_bytes":1000}"#)
        let first = world.taken()
        #expect(first.count == 1)
        let used = first[0].subject.utf8.count + first[0].reply.utf8.count + 5
        world.pass(ms: 999)
        #expect(world.taken().isEmpty)
        world.pass(ms: 1)
        #expect(world.taken().map(\.headers) == [ending("408 Request Timeout", messages: 4, bytes: 1000 - used)])
        #expect(consumer.info().waiting == 0)
    }

    @Test func noWait() throws {
        let (world, consumer) = try world(3)
        world.pull(consumer, #"{"batch":2,"no_wait":true}"#)
        #expect(world.taken().count == 2)
        world.pull(consumer, #"{"batch":2,"no_wait":true}"#)
        #expect(world.taken().map(\.status) == ["", "404 No Messages"])
        world.pull(consumer, #"{"batch":2,"no_wait":true}"#)
        #expect(world.taken().map(\.headers) == ["NATS/1.0 404 No Messages\r\n\r\n"])
        // With an expiry it waits for the first, and ends with what is there then.
        world.pull(consumer, #"{"batch":5,"no_wait":true,"expires":1000000000}"#)
        #expect(world.taken().isEmpty)
        try world.store("s.a", "s.a")
        world.endTurn()
        #expect(world.taken().map(\.status) == ["", "", "404 No Messages"])
        world.pull(consumer, #"{"batch":5,"no_wait":true,"expires":1000000000}"#)
        world.pass(ms: 1_000)
        #expect(world.taken().map(\.status) == ["408 Request Timeout"])
    }

    @Test func noWaitBehindOthersIsTurnedAway() throws {
        let (world, consumer) = try world(1) { $0.maxAckPending = 1 }
        world.pull(consumer, "5", reply: "first")
        _ = world.taken()
        try world.store("s.a", "s.a")
        world.pull(consumer, #"{"no_wait":true}"#)
        #expect(world.taken().map(\.status) == ["408 Requests Pending"])
    }

    @Test func bytesRunOut() throws {
        let (world, consumer) = try world(3)
        let size = "s.a".utf8.count + "$JS.ACK.S.c.1.1.1.\(ConsumerFixture.startWallNs).2".utf8.count + 5
        world.pull(consumer, #"{"batch":2,"max_bytes":\#(2 * size + 7)}"#)
        #expect(world.taken().map(\.headers) == ["", "", ending("409 Batch Completed", messages: 0, bytes: 7)])
        // Exactly enough for one.
        world.pull(consumer, #"{"batch":2,"max_bytes":\#(size)}"#)
        #expect(world.taken().map(\.status) == [""] && consumer.info().waiting == 0)
        try world.store("s.a")
        world.pull(consumer, #"{"batch":2,"max_bytes":\#(size - 1)}"#)
        #expect(world.taken().map(\.headers) == [ending("409 Message Size Exceeds MaxBytes", messages: 2, bytes: size - 1)])
        #expect(consumer.info().pending == 1 && consumer.info().waiting == 0)
    }

    @Test func heartbeats() throws {
        let (world, consumer) = try world(1)
        world.pull(consumer, #"{"batch":2,"expires":10000000000,"idle_heartbeat":1000000000}"#)
        #expect(world.taken().count == 1)
        world.pass(ms: 2_100)
        let beat = "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 1\r\nNats-Last-Stream: 1\r\n\r\n"
        #expect(world.taken().map(\.headers) == [beat, beat])
        world.pull(consumer, #"{"batch":2,"expires":1000000000,"idle_heartbeat":600000000}"#)
        #expect(world.taken().map(\.headers) == ["NATS/1.0 400 Bad Request - heartbeat value too large\r\n\r\n"])
    }

    @Test func onlySoManyWait() throws {
        let (world, consumer) = try world(0) { $0.maxWaiting = 2 }
        world.pull(consumer, reply: "a")
        world.pull(consumer, reply: "b")
        world.pull(consumer, reply: "c")
        world.pull(consumer, #"{"expires":5000000000,"idle_heartbeat":1000000000}"#, reply: "d")
        #expect(world.taken().map { "\($0.to) \($0.status)" } == ["c 409 Exceeded MaxWaiting"])
        // One whose client has gone makes room.
        world.unsubscribe("a")
        world.pull(consumer, reply: "e")
        #expect(world.taken().isEmpty && consumer.info().waiting == 2)
    }

    @Test func nobodyThereGetsNothing() throws {
        let (world, consumer) = try world()
        world.pull(consumer, "5", reply: "a")
        world.pull(consumer, "5", reply: "b")
        world.unsubscribe("a")
        try world.store("s.a")
        world.endTurn()
        #expect(world.taken().map(\.to) == ["b"])
        #expect(consumer.info().ackPending == 1 && consumer.info().waiting == 1)
    }

    @Test func limitsOfRequests() throws {
        let (world, consumer) = try world(1) {
            $0.maxRequestBatch = 2
            $0.maxRequestExpiresNs = 1_500_000_000
            $0.maxRequestMaxBytes = 100
        }
        for body in ["3", #"{"batch":2,"expires":2000000000}"#, #"{"batch":1,"max_bytes":101}"#, "{", #"{"batch":"x"}"#] {
            world.pull(consumer, body)
        }
        #expect(
            world.taken().map(\.headers) == [
                "NATS/1.0 409 Exceeded MaxRequestBatch of 2\r\n\r\n", "NATS/1.0 409 Exceeded MaxRequestExpires of 1.5s\r\n\r\n",
                "NATS/1.0 409 Exceeded MaxRequestMaxBytes of 100\r\n\r\n",
                "NATS/1.0 400 Bad Request - unexpected end of JSON input\r\n\r\n",
                "NATS/1.0 400 Bad Request - json: cannot unmarshal string into Go struct field .batch of type int\r\n\r\n",
            ])
    }

    @Test func aPushConsumerSaysSo() throws {
        let (world, consumer) = try world(0) { $0.deliverSubject = "out" }
        world.pull(consumer)
        #expect(world.taken().map(\.headers) == ["NATS/1.0 409 Consumer is push based\r\n\r\n"])
    }

    @Test func deletionTellsThoseWhoWait() throws {
        let (world, consumer) = try world()
        world.subscribe("$JS.EVENT.ADVISORY.CONSUMER.DELETED.>")
        world.pull(consumer, reply: "a")
        world.pull(consumer, reply: "b")
        world.registry.delete(consumer)
        #expect(
            world.taken().map { "\($0.to) \($0.headers)" } == [
                "a NATS/1.0 409 Consumer Deleted\r\n\r\n", "b NATS/1.0 409 Consumer Deleted\r\n\r\n",
            ])
        #expect(world.events().count == 1 && world.registry.count == 0)
        world.pull(consumer)
        #expect(world.taken().isEmpty)
    }

    // MARK: Priority groups

    @Test func requestsMustFitThePolicy() throws {
        let (world, plain) = try world()
        let overflow = try world.create("o") {
            $0.priorityGroups = ["A"]; $0.priorityPolicy = .overflow
        }
        let pinned = try world.create("p") {
            $0.priorityGroups = ["A"]; $0.priorityPolicy = .pinnedClient
        }
        for (consumer, body) in [
            (plain, #"{"min_pending":1}"#), (plain, #"{"id":"x"}"#), (plain, #"{"priority":10}"#), (overflow, #"{"id":"x"}"#),
            (overflow, "{}"), (pinned, #"{"group":"B"}"#), (pinned, #"{"group":"A","min_ack_pending":1}"#),
        ] {
            world.pull(consumer, body)
        }
        #expect(
            world.taken().map(\.status)
                == [
                    "Not a Overflow Priority consumer", "Not a Pinned Client Priority consumer",
                    "Priority must be between 0 and 9",
                    "Not a Pinned Client Priority consumer", "Priority Group missing", "Invalid Priority Group",
                    "Not a Overflow Priority consumer",
                ].map { "400 Bad Request - " + $0 })
    }

    @Test func overflowHelpsWhenThereIsMuchToDo() throws {
        let (world, consumer) = try world(0) {
            $0.priorityGroups = ["A"]; $0.priorityPolicy = .overflow
        }
        world.pull(consumer, #"{"batch":10,"group":"A","min_pending":3}"#, reply: "much")
        world.pull(consumer, #"{"batch":10,"group":"A","min_ack_pending":2}"#, reply: "slow")
        try world.store("s.a", "s.a")
        world.endTurn()
        #expect(world.taken().isEmpty)
        try world.store("s.a")
        world.endTurn()
        #expect(world.taken().map(\.to) == ["much"])
        world.pull(consumer, #"{"batch":1,"group":"A"}"#, reply: "any")
        // With two unacked, the third goes to the one that waits for that.
        #expect(world.taken().map(\.to) == ["any", "slow"])
    }

    @Test func oneClientIsPinned() throws {
        let (world, consumer) = try world(0) {
            $0.priorityGroups = ["A"]
            $0.priorityPolicy = .pinnedClient
            $0.priorityTimeoutNs = 5_000_000_000
        }
        world.subscribe("$JS.EVENT.ADVISORY.>")
        world.pull(consumer, #"{"batch":2,"group":"A"}"#, reply: "one")
        world.pull(consumer, #"{"batch":9,"group":"A"}"#, reply: "two")
        try world.store("s.a", "s.a", "s.a")
        world.endTurn()
        let sent = world.taken()
        #expect(sent.map(\.to) == ["one", "one"])
        let pin = try #require(sent[0].header("Nats-Pin-Id"))
        #expect(pin.utf8.count == 22 && consumer.info().priorityGroups.first?.pinnedClientID == pin)
        #expect(world.events().map(\.to) == ["$JS.EVENT.ADVISORY.CONSUMER.PINNED.S.c"])
        world.pull(consumer, #"{"batch":1,"group":"A","id":"other"}"#, reply: "three")
        #expect(world.taken().map { "\($0.to) \($0.status)" } == ["three 423 Nats-Pin-Id mismatch"])
        world.pull(consumer, #"{"batch":1,"group":"A","id":"\#(pin)"}"#, reply: "one")
        #expect(world.taken().map(\.to) == ["one"])
        try world.store("s.a")
        world.endTurn()
        #expect(world.taken().isEmpty)
        // No request within the time-out: the next one takes over.
        world.pass(ms: 5_001)
        let taken = world.taken()
        #expect(taken.map(\.to) == ["two"] && taken[0].header("Nats-Pin-Id") != pin)
        #expect(
            world.events().map(\.to) == ["$JS.EVENT.ADVISORY.CONSUMER.UNPINNED.S.c", "$JS.EVENT.ADVISORY.CONSUMER.PINNED.S.c"])
        world.pull(consumer, #"{"batch":1,"group":"A","id":"\#(pin)"}"#, reply: "one")
        #expect(world.taken().map(\.status) == ["423 Nats-Pin-Id mismatch"])
        #expect(consumer.unpin(group: "A") && !consumer.unpin(group: "B"))
        #expect(consumer.info().priorityGroups.first?.pinnedClientID == "")
    }

    @Test func lowerNumbersFirst() throws {
        let (world, consumer) = try world(0) {
            $0.priorityGroups = ["A"]; $0.priorityPolicy = .prioritized
        }
        world.pull(consumer, #"{"batch":2,"group":"A","priority":5}"#, reply: "five")
        world.pull(consumer, #"{"batch":2,"group":"A","priority":1}"#, reply: "one")
        world.pull(consumer, #"{"batch":1,"group":"A","priority":1}"#, reply: "also")
        world.pull(consumer, #"{"batch":1,"group":"A"}"#, reply: "zero")
        for _ in 0..<6 { try world.append("s.a") }
        world.commitLog()
        world.endTurn()
        #expect(world.taken().map(\.to) == ["zero", "one", "also", "one", "five", "five"])
    }
}
