// What a delivered and acked message costs the consumer itself. Runs where CONSUMER_SPEED is set, in a release build; the
// figures of a debug build mean nothing.

import Glibc
import Store
import StoreKit
import Testing
import Wire

@testable import Broker

@Suite(.enabled(if: getenv("CONSUMER_SPEED") != nil)) struct ConsumerSpeedTests {
    /// A host that takes what it is given and does next to nothing with it.
    private final class Sink: StreamHost, ConsumerStream {
        let accountName = "A"
        var now = Instant(wallNs: 1_800_000_000_000_000_000, monotonicNs: 1_000_000_000)
        var config = StreamConfig()
        var host: any StreamHost { self }
        let log: any MessageLog
        private(set) lazy var keyIndexes = KeyIndexes(log)
        let journal: (any ConsumerJournal)?
        var visibleSequence: UInt64
        let acks: UnsafeMutablePointer<UInt8> = .allocate(capacity: 64 << 20)
        var ackEnds: [Int] = []
        var ackBytes = 0
        var bytes = 0

        init(log: any MessageLog, journal: (any ConsumerJournal)?) {
            self.log = log
            self.journal = journal
            visibleSequence = log.durableSequence
            config.name = "ORDERS"
        }
        deinit { acks.deallocate() }
        func random() -> UInt64 { 7 }
        func publish(_ subject: ByteView, reply: ByteView, headers: ByteView, payload: ByteView) {}
        func target(_ subject: [UInt8], queue: [UInt8]) -> DeliveryTarget { DeliveryTarget(subject: subject, queue: queue) }
        func deliver(_ delivery: Delivery, to target: DeliveryTarget) -> Bool {
            bytes += delivery.payload.count
            memcpy(acks + ackBytes, delivery.reply.base, delivery.reply.count)
            ackBytes += delivery.reply.count
            ackEnds.append(ackBytes)
            return true
        }
        func isCongested(_ target: DeliveryTarget) -> Bool { false }
        func hasInterest(_ target: DeliveryTarget) -> Bool { true }
        func hasInterest(_ subject: ByteView) -> Bool { false }
        func watch(_ target: DeliveryTarget, _ changed: @escaping () -> Void) {}
        func unwatch(_ target: DeliveryTarget) {}
        func consumer(_ consumer: Consumer, isDoneWith sequence: UInt64) {}
        func afterJournalCommit(_ action: @escaping () -> Void) { action() }
        func consumerExpired(_ consumer: Consumer) {}
        func consumerAdded(_ consumer: Consumer) {}
        func consumerRemoved(_ consumer: Consumer) {}
        func consumerTouched(_ consumer: Consumer) {}
        func awaitsJournal(_ consumer: Consumer) {}
        var journalSettled: UInt64 { journal?.finishedCommit ?? 0 }
    }

    private func nowNs() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    @Test(arguments: [1, 100, 1_000], [AckPolicy.explicit, .none]) func deliverAndAck(batch: Int, policy: AckPolicy) throws {
        let directory = TemporaryDirectory()
        let log = try FileLog.open(directory: directory.path, disk: SystemDisk())
        let count = 400_000
        let subject = Array("orders.7.confirmed".utf8), payload = [UInt8](repeating: 65, count: 128)
        for index in 0..<count {
            _ = try subject.withUnsafeBytes { subject in
                try payload.withUnsafeBytes {
                    try log.append(
                        sequence: nil, timeNs: 1_800_000_000_000_000_000 + Int64(index), subject: ByteView(subject),
                        headers: .empty, payload: ByteView($0), marks: [])
                }
            }
            if index % 10_000 == 9_999, let job = log.beginCommit(syncs: false) { _ = log.finishCommit(job.run()) }
        }
        let everything = SubjectFilter([], log.subjects)
        var sequence: UInt64 = 1, bytes = 0
        let readStart = nowNs()
        while let next = log.next(atOrAfter: sequence, everything, upTo: log.durableSequence) {
            if case .message(let message) = log.load(next) { bytes += message.payload.count }
            sequence = next + 1
        }
        let reading = nowNs() - readStart

        let sink = Sink(log: log, journal: ListJournal())
        var config = ConsumerConfig()
        config.durable = "worker"
        config.ackPolicy = policy
        config.ackWaitNs = policy == .none ? 0 : 30_000_000_000
        config.maxAckPending = 10_000
        config.maxWaiting = 512
        let consumer = Consumer(name: "worker", config: config, createdNs: 1, stream: sink)
        consumer.enterJournal()
        let body = Array(#"{"batch":\#(batch),"expires":30000000000}"#.utf8), reply = Array("_INBOX.abcdefghijklmnop.1".utf8)
        let start = nowNs()
        for _ in 0..<(count / batch) {
            body.withUnsafeBytes { body in
                reply.withUnsafeBytes { reply in
                    consumer.receive(
                        next: Message(
                            subject: .empty, reply: ByteView(reply), headerBytes: -1, payload: ByteView(body), sizes: .empty))
                }
            }
            consumer.turnEnded()
            if policy == .explicit {
                var from = 0
                for end in sink.ackEnds {
                    consumer.receive(
                        ack: Message(
                            subject: ByteView(sink.acks + from, end - from), reply: .empty, headerBytes: -1, payload: .empty,
                            sizes: .empty))
                    from = end
                }
            }
            sink.ackEnds.removeAll(keepingCapacity: true)
            sink.ackBytes = 0
            sink.now.monotonicNs += 100_000
        }
        let total = nowNs() - start
        #expect(sink.bytes == bytes && consumer.info().pending == 0)
        print(
            "batch \(batch) \(policy): \(Double(total) / Double(count)) ns a message, of which reading the log "
                + "\(Double(reading) / Double(count))")
        withExtendedLifetime(sink) {}
    }
}
