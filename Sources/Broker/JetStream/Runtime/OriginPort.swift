// The way from a stream to the loops on which the streams live that it copies, and back.

import Reactor
import Store
import Wire

/// Owned by the following stream's loop.
final class OriginPort: OriginFollowerHost {
    private unowned let runtime: StreamRuntime
    private var listeners: [String: EndpointSubscription] = [:]
    private var questions: [UInt64: (Result<OriginConsumer, APIError>) -> Void] = [:]
    private var asked: UInt64 = 0

    init(_ runtime: StreamRuntime) { self.runtime = runtime }

    func end() {
        for listener in listeners.values { listener.end() }
        listeners = [:]
        questions = [:]
    }

    var now: Instant { runtime.now }
    func random() -> UInt64 { runtime.random() }
    func touch() { runtime.touch() }

    func publish(_ subject: ByteView, reply: ByteView, headers: ByteView, payload: ByteView) {
        runtime.publish(subject, reply: reply, headers: headers, payload: payload)
    }

    /// This broker's own domain is the only one that it knows a way to.
    func reaches(_ external: ExternalStreamConfig) -> Bool {
        runtime.loop.shared.options.domain.map { external.apiPrefix == "$JS.\($0).API" } ?? false
    }

    func attach(_ request: OriginRequest, _ answer: @escaping (Result<OriginConsumer, APIError>) -> Void) {
        guard let entry = runtime.account.stream(request.origin) else { return answer(.failure(.streamNotFound)) }
        let own = runtime.router.loop
        if entry.loop == own.index { return answer(runtime.loop.attach(request, to: entry.serial)) }
        asked += 1
        questions[asked] = answer
        let number = asked, serial = runtime.serial, home = own.mailbox
        own.group.mailboxes[entry.loop].post { loop in
            let result = (loop.context as? Router)?.streams?.attach(request, to: entry.serial)
            // In front of the first delivery, which is handed over at the end of the turn.
            home.post { loop in
                let port = (loop.context as? Router)?.streams?.stream(serial)?.originPort
                port?.answered(number, result ?? .failure(.streamNotFound))
            }
        }
    }

    private func answered(_ number: UInt64, _ result: Result<OriginConsumer, APIError>) {
        questions.removeValue(forKey: number)?(result)
        touch()
    }

    func detach(_ consumer: OriginConsumer) {
        runtime.router.loop.group.mailboxes[consumer.loop].post { loop in
            (loop.context as? Router)?.streams?.stream(consumer.serial)?.detach(consumer.name)
        }
    }

    func listen(_ subject: String, _ received: @escaping (Message) -> Void) {
        listeners[subject] = EndpointSubscription(subject, router: runtime.router, index: runtime.index) {
            [unowned runtime] message, _ in
            runtime.countFresh(message.payload.count)
            received(message)
            runtime.touch()
        }
    }

    func unlisten(_ subject: String) { listeners.removeValue(forKey: subject)?.end() }
}

extension JetStreamLoop {
    fileprivate func attach(_ request: OriginRequest, to serial: UInt64) -> Result<OriginConsumer, APIError> {
        guard let runtime = stream(serial) else { return .failure(.streamNotFound) }
        do throws(APIError) {
            return .success(try runtime.attach(request))
        } catch {
            return .failure(error)
        }
    }
}

extension StreamRuntime {
    // MARK: As the one that copies

    /// - Parameter found: what the journal has kept of earlier origins.
    func followOrigins(_ found: RecoveredConsumer?) {
        guard let stream, origins == nil else { return }
        if found == nil && entry.config.mirror == nil && entry.config.sources.isEmpty { return }
        let port = OriginPort(self)
        let origins = StreamOrigins(
            stream, account: account.account.name, host: port,
            found: found.flatMap { found in found.records.last.map { (found.id, $0) } })
        registry?.otherSnapshot = { [unowned origins] id in origins.snapshot(id) }
        originPort = port
        self.origins = origins
    }

    func endOrigins(forGood: Bool) {
        origins?.stop(forGood: forGood)
        originPort?.end()
    }

    // MARK: As the one that is copied

    /// What this stream is known by to those that copy it: another one of the same name has another identity.
    private var identity: String {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in "\(entry.config.name) \(entry.createdNs)".utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        return String(decoding: originToken(hash ^ hash >> 29, count: 8), as: UTF8.self)
    }

    /// Makes a consumer for a stream that copies this one, or takes up the one that is kept for it.
    fileprivate func attach(_ request: OriginRequest) throws(APIError) -> OriginConsumer {
        guard let stream, let registry, !isEnding else { throw .streamNotFound }
        if !request.identity.isEmpty && request.identity != identity { throw .consumerStreamIdentityMismatch(identity) }
        let isTemporary = stream.config.retention == .limits
        var config = isTemporary ? request.config : request.config.keptForFollower
        if isTemporary { config.name += "-" + String(decoding: originToken(random(), count: 8), as: UTF8.self) }
        let consumer: Consumer
        if let kept = registry[config.name] {
            var moved = kept.config
            moved.deliverSubject = config.deliverSubject
            kept.update(moved)
            consumer = kept
        } else {
            config = try config.checked(pedantic: false, stream: stream.config, limits: account.jetStreamLimits(loop.shared))
            consumer = registry.create(config)
            consumer.advise(.created)
        }
        touch()
        let info = consumer.info()
        return OriginConsumer(
            serial: serial, loop: router.loop.index, name: consumer.name, identity: identity, delivered: info.delivered.stream,
            pending: info.pending, isTemporary: isTemporary)
    }

    /// The retention changes: followers come back for consumers of the right kind.
    func releaseFollowers() {
        guard let registry else { return }
        for consumer in registry.all.filter(\.config.direct) { registry.delete(consumer) }
    }

    /// Its follower has no more use for a consumer.
    fileprivate func detach(_ name: String) {
        guard let registry, let consumer = registry[name] else { return }
        registry.delete(consumer)
        touch()
    }
}
