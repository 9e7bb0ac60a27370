// What becomes of consumers when messages are removed: where they stand after purges and rollups, and what a crash brings back.

import Store
import StoreKit
import Testing
import Wire

@testable import Broker

@Suite struct ConsumerRemovalTests {
    /// A stream with ten messages, by turns on s.a and s.b, and a consumer that has been given some and acked some.
    private func filled(
        on disk: SimulatedDisk, filters: [String] = [], given: Int, acked: Set<Int> = []
    ) throws -> (StoredStream, Consumer) {
        let kit = try StoredStream(creating: StoredStream.config { $0.allowRollup = true }, on: disk)
        let consumer = kit.create("C") { $0.filterSubjects = filters }
        for number in 1...10 { kit.publish(number % 2 == 1 ? "s.a" : "s.b", "\(number)") }
        if given > 0 {
            for (place, delivery) in kit.pull(consumer, given).enumerated() where acked.contains(place + 1) {
                #expect(kit.ack(consumer, delivery.reply))
            }
        }
        return (kit, consumer)
    }

    private func place(_ consumer: Consumer) -> [UInt64] {
        let info = consumer.info()
        return [
            info.delivered.consumer, info.delivered.stream, info.ackFloor.consumer, info.ackFloor.stream,
            UInt64(info.ackPending), info.pending,
        ]
    }

    /// What nats-server 2.15.1 shows: delivered and ack floor (consumer and stream sequences), pending acks, pending messages.
    @Test(
        arguments: [
            ("", [], 0, [], [0, 10, 0, 10, 0, 0]),
            (#"{"filter":"s.a"}"#, [], 0, [], [0, 1, 0, 1, 0, 5]),
            (#"{"filter":"s.b"}"#, [], 0, [], [0, 0, 0, 0, 0, 5]),
            (#"{"keep":3}"#, [], 4, [], [4, 7, 4, 7, 0, 3]),
            (#"{"seq":4}"#, [], 4, [], [4, 4, 3, 3, 1, 6]),
            (#"{"seq":20}"#, [], 4, [1], [4, 19, 4, 19, 0, 0]),
            (#"{"filter":"s.a"}"#, ["s.a"], 3, [2], [3, 10, 3, 10, 0, 0]),
            (#"{"filter":"s.a","keep":2}"#, ["s.a"], 0, [], [0, 6, 0, 6, 0, 2]),
            (#"{"filter":"s.>"}"#, ["s.a"], 2, [], [2, 10, 2, 10, 0, 0]),
            (#"{"filter":"s.a"}"#, ["s.a", "s.b"], 0, [], [0, 1, 0, 1, 0, 5]),
            (#"{"filter":"s.b"}"#, ["s.a"], 2, [1], [2, 3, 1, 2, 1, 3]),
        ] as [(String, [String], Int, Set<Int>, [UInt64])])
    func purgesMoveConsumers(_ purge: String, _ filters: [String], _ given: Int, _ acked: Set<Int>, _ shown: [UInt64]) throws {
        let disk = try StoredStream.makeDisk()
        let (kit, consumer) = try filled(on: disk, filters: filters, given: given, acked: acked)
        _ = kit.request(Stream.purge, purge)
        #expect(place(consumer) == shown)
        kit.publish("s.a", "new")
        #expect(place(consumer)[5] == shown[5] + 1)
        // The journal tells the same.
        try kit.close()
        let again = try #require(try StoredStream(on: disk)), recovered = try #require(again.registry["C"])
        #expect(Array(place(recovered)[..<5]) == Array(shown[..<5]))
        let last = again.pull(recovered, 20).last?.payload
        #expect(last == "new")
    }

    @Test func aRollupIsAPurge() throws {
        let (kit, consumer) = try filled(on: try StoredStream.makeDisk(), filters: ["s.a"], given: 2)
        let headers = "NATS/1.0\r\nNats-Rollup: sub\r\n\r\n"
        Array("s.a".utf8).withUnsafeBytes { subject in
            Array(headers.utf8).withUnsafeBytes { payload in
                kit.stream.receive(
                    Message(
                        subject: ByteView(subject), reply: .empty, headerBytes: headers.utf8.count, payload: ByteView(payload),
                        sizes: .empty))
            }
        }
        kit.turn()
        #expect(place(consumer) == [2, 10, 2, 10, 0, 1])
    }

    /// As of the message that rolls up, whatever else its batch has brought.
    @Test func aRollupInABatchMovesNobodyBehindIt() throws {
        let kit = try StoredStream(
            creating: StoredStream.config {
                $0.allowRollup = true
                $0.allowAtomicPublish = true
                $0.maxBytes = 500
            }, on: try StoredStream.makeDisk())
        let consumer = kit.create("C") { $0.filterSubject = "s.a" }
        // The limit takes it at once.
        kit.publish(
            "s.a", String(repeating: "x", count: 500), ["Nats-Batch-Id": "x", "Nats-Batch-Sequence": "1", "Nats-Rollup": "sub"])
        kit.publish("s.b", "", ["Nats-Batch-Id": "x", "Nats-Batch-Sequence": "2"])
        kit.publish("s.b", "", ["Nats-Batch-Id": "x", "Nats-Batch-Sequence": "3", "Nats-Batch-Commit": "1"])
        #expect(kit.contents.keys.sorted() == [2, 3])
        #expect(place(consumer) == [0, 1, 0, 1, 0, 0])
    }

    /// With `last_per_subject`, what came before the last of a subject stays left out though the last has been deleted.
    @Test func aRestartBringsBackNothingBeforeTheLastOfASubject() throws {
        let disk = try StoredStream.makeDisk()
        let kit = try StoredStream(creating: StoredStream.config(), on: disk)
        for subject in ["s.a", "s.b", "s.b"] { kit.publish(subject, subject) }
        let consumer = kit.create("C") { $0.deliverPolicy = .lastPerSubject }
        let delivery = try #require(kit.pull(consumer, 1).first)
        #expect(kit.ack(consumer, delivery.reply))
        _ = kit.request(Stream.deleteMessage, #"{"seq":3}"#)
        #expect(kit.pull(consumer, 1).isEmpty && consumer.info().pending == 0)
        try kit.close()
        let again = try #require(try StoredStream(on: disk)), recovered = try #require(again.registry["C"])
        #expect(recovered.info().pending == 0)
        #expect(again.pull(recovered, 1).isEmpty)
        again.publish("s.b", "new")
        #expect(again.output.filter { $0.subject == "inbox" }.map(\.payload) == ["new"])
    }

    /// nats-server removes the message.
    @Test func anAckForAnEarlierConsumerOfThatNameTakesNothing() throws {
        let kit = try StoredStream(
            creating: StoredStream.config { $0.retention = .workqueue }, on: try StoredStream.makeDisk())
        let first = kit.create("C") { $0.filterSubject = "s.a" }
        for subject in ["s.a", "s.a", "s.b"] { kit.publish(subject, subject) }
        let delivery = try #require(kit.pull(first, 1).first)
        kit.registry.delete(first)
        let second = kit.create("C") { $0.filterSubject = "s.b" }
        // It has looked at the first two, and passed over them.
        let other = try #require(kit.pull(second, 1).first)
        #expect(kit.ack(second, delivery.reply))
        #expect(kit.contents.keys.sorted() == [1, 2, 3])
        #expect(kit.ack(second, other.reply))
        #expect(kit.contents.keys.sorted() == [1, 2])
    }

    /// The limits remove message 1, which is pending, and message 2, which is to come, while an earlier commit of the log is under
    /// way, and message 3 is given out: the journal must not tell so as long as the removals are not durable.
    private func limited(_ disk: SimulatedDisk, failsAtChange change: Int) throws {
        let kit = try StoredStream(creating: StoredStream.config { $0.maxMessages = 4 }, on: disk)
        let consumer = kit.create("C") { $0.ackWaitNs = 1_000_000_000 }
        for _ in 1...3 { kit.publish("s.a", "x") }
        // By now the consumer is durable.
        kit.pass(seconds: 1)
        _ = kit.pull(consumer, 1)
        disk.failPower(atChange: disk.changes + change)
        kit.message("s.b", "x") { kit.stream.receive($0) }
        kit.stream.turnEnded()
        for _ in 1...2 { kit.message("s.b", "x") { kit.stream.receive($0) } }
        _ = kit.pull(consumer, 1)
    }

    @Test func whatTheLimitsRemovedIsGivenWhenItComesBack() throws {
        var change = 0, returned = 0
        while true {
            change += 1
            let disk = try StoredStream.makeDisk()
            try limited(disk, failsAtChange: change)
            for seed in 0..<4 as Range<UInt64> {
                let kit = try #require(try StoredStream(on: disk.crashed(seed: seed)))
                let there = Set(kit.contents.keys), consumer = try #require(kit.registry["C"])
                if there.contains(2) { returned += 1 }
                var given: Set<UInt64> = [], read = 0
                _ = kit.pull(consumer, 100)
                for _ in 0..<4 {
                    while read < kit.output.count {
                        let output = kit.output[read]
                        read += 1
                        let reference = Array(output.reply.utf8).withUnsafeBytes { AckReference(ByteView($0)) }
                        guard output.subject == "inbox", let reference else { continue }
                        given.insert(reference.sequence)
                        #expect(kit.ack(consumer, output.reply))
                    }
                    kit.pass(seconds: 2)
                }
                #expect(there.subtracting(given) == [], "at change \(change), seed \(seed): \(given.sorted())")
            }
            if !disk.isOff { break }
        }
        #expect(change > 3 && returned > 0)
    }
}
