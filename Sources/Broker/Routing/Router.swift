// Takes one message and stages it for everybody it reaches. One router per loop.

import Glibc
import Reactor
import Synchronization
import Wire

/// A published message as views into the publisher's read buffer. CRLF follows the payload there.
struct Message {
    var subject: ByteView
    var reply: ByteView
    /// Bytes of the header block at the start of `payload`; -1 without one.
    var headerBytes: Int
    var payload: ByteView
    /// What stands between the last name and the line end: `5`, or `12 17` with headers.
    var sizes: ByteView
}

/// The loop-owned half of routing: match, check, stage.
final class Router {
    let loop: EventLoop
    let broker: Broker
    var parser: ClientParser
    /// Copies of what a reload may change; replaced by a task on the loop.
    var settings: LoopSettings
    var connections: [UInt64: ClientConnection] = [:]
    var closedConnections = ClosedConnections()
    var counters = LoopCounters()
    private var pings: PingWheel
    private var isPingTimerSet = false
    /// By account: what connections exchanged that have left it by now. Those still there carry their own counts.
    var formerTraffic: [String: Traffic] = [:]
    var matches = MatchBuffer()
    let endpoints: EndpointMail
    /// Connections that wait for a backlog to shrink.
    var held: [ChannelID] = []
    /// The streams that live on this loop; nil without JetStream.
    var streams: JetStreamLoop?
    /// Whose message is being routed: endpoints learn it.
    var origin = Origin.broker
    /// Something was published since this was last set to false that is answered at the end of the turn.
    var isAnswerPrompt = false
    private let sizes = UnsafeMutablePointer<UInt8>.allocate(capacity: 128)
    private var randomState: UInt64

    init(loop: EventLoop, broker: Broker, settings: LoopSettings) {
        self.loop = loop
        self.broker = broker
        self.settings = settings
        endpoints = EndpointMail(loop: loop, backlog: broker.backlog)
        pings = PingWheel(intervalMs: settings.pingIntervalMs)
        parser = ClientParser(
            controlLineBytesMax: settings.maxControlLineBytes, payloadBytesMax: settings.maxPayloadBytes)
        randomState = UInt64.random(in: 1...UInt64.max)
    }

    deinit { sizes.deallocate() }

    /// A reload: connections see the new settings from their next operation on.
    func apply(_ new: LoopSettings) {
        settings = new
        parser.controlLineBytesMax = new.maxControlLineBytes
        parser.payloadBytesMax = new.maxPayloadBytes
        guard pings.tickMs != PingWheel(intervalMs: new.pingIntervalMs).tickMs else { return }
        pings = PingWheel(intervalMs: new.pingIntervalMs)
        for clientID in connections.keys { schedulePing(clientID, afterMs: new.pingIntervalMs) }
    }

    /// Has `pingIsDue` called for a connection, if it is still there.
    func schedulePing(_ clientID: UInt64, afterMs delayMs: Int) {
        if !isPingTimerSet { setPingTimer() }
        pings.add(clientID, afterMs: delayMs)
    }

    private func setPingTimer() {
        isPingTimerSet = true
        loop.schedule(afterMs: pings.tickMs) { [unowned self] in
            isPingTimerSet = false
            for clientID in pings.tick() { connections[clientID]?.pingIsDue() }
            if pings.count > 0 && !isPingTimerSet { setPingTimer() }
        }
    }

    /// Frees index memory after every loop has moved on.
    func retire(_ memory: UnsafeMutableRawPointer) {
        loop.retire(memory) { memory in
            free(memory)
            return true
        }
    }

    /// The sizes of the message that the parser holds, as they go out.
    func sizesOfParsedMessage() -> ByteView {
        if parser.headerBytes < 0 { return parser.totalDigits }
        var out = Encoder(sizes)
        out.put(parser.headerDigits)
        out.put(0x20)
        out.put(parser.totalDigits)
        return ByteView(sizes, out.cursor - sizes)
    }

    /// Milliseconds on the monotonic clock, as of the turn's start.
    var nowMs: Int64 { Int64(truncatingIfNeeded: loop.turnStartNs / 1_000_000) }

    // MARK: Delivering

    /// Stages a message for all receivers in `matches`. Returns how many there were.
    ///
    /// - Parameter publisher: the connection that sent it, which `echo: false` looks at; nil for the broker itself.
    func deliverToMatches(_ message: Message, from publisher: ChannelRef?) -> Int {
        var delivered = 0
        for index in 0..<matches.plainCount where deliver(message, to: matches.plain[index], from: publisher) {
            delivered &+= 1
        }
        if matches.memberCount > 0 { delivered &+= deliverToGroups(message, from: publisher) }
        return delivered
    }

    /// One member of each group gets the message; a member that can not take it passes it on to the next.
    private func deliverToGroups(_ message: Message, from publisher: ChannelRef?) -> Int {
        var delivered = 0
        for group in matches.groups {
            let start = random(below: group.count)
            for step in 0..<group.count {
                let member = matches.members[group.first + (start + step) % group.count]
                if deliver(message, to: member, from: publisher) {
                    delivered += 1
                    break
                }
            }
        }
        return delivered
    }

    /// Not for secrets: xorshift.
    @inline(__always)
    func randomBits() -> UInt64 {
        randomState ^= randomState << 13
        randomState ^= randomState >> 7
        randomState ^= randomState << 17
        return randomState
    }

    /// A number from 0 to `bound - 1`.
    @inline(__always)
    func random(below bound: Int) -> Int {
        let bits = randomBits()
        return Int(truncatingIfNeeded: UInt64(truncatingIfNeeded: bound).multipliedFullWidth(by: bits).high)
    }

    @inline(__always)
    private func deliver(
        _ message: Message, to subscription: SubscriptionRef, from publisher: ChannelRef?
    ) -> Bool {
        if subscription.pointee.isClosed.load(ordering: .relaxed) { return false }
        var stripsHeaders = false
        if subscription.pointee.checks.rawValue != 0 {
            if subscription.pointee.checks.contains(.endpoint) { return hand(message, to: subscription) }
            guard pass(message, subscription, publisher) else { return false }
            stripsHeaders = message.headerBytes >= 0 && subscription.pointee.checks.contains(.noHeaders)
        }
        guard count(subscription) else { return false }
        if stripsHeaders {
            stageWithoutHeaders(message, subscription)
        } else {
            stage(message, subscription)
        }
        return true
    }

    /// Counts a delivery; false if the subscription has had its last.
    @inline(__always)
    func count(_ subscription: SubscriptionRef) -> Bool {
        let counter = subscription.pointee.counter
        let number = counter.pointee.delivered.wrappingAdd(1, ordering: .sequentiallyConsistent).newValue
        let limit = counter.pointee.maxMessages.load(ordering: .sequentiallyConsistent)
        if limit != 0 && number >= limit {
            expire(subscription)
            if number > limit { return false }
        }
        return true
    }

    /// Puts a message into the mail of the loop that owns an endpoint; false if the endpoint has no use for it.
    @inline(never)
    private func hand(_ message: Message, to subscription: SubscriptionRef) -> Bool {
        let address = subscription.pointee.endpoint
        if !message.reply.isEmpty && subscription.pointee.checks.contains(.prompt) { isAnswerPrompt = true }
        if address.loop == EndpointAddress.everyLoop, !AccountRequests.takes(message.subject) { return false }
        endpoints.stage(
            to: address, from: origin, subject: message.subject, reply: message.reply, headerBytes: message.headerBytes,
            message.payload, .empty)
        return true
    }

    /// What a subscription with checks asks of each message.
    @inline(never)
    private func pass(_ message: Message, _ subscription: SubscriptionRef, _ publisher: ChannelRef?) -> Bool {
        if subscription.pointee.checks.contains(.noEcho), let publisher, publisher == subscription.pointee.channel {
            return false
        }
        return passes(reply: message.reply, routedBy: message.subject, subscription)
    }

    /// What the receiver's permissions say of a message, and what a reply subject in it permits.
    func passes(reply: ByteView, routedBy subject: ByteView, _ subscription: SubscriptionRef) -> Bool {
        let checks = subscription.pointee.checks
        return subscription.pointee.subscriber._withUnsafeGuaranteedRef { subscriber in
            if checks.contains(.filtered), !subscriber.mayReceive(subject, queue: Subscription.queue(subscription)) {
                return false
            }
            if checks.contains(.tracksReplies), !reply.isEmpty { subscriber.didDeliver(reply: reply, nowMs: nowMs) }
            return true
        }
    }

    /// The last message of a limited subscription has been delivered: it leaves the index, and its connection's table.
    @inline(never)
    private func expire(_ subscription: SubscriptionRef) {
        guard !subscription.pointee.isClosed.exchange(true, ordering: .relaxed) else { return }
        let id = subscription.pointee.channel.pointee.id
        let clientID = subscription.pointee.subscriber._withUnsafeGuaranteedRef { $0.clientID }
        let sid = Subscription.sid(subscription).bytes
        if Int(id.loop) == loop.index {
            connections[clientID]?.subscriptionExpired(sid)
        } else {
            loop.group.mailboxes[Int(id.loop)].post { loop in
                (loop.context as? Router)?.connections[clientID]?.subscriptionExpired(sid)
            }
        }
    }

    // MARK: Staging

    @inline(__always)
    private func stage(_ message: Message, _ subscription: SubscriptionRef) {
        let need =
            16 &+ message.subject.count &+ Int(subscription.pointee.sidCount) &+ message.reply.count
            &+ message.sizes.count &+ message.payload.count
        let stage = loop.reserve(slot: subscription.pointee.slot, subscription.pointee.channel, need)
        guard let cursor = stage.pointee.cursor else { return }
        var out = Encoder(cursor)
        if message.headerBytes >= 0 { out.put(0x48) }
        putHead(&out, message, subscription)
        out.putWithSlack(message.sizes.base, message.sizes.count)
        out.putLineEnd()
        // The payload is followed by CRLF where it stands.
        out.putWithSlack(message.payload.base, message.payload.count &+ 2)
        stage.pointee.cursor = out.cursor
        stage.pointee.messages &+= 1
        stage.pointee.payloadBytes &+= message.payload.count
    }

    @inline(__always)
    private func putHead(_ out: inout Encoder, _ message: Message, _ subscription: SubscriptionRef) {
        UnsafeMutableRawPointer(out.cursor).storeBytes(of: 0x2047_534D, as: UInt32.self)  // "MSG "
        out.cursor += 4
        out.putWithSlack(message.subject.base, message.subject.count)
        out.put(0x20)
        let sid = Subscription.sid(subscription)
        out.putWithSlack(sid.base, sid.count)
        out.put(0x20)
        if !message.reply.isEmpty {
            out.putWithSlack(message.reply.base, message.reply.count)
            out.put(0x20)
        }
    }

    @inline(never)
    private func stageWithoutHeaders(_ message: Message, _ subscription: SubscriptionRef) {
        let body = ByteView(message.payload.base + message.headerBytes, message.payload.count - message.headerBytes)
        let need = 40 + message.subject.count + Int(subscription.pointee.sidCount) + message.reply.count + body.count
        let stage = loop.reserve(slot: subscription.pointee.slot, subscription.pointee.channel, need)
        guard let cursor = stage.pointee.cursor else { return }
        var out = Encoder(cursor)
        putHead(&out, message, subscription)
        out.put(decimal: body.count)
        out.putLineEnd()
        out.put(body)
        out.putLineEnd()
        stage.pointee.cursor = out.cursor
        stage.pointee.messages &+= 1
        stage.pointee.payloadBytes &+= body.count
    }

    /// Tells a requester that nobody listens: a 503 to the subscription that waits for the reply.
    func stageNoResponders(_ message: Message, to subscription: SubscriptionRef) {
        // The two lines without the subject, and the empty line.
        let header = 32 + message.subject.count
        let need = 64 + message.reply.count + Int(subscription.pointee.sidCount) + header
        let stage = loop.reserve(slot: subscription.pointee.slot, subscription.pointee.channel, need)
        guard let cursor = stage.pointee.cursor else { return }
        var out = Encoder(cursor)
        out.put("HMSG ")
        out.put(message.reply)
        out.put(0x20)
        out.put(Subscription.sid(subscription))
        out.put(0x20)
        out.put(decimal: header)
        out.put(0x20)
        out.put(decimal: header)
        out.put("\r\nNATS/1.0 503\r\nNats-Subject: ")
        out.put(message.subject)
        out.put("\r\n\r\n\r\n")
        stage.pointee.cursor = out.cursor
    }

    // MARK: The cached line

    /// Delivers a run of messages that begin with the cached line. Returns how many, and where the next bytes are.
    @inline(__always)
    func deliverRun(
        _ cache: borrowing PublishCache, _ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>, generation: UInt64
    ) -> (count: Int, next: UnsafePointer<UInt8>) {
        let lineCount = cache.lineCount
        let frameCount = cache.frameCount
        let bodyCount = cache.payloadCount &+ 2
        let payloadCount = cache.payloadCount
        let plainCount = cache.plainCount
        let targets = cache.targets
        let hasGroups = !cache.groups.isEmpty
        let loop = self.loop
        var cursor = start
        var count = 0
        while cache.isHit(cursor, end, generation: generation), end - cursor >= frameCount {
            let body = cursor + lineCount
            // A payload that does not end in CRLF is the parser's to refuse.
            guard body[payloadCount] == 0x0D, body[payloadCount &+ 1] == 0x0A else { break }
            var index = 0
            while index < plainCount {
                stageCached(targets + index, body, bodyCount, loop)
                index &+= 1
            }
            if hasGroups {
                for group in cache.groups {
                    let target = targets + (group.first + random(below: group.count))
                    stageCached(target, body, bodyCount, loop)
                    target.pointee.subscription.pointee.counter.pointee.delivered.wrappingAdd(1, ordering: .relaxed)
                }
            }
            cursor += frameCount
            count &+= 1
        }
        if count > 0 {
            for index in 0..<plainCount {
                let subscription = targets[index].subscription
                let counter = subscription.pointee.counter
                let number = counter.pointee.delivered.wrappingAdd(
                    UInt64(truncatingIfNeeded: count), ordering: .sequentiallyConsistent
                ).newValue
                // A limit that was set during the run was meant for what follows it, but the run may have used it up.
                let limit = counter.pointee.maxMessages.load(ordering: .sequentiallyConsistent)
                if limit != 0 && number >= limit { expire(subscription) }
            }
        }
        return (count, cursor)
    }

    @inline(__always)
    private func stageCached(
        _ target: UnsafeMutablePointer<PublishCache.Target>, _ body: UnsafePointer<UInt8>, _ bodyCount: Int,
        _ loop: EventLoop
    ) {
        let headCount = Int(target.pointee.headCount)
        let stage = loop.reserve(slot: target.pointee.slot, target.pointee.channel, headCount &+ bodyCount)
        let cursor = stage.pointee.cursor.unsafelyUnwrapped
        copyWithSlack(cursor, target.pointee.head, headCount)
        copyWithSlack(cursor + headCount, body, bodyCount)
        stage.pointee.cursor = cursor + (headCount &+ bodyCount)
        stage.pointee.messages &+= 1
        stage.pointee.payloadBytes &+= bodyCount &- 2
    }
}

/// What one loop has counted; added up for monitoring.
struct LoopCounters: Sendable {
    var messagesIn: UInt64 = 0
    var bytesIn: UInt64 = 0
    var slowConsumersPending: UInt64 = 0
    var slowConsumersDeadline: UInt64 = 0
    var staleConnections: UInt64 = 0
    var matches: UInt64 = 0
    var cacheHits: UInt64 = 0
}

/// What the options say that a loop needs for each connection or message.
struct LoopSettings: Sendable {
    var maxControlLineBytes: Int
    var maxPayloadBytes: Int
    var maxConnections: Int
    var maxSubscriptions: Int
    var maxSubscriptionTokens: Int
    var pingIntervalMs: Int
    var pingsOutMax: Int
    var authTimeoutMs: Int
    var headers: Bool
    var traces: Bool
    var info: ServerInfo
    var authenticator: Authenticator
}
