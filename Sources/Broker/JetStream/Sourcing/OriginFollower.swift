// Follows a stream that a mirror or a source copies: keeps a consumer on it, and makes a new one when anything is missing.

import Wire

/// What a follower asks of the stream it works for, and of the broker around it.
protocol OriginFollowerHost: AnyObject {
    var now: Instant { get }
    func random() -> UInt64
    /// Publishes in the stream's account.
    func publish(_ subject: ByteView, reply: ByteView, headers: ByteView, payload: ByteView)
    /// Has what is published to a subject passed to `received`, until `unlisten`.
    func listen(_ subject: String, for follower: OriginFollower)
    func unlisten(_ subject: String)
    /// A message of the origin, in its order. False: it could not be taken; the follower begins again behind the last that was.
    func store(_ message: Message, _ reply: DeliveryReply, from follower: OriginFollower) -> Bool
    /// Where to go on: the first sequence of the origin that has not been taken; 0: as the configuration says.
    func resumeSequence(for follower: OriginFollower) -> UInt64
}

/// Pure but for its host. Owned by its stream's loop, which calls `advance` at `nextDeadlineNs`.
final class OriginFollower {
    /// How long a request may take, and how long nothing is heard of a consumer before it is made anew: three heartbeats.
    private static let answerMs: UInt64 = 5_000
    private static let heartbeatNs: Int64 = 1_000_000_000
    private static let silenceMs: UInt64 = 3_000
    /// Waits between attempts grow to this, so that an origin that is gone costs little.
    private static let retryMsMax: UInt64 = 10_000

    private enum Phase {
        case stopped
        /// Asked for a consumer; the inbox says which request an answer belongs to.
        case asking
        case following
        case waiting
    }

    let config: StreamSourceConfig
    /// Unique among the followers of a stream, and the same after a restart.
    let name: String
    private unowned let host: any OriginFollowerHost
    private let prefix: String
    private var phase = Phase.stopped
    private var inbox = ""
    private var deliverSubject = ""
    private var consumer = ""
    private var nextConsumerSequence: UInt64 = 1
    private var failures = 0
    private(set) var nextDeadlineNs = UInt64.max

    // What STREAM.INFO shows.
    private(set) var pending: UInt64 = 0
    private(set) var lastHeardNs: UInt64 = 0
    private(set) var error: APIError?

    init(_ config: StreamSourceConfig, name: String, host: any OriginFollowerHost) {
        self.config = config
        self.name = name
        self.host = host
        let external = config.external?.apiPrefix ?? ""
        prefix = external.isEmpty ? "$JS.API" : external.hasSuffix(".") ? String(external.dropLast()) : external
    }

    func start() {
        guard case .stopped = phase else { return }
        ask()
    }

    /// Takes leave of the origin.
    func stop() {
        drop()
        phase = .stopped
        nextDeadlineNs = .max
    }

    func advance() {
        guard host.now.monotonicNs >= nextDeadlineNs else { return }
        switch phase {
        case .stopped: nextDeadlineNs = .max
        case .waiting: ask()
        case .asking, .following: retry()
        }
    }

    // MARK: Asking

    private func ask() {
        let token = String(host.random(), radix: 36)
        inbox = "$JS.S.\(token).R"
        deliverSubject = (config.external?.deliverPrefix).flatMap { $0.isEmpty ? nil : $0 + ".\(token)" } ?? "$JS.S.\(token).D"
        consumer = ""
        nextConsumerSequence = 1
        host.listen(inbox, for: self)
        host.listen(deliverSubject, for: self)
        phase = .asking
        nextDeadlineNs = host.now.monotonicNs + OriginFollower.answerMs * 1_000_000
        let body = request().serialized()
        send("\(prefix).CONSUMER.CREATE.\(config.name)", reply: inbox, body)
    }

    private func request() -> JSONValue {
        var consumer: [JSONObject.Member] = [
            .init("deliver_subject", .string(deliverSubject)), .init("ack_policy", .string("none")),
            .init("max_deliver", .int(1)), .init("replay_policy", .string("instant")), .init("flow_control", .bool(true)),
            .init("idle_heartbeat", .int64(OriginFollower.heartbeatNs)), .init("direct", .bool(true)),
            .init("mem_storage", .bool(true)), .init("num_replicas", .int(1)),
        ]
        let resume = host.resumeSequence(for: self)
        if resume > 0 {
            consumer.append(.init("deliver_policy", .string("by_start_sequence")))
            consumer.append(.init("opt_start_seq", .uint64(resume)))
        } else if config.startSequence > 0 {
            consumer.append(.init("deliver_policy", .string("by_start_sequence")))
            consumer.append(.init("opt_start_seq", .uint64(config.startSequence)))
        } else if let startNs = config.startTimeNs {
            consumer.append(.init("deliver_policy", .string("by_start_time")))
            consumer.append(.init("opt_start_time", .string(Timestamp.text(startNs))))
        } else {
            consumer.append(.init("deliver_policy", .string("all")))
        }
        if !config.filterSubject.isEmpty {
            consumer.append(.init("filter_subject", .string(config.filterSubject)))
        } else if config.subjectTransforms.count == 1 {
            consumer.append(.init("filter_subject", .string(config.subjectTransforms[0].source)))
        } else if !config.subjectTransforms.isEmpty {
            consumer.append(.init("filter_subjects", .array(config.subjectTransforms.map { .string($0.source) })))
        }
        return .object(
            JSONObject([.init("stream_name", .string(config.name)), .init("config", .object(JSONObject(consumer)))]))
    }

    private func send(_ subject: String, reply: String, _ body: [UInt8]) {
        Array(subject.utf8).withUnsafeBytes { subject in
            Array(reply.utf8).withUnsafeBytes { reply in
                body.withUnsafeBytes { body in
                    host.publish(ByteView(subject), reply: ByteView(reply), headers: .empty, payload: ByteView(body))
                }
            }
        }
    }

    private func drop() {
        if !inbox.isEmpty { host.unlisten(inbox) }
        if !deliverSubject.isEmpty { host.unlisten(deliverSubject) }
        if !consumer.isEmpty { send("\(prefix).CONSUMER.DELETE.\(config.name).\(consumer)", reply: "", []) }
        inbox = ""
        deliverSubject = ""
        consumer = ""
    }

    /// Begins again after a while.
    private func retry() {
        drop()
        phase = .waiting
        let delayMs = min(OriginFollower.retryMsMax, 250 << UInt64(min(failures, 6)))
        failures += 1
        nextDeadlineNs = host.now.monotonicNs + (delayMs + host.random() % 100) * 1_000_000
    }

    // MARK: Hearing

    /// Something came on one of the follower's subjects.
    func received(_ message: Message, on subject: String) {
        if subject == inbox {
            answered(message.payload)
        } else if subject == deliverSubject {
            delivered(message)
        }
    }

    private func answered(_ payload: ByteView) {
        guard case .asking = phase else { return }
        let answer = try? JSONValue.parse(payload)
        if let refusal = answer?["error"]?.object {
            error = APIError(
                refusal["code"]?.int ?? 500, refusal["err_code"]?.int ?? 0, refusal["description"]?.string ?? "unknown error")
            return retry()
        }
        guard let name = answer?["name"]?.string else { return retry() }
        consumer = name
        pending = answer?["num_pending"]?.uint64 ?? 0
        error = nil
        phase = .following
        heard()
    }

    private func heard() {
        lastHeardNs = host.now.monotonicNs
        nextDeadlineNs = lastHeardNs + OriginFollower.silenceMs * 1_000_000
    }

    private func delivered(_ message: Message) {
        guard phase == .following || phase == .asking else { return }
        if message.headerBytes > 0 && message.headerBytes == message.payload.count && message.payload.hasPrefix("NATS/1.0 ") {
            let status = ByteView(message.payload.base + 9, min(3, message.payload.count - 9))
            if status.equals("100") {
                heard()
                // Flow control asks by its reply, or by a heartbeat that says where to answer.
                if !message.reply.isEmpty {
                    host.publish(message.reply, reply: .empty, headers: .empty, payload: .empty)
                } else if let stalled = HeaderBlock.value(of: "Nats-Consumer-Stalled", in: message.payload) {
                    host.publish(stalled, reply: .empty, headers: .empty, payload: .empty)
                }
                return
            }
            // A stored message may look like a status only without a reply of a delivery.
            if DeliveryReply(message.reply) == nil { return retry() }
        }
        guard let reply = DeliveryReply(message.reply), reply.consumerSequence == nextConsumerSequence else { return retry() }
        nextConsumerSequence += 1
        heard()
        failures = 0
        guard host.store(message, reply, from: self) else { return retry() }
        pending = reply.pending
    }
}
