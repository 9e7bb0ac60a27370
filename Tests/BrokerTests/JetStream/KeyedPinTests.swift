// Keyed consumers and the stream's limits: what is parked stays, up to a limit of its own.

import Testing
import Wire

@testable import Broker

@Suite struct KeyedPinTests {
    private func consumer(_ kit: StreamKit, _ metadata: [String: String] = [:]) -> Consumer {
        kit.interests.formUnion(["inbox", "$BELLHOP.ADVISORY.PARK_ENDED.S.c", "$BELLHOP.ADVISORY.UNPINNED.S.c"])
        var config = ConsumerConfig()
        config.durable = "c"
        config.name = "c"
        config.ackPolicy = .explicit
        config.ackWaitNs = 1_000_000_000
        config.maxDeliver = -1
        config.maxAckPending = 1000
        config.maxWaiting = 512
        config.metadata = ["bellhop.key": "token:2"].merging(metadata) { $1 }
        return kit.registry.create(config)
    }

    private func leases(_ kit: StreamKit, _ consumer: Consumer) -> [(sequence: UInt64, reply: String)] {
        kit.output = []
        StreamConsumerTests.pull(consumer, 100, kit)
        kit.turn()
        kit.turn()
        defer { consumer.forEachRequest { consumer.requests.remove($0) } }
        var found: [(UInt64, String)] = []
        consumer.keyed?.table.forEach { slot in
            guard let entry = consumer.keyed?.table[slot], entry.state == .leased else { return }
            found.append((entry.sequence, "$JS.ACK.S.c.1.\(entry.sequence).\(entry.delivery).1.0"))
        }
        return found.sorted { $0.0 < $1.0 }
    }

    private func ack(_ kit: StreamKit, _ consumer: Consumer, _ reply: String, _ body: String) {
        Array(reply.utf8).withUnsafeBytes { subject in
            Array(body.utf8).withUnsafeBytes { body in
                consumer.receive(
                    ack: Message(
                        subject: ByteView(subject), reply: .empty, headerBytes: -1, payload: ByteView(body), sizes: .empty))
            }
        }
        kit.turn()
        kit.turn()
    }

    /// Parks key a at sequence 1 with one message behind it, in a stream where b follows.
    private func parked(_ kit: StreamKit, _ metadata: [String: String] = [:]) -> Consumer {
        let consumer = consumer(kit, metadata)
        for subject in ["s.a", "s.a", "s.b"] { kit.publish(subject, "x") }
        for lease in leases(kit, consumer) where lease.sequence == 1 { ack(kit, consumer, lease.reply, "+TERM") }
        return consumer
    }

    /// The limits apply as soon as a pin has ended: on a quiet stream nothing else would remind them.
    @Test func pinsThatEndLeaveNothingBeyondTheLimits() throws {
        let kit = try StreamKit { $0.maxMessages = 4 }
        let consumer = parked(kit, ["bellhop.max_parked_bytes": "200"])
        for subject in ["s.x", "s.x", "s.x", "s.x"] { kit.publish(subject, "x") }
        #expect(kit.log.state.messages > 4 && consumer.keyed?.pinned.messages == 2)
        kit.publish("s.a", String(repeating: "y", count: 300))
        // Workers ask again and again: the first time the message is passed, the second time its weight is felt.
        for _ in 0..<2 { _ = leases(kit, consumer) }
        #expect(kit.log.state.messages == 4 && consumer.keyed?.pinned.messages == 0)
        #expect(consumer.keyed?.parkedKeys == 0, "what the limits have removed is no longer parked")
    }

    @Test func whatWasPinnedGoesOnceItIsHandled() throws {
        let kit = try StreamKit { $0.maxMessages = 3 }
        let consumer = parked(kit)
        for lease in leases(kit, consumer) { ack(kit, consumer, lease.reply, "+ACK") }
        for _ in 0..<4 { kit.publish("s.x", "x") }
        retryFirst(consumer)
        for _ in 0..<8 { for lease in leases(kit, consumer) { ack(kit, consumer, lease.reply, "+ACK") } }
        #expect(consumer.keyed?.table.count == 0 && kit.log.state.messages == 3)
    }

    private func retryFirst(_ consumer: Consumer) {
        guard let keyed = consumer.keyed else { return }
        let slot = keyed.table.firstParked
        keyed.retry(slot)
    }

    private func sequences(_ kit: StreamKit) -> [UInt64] {
        (kit.log.state.firstSequence...kit.log.state.lastSequence).filter { kit.log.contains($0) }
    }

    @Test func maxMessagesSparesWhatIsParked() throws {
        let kit = try StreamKit { $0.maxMessages = 4 }
        let consumer = parked(kit)
        for _ in 0..<20 { kit.publish("s.b", "y") }
        #expect(sequences(kit) == [1, 2, 20, 21, 22, 23])
        #expect(consumer.keyed?.pinned.messages == 2)
        // Retried, they stay until they are handled; then they go as all others.
        retryFirst(consumer)
        kit.publish("s.b", "y")
        #expect(sequences(kit) == [1, 2, 21, 22, 23, 24])
        for sequence in [UInt64(1), 2] {
            let lease = try #require(leases(kit, consumer).first { $0.sequence == sequence })
            ack(kit, consumer, lease.reply, "")
            kit.publish("s.b", "y")
        }
        #expect(sequences(kit) == [23, 24, 25, 26])
        #expect(consumer.keyed?.pinned.messages == 0 && consumer.keyed?.pinned.bytes == 0)
    }

    @Test func maxBytesSparesWhatIsParked() throws {
        let kit = try StreamKit { $0.maxBytes = 1_000 }
        _ = parked(kit, ["bellhop.max_parked_bytes": "500"])
        for _ in 0..<100 { kit.publish("s.b", "y") }
        #expect(sequences(kit).prefix(2) == [1, 2])
    }

    @Test func maxMessagesPerSubjectSparesWhatIsParked() throws {
        let kit = try StreamKit { $0.maxMessagesPerSubject = 2 }
        let consumer = parked(kit)
        for _ in 0..<5 { kit.publish("s.a", "y") }
        _ = leases(kit, consumer)
        // What the consumer has not read yet is not spared.
        #expect(Array(sequences(kit).prefix(2)) == [1, 2])
    }

    @Test func maxAgeSparesWhatIsParked() throws {
        let kit = try StreamKit {
            $0.maxAgeNs = 10_000_000_000
            $0.allowMessageTTL = true
        }
        let consumer = parked(kit)
        kit.pass(30)
        #expect(kit.log.contains(1) && kit.log.contains(2) && !kit.log.contains(3))
        retryFirst(consumer)
        kit.turn()
        kit.pass(20)
        #expect(kit.log.contains(1) && kit.log.contains(2))
        for sequence in [UInt64(1), 2] {
            let lease = try #require(leases(kit, consumer).first { $0.sequence == sequence })
            ack(kit, consumer, lease.reply, "")
        }
        kit.pass(20)
        #expect(kit.log.state.messages == 0)
    }

    @Test func expireLetsThemGoWithAnAdvisory() throws {
        let kit = try StreamKit { $0.maxMessages = 3 }
        let consumer = parked(kit, ["bellhop.park_retention": "expire"])
        kit.output = []
        kit.publish("s.b", "y")
        kit.turn()
        #expect(!kit.log.contains(1))
        #expect(kit.output.contains { $0.subject.contains("PARK_ENDED") && $0.payload.contains("removed") })
        #expect(consumer.keyed?.parkedKeys == 0)
    }

    @Test func anExplicitPurgeBeatsAPin() throws {
        let kit = try StreamKit { $0.maxMessages = 10 }
        let consumer = parked(kit)
        _ = kit.request({ $0.purge }, "{}")
        #expect(kit.log.state.messages == 0 && consumer.keyed?.parkedKeys == 0 && consumer.keyed?.pinned.messages == 0)
    }

    @Test func beyondMaxParkedBytesTheOldestFall() throws {
        let kit = try StreamKit { $0.maxMessages = 5 }
        let consumer = consumer(kit, ["bellhop.max_parked_bytes": "100"])
        for key in ["a", "b", "c"] { kit.publish("s.\(key)", "0123456789") }
        for lease in leases(kit, consumer) { ack(kit, consumer, lease.reply, "+TERM") }
        #expect(consumer.keyed?.hold == .parkedBytes)
        #expect(kit.output.contains { $0.subject.contains("UNPINNED") })
        for _ in 0..<20 { kit.publish("s.z", "y") }
        #expect(!kit.log.contains(1) && kit.log.contains(3))
        #expect(consumer.keyed?.hold == KeyedHold.none)
    }

    @Test func whatExpiresDoesNotPause() throws {
        let kit = try StreamKit { $0.maxMessages = 50 }
        let consumer = consumer(kit, ["bellhop.max_parked_bytes": "100", "bellhop.park_retention": "expire"])
        for key in ["a", "b", "c"] { kit.publish("s.\(key)", "0123456789") }
        for lease in leases(kit, consumer) { ack(kit, consumer, lease.reply, "+TERM") }
        #expect(consumer.keyed?.parkedKeys == 3 && consumer.keyed?.hold == KeyedHold.none)
    }

    @Test func whatIsParkedLeavesRoomWhereNewIsDiscarded() throws {
        let kit = try StreamKit {
            $0.maxMessages = 3
            $0.discard = .new
        }
        let consumer = consumer(kit)
        for key in ["a", "b", "c"] { kit.publish("s.\(key)", "x") }
        for lease in leases(kit, consumer) { ack(kit, consumer, lease.reply, "+TERM") }
        for _ in 0..<5 { kit.publish("s.d", "y") }
        #expect(sequences(kit) == [1, 2, 3, 4, 5, 6])
    }

    @Test func theLimitsApplyWhenAConsumerGoes() throws {
        let kit = try StreamKit { $0.maxMessages = 3 }
        let consumer = consumer(kit)
        for key in 0..<6 {
            kit.publish("s.\(key)", "x")
            for lease in leases(kit, consumer) { ack(kit, consumer, lease.reply, "+TERM") }
        }
        #expect(sequences(kit) == [1, 2, 3, 4, 5, 6])
        kit.registry.delete(consumer)
        kit.turn()
        #expect(sequences(kit) == [4, 5, 6])
    }
}
