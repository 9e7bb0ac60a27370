// Consumers under everything at once, with crashes: random operations from a seed, and rules that must hold after each.

import Testing
import Wire

@testable import Broker

@Suite struct ConsumerSimulationTests {
    /// What the clients know: deliveries that wait for an ack, and acks that were answered.
    private struct Clients {
        var held: [Sent] = []
        var confirmed: [String: Set<UInt64>] = [:]
        var asked: [String: UInt64] = [:]
        var lastReply = 0
    }

    @Test(arguments: 1...25 as ClosedRange<UInt64>) func holds(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let retention: RetentionPolicy = [.limits, .interest].randomElement(using: &random) ?? .limits
        var world = try ConsumerFixture({ $0.retention = retention }, seed: seed)
        var clients = Clients()
        try makeConsumers(world, &random)
        for step in 0..<500 {
            try operate(&world, &clients, &random)
            read(world, &clients)
            try check(world, clients, "seed \(seed), step \(step)")
        }
    }

    private func makeConsumers(_ world: ConsumerFixture, _ random: inout SeededGenerator) throws {
        for index in 0..<4 {
            _ = try world.create("c\(index)") {
                $0.ackPolicy = index == 3 ? .all : .explicit
                $0.ackWaitNs = Int64.random(in: 1...5, using: &random) * 1_000_000_000
                $0.maxDeliver = [-1, 2, 5].randomElement(using: &random) ?? -1
                $0.maxAckPending = [-1, 3, 100].randomElement(using: &random) ?? -1
                if Bool.random(using: &random) { $0.filterSubject = "s.\(index)" }
                if index == 1 { $0.backoffNs = [500_000_000, 2_000_000_000]; $0.maxDeliver = 3 }
                if index == 2 { $0.deliverSubject = "push" }
            }
        }
        world.subscribe("push")
    }

    private func operate(_ world: inout ConsumerFixture, _ clients: inout Clients, _ random: inout SeededGenerator) throws {
        let names = world.registry.names
        guard let consumer = names.randomElement(using: &random).flatMap({ world.registry[$0] }) else { return }
        switch Int.random(in: 0..<20, using: &random) {
        case 0..<4: for _ in 0..<3 { try world.append("s.\(Int.random(in: 0..<4, using: &random))") }
        case 4..<6: world.commitLog()
        case 6..<9:
            let body = [
                "1", "5", #"{"batch":3,"no_wait":true}"#, #"{"batch":20,"expires":2000000000}"#,
                #"{"batch":4,"max_bytes":200,"expires":3000000000,"idle_heartbeat":1000000000}"#,
            ]
            world.pull(
                consumer, body.randomElement(using: &random) ?? "", reply: "inbox\(Int.random(in: 0..<3, using: &random))",
                ends: false)
        case 9..<13: answer(world, &clients, &random)
        case 13: world.endTurn(commits: false)
        case 14: world.endTurn()
        case 15: world.pass(ms: Int64.random(in: 1...3_000, using: &random))
        case 16:
            let last = world.log.state.lastSequence
            if last > 0 { _ = try world.log.remove(UInt64.random(in: 1...last, using: &random), erases: false) }
        case 17: Bool.random(using: &random) ? world.unsubscribe("push") : world.subscribe("push")
        case 18: world.lists.rewrite()
        default:
            guard Int.random(in: 0..<4, using: &random) == 0 else { return }
            // What the log has not made durable is gone, as is what the journal has not.
            world.commitLog()
            world = try world.restarted(afterNs: Int64.random(in: 0...2_000, using: &random) * 1_000_000)
            clients.asked = [:]
        }
    }

    /// A client answers one of the deliveries that it holds, perhaps not for the first time.
    private func answer(_ world: ConsumerFixture, _ clients: inout Clients, _ random: inout SeededGenerator) {
        guard let delivery = clients.held.randomElement(using: &random), let sequence = delivery.sequence,
            let consumer = world.registry[name(delivery)]
        else { return }
        let bodies = ["", "", "", "", "-NAK", "-NAK 700ms", "+WPI", "+TERM", "+NXT"]
        let body = bodies.randomElement(using: &random) ?? ""
        var reply = ""
        if body.isEmpty && Bool.random(using: &random) {
            clients.lastReply += 1
            reply = "ack\(clients.lastReply)"
            clients.asked["\(reply) \(consumer.name)"] = sequence
        } else if body == "+NXT" {
            reply = "inbox0"
        }
        world.ack(consumer, delivery, body, reply: reply, ends: false)
    }

    private func name(_ delivery: Sent) -> String { String(delivery.reply.split(separator: ".")[3]) }

    private func read(_ world: ConsumerFixture, _ clients: inout Clients) {
        for message in world.taken() {
            if message.reference != nil {
                let consumer = name(message)
                if let sequence = message.sequence, world.registry[consumer]?.config.ackPolicy == .explicit {
                    #expect(!clients.confirmed[consumer, default: []].contains(sequence), "a confirmed ack was forgotten")
                }
                clients.held.append(message)
                if clients.held.count > 60 { clients.held.removeFirst() }
            } else if message.to.hasPrefix("ack") {
                for (key, sequence) in clients.asked where key.hasPrefix(message.to + " ") {
                    clients.confirmed[String(key.dropFirst(message.to.count + 1)), default: []].insert(sequence)
                }
            }
        }
    }

    private func check(_ world: ConsumerFixture, _ clients: Clients, _ place: String) throws {
        for name in world.registry.names {
            let consumer = try #require(world.registry[name])
            let claimed = consumer.numPending
            consumer.countPending()
            #expect(claimed == consumer.numPending, "pending of \(name), \(place)")
            var last: UInt64 = 0, lastDelivery: UInt64 = 0, redelivered = 0
            var slot = consumer.state.pending.first
            while slot != PendingTable.none {
                let entry = consumer.state.pending[slot]
                #expect(entry.sequence > last && entry.delivery > lastDelivery, "order of \(name), \(place)")
                #expect(entry.sequence > consumer.state.ackFloor.stream, "floor of \(name), \(place)")
                #expect(world.log.contains(entry.sequence), "pending and gone, \(name), \(place)")
                if consumer.config.maxDeliver > 0 { #expect(entry.deliveries <= consumer.config.maxDeliver, "\(place)") }
                last = entry.sequence
                lastDelivery = entry.delivery
                redelivered += entry.deliveries > 1 ? 1 : 0
                slot = consumer.state.pending.next(slot)
            }
            #expect(redelivered == consumer.state.pending.redeliveredCount, "\(place)")
            #expect(
                last <= consumer.state.delivered.stream && consumer.state.ackFloor.stream <= consumer.state.delivered.stream)
            #expect(consumer.state.ackFloor.consumer <= consumer.state.delivered.consumer, "\(name), \(place)")
            if consumer.config.ackPolicy == .explicit, consumer.config.maxDeliver <= 0, consumer.state.pending.isEmpty,
                consumer.state.delivered.consumer > 0
            {
                #expect(consumer.state.ackFloor.consumer == consumer.state.delivered.consumer, "\(name), \(place)")
            }
        }
    }
}
