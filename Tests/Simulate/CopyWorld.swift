// A stream that copies the simulated one, as its mirror or as a source: on the same disk, by the same clock.

import Store
import StoreKit
import Wire

@testable import Broker

/// Owned by its world.
final class CopyWorld: StreamHost, CommitRunner, OriginFollowerHost {
    private struct Letter {
        var to: String
        var subject: [UInt8]
        var reply: [UInt8]
        var headers: [UInt8]
        var payload: [UInt8]
    }

    /// What the origin is known by.
    static let identity = "origin01"

    let config: StreamConfig
    private unowned let world: World
    private(set) var stream: Stream!
    private var registry: ConsumerRegistry!
    private var origins: StreamOrigins!
    private var jobs: [(job: CommitJob, then: (CommitResult) -> Void)] = []
    private var listeners: [String: (Message) -> Void] = [:]
    /// What has been sent to it and was not heard so far.
    private var letters: [Letter] = []
    private var isTouched = false
    /// When it last had to begin anew.
    private(set) var disturbedNs: UInt64 = 0

    init(config: StreamConfig, world: World) {
        self.config = config
        self.world = world
    }

    // MARK: Coming and going

    func open(_ options: Store.LogOptions) throws {
        let log: any MessageLog
        var journal: FileConsumerJournal?
        var found: [RecoveredConsumer] = []
        if config.storage == .memory {
            log = MemoryLog()
        } else {
            let file = try FileLog.open(directory: "/m/log", disk: world.disk, options: options)
            if file.recoveryReport.lostMessages > 0 {
                throw Disagreement("the copy's log reports damage: \(file.recoveryReport)")
            }
            log = file
            (journal, found) = try FileConsumerJournal.open(directory: "/m/consumers", disk: world.disk)
        }
        stream = Stream(
            config: config, createdNs: World.startWallNs, log: log, journal: journal, host: self, commits: self,
            settings: StreamSettings())
        registry = ConsumerRegistry(stream: stream)
        origins = StreamOrigins(
            stream, account: "$G", host: self, found: found.last.flatMap { one in one.records.last.map { (one.id, $0) } })
        registry.otherSnapshot = { [unowned origins] id in origins?.snapshot(id) }
        disturbedNs = world.now.monotonicNs
    }

    func leave() {
        for subject in listeners.keys { world.unsubscribe(subject) }
        listeners = [:]
        letters = []
        jobs = []
        origins = nil
        registry = nil
        stream = nil
    }

    /// The broker ends in order.
    func close() throws {
        origins.stop(forGood: false)
        stream.prepareToClose()
        while try step() {}
        if let file = stream.log as? FileLog {
            while let job = file.beginClose() {
                if let error = file.finishCommit(job.run()) { throw Disagreement("closing the copy failed: \(error)") }
            }
        }
    }

    // MARK: Turns and time

    /// Does one of the things that follow without time passing. False: there is none.
    func step() throws -> Bool {
        guard !world.disk.isOff else { return false }
        isTouched = false
        let heard = letters
        letters = []
        for letter in heard { hear(letter) }
        origins.turnEnded()
        stream.turnEnded()
        origins.turnEnded()
        if !jobs.isEmpty {
            let next = jobs.removeFirst()
            next.then(next.job.run())
            return true
        }
        if let file = stream.log as? FileLog {
            if let job = file.beginRead() {
                file.finishRead(job.run())
                return true
            }
            if let job = file.beginMaintenance() {
                if let error = file.finishMaintenance(job.run()), !world.disk.isOff {
                    throw Disagreement("the copy's maintenance failed: \(error)")
                }
                return true
            }
        }
        if nextDeadlineNs <= now.monotonicNs {
            advance()
            return true
        }
        return isTouched || !heard.isEmpty
    }

    private func hear(_ letter: Letter) {
        guard let listener = listeners[letter.to] else { return }
        letter.subject.withUnsafeBytes { subject in
            letter.reply.withUnsafeBytes { reply in
                (letter.headers + letter.payload).withUnsafeBytes { content in
                    listener(
                        Message(
                            subject: ByteView(subject), reply: ByteView(reply),
                            headerBytes: letter.headers.isEmpty ? -1 : letter.headers.count, payload: ByteView(content),
                            sizes: .empty))
                }
            }
        }
    }

    var nextDeadlineNs: UInt64 { min(stream.nextDeadlineNs ?? .max, origins.nextDeadlineNs) }

    func advance() {
        stream.advance()
        origins.advance()
    }

    // MARK: From the origin

    /// Whether a subject is one that followers listen to.
    static func isMeant(by subject: String) -> Bool { subject.hasPrefix("$JS.M.") || subject.hasPrefix("$JS.S.") }

    func receive(_ to: String, _ subject: ByteView, _ reply: ByteView, _ headers: ByteView, _ payload: ByteView) {
        letters.append(
            Letter(to: to, subject: subject.bytes, reply: reply.bytes, headers: headers.bytes, payload: payload.bytes))
    }

    // MARK: OriginFollowerHost

    func touch() { isTouched = true }
    func reaches(_ external: ExternalStreamConfig) -> Bool { false }

    func attach(_ request: OriginRequest, _ answer: @escaping (Result<OriginConsumer, APIError>) -> Void) {
        answer(world.attach(request))
    }

    func detach(_ consumer: OriginConsumer) {
        if let made = world.registry?[consumer.name] { world.registry.delete(made) }
    }

    func listen(_ subject: String, _ received: @escaping (Message) -> Void) {
        listeners[subject] = received
        world.subscribe(subject)
    }

    func unlisten(_ subject: String) {
        listeners[subject] = nil
        world.unsubscribe(subject)
    }

    // MARK: StreamHost

    var now: Instant { world.now }
    func random() -> UInt64 { world.random() }

    /// Followers answer flow control; nobody listens to anything else.
    func publish(_ subject: ByteView, reply: ByteView, headers: ByteView, payload: ByteView) {
        guard subject.hasPrefix("$JS.FC."), let name = Subject.token(subject, at: 3)?.string,
            let consumer = world.registry?[name]
        else { return }
        let content = headers.bytes + payload.bytes
        content.withUnsafeBytes {
            consumer.receive(
                flowControl: Message(
                    subject: subject, reply: reply, headerBytes: headers.isEmpty ? -1 : headers.count, payload: ByteView($0),
                    sizes: .empty))
        }
    }

    func target(_ subject: [UInt8], queue: [UInt8]) -> DeliveryTarget { DeliveryTarget(subject: subject, queue: queue) }
    func deliver(_ delivery: Delivery, to target: DeliveryTarget) -> Bool { false }
    func isCongested(_ target: DeliveryTarget) -> Bool { false }
    func hasInterest(_ target: DeliveryTarget) -> Bool { false }
    func hasInterest(_ subject: ByteView) -> Bool { false }
    func watch(_ target: DeliveryTarget, _ changed: @escaping () -> Void) {}
    func unwatch(_ target: DeliveryTarget) {}

    // MARK: CommitRunner

    func run(_ job: CommitJob, then: @escaping (CommitResult) -> Void) { jobs.append((job, then)) }
}

extension World {
    /// Makes a consumer for a follower, as the broker does.
    func attach(_ request: OriginRequest) -> Result<OriginConsumer, APIError> {
        guard let registry, let stream else { return .failure(.streamNotFound) }
        var config = request.config
        config.name += "-" + String(decoding: originToken(random(), count: 8), as: UTF8.self)
        do throws(APIError) {
            config = try config.checked(pedantic: false, stream: stream.config, limits: JetStreamLimits())
        } catch {
            return .failure(error)
        }
        let info = registry.create(config).info()
        return .success(
            OriginConsumer(
                serial: 1, loop: 0, name: config.name, identity: CopyWorld.identity, delivered: info.delivered.stream,
                pending: info.pending, isTemporary: true))
    }
}
