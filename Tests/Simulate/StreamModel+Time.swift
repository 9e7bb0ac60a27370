// What time does to a stream: messages grow too old, markers take their place, schedules fire. When exactly is up to the
// broker within a second; the model says what may and what must have happened by now.

import Store

@testable import Broker

extension StreamModel {
    /// How late the broker may be with anything.
    static let slackNs: Int64 = 1_300_000_000

    /// When a message is due to go.
    func dueNs(_ message: ModelMessage) -> Int64? {
        var due = message.expiresNs
        if config.maxAgeNs > 0 && !message.neverExpires { due = min(due ?? .max, message.timeNs + config.maxAgeNs) }
        return due
    }

    /// Takes over what has happened by itself, if it may have.
    ///
    /// - Parameters:
    ///   - sent: what the broker has sent meanwhile; something may have been stored, delivered and let go at once.
    ///   - earlier: what has been taken out already.
    mutating func passTime(_ world: World, _ sent: [Sent], _ earlier: Expired? = nil) throws {
        let log = world.stream.log, nowNs = world.now.wallNs
        var (markers, expired) = try earlier ?? expire(world)
        let hasMarkers = !markers.isEmpty
        while lastSequence < log.state.lastSequence {
            try takeOver(lastSequence + 1, &markers, world, sent)
            lastTimeNs = max(lastTimeNs, lastSequence == log.state.lastSequence ? log.state.lastTimeNs : 0)
        }
        if hasMarkers && (config.maxMessages > 0 || config.maxBytes > 0) {
            // What has expired a moment later took its place in the limits when the first marker was stored.
            while expired > 0, let first = messages.first, !log.contains(first.sequence) {
                remove(first.sequence)
                expired -= 1
            }
        }
        let mayBeMissing = config.maxMessages > 0 || config.maxBytes > 0 || config.retention == .interest
        if !markers.isEmpty && !mayBeMissing { throw Disagreement("no delete marker for \(markers.sorted())") }
        for place in messages.indices {
            guard let fires = messages[place].firesNs, fires + StreamModel.slackNs * 2 <= nowNs else { continue }
            // What it makes may be refused.
            if config.sealed || config.maxMessageBytes >= 0 { messages[place].isRefused = true }
            if messages[place].isRefused { continue }
            let due = world.stream.schedules[messages[place].sequence]
            throw Disagreement(
                "schedule \(messages[place]) should have fired \((nowNs - fires) / 1_000_000) ms ago, the broker waits for "
                    + (due.map { "\($0)" } ?? "nothing"))
        }
    }

    /// The subjects that are due for a delete marker, and how many messages have gone.
    typealias Expired = (markers: Set<String>, count: Int)

    /// Takes out what has grown too old.
    ///
    /// - Parameter kept: sequences that may have gone for another reason than their age.
    mutating func expire(_ world: World, keeps kept: Set<UInt64> = []) throws -> Expired {
        let log = world.stream.log, nowNs = world.now.wallNs
        var markers: Set<String> = []
        var expired = 0
        let isCrowded = config.maxMessages > 0 || config.maxBytes > 0
        for message in messages {
            guard let due = dueNs(message), due <= nowNs, !kept.contains(message.sequence) else { continue }
            if log.contains(message.sequence) {
                guard due + StreamModel.slackNs > nowNs else {
                    throw Disagreement("message \(message.sequence) should be gone since \((nowNs - due) / 1_000_000) ms")
                }
                continue
            }
            // A marker that has been stored a moment before may have pushed out the others of the subject.
            let isOnly =
                isCrowded && last(message.subject) == message.sequence
                || !messages.contains { $0.subject == message.subject && $0.sequence != message.sequence }
            if config.subjectDeleteMarkerTTLNs > 0 && !message.isMarker && isOnly {
                markers.insert(message.subject)
            }
            remove(message.sequence)
            expired += 1
        }
        return (markers, expired)
    }

    /// A message that no client has sent.
    private mutating func takeOver(
        _ sequence: UInt64, _ markers: inout Set<String>, _ world: World, _ sent: [Sent]
    ) throws {
        let message: ModelMessage
        if case .message(let stored) = try world.load(sequence) {
            message = ModelMessage(
                sequence: sequence, timeNs: stored.timeNs, subject: stored.subject.string,
                headers: StreamModel.headers(stored.headers.string), body: stored.payload.string)
        } else if let delivered = delivered(sequence, sent) {
            message = delivered
        } else {
            // A schedule whose target nobody wants uses up a sequence, as any other publish.
            if try unstoredFiring(world) { return }
            if firingGaveWay(&markers, world) { return }
            // Markers may leave no room for each other.
            guard !markers.isEmpty, config.maxMessages > 0 || config.maxBytes > 0 else {
                throw Disagreement("sequence \(sequence) was used up for nothing")
            }
            lastSequence += 1
            lastMessageID = ""
            lostMarkers += 1
            _ = removeAll { !world.stream.log.contains($0.sequence) }
            return
        }
        guard message.timeNs > lastTimeNs, message.timeNs <= world.now.wallNs + 1_000_000 else {
            throw Disagreement(
                "message \(sequence) has the time \(message.timeNs) behind \(lastTimeNs) of \(lastSequence): \(world.stream.log.state)"
            )
        }
        var checked = Checked(message: message)
        if message.isMarker {
            guard markers.remove(message.subject) != nil else { throw Disagreement("a marker for \(message.subject)") }
            let ttl = config.subjectDeleteMarkerTTLNs / 1_000_000_000
            let expected = [("Nats-Marker-Reason", "MaxAge"), ("Nats-TTL", "\(ttl)s"), ("Nats-Rollup", "sub")]
            guard message.headers.elementsEqual(expected, by: { $0 == $1 }), message.body.isEmpty else {
                throw Disagreement("the marker \(message)")
            }
            checked.ttlNs = config.subjectDeleteMarkerTTLNs
            checked.rollup = "sub"
        } else {
            try checkFiring(message, &checked, world)
        }
        lastTimeNs = message.timeNs - 1
        let moveConsumers = onPurged
        // What has expired moves no consumer, nor does the marker in its place.
        if message.isMarker { onPurged = { _, _ in } }
        _ = store(checked, nowNs: message.timeNs)
        onPurged = moveConsumers
    }

    /// A message as a consumer has sent it to its client.
    private func delivered(_ sequence: UInt64, _ sent: [Sent]) -> ModelMessage? {
        for delivery in sent where delivery.reply.hasPrefix("$JS.ACK.") {
            guard let reference = Simulation.Reference(delivery.reply), reference.sequence == sequence else { continue }
            var headers = StreamModel.headers(delivery.headers).filter { $0.name != "Nats-Pin-Id" }
            var body = delivery.payload
            if headers.last?.name == "Nats-Msg-Size" {
                // Without its body, which is that of the schedule.
                headers.removeLast()
                body = self[last(headers.first { $0.name == "Nats-Scheduler" }?.value ?? "")]?.body ?? ""
            }
            return ModelMessage(
                sequence: sequence, timeNs: reference.timeNs, subject: delivery.subject, headers: headers, body: body)
        }
        return nil
    }

    static func headers(_ block: String) -> [(name: String, value: String)] {
        block.split(separator: "\r\n").dropFirst().map { line in
            let colon = line.firstIndex(of: ":") ?? line.endIndex
            return (String(line.prefix(upTo: colon)), String(line.suffix(from: colon).dropFirst(2)))
        }
    }

    // MARK: Schedules

    func checkSchedule(_ attempt: Attempt, _ checked: inout Checked, nowNs: Int64) throws(Refusal) {
        let scheduler = attempt.header("Nats-Scheduler"), next = attempt.header("Nats-Schedule-Next")
        if scheduler != nil || next != nil {
            if next != "purge" || scheduler == nil || scheduler == attempt.subject { throw Refusal(10212) }
            if !config.allowMessageSchedules { throw Refusal(10188) }
        }
        guard let pattern = attempt.header("Nats-Schedule") else { return }
        if !config.allowMessageSchedules { throw Refusal(10188) }
        guard let fires = firing(pattern, after: nowNs) else { throw Refusal(10189) }
        checked.message.firesNs = fires
        if let ttl = attempt.header("Nats-Schedule-TTL") {
            if ttlSeconds(ttl) == nil { throw Refusal(10191) }
            if !config.allowMessageTTL { throw Refusal(10166) }
        }
        if let rollup = attempt.header("Nats-Schedule-Rollup"), rollup != "sub" { throw Refusal(10192) }
        let target = attempt.header("Nats-Schedule-Target") ?? ""
        if target.isEmpty || target == attempt.subject || !config.subjects.contains(where: { matches($0, target) }) {
            throw Refusal(10190)
        }
        if let rollup = attempt.header("Nats-Rollup") {
            if rollup.lowercased() != "sub" { throw Refusal(10192) }
        } else {
            checked.message.headers.append(("Nats-Rollup", "sub"))
            checked.rollup = "sub"
        }
    }

    /// The forms that the simulation uses: `@at` and `@every` with seconds. At the earliest: fractions of a second are rounded.
    func firing(_ pattern: String, after nowNs: Int64) -> Int64? {
        if pattern.hasPrefix("@at ") { return try? Timestamp.parse(String(pattern.dropFirst(4))) }
        guard pattern.hasPrefix("@every "), pattern.hasSuffix("s"), let seconds = Int64(pattern.dropFirst(7).dropLast()) else {
            return nil
        }
        return seconds < 1 ? nil : nowNs + seconds * 1_000_000_000 - 500_000_000
    }

    /// A message that a schedule has made, or that ends one, is stored.
    mutating func endSchedule(_ message: ModelMessage) {
        guard message.header("Nats-Schedule-Next") == "purge", let scheduler = message.header("Nats-Scheduler") else { return }
        if let place = index(last(scheduler)), case let schedule = messages[place], schedule.firesNs != nil {
            remove(schedule.sequence)
        }
    }

    private mutating func checkFiring(_ message: ModelMessage, _ checked: inout Checked, _ world: World) throws {
        guard let subject = message.header("Nats-Scheduler"), let place = index(last(subject)),
            let fires = messages[place].firesNs, fires <= world.now.wallNs
        else { throw Disagreement("a message that nobody has sent: \(message)") }
        let schedule = messages[place]
        var headers = schedule.headers.filter {
            !$0.name.hasPrefix("Nats-Schedule") && !["Nats-Rollup", "Nats-TTL", "Nats-Msg-Id"].contains($0.name)
                && !$0.name.hasPrefix("Nats-Expected-")
        }
        headers.append(("Nats-Scheduler", subject))
        let pattern = schedule.header("Nats-Schedule") ?? ""
        if pattern.hasPrefix("@at") {
            headers.append(("Nats-Schedule-Next", "purge"))
        } else {
            guard let next = message.header("Nats-Schedule-Next"), let nextNs = try? Timestamp.parse(next),
                let earliest = firing(pattern, after: fires), nextNs >= earliest - 1_000_000_000
            else { throw Disagreement("the next firing of \(message)") }
            headers.append(("Nats-Schedule-Next", next))
            messages[place].firesNs = nextNs
            messages[place].isRefused = false
        }
        if let ttl = schedule.header("Nats-Schedule-TTL") {
            headers.append(("Nats-TTL", ttl))
            checked.ttlNs = (ttlSeconds(ttl) ?? 0) * 1_000_000_000
        }
        if let rollup = schedule.header("Nats-Schedule-Rollup") {
            headers.append(("Nats-Rollup", rollup))
            checked.rollup = rollup
        }
        if checked.ttlNs > 0 && checked.ttlNs < config.subjectDeleteMarkerTTLNs && config.maxMessagesPerSubject != 1 {
            checked.ttlNs = config.subjectDeleteMarkerTTLNs
            for place in headers.indices where headers[place].name == "Nats-TTL" {
                headers[place].value = String(checked.ttlNs / 1_000_000_000)
            }
        }
        guard message.subject == schedule.header("Nats-Schedule-Target"), message.body == schedule.body,
            message.headers.elementsEqual(headers, by: { $0 == $1 })
        else { throw Disagreement("schedule \(schedule) made \(message)") }
    }

    /// A schedule fires onto the subject of a delete marker, or of what another schedule has just made, which goes at once for
    /// want of room or by a rollup.
    private mutating func firingGaveWay(_ markers: inout Set<String>, _ world: World) -> Bool {
        let due = messages.indices.filter { (messages[$0].firesNs ?? .max) <= world.now.wallNs }
        for (order, place) in due.enumerated() {
            let schedule = messages[place]
            guard let target = schedule.header("Nats-Schedule-Target"),
                config.maxMessagesPerSubject == 1 || schedule.header("Nats-Schedule-Rollup") != nil
            else { continue }
            let earlier = due[..<order].first { messages[$0].header("Nats-Schedule-Target") == target }
            guard earlier != nil || markers.contains(target) else { continue }
            lastSequence += 1
            lastTimeNs += 1
            lastMessageID = ""
            // Both were to be republished.
            if config.republish != nil { lostMarkers += 1 }
            if markers.remove(target) == nil, let earlier { passFiring(earlier, world) }
            return true
        }
        return false
    }

    /// A schedule has fired, and left nothing.
    private mutating func passFiring(_ place: Int, _ world: World) {
        if messages[place].header("Nats-Schedule")?.hasPrefix("@at") == true {
            remove(messages[place].sequence)
        } else {
            messages[place].firesNs = firing(messages[place].header("Nats-Schedule") ?? "", after: world.now.wallNs)
        }
    }

    private mutating func unstoredFiring(_ world: World) throws -> Bool {
        guard config.retention == .interest,
            let place = messages.firstIndex(where: {
                ($0.firesNs ?? .max) <= world.now.wallNs && !isWanted($0.header("Nats-Schedule-Target") ?? "")
            })
        else { return false }
        lastSequence += 1
        lastMessageID = ""
        // It takes a moment of its own, which only the stream knows.
        let isLast = lastSequence == world.stream.log.state.lastSequence
        lastTimeNs = max(lastTimeNs + 1, isLast ? world.stream.lastTimeNs : 0)
        passFiring(place, world)
        return true
    }
}

extension World {
    /// A message of the log, though it may have to be read first.
    func load(_ sequence: UInt64) throws -> LoadOutcome {
        for _ in 0..<10 {
            if case .reading = stream.log.load(sequence) { try quiesce() } else { break }
        }
        return stream.log.load(sequence)
    }
}
