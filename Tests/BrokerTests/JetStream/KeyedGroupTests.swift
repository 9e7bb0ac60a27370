// Keyed consumers with priority groups: the group chooses the request, the keys choose the message.

import Testing
import Wire

@testable import Broker

@Suite struct KeyedGroupTests {
    private func world(
        _ policy: PriorityPolicy, _ subjects: String..., change: (inout ConsumerConfig) -> Void = { _ in }
    ) throws -> (ConsumerFixture, Consumer) {
        let world = try ConsumerFixture()
        for subject in subjects { try world.append(subject) }
        world.commitLog()
        let consumer = try world.createKeyed { config in
            config.priorityGroups = ["A"]
            config.priorityPolicy = policy
            change(&config)
        }
        return (world, consumer)
    }

    private func deliveries(_ world: ConsumerFixture) -> [String] {
        world.endTurn()
        return world.taken().filter { $0.reference != nil }.map { "\($0.to) \($0.sequence ?? 0)" }
    }

    @Test func overflowCountsLeases() throws {
        let (world, consumer) = try world(.overflow, "s.a", "s.a", "s.b", "s.c")
        world.pull(consumer, #"{"batch":9,"group":"A","min_ack_pending":2,"expires":60000000000}"#, reply: "slow")
        world.pull(consumer, #"{"batch":1,"group":"A","expires":60000000000}"#, reply: "any")
        #expect(deliveries(world) == ["any 1"])
        // One lease; the second message of its key is no second one.
        world.pull(consumer, #"{"batch":1,"group":"A","expires":60000000000}"#, reply: "any")
        #expect(deliveries(world) == ["any 3", "slow 4"])
    }

    @Test func lowerNumbersFirst() throws {
        let (world, consumer) = try world(.prioritized)
        world.pull(consumer, #"{"batch":9,"group":"A","priority":5,"expires":60000000000}"#, reply: "five")
        world.pull(consumer, #"{"batch":1,"group":"A","priority":1,"expires":60000000000}"#, reply: "one")
        try world.store("s.a", "s.a", "s.b", "s.c")
        #expect(deliveries(world) == ["one 1", "five 3", "five 4"])
    }

    /// What the pinned client holds stays its own when the pin goes to another: its key waits, and its ack counts.
    @Test(arguments: ["unpinned", "timeout"]) func aPinThatMovesEndsNoLease(why: String) throws {
        let (world, consumer) = try world(.pinnedClient, "s.a", "s.a", "s.b", "s.b", "s.c") { config in
            config.ackWaitNs = 60_000_000_000
            config.priorityTimeoutNs = 5_000_000_000
        }
        world.pull(consumer, #"{"batch":2,"group":"A","expires":60000000000}"#, reply: "one")
        world.pull(consumer, #"{"batch":9,"group":"A","expires":60000000000}"#, reply: "two")
        world.endTurn()
        let held = world.taken().filter { $0.reference != nil }
        #expect(held.map(\.to) == ["one", "one"] && held.sequences == [1, 3])
        let pin = try #require(held[0].header("Nats-Pin-Id"))
        if why == "unpinned" { #expect(consumer.unpin(group: "A")) } else { world.pass(ms: 5_001) }
        world.endTurn()
        let taken = world.taken().filter { $0.reference != nil }
        #expect(taken.map(\.to) == ["two"] && taken.sequences == [5])
        let second = try #require(taken.first?.header("Nats-Pin-Id"))
        #expect(second != pin && consumer.info().ackPending == 3)
        world.ack(consumer, held[0], reply: "answer")
        world.interests.append("answer")
        let after = world.taken()
        #expect(after.filter { $0.to == "answer" }.map(\.headers) == [""])
        world.endTurn()
        #expect((after + world.taken()).filter { $0.to == "two" }.map(\.sequence) == [2])
        #expect(consumer.keyed?.staleAcks == 0 && consumer.info().ackPending == 3)
    }
}
