// Direct gets: stored messages as messages, one or many, without JSON around them (ADR-31).

import Store
import Wire

extension Stream {
    /// A request to `$JS.API.DIRECT.GET.<stream>` or, for the last message of a subject, `$JS.API.DIRECT.GET.<stream>.<subject>`.
    ///
    /// - Parameter name: of the stream that is asked, where that is another one: its mirror may answer.
    func directGet(_ message: Message, of name: String? = nil) {
        guard !message.reply.isEmpty else { return }
        let headerBytes = min(max(0, message.headerBytes), message.payload.count)
        let level = PublishHeaders(ByteView(message.payload.base, headerBytes)).requiredAPILevel
        let body = ByteView(message.payload.base + headerBytes, message.payload.count - headerBytes)
        if !level.isEmpty && (sequenceNumber(level) ?? UInt64.max) > Stream.apiLevel {
            return status(message.reply, "412 Required Api Level")
        }
        let prefixBytes = "$JS.API.DIRECT.GET.".utf8.count + (name?.utf8.count ?? self.name.count) + 1
        do throws(MessageGetRequest.DirectFailure) {
            let request: MessageGetRequest
            if message.subject.count > prefixBytes {
                let subject = ByteView(message.subject.base + prefixBytes, message.subject.count - prefixBytes).string
                request = try MessageGetRequest.decodeDirect(body, lastBySubject: subject)
            } else {
                request = try MessageGetRequest.decodeDirect(body)
            }
            directGet(request, message.reply)
        } catch {
            status(message.reply, "408 \(error.rawValue)")
        }
    }

    /// What `Nats-Required-Api-Level` may ask for.
    private static let apiLevel: UInt64 = 5

    private func directGet(_ request: MessageGetRequest, _ reply: ByteView) {
        if !request.multiLast.isEmpty || request.batch > 0 {
            // The whole answer is of one moment: that of the next commit, if something is not durable yet.
            let reply = reply.bytes
            return afterCommit { [unowned self] _ in directGetMany(request, reply) }
        }
        if let sequence = durableSequence(of: request), case .message(let message) = log.load(sequence) {
            return send(message, to: reply, noHeaders: request.noHeaders)
        }
        let reply = reply.bytes
        find(request) { [unowned self] message in
            reply.withUnsafeBytes { reply in
                if let message {
                    send(message, to: ByteView(reply), noHeaders: request.noHeaders)
                } else {
                    status(ByteView(reply), "404 Message Not Found")
                }
            }
        }
    }

    /// The short way for what is asked most: the last message of one subject, durable already.
    private func durableSequence(of request: MessageGetRequest) -> UInt64? {
        guard !request.lastBySubject.isEmpty else { return nil }
        var subject = request.lastBySubject
        guard let id = subject.withUTF8({ log.subjects.id(of: ByteView(UnsafeRawBufferPointer($0))) }) else { return nil }
        let last = log.subjects.summary(id).last
        return last <= visibleSequence ? last : nil
    }

    // MARK: Many messages

    private func directGetMany(_ request: MessageGetRequest, _ reply: [UInt8]) {
        var answer = DirectBatch(reply: reply, request: request)
        if request.multiLast.isEmpty {
            guard let first = firstOfBatch(request) else { return status(reply, "404 Message Not Found") }
            answer.filter = filter(request.nextBySubject)
            answer.next = first
            answer.end = visibleSequence
            answer.pending = log.count(from: first, upTo: visibleSequence, filter(request.nextBySubject))
        } else {
            let upTo = lastOfMulti(request)
            answer.upTo = upTo
            guard let sequences = upTo.map({ lastSequences(request.multiLast, upTo: $0) }), !sequences.isEmpty else {
                return status(reply, "404 No Results")
            }
            if sequences.count > DirectBatch.multiMax { return status(reply, "413 Too Many Results") }
            answer.sequences = sequences
            answer.next = sequences[0]
            answer.pending = UInt64(sequences.count)
        }
        send(answer)
    }

    private func firstOfBatch(_ request: MessageGetRequest) -> UInt64? {
        var start = max(request.sequence, log.state.firstSequence)
        if let timeNs = request.startTimeNs {
            guard let first = log.first(atOrAfterNs: timeNs) else { return nil }
            start = first
        }
        return start <= visibleSequence ? log.next(atOrAfter: start, filter(request.nextBySubject), upTo: visibleSequence) : nil
    }

    /// Up to where the last messages are looked for; nil where that is beyond the stream's end, which JetStream answers with nothing.
    private func lastOfMulti(_ request: MessageGetRequest) -> UInt64? {
        if request.upToSequence > 0 { return request.upToSequence <= visibleSequence ? request.upToSequence : nil }
        if let timeNs = request.upToTimeNs, let first = log.first(atOrAfterNs: timeNs) {
            return first > 0 ? min(first - 1, visibleSequence) : nil
        }
        return visibleSequence
    }

    /// The last message of each subject that one of the patterns matches, by sequence; one more than are allowed at most.
    private func lastSequences(_ patterns: [String], upTo limit: UInt64) -> [UInt64] {
        var found: [UInt64] = []
        log.subjects.forEach(SubjectFilter(patterns, log.subjects)) { id, summary in
            guard summary.first <= limit, found.count <= DirectBatch.multiMax else { return }
            if summary.last <= limit {
                found.append(summary.last)
            } else if let last = log.last(upTo: limit, SubjectFilter([log.subjects.subject(id).string], log.subjects)) {
                found.append(last)
            }
        }
        return found.sorted()
    }

    /// Sends one message after the other, and goes on later where one has to be read from the disk.
    private func send(_ batch: DirectBatch) {
        var batch = batch
        while let sequence = batch.next, !batch.isDone {
            switch log.load(sequence) {
            case .reading: return afterLoad { [unowned self, batch] in send(batch) }
            case .message(let message):
                if !batch.request.noHeaders || batch.sequences != nil { batch.pending -= min(1, batch.pending) }
                batch.reply.withUnsafeBytes { reply in
                    send(
                        message, to: ByteView(reply), noHeaders: batch.request.noHeaders && batch.sequences == nil,
                        pending: batch.pending, previous: batch.lastSent)
                }
                batch.lastSent = sequence
                batch.sent += 1
                batch.sentBytes += message.subject.count + message.headers.count + message.payload.count
            case .absent, .failed: break
            }
            batch.next = batch.sequences == nil ? nextOfBatch(batch, behind: sequence) : batch.nextOfSequences()
        }
        scratch.removeAll()
        scratch.append("NATS/1.0 204 EOB\r\nNats-Num-Pending: ")
        scratch.append(batch.pending)
        scratch.append("\r\nNats-Last-Sequence: ")
        scratch.append(batch.lastSent)
        if let upTo = batch.upTo {
            scratch.append("\r\nNats-UpTo-Sequence: ")
            scratch.append(upTo)
        }
        scratch.append("\r\n\r\n")
        batch.reply.withUnsafeBytes { host.publish(ByteView($0), reply: .empty, headers: scratch.view, payload: .empty) }
    }

    private func nextOfBatch(_ batch: DirectBatch, behind sequence: UInt64) -> UInt64? {
        guard let filter = batch.filter, sequence < batch.end else { return nil }
        return log.next(atOrAfter: sequence + 1, filter, upTo: batch.end)
    }

    // MARK: Sending

    /// - Parameter pending: how many are still to come, in a batch.
    private func send(
        _ message: StoredMessage, to reply: ByteView, noHeaders: Bool, pending: UInt64? = nil, previous: UInt64 = 0
    ) {
        if noHeaders { return host.publish(reply, reply: .empty, headers: .empty, payload: message.payload) }
        scratch.removeAll()
        if message.headers.count > 2 {
            scratch.append(ByteView(message.headers.base, message.headers.count - 2))
        } else {
            scratch.append("NATS/1.0\r\n")
        }
        appendStoredHeaders(message.subject, message.sequence, message.timeNs)
        if let pending {
            scratch.append("Nats-Num-Pending: ")
            scratch.append(pending)
            scratch.append("\r\nNats-Last-Sequence: ")
            scratch.append(previous)
            scratch.append("\r\n")
        }
        scratch.append("\r\n")
        host.publish(reply, reply: .empty, headers: scratch.view, payload: message.payload)
    }

    private func status(_ reply: [UInt8], _ text: String) { reply.withUnsafeBytes { status(ByteView($0), text) } }

    private func status(_ reply: ByteView, _ text: String) {
        scratch.removeAll()
        scratch.append("NATS/1.0 ")
        scratch.append(text)
        scratch.append("\r\n\r\n")
        host.publish(reply, reply: .empty, headers: scratch.view, payload: .empty)
    }
}

/// A direct get of many messages on its way.
private struct DirectBatch {
    /// Subjects that one request for last messages may yield.
    static let multiMax = 1024

    let reply: [UInt8]
    let request: MessageGetRequest
    /// The messages themselves, where they have been picked out; else what `filter` lets through up to `end`.
    var sequences: [UInt64]?
    var place = 0
    var filter: SubjectFilter?
    var end: UInt64 = 0
    var next: UInt64?
    var upTo: UInt64?
    /// Still to come.
    var pending: UInt64 = 0
    var lastSent: UInt64 = 0
    var sent = 0
    var sentBytes = 0

    init(reply: [UInt8], request: MessageGetRequest) {
        self.reply = reply
        self.request = request
    }

    var isDone: Bool {
        (request.batch > 0 && sent >= request.batch) || (request.maxBytes > 0 && sentBytes >= request.maxBytes)
    }

    mutating func nextOfSequences() -> UInt64? {
        place += 1
        guard let sequences, place < sequences.count else { return nil }
        return sequences[place]
    }
}
