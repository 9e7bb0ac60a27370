// The world around one stream: a clock that stands until it is moved, a disk that forgets, subscribers, and a record of what
// is sent to them.

import Store
import StoreKit
import Wire

@testable import Broker

/// Something that the stream or a consumer has sent.
struct Sent: CustomStringConvertible {
    /// What it is routed by.
    var to: String
    var subject: String
    var reply: String
    var headers: String
    var payload: String
    var timeNs: UInt64

    var description: String { "\(to) <- \(subject) \(headers.debugDescription) \(payload) reply \(reply)" }
    /// `404 No Messages`, or empty where the header block begins with no status.
    var status: String {
        let line = headers.prefix { $0 != "\r\n" }
        return line.hasPrefix("NATS/1.0 ") ? String(line.dropFirst(9)) : ""
    }
}

/// Owned by one simulation, on one thread.
final class World: StreamHost, CommitRunner {
    static let startWallNs: Int64 = 1_800_000_000_000_000_000
    private(set) var now = Instant(wallNs: World.startWallNs, monotonicNs: 1_000_000_000_000)
    private(set) var disk = SimulatedDisk()
    private(set) var config: StreamConfig
    private(set) var stream: Stream!
    private(set) var registry: ConsumerRegistry!
    private(set) var api: ConsumerAPI!
    private var journal: FileConsumerJournal?
    /// What the log says it has lost.
    private(set) var lost: [String] = []
    /// What the log has found when it was opened last.
    private(set) var recovered = RecoveryReport()
    /// What was there then, before anything else happened.
    private(set) var found: (lastSequence: UInt64, sequences: Set<UInt64>) = (0, [])
    /// What was delivered between the latest start after a crash and now, which nobody has heard.
    var deliveredAtStart: [Sent] = []
    private var jobs: [(job: CommitJob, then: (CommitResult) -> Void)] = []
    private var generator: SeededRandom
    private let options: Store.LogOptions
    private let settings: StreamSettings
    private var sent: [Sent] = []
    /// Who listens: a subject, or a subject and a queue group with a space between them.
    private(set) var interests: Set<String> = [World.key(Array("direct".utf8), [])]
    /// A mirror, or a stream with this one as its source.
    private(set) var copy: CopyWorld?
    private var watches: [ObjectIdentifier: () -> Void] = [:]
    private let createdNs = World.startWallNs

    /// - Parameter cacheMisses: every so many reads have to go to the platter.
    init(
        config: StreamConfig, settings: StreamSettings, options: Store.LogOptions, cacheMisses: Int?, copy: StreamConfig?,
        seed: UInt64
    ) throws {
        self.config = config
        self.settings = settings
        self.options = options
        generator = SeededRandom(seed: seed)
        try disk.makeDirectory("/s")
        try disk.makeDirectory("/s/consumers")
        try disk.syncDirectory("/")
        if let copy {
            try disk.makeDirectory("/m")
            try disk.makeDirectory("/m/consumers")
            try disk.syncDirectory("/")
            self.copy = CopyWorld(config: copy, world: self)
        }
        disk.missCache(onceIn: cacheMisses)
        try open()
        try disk.syncDirectory("/s")
        if copy != nil { try disk.syncDirectory("/m") }
        try quiesce()
    }

    // MARK: Coming and going

    private func open() throws {
        jobs = []
        watches = [:]
        var found: [RecoveredConsumer] = []
        let log: any MessageLog
        if config.storage == .memory {
            log = MemoryLog()
            journal = nil
        } else {
            // Ids must not come again.
            var options = options
            options.segmentIDSeed = generator.next()
            let file = try FileLog.open(directory: "/s/log", disk: disk, options: options)
            // An erasure that a crash has cut in two shows as damage, and costs nothing. What was never synced may be damaged.
            if file.recoveryReport.lostMessages > 0 && settings.syncPolicy == .always {
                throw Disagreement("the log reports damage: \(file.recoveryReport), \(file.state)")
            }
            recovered = file.recoveryReport
            let state = file.state
            self.found = (state.lastSequence, [])
            if state.messages > 0 {
                self.found.sequences = Set((state.firstSequence...state.lastSequence).filter { file.contains($0) })
            }
            file.onLost = { [unowned self] sequence, reason in self.lost.append("message \(sequence) is lost: \(reason)") }
            log = file
            let (opened, consumers) = try FileConsumerJournal.open(directory: "/s/consumers", disk: disk)
            journal = opened
            found = consumers
        }
        if config.firstSequence > 1 && log.state.lastSequence == 0 { try log.skip(to: config.firstSequence - 1) }
        self.found.lastSequence = max(self.found.lastSequence, log.state.lastSequence)
        stream = Stream(
            config: config, createdNs: createdNs, log: log, journal: journal, host: self, commits: self, settings: settings)
        let registry = ConsumerRegistry(stream: stream)
        stream.onConsumerExpired = { registry.delete($0) }
        self.registry = registry
        api = ConsumerAPI(stream: stream, registry: registry, limits: JetStreamLimits())
        let (damaged, lost) = registry.recover(found)
        if damaged > 0 || lost > 0 { throw Disagreement("\(lost) consumers and \(damaged) records of the journal are lost") }
        if let copy {
            var options = options
            options.segmentIDSeed = generator.next()
            try copy.open(options)
        }
        try quiesce()
    }

    private func leave() {
        copy?.leave()
        stream = nil
        registry = nil
        api = nil
        journal = nil
        jobs = []
        watches = [:]
        // Clients' inboxes go with their connections.
        interests = interests.filter { !$0.hasPrefix("in.") && !CopyWorld.isMeant(by: $0) }
    }

    /// Ends the broker in order and starts it again after a while. What a stream in memory held is gone.
    func restart(afterNs: UInt64) throws {
        registry.stopAll(.shutdown)
        stream.prepareToClose()
        try quiesce()
        if let file = stream.log as? FileLog {
            while let job = file.beginClose() {
                if let error = file.finishCommit(job.run()) { throw Disagreement("closing failed: \(error)") }
            }
        }
        try copy?.close()
        leave()
        disk = disk.copy()
        move(to: now.monotonicNs + afterNs)
        try open()
    }

    /// Cuts the power at some later change of the disk, lets the stream run into that, and starts again. What publishers were
    /// told before, and what was republished since, is left to be looked at.
    func crash(afterChanges: Int, afterNs: UInt64) throws {
        disk.failPower(atChange: disk.changes + afterChanges)
        try quiesce()
        leave()
        disk = disk.crashed(seed: generator.next())
        move(to: now.monotonicNs + afterNs)
        let before = sent.filter { $0.to.hasPrefix("pub.") }
        sent = []
        try open()
        deliveredAtStart = sent.filter { $0.reply.hasPrefix("$JS.ACK.") }
        sent = before + sent.filter { $0.to.hasPrefix("again.") }
    }

    func update(_ new: StreamConfig) throws {
        config = new
        stream.update(new)
        for consumer in registry.all { consumer.streamUpdated() }
        try quiesce()
    }

    /// The stream knows this world as its host: neither would go.
    func end() {
        leave()
        copy = nil
    }

    // MARK: Turns and time

    /// Lets everything happen that follows without time passing.
    func quiesce() throws {
        for _ in 0..<20_000 {
            stream.turnEnded()
            if !jobs.isEmpty {
                let next = jobs.removeFirst()
                next.then(next.job.run())
                continue
            }
            if disk.isOff { return }
            if let file = stream.log as? FileLog {
                if let job = file.beginRead() {
                    let result = job.run()
                    // Timers do not wait for the disk.
                    if generator.once(in: 3) {
                        stream.advance()
                        stream.turnEnded()
                    }
                    file.finishRead(result)
                    continue
                }
                if let job = file.beginMaintenance() {
                    let result = job.run()
                    if let error = file.finishMaintenance(result), !disk.isOff {
                        throw Disagreement("maintenance failed: \(error)")
                    }
                    continue
                }
            }
            if let copy, try copy.step() { continue }
            guard let due = stream.nextDeadlineNs, due <= now.monotonicNs else { return }
            stream.advance()
        }
        throw Disagreement("the stream does not come to rest; next deadline \(String(describing: stream.nextDeadlineNs))")
    }

    /// Moves on to the next moment at which the stream has something to do, but no further than `end`.
    /// - Returns: false once `end` is reached.
    func step(upTo end: UInt64) throws -> Bool {
        let due = min(stream.nextDeadlineNs ?? .max, copy?.nextDeadlineNs ?? .max)
        // Timers are a millisecond apart, and late rather than early.
        let moment = due > end ? end : min(end, (max(due, now.monotonicNs + 1) + 999_999) / 1_000_000 * 1_000_000)
        move(to: moment)
        stream.advance()
        copy?.advance()
        try quiesce()
        return moment < end
    }

    private func move(to monotonicNs: UInt64) {
        guard monotonicNs > now.monotonicNs else { return }
        now.wallNs += Int64(monotonicNs - now.monotonicNs)
        now.monotonicNs = monotonicNs
    }

    // MARK: Clients

    /// What was sent since the last call.
    func taken() -> [Sent] {
        defer { sent.removeAll(keepingCapacity: true) }
        return sent
    }

    /// What was sent since the last call to publishers; the rest is left for later.
    func takenAnswers() -> [Sent] {
        defer { sent.removeAll { $0.to.hasPrefix("pub.") } }
        return sent.filter { $0.to.hasPrefix("pub.") }
    }

    func subscribe(_ key: String) {
        interests.insert(key)
        for changed in Array(watches.values) { changed() }
    }

    func unsubscribe(_ key: String) {
        interests.remove(key)
        for changed in Array(watches.values) { changed() }
    }

    /// Has something take a message.
    func send(_ subject: String, headers: String = "", _ body: String = "", reply: String = "", to take: (Message) -> Void) {
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

    /// Asks the API for something; the answer comes with `then`, perhaps in a later turn.
    func request(
        _ body: String, _ call: (ByteView, @escaping ([UInt8]) -> Void) -> Void, then: @escaping (String) -> Void
    ) {
        Array(body.utf8).withUnsafeBytes { body in call(ByteView(body)) { then(String(decoding: $0, as: UTF8.self)) } }
    }

    /// The answer to a request, with all that follows from it.
    func ask(_ body: String, _ call: (ByteView, @escaping ([UInt8]) -> Void) -> Void) throws -> String {
        var answer: String?
        request(body, call) { answer = $0 }
        try quiesce()
        guard let answer else { throw Disagreement("no answer to \(body)") }
        return answer
    }

    /// Whether the stream remembers a message id as that of a message.
    func knows(_ id: String, _ sequence: UInt64) -> Bool {
        Array(id.utf8).withUnsafeBytes { stream.duplicates.sequence(of: ByteView($0)) } == sequence
    }

    // MARK: StreamHost

    func random() -> UInt64 { generator.next() }

    func publish(_ subject: ByteView, reply: ByteView, headers: ByteView, payload: ByteView) {
        let to = subject.string
        if CopyWorld.isMeant(by: to) { return copy?.receive(to, subject, reply, headers, payload) ?? () }
        sent.append(
            Sent(
                to: to, subject: to, reply: reply.string, headers: headers.string, payload: payload.string,
                timeNs: now.monotonicNs))
    }

    func target(_ subject: [UInt8], queue: [UInt8]) -> DeliveryTarget { DeliveryTarget(subject: subject, queue: queue) }

    func deliver(_ delivery: Delivery, to target: DeliveryTarget) -> Bool {
        guard hasInterest(target) else { return false }
        let to = String(decoding: target.subject, as: UTF8.self)
        if CopyWorld.isMeant(by: to) {
            copy?.receive(to, delivery.subject, delivery.reply, delivery.headers, delivery.payload)
            return true
        }
        sent.append(
            Sent(
                to: to, subject: delivery.subject.string,
                reply: delivery.reply.string, headers: delivery.headers.string, payload: delivery.payload.string,
                timeNs: now.monotonicNs))
        return true
    }

    func hasInterest(_ target: DeliveryTarget) -> Bool { interests.contains(World.key(target.subject, target.queue)) }

    func isCongested(_ target: DeliveryTarget) -> Bool { false }

    /// Nobody listens to advisories here: they have tests of their own.
    func hasInterest(_ subject: ByteView) -> Bool { interests.contains(subject.string) }

    func watch(_ target: DeliveryTarget, _ changed: @escaping () -> Void) { watches[ObjectIdentifier(target)] = changed }
    func unwatch(_ target: DeliveryTarget) { watches[ObjectIdentifier(target)] = nil }

    static func key(_ subject: [UInt8], _ queue: [UInt8]) -> String {
        String(decoding: queue.isEmpty ? subject : subject + [0x20] + queue, as: UTF8.self)
    }

    // MARK: CommitRunner

    func run(_ job: CommitJob, then: @escaping (CommitResult) -> Void) { jobs.append((job, then)) }
}

/// The broker and the model differ, or a rule is broken.
struct Disagreement: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
