// One stream on its loop: its endpoints in the subject index, its timer, its commits, and its way out to clients.

import Glibc
import Reactor
import Store
import Wire

/// Owned by one loop. The host of its stream.
final class StreamRuntime: StreamHost, CommitRunner {
    private(set) var entry: StreamEntry
    let account: JetStreamAccount
    unowned let loop: JetStreamLoop
    /// Set once, by `start`: a stream needs its host, and the host its stream.
    private(set) var stream: Stream?
    private(set) var registry: ConsumerRegistry?
    private(set) var consumerAPI: ConsumerAPI?
    private var consumerEndpoints: [ObjectIdentifier: ConsumerEndpoints] = [:]
    /// It is on the loop's list for the end of this turn.
    var isActive = false
    private var timer: TimerID?
    private var timerNs: UInt64 = .max
    private var captured: [EndpointSubscription] = []
    private var services: [EndpointSubscription] = []
    private var requests: RequestEndpoint?
    private var watches: [ObjectIdentifier: UInt64] = [:]
    private var watchCalls: [UInt64: () -> Void] = [:]
    /// Bytes taken in and not yet handed to a commit, and those that are being committed: part of the loop's backlog.
    private var freshBytes = 0
    private var committingBytes = 0
    private var commitsRunning = 0
    private var isMaintaining = false
    private var whenStopped: (() -> Void)?
    private var whenIdle: (() -> Void)?

    init(_ entry: StreamEntry, _ account: JetStreamAccount, loop: JetStreamLoop) {
        self.entry = entry
        self.account = account
        self.loop = loop
    }

    var serial: UInt64 { entry.serial }
    var index: SubjectIndex { account.account.index }
    var router: Router { loop.router }

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
        for finding in opened.findings { router.broker.log.error("Stream \(entry.config.name): \(finding)") }
        if let file = opened.log as? FileLog { attend(file) }
        let requests = RequestEndpoint(self)
        self.requests = requests
        entry.requests = router.endpoints.table.add(requests)
        startConsumers(stream, opened.consumers)
        subscribe()
        account.set(entry)
        touch()
    }

    private func startConsumers(_ stream: Stream, _ found: [RecoveredConsumer]) {
        stream.onConsumerAdded = { [unowned self] consumer in
            consumerEndpoints[ObjectIdentifier(consumer)] = ConsumerEndpoints(
                consumer, stream: entry.config.name, router: router, index: index
            ) { [unowned self] in touch() }
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

    func update(_ config: StreamConfig) {
        stream?.update(config)
        entry.config = config
        subscribe()
        account.set(entry)
        touch()
    }

    func info() -> StreamInfo {
        guard let stream else {
            return StreamInfo(config: entry.config, createdNs: entry.createdNs, timestampNs: Clock.wallNs())
        }
        return stream.info()
    }

    /// Leaves the index and the account; calls `done` when no commit is under way any more.
    func stop(_ done: @escaping () -> Void) {
        account.remove(entry.config.name)
        registry?.stopAll(.deleted)
        endConsumers()
        for subscription in captured + services { subscription.end() }
        captured = []
        services = []
        router.endpoints.table.remove(entry.requests)
        for watch in watches.values { index.watches.remove(watch) }
        watches = [:]
        watchCalls = [:]
        if let timer { router.loop.cancel(timer) }
        timer = nil
        router.broker.backlog.add(router.loop.index, -freshBytes - committingBytes)
        freshBytes = 0
        committingBytes = 0
        stream = nil
        whenStopped = done
        if commitsRunning == 0 { stopped() }
    }

    private func endConsumers() {
        for endpoints in consumerEndpoints.values { endpoints.end() }
        consumerEndpoints = [:]
    }

    private func stopped() {
        let done = whenStopped
        whenStopped = nil
        done?()
    }

    /// The broker ends: takes nothing more, lets out what is under way, and closes the files in order.
    func shutDown(_ done: @escaping () -> Void) {
        for subscription in captured + services { subscription.end() }
        captured = []
        services = []
        registry?.stopAll(.shutdown)
        endConsumers()
        whenIdle = done
        touch()
    }

    private func closeFiles(_ done: @escaping () -> Void) {
        guard let file = stream?.log as? FileLog, let job = file.beginClose() else { return done() }
        loop.run(job) { [self] result in
            if let error = file.finishCommit(result) {
                router.broker.log.error("Stream \(entry.config.name) could not be closed in order: \(error)")
                return done()
            }
            closeFiles(done)
        }
    }

    // MARK: Turns

    /// Something has happened to the stream: it is asked at the end of the turn what follows.
    func touch() { loop.touch(self) }

    func turnEnded() {
        guard let stream else { return }
        stream.turnEnded()
        let state = stream.log.state
        entry.usage.bytes.store(state.bytes, ordering: .relaxed)
        entry.usage.messages.store(state.messages, ordering: .relaxed)
        entry.usage.consumers.store(stream.consumers.count, ordering: .relaxed)
        maintain()
        setTimer()
        if commitsRunning == 0, let done = whenIdle {
            whenIdle = nil
            closeFiles(done)
        }
    }

    // MARK: Files

    /// Hears of reads that must wait, and of damage.
    private func attend(_ file: FileLog) {
        file.onNeedsRead = { [unowned self] in read(file) }
        file.onLost = { [unowned self] sequence, reason in
            router.broker.log.error("Stream \(entry.config.name) has lost message \(sequence): \(reason)")
            LossAdvisory.publish(entry.config.name, [sequence], reason, in: account.account, router: router)
        }
        let report = file.recoveryReport
        let name = entry.config.name, log = router.broker.log
        for damage in report.damages { log.error("Stream \(name): \(damage)") }
        if report.lostMessages > 0 {
            log.error("Stream \(name) has lost \(report.lostMessages) messages to damaged files")
            let reason = report.damages.joined(separator: "; ")
            LossAdvisory.publish(name, file.state.lost, reason, in: account.account, router: router)
        }
        if report.cutBytes > 0 { log.warning("Stream \(name): cut \(report.cutBytes) bytes of an unfinished write") }
    }

    private func read(_ file: FileLog) {
        guard let job = file.beginRead() else { return }
        loop.runOnFileThread(job) { [weak self] result in
            file.finishRead(result)
            self?.touch()
        }
    }

    /// Prepares the next segment, takes back what nobody needs, rewrites what is sparse: one job at a time.
    private func maintain() {
        guard !isMaintaining, let file = stream?.log as? FileLog else { return }
        guard let job = file.beginMaintenance() else {
            // It may wait for a commit that nobody else asks for.
            if file.wantsCommit { touch() }
            return
        }
        isMaintaining = true
        loop.runOnFileThread(job) { [weak self] result in
            guard let self else { return }
            isMaintaining = false
            if let error = file.finishMaintenance(result) {
                router.broker.log.error("Stream \(entry.config.name): \(error)")
            }
            touch()
        }
    }

    private func setTimer() {
        let next = stream?.nextDeadlineNs ?? .max
        // An early timer asks again; only a late one is wrong.
        if next >= timerNs { return }
        if let timer { router.loop.cancel(timer) }
        timerNs = next
        let nowNs = Clock.monotonicNs()
        let delayMs = next > nowNs ? (next - nowNs + 999_999) / 1_000_000 : 0
        timer = router.loop.schedule(afterMs: Int(clamping: min(delayMs, 86_400_000))) { [unowned self] in
            timer = nil
            timerNs = .max
            stream?.advance()
            touch()
        }
    }

    // MARK: Subjects

    private func subscribe() {
        let subjects = entry.config.subjects
        captured.removeAll { subscription in
            guard !subjects.contains(subscription.subject) else { return false }
            subscription.end()
            return true
        }
        for subject in subjects where !captured.contains(where: { $0.subject == subject }) {
            captured.append(
                EndpointSubscription(subject, router: router, index: index) { [unowned self] message, _ in take(message) })
        }
        for subscription in services { subscription.end() }
        services = []
        if entry.config.allowDirect {
            let name = entry.config.name
            for subject in ["$JS.API.DIRECT.GET.\(name)", "$JS.API.DIRECT.GET.\(name).>"] {
                services.append(
                    EndpointSubscription(subject, router: router, index: index) { [unowned self] message, _ in
                        stream?.directGet(message)
                        touch()
                    })
            }
        }
    }

    private func take(_ message: Message) {
        freshBytes += message.payload.count
        router.broker.backlog.add(router.loop.index, message.payload.count)
        stream?.receive(message)
        touch()
    }

    // MARK: CommitRunner

    func run(_ job: CommitJob, then: @escaping (CommitResult) -> Void) {
        commitsRunning += 1
        let bytes = freshBytes
        freshBytes = 0
        committingBytes += bytes
        loop.run(job) { [self] result in
            commitsRunning -= 1
            guard stream != nil else {
                if commitsRunning == 0 { stopped() }
                return
            }
            committingBytes -= bytes
            router.broker.backlog.add(router.loop.index, -bytes)
            then(result)
            touch()
        }
    }

    // MARK: StreamHost

    var now: Instant { Instant(wallNs: Clock.wallNs(), monotonicNs: Clock.monotonicNs()) }

    func random() -> UInt64 { router.randomBits() }

    func publish(_ subject: ByteView, reply: ByteView, headers: ByteView, payload: ByteView) {
        router.publish(index, subject: subject, reply: reply, headers: headers, payload: payload)
    }

    func target(_ subject: [UInt8], queue: [UInt8]) -> DeliveryTarget { RoutedTarget(subject: subject, queue: queue) }

    func deliver(_ delivery: Delivery, to target: DeliveryTarget) -> Bool {
        // All targets are made above.
        router.deliver(delivery, to: unsafeDowncast(target, to: RoutedTarget.self), index)
    }

    func hasInterest(_ target: DeliveryTarget) -> Bool { router.hasInterest(target, index) }
    func hasInterest(_ subject: ByteView) -> Bool { router.hasInterest(subject, index) }

    func watch(_ target: DeliveryTarget, _ changed: @escaping () -> Void) {
        let serial = entry.serial
        let mailbox = router.loop.mailbox
        let key = ObjectIdentifier(target)
        if let old = watches[key] { index.watches.remove(old) }
        let number = nextWatch
        nextWatch += 1
        watchCalls[number] = changed
        watchNumbers[key] = number
        watches[key] = index.watches.add(target.subject) {
            mailbox.post { loop in (loop.context as? Router)?.streams?.stream(serial)?.interestChanged(number) }
        }
    }

    func unwatch(_ target: DeliveryTarget) {
        let key = ObjectIdentifier(target)
        if let watch = watches.removeValue(forKey: key) { index.watches.remove(watch) }
        if let number = watchNumbers.removeValue(forKey: key) { watchCalls[number] = nil }
    }

    private var nextWatch: UInt64 = 0
    private var watchNumbers: [ObjectIdentifier: UInt64] = [:]

    private func interestChanged(_ number: UInt64) {
        guard let changed = watchCalls[number] else { return }
        changed()
        touch()
    }
}
