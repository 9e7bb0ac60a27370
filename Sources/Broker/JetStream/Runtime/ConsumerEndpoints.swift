// Where a consumer hears from its clients: requests for messages, acks, answers to flow control.

import Reactor
import Wire

/// The subjects of one consumer in the index. Owned by its stream's loop.
final class ConsumerEndpoints {
    private var subscriptions: [EndpointSubscription] = []

    init(_ consumer: Consumer, stream: String, router: Router, index: SubjectIndex, touch: @escaping () -> Void) {
        let name = consumer.name
        func listen(_ subject: String, _ body: @escaping (Message, Origin) -> Void) {
            subscriptions.append(
                EndpointSubscription(subject, router: router, index: index) { message, origin in
                    body(message, origin)
                    touch()
                })
        }
        if consumer.settings.ackPolicy != .none {
            listen("$JS.ACK.\(stream).\(name).>") { [unowned consumer] in
                consumer.receive(ack: $0, from: $1.clientID)
            }
        }
        if consumer.settings.isPull {
            listen("$JS.API.CONSUMER.MSG.NEXT.\(stream).\(name)") { [unowned consumer] in
                consumer.receive(next: $0, from: $1.clientID)
            }
        } else if consumer.config.flowControl {
            listen("$JS.FC.\(stream).\(name).>") { [unowned consumer] message, _ in
                consumer.receive(flowControl: message)
            }
        }
    }

    func end() {
        for subscription in subscriptions { subscription.end() }
        subscriptions = []
    }
}
