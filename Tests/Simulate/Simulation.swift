// One seed: a stream, its consumers and its clients for a day, step by step beside the model.

import Glibc
import StoreKit

@testable import Broker

/// What went wrong, and where.
struct Failure: Error, CustomStringConvertible {
    let seed: UInt64
    let step: Int
    let text: String
    let operations: [String]

    var description: String {
        "seed \(seed), step \(step): \(text)\n    after:\n" + operations.map { "      \($0)\n" }.joined()
            + "    again: simulate --seed \(seed) --trace"
    }
}

/// Owned by the thread that runs it.
final class Simulation {
    static let steps = 2_000
    static let dayNs: UInt64 = 24 * 3_600_000_000_000

    let seed: UInt64
    let traces: Bool
    var random: SeededRandom
    let world: World
    var model: StreamModel
    /// The latest operations, for the report.
    private var operations: [String] = []
    private(set) var step = 0
    /// Answers to publishes, by reply subject.
    var answers: [String: String] = [:]
    /// The same of fast batches.
    var fastAnswers: [String: [FastAnswer]] = [:]
    var lastReply = 0
    /// Message ids, batch ids: from small sets, so that they meet.
    var openBatches: [String: Int] = [:]
    /// Where acks do not mean that something is on the platter: earlier states, and when each was seen.
    var checkpoints: [(atNs: UInt64, model: StreamModel)] = []
    let settings: StreamSettings
    /// What was damaged before it was synced: the log says so.
    var lost: [UInt64] = []
    private let cacheMisses: Int?
    /// What the copy was seen to hold, by the sequences of the stream; the last one, and where that stands in the copy.
    var copied: Set<UInt64> = []
    var copiedOriginal: UInt64 = 0
    var copiedEnd: UInt64 = 0

    // MARK: Consumers

    var consumers: [String: ConsumerModel] = [:]
    /// When those went that had no client for too long.
    var idleEnds: [String: UInt64] = [:]
    /// Deliveries that clients have and may answer.
    var held: [Sent] = []
    /// Statuses that must come, by inbox.
    var ended: [String: String] = [:]
    /// Answers to acks that must come.
    var confirmations: Set<String> = []
    /// What these end: a consumer and a message.
    var endings: [String: (consumer: String, sequence: UInt64)] = [:]
    /// The last message of the step before.
    var visibleSequence: UInt64 = 0
    var flowControls: [(consumer: String, reply: String)] = []
    /// In a step that the power was cut in: what was there then, and may have gone before the model looks.
    var foundAtCrash: Set<UInt64> = []

    init(seed: UInt64, traces: Bool) throws {
        self.seed = seed
        self.traces = traces
        random = SeededRandom(seed: seed)
        var config = Scenario.stream(&random)
        let creation: StreamConfig.Creation
        do throws(APIError) {
            creation = try config.checkedForCreate(pedantic: false, limits: JetStreamLimits(), directory: StreamDirectory())
        } catch { throw Disagreement("the configuration is refused: \(error) \(config)") }
        guard case .new(let checked) = creation else { throw Disagreement("a new stream is not new") }
        config = checked
        settings = Scenario.settings(config, &random)
        let misses = [nil, nil, 2, 3, 7][random.below(5)]
        cacheMisses = misses
        world = try World(
            config: config, settings: settings, options: Scenario.log(&random), cacheMisses: misses,
            copy: Scenario.copy(config, settings, &random), seed: random.next())
        model = StreamModel(config: config)
        if settings.syncPolicy != .always || world.copy != nil { model.recent = [] }
        note(
            "stream \(config), syncs \(settings.syncPolicy), cache misses \(misses ?? 0), copy \(world.copy?.config.name ?? "none")"
        )
        connect()
    }

    /// Has the model ask what it has to know.
    private func connect() {
        model.isWanted = { [unowned self] subject in consumers.values.contains { $0.wants(subject) } }
        model.onRemoved = { [unowned self] message in
            for name in consumers.keys { consumers[name]?.removed(message.sequence) }
        }
        model.onPurged = { [unowned self] model, pattern in
            for name in consumers.keys { consumers[name]?.purged(pattern, model) }
        }
    }

    /// Where a publish may have to wait for the disk, what others do meanwhile comes first.
    var publishesMayWait: Bool { cacheMisses != nil && (model.config.allowMessageCounter || model.config.discard == .new) }

    // MARK: Running

    func run() throws(Failure) {
        defer { world.end() }
        do {
            try compare(isWhole: true)
            for step in 1...Simulation.steps {
                self.step = step
                foundAtCrash = []
                noteCheckpoint()
                try operate()
                try follow()
                try compare(isWhole: step % 16 == 0)
                try compareCopy(isWhole: false)
            }
            try compare(isWhole: true)
            try compareCopy(isWhole: true)
        } catch {
            throw Failure(seed: seed, step: step, text: "\(error)", operations: operations)
        }
    }

    func note(_ text: String) {
        let line = "\(step) \(Double(world.now.monotonicNs - 1_000_000_000_000) / 1e9) s: \(text)"
        operations.append(line)
        if operations.count > 12 { operations.removeFirst() }
        if traces { print(line) }
    }

    /// Lets the model hear of what has happened since.
    func follow() throws {
        let taken = world.taken()
        for sent in taken where sent.to.hasPrefix("pub.") { try hear(sent) }
        try hearOthers(taken)
        try followConsumers()
        visibleSequence = model.lastSequence
        model.lostMarkers = 0
        if let missing = confirmations.first { throw Disagreement("no answer to an ack: \(missing)") }
        if let missing = ended.first { throw Disagreement("no status: \(missing)") }
        if !model.republished.isEmpty { throw Disagreement("not republished: \(model.republished[0])") }
    }

    /// Compares what publishers were told.
    func check(_ expected: [(String, Answer)]) throws {
        try world.quiesce()
        let taken = world.taken()
        for sent in taken where sent.to.hasPrefix("pub.") { try hear(sent) }
        for (reply, answer) in expected { try check(reply, answer) }
        // A schedule may have fired at once.
        try hearOthers(taken)
    }

    /// Hears what was not sent to publishers, and lets the model know of what has happened by itself meanwhile: all of that
    /// came before, but for schedules that were delivered, then fired, and went.
    private func hearOthers(_ taken: [Sent]) throws {
        let log = world.stream.log, nowNs = world.now.wallNs
        let unheard = world.deliveredAtStart
        world.deliveredAtStart = []
        var split = 0
        var kept = goneWithDelivery(taken)
        for (place, sent) in taken.enumerated() where sent.reply.hasPrefix("$JS.ACK.") {
            guard let sequence = Reference(sent.reply)?.sequence, let fires = model[sequence]?.firesNs, fires <= nowNs,
                !log.contains(sequence)
            else { continue }
            kept.insert(sequence)
            split = place + 1
        }
        let expired = try model.expire(world, keeps: kept)
        for sent in taken[..<split] where !sent.to.hasPrefix("pub.") { try hear(sent) }
        let floors = consumers.mapValues(\.floor)
        try model.passTime(world, taken + unheard, expired)
        if split > 0 {
            // Others were delivered before a schedule went, which is not told here: the floor may have waited for them.
            for (name, floor) in floors { consumers[name]?.floor = floor }
        }
        // What was stored since the start, and went with its delivery, as the consumers know already.
        for sequence in goneWithDelivery(unheard) where !log.contains(sequence) { done(sequence) }
        for sent in taken[split...] where !sent.to.hasPrefix("pub.") { try hear(sent) }
        if !kept.isEmpty { try model.passTime(world, []) }
    }

    /// What consumers that ask for no acks were given, and what may have gone because nobody else waits for it.
    private func goneWithDelivery(_ taken: [Sent]) -> Set<UInt64> {
        guard model.config.retention != .limits else { return [] }
        var done: Set<UInt64> = []
        for sent in taken {
            guard let reference = Reference(sent.reply), let consumer = consumers[reference.consumer] else { continue }
            if !consumer.tracks { done.insert(reference.sequence) }
        }
        return done
    }

    func hear(_ sent: Sent) throws {
        if traces { print("      \(sent)") }
        if sent.to.hasPrefix("again.") {
            if model.lostMarkers > 0, model.republished.first?.subject != sent.to, sent.headers.contains("Nats-Marker-Reason") {
                model.lostMarkers -= 1
                return
            }
            guard !model.republished.isEmpty else { throw Disagreement("republished: \(sent)") }
            let expected = model.republished.removeFirst()
            // Which of several expired messages a marker followed is not told here.
            let isMarker = sent.headers.contains("Nats-Marker-Reason")
            let last = StreamModel.headers(sent.headers).first { $0.name == "Nats-Last-Sequence" }
            // So may have the message that came before it.
            let hidesLast = isMarker || foundAtCrash.contains(last.flatMap { UInt64($0.value) } ?? 0)
            func plain(_ headers: String) -> [String] {
                headers.split(separator: "\r\n").map(String.init).filter {
                    !$0.hasPrefix("Nats-Time-Stamp: ") && !(hidesLast && $0.hasPrefix("Nats-Last-Sequence: "))
                }
            }
            guard expected.subject == sent.to, plain(expected.headers) == plain(sent.headers), expected.body == sent.payload
            else {
                throw Disagreement("republished \(sent) instead of \(expected)")
            }
        } else if sent.to.hasPrefix("pub.") {
            guard answers[sent.to] == nil else { throw Disagreement("a second answer: \(sent)") }
            answers[sent.to] = sent.payload
        } else if sent.to.hasPrefix("fb.") {
            fastAnswers[sent.to, default: []].append(try Simulation.readFast(sent.payload))
        } else if sent.to.hasPrefix("ok.") {
            if confirmations.remove(sent.to) == nil { throw Disagreement("a second answer: \(sent)") }
            if let ending = endings.removeValue(forKey: sent.to) {
                consumers[ending.consumer]?.confirmed.insert(ending.sequence)
            }
        } else if !sent.reply.isEmpty && sent.reply.hasPrefix("$JS.ACK.") {
            try hearDelivery(sent)
        } else if sent.to.hasPrefix("in.") || sent.to.hasPrefix("push.") {
            try hearStatus(sent)
        } else {
            throw Disagreement("sent to nobody: \(sent)")
        }
    }

    /// Time passes, moment by moment.
    func pass(_ ns: UInt64) throws {
        let end = world.now.monotonicNs + ns
        while try world.step(upTo: end) {
            try follow()
            try compare(isWhole: false)
        }
    }
}
