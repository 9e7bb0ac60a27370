// Follows a stream that a mirror or a source copies: keeps a consumer on it, and makes a new one when anything is missing.

import Wire

/// Pure but for its host. Owned by the loop of the stream it works for, which calls `advance` at `nextDeadlineNs`.
///
/// The consumer numbers what it delivers. A number that is missing, or three heartbeats that are, end it, and another one is
/// asked for that begins behind the last message that was taken.
final class OriginFollower {
    private static let answerMs: UInt64 = 5_000
    private static let silenceMs: UInt64 = 3_000
    /// Waits between attempts begin with and grow to these. An origin that is not there costs a look-up only.
    private static let retryMsMin: UInt64 = 250
    private static let retryMsMax: UInt64 = 10_000
    private static let missingRetryMsMax: UInt64 = 1_000

    private enum Phase {
        case stopped
        /// Somewhere that this broker has no way to.
        case unreachable
        case asking
        case following
        case waiting
    }

    let kind: OriginKind
    let config: StreamSourceConfig
    /// The last message that was taken, which is the last that is stored unless it was a duplicate.
    private(set) var position: OriginPosition
    let filters: [OriginFilter]
    /// The parts of its messages' Nats-Stream-Source header that do not change.
    let header: (before: [UInt8], between: [UInt8])
    private unowned let origins: StreamOrigins
    private var host: any OriginFollowerHost { origins.host }
    /// The same after a restart: an origin that removes what was read finds its consumer by it.
    private let consumerName: String

    private var phase = Phase.stopped
    /// Counts the consumers that were asked for; what comes from an earlier one is not heard.
    private var attempt: UInt64 = 0
    private var deliverSubject = ""
    private var consumer: OriginConsumer?
    private var nextDelivery: UInt64 = 1
    private var lastDelivered: UInt64 = 0
    /// A flow control request whose answer waits for a commit.
    private var flowSubject: [UInt8] = []
    private var failures: UInt64 = 0
    private(set) var nextDeadlineNs = UInt64.max

    // What STREAM.INFO shows.
    private var pending: UInt64 = 0
    private var lastHeardNs: UInt64?
    private var error: APIError?

    init(_ config: StreamSourceConfig, _ kind: OriginKind, _ position: OriginPosition, name: String, origins: StreamOrigins) {
        self.config = config
        self.kind = kind
        self.position = position
        self.origins = origins
        consumerName = name
        filters = config.subjectTransforms.map(OriginFilter.init)
        header = SourceHeader.ready(config)
    }

    func start(from known: OriginPosition?) {
        guard phase == .stopped else { return }
        if let known { position = known }
        if let external = config.external, !host.reaches(external) {
            phase = .unreachable
        } else {
            ask()
        }
    }

    /// - Parameter forGood: the consumer that an origin keeps for it goes too.
    func stop(forGood: Bool) {
        let kept = consumer
        drop()
        if forGood, let kept, !kept.isTemporary { host.detach(kept) }
        phase = .stopped
        nextDeadlineNs = .max
    }

    func advance() {
        guard host.now.monotonicNs >= nextDeadlineNs else { return }
        switch phase {
        case .stopped, .unreachable: nextDeadlineNs = .max
        case .waiting: ask()
        case .asking, .following: retry()
        }
    }

    func info() -> StreamSourceInfo {
        var info = StreamSourceInfo(name: config.name)
        info.external = config.external
        info.lag = pending
        if let lastHeardNs { info.activeNs = Int64(clamping: host.now.monotonicNs &- lastHeardNs) }
        info.error = error
        info.filterSubject = config.filterSubject
        info.subjectTransforms = config.subjectTransforms
        if kind == .source { info.sequence = position.sequence }
        return info
    }

    // MARK: Asking

    private func ask() {
        attempt += 1
        let attempt = attempt
        let token = String(decoding: originToken(host.random()), as: UTF8.self)
        deliverSubject = (kind == .mirror ? "$JS.M." : "$JS.S.") + token
        nextDelivery = 1
        phase = .asking
        nextDeadlineNs = deadline(OriginFollower.answerMs)
        host.listen(deliverSubject) { [weak self] in self?.received($0, attempt) }
        host.attach(request()) { [weak self] in self?.attached($0, attempt) }
    }

    private func request() -> OriginRequest {
        var consumer = origins.consumerConfig(consumerName, kind)
        consumer.deliverSubject = deliverSubject
        let resume = kind == .mirror ? origins.mirrorSequence : position.sequence
        if resume > 0 {
            consumer.deliverPolicy = .byStartSequence
            consumer.startSequence = min(resume, .max - 1) + 1
        } else if config.startSequence > 0 {
            consumer.deliverPolicy = .byStartSequence
            consumer.startSequence = config.startSequence
        } else if let startNs = config.startTimeNs {
            consumer.deliverPolicy = .byStartTime
            consumer.startTimeNs = startNs
        }
        if !config.filterSubject.isEmpty {
            consumer.filterSubject = config.filterSubject
        } else if config.subjectTransforms.count == 1 {
            consumer.filterSubject = config.subjectTransforms[0].source
        } else {
            consumer.filterSubjects = config.subjectTransforms.map { $0.source.isEmpty ? ">" : $0.source }
        }
        return OriginRequest(origin: config.name, identity: kind == .source ? position.identity : "", config: consumer)
    }

    private func attached(_ result: Result<OriginConsumer, APIError>, _ attempt: UInt64) {
        guard attempt == self.attempt, phase == .asking else {
            if case .success(let consumer) = result, consumer.isTemporary { host.detach(consumer) }
            return
        }
        switch result {
        case .success(let found):
            consumer = found
            phase = .following
            error = nil
            pending = found.pending
            lastDelivered = found.delivered
            position.identity = found.identity
            heard()
            if kind == .mirror { origins.mirrorBegins(behind: found.delivered) }
        case .failure(let refusal):
            error = refusal
            // Another stream of that name: all that it has is new.
            if refusal.errorCode == APIError.consumerStreamIdentityMismatch("").errorCode { position = OriginPosition() }
            retry()
        }
    }

    private func drop() {
        if !deliverSubject.isEmpty { host.unlisten(deliverSubject) }
        if let consumer, consumer.isTemporary { host.detach(consumer) }
        deliverSubject = ""
        consumer = nil
        flowSubject = []
        attempt += 1
    }

    /// Begins again after a while.
    private func retry() {
        drop()
        phase = .waiting
        let most = error == .streamNotFound ? OriginFollower.missingRetryMsMax : OriginFollower.retryMsMax
        let delayMs = min(most, OriginFollower.retryMsMin << min(failures, 6))
        failures += 1
        nextDeadlineNs = deadline(delayMs + host.random() % 100)
    }

    /// Begins again as soon as what the stream needs has come from the disk.
    private func retryShortly() {
        drop()
        phase = .waiting
        nextDeadlineNs = deadline(2)
    }

    private func deadline(_ ms: UInt64) -> UInt64 { host.now.monotonicNs &+ ms &* 1_000_000 }

    private func heard() {
        let nowNs = host.now.monotonicNs
        lastHeardNs = nowNs
        nextDeadlineNs = nowNs &+ OriginFollower.silenceMs * 1_000_000
    }

    // MARK: Hearing

    private func received(_ message: Message, _ attempt: UInt64) {
        guard attempt == self.attempt, phase == .following else { return }
        guard let reference = AckReference(message.reply) else { return heardStatus(message) }
        if reference.delivery < nextDelivery { return }
        guard reference.delivery == nextDelivery else { return retry() }
        nextDelivery += 1
        lastDelivered = reference.sequence
        heard()
        pending = reference.pending
        // An origin that waits for acks delivers again what it has none for.
        if kind == .source && reference.sequence <= position.sequence { return }
        let next = OriginPosition(identity: position.identity, sequence: reference.sequence)
        do throws(APIError) {
            guard try origins.take(message, reference, next, from: self) else { return retryShortly() }
            position = next
            failures = 0
            error = nil
        } catch {
            self.error = error
            retry()
        }
    }

    private func heardStatus(_ message: Message) {
        guard HeaderBlock.status(message.headers) == 100 else { return retry() }
        heard()
        if !message.reply.isEmpty { return answerFlowControl(message.reply) }
        if let last = HeaderBlock.value(of: "Nats-Last-Consumer", in: message.headers), sequenceNumber(last) != nextDelivery - 1
        {
            return retry()
        }
        failures = 0
        if let stalled = HeaderBlock.value(of: "Nats-Consumer-Stalled", in: message.headers) { answerFlowControl(stalled) }
    }

    /// Says that everything up to here is taken, once it is durable: so much may come again, and a workqueue may forget it.
    private func answerFlowControl(_ subject: ByteView) {
        let asked = subject.bytes
        guard asked != flowSubject else { return }
        flowSubject = asked
        let attempt = attempt, delivered = nextDelivery - 1, sequence = lastDelivered
        origins.afterCommit { [weak self] in
            guard let self, attempt == self.attempt else { return }
            if flowSubject == asked { flowSubject = [] }
            let headers = Array("NATS/1.0\r\nNats-Last-Consumer: \(delivered)\r\nNats-Last-Stream: \(sequence)\r\n\r\n".utf8)
            asked.withUnsafeBytes { subject in
                headers.withUnsafeBytes { headers in
                    self.host.publish(ByteView(subject), reply: .empty, headers: ByteView(headers), payload: .empty)
                }
            }
        }
    }
}

/// One of the subjects that an origin's messages are taken from, and what becomes of it.
struct OriginFilter {
    private let source: [UInt8]
    /// nil: the subject stays as it is.
    private let transform: SubjectTransform?

    init(_ config: SubjectTransformConfig) {
        source = Array((config.source.isEmpty ? ">" : config.source).utf8)
        // It has been checked with the stream's configuration.
        transform =
            config.destination.isEmpty
            ? nil : (try? SubjectTransform.parse(source: config.source, destination: config.destination)).flatMap { $0 }
    }

    /// False where the subject is another one's. Nothing is appended to `result` where the subject stays.
    func apply(_ subject: ByteView, to result: inout [UInt8], random: () -> UInt64) -> Bool {
        guard source.withUnsafeBytes({ Subject.matches(ByteView($0), subject) }) else { return false }
        _ = transform?.apply(subject, to: &result, random: random)
        return true
    }
}

/// Eleven characters that make a subject nobody else has.
func originToken(_ bits: UInt64, count: Int = 11) -> [UInt8] {
    let digits: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    var rest = bits
    return (0..<count).map { _ in
        defer { rest /= 62 }
        return digits.utf8Start[Int(rest % 62)]
    }
}
