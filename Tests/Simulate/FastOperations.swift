// What publishers of fast batches do, and what they should hear.

import StoreKit
import Wire

@testable import Broker

extension Simulation {
    func publishFast() throws {
        var expected: [(reply: String, answers: [FastAnswer])] = []
        for _ in 0..<(publishesMayWait ? 1 : 1 + random.below(6)) {
            let attempt = attempt(), place = drawPlace()
            lastReply += 1
            let reply = "fb.\(lastReply).\(place.text)"
            let answers = model.fast(attempt, place, nowNs: world.now.wallNs)
            note("publish \(attempt.subject) \(attempt.headers) \(attempt.body.count) bytes for \(reply): \(answers)")
            world.send(attempt.subject, headers: attempt.headerBlock, attempt.body, reply: reply) { world.stream.receive($0) }
            expected.append((reply, answers))
        }
        try check([])
        for (reply, answers) in expected {
            // A refusal does not wait for a commit, and comes before what was said first.
            let given = (fastAnswers.removeValue(forKey: reply) ?? []).map { "\($0)" }.sorted()
            guard given == answers.map({ "\($0)" }).sorted() else {
                throw Disagreement("\(reply) is answered \(given), the model says \(answers)")
            }
        }
        if let left = fastAnswers.first { throw Disagreement("nobody has asked for \(left)") }
    }

    private func drawPlace() -> FastPlace {
        let id = random.once(in: 60) ? String(repeating: "f", count: 70) : "fast\(random.below(3))"
        let open = model.fastBatches[id]
        var place = FastPlace(
            id: id, flow: [0, 1, 2, 5, 600][random.below(5)], allowsGaps: random.once(in: 2),
            sequence: (open?.sequence ?? 0) + 1,
            operation: .append)
        if open == nil { place.operation = random.once(in: 8) ? .commit : random.once(in: 20) ? .append : .start }
        if open != nil {
            switch random.below(16) {
            case 0, 1: place.operation = .commit
            case 2: place.operation = .endOfBatch
            case 3, 4: (place.operation, place.sequence) = (.ping, place.sequence - random.below(2))
            case 5: place.sequence += 1 + random.below(2)
            case 6: if place.sequence > 2 && random.once(in: 3) { place.sequence -= 1 }
            default: break
            }
        }
        return place
    }

    static func readFast(_ text: String) throws -> FastAnswer {
        guard let json = try? JSONValue.parse(Array(text.utf8)) else { throw Disagreement("no JSON: \(text)") }
        let sequence = json["seq"]?.int ?? -1
        switch json["type"]?.string {
        case "ack": return .ack(sequence, every: json["msgs"]?.int ?? -1)
        case "gap": return .gap(expected: json["last_seq"]?.int ?? -1, got: sequence)
        case "err": return .failed(sequence, code: json["error"]?["err_code"]?.int ?? -1)
        default: break
        }
        if let error = json["error"] { return .refused(error["err_code"]?.int ?? 0) }
        return .finished(json["seq"]?.uint64 ?? 0, id: json["batch"]?.string ?? "", count: json["count"]?.int ?? -1)
    }
}
