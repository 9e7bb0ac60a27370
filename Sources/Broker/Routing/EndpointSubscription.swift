// A subject that the broker itself subscribes to: an endpoint on this loop and its entry in the subject index.

import Reactor
import Wire

/// Owned by one loop. Ends with `end`, which its owner calls.
final class EndpointSubscription {
    let subject: String
    private unowned let router: Router
    private let index: SubjectIndex
    private var subscription: SubscriptionRef?
    private var address = EndpointAddress.none

    /// - Parameter body: gets each message on this loop, in the order in which a publisher sent them.
    convenience init(
        _ subject: String, router: Router, index: SubjectIndex, _ body: @escaping (Message, Origin) -> Void
    ) {
        self.init(subject, router: router, index: index, receiver: EndpointClosure(body))
    }

    /// - Parameters:
    ///   - receiver: kept until the subscription ends.
    ///   - isPrompt: it answers at the end of the turn.
    init(_ subject: String, router: Router, index: SubjectIndex, receiver: any Endpoint, isPrompt: Bool = false) {
        self.subject = subject
        self.router = router
        self.index = index
        address = router.endpoints.table.add(receiver)
        Array(subject.utf8).withUnsafeBytes { bytes in
            let made = Subscription.make(endpoint: address, isPrompt: isPrompt, subject: ByteView(bytes))
            subscription = made
            index.insert(made, retire: router.retire)
        }
    }

    func end() {
        guard let subscription else { return }
        self.subscription = nil
        router.endpoints.table.remove(address)
        subscription.pointee.isClosed.store(true, ordering: .relaxed)
        index.remove(subscription, retire: router.retire)
        router.loop.retire(subscription) { memory in
            Subscription.free(memory.assumingMemoryBound(to: Subscription.self))
            return true
        }
    }
}

/// For what is not sent often.
private final class EndpointClosure: Endpoint {
    private let body: (Message, Origin) -> Void
    init(_ body: @escaping (Message, Origin) -> Void) { self.body = body }
    func receive(_ message: Message, from origin: Origin) { body(message, origin) }
}
