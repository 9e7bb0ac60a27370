// What the publisher of a fast batch should be told: each message is stored as it comes, and it hears only now and then.

@testable import Broker

/// Where a message stands in its batch, as its reply says.
struct FastPlace {
    enum Operation: Int { case start, append, commit, endOfBatch, ping }

    var id: String
    var flow: Int
    var allowsGaps: Bool
    var sequence: Int
    var operation: Operation

    /// What stands behind the inbox.
    var text: String { "\(id).\(flow).\(allowsGaps ? "ok" : "fail").\(sequence).\(operation.rawValue).$FI" }
}

/// A batch that has begun.
struct FastBatchModel {
    var allowsGaps: Bool
    var flow: Int
    /// The last message that came, and the last that the publisher was told of.
    var sequence = 0
    var told = 0
    /// After how many it is told next.
    var every: Int
    var lastStored: UInt64 = 0
    var endsNs: Int64 = 0
}

/// What a publisher of a fast batch is told.
enum FastAnswer: Equatable {
    case ack(Int, every: Int)
    case gap(expected: Int, got: Int)
    case failed(Int, code: Int)
    case finished(UInt64, id: String, count: Int)
    case refused(Int)
}

extension StreamModel {
    mutating func fast(_ attempt: Attempt, _ place: FastPlace, nowNs: Int64) -> [FastAnswer] {
        fastBatches = fastBatches.filter { $0.value.endsNs > nowNs }
        if !config.allowBatchPublish { return [.refused(10205)] }
        let isFirst = place.operation == .start, isLater = place.operation == .append || place.operation == .endOfBatch
        if isFirst && place.sequence != 1 || isLater && place.sequence == 1 { return [.refused(10206)] }
        if place.id.utf8.count > 64 { return [.refused(10207)] }
        var attempt = attempt
        attempt.subject = transformed(attempt.subject)
        var answers: [FastAnswer] = []
        guard var batch = fastBatches[place.id] else {
            guard place.sequence == 1, place.operation == .start || place.operation == .commit else { return [.refused(10208)] }
            let flow = place.flow == 0 ? 10 : min(place.flow, 500)
            var batch = FastBatchModel(allowsGaps: place.allowsGaps, flow: flow, every: fastBatches.isEmpty ? flow : 1)
            batch.sequence = 1
            if isFirst { answers.append(.ack(0, every: batch.every)) }
            return answers + take(attempt, place, &batch, nowNs)
        }
        if place.operation == .ping {
            if place.sequence > batch.sequence {
                answers.append(.gap(expected: batch.sequence + 1, got: place.sequence + 1))
                if !batch.allowsGaps { return answers + finish(place.id, batch, count: batch.sequence) }
                batch.sequence = place.sequence
                _ = batch.ackDue()
            }
            batch.endsNs = nowNs + StreamModel.batchIdleNs
            fastBatches[place.id] = batch
            return answers + [.ack(batch.told, every: batch.every)]
        }
        if place.sequence != batch.sequence + 1 {
            answers.append(.gap(expected: batch.sequence + 1, got: place.sequence))
            if !batch.allowsGaps || place.sequence <= batch.sequence {
                return answers + finish(place.id, batch, count: batch.sequence)
            }
        }
        batch.sequence = place.sequence
        return answers + take(attempt, place, &batch, nowNs)
    }

    /// Stores one message of a batch, or ends it.
    private mutating func take(
        _ attempt: Attempt, _ place: FastPlace, _ batch: inout FastBatchModel, _ nowNs: Int64
    ) -> [FastAnswer] {
        batch.endsNs = nowNs + StreamModel.batchIdleNs
        fastBatches[place.id] = batch
        if place.operation == .endOfBatch { return finish(place.id, batch, count: batch.sequence - 1) }
        do throws(Refusal) {
            let checked = try check(attempt, nowNs: nowNs)
            if checked.duplicateOf == nil {
                try checkRoom(checked)
                batch.lastStored = store(checked, nowNs: nowNs)
            }
        } catch {
            if !batch.allowsGaps && batch.sequence == 1 {
                fastBatches[place.id] = nil
                return [.refused(error.code)]
            }
            let failed = FastAnswer.failed(batch.sequence, code: error.code)
            if place.operation != .commit && batch.allowsGaps { return [failed] }
            return [failed] + finish(place.id, batch, count: batch.sequence - 1)
        }
        if place.operation == .commit { return finish(place.id, batch, count: batch.sequence) }
        let due = batch.ackDue()
        fastBatches[place.id] = batch
        return due.map { [.ack($0, every: batch.every)] } ?? []
    }

    private mutating func finish(_ id: String, _ batch: FastBatchModel, count: Int) -> [FastAnswer] {
        fastBatches[id] = nil
        return [.finished(batch.lastStored, id: id, count: count)]
    }
}

extension FastBatchModel {
    mutating func ackDue() -> Int? {
        guard sequence - told >= every else { return nil }
        told += (sequence - told) / every * every
        every = min(every * 2, flow)
        return told
    }
}
