// Scheduled messages (ADR-51): a message that says when another one is to be made of it, once or again and again.

import Store
import Wire

extension Stream {
    /// How soon after it was stored a schedule fires at the earliest, as on nats-server: many of them in one go.
    private static let delayLeastNs: Int64 = 250_000_000
    /// When a message that could not be stored is tried again.
    private static let retryNs: Int64 = 1_000_000_000

    // MARK: Checks

    func checkSchedule(_ publish: inout Publish) throws(APIError) {
        let known = publish.known
        if publish.origin == .client { try checkScheduler(publish) }
        guard !known.schedule.isEmpty, publish.origin != .source else { return }
        if !config.allowMessageSchedules { throw .messageSchedulesDisabled }
        publish.scheduleDueNs = try nextTime(known, after: host.now.wallNs).dueNs
        if !known.scheduleTTL.isEmpty {
            if MessageTTL(known.scheduleTTL) == nil { throw .messageSchedulesTTLInvalid }
            if !config.allowMessageTTL { throw .messageTTLDisabled }
        }
        if !known.scheduleRollup.isEmpty && !known.scheduleRollup.equals("sub") { throw .messageSchedulesRollupInvalid }
        try checkTarget(publish)
        if known.rollup.isEmpty {
            // One schedule per subject: a new one replaces the old.
            edit(&publish) { $0.add("Nats-Rollup", "sub") }
            publish.rollup = .subject
        } else if known.rollup.string.lowercased() != "sub" {
            throw .messageSchedulesRollupInvalid
        }
    }

    private func checkTarget(_ publish: Publish) throws(APIError) {
        let target = publish.known.scheduleTarget
        if !Subject.isValidLiteral(target) || target == publish.subject || !captures(target) {
            throw .messageSchedulesTargetInvalid
        }
        let source = publish.known.scheduleSource
        guard !source.isEmpty else { return }
        if !Subject.isValidLiteral(source) || source == publish.subject || source == target || !captures(source) {
            throw .messageSchedulesSourceInvalid
        }
    }

    private func captures(_ subject: ByteView) -> Bool {
        config.subjects.contains { pattern in
            Array(pattern.utf8).withUnsafeBytes { Subject.matches(ByteView($0), subject) }
        }
    }

    /// A client may only end a schedule: with `Nats-Schedule-Next: purge` and the schedule's subject.
    private func checkScheduler(_ publish: Publish) throws(APIError) {
        let known = publish.known
        if known.scheduler.isEmpty && known.scheduleNext.isEmpty { return }
        if !known.scheduleNext.equals("purge") || !Subject.isValidLiteral(known.scheduler)
            || known.scheduler == publish.subject
        {
            throw .messageSchedulesSchedulerInvalid
        }
        if !config.allowMessageSchedules { throw .messageSchedulesDisabled }
    }

    private func nextTime(_ known: PublishHeaders, after timeNs: Int64) throws(APIError) -> (dueNs: Int64, repeats: Bool) {
        if known.namesNoTimeZone { throw .messageSchedulesTimeZoneInvalid }
        do throws(MessageSchedule.Failure) {
            return try MessageSchedule.next(
                known.schedule.string, timeZone: known.scheduleTimeZone.string, after: timeNs, now: host.now.wallNs)
        } catch {
            switch error {
            case .pattern: throw .messageSchedulesPatternInvalid
            case .timeZone: throw .messageSchedulesTimeZoneInvalid
            }
        }
    }

    // MARK: Keeping

    /// Notes a schedule that has been stored.
    func schedule(_ sequence: UInt64, dueNs: Int64) {
        schedules[sequence] = dueNs
        scheduleQueue.add(sequence, dueNs: dueNs)
    }

    /// A subject has one schedule at most: whatever is stored on it later ends it, though its message stays.
    func endSchedule(on subject: ByteView) {
        guard let id = log.subjects.id(of: subject) else { return }
        schedules[log.subjects.summary(id).last] = nil
    }

    /// The schedule that goes when a message has been stored that it has made for the last time, or that ends it.
    func endedSchedule(_ known: PublishHeaders) -> UInt64? {
        guard known.scheduleNext.equals("purge"), let id = log.subjects.id(of: known.scheduler) else { return nil }
        let sequence = log.subjects.summary(id).last
        return schedules[sequence] == nil ? nil : sequence
    }

    var scheduleDeadlineNs: UInt64? {
        isRecovering
            ? nil : scheduleQueue.first.map { monotonicNs(atWallNs: max($0.dueNs, lastFiringNs &+ Stream.delayLeastNs)) }
    }

    // MARK: Firing

    func fireSchedules() {
        let nowNs = host.now.wallNs
        // Whether a schedule has fired before is known once what it has made has been read.
        guard !isRecovering, failure == nil, let first = scheduleQueue.first, first.dueNs <= nowNs,
            nowNs >= lastFiringNs &+ Stream.delayLeastNs
        else { return }
        lastFiringNs = nowNs
        var due: [UInt64] = []
        while let entry = scheduleQueue.popDue(nowNs) {
            // Entries of schedules that are gone, or have another time by now, say nothing.
            if schedules[entry.sequence] == entry.dueNs { due.append(entry.sequence) }
        }
        for sequence in due.sorted() { fire(sequence) }
    }

    private func fire(_ sequence: UInt64) {
        guard let dueNs = schedules[sequence] else { return }
        switch log.load(sequence) {
        case .absent, .failed: schedules[sequence] = nil
        case .reading: afterLoad { [unowned self] in fire(sequence) }
        case .message(let message):
            // What follows uses the log, which takes its views back.
            let subject = message.subject.bytes, headers = message.headers.bytes, body = message.payload.bytes
            headers.withUnsafeBytes { headers in
                let known = PublishHeaders(ByteView(headers))
                guard let next = try? nextTime(known, after: dueNs) else {
                    schedules[sequence] = nil
                    return
                }
                guard let content = content(known, headers: ByteView(headers).bytes, body: body) else {
                    return afterLoad { [unowned self] in fire(sequence) }
                }
                let isStored = produce(known, subject: subject, content, next: next.repeats ? next.dueNs : nil)
                if next.repeats {
                    schedule(sequence, dueNs: next.dueNs)
                } else if !isStored {
                    schedule(sequence, dueNs: host.now.wallNs &+ Stream.retryNs)
                }
            }
        }
    }

    /// What the message is made of: the last message of another subject, or what the schedule itself holds. nil while that is
    /// being read.
    private func content(
        _ known: PublishHeaders, headers: [UInt8], body: [UInt8]
    ) -> (headers: [UInt8], body: [UInt8])? {
        guard !known.scheduleSource.isEmpty, let id = log.subjects.id(of: known.scheduleSource) else { return (headers, body) }
        switch log.load(log.subjects.summary(id).last) {
        case .message(let message): return (message.headers.bytes, message.payload.bytes)
        case .reading: return nil
        case .absent, .failed: return (headers, body)
        }
    }

    private func produce(
        _ known: PublishHeaders, subject: [UInt8], _ content: (headers: [UInt8], body: [UInt8]), next: Int64?
    ) -> Bool {
        var editor = content.headers.withUnsafeBytes { HeaderEditor(ByteView($0)) }
        editor.remove("Nats-Schedule")
        editor.remove(prefix: "Nats-Schedule-")
        // A source may have been made by another schedule, which is not the one that this message may end.
        editor.remove("Nats-Scheduler")
        editor.remove(prefix: "Nats-Expected-")
        for name: StaticString in ["Nats-Msg-Id", "Nats-TTL", "Nats-Rollup"] { editor.remove(name) }
        editor.add("Nats-Scheduler", String(decoding: subject, as: UTF8.self))
        editor.add("Nats-Schedule-Next", next.map { Timestamp.text($0 / 1_000_000_000 * 1_000_000_000) } ?? "purge")
        if !known.scheduleTTL.isEmpty { editor.add("Nats-TTL", known.scheduleTTL.string) }
        if !known.scheduleRollup.isEmpty { editor.add("Nats-Rollup", known.scheduleRollup.string) }
        let headers = keep(editor.bytes)
        var publish = Publish(
            subject: known.scheduleTarget, reply: .empty, headers: headers, body: keep(content.body),
            known: PublishHeaders(headers))
        publish.origin = .stream
        defer { edits.removeAll() }
        do throws(APIError) {
            _ = try process(&publish)
            return true
        } catch {
            return false
        }
    }
}
