// A stream with its consumers in a stream directory on a simulated disk, opened and served as the broker does it.

import Store
import StoreKit
import Testing
import Wire

@testable import Broker

final class StoredStream: StreamHost, CommitRunner {
    static let account = "/sd/jetstream/A"
    static let directory = account + "/streams/S"

    let disk: SimulatedDisk
    private(set) var now = Instant(wallNs: 1_800_000_000_000_000_000, monotonicNs: 1_000_000_000_000)
    let opened: OpenedStream
    let log: FileLog
    private(set) var stream: Stream!
    private(set) lazy var registry = ConsumerRegistry(stream: stream)
    /// Sequences that the log has reported as lost while they were read.
    var lost: [UInt64] = []
    /// What was published or delivered.
    var output: [(subject: String, reply: String, payload: String)] = []
    /// Somebody listens to whatever is told.
    var hasListeners = false
    /// Of commits that are begun in one turn, the last one is done first.
    var reversesCommits = false
    private var jobs: [(CommitJob, (CommitResult) -> Void)] = []
    private var seed: UInt64 = 1
    private var replies = 0

    static func config(_ change: (inout StreamConfig) -> Void = { _ in }) -> StreamConfig {
        var config = StreamConfig()
        config.name = "S"
        config.subjects = ["s.>"]
        change(&config)
        return config
    }

    /// A disk with the account's directory and nothing in it.
    static func makeDisk() throws -> SimulatedDisk {
        let disk = SimulatedDisk()
        try JetStream.makeDirectories(account, disk)
        return disk
    }

    /// A new stream.
    init(creating config: StreamConfig = StoredStream.config(), on disk: SimulatedDisk) throws {
        self.disk = disk
        opened = try StreamFiles.create(StreamDefinition(config: config, createdNs: 1), in: StoredStream.account, disk)
        log = try #require(opened.log as? FileLog)
        serve()
    }

    /// What is there; nil if there is no stream.
    ///
    /// - Parameter change: what its configuration says now.
    init?(on disk: SimulatedDisk, _ change: (inout StreamConfig) -> Void = { _ in }) throws {
        guard let found = try StreamFiles.open(StoredStream.directory, disk) else { return nil }
        self.disk = disk
        opened = found
        log = try #require(opened.log as? FileLog)
        serve(change)
    }

    private func serve(_ change: (inout StreamConfig) -> Void = { _ in }) {
        var config = opened.definition.config
        change(&config)
        stream = Stream(
            config: config, createdNs: opened.definition.createdNs, log: opened.log, journal: opened.journal,
            host: self, commits: self, settings: StreamSettings())
        log.onLost = { [unowned self] sequence, _ in lost.append(sequence) }
        _ = registry.recover(opened.consumers)
        turn()
    }

    // MARK: Turns

    func turn() {
        for _ in 0..<50 {
            stream.turnEnded()
            let running = jobs
            jobs = []
            for (job, then) in reversesCommits ? running.reversed() : running { then(job.run()) }
            let read = log.beginRead()
            if let read { log.finishRead(read.run()) }
            if running.isEmpty && read == nil { return }
        }
    }

    func maintain() {
        for _ in 0..<50 {
            turn()
            guard let job = log.beginMaintenance() else {
                if log.wantsCommit { continue }
                return
            }
            _ = log.finishMaintenance(job.run())
        }
    }

    func pass(seconds: Int) {
        for _ in 0..<seconds {
            now.wallNs += 1_000_000_000
            now.monotonicNs += 1_000_000_000
            stream.advance()
            turn()
        }
    }

    func close() throws {
        turn()
        while let job = log.beginClose() { if let error = log.finishCommit(job.run()) { throw error } }
        try opened.journal?.close()
    }

    // MARK: Clients

    func message(
        _ subject: String, _ body: String, _ headers: KeyValuePairs<String, String> = [:], reply: String = "",
        _ take: (Message) -> Void
    ) {
        var block = headers.isEmpty ? "" : "NATS/1.0\r\n"
        for (name, value) in headers { block += "\(name): \(value)\r\n" }
        if !headers.isEmpty { block += "\r\n" }
        Array(subject.utf8).withUnsafeBytes { subject in
            Array(reply.utf8).withUnsafeBytes { reply in
                Array((block + body).utf8).withUnsafeBytes { content in
                    take(
                        Message(
                            subject: ByteView(subject), reply: ByteView(reply),
                            headerBytes: headers.isEmpty ? -1 : block.utf8.count, payload: ByteView(content), sizes: .empty))
                }
            }
        }
    }

    /// - Returns: the answer; empty without one.
    private func call(
        _ subject: String, _ body: String, _ headers: KeyValuePairs<String, String> = [:], _ take: (Message) -> Void
    ) -> String {
        replies += 1
        let reply = "reply.\(replies)"
        message(subject, body, headers, reply: reply, take)
        turn()
        return output.last { $0.subject == reply }?.payload ?? ""
    }

    @discardableResult
    func publish(_ subject: String, _ body: String, _ headers: KeyValuePairs<String, String> = [:]) -> String {
        call(subject, body, headers) { stream.receive($0) }
    }

    func request(_ call: (Stream) -> (ByteView, @escaping ([UInt8]) -> Void) -> Void, _ body: String) -> String {
        var answer = ""
        Array(body.utf8).withUnsafeBytes { call(stream)(ByteView($0)) { answer = String(decoding: $0, as: UTF8.self) } }
        turn()
        return answer
    }

    func create(_ name: String, _ change: (inout ConsumerConfig) -> Void = { _ in }) -> Consumer {
        var config = ConsumerConfig()
        config.durable = name
        config.name = name
        config.ackPolicy = .explicit
        config.ackWaitNs = 600_000_000_000
        config.maxAckPending = 1_000
        change(&config)
        let consumer = registry.create(config)
        turn()
        return consumer
    }

    /// - Returns: what is delivered: the ack subjects and payloads.
    func pull(_ consumer: Consumer, _ count: Int) -> [(reply: String, payload: String)] {
        output = []
        message("next", "\(count)", reply: "inbox") { consumer.receive(next: $0) }
        turn()
        return output.filter { $0.subject == "inbox" && !$0.reply.isEmpty }.map { ($0.reply, $0.payload) }
    }

    /// - Returns: whether the ack was answered.
    func ack(_ consumer: Consumer, _ subject: String) -> Bool {
        let before = output.count
        _ = call(subject, "+ACK") { consumer.receive(ack: $0) }
        return output.count > before
    }

    /// Sequences and payloads of all that can be read.
    var contents: [UInt64: String] {
        var contents: [UInt64: String] = [:]
        let state = log.state
        guard state.messages > 0 else { return [:] }
        for sequence in state.firstSequence...state.lastSequence {
            for _ in 0..<100 {
                let outcome = log.load(sequence)
                if case .message(let message) = outcome { contents[sequence] = message.payload.string }
                guard case .reading = outcome, let job = log.beginRead() else { break }
                log.finishRead(job.run())
            }
        }
        return contents
    }

    // MARK: StreamHost

    func random() -> UInt64 {
        seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return seed
    }
    func publish(_ subject: ByteView, reply: ByteView, headers: ByteView, payload: ByteView) {
        output.append((subject.string, reply.string, payload.string))
    }
    func target(_ subject: [UInt8], queue: [UInt8]) -> DeliveryTarget { DeliveryTarget(subject: subject, queue: queue) }
    func deliver(_ delivery: Delivery, to target: DeliveryTarget) -> Bool {
        output.append(
            (String(decoding: target.subject, as: UTF8.self), delivery.reply.string, delivery.payload.string))
        return true
    }
    func isCongested(_ target: DeliveryTarget) -> Bool { false }
    func hasInterest(_ target: DeliveryTarget) -> Bool { true }
    func hasInterest(_ subject: ByteView) -> Bool { hasListeners }
    func watch(_ target: DeliveryTarget, _ changed: @escaping () -> Void) {}
    func unwatch(_ target: DeliveryTarget) {}

    // MARK: CommitRunner

    func run(_ job: CommitJob, then: @escaping (CommitResult) -> Void) { jobs.append((job, then)) }
}
