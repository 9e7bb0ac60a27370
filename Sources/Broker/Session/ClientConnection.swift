// One client: its state from INFO to the end, and what each of its operations does.

import Glibc
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

    let router: Router
    let channel: ChannelRef
    let clientID: UInt64
    let address: SocketAddress
    let startedNs: UInt64
    let startedWallNs: Int64
    let subscriber: Subscriber

    private(set) var phase: Phase
    private(set) var options = SessionOptions()
    private(set) var account: Account?
    private var authorization = Authorization(.anonymous)
    private var nonce: [UInt8] = []
    private var hasConnected = false
    private var hasSentPong = false

    var subscriptions: SidTable
    private var publishCache: UnsafeMutablePointer<PublishCache>?
    /// Hash of the last line that was not in the cache: a line is cached when it comes twice in a row.
    private var lastLineHash: UInt64 = 0
    private var index: SubjectIndex?

    private(set) var messagesIn: UInt64 = 0
    private(set) var payloadBytesIn: UInt64 = 0
    /// The counts when it entered its account.
    private var trafficBefore = Traffic()
    private(set) var lastActivityNs: UInt64
    private(set) var roundTripNs: UInt64 = 0
    private var pingsOut = 0
    private var pingSentNs: UInt64 = 0
    private var authTimer: TimerID?

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

    private var loop: EventLoop { router.loop }
    private var broker: Broker { router.broker }
    private var settings: LoopSettings { router.settings }

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

    /// Belongs to an account from here on.
    private func enter(_ identity: Identity) {
        guard let account = broker.account(named: identity.account) else {
            close(.missingAccount)
            return
        }
        if self.account !== account {
            leaveAccount()
            let limit = account.maxConnections.load(ordering: .relaxed)
            let connections = account.connections.wrappingAdd(1, ordering: .relaxed).newValue
            self.account = account
            trafficBefore = traffic
            index = account.index
            if limit >= 0 && connections > limit {
                close(.maximumAccountConnectionsExceeded)
                return
            }
            account.connectionsTotal.wrappingAdd(1, ordering: .relaxed)
        }
        apply(Authorization(identity))
        phase = .ready
        if let authTimer { loop.cancel(authTimer) }
        authTimer = nil
    }

    /// Takes everything out of the account's index, which the connection does not know any more afterwards.
    private func leaveAccount() {
        guard let account else { return }
        dropSubscriptions()
        publishCache?.pointee.forget()
        account.connections.wrappingSubtract(1, ordering: .relaxed)
        router.formerTraffic[account.name, default: Traffic()].add(accountTraffic)
        self.account = nil
        index = nil
    }

    private func apply(_ new: Authorization) {
        authorization = new
        subscriber.set(new)
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
        loop.stallIfCongested(channel)
        return ReadOutcome(consumed: cursor - bytes, frameBytes: frameBytes)
    }

    /// The parser serves every connection of the loop in turn; its limits are those of the one that is being read.
    private func setParserLimits() {
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
    private func countIn(_ messages: Int, _ bytes: Int) {
        messagesIn &+= UInt64(truncatingIfNeeded: messages)
        payloadBytesIn &+= UInt64(truncatingIfNeeded: bytes)
        router.counters.messagesIn &+= UInt64(truncatingIfNeeded: messages)
        router.counters.bytesIn &+= UInt64(truncatingIfNeeded: bytes)
    }

    private func perform(_ verb: ClientVerb) {
        if settings.traces && (!authorization.identity.isSystem || broker.log.isTraceVerboseEnabled) {
            trace(verb, router.parser)
        }
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

    private func trace(_ verb: ClientVerb, _ parser: borrowing ClientParser) {
        switch verb {
        case .publish:
            let line = parser.controlLine.string.split { $0.isNewline }.first ?? ""
            broker.log.trace("\(self.label) - <<- [\(line)]")
            let size = self.broker.tracedMessageBytesMax
            let shown = size > 0 ? min(size, parser.payload.count) : parser.payload.count
            let payload = ByteView(parser.payload.base, shown).string
            broker.log.trace("\(self.label) - <<- MSG_PAYLOAD: [\"\(payload)\"]")
        case .subscribe:
            let text = parser.text.string
            broker.log.trace("\(self.label) - <<- [SUB \(text)]")
        case .unsubscribe:
            let text = parser.text.string
            broker.log.trace("\(self.label) - <<- [UNSUB \(text)]")
        case .connect:
            // The text holds passwords.
            broker.log.trace("\(self.label) - <<- [CONNECT]")
        default:
            broker.log.trace("\(self.label) - <<- [\(verb)]")
        }
    }

    /// Clients have nothing to say by INFO; nats-server ignores it as long as it is JSON.
    private func info(_ text: ByteView) {
        if (try? JSONValue.parse(text))?.object == nil { close(.parseError) }
    }

    // MARK: CONNECT

    private func connect(_ text: ByteView) {
        var connect = options.asConnect
        do {
            try connect.apply(text)
        } catch {
            broker.log.debug("\(self.label) - CONNECT refused: \(error)")
            close(.parseError)
            return
        }
        options = SessionOptions(connect)
        switch settings.authenticator.authenticate(connect, nonce: nonce) {
        case .accepted(let identity):
            admit(identity)
        case .rejected:
            close(.authenticationFailure)
        case .needsSlowCheck(let check):
            phase = .checkingPassword
            loop.pauseReading(channel)
            let id = channel.pointee.id
            let clientID = clientID
            let mailbox = loop.mailbox
            let isQueued = broker.workers.run { [subscriber] in
                // Whoever has left needs no answer: a flood of logins must not outlive its clients.
                guard !subscriber.hasLeft.load(ordering: .relaxed) else { return }
                let verdict = check.run()
                mailbox.post { loop in
                    guard let router = loop.context as? Router, let connection = router.connections[clientID] else { return }
                    connection.passwordChecked(verdict)
                    if let channel = loop.channel(id) { loop.resumeReading(channel) }
                }
            }
            // Too many wait already: the client may come again when its time is up.
            if !isQueued { close(.authenticationTimeout) }
        }
    }

    private func passwordChecked(_ verdict: Authenticator.Verdict) {
        guard phase == .checkingPassword else { return }
        // A reload may have come while the hash was computed: who was known then must be known now.
        if case .accepted(let checked) = verdict, let identity = settings.authenticator.renew(checked) {
            admit(identity)
        } else {
            close(.authenticationFailure)
        }
    }

    private func admit(_ identity: Identity) {
        if hasConnected { dropSubscriptions() }
        enter(identity)
        setParserLimits()
        if phase == .ready { finishConnect() }
    }

    private func finishConnect() {
        if options.protocol > 1 { return close(.badClientProtocolVersion) }
        if options.noResponders && !(options.headers && settings.headers) { return close(.noRespondersRequiresHeaders) }
        publishCache?.pointee.forget()
        // Subscriptions carry copies of what CONNECT said: those that came before it are made anew.
        for subscription in subscriptions.all { renew(subscription) }
        hasConnected = true
        if options.verbose { reply("+OK\r\n") }
    }

    // MARK: PUB and HPUB

    private func publish(_ parser: borrowing ClientParser) {
        guard let index else { return }
        if parser.headerBytes >= 0 && !(options.headers && settings.headers) {
            close(.messageHeaderViolation)
            return
        }
        let subject = parser.subject
        countIn(1, parser.payload.count)
        if options.pedantic && !Subject.isValidLiteral(subject) { reply("-ERR 'Invalid Publish Subject'\r\n") }
        switch authorization.publish(subject, reply: parser.reply, nowMs: router.nowMs) {
        case .allowed: break
        case .deniedSubject:
            reply("-ERR 'Permissions Violation for Publish to \"\(subject.string)\"'\r\n")
            broker.log.error("\(label) - Publish Violation - Subject \"\(subject.string)\"")
            return
        case .deniedReply:
            let name = parser.reply.string
            reply("-ERR 'Permissions Violation for Publish with Reply of \"\(name)\"'\r\n")
            broker.log.error("\(label) - Publish Violation - Reply \"\(name)\"")
            return
        }
        if options.verbose { reply("+OK\r\n") }

        let generation = index.generation.load(ordering: .acquiring)
        let message = Message(
            subject: subject, reply: parser.reply, headerBytes: parser.headerBytes, payload: parser.payload,
            sizes: router.sizesOfParsedMessage())
        index.match(subject, into: &router.matches)
        router.counters.matches &+= 1
        let publisher = options.echo ? nil : channel
        let delivered = router.deliverToMatches(message, from: publisher)
        if message.reply.isEmpty {
            considerCaching(message, parser.controlLine, generation)
        } else if delivered == 0 && options.noResponders {
            answerNoResponders(message, index)
        }
    }

    /// The requester waits on a subscription of its own; it gets the 503 there.
    private func answerNoResponders(_ message: Message, _ index: SubjectIndex) {
        index.match(message.reply, into: &router.matches)
        for position in 0..<router.matches.plainCount {
            let subscription = router.matches.plain[position]
            if subscription.pointee.channel == channel, !subscription.pointee.isClosed.load(ordering: .relaxed) {
                router.stageNoResponders(message, to: subscription)
                return
            }
        }
    }

    /// Caches a line that has come twice in a row and can be served without a look at each message.
    private func considerCaching(_ message: Message, _ line: ByteView, _ generation: UInt64) {
        guard line.count <= PublishCache.lineBytesMax else { return }
        let hash = hashBytes(line.base, line.count, seed: generation)
        guard hash == lastLineHash else {
            lastLineHash = hash
            return
        }
        guard !options.verbose, !options.pedantic || Subject.isValidLiteral(message.subject), !settings.traces,
            !authorization.tracksResponses, canBeServedUnchecked(message)
        else { return }
        let cache: UnsafeMutablePointer<PublishCache>
        if let existing = publishCache {
            cache = existing
        } else {
            cache = .allocate(capacity: 1)
            cache.initialize(to: PublishCache())
            publishCache = cache
        }
        cache.pointee.fill(
            controlLine: line, subject: message.subject, headerBytes: message.headerBytes, sizes: message.sizes,
            payloadCount: message.payload.count, matches: router.matches, generation: generation)
    }

    private func canBeServedUnchecked(_ message: Message) -> Bool {
        func isPlain(_ subscription: SubscriptionRef) -> Bool {
            var checks = subscription.pointee.checks
            checks.remove(.tracksReplies)
            if message.headerBytes < 0 { checks.remove(.noHeaders) }
            if checks.contains(.noEcho), subscription.pointee.channel != channel { checks.remove(.noEcho) }
            return checks.isEmpty && subscription.pointee.maxMessages.load(ordering: .relaxed) == 0
        }
        for index in 0..<router.matches.plainCount where !isPlain(router.matches.plain[index]) { return false }
        for index in 0..<router.matches.memberCount where !isPlain(router.matches.members[index]) { return false }
        return true
    }

    // MARK: SUB and UNSUB

    private func subscribe(_ subject: ByteView, _ queue: ByteView, _ sid: ByteView) {
        guard let account, let index else { return }
        let verdict = authorization.subscribe(subject, queue: queue)
        guard verdict != .denied else {
            let using = queue.isEmpty ? "" : " using queue \"\(queue.string)\""
            reply("-ERR 'Permissions Violation for Subscription to \"\(subject.string)\"\(using)'\r\n")
            broker.log.error("\(label) - Subscription Violation - Subject \"\(subject.string)\", SID \(sid.string)")
            return
        }
        let tokensMax = settings.maxSubscriptionTokens
        if tokensMax > 0 && Subject.tokenCount(subject) > tokensMax {
            reply("-ERR 'Permissions Violation for Subscription to \"\(subject.string)\", too many tokens'\r\n")
            return
        }
        if isAtSubscriptionLimit(account) {
            reply("-ERR 'maximum subscriptions exceeded'\r\n")
            return
        }
        // One that had its last message may still be in the table: another loop has seen it end, and its word is on its way.
        if let old = subscriptions.find(sid), old.pointee.isClosed.load(ordering: .relaxed) { remove(old) }
        if subscriptions.find(sid) == nil {
            guard Subject.isValid(subject, allowsFormFeed: true) else {
                reply("-ERR 'Invalid Subject'\r\n")
                return
            }
            let checks = checks(verdict)
            let subscription = Subscription.make(
                channel: channel, subscriber: subscriber, checks: checks, subject: subject, queue: queue, sid: sid)
            subscriptions.insert(subscription)
            index.insert(subscription, retire: router.retire)
        }
        if options.verbose { reply("+OK\r\n") }
    }

    /// What deliveries to this client must look at, as CONNECT and its permissions have it now.
    private func checks(_ verdict: Permissions.SubscribeVerdict) -> Subscription.Checks {
        var checks: Subscription.Checks = []
        if !(options.headers && settings.headers) { checks.insert(.noHeaders) }
        if !options.echo { checks.insert(.noEcho) }
        if verdict == .filtered { checks.insert(.filtered) }
        if authorization.tracksResponses { checks.insert(.tracksReplies) }
        return checks
    }

    private func isAtSubscriptionLimit(_ account: Account) -> Bool {
        let perConnection = settings.maxSubscriptions
        if perConnection > 0 && subscriptions.count >= perConnection { return true }
        let perAccount = account.maxSubscriptions.load(ordering: .relaxed)
        return perAccount >= 0 && account.index.count.load(ordering: .relaxed) >= perAccount
    }

    /// - Parameter limit: deliver this many in all, counted from the SUB; 0 or less ends it now.
    private func unsubscribe(_ sid: ByteView, _ limit: Int) {
        if let subscription = subscriptions.find(sid) {
            subscription.pointee.maxMessages.store(UInt64(max(0, limit)), ordering: .sequentiallyConsistent)
            // Deliveries count first and look at the limit then: none slips between this store and this load.
            if limit > 0 && subscription.pointee.delivered.load(ordering: .sequentiallyConsistent) < UInt64(limit) {
                // Cached lines do not count messages one by one.
                index?.invalidate()
            } else {
                remove(subscription)
            }
        }
        if options.verbose { reply("+OK\r\n") }
    }

    func subscriptionExpired(_ sid: [UInt8]) {
        sid.withUnsafeBytes { bytes in
            if let subscription = subscriptions.find(ByteView(bytes)),
                subscription.pointee.isClosed.load(ordering: .relaxed)
            {
                remove(subscription)
            }
        }
    }

    /// - Parameter sweeps: many go at once and are marked as closed already; see `SubjectIndex.remove`.
    private func remove(_ subscription: SubscriptionRef, sweeps: Bool = false) {
        subscription.pointee.isClosed.store(true, ordering: .relaxed)
        // Writing a reply just before may have closed the connection, and with it all of its subscriptions.
        guard subscriptions.remove(subscription) else { return }
        index?.remove(subscription, sweeps: sweeps, retire: router.retire)
        free(subscription)
    }

    private func dropSubscriptions() {
        let all = subscriptions.all
        for subscription in all { subscription.pointee.isClosed.store(true, ordering: .relaxed) }
        for subscription in all { remove(subscription, sweeps: all.count >= ClientConnection.sweptCountMin) }
    }

    /// Dropping this many subscriptions is worth a look at each neighbour they may have in a list.
    private static let sweptCountMin = 64

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

    // MARK: Reload

    /// New settings are in force: is this client still who it was, and what may it do now?
    func reauthorize() {
        if phase == .checkingPassword && account != nil {
            // It is logging in anew while its old login may be void: it may come back.
            close(.authenticationFailure)
            return
        }
        guard phase == .ready else { return }
        guard let renewed = settings.authenticator.renew(authorization.identity),
            broker.account(named: renewed.account) === account
        else {
            close(.authenticationFailure)
            return
        }
        apply(authorization.renewed(as: renewed))
        publishCache?.pointee.forget()
        for subscription in subscriptions.all {
            // Thousands of refusals may be more than the socket takes.
            if phase == .closed { return }
            let subject = Subscription.subject(subscription), queue = Subscription.queue(subscription)
            switch authorization.subscribe(subject, queue: queue) {
            case .denied:
                let using = queue.isEmpty ? "" : " using queue \"\(queue.string)\""
                let sid = Subscription.sid(subscription).string
                reply("-ERR 'Permissions Violation for Subscription to \"\(subject.string)\"\(using) (sid \"\(sid)\")'\r\n")
                remove(subscription)
            case .allowed, .filtered:
                renew(subscription)
            }
        }
    }

    /// Checks are fixed while a subscription is in the index: where they have changed, a new one takes its place.
    private func renew(_ old: SubscriptionRef) {
        if old.pointee.isClosed.load(ordering: .relaxed) { return }
        let subject = Subscription.subject(old), queue = Subscription.queue(old)
        let checks = checks(authorization.subscribe(subject, queue: queue))
        guard checks != old.pointee.checks else { return }
        let new = Subscription.make(
            channel: channel, subscriber: subscriber, checks: checks, subject: subject, queue: queue,
            sid: Subscription.sid(old))
        new.pointee.delivered.store(old.pointee.delivered.load(ordering: .relaxed), ordering: .relaxed)
        new.pointee.maxMessages.store(old.pointee.maxMessages.load(ordering: .relaxed), ordering: .relaxed)
        subscriptions.remove(old)
        subscriptions.insert(new)
        // Not marked as closed: whoever has found it already still delivers to it, and nobody to both.
        index?.replace(old, with: new, retire: router.retire)
        free(old)
    }

    /// Frees a subscription that is not in the index any more, once no loop can be delivering to it.
    private func free(_ subscription: SubscriptionRef) {
        loop.retire(subscription) { memory in
            Subscription.free(memory.assumingMemoryBound(to: Subscription.self))
            return true
        }
    }

    // MARK: The end

    private func reply(_ text: StaticString) { loop.write(channel, text, isReply: true) }
    private func reply(_ text: String) { loop.write(channel, text, isReply: true) }

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
        broker.connectionCount.wrappingSubtract(1, ordering: .relaxed)
        broker.log.debug("\(self.label) - Client connection closed: \(reason.text)")
    }

    // MARK: Monitoring

    /// Everything since the connection began.
    var traffic: Traffic {
        Traffic(
            messagesIn: messagesIn, bytesIn: payloadBytesIn,
            messagesOut: channel.pointee.messagesOut.load(ordering: .relaxed),
            bytesOut: channel.pointee.payloadBytesOut.load(ordering: .relaxed))
    }

    var lastActivityWallNs: Int64 { startedWallNs &+ Int64(clamping: max(lastActivityNs, startedNs) - startedNs) }

    /// What it exchanged since it entered its account.
    var accountTraffic: Traffic { traffic.since(trafficBefore) }

    /// How many receivers the cached publish line has; nil while nothing is cached.
    var cachedFanout: Int? {
        guard let publishCache, let index,
            publishCache.pointee.generation == index.generation.load(ordering: .relaxed)
        else { return nil }
        return publishCache.pointee.plainCount + publishCache.pointee.groups.count
    }

    /// A copy of what /connz shows.
    func snapshot(withSubscriptions: Bool, upTo limit: Int = .max) -> ClientSnapshot {
        var list: [ClientSnapshot.Interest] = []
        if withSubscriptions {
            subscriptions.forEach { if list.count < limit { list.append(ClientSnapshot.Interest($0)) } }
        }
        return ClientSnapshot(
            clientID: clientID, address: address, startedWallNs: startedWallNs,
            lastActivityWallNs: lastActivityWallNs,
            roundTripNs: roundTripNs, pendingBytes: channel.pointee.pendingBytes.load(ordering: .relaxed),
            messagesIn: messagesIn, bytesIn: payloadBytesIn,
            messagesOut: channel.pointee.messagesOut.load(ordering: .relaxed),
            bytesOut: channel.pointee.payloadBytesOut.load(ordering: .relaxed),
            subscriptionCount: subscriptions.count, subscriptions: list, name: options.name, lang: options.lang,
            version: options.version, account: account?.name, user: userName)
    }
}
