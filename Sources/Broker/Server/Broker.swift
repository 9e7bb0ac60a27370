// One broker: its accounts, its loops, and the settings that are in force.

import Glibc
import Locks
import Reactor
import Synchronization
import Wire

/// Shared by all loops. What changes at run time is behind a lock and copied to the loops, which read their copies.
public final class Broker: Sendable {
    let log: Logger
    let group: LoopGroup
    static let workersMax = 2
    let workers = WorkerPool(threadsMax: workersMax, jobsMax: 10_000)
    let backlog: EndpointBacklog
    /// nil where streams are off.
    let jetStream: JetStream?
    /// Random per process, so that nobody can choose subjects or sids that collide.
    let hashSeed = UInt64.random(in: 0...UInt64.max)
    let serverID: String
    let serverName: String
    let startedWallNs = Clock.wallNs()
    let startedNs = Clock.monotonicNs()

    let connectionCount = Atomic<Int>(0)
    let connectionsTotal = Atomic<UInt64>(0)
    private let clientIDs = Atomic<UInt64>(0)
    private let lameDuck = Atomic<Bool>(false)
    private let stopping = Atomic<Bool>(false)

    struct State {
        var options: Options
        var loader: ConfigurationLoader
        var digest: String?
        var loadedWallNs: Int64
        var accounts: [String: Account] = [:]
        /// The addresses that were bound, once they are.
        var clientAddress: SocketAddress?
        var monitorAddress: SocketAddress?
    }
    private let state: Locked<State>

    /// - Throws: a `BrokerFailure` whose text says what to do.
    public init(_ configuration: LoadedConfiguration, log: Logger) throws {
        self.log = log
        let options = configuration.options
        let descriptors = Broker.raiseDescriptorLimit(for: options.maxConnections)
        let loops = max(1, options.loops ?? sysconf(Int32(_SC_NPROCESSORS_ONLN)))
        group = try LoopGroup(count: loops, slotsMax: descriptors)
        backlog = EndpointBacklog(loops: loops)
        jetStream = options.jetStream.isEnabled ? try JetStream(options.jetStream) : nil
        guard let key = NKey.random(.server) else {
            throw BrokerFailure("the system has no random numbers: cannot make a server id")
        }
        serverID = key.text
        serverName = options.serverName ?? serverID
        state = Locked(
            State(
                options: options, loader: configuration.loader, digest: configuration.digest,
                loadedWallNs: startedWallNs))
        openAccounts(options)
    }

    /// Every connection needs a descriptor; the default limit of many systems is 1,024.
    ///
    /// - Returns: how many descriptors there can be at most, should a reload ask for more connections later.
    @discardableResult
    private static func raiseDescriptorLimit(for connections: Int) -> Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 1_024 }
        let wanted = rlim_t(min(max(0, connections), descriptorsMax) + 1_024)
        if limit.rlim_cur < wanted {
            limit.rlim_cur = min(wanted, limit.rlim_max)
            _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        }
        return min(Int(clamping: max(limit.rlim_cur, limit.rlim_max)), descriptorsMax)
    }

    /// Where the system sets no limit. Each loop reserves address space for as many channels, and uses it for those it has.
    private static let descriptorsMax = 1 << 20

    // MARK: Settings

    var options: Options { state.withLock { $0.options } }
    func withState<T>(_ body: (inout State) -> T) -> T { state.withLock { body(&$0) } }

    var systemAccountName: String { options.systemAccount ?? Account.systemName }
    var tracedMessageBytesMax: Int { options.log.tracedMessageBytesMax }
    var closedConnectionsMax: Int { options.maxClosedClients / group.count + 1 }
    var isLameDuck: Bool { lameDuck.load(ordering: .relaxed) }

    func nextClientID() -> UInt64 { clientIDs.wrappingAdd(1, ordering: .relaxed).newValue }

    func account(named name: String) -> Account? { state.withLock { $0.accounts[name] } }
    var accounts: [Account] { state.withLock { Array($0.accounts.values) }.sorted { $0.name < $1.name } }

    /// Creates the accounts that the options name and sets their limits; those that are gone stay until their last
    /// connection has left.
    private func openAccounts(_ options: Options) {
        state.withLock { state in
            func account(_ name: String) -> Account {
                if let known = state.accounts[name] { return known }
                let made = Account(name: name, number: state.accounts.count, hashSeed: hashSeed)
                state.accounts[name] = made
                return made
            }
            _ = account(Account.defaultName)
            if !options.noSystemAccount { _ = account(options.systemAccount ?? Account.systemName) }
            let named = Set(options.accounts.map(\.name))
            for account in state.accounts.values where !named.contains(account.name) {
                account.maxConnections.store(-1, ordering: .relaxed)
                account.maxSubscriptions.store(-1, ordering: .relaxed)
                account.maxPayloadBytes.store(-1, ordering: .relaxed)
            }
            if let jetStream, options.accounts.isEmpty {
                _ = jetStream.enable(account(Account.defaultName), AccountJetStreamOptions(), loops: group.count)
            }
            for configured in options.accounts {
                let account = account(configured.name)
                if let jetStream, let limits = configured.jetStream {
                    _ = jetStream.enable(account, limits, loops: group.count)
                }
                account.maxConnections.store(configured.maxConnections, ordering: .relaxed)
                account.maxSubscriptions.store(configured.maxSubscriptions, ordering: .relaxed)
                account.maxPayloadBytes.store(configured.maxPayloadBytes, ordering: .relaxed)
            }
        }
    }

    private func loopSettings(_ options: Options, _ authenticator: Authenticator) -> LoopSettings {
        let bound = state.withLock { $0.clientAddress } ?? SocketAddress(host: options.host, port: options.port)
        let known = Broker.advertised(options, bound: bound)
        return LoopSettings(
            maxControlLineBytes: options.maxControlLineBytes, maxPayloadBytes: options.maxPayloadBytes,
            maxConnections: options.maxConnections, maxSubscriptions: options.maxSubscriptions,
            maxSubscriptionTokens: options.maxSubscriptionTokens, pingIntervalMs: options.pingIntervalMs,
            pingsOutMax: options.pingsOutMax, authTimeoutMs: options.authTimeoutMs, headers: !options.noHeaderSupport,
            traces: log.isTraceEnabled,
            info: ServerInfo(
                serverID: serverID, serverName: serverName, host: known.host,
                port: known.port, headers: !options.noHeaderSupport,
                maxPayloadBytes: options.maxPayloadBytes, authRequired: authenticator.authRequired,
                lameDuck: isLameDuck, jetStream: jetStream != nil, domain: options.jetStream.domain),
            authenticator: authenticator)
    }

    /// Where clients are told to find the broker: `client_advertise` (host, or host:port) if set, else where it listens.
    static func advertised(_ options: Options, bound: SocketAddress) -> SocketAddress {
        guard let text = options.clientAdvertise, !text.isEmpty else { return bound }
        if let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]) {
            let host = text[..<colon]
            if host.hasPrefix("["), host.hasSuffix("]") {
                return SocketAddress(host: String(host.dropFirst().dropLast()), port: port)
            }
            if !host.contains(":") { return SocketAddress(host: String(host), port: port) }
        }
        return SocketAddress(host: text, port: bound.port)
    }

    private static func loopLimits(_ options: Options) -> LoopLimits {
        var limits = LoopLimits()
        limits.maxPendingBytes = options.maxPendingBytes
        limits.writeDeadlineMs = options.writeDeadlineMs
        limits.stallBytes = min(limits.stallBytes, options.maxPendingBytes / 2)
        limits.stallsProducers = !options.noFastProducerStall
        limits.spinNs = UInt64(options.spinUs) * 1_000
        return limits
    }

    // MARK: Running

    /// Serves until it is told to stop by a signal. The calling thread becomes loop 0.
    public func run() throws {
        let signals = try SignalSource()
        logStart()
        let options = self.options
        let authenticator = Authenticator(options)
        let recovered = try jetStream?.recover(loops: group.count, log: log) ?? []
        try group.run(limits: Broker.loopLimits(options)) { loop in
            let router = Router(loop: loop, broker: self, settings: self.loopSettings(options, authenticator))
            loop.context = router
            if let jetStream = self.jetStream {
                let streams = JetStreamLoop(jetStream, router: router)
                router.streams = streams
                for found in recovered[loop.index] {
                    if let opened = found.opened.take() { streams.open(opened, found.entry, found.account) }
                }
                if loop.index == 0 { streams.subscribeToAPI() }
            }
            if loop.index == 0 { try Daemon(broker: self, loop: loop, signals: signals).start() }
        }
        log.info("Server Exiting..")
    }

    private func logStart() {
        log.info("Starting brokerd")
        log.info("  Version:  \(BrokerCommandLine.version) (NATS protocol \(ServerInfo.protocolVersion))")
        log.info("  Name:     \(serverName)")
        log.info("  ID:       \(serverID)")
        log.info("  Loops:    \(group.count)")
        if let file = options.configFile { log.info("Using configuration file: \(file)") }
    }

    /// Puts a new connection on the next loop in turn.
    func admit(_ socket: consuming FileDescriptor) {
        let clientID = nextClientID()
        let number = connectionCount.wrappingAdd(1, ordering: .relaxed).newValue
        connectionsTotal.wrappingAdd(1, ordering: .relaxed)
        let raw = socket.release()
        let target = Int(truncatingIfNeeded: clientID % UInt64(group.count))
        group.mailboxes[target].post { loop in
            guard let router = loop.context as? Router else { return }
            let address = SocketAddress.peer(of: raw)
            var connection: ClientConnection?
            let adopted = loop.adopt(FileDescriptor(owning: raw)) { channel in
                let made = ClientConnection(router: router, channel: channel, clientID: clientID, address: address)
                router.connections[clientID] = made
                connection = made
                return made
            }
            if adopted {
                connection?.start(number: number)
            } else {
                self.connectionCount.wrappingSubtract(1, ordering: .relaxed)
            }
        }
    }

    // MARK: Reload

    /// Reads the configuration again and puts what has changed into force. On any mistake everything stays as it was.
    func reload() {
        let (old, loader) = state.withLock { ($0.options, $0.loader) }
        guard old.configFile != nil else {
            log.error(
                "Failed to reload server configuration: can only reload config when a file is provided using -c or --config")
            return
        }
        do {
            let loaded = try loader.load()
            let changes = try Reload.diff(old: old, new: loaded.options)
            let authenticator = Authenticator(loaded.options)
            apply(loaded, changes, authenticator)
            for change in changes { log.info("\(change)") }
            log.info("Reloaded server configuration")
        } catch {
            log.error("Failed to reload server configuration: \(error)")
        }
    }

    private func apply(_ loaded: LoadedConfiguration, _ changes: [ReloadChange], _ authenticator: Authenticator) {
        state.withLock { state in
            state.options = loaded.options
            state.digest = loaded.digest
            state.loadedWallNs = Clock.wallNs()
        }
        openAccounts(loaded.options)
        Broker.raiseDescriptorLimit(for: loaded.options.maxConnections)
        log.apply(loaded.options.log)
        let settings = loopSettings(loaded.options, authenticator)
        let limits = Broker.loopLimits(loaded.options)
        let authChanged = changes.contains { $0 == .authorization || $0 == .accounts }
        let infoChanged = changes.contains {
            switch $0 {
            case .maxPayloadBytes, .clientAdvertise: true
            default: false
            }
        }
        everyLoop { router in
            if router.loop.index == 0 { router.streams?.subscribeToAPI() }
            router.loop.limits = limits
            router.apply(settings)
            for connection in Array(router.connections.values) {
                if authChanged { connection.reauthorize() }
                connection.forgetCache()
                if infoChanged { connection.announce() }
            }
        }
        // Lines that were cached under the old permissions are looked at again.
        for account in accounts { account.index.invalidate() }
    }

    func everyLoop(_ body: @escaping @Sendable (Router) -> Void) {
        for mailbox in group.mailboxes {
            mailbox.post { loop in if let router = loop.context as? Router { body(router) } }
        }
    }

    // MARK: Ending

    /// Tells clients to go elsewhere; connections close spread over `lame_duck_duration`, then the broker exits.
    func beginLameDuck() -> Bool {
        guard lameDuck.compareExchange(expected: false, desired: true, ordering: .relaxed).exchanged else { return false }
        everyLoop { router in
            router.settings.info.lameDuck = true
            for connection in router.connections.values { connection.announce() }
        }
        return true
    }

    func stop() {
        guard stopping.compareExchange(expected: false, desired: true, ordering: .relaxed).exchanged else { return }
        guard jetStream != nil else { return group.stop() }
        let group = self.group
        closeStreams { group.stop() }
    }

    /// A disk that does not answer must not keep the process from ending.
    private static let closeMsMax = 10_000

    private func closeStreams(_ done: @escaping @Sendable () -> Void) {
        let collector = Collector<Bool>(group.count) { _ in done() }
        everyLoop { router in
            guard let streams = router.streams else { return collector.add(true) }
            streams.shutDown { collector.add(true) }
            if router.loop.index == 0 { router.loop.schedule(afterMs: Broker.closeMsMax) { done() } }
        }
    }
}
