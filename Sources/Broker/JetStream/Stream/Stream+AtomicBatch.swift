// Atomic batches (ADR-50): messages that are kept aside until the last one comes, and are then stored all or not at all.

import Store
import Wire

extension Stream {
    private enum Commit {
        case none
        /// The message that says so is the last one.
        case stored
        /// It only ends the batch.
        case endOfBatch
    }

    func receiveAtomic(_ publish: Publish) {
        do throws(APIError) {
            try stage(publish)
        } catch {
            refuse(publish.reply, error)
        }
    }

    private func stage(_ publish: Publish) throws(APIError) {
        var publish = publish
        let known = publish.known
        if !config.allowAtomicPublish { throw .atomicPublishDisabled }
        if known.batchID.count > 64 { throw .atomicPublishInvalidBatchID }
        guard let sequence = sequenceNumber(known.batchSequence) else { throw .atomicPublishMissingSequence }
        let commit = try commitKind(known, sequence)
        let batch = try batch(known, at: sequence)
        let stored = commit == .endOfBatch && sequence > 0 ? sequence - 1 : sequence
        if stored > UInt64(settings.atomicBatchMessagesMax) {
            if let batch { abandon(batch, .large) }
            throw .atomicPublishTooLargeBatch(settings.atomicBatchMessagesMax)
        }
        guard let batch else { throw .atomicPublishIncompleteBatch }
        if commit == .endOfBatch && sequence == 1 {
            abandon(batch, .incomplete)
            throw .atomicPublishIncompleteBatch
        }
        atomicBatches.touch(batch, deadlineNs: host.now.monotonicNs &+ settings.atomicBatchTimeoutNs)
        // It has had its say.
        if !known.requiredAPILevel.isEmpty { edit(&publish) { $0.remove("Nats-Required-Api-Level") } }
        if commit != .endOfBatch { atomicBatches.append(publish, to: batch) }
        if isOverfull {
            abandon(batch, .large)
            throw .atomicPublishTooManyInflight
        }
        if batch.bytes > settings.atomicBatchBytesMax {
            abandon(batch, .large)
            throw .atomicPublishTooLargeBatch(settings.atomicBatchMessagesMax)
        }
        guard commit != .none else {
            if !publish.reply.isEmpty && !config.noAck {
                host.publish(publish.reply, reply: .empty, headers: .empty, payload: .empty)
            }
            return
        }
        atomicBatches.remove(batch)
        let last = try store(batch, isEndOfBatch: commit == .endOfBatch)
        scratch.removeAll()
        if let value = last.value {
            scratch.append(",\"val\":\"")
            scratch.append(value.description)
            scratch.append("\"")
        }
        scratch.append(",\"batch\":")
        scratch.append(quoted(batch.id))
        scratch.append(",\"count\":")
        scratch.append(UInt64(batch.messages.count))
        scratch.append("}")
        acknowledge(publish.reply, last.sequence, scratch.view)
    }

    private func commitKind(_ known: PublishHeaders, _ sequence: UInt64) throws(APIError) -> Commit {
        if known.batchCommit.isEmpty { return .none }
        if known.batchCommit.equals("1") { return .stored }
        if known.batchCommit.equals("eob") { return .endOfBatch }
        // The batch is over, and nats-server does not say so to anybody else.
        if let batch = atomicBatches.find(known.batchID) { atomicBatches.remove(batch) }
        throw .atomicPublishInvalidBatchCommit
    }

    /// The batch that a message belongs to: a new one if it is the first. nil where it is not the next one of any.
    private func batch(_ known: PublishHeaders, at sequence: UInt64) throws(APIError) -> AtomicBatch? {
        let found = atomicBatches.find(known.batchID)
        if found == nil {
            if sequence != 1 { return nil }
            if atomicBatches.count >= settings.atomicBatchesMax { throw .atomicPublishTooManyInflight }
        }
        let batch = found ?? atomicBatches.begin(known.batchID)
        if APIMetadata.isBeyond(known.requiredAPILevel) {
            abandon(batch, .unsupported)
            throw .requiredAPILevel
        }
        if sequence == batch.sequence + 1 { return batch }
        abandon(batch, .incomplete)
        throw .atomicPublishIncompleteBatch
    }

    // MARK: Committing

    /// Checks all messages, each against what those before it will have done, and stores them if none is refused.
    private func store(_ batch: AtomicBatch, isEndOfBatch: Bool) throws(APIError) -> (sequence: UInt64, value: DecimalInteger?)
    {
        staging = BatchStaging()
        defer { staging = nil }
        var messages = batch.messages
        for index in messages.indices { try checkInBatch(&messages[index]) }
        staging = nil
        guard let last = messages.indices.last else { throw .atomicPublishIncompleteBatch }
        try checkRoom(messages)
        if isEndOfBatch { edit(&messages[last]) { $0.add("Nats-Batch-Commit", "1") } }
        // Recovery waits for the last one that is in the log: what nobody is interested in is not.
        let lastStored = messages.lastIndex { isWanted($0) } ?? 0
        for index in messages.indices { messages[index].batchContinues = index < lastStored }
        for index in messages.indices {
            do throws(APIError) {
                try append(&messages[index])
            } catch {
                // The log is full or broken in the middle: what went in comes out in the same commit.
                for message in messages[..<index] where message.isStored { discard(message.storedSequence) }
                throw error
            }
        }
        makeRoom(messages)
        return (messages[last].storedSequence, messages[last].counterValue)
    }

    /// Whether batches hold more than they may together.
    private var isOverfull: Bool {
        atomicBatches.bytes > settings.atomicBatchesBytesMax || batchBytesInAccount() > settings.accountBatchesBytesMax
    }

    /// Whether account and server have room for all of a batch.
    private func checkRoom(_ messages: [Publish]) throws(APIError) {
        guard let roomForBytes else { return }
        var staged = 0, last = 0
        for message in messages where isWanted(message) {
            staged += last
            last = storedBytes(message.subject.count, message.headers.count, message.body.count)
        }
        if let error = roomForBytes(staged, last) { throw error }
    }

    /// Limits, rollups and ends of schedules take effect as if the messages had come one after the other: what came later is
    /// in the log already, and does not count yet.
    private func makeRoom(_ messages: [Publish]) {
        func bytes(_ message: Publish) -> Int {
            storedBytes(message.subject.count, message.headers.count, message.body.count)
        }
        var later = BatchStaging()
        for message in messages where message.isStored { later.add(message, bytes: bytes(message)) }
        for message in messages {
            if let schedule = message.endedSchedule { discard(schedule) }
            guard message.isStored else { continue }
            later.remove(message, bytes: bytes(message))
            makeRoom(message, before: later)
        }
    }

    private func checkInBatch(_ publish: inout Publish) throws(APIError) {
        try check(&publish)
        if seenBefore(publish) != nil || staging?.has(messageID: publish.known.messageID) == true {
            throw .atomicPublishContainsDuplicateMessage
        }
        try checkFurther(&publish)
        try checkRoom(publish)
        let bytes = storedBytes(publish.subject.count, publish.headers.count, publish.body.count)
        staging?.add(publish, bytes: bytes)
    }

    private func quoted(_ id: [UInt8]) -> [UInt8] {
        var json = JSONWriter()
        json.value(String(decoding: id, as: UTF8.self))
        return json.take()
    }

    // MARK: Giving up

    enum Abandonment: String { case timeout, large, incomplete, unsupported }

    func abandon(_ batch: AtomicBatch, _ reason: Abandonment) {
        atomicBatches.remove(batch)
        advise(abandoned: batch, reason)
    }

    private func advise(abandoned batch: AtomicBatch, _ reason: Abandonment) {
        let subject = Array("$JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.\(config.name)".utf8)
        subject.withUnsafeBytes { subject in
            guard host.hasInterest(ByteView(subject)) else { return }
            var json = JSONWriter()
            json.beginObject()
            json.member("type", "io.nats.jetstream.advisory.v1.stream_batch_abandoned")
            json.member("id", advisoryID())
            json.time("timestamp", host.now.wallNs)
            json.member("stream", config.name)
            if !settings.domain.isEmpty { json.member("domain", settings.domain) }
            json.member("batch", String(decoding: batch.id, as: UTF8.self))
            json.member("reason", reason.rawValue)
            json.endObject()
            publish(json.take(), to: ByteView(subject))
        }
    }

    /// 22 digits of base 62, as nats-server's.
    private func advisoryID() -> String {
        let digits = Array("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
        var text = ""
        var bits: UInt64 = 0
        for place in 0..<22 {
            if place % 10 == 0 { bits = host.random() }
            text.append(digits[Int(bits % 62)])
            bits /= 62
        }
        return text
    }

    func abandonIdleBatches() {
        for batch in atomicBatches.takeExpired(host.now.monotonicNs) { advise(abandoned: batch, .timeout) }
    }
}
