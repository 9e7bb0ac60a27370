// Compares a copy of the stream with all that the stream has ever held.

import Store
import Wire

@testable import Broker

extension Simulation {
    /// A copy is given so long after it had to begin anew.
    private static let copySlackNs: UInt64 = 15_000_000_000

    func compareCopy(isWhole: Bool) throws {
        guard let copy = world.copy, let history = model.recent else { return }
        let log = copy.stream.log
        if isWhole { (copied, copiedEnd) = ([], 0) }
        var sequence = max(copiedEnd + 1, log.state.firstSequence)
        while sequence <= log.state.lastSequence {
            if log.contains(sequence) { try compareCopied(sequence, copy, history) }
            sequence += 1
        }
        copiedEnd = log.state.lastSequence
        let nowNs = world.now
        guard nowNs.monotonicNs - copy.disturbedNs > Simulation.copySlackNs else { return }
        for message in model.messages where nowNs.wallNs - message.timeNs > Int64(Simulation.copySlackNs) {
            guard copied.contains(message.sequence) || copiedSubject(message.subject, copy) == nil else {
                throw Disagreement("the copy lacks \(message), its last sequence is \(log.state.lastSequence)")
            }
        }
    }

    /// What a message's subject is in the copy; nil: it is left out.
    private func copiedSubject(_ subject: String, _ copy: CopyWorld) -> String? {
        guard let transform = copy.config.sources.first?.subjectTransforms.first else { return subject }
        return matches(transform.source, subject) ? "copied." + subject.split(separator: ".")[1] : nil
    }

    private func compareCopied(_ sequence: UInt64, _ copy: CopyWorld, _ history: [ModelMessage]) throws {
        for _ in 0..<10 {
            if case .reading = copy.stream.log.load(sequence) { try world.quiesce() } else { break }
        }
        guard case .message(let stored) = copy.stream.log.load(sequence) else { throw Disagreement("\(sequence) of the copy") }
        var headers = StreamModel.headers(stored.headers.string), original = sequence
        if copy.config.mirror == nil {
            guard let value = headers.popLast(), value.name == "Nats-Stream-Source",
                let position = Array(value.value.utf8).withUnsafeBytes({ SourceHeader.read(ByteView($0)) })?.position
            else { throw Disagreement("message \(sequence) of the copy does not say where it is from") }
            original = position.sequence
        }
        guard copied.insert(original).inserted, copied.count < 2 || original > copiedOriginal else {
            throw Disagreement("\(original) is copied behind \(copiedOriginal)")
        }
        copiedOriginal = original
        var low = 0, high = history.count
        while low < high {
            let middle = (low + high) / 2
            if history[middle].sequence < original { low = middle + 1 } else { high = middle }
        }
        guard low < history.count, history[low].sequence == original else {
            throw Disagreement("\(original) is copied and was never there")
        }
        let message = history[low], name = "copy of \(original)"
        var expected = message.headers
        if copy.config.mirror == nil {
            expected.removeAll { $0.name.hasPrefix("Nats-Expected-") || $0.name.hasPrefix("Nats-Batch-") }
        } else {
            try expect("\(name): time", stored.timeNs, message.timeNs)
        }
        try expect("\(name): subject", stored.subject.string, copiedSubject(message.subject, copy))
        try expect("\(name): body", stored.payload.string, message.body)
        guard headers.elementsEqual(expected, by: { $0 == $1 }) else {
            throw Disagreement("\(name) has the headers \(headers), the model says \(expected)")
        }
    }
}
