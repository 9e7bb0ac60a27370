// One client: its state from INFO to the end, and which part of it serves each of its operations.

import Reactor
import Synchronization
import Wire

/// What a client may make the broker keep before it has proved who it is: one CONNECT, whatever `max_control_line` allows.
private let strangerLineBytesMax = 60 << 10

/// Owned by one loop. Other loops know it through its `Subscriber` and the channel only.
final class ClientConnection: ChannelHandler {
    /// Where a connection stands before it may do anything.
    enum Phase {
        /// The first operation must be a CONNECT that proves who it is.
        case awaitingConnect
        /// A password hash is being computed off the loop; nothing is read meanwhile.
        case checkingPassword
        case ready
        case closed
    }

    /// Reading in pieces is for frames that a piece holds many of.
    private static let pieceFrameBytesMax = 2 << 10

    let router: Router
    let channel: ChannelRef
    let clientID: UInt64
    let address: SocketAddress
    let startedNs: UInt64
    let startedWallNs: Int64
    let subscriber: Subscriber

    var phase: Phase
    var options = SessionOptions()
    var account: Account?
    var authorization = Authorization(.anonymous)
    var nonce: [UInt8] = []
    var hasConnected = false
    private var hasSentPong = false

    var subscriptions: SidTable
    var publishCache: UnsafeMutablePointer<PublishCache>?
    /// Hash of the last line that was not in the cache: a line is cached when it comes twice in a row.
    var lastLineHash: UInt64 = 0
    var index: SubjectIndex? {
        didSet { uncountedIndex = index.map { Unmanaged.passUnretained($0) } }
    }
    /// The same, for each publish: all loops would count references of one index, and take the count from each other.
    private(set) var uncountedIndex: Unmanaged<SubjectIndex>?

    private(set) var messagesIn: UInt64 = 0
    private(set) var payloadBytesIn: UInt64 = 0
    /// The counts when it entered its account.
    var trafficBefore = Traffic()
    private(set) var lastActivityNs: UInt64
    private(set) var roundTripNs: UInt64 = 0
    private var pingsOut = 0
    private var pingSentNs: UInt64 = 0
    var authTimer: TimerID?

    init(router: Router, channel: ChannelRef, clientID: UInt64, address: SocketAddress) {
        self.router = router
        self.channel = channel
        self.clientID = clientID
        self.address = address
        startedNs = Clock.monotonicNs()
        startedWallNs = Clock.wallNs()
        lastActivityNs = startedNs
        subscriber = Subscriber(clientID: clientID)
        subscriptions = SidTable(seed: router.broker.hashSeed)
        phase = .awaitingConnect
    }

    deinit {
        if let publishCache {
            publishCache.deinitialize(count: 1)
            publishCache.deallocate()
        }
    }

    var loop: EventLoop { router.loop }
    var broker: Broker { router.broker }
    var settings: LoopSettings { router.settings }

    // MARK: Beginning

    /// Sends INFO and waits for the first operation.
    ///
    /// - Parameter number: how many connections there were when it was accepted, itself included.
    func start(number: Int) {
        guard phase != .closed else { return }
        let authenticator = settings.authenticator
        if authenticator.nonceRequired {
            guard let fresh = Authenticator.freshNonce() else {
                close(.serverShutdown)
                return
            }
            nonce = fresh
        }
        sendInfo()
        if number > settings.maxConnections {
            close(.maximumConnectionsExceeded)
            return
        }
        if authenticator.isOpen {
            enter(.anonymous)
        } else {
            authTimer = loop.schedule(afterMs: settings.authTimeoutMs) { [unowned self] in
                if self.phase == .awaitingConnect || self.phase == .checkingPassword { self.close(.authenticationTimeout) }
            }
        }
        guard phase != .closed else { return }
        let first = min(2_000, settings.pingIntervalMs)
        router.schedulePing(clientID, afterMs: first)
        broker.log.debug("\(self.label) - Client connection created")
    }

    /// The authorized user, where there is one.
    var userName: String? { authorization.identity.user.isEmpty ? nil : authorization.identity.user }

    /// What connz and the log call it.
    var label: String { "\(address) - cid:\(clientID)" }

    private func sendInfo() {
        var recipient = ServerInfo.Recipient(
            clientID: clientID, clientIP: address.host, nonce: nonce.isEmpty ? nil : String(decoding: nonce, as: UTF8.self))
        if hasSentPong, let account {
            recipient.remoteAccount = account.name
            recipient.isSystemAccount = authorization.identity.isSystem
        }
        var info = settings.info
        info.maxPayloadBytes = maxPayloadBytes
        // A new connection learns from INFO what is required of it, whoever it turns out to be.
        info.line(for: recipient).withUnsafeBytes { loop.write(channel, $0, isReply: true) }
    }

    /// Below zero is unlimited.
    private var maxPayloadBytes: Int {
        let limit = account?.maxPayloadBytes.load(ordering: .relaxed) ?? -1, general = settings.maxPayloadBytes
        return limit >= 0 && general >= 0 ? min(limit, general) : max(limit, general)
    }

    /// Settings have changed: the next line is looked at again.
    func forgetCache() { publishCache?.pointee.forget() }

    /// The server has something to say that it did not say at the start: lame duck mode, another payload limit.
    func announce() {
        if phase == .ready && hasConnected && options.protocol >= 1 { sendInfo() }
    }

    // MARK: Reading

    func received(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> ReadOutcome {
        lastActivityNs = loop.turnStartNs
        let end = bytes + count
        var cursor = bytes
        var frameBytes = 0
        router.isAnswerPrompt = false
        setParserLimits()
        while cursor < end {
            if let cache = publishCache, let index {
                let generation = index.generation.load(ordering: .acquiring)
                if cache.pointee.isHit(cursor, end, generation: generation) {
                    let (run, next) = router.deliverRun(cache.pointee, cursor, end, generation: generation)
                    if run > 0 {
                        countIn(run, run &* cache.pointee.payloadCount)
                        router.counters.cacheHits &+= UInt64(run)
                        cursor = next
                        continue
                    }
                }
            }
            if phase != .ready && !mayProceed(cursor[0]) { return ReadOutcome(consumed: count) }
            let step = router.parser.parse(cursor, end)
            switch step {
            case .operation(let verb, let next):
                perform(verb)
                cursor = next
                if phase == .closed { return ReadOutcome(consumed: count) }
                if phase == .checkingPassword { return ReadOutcome(consumed: cursor - bytes) }
                continue
            case .incomplete(let known):
                frameBytes = known
            case .violation(let violation):
                close(violation)
                return ReadOutcome(consumed: count)
            }
            break
        }
        channel.pointee.isReadInPieces = router.isAnswerPrompt && frameBytes <= ClientConnection.pieceFrameBytesMax
        loop.stallIfCongested(channel)
        if router.endpoints.takeOverload() { router.holdUntilRelief(channel) }
        return ReadOutcome(consumed: cursor - bytes, frameBytes: frameBytes)
    }

    /// The parser serves every connection of the loop in turn; its limits are those of the one that is being read.
    func setParserLimits() {
        let payloadBytesMax = maxPayloadBytes
        router.parser.payloadBytesMax = payloadBytesMax < 0 ? .max : payloadBytesMax
        router.parser.controlLineBytesMax =
            phase == .ready ? settings.maxControlLineBytes : min(settings.maxControlLineBytes, strangerLineBytesMax)
    }

    /// Whether an operation that begins with `byte` may be parsed before the client has proved who it is.
    private func mayProceed(_ byte: UInt8) -> Bool {
        guard phase == .awaitingConnect else { return phase != .closed }
        if byte == UInt8(ascii: "C") || byte == UInt8(ascii: "c") { return true }
        if settings.authenticator.admitsWithoutConnect,
            case .accepted(let identity) = settings.authenticator.authenticate(nil, nonce: nonce)
        {
            enter(identity)
            setParserLimits()
            return phase == .ready
        }
        close(.authenticationFailure)
        return false
    }

    @inline(__always)
    func countIn(_ messages: Int, _ bytes: Int) {
        messagesIn &+= UInt64(truncatingIfNeeded: messages)
        payloadBytesIn &+= UInt64(truncatingIfNeeded: bytes)
        router.counters.messagesIn &+= UInt64(truncatingIfNeeded: messages)
        router.counters.bytesIn &+= UInt64(truncatingIfNeeded: bytes)
    }

    private func perform(_ verb: ClientVerb) {
        if settings.traces { trace(verb, router.parser) }
        switch verb {
        case .publish: publish(router.parser)
        case .subscribe: subscribe(router.parser.subject, router.parser.queue, router.parser.sid)
        case .unsubscribe: unsubscribe(router.parser.sid, router.parser.maxMessages)
        case .ping: ping()
        case .pong: pong()
        case .connect: connect(router.parser.text)
        case .info: info(router.parser.text)
        case .ok: break
        case .error: close(.clientClosed)
        }
    }

    /// Clients have nothing to say by INFO; nats-server ignores it as long as it is JSON.
    private func info(_ text: ByteView) {
        if (try? JSONValue.parse(text))?.object == nil { close(.parseError) }
    }

    // MARK: PING and PONG

    private func ping() {
        reply("PONG\r\n")
        guard hasConnected, !hasSentPong else { return }
        hasSentPong = true
        if options.protocol >= 1 { sendInfo() }
    }

    private func pong() {
        if pingsOut > 0 { roundTripNs = max(1, Clock.monotonicNs() &- pingSentNs) }
        pingsOut = 0
    }

    /// Sends a PING unless the client was heard of lately, and gives up on one that does not answer.
    func pingIsDue() {
        guard phase != .closed else { return }
        let interval = UInt64.ms(settings.pingIntervalMs)
        let idle = loop.turnStartNs &- min(lastActivityNs, loop.turnStartNs)
        if hasConnected || idle >= interval {
            if roundTripNs == 0 || idle >= interval {
                if pingsOut + 1 > settings.pingsOutMax {
                    router.counters.staleConnections += 1
                    close(.staleConnection)
                    return
                }
                pingsOut += 1
                pingSentNs = Clock.monotonicNs()
                loop.write(channel, "PING\r\n")
            }
        }
        router.schedulePing(clientID, afterMs: settings.pingIntervalMs)
    }

    // MARK: The end

    func reply(_ text: StaticString) { loop.write(channel, text, isReply: true) }
    func reply(_ text: String) { loop.write(channel, text, isReply: true) }

    private func close(_ violation: ProtocolViolation) {
        switch violation {
        case .unknownOperation: close(.parseErrorAnswered)
        case .badArguments: close(.parseError)
        case .controlLineTooLong: close(.maximumControlLineExceeded)
        case .payloadTooLarge: close(.maximumPayloadExceeded)
        }
    }

    /// Closes for a reason of the protocol's: answers what the reason demands, then lets the client read it.
    func close(_ reason: ClosedReason) {
        guard phase != .closed else { return }
        if let error = reason.error { reply("-ERR '\(error)'\r\n") }
        if case .authenticationFailure = reason {
            broker.log.error("\(label) - authentication error")
        }
        end(reason)
        loop.close(channel, .requested, linger: true)
    }

    func closed(_ reason: CloseReason) {
        switch reason {
        case .slowConsumerPendingBytes:
            router.counters.slowConsumersPending += 1
            account?.slowConsumers.wrappingAdd(1, ordering: .relaxed)
            let pending = channel.pointee.pendingBytes.load(ordering: .relaxed)
            broker.log.warning("\(label) - Slow Consumer Detected: MaxPending of \(pending) Exceeded")
            end(.slowConsumerPendingBytes)
        case .slowConsumerWriteDeadline:
            router.counters.slowConsumersDeadline += 1
            account?.slowConsumers.wrappingAdd(1, ordering: .relaxed)
            broker.log.warning("\(label) - Slow Consumer Detected: WriteDeadline Exceeded")
            end(.slowConsumerWriteDeadline)
        case .peerClosed, .requested: end(.clientClosed)
        case .readError: end(.readError)
        case .writeError: end(.writeError)
        case .loopStopped: end(.serverShutdown)
        }
    }

    /// Leaves the index, the account and the loop's table. Called once, whoever closes.
    private func end(_ reason: ClosedReason) {
        guard phase != .closed else { return }
        var snapshot = snapshot(withSubscriptions: true, upTo: ClosedConnections.subscriptionsMax)
        snapshot.stoppedWallNs = Clock.wallNs()
        snapshot.reason = reason.text
        subscriber.hasLeft.store(true, ordering: .relaxed)
        phase = .closed
        leaveAccount()
        if let authTimer { loop.cancel(authTimer) }
        router.closedConnections.append(snapshot, capacity: broker.closedConnectionsMax)
        router.connections[clientID] = nil
        router.streams?.clientClosed(clientID)
        broker.connectionCount.wrappingSubtract(1, ordering: .relaxed)
        broker.log.debug("\(self.label) - Client connection closed: \(reason.text)")
    }
}
