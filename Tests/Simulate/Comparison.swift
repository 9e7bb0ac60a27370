// Compares the broker with the model.

import Store
import Wire

@testable import Broker

extension Simulation {
    func compare(isWhole: Bool) throws {
        let state = world.stream.info().state
        if state.messages != UInt64(model.messages.count) {
            let there = model.messages.map { "\($0.sequence)\(world.stream.log.contains($0.sequence) ? "" : " (gone)")" }
            throw Disagreement("there are \(state.messages) messages, the model says \(there)")
        }
        try expect("last_seq", state.lastSequence, model.lastSequence)
        try expect("first_seq", state.firstSequence, model.firstSequence)
        try expect("bytes", state.bytes, UInt64(model.bytes))
        try expect("num_deleted", state.deletedCount, Int(model.deleted))
        try expect("num_subjects", state.subjectCount, model.subjectCount)
        if let first = model.messages.first { try expect("first_ts", state.firstTimeNs, first.timeNs) }
        try expect("lost", world.lost, [])
        // Of what lay before the first message, a restart need not know.
        try expect("lost", state.lost.filter { $0 >= state.firstSequence }, lost.filter { $0 >= state.firstSequence })
        if isWhole { try compareContents() }
    }

    func expect<Value: Equatable>(_ what: @autoclosure () -> String, _ actual: Value, _ expected: Value) throws {
        guard actual == expected else { throw Disagreement("\(what()) is \(actual), the model says \(expected)") }
    }

    private func compareContents() throws {
        let answer = try world.ask(#"{"subjects_filter":">","deleted_details":true}"#) { world.stream.info($0, $1) }
        guard let info = try? JSONValue.parse(Array(answer.utf8)) else { throw Disagreement("info: \(answer)") }
        var counts: [String: UInt64] = [:]
        for member in info["state"]?["subjects"]?.object?.members ?? [] { counts[member.name] = member.value.uint64 ?? 0 }
        try expect("subjects", counts, model.counts)
        let present = Set(model.messages.map(\.sequence))
        var deleted: [UInt64] = []
        if let first = model.messages.first, model.deleted > 0, model.deleted < 5_000 {
            deleted = (first.sequence...model.lastSequence).filter { !present.contains($0) }
        }
        if model.deleted < 5_000 {
            try expect("deleted", info["state"]?["deleted"]?.array?.compactMap(\.uint64) ?? [], deleted)
        }
        for message in model.messages { try compare(message) }
    }

    private func compare(_ message: ModelMessage) throws {
        let outcome = try world.load(message.sequence)
        guard case .message(let stored) = outcome else {
            throw Disagreement("message \(message.sequence) cannot be loaded (\(outcome)), \(world.lost): \(message)")
        }
        let name = "message \(message.sequence)"
        try expect("\(name): sequence", stored.sequence, message.sequence)
        try expect("\(name): subject", stored.subject.string, message.subject)
        try expect("\(name): headers", stored.headers.string, message.headerBlock)
        try expect("\(name): body", stored.payload.string, message.body)
        try expect("\(name): time", stored.timeNs, message.timeNs)
    }
}
