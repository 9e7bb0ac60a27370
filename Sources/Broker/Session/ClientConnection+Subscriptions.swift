// What a client subscribes to: SUB and UNSUB, and the subscriptions' life in the index and after it.

import Reactor
import Synchronization
import Wire

extension ClientConnection {
    /// SUB: in the index before anything the client sent after it takes effect.
    func subscribe(_ subject: ByteView, _ queue: ByteView, _ sid: ByteView) {
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
    func checks(_ verdict: Permissions.SubscribeVerdict) -> Subscription.Checks {
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

    /// UNSUB.
    ///
    /// - Parameter limit: deliver this many in all, counted from the SUB; 0 or less ends it now.
    func unsubscribe(_ sid: ByteView, _ limit: Int) {
        if let subscription = subscriptions.find(sid) {
            let counter = subscription.pointee.counter
            counter.pointee.maxMessages.store(UInt64(max(0, limit)), ordering: .sequentiallyConsistent)
            // Deliveries count first and look at the limit then: none slips between this store and this load.
            if limit > 0 && counter.pointee.delivered.load(ordering: .sequentiallyConsistent) < UInt64(limit) {
                // Cached lines do not count messages one by one.
                index?.invalidate()
            } else {
                remove(subscription)
            }
        }
        if options.verbose { reply("+OK\r\n") }
    }

    /// A delivery on some loop was the last one that UNSUB allowed.
    func subscriptionExpired(_ sid: [UInt8]) {
        sid.withUnsafeBytes { bytes in
            guard let subscription = subscriptions.find(ByteView(bytes)) else { return }
            // The last delivery may have gone through one that this has replaced meanwhile.
            let counter = subscription.pointee.counter
            let limit = counter.pointee.maxMessages.load(ordering: .relaxed)
            let isUsedUp = limit != 0 && counter.pointee.delivered.load(ordering: .relaxed) >= limit
            if isUsedUp || subscription.pointee.isClosed.load(ordering: .relaxed) { remove(subscription) }
        }
    }

    /// Takes one subscription out of the table and the index.
    ///
    /// - Parameter sweeps: many go at once and are marked as closed already; see `SubjectIndex.remove`.
    func remove(_ subscription: SubscriptionRef, sweeps: Bool = false) {
        subscription.pointee.isClosed.store(true, ordering: .relaxed)
        // Writing a reply just before may have closed the connection, and with it all of its subscriptions.
        guard subscriptions.remove(subscription) else { return }
        index?.remove(subscription, sweeps: sweeps, retire: router.retire)
        free(subscription)
    }

    func dropSubscriptions() {
        let all = subscriptions.all
        for subscription in all { subscription.pointee.isClosed.store(true, ordering: .relaxed) }
        for subscription in all { remove(subscription, sweeps: all.count >= ClientConnection.sweptCountMin) }
    }

    /// Dropping this many subscriptions is worth a look at each neighbour they may have in a list.
    private static let sweptCountMin = 64

    /// Checks are fixed while a subscription is in the index: where they have changed, a new one takes its place.
    func renew(_ old: SubscriptionRef) {
        if old.pointee.isClosed.load(ordering: .relaxed) { return }
        let subject = Subscription.subject(old), queue = Subscription.queue(old)
        let checks = checks(authorization.subscribe(subject, queue: queue))
        guard checks != old.pointee.checks else { return }
        let new = Subscription.make(
            channel: channel, subscriber: subscriber, checks: checks, subject: subject, queue: queue,
            sid: Subscription.sid(old), replacing: old)
        subscriptions.remove(old)
        subscriptions.insert(new)
        // Not marked as closed: whoever has found it already still delivers to it, and nobody to both.
        index?.replace(old, with: new, retire: router.retire)
        loop.retire(old) { memory in
            Subscription.free(memory.assumingMemoryBound(to: Subscription.self), isReplaced: true)
            return true
        }
    }

    /// Frees a subscription that is not in the index any more, once no loop can be delivering to it.
    private func free(_ subscription: SubscriptionRef) {
        loop.retire(subscription) { memory in
            Subscription.free(memory.assumingMemoryBound(to: Subscription.self))
            return true
        }
    }
}
