// What a user may publish, subscribe to and receive: the compiled form of the configuration's permissions.

import Wire

/// The permissions of one user, shared by all of the user's connections on every loop. Never changes; a reload makes another.
///
/// A deny wins over an allow. No allow list allows everything.
public final class Permissions: Sendable {
    /// What became of a SUB.
    public enum SubscribeVerdict: Sendable, Equatable {
        case denied
        case allowed
        /// Accepted, but broader than what may be received: each delivery has to ask `mayDeliver`.
        case filtered
    }

    /// What this was compiled from.
    public let options: PermissionOptions
    /// How many replies may be sent to each request's reply subject, and for how long; nil allows none beyond `publish`.
    public let responses: ResponsePermissionOptions?

    private let publishAllow: SubjectSet?
    private let publishDeny: SubjectSet
    private let subscribeAllow: SubscriptionSet?
    private let subscribeDeny: SubscriptionSet

    public init(_ options: PermissionOptions) {
        self.options = options
        responses = options.allowResponses
        // Whoever is trusted with replies only is trusted with nothing else.
        let allow = options.publish?.allow ?? (options.allowResponses == nil ? nil : [])
        publishAllow = allow.map { SubjectSet($0.map { Array($0.utf8) }) }
        publishDeny = SubjectSet((options.publish?.deny ?? []).map { Array($0.utf8) })
        subscribeAllow = options.subscribe?.allow.map { SubscriptionSet($0) }
        subscribeDeny = SubscriptionSet(options.subscribe?.deny ?? [])
    }

    /// Whether the user may publish here, replies to requests aside. Allocates nothing.
    public func mayPublish(_ subject: ByteView) -> Bool {
        if let publishAllow, !publishAllow.matches(subject) { return false }
        return publishDeny.isEmpty || !publishDeny.matches(subject)
    }

    /// What becomes of a SUB; an empty queue is a plain one. Judged as on nats-server, where the subscription's wildcards
    /// count as ordinary tokens: `a.>` passes where `a.*` is allowed. Unlike there, it then receives only what is allowed.
    public func subscribe(_ subject: ByteView, queue: ByteView) -> SubscribeVerdict {
        if let subscribeAllow {
            var isAllowed = subscribeAllow.plain.matches(subject)
            // Where entries with a queue speak of the subject, they alone say which queues.
            if !queue.isEmpty, let namesQueue = subscribeAllow.namesQueue(queue, of: subject) { isAllowed = namesQueue }
            if !isAllowed { return .denied }
        }
        if subscribeDeny.matches(subject, queue: queue) { return .denied }
        guard Subject.hasWildcards(subject) else { return .allowed }
        if let subscribeAllow, !subscribeAllow.covers(subject, queue: queue) { return .filtered }
        return subscribeDeny.overlaps(subject, queue: queue) ? .filtered : .allowed
    }

    /// Whether a message with this subject may be delivered to a subscription of the user. To be asked where the SUB was
    /// `filtered`. Allocates nothing.
    public func mayDeliver(_ subject: ByteView, queue: ByteView) -> Bool {
        if let subscribeAllow, !subscribeAllow.matches(subject, queue: queue) { return false }
        return !subscribeDeny.matches(subject, queue: queue)
    }
}

/// Entries of a subscribe list: patterns for every subscription, and pairs of a pattern and a queue.
private struct SubscriptionSet: Sendable {
    private struct Queued: Sendable {
        let subject: [UInt8]
        let queue: [UInt8]
        let queueHasWildcards: Bool

        func names(_ name: ByteView) -> Bool {
            queue.withUnsafeBytes { queue in
                ByteView(queue) == name || (queueHasWildcards && Subject.isSubset(name, of: ByteView(queue)))
            }
        }

        func `is`(_ relation: (ByteView, ByteView) -> Bool, _ subject: ByteView) -> Bool {
            self.subject.withUnsafeBytes { relation(ByteView($0), subject) }
        }
    }

    let plain: SubjectSet
    private let queued: [Queued]

    /// Entries are "subject" or "subject queue"; others are left out, as on nats-server.
    init(_ entries: [String]) {
        var plain: [[UInt8]] = []
        var queued: [Queued] = []
        for entry in entries {
            let words = entry.utf8.split(whereSeparator: Subject.isWhitespace).map { Array($0) }
            if words.count == 1 { plain.append(words[0]) }
            if words.count == 2 {
                let isValid = words[0].withUnsafeBytes { Subject.isValid(ByteView($0)) }
                let hasWildcards = words[1].withUnsafeBytes { Subject.hasWildcards(ByteView($0)) }
                if isValid { queued.append(Queued(subject: words[0], queue: words[1], queueHasWildcards: hasWildcards)) }
            }
        }
        self.plain = SubjectSet(plain)
        self.queued = queued
    }

    /// Whether an entry with a queue matches subject and queue; nil where none matches the subject.
    func namesQueue(_ queue: ByteView, of subject: ByteView) -> Bool? {
        var isSpokenOf = false
        for entry in queued where entry.is(Subject.matches, subject) {
            if entry.names(queue) { return true }
            isSpokenOf = true
        }
        return isSpokenOf ? false : nil
    }

    func matches(_ subject: ByteView, queue: ByteView) -> Bool {
        plain.matches(subject) || (!queue.isEmpty && namesQueue(queue, of: subject) == true)
    }

    func overlaps(_ pattern: ByteView, queue: ByteView) -> Bool {
        plain.overlaps(pattern)
            || (!queue.isEmpty && queued.contains { $0.names(queue) && $0.is(Subject.overlaps, pattern) })
    }

    func covers(_ pattern: ByteView, queue: ByteView) -> Bool {
        plain.covers(pattern)
            || (!queue.isEmpty && queued.contains { $0.names(queue) && $0.is({ Subject.isSubset($1, of: $0) }, pattern) })
    }
}
