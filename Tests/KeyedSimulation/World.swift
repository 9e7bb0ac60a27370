// The world around one stream with a keyed consumer: a clock that stands until it is moved, a disk that forgets, clients that
// hold what they were given, and everything that is sent to them and to operators.

import Store
import StoreKit
import Wire

@testable import Broker

/// A rule is broken.
struct Violation: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// A message that a client was given.
struct Lease {
    var sequence: UInt64
    var delivery: UInt64
    var deliveries: UInt64
    var client: Int
    var subject: [UInt8]
}

/// Something that clients or operators see.
enum Event {
    case given(Lease, nowNs: UInt64)
    /// An answer to an ack: the number in the reply subject, and whether it is a refusal.
    case answered(Int, isStale: Bool)
    case deadLetter(UInt64)

    /// Whether it is still seen when the broker dies at once.
    var outlivesCrash: Bool {
        if case .deadLetter = self { return true }
        return false
    }
}

/// An inbox of one client.
private final class Inbox: DeliveryTarget {
    let client: Int

    init(_ subject: [UInt8]) {
        // `i.<client>`
        client = subject.dropFirst(2).reduce(0) { $0 * 10 + Int($1 &- 0x30) }
        super.init(subject: subject)
    }
}

/// Owned by one simulation, on one thread.
final class World: StreamHost, CommitRunner {
    private(set) var now = Instant(wallNs: 1_800_000_000_000_000_000, monotonicNs: 1_000_000_000_000)
    private(set) var disk = SimulatedDisk()
    private(set) var stream: Stream!
    private(set) var registry: ConsumerRegistry!
    let config: StreamConfig
    let checks: KeyedChecks
    private var journal: FileConsumerJournal?
    private var jobs: [(job: CommitJob, then: (CommitResult) -> Void)] = []
    private var generator: SeededRandom

    /// What has come out since the last look, in order.
    var events: [Event] = []

    init(config: StreamConfig, consumer: ConsumerConfig, checks: KeyedChecks, seed: UInt64) throws {
        self.config = config
        self.checks = checks
        generator = SeededRandom(seed: seed)
        try disk.makeDirectory("/s")
        try disk.makeDirectory("/s/consumers")
        try disk.syncDirectory("/")
        try open()
        try disk.syncDirectory("/s")
        _ = registry.create(consumer)
        self.consumer.keyed?.checks = checks
        try settle()
    }

    var consumer: Consumer { registry["c"].unsafelyUnwrapped }
    var keyed: KeyedDelivery { consumer.keyed.unsafelyUnwrapped }

    // MARK: Coming and going

    private func open() throws {
        jobs = []
        var options = Store.LogOptions()
        // Ids must not come again.
        options.segmentIDSeed = generator.next()
        let log = try FileLog.open(directory: "/s/log", disk: disk, options: options)
        let (opened, found) = try FileConsumerJournal.open(directory: "/s/consumers", disk: disk)
        journal = opened
        stream = Stream(
            config: config, createdNs: 0, log: log, journal: journal, host: self, commits: self, settings: StreamSettings())
        registry = ConsumerRegistry(stream: stream)
        let (damaged, lost) = registry.recover(found)
        if damaged > 0 || lost > 0 { throw Violation("\(lost) consumers and \(damaged) records of the journal are lost") }
        registry["c"]?.keyed?.checks = checks
    }

    /// Cuts the power after some more changes of the disk, and starts again. What has not come out by then never does.
    ///
    /// - Parameter end: called when the broker has done its last, and is not gone yet.
    func crash(afterChanges changes: Int, afterNs: UInt64, end: () -> Void) throws {
        disk.failPower(atChange: disk.changes + changes)
        for _ in 0..<4 where !disk.isOff {
            stream.turnEnded()
            commit()
        }
        end()
        let seen = events.filter(\.outlivesCrash)
        registry = nil
        stream = nil
        journal = nil
        jobs = []
        disk = disk.crashed(seed: generator.next())
        move(to: now.monotonicNs + afterNs)
        try open()
        events = seen
        try settle()
    }

    /// The stream knows this world as its host: neither would go.
    func end() {
        registry = nil
        stream = nil
        jobs = []
    }

    // MARK: Turns and time

    func turn() { stream.turnEnded() }

    /// Finishes the oldest commit that is under way.
    func commit() {
        guard !jobs.isEmpty else { return }
        let next = jobs.removeFirst()
        next.then(next.job.run())
        if !disk.isOff { stream.turnEnded() }
    }

    /// Lets everything happen that follows without time passing.
    func settle() throws {
        for _ in 0..<20_000 {
            stream.turnEnded()
            if !jobs.isEmpty {
                commit()
                continue
            }
            guard let file = stream.log as? FileLog else { return }
            if let job = file.beginRead() {
                file.finishRead(job.run())
                continue
            }
            if let job = file.beginMaintenance() {
                if let error = file.finishMaintenance(job.run()) { throw Violation("maintenance failed: \(error)") }
                continue
            }
            guard let due = stream.nextDeadlineNs, due <= now.monotonicNs else { return }
            stream.advance()
        }
        throw Violation("the stream does not come to rest")
    }

    func pass(ns: UInt64) throws {
        let end = now.monotonicNs + ns
        var rounds = 0
        while let due = stream.nextDeadlineNs, due <= end {
            rounds += 1
            if rounds > 20_000 { throw Violation("deadlines that never pass") }
            move(to: max(due, now.monotonicNs + 1_000_000))
            stream.advance()
            try settle()
        }
        move(to: end)
    }

    private func move(to monotonicNs: UInt64) {
        guard monotonicNs > now.monotonicNs else { return }
        now.wallNs += Int64(monotonicNs - now.monotonicNs)
        now.monotonicNs = monotonicNs
    }

    // MARK: Clients

    /// To `s.<key>.<last>`, or `s.own.<last>`.
    func publish(_ key: Int?, _ last: Int, headers: String = "") {
        send("s.\(key.map(String.init) ?? "own").\(last)", "x", headers: headers) { stream.receive($0) }
    }

    /// Has the consumer's filter changed, as by a request.
    func filter(_ patterns: [String]) throws {
        var config = consumer.config
        config.filterSubjects = patterns
        consumer.update(config)
        // The answer waits for that, and has it synced.
        stream.afterJournalCommit {}
        try settle()
    }

    /// Of the subject of a message that is there: what filters go by.
    func lastToken(_ sequence: UInt64) -> Int? {
        stream.log.subject(of: sequence).flatMap { stream.log.subjects.subject($0).string.split(separator: ".").last }
            .flatMap { Int($0) }
    }

    func isWanted(_ sequence: UInt64) -> Bool {
        consumer.filter.isEverything || stream.log.subject(of: sequence).map { consumer.filter.matches($0) } ?? true
    }

    func pull(client: Int, batch: Int, expiresNs: UInt64) {
        send("p", #"{"batch":\#(batch),"expires":\#(expiresNs)}"#, reply: "i.\(client)") {
            consumer.receive(next: $0, from: UInt64(client + 1))
        }
    }

    func ack(_ lease: Lease, _ body: String, answer: Int) {
        lease.subject.withUnsafeBytes { subject in
            Array(body.utf8).withUnsafeBytes { body in
                Array("a.\(answer)".utf8).withUnsafeBytes { reply in
                    consumer.receive(
                        ack: Message(
                            subject: ByteView(subject), reply: ByteView(reply), headerBytes: -1, payload: ByteView(body),
                            sizes: .empty), from: UInt64(lease.client + 1))
                }
            }
        }
    }

    /// A command of an operator; `answer` may come in a later turn, or never.
    func command(_ operation: KeyOperation, _ body: String, _ answer: @escaping (JSONValue) -> Void) {
        Array(body.utf8).withUnsafeBytes { body in
            keyed.handle(operation, ByteView(body)) { answer((try? JSONValue.parse($0)) ?? .null) }
        }
    }

    private func send(
        _ subject: String, _ body: String, headers: String = "", reply: String = "", to take: (Message) -> Void
    ) {
        Array(subject.utf8).withUnsafeBytes { subject in
            Array(reply.utf8).withUnsafeBytes { reply in
                Array((headers + body).utf8).withUnsafeBytes { content in
                    take(
                        Message(
                            subject: ByteView(subject), reply: ByteView(reply),
                            headerBytes: headers.isEmpty ? -1 : headers.utf8.count, payload: ByteView(content), sizes: .empty))
                }
            }
        }
    }

    // MARK: StreamHost

    func random() -> UInt64 { generator.next() }

    func publish(_ subject: ByteView, reply: ByteView, headers: ByteView, payload: ByteView) {
        if subject.hasPrefix("a.") {
            var number = 0
            for place in 2..<subject.count { number = number * 10 + Int(subject[place] &- 0x30) }
            events.append(.answered(number, isStale: !headers.isEmpty))
        } else if subject.hasPrefix("$BELLHOP.DLQ."), let value = try? JSONValue.parse(payload),
            let sequence = value.object?["stream_seq"]?.int64
        {
            events.append(.deadLetter(UInt64(sequence)))
        }
    }

    func target(_ subject: [UInt8], queue: [UInt8]) -> DeliveryTarget { Inbox(subject) }

    func deliver(_ delivery: Delivery, to target: DeliveryTarget) -> Bool {
        guard let inbox = target as? Inbox, let reference = AckReference(delivery.reply) else { return false }
        let lease = Lease(
            sequence: reference.sequence, delivery: reference.delivery, deliveries: reference.deliveries,
            client: inbox.client, subject: delivery.reply.bytes)
        events.append(.given(lease, nowNs: now.monotonicNs))
        return true
    }

    func isCongested(_ target: DeliveryTarget) -> Bool { false }
    func hasInterest(_ target: DeliveryTarget) -> Bool { true }
    func hasInterest(_ subject: ByteView) -> Bool { subject.hasPrefix("$BELLHOP.DLQ.") }
    func watch(_ target: DeliveryTarget, _ changed: @escaping () -> Void) {}
    func unwatch(_ target: DeliveryTarget) {}

    // MARK: CommitRunner

    func run(_ job: CommitJob, then: @escaping (CommitResult) -> Void) { jobs.append((job, then)) }
}
