// What should become of a publish: the checks of the API in their order, and what storing a message does to the others.

@testable import Broker

/// A publish that a client tries.
struct Attempt {
    var subject: String
    var headers: [(name: String, value: String)] = []
    var body = ""

    func header(_ name: String) -> String? { headers.first { $0.name == name && !$0.value.isEmpty }?.value }

    var headerBlock: String {
        headers.isEmpty ? "" : "NATS/1.0\r\n" + headers.map { "\($0.name): \($0.value)\r\n" }.joined() + "\r\n"
    }
}

/// What a publisher is told.
enum Answer: Equatable {
    case stored(UInt64, value: Int? = nil)
    case duplicate(UInt64)
    /// The last message of an atomic batch.
    case batch(UInt64, id: String, count: Int, value: Int? = nil)
    /// A message of an atomic batch that has been taken aside.
    case empty
    case error(Int)
}

/// A publish that is refused.
struct Refusal: Error {
    let code: Int
    init(_ code: Int) { self.code = code }
}

extension StreamModel {
    /// What has been checked, and what follows from storing it.
    struct Checked {
        var message: ModelMessage
        var rollup = ""
        var ttlNs: Int64 = 0
        var value: Int?
        var duplicateOf: UInt64?
    }

    mutating func publish(_ attempt: Attempt, nowNs: Int64) -> Answer {
        var attempt = attempt
        attempt.subject = transformed(attempt.subject)
        if let id = attempt.header("Nats-Batch-Id") { return batch(attempt, id, nowNs: nowNs) }
        do throws(Refusal) {
            let checked = try check(attempt, nowNs: nowNs)
            if let original = checked.duplicateOf { return .duplicate(original) }
            try checkRoom(checked)
            return .stored(store(checked, nowNs: nowNs), value: checked.value)
        } catch {
            return .error(error.code)
        }
    }

    func transformed(_ subject: String) -> String {
        guard let transform = config.subjectTransform, matches(transform.source, subject) else { return subject }
        // Simulated transforms replace the first token and keep the second.
        let tokens = subject.split(separator: ".")
        return transform.destination.replacing("{{wildcard(1)}}", with: tokens[1])
    }

    // MARK: Checks

    func check(
        _ attempt: Attempt, nowNs: Int64, isLaterInBatch: Bool = false, isInBatch: Bool = false
    ) throws(Refusal) -> Checked {
        if config.sealed { throw Refusal(10109) }
        try checkSize(attempt.headers, attempt.body)
        try checkIncrement(attempt)
        if let stream = attempt.header("Nats-Expected-Stream"), stream != config.name { throw Refusal(10060) }
        if let ttl = attempt.header("Nats-TTL") {
            if !config.allowMessageTTL { throw Refusal(10166) }
            if isInBatch && ttlSeconds(ttl) == nil { throw Refusal(10165) }
        }
        try checkExpectedSequences(attempt, isLaterInBatch: isLaterInBatch)
        var checked = Checked(
            message: ModelMessage(
                sequence: 0, timeNs: nowNs, subject: attempt.subject, headers: attempt.headers, body: attempt.body))
        try checkSchedule(attempt, &checked, nowNs: nowNs)
        if attempt.header("Nats-Stream-Source") != nil { throw Refusal(10227) }
        if let id = attempt.header("Nats-Msg-Id"), let seen = ids[id], seen.timeNs > nowNs - config.duplicateWindowNs {
            checked.duplicateOf = seen.sequence
            return checked
        }
        try addIncrement(attempt, &checked)
        if let expected = attempt.header("Nats-Expected-Last-Msg-Id") {
            if isInBatch { throw Refusal(10177) }
            if expected != lastMessageID { throw Refusal(10070) }
        }
        if let rollup = attempt.header("Nats-Rollup") {
            if !config.allowRollup || config.denyPurge { throw Refusal(10111) }
            guard ["sub", "all"].contains(rollup.lowercased()) else { throw Refusal(10111) }
            checked.rollup = rollup.lowercased()
        }
        try checkSize(checked.message.headers, checked.message.body)
        try checkTTL(attempt, &checked)
        return checked
    }

    private func checkSize(_ headers: [(name: String, value: String)], _ body: String) throws(Refusal) {
        let size = Attempt(subject: "", headers: headers).headerBlock.utf8.count + body.utf8.count
        if config.maxMessageBytes >= 0 && size > Int(config.maxMessageBytes) { throw Refusal(10054) }
    }

    private func checkExpectedSequences(_ attempt: Attempt, isLaterInBatch: Bool) throws(Refusal) {
        if let expected = attempt.header("Nats-Expected-Last-Subject-Sequence") {
            let subject = attempt.header("Nats-Expected-Last-Subject-Sequence-Subject") ?? attempt.subject
            if UInt64(expected) != last(subject) { throw Refusal(10071) }
        } else if attempt.header("Nats-Expected-Last-Subject-Sequence-Subject") != nil {
            throw Refusal(10193)
        }
        if let expected = attempt.header("Nats-Expected-Last-Sequence"), isLaterInBatch || UInt64(expected) != lastSequence {
            throw Refusal(10071)
        }
    }

    private func checkTTL(_ attempt: Attempt, _ checked: inout Checked) throws(Refusal) {
        guard let text = attempt.header("Nats-TTL") else { return }
        guard let seconds = ttlSeconds(text) else { throw Refusal(10165) }
        if seconds < 0 {
            checked.ttlNs = -1
            return
        }
        checked.ttlNs = seconds * 1_000_000_000
        // A message lives at least as long as the marker that takes its place.
        if checked.ttlNs < config.subjectDeleteMarkerTTLNs && config.maxMessagesPerSubject != 1 {
            checked.ttlNs = config.subjectDeleteMarkerTTLNs
            for place in checked.message.headers.indices where checked.message.headers[place].name == "Nats-TTL" {
                checked.message.headers[place].value = String(checked.ttlNs / 1_000_000_000)
            }
        }
    }

    /// The forms that the simulation uses: `never`, seconds, `2m`, `90s`. -1 is never, nil none of them.
    func ttlSeconds(_ text: String) -> Int64? {
        if text == "never" { return -1 }
        if let seconds = Int64(text) { return seconds > 0 ? seconds : nil }
        if text.hasSuffix("ms") { return nil }
        if text.hasSuffix("s") { return Int64(text.dropLast()).flatMap { $0 > 0 ? $0 : nil } }
        if text.hasSuffix("m") { return Int64(text.dropLast()).map { $0 * 60 } }
        return nil
    }

    // MARK: Counters

    private func checkIncrement(_ attempt: Attempt) throws(Refusal) {
        guard let increment = attempt.header("Nats-Incr") else {
            if config.allowMessageCounter { throw Refusal(10169) }
            return
        }
        if Int(increment) == nil { throw Refusal(10171) }
        if !config.allowMessageCounter { throw Refusal(10168) }
        if !attempt.body.isEmpty { throw Refusal(10170) }
        if attempt.headers.contains(where: {
            !$0.value.isEmpty && ($0.name.hasPrefix("Nats-Expected-") || $0.name == "Nats-Rollup")
        }) {
            throw Refusal(10171)
        }
    }

    private func addIncrement(_ attempt: Attempt, _ checked: inout Checked) throws(Refusal) {
        guard config.allowMessageCounter, let increment = attempt.header("Nats-Incr").flatMap({ Int($0) }) else { return }
        var value = 0
        if let body = self[last(attempt.subject)]?.body {
            guard let before = Int(body.dropFirst(8).dropLast(2)) else { throw Refusal(10172) }
            value = before
        }
        checked.value = value + increment
        checked.message.body = "{\"val\":\"\(value + increment)\"}"
    }

    // MARK: Storing

    /// Discard new.
    func checkRoom(_ checked: Checked) throws(Refusal) {
        guard config.discard == .new, config.retention != .interest || isWanted(checked.message.subject) else { return }
        let ofSubject = messages.filter { $0.subject == checked.message.subject }
        let isAtCap = config.maxMessagesPerSubject > 0 && ofSubject.count >= Int(config.maxMessagesPerSubject)
        if isAtCap && config.discardNewPerSubject && checked.rollup.isEmpty { throw Refusal(10077) }
        if config.maxMessages > 0 && messages.count >= Int(config.maxMessages) && !isAtCap { throw Refusal(10077) }
        if config.maxBytes > 0 && bytes + checked.message.bytes(config.storage) > Int(config.maxBytes) {
            // One that is no larger may take the place of its subject's oldest.
            let oldest = isAtCap ? ofSubject[0].size : 0
            if oldest < checked.message.bytes(config.storage) { throw Refusal(10077) }
        }
    }

    mutating func store(_ checked: Checked, nowNs: Int64, isInBatch: Bool = false) -> UInt64 {
        var message = checked.message
        let previous = last(message.subject)
        lastSequence += 1
        message.sequence = lastSequence
        // Each is later than the one before.
        lastTimeNs = max(nowNs, lastTimeNs + 1)
        message.timeNs = lastTimeNs
        message.subjectBit = Scenario.bits(of: message.subject)
        message.size = message.bytes(config.storage)
        if checked.ttlNs < 0 { message.neverExpires = true }
        if checked.ttlNs > 0 { message.expiresNs = lastTimeNs + checked.ttlNs }
        lastMessageID = message.header("Nats-Msg-Id") ?? ""
        if !lastMessageID.isEmpty && config.duplicateWindowNs > 0 { ids[lastMessageID] = (lastSequence, lastTimeNs) }
        guard config.retention != .interest || isWanted(message.subject) else {
            // It may end a schedule all the same.
            endSchedule(message)
            return lastSequence
        }
        // One schedule per subject: what comes later ends it.
        for place in messages.indices where messages[place].subject == message.subject { messages[place].firesNs = nil }
        messages.append(message)
        recent?.append(message)
        republish(message, previous: previous)
        if isInBatch { return lastSequence }
        endSchedule(message)
        makeRoom(message.sequence, message.subject, rollup: checked.rollup)
        return message.sequence
    }

    mutating func makeRoom(_ sequence: UInt64, _ subject: String, rollup: String) {
        enforceLimits()
        if rollup == "sub" { _ = removeAll { $0.subject == subject && $0.sequence < sequence } }
        if rollup == "all" { _ = removeAll { $0.sequence < sequence } }
        if !rollup.isEmpty { onPurged(self, rollup == "sub" ? subject : nil) }
    }

    private mutating func republish(_ message: ModelMessage, previous: UInt64) {
        guard let republish = config.republish, matches(republish.source, message.subject) else { return }
        var headers = message.headers
        headers.append(("Nats-Stream", config.name))
        headers.append(("Nats-Subject", message.subject))
        headers.append(("Nats-Sequence", "\(message.sequence)"))
        headers.append(("Nats-Time-Stamp", "*"))
        headers.append(("Nats-Last-Sequence", "\(previous)"))
        if republish.headersOnly { headers.append(("Nats-Msg-Size", "\(message.body.utf8.count)")) }
        republished.append(
            (
                "again." + message.subject, Attempt(subject: "", headers: headers).headerBlock,
                republish.headersOnly ? "" : message.body
            ))
    }
}
