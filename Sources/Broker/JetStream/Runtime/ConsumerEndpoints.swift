// Where a consumer hears from its clients: requests for messages, acks, answers to flow control.

import Reactor
import Wire

/// The subjects of one consumer in the index. Owned by its stream's loop.
final class ConsumerEndpoints {
    private var subscriptions: [EndpointSubscription] = []

    init(_ consumer: Consumer, _ runtime: StreamRuntime) {
        let stream = runtime.entry.config.name, name = consumer.name
        func listen(_ subject: String, _ kind: ConsumerEndpoint.Kind) {
            let receiver = ConsumerEndpoint(kind, consumer, runtime)
            subscriptions.append(
                EndpointSubscription(subject, router: runtime.router, index: runtime.index, receiver: receiver))
        }
        if consumer.settings.ackPolicy != .none { listen("$JS.ACK.\(stream).\(name).>", .ack) }
        // Who asks a push consumer for messages is told that it is none to ask.
        listen("$JS.API.CONSUMER.MSG.NEXT.\(stream).\(name)", .next)
        if !consumer.settings.isPull && consumer.config.flowControl {
            listen("$JS.FC.\(stream).\(name).>", .flowControl)
        }
        if consumer.keyed != nil { listen("$BELLHOP.API.KEY.*.\(stream).\(name)", .key) }
    }

    func end() {
        for subscription in subscriptions { subscription.end() }
        subscriptions = []
    }
}

/// One of them. It keeps the consumer and its stream until the subscription ends.
private final class ConsumerEndpoint: Endpoint {
    enum Kind { case ack, next, flowControl, key }
    private let kind: Kind
    private let consumer: Consumer
    private let runtime: StreamRuntime

    init(_ kind: Kind, _ consumer: Consumer, _ runtime: StreamRuntime) {
        self.kind = kind
        self.consumer = consumer
        self.runtime = runtime
    }

    func receive(_ message: Message, from origin: Origin) {
        switch kind {
        case .ack: consumer.receive(ack: message, from: origin.clientID)
        case .next: consumer.receive(next: message, from: origin.clientID)
        case .flowControl: consumer.receive(flowControl: message)
        case .key: consumer.receive(keyRequest: message)
        }
        runtime.touch()
    }
}
