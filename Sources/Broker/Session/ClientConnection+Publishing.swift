// What a client publishes: permission, receivers, the answer where there are none, and the line worth caching.

import Reactor
import Synchronization
import Wire

extension ClientConnection {
    /// PUB and HPUB.
    func publish(_ parser: borrowing ClientParser) {
        guard let index = uncountedIndex else { return }
        if parser.headerBytes >= 0 && !(options.headers && settings.headers) {
            close(.messageHeaderViolation)
            return
        }
        let subject = parser.subject
        countIn(1, parser.payload.count)
        if options.pedantic && !Subject.isValidLiteral(subject) { reply("-ERR 'Invalid Publish Subject'\r\n") }
        switch authorization.publish(subject, reply: parser.reply, nowMs: router.nowMs) {
        case .allowed: break
        case .deniedSubject:
            reply("-ERR 'Permissions Violation for Publish to \"\(subject.string)\"'\r\n")
            broker.log.error("\(label) - Publish Violation - Subject \"\(subject.string)\"")
            return
        case .deniedReply:
            let name = parser.reply.string
            reply("-ERR 'Permissions Violation for Publish with Reply of \"\(name)\"'\r\n")
            broker.log.error("\(label) - Publish Violation - Reply \"\(name)\"")
            return
        }
        if options.verbose { reply("+OK\r\n") }

        let generation = index._withUnsafeGuaranteedRef { $0.generation.load(ordering: .acquiring) }
        let message = Message(
            subject: subject, reply: parser.reply, headerBytes: parser.headerBytes, payload: parser.payload,
            sizes: router.sizesOfParsedMessage())
        index._withUnsafeGuaranteedRef { $0.match(subject, into: &router.matches) }
        router.counters.matches &+= 1
        let publisher = options.echo ? nil : channel
        router.origin = Origin(clientID: clientID)
        let delivered = router.deliverToMatches(message, from: publisher)
        if message.reply.isEmpty {
            considerCaching(message, parser.controlLine, generation)
        } else if delivered == 0 && options.noResponders {
            answerNoResponders(message, index.takeUnretainedValue())
        }
    }

    /// The requester waits on a subscription of its own; it gets the 503 there.
    private func answerNoResponders(_ message: Message, _ index: SubjectIndex) {
        index.match(message.reply, into: &router.matches)
        for position in 0..<router.matches.plainCount {
            let subscription = router.matches.plain[position]
            if subscription.pointee.channel == channel, !subscription.pointee.isClosed.load(ordering: .relaxed) {
                router.stageNoResponders(message, to: subscription)
                return
            }
        }
    }

    /// Caches a line that has come twice in a row and can be served without a look at each message.
    private func considerCaching(_ message: Message, _ line: ByteView, _ generation: UInt64) {
        guard line.count <= PublishCache.lineBytesMax else { return }
        let hash = hashBytes(line.base, line.count, seed: generation)
        guard hash == lastLineHash else {
            lastLineHash = hash
            return
        }
        guard !options.verbose, !options.pedantic || Subject.isValidLiteral(message.subject), !settings.traces,
            !authorization.tracksResponses, canBeServedUnchecked(message)
        else { return }
        let cache: UnsafeMutablePointer<PublishCache>
        if let existing = publishCache {
            cache = existing
        } else {
            cache = .allocate(capacity: 1)
            cache.initialize(to: PublishCache())
            publishCache = cache
        }
        cache.pointee.fill(
            controlLine: line, subject: message.subject, headerBytes: message.headerBytes, sizes: message.sizes,
            payloadCount: message.payload.count, matches: router.matches, generation: generation)
    }

    private func canBeServedUnchecked(_ message: Message) -> Bool {
        func isPlain(_ subscription: SubscriptionRef) -> Bool {
            var checks = subscription.pointee.checks
            checks.remove(.tracksReplies)
            if message.headerBytes < 0 { checks.remove(.noHeaders) }
            if checks.contains(.noEcho), subscription.pointee.channel != channel { checks.remove(.noEcho) }
            return checks.isEmpty && subscription.pointee.counter.pointee.maxMessages.load(ordering: .relaxed) == 0
        }
        for index in 0..<router.matches.plainCount where !isPlain(router.matches.plain[index]) { return false }
        for index in 0..<router.matches.memberCount where !isPlain(router.matches.members[index]) { return false }
        return true
    }
}
