// What clients do with consumers, drawn from the seed.

import StoreKit
import Wire

@testable import Broker

extension Simulation {
    static let consumerNames = ["c1", "c2", "c3", "c4"]

    func operateConsumers() throws {
        switch random.below(24) {
        case 0..<3: try createConsumer()
        case 3: try deleteConsumer()
        case 4: try pauseConsumer()
        case 5: random.once(in: 2) ? try resetConsumer() : try unpin()
        case 6..<13: try pull()
        case 13..<21: try answer()
        default: try listen()
        }
    }

    // MARK: Coming and going

    private func drawConsumer(_ name: String) -> ConsumerConfig {
        var config = ConsumerConfig()
        config.name = name
        if !random.once(in: 4) { config.durable = name }
        let isWork = model.config.retention == .workqueue
        config.ackPolicy = isWork ? .explicit : [.explicit, .explicit, .all, .none][random.below(4)]
        switch random.below(isWork ? 1 : 10) {
        case 0..<4: config.deliverPolicy = .all
        case 4: config.deliverPolicy = .new
        case 5: config.deliverPolicy = .last
        case 6: (config.deliverPolicy, config.startSequence) = (.byStartSequence, someStart())
        case 7:
            config.deliverPolicy = .byStartTime
            config.startTimeNs = world.now.wallNs - Int64(random.below(600)) * 1_000_000_000
        default: config.deliverPolicy = .lastPerSubject
        }
        drawFilter(&config)
        if isWork { (config.filterSubject, config.filterSubjects) = (["a.*", "b.*", "c.*", "d.*"][random.below(4)], []) }
        if random.once(in: 3) && config.ackPolicy != .none {
            config.ackWaitNs = Int64([1, 5, 60][random.below(3)]) * 1_000_000_000
        }
        if random.once(in: 3) { config.maxDeliver = [1, 2, 5][random.below(3)] }
        if random.once(in: 5) && config.ackPolicy != .none {
            config.backoffNs = [1_000_000_000, 10_000_000_000]
            if config.maxDeliver > 0 { config.maxDeliver = max(2, config.maxDeliver) }
        }
        if random.once(in: 3) && config.ackPolicy != .none { config.maxAckPending = [1, 3, 10][random.below(3)] }
        if random.once(in: 8) { config.headersOnly = true }
        if random.once(in: 8) { config.replayPolicy = .original }
        if random.once(in: 10) && model.config.storage == .file { config.memoryStorage = true }
        if config.durable.isEmpty || random.once(in: 8) {
            config.inactiveThresholdNs = Int64([5, 60, 3_600][random.below(3)]) * 1_000_000_000
        }
        if random.once(in: 3) { push(&config) } else { pullOnly(&config) }
        return config
    }

    private func push(_ config: inout ConsumerConfig) {
        config.deliverSubject = "push.\(config.name)"
        if random.once(in: 4) { config.deliverGroup = "group" }
        if random.once(in: 2) { config.heartbeatNs = Int64([10, 60][random.below(2)]) * 1_000_000_000 }
        if config.heartbeatNs > 0 && random.once(in: 2) { config.flowControl = true }
        if random.once(in: 6) { config.rateLimitBitsPerSecond = 100_000 }
    }

    private func pullOnly(_ config: inout ConsumerConfig) {
        if random.once(in: 5) { config.maxWaiting = 1 + random.below(3) }
        if random.once(in: 5) {
            config.priorityPolicy = [.overflow, .prioritized, .pinnedClient][random.below(3)]
            config.priorityGroups = ["g"]
        }
    }

    private func createConsumer() throws {
        let name = Simulation.consumerNames[random.below(4)]
        guard consumers[name] == nil else { return try updateConsumer(name) }
        let config = drawConsumer(name)
        let code = try askForConsumer(config, "create")
        guard code == 0, let made = world.registry[name] else { return }
        // Its interest counts from here on.
        consumers[name] = ConsumerModel(name, made.config, model, nowNs: world.now.monotonicNs)
        // An ack of all before says too much about a consumer that has not delivered that yet.
        if config.ackPolicy == .all { held.removeAll { Reference($0.reply)?.consumer == name } }
        if model.config.retention == .workqueue && !random.once(in: 4) { return }
    }

    private func askForConsumer(_ config: ConsumerConfig, _ action: String) throws -> Int {
        var json = JSONWriter()
        json.beginObject()
        json.member("stream_name", "S")
        json.name("config")
        config.write(to: &json)
        json.member("action", action)
        json.endObject()
        let body = String(decoding: json.take(), as: UTF8.self)
        let filter = config.filterSubject
        let answer = try world.ask(body) {
            world.api.create(.named(stream: "S", consumer: config.name, filter: filter), $0, $1)
        }
        let code = (try? JSONValue.parse(Array(answer.utf8)))?["error"]?["err_code"]?.int ?? 0
        note("\(action) consumer \(code) \(code == 0 ? body : answer)")
        return code
    }

    /// What may be changed at any time, and takes effect at once.
    private func updateConsumer(_ name: String) throws {
        guard var consumer = consumers[name] else { return }
        var config = consumer.config
        if random.once(in: 2) && config.ackPolicy != .none { config.maxAckPending = [1, 3, 10][random.below(3)] }
        if random.once(in: 3) { config.headersOnly.toggle() }
        config.description = "changed \(random.below(10))"
        if random.once(in: 3) && model.config.retention != .workqueue { drawFilter(&config) }
        if random.once(in: 4) && config.ackPolicy != .none {
            config.backoffNs = random.once(in: 3) ? [] : [Int64(1 + random.below(5)) * 1_000_000_000, 20_000_000_000]
            if config.backoffNs.isEmpty { config.ackWaitNs = Int64([1, 5, 60][random.below(3)]) * 1_000_000_000 }
        }
        let position = world.registry[name]?.nextSequence ?? consumer.next
        // What comes with the new filter comes in the same turn.
        let before = consumer
        consumer.update(config, position: position, nowNs: world.now.monotonicNs)
        consumer.keepStarts(model)
        if consumer.starts.isEmpty { consumer.next = max(consumer.next, position) }
        consumers[name] = consumer
        guard try askForConsumer(config, "update") == 0 else {
            consumers[name] = before
            return
        }
        consumers[name]?.config = world.registry[name]?.config ?? config
        // Only what the old filter let through is let go of.
        if model.config.retention == .interest && before.config.filters != config.filters { sweep(where: before.wants) }
    }

    private func drawFilter(_ config: inout ConsumerConfig) {
        (config.filterSubject, config.filterSubjects) = ("", [])
        switch random.below(3) {
        case 0 where config.deliverPolicy != .lastPerSubject: break
        case 1: config.filterSubjects = [["a.*", "b.1"], ["a.1", "a.2"], ["*.2", "c.1"]][random.below(3)]
        default: config.filterSubject = Scenario.patterns[random.below(Scenario.patterns.count)]
        }
    }

    /// The pinned client loses its pin; the next one that asks gets it.
    private func unpin() throws {
        guard let name = someConsumer(), let consumer = consumers[name] else { return }
        note("unpin \(name)")
        let code = consumer.config.priorityGroups.contains("g") ? 0 : 10160
        try expectCode(try world.ask("{\"group\":\"g\"}") { world.api.unpin(name, $0, $1) }, code)
    }

    /// Where a consumer may begin; what an interest stream keeps for one that begins later than its end is nobody's promise.
    private func someStart() -> UInt64 {
        let sequence = max(1, someSequence())
        return model.config.retention == .limits ? sequence : min(sequence, model.lastSequence + 1)
    }

    private func someConsumer() -> String? {
        let names = consumers.keys.sorted()
        return names.isEmpty ? nil : names[random.below(names.count)]
    }

    private func deleteConsumer() throws {
        guard let name = someConsumer(), random.once(in: 2) else { return }
        note("delete consumer \(name)")
        try expectCode(try world.ask("") { world.api.delete(name, $0, $1) }, 0)
        let taken = world.taken()
        for sent in taken where sent.to.hasPrefix("in.") { try hearStatus(sent) }
        if let left = consumers[name]?.requests.first(where: { world.interests.contains($0.reply) }) {
            throw Disagreement("\(left.reply) was not told that \(name) is deleted")
        }
        consumers[name] = nil
        if model.config.retention == .interest { sweep() }
    }

    private func pauseConsumer() throws {
        guard let name = someConsumer() else { return }
        let untilNs = world.now.wallNs + Int64(random.below(60)) * 1_000_000_000
        let resumes = random.once(in: 2)
        let body = resumes ? "" : "{\"pause_until\":\"\(Timestamp.text(untilNs))\"}"
        note("pause \(name) \(body)")
        // From here on; what it resumes with comes in the same turn.
        let isPaused = !resumes && untilNs > world.now.wallNs
        consumers[name]?.pauseEndsNs = isPaused ? world.now.monotonicNs + UInt64(untilNs - world.now.wallNs) : nil
        consumers[name]?.config.pauseUntilNs = resumes ? nil : untilNs
        try expectCode(try world.ask(body) { world.api.pause(name, $0, $1) }, 0)
    }

    private func resetConsumer() throws {
        // What an interest or workqueue stream lets go of then depends on what is left of earlier deliveries.
        guard model.config.retention == .limits else { return }
        guard let name = someConsumer(), random.once(in: 2), var consumer = consumers[name] else { return }
        let sequence = random.once(in: 2) ? 0 : someStart()
        let body = sequence == 0 ? "" : "{\"seq\":\(sequence)}"
        note("reset \(name) \(body)")
        var code = 0
        if sequence > 0 {
            switch consumer.config.deliverPolicy {
            case .all: break
            case .byStartSequence: code = sequence < consumer.config.startSequence ? 10204 : 0
            case .byStartTime:
                let first = model.messages.first { $0.timeNs >= consumer.config.startTimeNs ?? 0 }?.sequence
                code = sequence < first ?? model.lastSequence + 1 ? 10204 : 0
            default: code = 10204
            }
        }
        if code == 0 {
            consumer.next = sequence == 0 ? consumer.floor.stream + 1 : sequence
            (consumer.pending, consumer.exhausted) = ([:], [])
            (consumer.starts, consumer.startsEnd) = ([], 0)
            consumer.delivered = (0, consumer.next - 1)
            consumer.floor = consumer.delivered
            (consumer.replayEnd, consumer.replayed, consumer.confirmed) = (0, nil, [])
            consumers[name] = consumer
        }
        try expectCode(try world.ask(body) { world.api.reset(name, $0, $1) }, code)
    }

    // MARK: Messages

    private func pull() throws {
        guard let name = someConsumer(), let consumer = consumers[name] else { return }
        lastReply += 1
        var request = RequestModel(reply: "in.\(lastReply)")
        request.activeBeforeNs = consumer.activeNs
        var members: [String] = []
        if !random.once(in: 3) {
            request.batch = [1, 3, 10, 50][random.below(4)]
            members.append("\"batch\":\(request.batch)")
        }
        if random.once(in: 3) {
            request.noWait = true
            members.append("\"no_wait\":true")
        }
        if random.once(in: 2) {
            let expires = UInt64([1, 30, 600][random.below(3)]) * 1_000_000_000
            request.expiresNs = world.now.monotonicNs + expires
            members.append("\"expires\":\(expires)")
            // One too many that expects heartbeats is not told.
            let live = consumer.requests.count { world.interests.contains($0.reply) }
            if random.once(in: 4) && live < consumer.config.maxWaiting { members.append("\"idle_heartbeat\":\(expires / 4)") }
        }
        // What a pin adds to a message is not counted by everybody alike.
        if random.once(in: 5) && consumer.config.priorityPolicy != .pinnedClient {
            request.bytes = [100, 500, 5_000][random.below(3)]
            members.append("\"max_bytes\":\(request.bytes)")
        }
        if consumer.config.priorityPolicy != .none && !random.once(in: 10) { members.append("\"group\":\"g\"") }
        if consumer.config.priorityPolicy == .prioritized {
            request.priority = random.below(4)
            members.append("\"priority\":\(request.priority)")
        }
        let body = members.isEmpty ? "" : "{\(members.joined(separator: ","))}"
        note("pull \(name) \(body) to \(request.reply)")
        world.subscribe(request.reply)
        if consumer.config.isPull {
            consumers[name]?.requests.append(request)
            consumers[name]?.activeNs = world.now.monotonicNs
        } else {
            ended[request.reply] = "409 Consumer is push based"
        }
        world.send("$JS.API.CONSUMER.MSG.NEXT.S.\(name)", body, reply: request.reply) {
            world.registry[name]?.receive(next: $0)
        }
        try world.quiesce()
        try follow()
        // Some clients go away without waiting for an answer.
        if random.once(in: 12) { world.unsubscribe(request.reply) }
    }

    private func answer() throws {
        guard !held.isEmpty else { return }
        for _ in 0..<1 + random.below(4) where !held.isEmpty {
            let index = random.below(held.count)
            let sent = random.once(in: 6) ? held[index] : held.remove(at: index)
            try answer(sent)
            try world.quiesce()
            try follow()
        }
    }

    private func answer(_ sent: Sent) throws {
        guard let reference = Reference(sent.reply), var consumer = consumers[reference.consumer] else { return }
        let nowNs = world.now.monotonicNs, sequence = reference.sequence
        // What was delivered to an earlier consumer of this name, or before a reset, may have been passed over since.
        if let position = world.registry[consumer.name]?.nextSequence { consumer.passOver(to: position, model) }
        let bodies = ["", "", "", "+ACK", "-NAK", "-NAK {\"delay\":2000000000}", "-NAK 3s", "+WPI", "+TERM", "+TERM why"]
        let body = bodies[random.below(bodies.count)]
        var reply = ""
        var finished: [UInt64] = []
        var isAnswered = true
        switch body {
        case "-NAK": consumer.nak(sequence, delivery: reference.delivery, delayNs: nil, nowNs: nowNs)
        case "-NAK 3s":
            consumer.nak(sequence, delivery: reference.delivery, delayNs: 3_000_000_000, nowNs: nowNs)
        case let text where text.hasPrefix("-NAK"):
            consumer.nak(sequence, delivery: reference.delivery, delayNs: 2_000_000_000, nowNs: nowNs)
        case "+WPI": consumer.progress(sequence, nowNs: nowNs)
        default:
            isAnswered = consumer.wasDelivered(sequence)
            finished = consumer.ack(sequence, delivery: reference.delivery)
        }
        if consumer.tracks && isAnswered && random.once(in: 3) {
            lastReply += 1
            reply = "ok.\(lastReply)"
            confirmations.insert(reply)
            if finished.contains(sequence) { endings[reply] = (consumer.name, sequence) }
        }
        consumers[consumer.name] = consumer
        for sequence in finished { done(sequence) }
        note("answer \(sent.reply) \(body) reply \(reply)")
        world.send(sent.reply, body, reply: reply) { world.registry[reference.consumer]?.receive(ack: $0) }
    }

    /// Push clients come and go.
    private func listen() throws {
        let name = Simulation.consumerNames[random.below(4)]
        let group = consumers[name]?.config.deliverGroup ?? ""
        let key = World.key(Array("push.\(name)".utf8), Array(group.utf8))
        let comes = !world.interests.contains(key)
        note("\(comes ? "listen" : "leave") \(key)")
        if consumers[name]?.config.isPull == false { consumers[name]?.activeNs = world.now.monotonicNs }
        comes ? world.subscribe(key) : world.unsubscribe(key)
        for (consumer, reply) in flowControls {
            world.send(reply) { world.registry[consumer]?.receive(flowControl: $0) }
        }
        flowControls = []
        try world.quiesce()
    }
}
