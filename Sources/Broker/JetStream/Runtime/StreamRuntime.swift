// One stream on its loop: its endpoints in the subject index, its timer, its commits, and its way out to clients.

import Glibc
import Reactor
import Store
import Wire

/// Owned by one loop. The host of its stream.
final class StreamRuntime: StreamHost, CommitRunner, Endpoint {
    private(set) var entry: StreamEntry
    let account: JetStreamAccount
    // The loop keeps its streams, and the router its loop: both outlive them. They are used for every message.
    unowned(unsafe) let loop: JetStreamLoop
    unowned(unsafe) let router: Router
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
    private var captured: [EndpointSubscription] = []
    private var services: [EndpointSubscription] = []
    private var requests: RequestEndpoint?
    /// What follows the streams that this one copies.
    var origins: StreamOrigins?
    var originPort: OriginPort?
    var snapshots: [SnapshotSender] = []
    private var watches: [ObjectIdentifier: UInt64] = [:]
    private var watchCalls: [UInt64: () -> Void] = [:]
    /// Bytes taken in and not yet handed to a commit, and those that are being committed: part of the loop's backlog.
    private var uncountedBytes = 0
    private var freshBytes = 0
    private var committingBytes = 0
    private var commitsRunning = 0
    private var isMaintaining = false
    /// What has been counted of this stream in its account and in the server.
    private var countedBytes: UInt64 = 0
    private var turnBytes: UInt64 = 0
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
        limitBytes(stream)
        for finding in opened.findings { router.broker.log.error("Stream \(entry.config.name): \(finding)") }
        if let file = opened.log as? FileLog { attend(file) }
        let requests = RequestEndpoint(self)
        self.requests = requests
        entry.requests = router.endpoints.table.add(requests)
        startConsumers(stream, opened.consumers.filter { $0.records.first?.first != OriginRecord.magic })
        followOrigins(opened.consumers.last { $0.records.first?.first == OriginRecord.magic })
        subscribe()
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

    func update(_ config: StreamConfig) {
        if entry.config.retention != config.retention { releaseFollowers() }
        stream?.update(config)
        entry.config = config
        if origins == nil { followOrigins(nil) } else { origins?.update() }
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
        endOrigins(forGood: true)
        endSnapshots()
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
        count(0)
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
        isEnding = true
        for subscription in captured + services { subscription.end() }
        captured = []
        services = []
        endOrigins(forGood: false)
        endSnapshots()
        registry?.stopAll(.shutdown)
        stream?.prepareToClose()
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
    @inline(__always)
    func touch() { if !isActive { loop.touch(self) } }

    func turnEnded() {
        guard let stream else { return }
        origins?.turnEnded()
        countBacklog()
        stream.turnEnded()
        releaseBacklog()
        sendSnapshots()
        let state = stream.log.state
        entry.usage.bytes.store(state.bytes, ordering: .relaxed)
        count(state.bytes)
        entry.usage.messages.store(state.messages, ordering: .relaxed)
        entry.usage.consumers.store(stream.listedConsumers, ordering: .relaxed)
        maintain()
        setTimer()
        if commitsRunning == 0, let done = whenIdle {
            whenIdle = nil
            closeFiles(done)
        }
    }

    // MARK: Limits of the account and of the server

    private func count(_ bytes: UInt64) {
        let storage = entry.config.storage
        account.stored.change(storage, from: countedBytes, to: bytes)
        loop.shared.stored.change(storage, from: countedBytes, to: bytes)
        countedBytes = bytes
        turnBytes = 0
    }

    /// Publishes are refused when what account or server may hold is used up.
    private func limitBytes(_ stream: Stream) {
        let storage = entry.config.storage, shared = loop.shared
        let limits = account.accountLimits
        let ofAccount = storage == .memory ? limits.maxMemoryBytes : limits.maxStorageBytes
        let ofServer = UInt64(clamping: storage == .memory ? shared.maxMemoryBytes : shared.maxFileBytes)
        stream.roomForBytes = { [unowned self] bytes in
            // The server's limit may be exceeded by one message, the account's not at all, as on nats-server.
            func refusal(afterMore pending: UInt64) -> APIError? {
                if shared.stored.of(storage) &+ pending > ofServer { return .insufficientResources }
                let held = account.stored.of(storage) &+ pending &+ UInt64(clamping: bytes)
                return ofAccount >= 0 && held > UInt64(clamping: ofAccount) ? .accountResourcesExceeded : nil
            }
            // What this turn has brought is not counted yet. What it has removed only matters near the limit.
            defer { turnBytes &+= UInt64(clamping: bytes) }
            if refusal(afterMore: turnBytes) == nil { return nil }
            return refusal(afterMore: (self.stream?.log.state.bytes ?? 0) &- countedBytes)
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
        loop.runOnFileThread(job) { [self] result in
            file.finishRead(result)
            touch()
        }
    }

    /// Prepares the next segment, takes back what nobody needs, rewrites what is sparse: one job at a time.
    private func maintain() {
        guard !isMaintaining, let file = stream?.log as? FileLog else { return }
        guard let job = file.beginMaintenance() else {
            // It may wait for a commit that nobody else asks for.
            if file.wantsCommit && stream?.failure == nil { touch() }
            return
        }
        isMaintaining = true
        loop.runOnFileThread(job) { [self] result in
            guard stream != nil else { return }
            isMaintaining = false
            if let error = file.finishMaintenance(result) {
                router.broker.log.error("Stream \(entry.config.name): \(error)")
            }
            touch()
        }
    }

    private func setTimer() {
        let next = min(stream?.nextDeadlineNs ?? .max, origins?.nextDeadlineNs ?? .max)
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
            origins?.advance()
            touch()
        }
    }

    // MARK: Subjects

    private func subscribe() {
        let subjects = Set(entry.config.subjects)
        captured.removeAll { subscription in
            guard !subjects.contains(subscription.subject) else { return false }
            subscription.end()
            return true
        }
        let held = Set(captured.map(\.subject))
        for subject in entry.config.subjects where !held.contains(subject) {
            captured.append(EndpointSubscription(subject, router: router, index: index, receiver: self))
        }
        for subscription in services { subscription.end() }
        services = []
        if entry.config.allowDirect { serveDirectGets(of: entry.config.name) }
        if entry.config.mirrorDirect, let origin = entry.config.mirror, origin.external == nil {
            serveDirectGets(of: origin.name)
        }
    }

    /// Of this stream, or of the one that it mirrors, while that one does not answer itself: it is never behind.
    private func serveDirectGets(of name: String) {
        let isOwn = name == entry.config.name
        for subject in ["$JS.API.DIRECT.GET.\(name)", "$JS.API.DIRECT.GET.\(name).>"] {
            services.append(
                EndpointSubscription(subject, router: router, index: index) { [unowned self] message, _ in
                    if !isOwn && account.stream(name)?.config.allowDirect == true { return }
                    stream?.directGet(message, of: name)
                    touch()
                })
        }
    }

    /// A publish to a subject that the stream captures.
    func receive(_ message: Message, from origin: Origin) {
        countFresh(message.payload.count)
        stream?.receive(message)
        touch()
    }

    /// Counts what a turn has brought in, once for all of it.
    private func countBacklog() {
        guard uncountedBytes > 0 else { return }
        router.broker.backlog.add(router.loop.index, uncountedBytes)
        freshBytes += uncountedBytes
        uncountedBytes = 0
    }

    /// What was taken in and refused is nothing that a disk has yet to do.
    private func releaseBacklog() {
        guard commitsRunning == 0, freshBytes > 0 else { return }
        router.broker.backlog.add(router.loop.index, -freshBytes)
        freshBytes = 0
    }

    /// Bytes have come in that the next commit is to write.
    @inline(__always)
    func countFresh(_ bytes: Int) { uncountedBytes &+= bytes }

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
