// What a stream finds out after a restart by reading some of its messages: message ids within the window, times to live, schedules.

import Store
import Wire

extension Stream {
    /// Reads what the log does not know by itself. Publishes that come before it is done wait.
    func recover() {
        let state = log.state
        guard state.messages > 0 else { return }
        var wanted = Set(log.marked([.expires, .schedule], from: 0))
        let windowStartNs = host.now.wallNs.subtractingClamped(config.duplicateWindowNs)
        if let first = log.first(atOrAfterNs: windowStartNs) { wanted.formUnion(log.marked(.hasMessageID, from: first)) }
        if log.contains(state.lastSequence) { wanted.insert(state.lastSequence) }
        recovering = wanted.sorted()
        recoverNext()
    }

    var isRecovering: Bool { !recovering.isEmpty }

    private func recoverNext() {
        var index = 0
        while index < recovering.count {
            switch log.load(recovering[index]) {
            case .reading:
                recovering.removeFirst(index)
                rules.insert(.holding)
                return afterLoad { [unowned self] in recoverNext() }
            case .message(let message): recover(message)
            case .absent, .failed: break
            }
            index += 1
        }
        recovering = []
        rules.remove(.holding)
        // At the end of the first turn, when the consumers are back: a crash may have come between an ack and what follows from it.
        if config.retention != .limits { isSweepDue = true }
        areLimitsDue = true
        receiveHeld()
    }

    private func recover(_ message: StoredMessage) {
        let known = PublishHeaders(message.headers)
        if message.sequence == log.state.lastSequence { lastMessageID.set(known.messageID) }
        // Some are read for other reasons, and may be older than the window: their ids would stand in the way of later ones.
        let isInWindow = message.timeNs > host.now.wallNs.subtractingClamped(config.duplicateWindowNs)
        // Without a window there are no duplicates, even where the clock was set back and a message seems to be from tomorrow.
        let remembers = config.duplicateWindowNs > 0 && isInWindow
        if !known.messageID.isEmpty && remembers && duplicates.sequence(of: known.messageID) == nil {
            duplicates.insert(known.messageID, sequence: message.sequence, timeNs: message.timeNs)
        }
        if config.allowMessageTTL, let ttl = MessageTTL(known.ttl) {
            expires(message.sequence, message.timeNs, ttl.ns, isMarker: !known.markerReason.isEmpty)
        } else if !known.markerReason.isEmpty {
            markers.insert(message.sequence)
        }
        if !known.schedule.isEmpty && config.allowMessageSchedules && isLastOfSubject(message) {
            recoverSchedule(message, known)
        }
        if !known.scheduler.isEmpty && !schedules.isEmpty { recoverFiring(known) }
    }

    /// A message that a schedule has made: the schedule goes on from there.
    private func recoverFiring(_ known: PublishHeaders) {
        guard let id = log.subjects.id(of: known.scheduler), let dueNs = try? Timestamp.parse(known.scheduleNext.string) else {
            return
        }
        let sequence = log.subjects.summary(id).last
        if schedules[sequence] != nil { schedule(sequence, dueNs: dueNs) }
    }

    private func isLastOfSubject(_ message: StoredMessage) -> Bool {
        log.subject(of: message.sequence).map { log.subjects.summary($0).last == message.sequence } ?? false
    }

    /// The next time after the one at which it was stored; what was missed meanwhile fires once.
    private func recoverSchedule(_ message: StoredMessage, _ known: PublishHeaders) {
        let next = try? MessageSchedule.next(
            known.schedule.string, timeZone: known.scheduleTimeZone.string, after: message.timeNs, now: message.timeNs)
        if let next { schedule(message.sequence, dueNs: next.dueNs) }
    }
}
