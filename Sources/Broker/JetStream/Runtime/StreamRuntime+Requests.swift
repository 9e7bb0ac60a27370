// What clients ask of one stream and its consumers, on the stream's loop.

import Reactor
import Store
import Wire

/// What /jsz shows of a stream.
struct StreamReport: Sendable {
    var serial: UInt64
    var info: StreamInfo
    var consumers: [ConsumerInfo]
}

/// What /healthz asks of a stream.
struct StreamHealth: Sendable {
    var serial: UInt64
    /// Why it stores nothing any more.
    var failure: String?
    var consumers: [String]
}

/// What /metrics shows of a keyed consumer.
struct KeyReport: Sendable {
    var account: String
    var stream: String
    var consumer: String
    var figures: KeyFigures
}

extension StreamRuntime {
    func health(withConsumerNames: Bool) -> StreamHealth {
        StreamHealth(
            serial: serial, failure: stream?.failure?.description, consumers: withConsumerNames ? registry?.names ?? [] : [])
    }

    func report(withConsumers: Bool) -> StreamReport {
        let consumers = withConsumers ? registry?.names.compactMap { registry?[$0]?.info() } ?? [] : []
        return StreamReport(serial: serial, info: info(), consumers: consumers)
    }

    /// What the keyed consumers report.
    var keyReports: [KeyReport] {
        (stream?.keyedConsumers ?? []).compactMap { consumer in
            consumer.keyed.map {
                KeyReport(
                    account: account.account.name, stream: entry.config.name, consumer: consumer.name, figures: $0.figures())
            }
        }
    }

    /// A client's connection has closed: leases may end with it.
    func clientClosed(_ client: UInt64) {
        guard let stream, !stream.keyedConsumers.isEmpty else { return }
        for consumer in stream.keyedConsumers { consumer.keyed?.clientClosed(client) }
        touch()
    }

    var consumerConfigs: [ConsumerConfig] { registry?.all.map(\.config) ?? [] }

    /// A request that `StreamAdmin` has found to be this stream's.
    func handle(_ call: APICall) {
        guard let stream, let consumerAPI else { return router.refuse(call, .streamNotFound) }
        let answer: ([UInt8]) -> Void = { [unowned router] in router.respond(call, $0) }
        call.subject.withUnsafeBytes { subject in
            call.body.withUnsafeBytes { body in
                answerRequest(call, stream, consumerAPI, ByteView(subject), ByteView(body), answer)
            }
        }
        touch()
    }

    private func answerRequest(
        _ call: APICall, _ stream: Stream, _ consumers: ConsumerAPI, _ subject: ByteView, _ body: ByteView,
        _ answer: @escaping ([UInt8]) -> Void
    ) {
        let consumer = Subject.token(subject, at: 5)?.string ?? ""
        switch call.kind {
        case .streamInfo: stream.info(body, answer)
        case .streamPurge: stream.purge(body, answer)
        case .streamSnapshot: snapshot(call)
        case .messageGet: stream.getMessage(body, answer)
        case .messageDelete: stream.deleteMessage(body, answer)
        case .consumerCreate:
            guard let target = ConsumerCreateSubject.parse(subject) else { return router.refuse(call, .badRequest) }
            consumers.create(target, body, answer)
        case .consumerNames: consumers.names(body, answer)
        case .consumerList: consumers.list(body, answer)
        case .consumerInfo: consumers.info(consumer, body, answer)
        case .consumerDelete: consumers.delete(consumer, body, answer)
        case .consumerPause: consumers.pause(consumer, body, answer)
        case .consumerUnpin: consumers.unpin(consumer, body, answer)
        case .consumerReset where registry?[consumer] != nil && call.asksForMore: router.refuse(call, .requiredAPILevel)
        case .consumerReset: consumers.reset(consumer, body, answer)
        default: router.refuse(call, .badRequest)
        }
    }
}

extension ConsumerCreateSubject {
    /// Takes a subject apart that `AccountRequests` has found to be a creation; nil where tokens are missing or empty.
    static func parse(_ subject: ByteView) -> ConsumerCreateSubject? {
        let count = Subject.tokenCount(subject)
        func token(_ place: Int) -> String { Subject.token(subject, at: place)?.string ?? "" }
        if token(3) == "DURABLE" { return count == 7 ? .durable(stream: token(5), consumer: token(6)) : nil }
        if count == 5 { return .ephemeral(stream: token(4)) }
        guard count > 5, let name = Subject.token(subject, at: 5), !name.isEmpty else { return nil }
        // The filter is everything behind the consumer's name and its dot.
        let filter = count > 6 ? ByteView(name.end + 1, subject.end - (name.end + 1)).string : ""
        return .named(stream: token(4), consumer: name.string, filter: filter)
    }
}
