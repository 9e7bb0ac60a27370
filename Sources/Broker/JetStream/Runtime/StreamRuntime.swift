// One stream on its loop: its endpoints in the subject index, its timer, its commits, and its way out to clients.

import Glibc
import Reactor
import Store
import Wire

/// Owned by one loop. The host of its stream.
final class StreamRuntime: StreamHost, CommitRunner, Endpoint {
    private(set) var entry: StreamEntry
    let account: JetStreamAccount
    /// Held, because they are used for every message: to look whether they are still there costs more. The loop lets its streams go
    /// when the broker ends.
    let loop: JetStreamLoop
    let router: Router
    let index: SubjectIndex
    /// Set once, by `start`: a stream needs its host, and the host its stream.
    private(set) var stream: Stream?
    private(set) var registry: ConsumerRegistry?
    private(set) var consumerAPI: ConsumerAPI?
    private var consumerEndpoints: [ObjectIdentifier: ConsumerEndpoints] = [:]
    /// It is on the loop's list for the end of this turn.
    var isActive = false
    private var timer: TimerID?
    private var timerNs: UInt64 = .max
    private let subjects: StreamSubjects
    private var requests: RequestEndpoint?
    /// What follows the streams that this one copies.
    var origins: StreamOrigins?
    var originPort: OriginPort?
    var snapshots: [SnapshotSender] = []
    /// Those that wait for a commit before they begin.
    var snapshotsAsked = 0
    private let watches: StreamWatches
    private let backlog: StreamBacklog
    private let share: StorageShare
    private(set) lazy var losses = LossReports(self)
    var isMaintaining = false
    /// Reads and maintenance on file threads.
    private var fileJobsRunning = 0
    private var whenStopped: (() -> Void)?
    private var whenIdle: (() -> Void)?
    /// The broker ends.
    private(set) var isEnding = false

    init(_ entry: StreamEntry, _ account: JetStreamAccount, loop: JetStreamLoop) {
        self.entry = entry
        self.account = account
        self.loop = loop
        router = loop.router
        index = account.account.index
        watches = StreamWatches(of: entry.serial, index, router.loop)
        backlog = StreamBacklog(router)
        share = StorageShare(entry.config.storage, account, loop.shared)
        subjects = StreamSubjects(router, index)
    }

    var serial: UInt64 { entry.serial }

    // MARK: Coming and going

    /// Serves the stream: from here on it is in the index and in its account's list.
    func start(_ opened: OpenedStream) {
        let first = entry.config.firstSequence
        if first > 1 && opened.log.state.lastSequence == 0 {
            do throws(StoreError) {
                try opened.log.skip(to: first - 1)
            } catch {
                router.broker.log.error("Stream \(entry.config.name) cannot begin at \(first): \(error)")
            }
        }
        let stream = Stream(
            config: entry.config, createdNs: entry.createdNs, log: opened.log, journal: opened.journal, host: self,
            commits: self, settings: settings)
        self.stream = stream
        stream.batchBytesInAccount = { [account] in account.batchBytes.load(ordering: .relaxed) }
        stream.onFailed = { [router, entry] error in
            router.broker.log.error("Stream \(entry.config.name) stores and confirms nothing until a restart: \(error)")
        }
        share.limit(stream)
        for finding in opened.findings { router.broker.log.error("Stream \(entry.config.name): \(finding)") }
        if let file = opened.log as? FileLog { attend(file) }
        let requests = RequestEndpoint(self)
        self.requests = requests
        entry.requests = router.endpoints.table.add(requests)
        startConsumers(stream, opened.consumers.filter { $0.records.first?.first != OriginRecord.magic })
        followOrigins(opened.consumers.last { $0.records.first?.first == OriginRecord.magic })
        subjects.serve(entry.config, self)
        account.set(entry)
        touch()
    }

    private func startConsumers(_ stream: Stream, _ found: [RecoveredConsumer]) {
        stream.onConsumerAdded = { [unowned self] consumer in
            if consumer.keyed != nil { loop.shared.hasKeyedConsumers.store(true, ordering: .relaxed) }
            consumerEndpoints[ObjectIdentifier(consumer)] = ConsumerEndpoints(consumer, self)
            touch()
        }
        stream.onConsumerRemoved = { [unowned self] consumer in
            consumerEndpoints.removeValue(forKey: ObjectIdentifier(consumer))?.end()
            touch()
        }
        let registry = ConsumerRegistry(stream: stream)
        stream.onConsumerExpired = { registry.delete($0) }
        self.registry = registry
        consumerAPI = ConsumerAPI(
            stream: stream, registry: registry, limits: account.jetStreamLimits(loop.shared),
            isStrict: loop.shared.options.isStrict)
        let (damaged, lost) = registry.recover(found)
        if damaged > 0 || lost > 0 {
            router.broker.log.error(
                "Stream \(entry.config.name): \(lost) consumers and \(damaged) records of others are damaged in the journal")
        }
    }

    private var settings: StreamSettings {
        var settings = StreamSettings()
        let options = loop.shared.options
        settings.domain = options.domain ?? ""
        settings.accountName = account.account.name
        settings.serverName = router.broker.serverName
        settings.payloadBytesMax = router.settings.maxPayloadBytes
        settings.syncPolicy =
            switch options.sync {
            case .always: .always
            case .every(let ns): .interval(ns: UInt64(clamping: ns))
            case .never: .never
            }
        return settings
    }

    /// Whether publishers get their acks without waiting for a disk. Never changes.
    var answersAtOnce: Bool {
        entry.config.storage == .memory || entry.config.persistMode == .async || loop.shared.options.sync != .always
    }

    func update(_ config: StreamConfig) {
        if entry.config.retention != config.retention { releaseFollowers() }
        stream?.update(config)
        entry.config = config
        if origins == nil { followOrigins(nil) } else { origins?.update() }
        subjects.serve(entry.config, self)
        account.set(entry)
        touch()
    }

    func info() -> StreamInfo {
        guard let stream else {
            return StreamInfo(config: entry.config, createdNs: entry.createdNs, timestampNs: Clock.wallNs())
        }
        return stream.info()
    }

    /// Leaves the index and the account; calls `done` when nothing works with the files any more.
    func stop(_ done: @escaping () -> Void) {
        account.remove(entry.config.name)
        endOrigins(forGood: true)
        endSnapshots()
        registry?.stopAll(.deleted)
        endConsumers()
        subjects.end()
        router.endpoints.table.remove(entry.requests)
        watches.end()
        if let timer { router.loop.cancel(timer) }
        timer = nil
        backlog.end()
        share.count(0)
        share.countBatches(0)
        stream = nil
        whenStopped = done
        stopIfIdle()
    }

    private func endConsumers() {
        for endpoints in consumerEndpoints.values { endpoints.end() }
        consumerEndpoints = [:]
    }

    private func stopIfIdle() {
        guard backlog.commitsRunning == 0, fileJobsRunning == 0 else { return }
        let done = whenStopped
        whenStopped = nil
        done?()
    }

    /// The broker ends: takes nothing more, lets out what is under way, and closes the files in order.
    func shutDown(_ done: @escaping () -> Void) {
        isEnding = true
        subjects.end()
        endOrigins(forGood: false)
        endSnapshots()
        registry?.stopAll(.shutdown)
        stream?.prepareToClose()
        endConsumers()
        whenIdle = done
        touch()
    }

    // MARK: Turns

    /// Something has happened to the stream: it is asked at the end of the turn what follows.
    @inline(__always)
    func touch() { if !isActive { loop.touch(self) } }

    func turnEnded() {
        guard let stream else { return }
        origins?.turnEnded()
        backlog.report()
        stream.turnEnded()
        backlog.releaseRefused()
        backlog.countHeld(stream.held.bytes)
        share.countBatches(stream.atomicBatches.bytes)
        sendSnapshots()
        let state = stream.log.state
        entry.usage.bytes.store(state.bytes, ordering: .relaxed)
        share.count(state.bytes)
        entry.usage.messages.store(state.messages, ordering: .relaxed)
        entry.usage.consumers.store(stream.listedConsumers, ordering: .relaxed)
        maintain()
        setTimer()
        if backlog.commitsRunning == 0, let done = whenIdle {
            whenIdle = nil
            closeFiles(done)
        }
    }

    /// What a job has brought is of no use to a stream that was stopped meanwhile; whoever takes its place waits for the end.
    func runOnFileThread(_ job: CommitJob, then: @escaping (CommitResult) -> Void) {
        fileJobsRunning += 1
        loop.runOnFileThread(job) { [self] result in
            fileJobsRunning -= 1
            if stream == nil { stopIfIdle() } else { then(result) }
        }
    }

    private func setTimer() {
        let next = min(stream?.nextDeadlineNs ?? .max, origins?.nextDeadlineNs ?? .max)
        // An early timer asks again; only a late one is wrong.
        if next >= timerNs { return }
        if let timer { router.loop.cancel(timer) }
        timerNs = next
        let nowNs = Clock.monotonicNs()
        let delayMs = next > nowNs ? saturatingSum(next - nowNs, 999_999) / 1_000_000 : 0
        timer = router.loop.schedule(afterMs: Int(clamping: min(delayMs, 86_400_000))) { [unowned self] in
            timer = nil
            timerNs = .max
            stream?.advance()
            origins?.advance()
            touch()
        }
    }

    // MARK: Messages

    /// A publish to a subject that the stream captures.
    func receive(_ message: Message, from origin: Origin) {
        countFresh(message.payload.count)
        stream?.receive(message)
        touch()
    }

    /// Bytes have come in that the next commit is to write.
    @inline(__always)
    func countFresh(_ bytes: Int) { backlog.count(bytes) }

    // MARK: CommitRunner

    func run(_ job: CommitJob, then: @escaping (CommitResult) -> Void) {
        let bytes = backlog.commitBegins()
        loop.run(job) { [self] result in
            backlog.commitEnds(bytes)
            guard stream != nil else { return stopIfIdle() }
            then(result)
            touch()
        }
    }

    // MARK: StreamHost

    var now: Instant { loop.now }

    func random() -> UInt64 { router.randomBits() }

    func publish(_ subject: ByteView, reply: ByteView, headers: ByteView, payload: ByteView) {
        router.publish(index, subject: subject, reply: reply, headers: headers, payload: payload)
    }

    func target(_ subject: [UInt8], queue: [UInt8]) -> DeliveryTarget { RoutedTarget(subject: subject, queue: queue) }

    func deliver(_ delivery: Delivery, to target: DeliveryTarget) -> Bool {
        // All targets are made above.
        router.deliver(delivery, to: unsafeDowncast(target, to: RoutedTarget.self), index)
    }

    func isCongested(_ target: DeliveryTarget) -> Bool {
        router.isCongested(unsafeDowncast(target, to: RoutedTarget.self), index)
    }

    func hasInterest(_ target: DeliveryTarget) -> Bool { router.hasInterest(target, index) }
    func hasInterest(_ subject: ByteView) -> Bool { router.hasInterest(subject, index) }

    func watch(_ target: DeliveryTarget, _ changed: @escaping () -> Void) { watches.add(target, changed) }
    func unwatch(_ target: DeliveryTarget) { watches.remove(target) }

    /// Subscriptions to a watched subject have come or gone.
    func interestChanged(_ watch: UInt64) {
        watches.changed(watch)
        touch()
    }
}
