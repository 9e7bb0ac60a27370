// What clients do to a stream, drawn from the seed, and what they should be told.

import StoreKit
import Wire

@testable import Broker

extension Simulation {
    /// One step.
    func operate() throws {
        switch random.below(130) {
        case 100...: try operateConsumers()
        case 0..<42: try publishSome()
        case 42..<48: try deleteMessage()
        case 48..<52: try purge()
        case 52..<57: try getMessage()
        case 57..<60: try restart()
        case 60..<63: try crash()
        case 63..<65: try update()
        default: try passTime()
        }
    }

    private func passTime() throws {
        // So that a day goes by in as many steps.
        let ns: UInt64 =
            switch random.below(10) {
            case 0..<3: UInt64(random.below(1_000)) * 1_000_000
            case 3..<7: UInt64(random.below(30_000)) * 1_000_000
            case 7..<9: UInt64(random.below(200_000)) * 1_000_000
            default: UInt64(random.below(2_400_000)) * 1_000_000
            }
        note("pass \(ns / 1_000_000) ms")
        try pass(ns + 1)
    }

    // MARK: Publishing

    func attempt() -> Attempt {
        var attempt = Attempt(subject: Scenario.subjects[random.below(Scenario.subjects.count)])
        attempt.body = String(repeating: "x", count: [0, 5, 20, 100, 400][random.below(5)])
        if model.config.allowMessageCounter && !random.once(in: 10) {
            attempt.body = random.once(in: 20) ? "1" : ""
            attempt.headers.append(("Nats-Incr", ["1", "-3", "+10", "0", "junk"][random.below(random.once(in: 10) ? 5 : 4)]))
        } else if random.once(in: 60) {
            attempt.headers.append(("Nats-Incr", "1"))
        }
        if random.once(in: 4) { attempt.headers.append(("Key", "value \(random.below(10))")) }
        if random.once(in: 4) { attempt.headers.append(("Nats-Msg-Id", "id\(random.below(20))")) }
        if random.once(in: 12) { expectations(&attempt) }
        if random.once(in: model.config.allowRollup ? 12 : 60) && !model.config.allowMessageCounter {
            attempt.headers.append(("Nats-Rollup", ["sub", "all", "SUB", "none"][random.below(random.once(in: 5) ? 4 : 2)]))
        }
        if random.once(in: model.config.allowMessageTTL ? 4 : 60) {
            let values = ["never", "1", "10", "90s", "2m", "3600", "0", "500ms", "junk"]
            attempt.headers.append(("Nats-TTL", values[random.below(random.once(in: 8) ? 9 : 6)]))
        }
        if random.once(in: model.config.allowMessageSchedules ? 6 : 80) { schedule(&attempt) }
        if random.once(in: 200) { attempt.headers.append(("Nats-Stream-Source", "x")) }
        return attempt
    }

    private func expectations(_ attempt: inout Attempt) {
        let isRight = !random.once(in: 3)
        switch random.below(5) {
        case 0: attempt.headers.append(("Nats-Expected-Stream", isRight ? "S" : "T"))
        case 1:
            attempt.headers.append(("Nats-Expected-Last-Sequence", "\(model.lastSequence + (isRight ? 0 : 1))"))
        case 2:
            let last = model.last(model.transformed(attempt.subject))
            attempt.headers.append(("Nats-Expected-Last-Subject-Sequence", "\(last + (isRight ? 0 : 1))"))
        case 3:
            let pattern = Scenario.patterns[random.below(Scenario.patterns.count)]
            if isRight {
                attempt.headers.append(("Nats-Expected-Last-Subject-Sequence", "\(model.last(pattern))"))
            }
            attempt.headers.append(("Nats-Expected-Last-Subject-Sequence-Subject", pattern))
        default: attempt.headers.append(("Nats-Expected-Last-Msg-Id", isRight ? model.lastMessageID : "other"))
        }
    }

    private func schedule(_ attempt: inout Attempt) {
        let isRight = !random.once(in: 8)
        switch random.below(8) {
        case 0..<4:
            let at = world.now.wallNs + Int64(random.below(600)) * 1_000_000_000
            attempt.headers.append(("Nats-Schedule", "@at \(Timestamp.text(at))"))
        case 4..<6: attempt.headers.append(("Nats-Schedule", "@every \(isRight ? [60, 300, 3_600][random.below(3)] : 0)s"))
        case 6:
            attempt.headers.append(("Nats-Scheduler", Scenario.subjects[random.below(Scenario.subjects.count)]))
            attempt.headers.append(("Nats-Schedule-Next", isRight ? "purge" : "later"))
            return
        default: attempt.headers.append(("Nats-Schedule", "@never"))
        }
        let target = Scenario.subjects[random.below(Scenario.subjects.count)]
        attempt.headers.append(("Nats-Schedule-Target", isRight || random.once(in: 2) ? target : "elsewhere"))
        if random.once(in: 6) { attempt.headers.append(("Nats-Schedule-TTL", isRight ? "30" : "0")) }
        if random.once(in: 10) { attempt.headers.append(("Nats-Schedule-Rollup", isRight ? "sub" : "all")) }
    }

    private func publishSome() throws {
        if random.once(in: 8) { return try publishBatch() }
        if random.once(in: model.config.allowBatchPublish ? 8 : 80) { return try publishFast() }
        var expected: [(String, Answer)] = []
        for _ in 0..<(random.once(in: 3) && !publishesMayWait ? 1 + random.below(5) : 1) { expected.append(publish(attempt())) }
        try check(expected)
    }

    /// - Returns: where the answer goes, and what it should be.
    func publish(_ attempt: Attempt) -> (String, Answer) {
        lastReply += 1
        let reply = "pub.\(lastReply)"
        let answer = model.publish(attempt, nowNs: world.now.wallNs)
        note("publish \(attempt.subject) \(attempt.headers) \(attempt.body.count) bytes: \(answer)")
        world.send(attempt.subject, headers: attempt.headerBlock, attempt.body, reply: reply) { world.stream.receive($0) }
        return (reply, answer)
    }

    private func publishBatch() throws {
        let id = random.once(in: 30) ? String(repeating: "b", count: 70) : "batch\(random.below(4))"
        var expected: [(String, Answer)] = []
        let count = publishesMayWait ? 1 : 1 + random.below(4)
        for place in 0..<count {
            var attempt = attempt()
            let next = (model.batches[id]?.messages.count ?? 0) + 1
            attempt.headers.append(("Nats-Batch-Id", id))
            if !random.once(in: 60) {
                attempt.headers.append(("Nats-Batch-Sequence", "\(next + (random.once(in: 30) ? 1 : 0))"))
            }
            if place == count - 1 && !random.once(in: 6) {
                let commit = random.once(in: 20) ? "0" : random.once(in: 3) ? "eob" : "1"
                attempt.headers.append(("Nats-Batch-Commit", commit))
            }
            expected.append(publish(attempt))
        }
        try check(expected)
    }

    func check(_ reply: String, _ answer: Answer) throws {
        guard let actual = answers.removeValue(forKey: reply) else { throw Disagreement("no answer on \(reply)") }
        let given = try Simulation.read(actual)
        guard given == answer else { throw Disagreement("\(reply) is answered \(actual), the model says \(answer)") }
    }

    static func read(_ text: String) throws -> Answer {
        if text.isEmpty { return .empty }
        guard let json = try? JSONValue.parse(Array(text.utf8)) else { throw Disagreement("no JSON: \(text)") }
        if let error = json["error"] { return .error(error["err_code"]?.int ?? 0) }
        let sequence = json["seq"]?.uint64 ?? 0, value = json["val"]?.string.flatMap { Int($0) }
        if json["duplicate"]?.bool == true { return .duplicate(sequence) }
        if let batch = json["batch"]?.string {
            return .batch(sequence, id: batch, count: json["count"]?.int ?? 0, value: value)
        }
        return .stored(sequence, value: value)
    }

    // MARK: Taking out

    /// A sequence that is there, most of the time.
    func someSequence() -> UInt64 {
        if random.once(in: 6) || model.messages.isEmpty { return UInt64(random.below(10)) + model.firstSequence }
        return model.messages[random.below(model.messages.count)].sequence
    }

    func deleteMessage() throws {
        let sequence = someSequence()
        let request = deletion(of: sequence)
        let expected = delete(sequence)
        note("delete \(sequence): \(expected)")
        try expectCode(try world.ask(request) { world.stream.deleteMessage($0, $1) }, expected)
    }

    func deletion(of sequence: UInt64) -> String { "{\"seq\":\(sequence)\(random.once(in: 2) ? ",\"no_erase\":true" : "")}" }

    /// - Returns: the error's code; 0 is success.
    func delete(_ sequence: UInt64) -> Int {
        if model.config.sealed { return 10109 }
        if model.config.denyDelete { return 10057 }
        let first = model.messages.first?.sequence ?? model.lastSequence + 1
        if sequence == 0 { return 10057 }
        if model.config.storage == .file && (sequence < first || sequence > model.lastSequence) { return 10057 }
        return model.remove(sequence) ? 0 : 10043
    }

    func expectCode(_ answer: String, _ expected: Int) throws {
        let code = (try? JSONValue.parse(Array(answer.utf8)))?["error"]?["err_code"]?.int ?? 0
        guard code == expected else { throw Disagreement("answered \(answer), the model says \(expected)") }
    }

    func purge() throws {
        let (request, expected, purged) = drawPurge()
        note("purge \(request): \(expected) \(purged)")
        let answer = try world.ask(request) { world.stream.purge($0, $1) }
        try expectCode(answer, expected)
        if expected == 0 { try expect("purged", (try? JSONValue.parse(Array(answer.utf8)))?["purged"]?.int ?? -1, purged) }
    }

    /// Changes the model.
    func drawPurge() -> (request: String, code: Int, purged: Int) {
        let filter = random.once(in: 3) ? "" : Scenario.patterns[random.below(Scenario.patterns.count)]
        let keep = random.once(in: 3) ? 1 + random.below(4) : 0
        let sequence = random.once(in: keep > 0 ? 20 : 3) ? someSequence() : 0
        var members: [String] = []
        if !filter.isEmpty { members.append("\"filter\":\"\(filter)\"") }
        if keep > 0 { members.append("\"keep\":\(keep)") }
        if sequence > 0 { members.append("\"seq\":\(sequence)") }
        let request = members.isEmpty ? "" : "{\(members.joined(separator: ","))}"
        if keep > 0 && sequence > 0 { return (request, 10003, 0) }
        if model.config.sealed { return (request, 10109, 0) }
        if model.config.denyPurge { return (request, 10110, 0) }
        return (request, 0, model.purge(filter: filter == ">" ? "" : filter, sequence: sequence, keep: keep))
    }
}
