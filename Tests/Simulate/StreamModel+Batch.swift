// What should become of an atomic batch: nothing until its last message, then all of it or nothing.

@testable import Broker

extension StreamModel {
    static let batchIdleNs: Int64 = 10_000_000_000

    mutating func batch(_ attempt: Attempt, _ id: String, nowNs: Int64) -> Answer {
        do throws(Refusal) {
            return try stage(attempt, id, nowNs: nowNs)
        } catch {
            return .error(error.code)
        }
    }

    private mutating func stage(_ attempt: Attempt, _ id: String, nowNs: Int64) throws(Refusal) -> Answer {
        batches = batches.filter { nowNs - $0.value.timeNs < StreamModel.batchIdleNs }
        if !config.allowAtomicPublish { throw Refusal(10174) }
        if id.utf8.count > 64 { throw Refusal(10179) }
        guard let sequence = attempt.header("Nats-Batch-Sequence").flatMap({ Int($0) }) else { throw Refusal(10175) }
        let commit = attempt.header("Nats-Batch-Commit")
        if let commit, commit != "1", commit != "eob" {
            batches[id] = nil
            throw Refusal(10200)
        }
        guard sequence == (batches[id]?.messages.count ?? 0) + 1 else {
            batches[id] = nil
            throw Refusal(10176)
        }
        var messages = batches[id]?.messages ?? []
        if commit != "eob" { messages.append(attempt) }
        guard commit != nil else {
            batches[id] = (messages, nowNs)
            return .empty
        }
        batches[id] = nil
        if messages.isEmpty { throw Refusal(10176) }
        return try commitBatch(messages, id, endsApart: commit == "eob", nowNs: nowNs)
    }

    private mutating func commitBatch(
        _ messages: [Attempt], _ id: String, endsApart: Bool, nowNs: Int64
    ) throws(Refusal) -> Answer {
        // As if they were stored one after the other, in a stream that nobody sees.
        var trial = self
        trial.onRemoved = { _ in }
        trial.recent = nil
        // Nor does it ask who is interested.
        trial.isWanted = { _ in true }
        trial.onPurged = { _, _ in }
        var all: [Checked] = []
        var subjects: Set<String> = []
        for attempt in messages {
            all.append(try checkInBatch(attempt, trial, subjects, isFirst: all.isEmpty, nowNs: nowNs))
            if endsApart && all.count == messages.count {
                all[all.count - 1].message.headers.append(("Nats-Batch-Commit", "1"))
            }
            _ = trial.store(all[all.count - 1], nowNs: nowNs, isInBatch: true)
            subjects.insert(attempt.subject)
        }
        let before = republished
        for checked in all { _ = store(checked, nowNs: nowNs) }
        // What came before on a subject is told as of the beginning: the batch goes in as one.
        republished = before
        republished += trial.republished[before.count...].filter {
            config.retention != .interest || isWanted(String($0.subject.dropFirst(6)))
        }
        return .batch(lastSequence, id: id, count: all.count, value: all[all.count - 1].value)
    }

    private func checkInBatch(
        _ attempt: Attempt, _ trial: StreamModel, _ subjects: Set<String>, isFirst: Bool, nowNs: Int64
    ) throws(Refusal) -> Checked {
        let other = attempt.header("Nats-Expected-Last-Subject-Sequence-Subject") ?? attempt.subject
        if attempt.header("Nats-Expected-Last-Subject-Sequence") != nil, subjects.contains(where: { matches(other, $0) }) {
            // Where several rules are broken, what the earlier checks say comes first.
            do throws(Refusal) {
                _ = try trial.check(attempt, nowNs: nowNs, isInBatch: true)
            } catch  where [10109, 10054, 10169, 10171, 10168, 10170, 10060, 10166, 10165].contains(error.code) {
                throw error
            } catch {}
            throw Refusal(10164)
        }
        let checked = try trial.check(attempt, nowNs: nowNs, isLaterInBatch: !isFirst, isInBatch: true)
        if checked.duplicateOf != nil { throw Refusal(10201) }
        if checked.rollup == "sub" && subjects.contains(attempt.subject) { throw Refusal(10111) }
        if checked.rollup == "all" && !isFirst { throw Refusal(10111) }
        try trial.checkRoom(checked)
        return checked
    }
}
