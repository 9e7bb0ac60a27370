// Hears what consumers send to their clients, and says whether they may; and after each step, whether they should have.

import Wire

@testable import Broker

extension Simulation {
    /// A delivery, by its ack subject.
    struct Reference {
        let consumer: String
        let deliveries: Int
        let sequence: UInt64
        let delivery: UInt64
        let timeNs: Int64
        let pending: Int

        init?(_ reply: String) {
            let tokens = reply.split(separator: ".")
            guard tokens.count == 9, tokens[0] == "$JS", tokens[1] == "ACK", tokens[2] == "S",
                let deliveries = Int(tokens[4]), let sequence = UInt64(tokens[5]), let delivery = UInt64(tokens[6]),
                let time = Int64(tokens[7]), let pending = Int(tokens[8])
            else { return nil }
            consumer = String(tokens[3])
            (self.deliveries, self.sequence, self.delivery) = (deliveries, sequence, delivery)
            (timeNs, self.pending) = (time, pending)
        }
    }

    // MARK: Deliveries

    func hearDelivery(_ sent: Sent) throws {
        guard let reference = Reference(sent.reply), var consumer = consumers[reference.consumer] else {
            throw Disagreement("delivered for nobody: \(sent)")
        }
        let sequence = reference.sequence, place = "\(consumer.name), message \(sequence)"
        takeExhausted(consumer.name, at: sent.timeNs)
        consumer = consumers[consumer.name] ?? consumer
        guard let message = model[sequence] else { throw Disagreement("\(place): delivered and not there: \(sent)") }
        if let ends = consumer.pauseEndsNs, ends > sent.timeNs { throw Disagreement("\(place): delivered while paused") }
        try expect("\(place): consumer sequence", reference.delivery, consumer.delivered.consumer + 1)
        try expect("\(place): time", reference.timeNs, message.timeNs)
        let ahead = consumer.aheadCount(model), visible = consumer.aheadCount(model, upTo: visibleSequence)
        if reference.deliveries > 1 {
            try checkRedelivery(reference, consumer, sent, place)
            try checkPending(reference.pending, visible...max(visible, ahead), 0, place)
            consumer.deliverAgain(sequence, nowNs: sent.timeNs)
        } else {
            let late = consumer.pending.first {
                ($0.value.dueNs?.upperBound ?? .max) &+ ConsumerModel.slackNs <= sent.timeNs
                    && !(consumer.config.maxDeliver > 0 && $0.value.deliveries >= consumer.config.maxDeliver)
            }
            if let late { throw Disagreement("\(place): new, though \(late) is due again") }
            try expect("\(place): the next one", sequence, consumer.firstAhead(model) ?? 0)
            if consumer.isFull { throw Disagreement("\(place): more than max_ack_pending") }
            try checkPending(reference.pending, visible...max(visible, ahead), 1, place)
            consumer.deliverNew(sequence, nowNs: sent.timeNs)
        }
        try checkReplay(reference, message, &consumer, sent, place)
        try checkContent(sent, message, consumer, place)
        if consumer.config.isPull { try serve(&consumer, sent, place) }
        consumers[consumer.name] = consumer
        if consumer.tracks { held.append(sent) } else { done(sequence) }
        if held.count > 40 { held.remove(at: random.below(40)) }
    }

    /// What came in this step may not have been durable when the message was sent, and is not counted then.
    private func checkPending(_ pending: Int, _ ahead: ClosedRange<Int>, _ sent: Int, _ place: String) throws {
        guard ahead.contains(pending + sent) else {
            throw Disagreement("\(place): pending is \(pending), the model says \(ahead) less \(sent)")
        }
    }

    private func checkRedelivery(_ reference: Reference, _ consumer: ConsumerModel, _ sent: Sent, _ place: String) throws {
        guard let entry = consumer.pending[reference.sequence] else { throw Disagreement("\(place): again, though acked") }
        try expect("\(place): deliveries", reference.deliveries, entry.deliveries + 1)
        if consumer.config.maxDeliver > 0 && reference.deliveries > consumer.config.maxDeliver {
            throw Disagreement("\(place): more than max_deliver")
        }
        guard let due = entry.dueNs, due.lowerBound <= sent.timeNs else {
            throw Disagreement("\(place): again before its time: \(entry), now \(sent.timeNs)")
        }
        let before = consumer.pending.first {
            guard let other = $0.value.dueNs else { return false }
            return other.upperBound + 2 * ConsumerModel.slackNs < due.lowerBound
                && !(consumer.config.maxDeliver > 0 && $0.value.deliveries >= consumer.config.maxDeliver)
        }
        if let before { throw Disagreement("\(place): again before \(before), which was due earlier") }
    }

    /// With replay original what was there at first keeps the gaps between its times.
    private func checkReplay(
        _ reference: Reference, _ message: ModelMessage, _ consumer: inout ConsumerModel, _ sent: Sent, _ place: String
    ) throws {
        guard consumer.config.replayPolicy == .original else { return }
        if let last = consumer.replayed, reference.deliveries == 1, message.sequence <= consumer.replayEnd,
            message.timeNs > last.timeNs + 1_000_000, sent.timeNs < last.atNs + UInt64(message.timeNs - last.timeNs)
        {
            throw Disagreement("\(place): replayed too early behind \(last)")
        }
        consumer.replayed = (message.timeNs, sent.timeNs)
    }

    private func checkContent(_ sent: Sent, _ message: ModelMessage, _ consumer: ConsumerModel, _ place: String) throws {
        try expect("\(place): subject", sent.subject, message.subject)
        var headers = message.headers
        if consumer.config.headersOnly { headers.append(("Nats-Msg-Size", "\(message.body.utf8.count)")) }
        try expect("\(place): body", sent.payload, consumer.config.headersOnly ? "" : message.body)
        let found = StreamModel.headers(sent.headers).filter { $0.name != "Nats-Pin-Id" }
        guard found.elementsEqual(headers, by: { $0 == $1 }) else { throw Disagreement("\(place): headers of \(sent)") }
    }

    /// The request that gets a message has to be the one whose turn it is.
    private func serve(_ consumer: inout ConsumerModel, _ sent: Sent, _ place: String) throws {
        consumer.requests.removeAll { !world.interests.contains($0.reply) }
        let policy = consumer.config.priorityPolicy
        let turn: Int?
        switch policy {
        case .none: turn = consumer.requests.indices.first
        case .prioritized:
            let first = consumer.requests.map(\.priority).min()
            turn = consumer.requests.firstIndex { $0.priority == first }
        case .overflow, .pinnedClient: turn = consumer.requests.firstIndex { $0.reply == sent.to }
        }
        guard let turn, consumer.requests[turn].reply == sent.to else {
            throw Disagreement("\(place): delivered to \(sent.to), in turn are \(consumer.requests)")
        }
        var request = consumer.requests.remove(at: turn)
        if let expires = request.expiresNs, expires <= sent.timeNs { throw Disagreement("\(place): \(sent.to) has expired") }
        let size = sent.subject.utf8.count + sent.reply.utf8.count + sent.headers.utf8.count + sent.payload.utf8.count
        request.batch -= 1
        request.delivered += 1
        if request.bytes > 0 {
            if size > request.bytes { throw Disagreement("\(place): more than max_bytes of \(sent.to)") }
            request.bytes -= size
            if request.bytes == 0 { request.batch = 0 }
        }
        if request.batch > 0 { consumer.requests.append(request) }
        if request.batch == 0 && request.bytes > 0 { ended[sent.to] = "409 Batch Completed" }
    }

    // MARK: Statuses

    func hearStatus(_ sent: Sent) throws {
        if sent.to.hasPrefix("push.") {
            guard sent.status == "100 Idle Heartbeat" || sent.status == "100 FlowControl Request" else {
                throw Disagreement("status \(sent)")
            }
            if sent.status == "100 FlowControl Request" { flowControls.append((String(sent.to.dropFirst(5)), sent.reply)) }
            return
        }
        if let expected = ended.removeValue(forKey: sent.to) { return try expect("status", sent.status, expected) }
        guard let name = consumers.first(where: { $0.value.requests.contains { $0.reply == sent.to } })?.key,
            let place = consumers[name]?.requests.firstIndex(where: { $0.reply == sent.to }),
            let request = consumers[name]?.requests[place]
        else { throw Disagreement("status for nobody: \(sent)") }
        let nowNs = sent.timeNs
        switch sent.status {
        case "100 Idle Heartbeat":
            let last = StreamModel.headers(sent.headers).first { $0.name == "Nats-Last-Consumer" }?.value
            return try expect("heartbeat", last, "\(consumers[name]?.delivered.consumer ?? 0)")
        case "408 Request Timeout":
            guard let expires = request.expiresNs, expires <= nowNs else { throw Disagreement("too early: \(sent)") }
        case "404 No Messages", "408 Requests Pending":
            guard request.noWait else { throw Disagreement("it was to wait: \(sent)") }
        case "409 Message Size Exceeds MaxBytes":
            guard request.bytes > 0 else { throw Disagreement("there is no limit: \(sent)") }
        case "409 Server Shutdown", "409 Consumer Deleted": break
        case let status where status.hasPrefix("423") || status.hasPrefix("400") || status == "409 Exceeded MaxWaiting":
            consumers[name]?.activeNs = request.activeBeforeNs
        default: throw Disagreement("status \(sent)")
        }
        consumers[name]?.requests.remove(at: place)
    }

    // MARK: What the stream may let go

    /// A consumer is done with a message.
    func done(_ sequence: UInt64) {
        guard let message = model[sequence] else { return }
        switch model.config.retention {
        case .limits: break
        case .workqueue: model.remove(sequence)
        case .interest: if !consumers.values.contains(where: { $0.waits(for: message) }) { model.remove(sequence) }
        }
    }

    // MARK: After each step

    func followConsumers() throws {
        for name in consumers.keys.sorted() {
            guard let actual = world.registry[name] else {
                try forgetIdle(name)
                continue
            }
            takeExhausted(name, at: world.now.monotonicNs)
            let nowNs = world.now.monotonicNs
            if let ends = consumers[name]?.pauseEndsNs, ends <= nowNs { consumers[name]?.pauseEndsNs = nil }
            try checkProgress(name, actual)
            try compare(name, actual)
        }
        for consumer in world.registry.all where consumers[consumer.name] == nil && !consumer.config.direct {
            throw Disagreement("nobody has made \(consumer.name)")
        }
    }

    /// What has used up its deliveries is no longer waited for, once its time has come.
    private func takeExhausted(_ name: String, at nowNs: UInt64) {
        guard let consumer = consumers[name], consumer.config.maxDeliver > 0, let actual = world.registry[name] else { return }
        for (sequence, entry) in consumer.pending
        where entry.deliveries >= consumer.config.maxDeliver && entry.isDue(at: nowNs)
            && actual.state.exhausted[sequence] != nil
        {
            consumers[name]?.exhaust(sequence)
        }
    }

    func forgetIdle(_ name: String) throws {
        guard let consumer = consumers[name] else { return }
        let idleNs = world.now.monotonicNs - consumer.activeNs
        guard consumer.config.inactiveThresholdNs > 0, idleNs >= UInt64(consumer.config.inactiveThresholdNs) else {
            throw Disagreement("\(name) is gone after \(idleNs) ns without a client")
        }
        for request in consumer.requests where world.interests.contains(request.reply) {
            throw Disagreement("\(name) is gone, though \(request.reply) waits")
        }
        note("\(name) was idle for too long")
        consumers[name] = nil
        idleEnds[name] = world.now.monotonicNs
        if model.config.retention == .interest { sweep() }
    }

    private func checkProgress(_ name: String, _ actual: Consumer) throws {
        guard let consumer = consumers[name] else { return }
        let nowNs = world.now.monotonicNs
        for request in consumer.requests where world.interests.contains(request.reply) {
            if let expires = request.expiresNs, expires + ConsumerModel.slackNs <= nowNs {
                throw Disagreement("\(name): \(request.reply) should have ended")
            }
        }
        // Who is held back by a rate, by flow control or by the gaps of a replay may have to wait.
        let isHeldBack =
            consumer.config.rateLimitBitsPerSecond > 0 || consumer.config.flowControl
            || consumer.config.replayPolicy == .original
        guard !consumer.isPaused, !isHeldBack else { return }
        let takes: Bool
        if consumer.config.isPull {
            takes =
                consumer.config.priorityPolicy == .none
                && consumer.requests.contains { world.interests.contains($0.reply) }
        } else {
            takes = world.interests.contains(
                World.key(Array(consumer.config.deliverSubject.utf8), Array(consumer.config.deliverGroup.utf8)))
        }
        guard takes else { return }
        for (sequence, entry) in consumer.pending {
            guard let due = entry.dueNs, due.upperBound + ConsumerModel.slackNs <= nowNs else { continue }
            throw Disagreement("\(name): message \(sequence) should have been delivered again: \(entry)")
        }
        if !consumer.isFull, let sequence = consumer.firstAhead(model) {
            throw Disagreement("\(name): message \(sequence) should have been delivered to \(consumer.requests)")
        }
    }

    private func compare(_ name: String, _ actual: Consumer) throws {
        guard let consumer = consumers[name] else { return }
        let info = actual.info()
        try expect("\(name): delivered.consumer_seq", info.delivered.consumer, consumer.delivered.consumer)
        try expect("\(name): delivered.stream_seq", info.delivered.stream, consumer.delivered.stream)
        if info.pending != UInt64(consumer.aheadCount(model)) {
            let ahead = consumer.ahead(model).map(\.sequence)
            throw Disagreement("\(name): num_pending \(info.pending), the model says \(ahead): \(consumer)")
        }
        try expect("\(name): num_ack_pending", info.ackPending, consumer.pending.count)
        // Over what has gone from the stream, the floor may follow sooner or later.
        let lowest = consumer.pending.min { $0.key < $1.key }
        let streamEnd = lowest.map { $0.key - 1 } ?? consumer.delivered.stream
        let consumerEnd = lowest.map { $0.value.delivery - 1 } ?? consumer.delivered.consumer
        if info.ackFloor.stream < consumer.floor.stream
            || info.ackFloor.stream > max(streamEnd, consumer.floor.stream, model.firstSequence)
            || info.ackFloor.consumer < consumer.floor.consumer
            || info.ackFloor.consumer > max(consumerEnd, consumer.floor.consumer)
        {
            throw Disagreement("\(name): ack_floor \(info.ackFloor), the model says \(consumer.floor)")
        }
        consumers[name]?.floor = (info.ackFloor.consumer, info.ackFloor.stream)
        try expect("\(name): num_redelivered", info.redelivered, consumer.redelivered)
        for (sequence, entry) in consumer.pending {
            let slot = actual.state.pending.find(sequence)
            guard slot != PendingTable.none else { throw Disagreement("\(name): \(sequence) is not pending") }
            try expect("\(name): deliveries of \(sequence)", Int(actual.state.pending[slot].deliveries), entry.deliveries)
            try expect("\(name): first delivery of \(sequence)", actual.state.pending[slot].delivery, entry.delivery)
        }
    }
}
