// The end of the broker, in order or not, and what it must find again; and updates of the stream's configuration.

import Store
import StoreKit

@testable import Broker

extension Simulation {
    func restart() throws {
        guard model.config.storage == .file else { return }
        let gap = UInt64(random.once(in: 4) ? random.below(200_000) : random.below(2_000)) * 1_000_000
        note("restart, \(gap / 1_000_000) ms later")
        let waiting = consumers.values.flatMap(\.requests).map(\.reply).filter { world.interests.contains($0) }
        try world.restart(afterNs: gap)
        copiedEnd = 0
        copied = []
        for name in consumers.keys { consumers[name]?.restart(nowNs: world.now.monotonicNs, wallNs: world.now.wallNs) }
        model.restart(nowNs: world.now.wallNs)
        beginCheckpoints()
        dropMemoryConsumers()
        // Who waited is told that the broker ends.
        for reply in waiting { ended[reply] = "409 Server Shutdown" }
    }

    /// Consumers in memory end with the broker.
    private func dropMemoryConsumers() {
        for (name, consumer) in consumers where consumer.config.memoryStorage {
            consumers[name] = nil
            held.removeAll { Reference($0.reply)?.consumer == name }
        }
        if model.config.retention == .interest { sweep() }
    }

    // MARK: Crashes

    /// Notes a state that is on the platter for sure, sooner or later.
    func noteCheckpoint() {
        guard case let policy = settings.syncPolicy, policy != .always else { return }
        let nowNs = world.now.monotonicNs
        guard case .interval(let intervalNs) = policy else {
            if checkpoints.isEmpty { checkpoints = [(nowNs, model)] }
            return
        }
        if let last = checkpoints.last, nowNs - last.atNs < intervalNs / 4 { return }
        var model = model
        model.recent = nil
        checkpoints.append((nowNs, model))
        // A timer may be late by a few milliseconds.
        let sureNs = nowNs - min(nowNs, intervalNs + 10_000_000)
        guard checkpoints.count > 1, checkpoints[1].atNs <= sureNs else { return }
        while checkpoints.count > 1, checkpoints[1].atNs <= sureNs { checkpoints.removeFirst() }
        let last = checkpoints[0].model.lastSequence
        self.model.recent?.removeAll { $0.sequence <= last }
    }

    /// What a start has found is on the platter; what the broker has done since, such as firing schedules, need not be.
    private func beginCheckpoints() {
        checkpoints = []
        guard settings.syncPolicy != .always else { return }
        var model = model
        model.recent = nil
        checkpoints = [(world.now.monotonicNs, model)]
    }

    /// Whether what was acknowledged just now may be lost.
    private var losesAcked: Bool { settings.syncPolicy != .always || model.config.persistMode == .async }

    /// What was under way when the power went.
    private struct Burst {
        var created: [ModelMessage] = []
        /// Sequences of one atomic batch.
        var batches: [ClosedRange<UInt64>] = []
        var publishes: [(reply: String, answer: Answer)] = []
        var removals: [(sequences: Set<UInt64>, answer: Box)] = []
    }

    final class Box { var text: String? }

    func crash() throws {
        guard model.config.storage == .file else { return }
        noteCheckpoint()
        let earliest = checkpoints.first
        let before = earliest?.model ?? model
        var burst = Burst()
        for _ in 0..<random.below(6) {
            try act(&burst)
            if random.once(in: 2) { world.stream.turnEnded() }
        }
        let changes = 1 + random.below(random.once(in: 3) ? 40 : 12)
        note("crash at change \(changes)")
        try world.crash(afterChanges: changes, afterNs: 0)
        foundAtCrash = world.found.sequences
        for sent in world.takenAnswers() { answers[sent.to] = sent.payload }
        confirmations = []
        endings = [:]
        flowControls = []
        for name in consumers.keys { consumers[name]?.restart(nowNs: world.now.monotonicNs, wallNs: world.now.wallNs) }
        model.republished = []
        if settings.syncPolicy != .always { burst.created += model.recent ?? [] }
        fastAnswers = [:]
        dropMemoryConsumers()
        try adopt(before, burst)
        try adoptConsumers(sinceNs: earliest?.atNs)
        let end = model.lastSequence
        if settings.syncPolicy != .always {
            // What has gone since the broker came back may be back after the next crash, too.
            model.recent = (before.messages + burst.created).filter { $0.sequence <= end }
        } else {
            model.recent?.append(contentsOf: burst.created.filter { $0.sequence <= end })
        }
        beginCheckpoints()
        copiedEnd = 0
        copied = []
    }

    private func act(_ burst: inout Burst) throws {
        let sequences = Set(model.messages.map(\.sequence)), last = model.lastSequence
        switch publishesMayWait ? 5 : random.below(6) {
        case 0:
            let sequence = someSequence()
            let request = deletion(of: sequence), code = delete(sequence)
            note("delete \(sequence): \(code), without waiting")
            let box = Box()
            world.request(request, { world.stream.deleteMessage($0, $1) }, then: { box.text = $0 })
            burst.removals.append((sequences.subtracting(model.messages.map(\.sequence)), box))
        case 1:
            let (request, code, _) = drawPurge()
            note("purge \(request): \(code), without waiting")
            let box = Box()
            world.request(request, { world.stream.purge($0, $1) }, then: { box.text = $0 })
            // Which messages are the last ones that are kept depends on what consumers are done with by now.
            if model.config.retention == .limits || !request.contains("keep") {
                burst.removals.append((sequences.subtracting(model.messages.map(\.sequence)), box))
            }
        default:
            // What is stored and removed at once has to be known, too.
            var kept: [ModelMessage] = []
            let onRemoved = model.onRemoved
            model.onRemoved = {
                if $0.sequence > last { kept.append($0) }; onRemoved($0)
            }
            let batch = random.once(in: 3) && model.config.allowAtomicPublish && !publishesMayWait ? 2 + random.below(3) : 0
            for place in 0..<max(1, batch) {
                var attempt = attempt()
                if batch > 0 {
                    if place == 0 { model.batches["crash"] = nil }
                    attempt.headers.append(("Nats-Batch-Id", "crash\(lastReply - place)"))
                    attempt.headers.append(("Nats-Batch-Sequence", "\(place + 1)"))
                    if place == batch - 1 { attempt.headers.append(("Nats-Batch-Commit", "1")) }
                }
                burst.publishes.append(publish(attempt))
            }
            model.onRemoved = onRemoved
            kept += model.messages.filter { $0.sequence > last }
            burst.created += kept.sorted { $0.sequence < $1.sequence }
            if batch > 0 && model.lastSequence > last { burst.batches.append(last + 1...model.lastSequence) }
        }
    }

    /// Checks that what is there lies between what was acknowledged and what was attempted, and goes on from it.
    private func adopt(_ before: StreamModel, _ burst: Burst) throws {
        let log = world.stream.log, nowNs = world.now.wallNs
        note("after the crash: \(log.state), \(world.recovered)")
        var known: [UInt64: ModelMessage] = [:]
        for message in before.messages + burst.created { known[message.sequence] = message }
        var end = world.found.lastSequence
        var present: [ModelMessage] = []
        /// Schedules that have fired since the broker came back, and what for.
        var fired: [(scheduler: String, target: String)] = []
        var sequence = log.state.firstSequence
        while sequence > 0 && sequence <= log.state.lastSequence {
            if case .message(let stored) = try world.load(sequence) {
                let headers = StreamModel.headers(stored.headers.string)
                let scheduler = headers.first { $0.name == "Nats-Scheduler" }?.value
                if let message = known[sequence], message.timeNs == stored.timeNs, message.subject == stored.subject.string,
                    message.header("Nats-Scheduler") == scheduler
                {
                    present.append(message)
                } else {
                    // The broker's own, since it came back: looked at later, with what it has put aside.
                    end = min(end, sequence - 1)
                    for header in headers where header.name == "Nats-Scheduler" {
                        fired.append((header.value, stored.subject.string))
                    }
                }
            }
            sequence += 1
        }
        // What they have made may have been delivered by now, and have gone with that.
        for sent in world.deliveredAtStart {
            guard let made = Reference(sent.reply)?.sequence, made > world.found.lastSequence, !log.contains(made) else {
                continue
            }
            let scheduler = StreamModel.headers(sent.headers).first { $0.name == "Nats-Scheduler" }
            if let scheduler { fired.append((scheduler.value, sent.subject)) }
        }
        // A schedule whose target nobody wants uses up a sequence and leaves nothing.
        if model.config.retention == .interest, known.values.contains(where: { $0.header("Nats-Schedule") != nil }) {
            end = min(end, model.lastSequence)
        }
        if end < log.state.lastSequence { present.removeAll { $0.sequence > end } }
        let there = Set(present.map(\.sequence))
        guard end >= before.lastSequence, end <= model.lastSequence else {
            throw Disagreement("last_seq \(end) after a crash between \(before.lastSequence) and \(model.lastSequence)")
        }
        for (reply, answer) in burst.publishes {
            guard let text = answers.removeValue(forKey: reply) else { continue }
            let given = try Simulation.read(text)
            guard given == answer else {
                // A write that failed on the way out is told as such.
                if given == .error(10077) || model.config.retention != .limits { continue }
                throw Disagreement("\(reply) was answered \(text) before the crash, the model says \(answer)")
            }
            switch answer {
            case .stored(let sequence, _), .batch(let sequence, _, _, _):
                if sequence > end && !losesAcked { throw Disagreement("\(sequence) was acknowledged, and is lost") }
            default: break
            }
        }
        for removal in burst.removals where removal.answer.text?.contains("\"success\":true") == true {
            // It is back as a whole, with what came after it.
            if settings.syncPolicy != .always { break }
            if let back = removal.sequences.intersection(there).first { throw Disagreement("\(back) is back from the dead") }
        }
        for batch in burst.batches {
            // What nobody is interested in uses up a sequence, and is not stored: where that comes last, it may be forgotten.
            let stored = burst.created.map(\.sequence).filter(batch.contains)
            if let first = stored.first, let last = stored.last, first <= end && end < last {
                throw Disagreement("half of the batch \(batch) is there: \(end), \(there.sorted()) of \(log.state)")
            }
        }
        // Schedules that were there have fired since, and may have gone with that, whatever was to become of them; or they had
        // fired just before the crash.
        let firedAndGone = Set(
            known.values.filter { message in
                guard message.sequence <= end, !there.contains(message.sequence),
                    world.found.sequences.contains(message.sequence) || model.index(message.sequence) != nil,
                    let target = message.header("Nats-Schedule-Target")
                else { return false }
                // What it has made may have been rolled up by what another schedule has made. It was no schedule any more where
                // its subject had a later message.
                let isEnded = known.values.contains {
                    $0.subject == message.subject && $0.sequence > message.sequence
                        && world.found.sequences.contains($0.sequence)
                }
                let isDue = !isEnded && message.firesNs.map { $0 <= nowNs } ?? false
                return fired.contains { ($0 == message.subject || isDue) && $1 == target }
                    || model.config.retention == .interest && end < log.state.lastSequence && !model.isWanted(target)
            }
            .map(\.sequence))
        // Due to go: they may be gone, and are looked at with all others.
        let hasGoneOn = end < log.state.lastSequence
        // Consumers may have been done with anything.
        if model.config.retention != .limits {
            model.messages.removeAll {
                $0.sequence <= end && !there.contains($0.sequence) && !firedAndGone.contains($0.sequence)
            }
        }
        let isDue: (ModelMessage) -> Bool = { hasGoneOn || (before.dueNs($0) ?? .max) <= nowNs }
        lost = world.stream.info().state.lost
        // What is back takes its place in the limits again.
        let isCrowded =
            settings.syncPolicy != .always && !there.isSubset(of: model.messages.map(\.sequence))
            && (model.config.maxMessages > 0 || model.config.maxBytes > 0 || model.config.maxMessagesPerSubject > 0)
        for message in model.messages where message.sequence <= end && !there.contains(message.sequence) && !isDue(message) {
            if isCrowded || message.sequence > before.lastSequence && lost.contains(message.sequence) { continue }
            throw Disagreement("message \(message.sequence) is lost: \(there.sorted()) of \(log.state)")
        }
        var adopted = before
        adopted.config = model.config
        let attempted = model
        adopted.messages = known.values.filter {
            there.contains($0.sequence) || firedAndGone.contains($0.sequence)
                || $0.sequence <= end && isDue($0) && attempted.index($0.sequence) != nil
                    && world.found.sequences.contains($0.sequence)
        }
        .sorted { $0.sequence < $1.sequence }
        adopted.lastSequence = end
        adopted.lastTimeNs = end == log.state.lastSequence ? log.state.lastTimeNs : adopted.messages.last?.timeNs ?? 0
        model = adopted
        model.restart(nowNs: nowNs)
        // What was there when the broker came back says what is a schedule, and when it fires, though it may have gone since.
        let found = known.values.filter { $0.sequence <= end && world.found.sequences.contains($0.sequence) }
        for place in model.messages.indices where model.messages[place].firesNs != nil {
            let schedule = model.messages[place]
            let later = found.filter { $0.sequence > schedule.sequence }
            if later.contains(where: { $0.subjectBit == schedule.subjectBit }) { model.messages[place].firesNs = nil }
            let made = later.filter { $0.header("Nats-Scheduler") == schedule.subject }.max { $0.sequence < $1.sequence }
            guard let next = made?.header("Nats-Schedule-Next").flatMap({ try? Timestamp.parse($0) }) else { continue }
            if model.messages[place].firesNs != nil { model.messages[place].firesNs = next }
        }
        // What has gone since the broker came back may have been there when it looked for ids.
        for message in known.values where message.sequence <= end && message.timeNs > nowNs - model.config.duplicateWindowNs {
            guard let id = message.header("Nats-Msg-Id"), model.ids[id] == nil, world.knows(id, message.sequence) else {
                continue
            }
            model.ids[id] = (message.sequence, message.timeNs)
        }
        answers = [:]
        // Sequences come again, and nobody can tell an ack of the one from an ack of the other.
        if settings.syncPolicy != .always { held.removeAll { Reference($0.reply).map { $0.sequence > end } ?? true } }
    }

    /// An interest stream keeps what somebody waits for.
    func sweep(where isSwept: (ModelMessage) -> Bool = { _ in true }) {
        let consumers = consumers
        _ = model.removeAll { message in isSwept(message) && !consumers.values.contains { $0.waits(for: message) } }
    }

    /// How long the journal may have what nobody waits for without a sync: a tenth of a second, by a timer that may be late.
    private static let journalSyncNs: UInt64 = 110_000_000

    /// A consumer is never ahead of what it has delivered, and keeps what it had before the last turns.
    ///
    /// - Parameter sinceNs: what was decided since then may be forgotten, and what was deleted may be back.
    private func adoptConsumers(sinceNs: UInt64?) throws {
        let nowNs = world.now.monotonicNs
        for name in consumers.keys.sorted() {
            guard let actual = world.registry[name] else {
                if let sinceNs, let made = consumers[name]?.madeNs, made >= sinceNs {
                    consumers[name] = nil
                } else {
                    try forgetIdle(name)
                }
                continue
            }
            if sinceNs != nil {
                consumers[name] = nil
                takeOver(actual)
            } else if let sequence = consumers[name]?.broughtBack(actual) {
                throw Disagreement("\(name): the ack of \(sequence) was answered, and is forgotten: \(actual.info())")
            }
            consumers[name]?.adopt(actual, nowNs: nowNs)
        }
        for actual in world.registry.all where consumers[actual.name] == nil && !actual.config.direct {
            // Nobody was told that it went for want of a client, and the journal is synced a moment later.
            let isIdleEndForgotten = idleEnds[actual.name].map { $0 + Simulation.journalSyncNs >= nowNs } ?? false
            guard sinceNs != nil || isIdleEndForgotten else { continue }
            takeOver(actual)
            consumers[actual.name]?.adopt(actual, nowNs: nowNs)
        }
    }

    /// A consumer as the broker knows it: what was changed last may be forgotten.
    private func takeOver(_ actual: Consumer) {
        var consumer = ConsumerModel(actual.name, actual.config, model, nowNs: world.now.monotonicNs)
        consumer.restart(nowNs: world.now.monotonicNs, wallNs: world.now.wallNs)
        consumers[actual.name] = consumer
    }

    // MARK: Updates

    func update() throws {
        var config = model.config
        Scenario.limits(&config, &random)
        if random.once(in: 10) { config.allowRollup.toggle() }
        if random.once(in: 40) { config.sealed = true }
        if random.once(in: 20) && config.retention != .workqueue && world.copy == nil {
            config.retention = config.retention == .limits ? .interest : .limits
        }
        do throws(APIError) {
            config = try config.checkedForUpdate(
                from: model.config, pedantic: false, limits: JetStreamLimits(), directory: StreamDirectory(), consumers: [])
        } catch {
            return note("update refused: \(error)")
        }
        note("update \(config)")
        let before = model.config.retention
        model.config = config
        try world.update(config)
        model.enforceLimits()
        // What is too old by now goes first, and a marker may take its place.
        let nowNs = world.now.wallNs
        if config.retention == .interest && before == .limits { sweep { (self.model.dueNs($0) ?? .max) > nowNs } }
        try pass(1)
    }
}
