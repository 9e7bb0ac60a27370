// Answers the API's requests about the consumers of one stream: reads them, has the registry carry them out, and waits with
// the answer until what was changed is durable.

import Store
import Wire

/// Owned by the stream's loop. Answers are whole JSON replies; whoever asks sends them.
final class ConsumerAPI {
    typealias Answer = ([UInt8]) -> Void

    unowned let stream: any ConsumerStream
    let registry: ConsumerRegistry
    /// The server's limits; a reload may change them.
    var limits: JetStreamLimits
    /// Unknown members of a request are an error.
    var isStrict: Bool

    init(stream: any ConsumerStream, registry: ConsumerRegistry, limits: JetStreamLimits, isStrict: Bool = true) {
        self.stream = stream
        self.registry = registry
        self.limits = limits
        self.isStrict = isStrict
    }

    /// An answer that is published to a request's reply subject, or dropped where there is none.
    func publishing(to reply: ByteView) -> Answer {
        let subject = reply.bytes, host = stream.host
        return { response in
            guard !subject.isEmpty else { return }
            subject.withUnsafeBytes { subject in
                response.withUnsafeBytes {
                    host.publish(ByteView(subject), reply: .empty, headers: .empty, payload: ByteView($0))
                }
            }
        }
    }

    // MARK: Requests

    /// CONSUMER.CREATE and CONSUMER.DURABLE.CREATE.
    func create(_ subject: ConsumerCreateSubject, _ body: ByteView, _ answer: @escaping Answer) {
        do throws(APIError) {
            let request = try RequestBody.decode(body, as: ConsumerCreateRequest.self, isStrict: isStrict)
            let config = try request.config(for: subject)
            let consumer = try carryOut(config, request)
            // What it is now is what was asked for; by the time it is durable it may have delivered.
            let response = APIResponse.consumer(.consumerCreate, shown(consumer.info()))
            afterCommit(consumer) { error in
                answer(error.map { APIResponse.failure(.consumerCreate, .consumerStoreFailed($0.description)) } ?? response)
            }
        } catch {
            answer(APIResponse.failure(.consumerCreate, error))
        }
    }

    private func carryOut(_ config: ConsumerConfig, _ request: ConsumerCreateRequest) throws(APIError) -> Consumer {
        let name = config.durable.isEmpty ? config.name : config.durable
        let existing = name.isEmpty ? nil : registry[name]
        let others = registry.all.filter { $0 !== existing }.map(\.config)
        let host = stream.host
        let creation = try config.checkedForCreate(
            action: request.action, pedantic: request.pedantic, stream: stream.config, limits: limits,
            existing: existing?.config, others: others,
            hasInterest: { subject in Array(subject.utf8).withUnsafeBytes { host.hasInterest(ByteView($0)) } })
        let consumer: Consumer
        switch creation {
        case .new(let config):
            if !config.memoryStorage, !config.direct, let failure = stream.journalFailure {
                throw .consumerStoreFailed(failure.description)
            }
            consumer = registry.create(config)
            consumer.advise(.created)
        case .update(let config):
            // The check has found it.
            guard let existing else { throw .consumerDoesNotExist }
            if existing.journalID != nil, let failure = stream.journalFailure {
                throw .consumerStoreFailed(failure.description)
            }
            if existing.config != config { existing.update(config) }
            consumer = existing
        }
        if consumer.isPaused {
            consumer.advise(.paused(untilNs: consumer.config.pauseUntilNs, nowNs: host.now.wallNs))
        }
        return consumer
    }

    /// CONSUMER.NAMES.
    func names(_ body: ByteView, _ answer: Answer) {
        do throws(APIError) {
            let request = try RequestBody.decodeOptional(body, as: ConsumerNamesRequest.self, isStrict: isStrict)
            let names = registry.names
            let page = Page(total: names.count, offset: request.offset, limit: Page.namesMax)
            answer(APIResponse.names(.consumerNames, page: page, Array(names[page.range])))
        } catch {
            answer(APIResponse.failure(.consumerNames, error))
        }
    }

    /// CONSUMER.LIST.
    func list(_ body: ByteView, _ answer: Answer) {
        do throws(APIError) {
            let request = try RequestBody.decodeOptional(body, as: ConsumerNamesRequest.self, isStrict: isStrict)
            let names = registry.names
            let page = Page(total: names.count, offset: request.offset, limit: Page.listMax)
            answer(APIResponse.consumerList(page: page, names[page.range].compactMap { registry[$0]?.info() }))
        } catch {
            answer(APIResponse.failure(.consumerList, error))
        }
    }

    /// CONSUMER.INFO.
    func info(_ name: String, _ body: ByteView, _ answer: Answer) {
        guard body.isEmpty else { return answer(APIResponse.failure(.consumerInfo, .notEmptyRequest)) }
        guard let consumer = registry[name] else { return answer(APIResponse.failure(.consumerInfo, .consumerNotFound)) }
        answer(APIResponse.consumer(.consumerInfo, shown(consumer.info())))
    }

    /// CONSUMER.DELETE.
    func delete(_ name: String, _ body: ByteView, _ answer: @escaping Answer) {
        guard body.isEmpty else { return answer(APIResponse.failure(.consumerDelete, .notEmptyRequest)) }
        guard let consumer = registry[name] else { return answer(APIResponse.failure(.consumerDelete, .consumerNotFound)) }
        let isKept = consumer.journalID != nil
        if isKept, let failure = stream.journalFailure {
            return answer(APIResponse.failure(.consumerDelete, .streamStoreFailed(failure.description)))
        }
        registry.delete(consumer)
        let response = APIResponse.success(.consumerDelete)
        guard isKept else { return answer(response) }
        stream.afterJournal { error in
            answer(error.map { APIResponse.failure(.consumerDelete, .streamStoreFailed($0.description)) } ?? response)
        }
    }

    /// CONSUMER.PAUSE.
    func pause(_ name: String, _ body: ByteView, _ answer: @escaping Answer) {
        let request: ConsumerPauseRequest
        do throws(APIError) {
            request = try ConsumerPauseRequest.decode(body, isStrict: isStrict)
        } catch {
            return answer(APIResponse.failure(.consumerPause, error))
        }
        guard let consumer = registry[name] else { return answer(APIResponse.failure(.consumerPause, .consumerNotFound)) }
        if consumer.journalID != nil, let failure = stream.journalFailure {
            return answer(APIResponse.failure(.consumerPause, .streamStoreFailed(failure.description)))
        }
        let until = request.pauseUntilNs == Timestamp.zero ? nil : request.pauseUntilNs
        consumer.pause(untilNs: until)
        let response = APIResponse.consumerPaused(untilNs: until, nowNs: stream.host.now.wallNs)
        afterCommit(consumer) { error in
            answer(error.map { APIResponse.failure(.consumerPause, .streamStoreFailed($0.description)) } ?? response)
        }
    }

    /// CONSUMER.UNPIN.
    func unpin(_ name: String, _ body: ByteView, _ answer: Answer) {
        do throws(APIError) {
            let request = try ConsumerUnpinRequest.decode(body)
            guard let consumer = registry[name] else { throw .consumerNotFound }
            guard consumer.unpin(group: request.group) else { throw .consumerInvalidPriorityGroup }
            answer(APIResponse.write(.consumerUnpin))
        } catch {
            answer(APIResponse.failure(.consumerUnpin, error))
        }
    }

    /// CONSUMER.RESET. One for a consumer that is not there gets no answer, as on nats-server, where consumers listen themselves.
    func reset(_ name: String, _ body: ByteView, _ answer: @escaping Answer) {
        guard let consumer = registry[name] else { return }
        do throws(APIError) {
            let request = try ConsumerResetRequest.decode(body)
            if consumer.journalID != nil, let failure = stream.journalFailure { throw .streamStoreFailed(failure.description) }
            let sequence = try consumer.reset(to: request.sequence)
            let response = APIResponse.consumerReset(shown(consumer.info()), sequence: sequence)
            afterCommit(consumer) { error in
                answer(error.map { APIResponse.failure(.consumerReset, .streamStoreFailed($0.description)) } ?? response)
            }
        } catch {
            answer(APIResponse.failure(.consumerReset, error))
        }
    }

    private func shown(_ info: ConsumerInfo) -> ConsumerInfo {
        var shown = info
        shown.config = info.config?.withServerMetadata
        return shown
    }

    private func afterCommit(_ consumer: Consumer, _ action: @escaping (StoreError?) -> Void) {
        if consumer.journalID == nil { action(nil) } else { stream.afterJournal(action) }
    }
}
