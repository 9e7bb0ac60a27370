// The streams of one loop: carries their messages, their time and their finished commits to them, turn by turn.

import Glibc
import Reactor
import Store
import Wire

/// Owned by its loop, through the `Router`.
final class JetStreamLoop {
    /// Rounds in which streams may feed each other within one turn before the loop looks at its sockets again.
    private static let roundsMax = 16

    let shared: JetStream
    unowned let router: Router
    /// Its loop, not counted: it is asked for the time of every message.
    private let clock: Unmanaged<EventLoop>
    let admin: StreamAdmin
    private(set) var streams: [UInt64: StreamRuntime] = [:]
    /// Streams with something to decide at the end of this turn.
    private var active: [StreamRuntime] = []
    /// What was done on this thread in the middle of a turn and is to be heard of at its end.
    private var later: [() -> Void] = []
    private var commits: UInt64 = 0
    private var short = ShortCommits()
    private var turn = Instant(wallNs: 0, monotonicNs: 0)
    private var subscribed: Set<Int> = []
    private var waiting: [UInt64: (CommitResult) -> Void] = [:]

    init(_ shared: JetStream, router: Router) {
        self.shared = shared
        self.router = router
        clock = .passUnretained(router.loop)
        admin = StreamAdmin(shared, router: router)
        router.endpoints.accountRequest = { [unowned self] account, message, origin in
            guard let account = shared.account(account) else { return refuse(message, account) }
            self.router.origin = origin
            received(message, for: account)
        }
        router.loop.turnEnded = { [unowned self] in turnEnded() }
    }

    private var loop: EventLoop { router.loop }

    /// The beginning of this turn. Clocks are read once for all that happens in it.
    var now: Instant {
        let startNs = clock._withUnsafeGuaranteedRef { $0.turnStartNs }
        if startNs == 0 || turn.monotonicNs != startNs {
            turn = Instant(wallNs: Clock.wallNs(), monotonicNs: startNs == 0 ? Clock.monotonicNs() : startNs)
        }
        return turn
    }

    func stream(_ serial: UInt64) -> StreamRuntime? { streams[serial] }

    // MARK: Accounts

    /// Listens to the API in accounts that are new, those without streams included: they are told so. Called on loop 0.
    func subscribeToAPI() {
        let system = router.broker.systemAccountName
        for account in router.broker.accounts where account.name != system && subscribed.insert(account.number).inserted {
            var subjects = ["$JS.API.>"]
            if let domain = shared.options.domain { subjects.append("$JS.\(domain).API.>") }
            let address = EndpointAddress(
                loop: EndpointAddress.everyLoop, slot: Int32(account.number), generation: 0)
            for subject in subjects {
                Array(subject.utf8).withUnsafeBytes { bytes in
                    account.index.insert(
                        Subscription.make(endpoint: address, subject: ByteView(bytes)), retire: router.retire)
                }
            }
        }
    }

    /// A request in an account that has no streams.
    private func refuse(_ message: Message, _ number: Int) {
        guard !message.reply.isEmpty, let kind = AccountRequests.parse(message.subject).kind,
            let account = router.broker.accounts.first(where: { $0.number == number })
        else { return }
        let isBeyond = APIMetadata.isBeyond(PublishHeaders(message.headers).requiredAPILevel)
        APIResponse.failure(kind, isBeyond ? .requiredAPILevel : .notEnabledForAccount).withUnsafeBytes { response in
            _ = router.publish(
                account.index, subject: message.reply, reply: .empty, headers: .empty, payload: ByteView(response))
        }
    }

    private func received(_ message: Message, for account: JetStreamAccount) {
        if message.subject.hasPrefix(AccountRequests.prefix) { return admin.receive(message, for: account) }
        guard let subject = AccountRequests.withoutDomain(message.subject) else { return }
        subject.withUnsafeBytes { bytes in
            let view = ByteView(bytes)
            if view.hasPrefix(AccountRequests.prefix) && AccountRequests.takes(view) {
                var request = message
                request.subject = view
                admin.receive(request, for: account)
            } else {
                _ = router.publish(
                    account.account.index, subject: view, reply: message.reply, headers: message.headers, payload: message.body)
            }
        }
    }

    // MARK: Turns

    /// Has a stream asked what follows from this turn, at its end.
    func touch(_ runtime: StreamRuntime) {
        guard !runtime.isActive else { return }
        runtime.isActive = true
        active.append(runtime)
    }

    private func turnEnded() {
        var rounds = 0
        while router.endpoints.hasLocalMail || !active.isEmpty || !later.isEmpty {
            router.endpoints.deliverLocal()
            let done = later
            later = []
            for action in done { action() }
            let taken = active
            active = []
            for runtime in taken {
                runtime.isActive = false
                runtime.turnEnded()
            }
            rounds += 1
            if rounds == JetStreamLoop.roundsMax {
                // The rest is for the next turn, which comes at once.
                loop.mailbox.post { _ in }
                break
            }
        }
        router.endpoints.post()
    }

    /// Runs a commit: on this thread if it does not wait for a disk, else on a sync thread.
    func run(_ job: CommitJob, then: @escaping (CommitResult) -> Void) {
        guard job.waitsForDisk else {
            let result = job.run()
            later.append { then(result) }
            return
        }
        let nowNs = Clock.monotonicNs()
        if short.takes(job, nowNs: nowNs) {
            let result = job.run()
            short.note(fromNs: nowNs, toNs: Clock.monotonicNs())
            later.append { then(result) }
            return
        }
        commits += 1
        let number = commits
        waiting[number] = then
        let mailbox = loop.mailbox
        let isQueued = shared.syncThreads.run {
            let result = job.run()
            mailbox.post { loop in (loop.context as? Router)?.streams?.committed(number, result) }
        }
        if !isQueued {
            let result = job.run()
            later.append { [unowned self] in committed(number, result) }
        }
    }

    /// Runs what may wait long for a disk, such as a read of something old, beside the commits.
    func runOnFileThread(_ job: CommitJob, then: @escaping (CommitResult) -> Void) {
        commits += 1
        let number = commits
        waiting[number] = then
        let mailbox = loop.mailbox
        let isQueued = shared.fileThreads.run {
            let result = job.run()
            mailbox.post { loop in (loop.context as? Router)?.streams?.committed(number, result) }
        }
        if !isQueued {
            let result = job.run()
            later.append { [unowned self] in committed(number, result) }
        }
    }

    private func committed(_ number: UInt64, _ result: CommitResult) { waiting.removeValue(forKey: number)?(result) }

    // MARK: Keyed consumers

    /// A client's connection has closed, on this loop: streams on any loop may have leased it something.
    func clientClosed(_ client: UInt64) {
        guard shared.hasKeyedConsumers.load(ordering: .relaxed) else { return }
        for mailbox in loop.group.mailboxes {
            mailbox.post { loop in
                guard let streams = (loop.context as? Router)?.streams else { return }
                for runtime in streams.streams.values { runtime.clientClosed(client) }
            }
        }
    }

    var keyReports: [KeyReport] { streams.values.flatMap(\.keyReports) }

    // MARK: Streams come and go

    /// Takes over a stream whose files are open: from here on it is served.
    @discardableResult
    func open(_ opened: OpenedStream, _ entry: StreamEntry, _ account: JetStreamAccount) -> StreamInfo {
        let runtime = StreamRuntime(entry, account, loop: self)
        streams[entry.serial] = runtime
        runtime.start(opened)
        return runtime.info()
    }

    /// nil if the stream is gone.
    func update(_ serial: UInt64, _ config: StreamConfig) -> StreamInfo? {
        guard let runtime = streams[serial] else { return nil }
        runtime.update(config)
        return runtime.info()
    }

    /// Stops serving a stream; `done` is called when nothing writes to its files any more.
    func close(_ serial: UInt64, _ done: @escaping () -> Void) {
        guard let runtime = streams.removeValue(forKey: serial) else { return done() }
        runtime.stop(done)
    }

    /// The broker ends: closes all files in order, so that the next start finds nothing to repair.
    func shutDown(_ done: @escaping () -> Void) {
        var open = streams.count
        if open == 0 { return done() }
        for runtime in streams.values {
            runtime.shutDown {
                open -= 1
                if open == 0 {
                    // They hold their loop.
                    self.streams = [:]
                    done()
                }
            }
        }
    }

    /// Which of some streams cannot store anything any more, and why; of one stream also the names of its consumers.
    static func gatherHealth(
        of entries: [StreamEntry], _ group: LoopGroup, _ done: @escaping @Sendable ([StreamHealth]) -> Void
    ) {
        let withNames = entries.count == 1
        gather(entries, group, { $0.health(withConsumerNames: withNames) }, done)
    }

    /// What /jsz shows of the streams of some entries.
    static func gatherReports(
        of entries: [StreamEntry], withConsumers: Bool, _ group: LoopGroup, _ done: @escaping @Sendable ([StreamReport]) -> Void
    ) {
        gather(entries, group, { $0.report(withConsumers: withConsumers) }, done)
    }

    /// What the streams of some entries say of themselves, in the order of their names; those that are gone are left out.
    static func gatherInfo(of entries: [StreamEntry], _ group: LoopGroup, _ done: @escaping @Sendable ([StreamInfo]) -> Void) {
        gather(entries, group, { $0.info() }) { infos in done(infos.sorted { $0.config.name < $1.config.name }) }
    }

    private static func gather<Part: Sendable>(
        _ entries: [StreamEntry], _ group: LoopGroup, _ part: @escaping @Sendable (StreamRuntime) -> Part,
        _ done: @escaping @Sendable ([Part]) -> Void
    ) {
        let byLoop = Dictionary(grouping: entries, by: \.loop)
        if byLoop.isEmpty { return done([]) }
        let collector = Collector<[Part]>(byLoop.count) { parts in done(parts.flatMap { $0 }) }
        for (target, entries) in byLoop {
            let serials = entries.map(\.serial)
            group.mailboxes[target].post { loop in
                let streams = (loop.context as? Router)?.streams
                collector.add(serials.compactMap { streams?.stream($0).map(part) })
            }
        }
    }
}
