// A stream and a world for consumers under test: a real log on a real disk, a clock that stands until it is told to move, and
// a record of everything that is sent.

import Glibc
import Store
import StoreKit
import Testing
import Wire

@testable import Broker

/// Something that a consumer has sent, by delivery or by publish.
struct Sent: Equatable, CustomStringConvertible {
    /// What it is routed by.
    var to: String
    var subject: String
    var reply: String
    var headers: String
    var payload: String
    var queue = ""

    /// `404 No Messages`, or empty where the header block begins with no status.
    var status: String {
        let line = headers.prefix { $0 != "\r\n" }
        return line.hasPrefix("NATS/1.0 ") ? String(line.dropFirst(9)) : ""
    }
    func header(_ name: String) -> String? {
        for line in headers.split(separator: "\r\n") where line.hasPrefix(name + ": ") {
            return String(line.dropFirst(name.count + 2))
        }
        return nil
    }
    /// The stream sequence that a delivery's ack subject tells.
    var sequence: UInt64? { reference?.sequence }
    var reference: AckReference? { Array(reply.utf8).withUnsafeBytes { AckReference(ByteView($0)) } }
    var description: String { "\(to)|\(subject)|\(reply)|\(headers.debugDescription)|\(payload)" }
}

/// Consumer records in memory, with the two steps of a real journal: appended, then durable.
final class ListJournal: ConsumerJournal {
    /// Those that wait for a commit to be finished wait as long as a test holds the two apart.
    var commitTicket: UInt64 = 0
    var finishedCommit: UInt64 = 0
    var failure: StoreError?
    var snapshot: ((ConsumerID) -> [UInt8]?)?
    private var lastID: ConsumerID = 0
    private(set) var live: [ConsumerID: [[UInt8]]] = [:]
    private(set) var durable: [ConsumerID: [[UInt8]]] = [:]
    private(set) var isChanged = false

    func makeID() -> ConsumerID {
        lastID += 1
        return lastID
    }
    func append(_ id: ConsumerID, _ record: UnsafeRawBufferPointer, replaces: Bool) {
        if replaces { live[id] = [] }
        live[id, default: []].append(Array(record))
        isChanged = true
    }
    func drop(_ id: ConsumerID) {
        live[id] = nil
        isChanged = true
    }
    /// As when most of a journal is history.
    func rewrite() {
        for id in live.keys { if let record = snapshot?(id) { live[id] = [record] } }
        isChanged = true
    }
    func commitNow() {
        durable = live
        isChanged = false
    }
    func beginCommit(syncs: Bool) -> CommitJob? { nil }
    func finishCommit(_ result: CommitResult) -> StoreError? { nil }
    var found: [RecoveredConsumer] {
        durable.sorted { $0.key < $1.key }.map { RecoveredConsumer(id: $0.key, records: $0.value) }
    }
    /// What a restart finds.
    func reopened() -> ListJournal {
        let next = ListJournal()
        next.lastID = lastID
        next.live = durable
        next.durable = durable
        return next
    }
}

final class ConsumerFixture: StreamHost, ConsumerStream {
    let accountName = "A"
    static let startWallNs: Int64 = 1_800_000_000_000_000_000
    var now = Instant(wallNs: startWallNs, monotonicNs: 1_000_000_000_000)
    var config: StreamConfig
    let log: any MessageLog
    let lists: ListJournal
    var journal: (any ConsumerJournal)? { lists }
    var host: any StreamHost { self }
    var visibleSequence: UInt64 = 0
    var sent: [Sent] = []
    /// Subscriptions: subject patterns, each as often as it is there.
    var interests: [String] = []
    var doneSequences: [UInt64] = []
    var expired: [String] = []
    private var generator: SeededGenerator
    private var watchers: [ObjectIdentifier: (DeliveryTarget, () -> Void)] = [:]
    private var waiting: [() -> Void] = []
    private(set) lazy var registry = ConsumerRegistry(stream: self)
    private(set) lazy var api = ConsumerAPI(stream: self, registry: registry, limits: JetStreamLimits())
    private let directory: TemporaryDirectory
    private(set) lazy var keyIndexes = KeyIndexes(log)

    init(
        _ change: (inout StreamConfig) -> Void = { _ in }, seed: UInt64 = 1, directory: TemporaryDirectory? = nil,
        journal: ListJournal = ListJournal()
    ) throws {
        config = StreamConfig()
        config.name = "S"
        config.subjects = ["s.>"]
        change(&config)
        generator = SeededGenerator(seed: seed)
        self.directory = directory ?? TemporaryDirectory()
        log = try FileLog.open(directory: self.directory.path, disk: SystemDisk())
        lists = journal
        visibleSequence = log.durableSequence
        log.onRemoved = { [unowned self] sequence, subject, bytes in
            for consumer in registry.all { consumer.messageRemoved(sequence, subject, bytes: bytes) }
        }
        _ = registry
    }

    /// The world after a crash: the log as it is on disk, and what the journal had made durable.
    func restarted(afterNs: Int64 = 0) throws -> ConsumerFixture {
        let next = try ConsumerFixture(
            { $0 = config }, seed: generator.next(), directory: directory, journal: lists.reopened())
        next.now = Instant(wallNs: now.wallNs + afterNs, monotonicNs: 5_000_000)
        next.interests = interests
        let outcome = next.registry.recover(next.lists.found)
        #expect(outcome.damagedRecords == 0 && outcome.lostConsumers == 0)
        return next
    }

    // MARK: Host

    func random() -> UInt64 { generator.next() }
    func publish(_ subject: ByteView, reply: ByteView, headers: ByteView, payload: ByteView) {
        sent.append(
            Sent(
                to: subject.string, subject: subject.string, reply: reply.string, headers: headers.string,
                payload: payload.string))
    }
    func target(_ subject: [UInt8], queue: [UInt8]) -> DeliveryTarget { DeliveryTarget(subject: subject, queue: queue) }
    func deliver(_ delivery: Delivery, to target: DeliveryTarget) -> Bool {
        guard hasInterest(target) else { return false }
        sent.append(
            Sent(
                to: String(decoding: target.subject, as: UTF8.self), subject: delivery.subject.string,
                reply: delivery.reply.string, headers: delivery.headers.string, payload: delivery.payload.string,
                queue: String(decoding: target.queue, as: UTF8.self)))
        return true
    }
    var isCongested = false
    func isCongested(_ target: DeliveryTarget) -> Bool { isCongested }
    func hasInterest(_ target: DeliveryTarget) -> Bool { target.subject.withUnsafeBytes { hasInterest(ByteView($0)) } }
    func hasInterest(_ subject: ByteView) -> Bool {
        interests.contains { Array($0.utf8).withUnsafeBytes { Subject.matches(ByteView($0), subject) } }
    }
    func watch(_ target: DeliveryTarget, _ changed: @escaping () -> Void) {
        watchers[ObjectIdentifier(target)] = (target, changed)
    }
    func unwatch(_ target: DeliveryTarget) { watchers[ObjectIdentifier(target)] = nil }

    func subscribe(_ subject: String) {
        interests.append(subject)
        for (_, changed) in Array(watchers.values) { changed() }
    }
    func unsubscribe(_ subject: String) {
        if let index = interests.firstIndex(of: subject) { interests.remove(at: index) }
        for (_, changed) in Array(watchers.values) { changed() }
    }

    // MARK: Stream

    func consumer(_ consumer: Consumer, isDoneWith sequence: UInt64) {
        doneSequences.append(sequence)
        guard config.retention != .limits, !registry.all.contains(where: { $0.isWaiting(for: sequence) }) else { return }
        _ = try? log.remove(sequence, erases: false)
    }
    func afterJournalCommit(_ action: @escaping () -> Void) { lists.isChanged ? waiting.append(action) : action() }
    func consumerExpired(_ consumer: Consumer) {
        expired.append(consumer.name)
        registry.delete(consumer)
    }
    func consumerAdded(_ consumer: Consumer) {}
    func consumerRemoved(_ consumer: Consumer) {}
    func consumerTouched(_ consumer: Consumer) {}
    func awaitsJournal(_ consumer: Consumer) {}
    var journalSettled: UInt64 { journal?.finishedCommit ?? 0 }

    /// Stores messages and makes them durable and visible. - Returns: the last sequence.
    @discardableResult
    func store(_ subjects: String..., payload: String = "hello", headers: String = "") throws -> UInt64 {
        for subject in subjects { try append(subject, payload: payload, headers: headers) }
        return commitLog()
    }
    func append(_ subject: String, payload: String = "hello", headers: String = "") throws {
        let subject = Array(subject.utf8), payload = Array(payload.utf8), headers = Array(headers.utf8)
        try subject.withUnsafeBytes { subject in
            try headers.withUnsafeBytes { headers in
                try payload.withUnsafeBytes { payload in
                    _ = try log.append(
                        sequence: nil, timeNs: now.wallNs, subject: ByteView(subject), headers: ByteView(headers),
                        payload: ByteView(payload), marks: [])
                }
            }
        }
    }
    @discardableResult
    func commitLog() -> UInt64 {
        if let job = log.beginCommit(syncs: false) { #expect(log.finishCommit(job.run()) == nil) }
        visibleSequence = log.durableSequence
        for consumer in registry.all { consumer.messagesVisible() }
        return visibleSequence
    }

    // MARK: Turns and time

    /// Ends a turn, and by default has the journal's commit finish.
    func endTurn(commits: Bool = true) {
        for name in registry.names { registry[name]?.turnEnded() }
        if commits { commitJournal() }
    }
    func commitJournal() {
        lists.commitNow()
        let actions = waiting
        waiting = []
        for action in actions { action() }
    }

    /// Lets time pass, with every deadline on the way.
    func pass(ms: Int64) {
        let end = now.monotonicNs + UInt64(ms) * 1_000_000
        var rounds = 0
        while rounds < 100_000 {
            rounds += 1
            let next = registry.all.compactMap(\.nextDeadlineNs).min() ?? .max
            guard next <= end else { break }
            move(to: max(next, now.monotonicNs))
            for name in registry.names { registry[name]?.advance() }
            endTurn()
        }
        #expect(rounds < 100_000, "deadlines that never pass")
        move(to: end)
    }
    private func move(to monotonicNs: UInt64) {
        now.wallNs += Int64(monotonicNs - now.monotonicNs)
        now.monotonicNs = monotonicNs
    }

    // MARK: Clients

    /// Creates a consumer as the API would, with defaults and checks.
    func create(_ name: String = "c", _ change: (inout ConsumerConfig) -> Void = { _ in }) throws -> Consumer {
        var config = ConsumerConfig()
        config.durable = name
        config.name = name
        config.ackPolicy = .explicit
        change(&config)
        let creation = try config.checkedForCreate(
            action: .createOrUpdate, pedantic: false, stream: self.config, limits: JetStreamLimits(), existing: nil,
            others: [], hasInterest: { _ in false })
        guard case .new(let checked) = creation else { throw ErrorText("not new") }
        let consumer = registry.create(checked)
        endTurn()
        return consumer
    }

    func pull(_ consumer: Consumer, _ body: String = "", reply: String = "inbox", ends: Bool = true) {
        if !interests.contains(reply) { interests.append(reply) }
        send(body, to: "$JS.API.CONSUMER.MSG.NEXT.S.\(consumer.name)", reply: reply) { consumer.receive(next: $0) }
        if ends { endTurn() }
    }
    func ack(_ consumer: Consumer, _ delivery: Sent, _ body: String = "", reply: String = "", ends: Bool = true) {
        send(body, to: delivery.reply, reply: reply) { consumer.receive(ack: $0) }
        if ends { endTurn() }
    }
    func send(_ body: String, headers: String = "", to subject: String, reply: String = "", _ take: (Message) -> Void) {
        let subject = Array(subject.utf8), reply = Array(reply.utf8), content = Array((headers + body).utf8)
        subject.withUnsafeBytes { subject in
            reply.withUnsafeBytes { reply in
                content.withUnsafeBytes { content in
                    take(
                        Message(
                            subject: ByteView(subject), reply: ByteView(reply),
                            headerBytes: headers.isEmpty ? -1 : headers.utf8.count, payload: ByteView(content), sizes: .empty))
                }
            }
        }
    }

    /// What was sent since the last call, without advisories.
    func taken() -> [Sent] {
        defer { sent.removeAll { !$0.to.hasPrefix("$JS.EVENT.") } }
        return sent.filter { !$0.to.hasPrefix("$JS.EVENT.") }
    }
    /// The advisories and metrics since the last call: what stands behind `$JS.EVENT.` and the bodies.
    func events() -> [Sent] {
        defer { sent.removeAll { $0.to.hasPrefix("$JS.EVENT.") } }
        return sent.filter { $0.to.hasPrefix("$JS.EVENT.") }
    }
}

struct ErrorText: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
