// Fast batches (ADR-50): each message is stored as it comes, and the publisher is told only now and then how far it has come.

import Store
import Wire

extension Stream {
    func receiveFast(_ publish: inout Publish, _ place: FastBatchPlace) {
        let reply = publish.reply
        if !config.allowBatchPublish { return refuse(reply, .batchPublishDisabled) }
        guard let content = place.content else { return refuse(reply, .batchPublishInvalidPattern) }
        if content.id.count > 64 { return refuse(reply, .batchPublishInvalidBatchID) }
        guard let batch = fastBatches[content.id.bytes] else { return beginFast(&publish, content) }
        batch.deadlineNs = host.now.monotonicNs &+ settings.fastBatchTimeoutNs
        if content.operation == .ping { return answerPing(batch, content, reply) }
        guard follow(batch, content.sequence, reply) else { return }
        handle(&publish, content, batch)
    }

    private func beginFast(_ publish: inout Publish, _ content: FastBatchPlace.Content) {
        guard content.sequence == 1, content.operation == .start || content.operation == .commit else {
            return refuse(publish.reply, .batchPublishUnknownBatchID)
        }
        if fastBatches.count >= settings.fastBatchesMax { return refuse(publish.reply, .batchPublishTooManyInflight) }
        let batch = FastBatch(content, isAlone: fastBatches.isEmpty)
        batch.sequence = 1
        batch.deadlineNs = host.now.monotonicNs &+ settings.fastBatchTimeoutNs
        fastBatches[batch.id] = batch
        if content.operation == .start { answer(publish.reply, ack: 0, batch) }
        handle(&publish, content, batch)
    }

    /// Stores one message of a batch, or ends it.
    private func handle(_ publish: inout Publish, _ content: FastBatchPlace.Content, _ batch: FastBatch) {
        if content.operation == .endOfBatch {
            return finish(batch, count: batch.sequence - 1, publish.reply)
        }
        do throws(APIError) {
            switch try process(&publish) {
            case .stored(let sequence): batch.lastStored = sequence
            case .duplicate: break
            }
        } catch {
            return fail(batch, content, publish.reply, error)
        }
        if content.operation == .commit { return finish(batch, count: batch.sequence, publish.reply) }
        if let sequence = batch.ackDue() { answer(publish.reply, ack: sequence, batch) }
    }

    private func fail(_ batch: FastBatch, _ content: FastBatchPlace.Content, _ reply: ByteView, _ error: APIError) {
        if !batch.allowsGaps && batch.sequence == 1 {
            fastBatches[batch.id] = nil
            return refuse(reply, error)
        }
        answer(reply, "err") { json in
            json.member("seq", batch.sequence)
            json.name("error")
            error.write(to: &json)
        }
        if content.operation == .commit || !batch.allowsGaps { finish(batch, count: batch.sequence - 1, reply) }
    }

    /// Whether a message is the next one, or may leave some out.
    private func follow(_ batch: FastBatch, _ sequence: UInt64, _ reply: ByteView) -> Bool {
        let expected = batch.sequence + 1
        if sequence == expected {
            batch.sequence = sequence
            return true
        }
        answerGap(reply, expected: expected, got: sequence)
        guard batch.allowsGaps && sequence > expected else {
            finish(batch, count: batch.sequence, reply)
            return false
        }
        batch.sequence = sequence
        return true
    }

    /// A ping names the last message that was sent.
    private func answerPing(_ batch: FastBatch, _ content: FastBatchPlace.Content, _ reply: ByteView) {
        if content.sequence > batch.sequence {
            answerGap(reply, expected: batch.sequence + 1, got: content.sequence &+ 1)
            guard batch.allowsGaps else { return finish(batch, count: batch.sequence, reply) }
            batch.sequence = content.sequence
            _ = batch.ackDue()
        }
        answer(reply, ack: batch.acknowledged, batch)
    }

    private func finish(_ batch: FastBatch, count: UInt64, _ reply: ByteView) {
        fastBatches[batch.id] = nil
        scratch.removeAll()
        scratch.append(",\"batch\":")
        scratch.append(JSONValue.string(String(decoding: batch.id, as: UTF8.self)).serialized())
        scratch.append(",\"count\":")
        scratch.append(count)
        scratch.append("}")
        acknowledge(reply, batch.lastStored, scratch.view)
    }

    // MARK: Answers

    /// In order with the acks: what they speak of is durable when they go out.
    private func answer(_ reply: ByteView, _ type: String, _ members: (inout JSONWriter) -> Void) {
        var json = JSONWriter()
        json.beginObject()
        json.member("type", type)
        members(&json)
        json.endObject()
        answerAfterCommit(reply, json.take())
    }

    private func answer(_ reply: ByteView, ack sequence: UInt64, _ batch: FastBatch) {
        answer(reply, "ack") { json in
            json.member("seq", sequence)
            json.member("msgs", batch.messages)
        }
    }

    private func answerGap(_ reply: ByteView, expected: UInt64, got: UInt64) {
        answer(reply, "gap") { json in
            json.member("last_seq", expected)
            json.member("seq", got)
        }
    }

    func forgetIdleFastBatches() {
        guard !fastBatches.isEmpty else { return }
        let nowNs = host.now.monotonicNs
        for (id, batch) in fastBatches where batch.deadlineNs <= nowNs { fastBatches[id] = nil }
    }

    var fastBatchDeadlineNs: UInt64? { fastBatches.isEmpty ? nil : fastBatches.values.lazy.map(\.deadlineNs).min() }
}
