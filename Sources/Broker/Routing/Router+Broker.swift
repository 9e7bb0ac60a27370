// Messages that the broker itself sends: acks, advisories, and what streams deliver to consumers.

import Glibc
import Reactor
import Wire

/// Where a consumer's messages go, with the subscription that was found there last.
final class RoutedTarget: DeliveryTarget {
    /// The only subscription of the subject, valid while the index stays at `generation`; 0 is never current.
    fileprivate var only: SubscriptionRef?
    fileprivate var generation: UInt64 = 0
}

extension Router {
    /// Routes a message of the broker's own. False: nobody subscribes.
    @discardableResult
    func publish(
        _ index: SubjectIndex, subject: ByteView, reply: ByteView, headers: ByteView, payload: ByteView
    ) -> Bool {
        origin = .broker
        index.match(subject, into: &matches)
        return sendToMatches(Delivery(subject: subject, reply: reply, headers: headers, payload: payload), routedBy: subject)
    }

    /// Sends a stored message to whoever subscribes to the target.
    func deliver(_ delivery: Delivery, to target: RoutedTarget, _ index: SubjectIndex) -> Bool {
        origin = .broker
        // Read before the search: a change that comes in between makes what is found void, not stale.
        let generation = index.generation.load(ordering: .acquiring)
        if target.generation == generation, let only = target.only {
            return target.subject.withUnsafeBytes { send(delivery, to: only, routedBy: ByteView($0)) }
        }
        return target.subject.withUnsafeBytes { bytes in
            let subject = ByteView(bytes)
            index.match(subject, into: &matches)
            if matches.plainCount == 1 && matches.memberCount == 0 {
                target.only = matches.plain[0]
                target.generation = generation
            } else {
                target.generation = 0
            }
            return sendToMatches(delivery, routedBy: subject)
        }
    }

    func hasInterest(_ target: DeliveryTarget, _ index: SubjectIndex) -> Bool {
        target.subject.withUnsafeBytes { bytes in
            index.match(ByteView(bytes), into: &matches)
            if target.queue.isEmpty { return hasOpenMatch }
            return target.queue.withUnsafeBytes { queue in
                matches.groups.contains { $0.name == ByteView(queue) }
            }
        }
    }

    func hasInterest(_ subject: ByteView, _ index: SubjectIndex) -> Bool {
        index.match(subject, into: &matches)
        return hasOpenMatch
    }

    private var hasOpenMatch: Bool {
        func isOpen(_ subscription: SubscriptionRef) -> Bool {
            !subscription.pointee.isClosed.load(ordering: .relaxed)
        }
        for position in 0..<matches.plainCount where isOpen(matches.plain[position]) { return true }
        for position in 0..<matches.memberCount where isOpen(matches.members[position]) { return true }
        return false
    }

    /// Whether the one receiver of a target has so much unsent that more should wait.
    func isCongested(_ target: RoutedTarget, _ index: SubjectIndex) -> Bool {
        guard target.generation == index.generation.load(ordering: .acquiring), let only = target.only,
            !only.pointee.checks.contains(.endpoint)
        else { return false }
        return only.pointee.channel.pointee.pendingBytes.load(ordering: .relaxed) > Router.congestedBytes
    }

    /// As for clients' publishes: enough to keep a socket busy.
    static let congestedBytes = 2 << 20

    private func sendToMatches(_ delivery: Delivery, routedBy subject: ByteView) -> Bool {
        var wasSent = false
        for position in 0..<matches.plainCount where send(delivery, to: matches.plain[position], routedBy: subject) {
            wasSent = true
        }
        for group in matches.groups {
            let start = random(below: group.count)
            for step in 0..<group.count
            where send(delivery, to: matches.members[group.first + (start + step) % group.count], routedBy: subject) {
                wasSent = true
                break
            }
        }
        return wasSent
    }

    private func send(_ delivery: Delivery, to subscription: SubscriptionRef, routedBy subject: ByteView) -> Bool {
        if subscription.pointee.isClosed.load(ordering: .relaxed) { return false }
        var delivery = delivery
        let checks = subscription.pointee.checks
        if checks.rawValue != 0 {
            if checks.contains(.endpoint) { return hand(delivery, to: subscription.pointee.endpoint) }
            guard passes(reply: delivery.reply, routedBy: subject, subscription) else { return false }
            if checks.contains(.noHeaders) { delivery.headers = .empty }
        }
        guard count(subscription) else { return false }
        stage(delivery, subscription)
        return true
    }

    private func hand(_ delivery: Delivery, to address: EndpointAddress) -> Bool {
        if address.loop == EndpointAddress.everyLoop, !AccountRequests.takes(delivery.subject) { return false }
        endpoints.stage(
            to: address, from: .broker, subject: delivery.subject, reply: delivery.reply,
            headerBytes: delivery.headers.isEmpty ? -1 : delivery.headers.count, delivery.headers, delivery.payload)
        return true
    }

    @inline(__always)
    private func stage(_ delivery: Delivery, _ subscription: SubscriptionRef) {
        let size = delivery.headers.count &+ delivery.payload.count
        let need =
            64 &+ delivery.subject.count &+ Int(subscription.pointee.sidCount) &+ delivery.reply.count &+ size
        let stage = loop.reserve(slot: subscription.pointee.slot, subscription.pointee.channel, need)
        guard let cursor = stage.pointee.cursor else { return }
        var out = Encoder(cursor)
        if !delivery.headers.isEmpty { out.put(0x48) }
        out.put("MSG ")
        out.put(delivery.subject)
        out.put(0x20)
        out.put(Subscription.sid(subscription))
        out.put(0x20)
        if !delivery.reply.isEmpty {
            out.put(delivery.reply)
            out.put(0x20)
        }
        if !delivery.headers.isEmpty {
            out.put(decimal: delivery.headers.count)
            out.put(0x20)
        }
        out.put(decimal: size)
        out.putLineEnd()
        out.put(delivery.headers)
        out.put(delivery.payload)
        out.putLineEnd()
        stage.pointee.cursor = out.cursor
        stage.pointee.messages &+= 1
        stage.pointee.payloadBytes &+= size
    }
}
