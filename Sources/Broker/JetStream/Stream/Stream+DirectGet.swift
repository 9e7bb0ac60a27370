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
        if APIMetadata.isBeyond(level) {
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

    private func directGet(_ request: MessageGetRequest, _ reply: ByteView) {
        if !request.multiLast.isEmpty || request.batch != 0 {
            // The whole answer is of one moment: that of the next commit, if something is not durable yet.
            let reply = reply.bytes
            return afterCommit { [unowned self] _ in directGetMany(request, reply) }
        }
        if loadWaits.hasRoom, let sequence = durableSequence(of: request), case .message(let message) = log.load(sequence) {
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
        let start: UInt64, end: UInt64
        if request.multiLast.isEmpty {
            guard let first = startOfBatch(request) else { return status(reply, "404 Message Not Found") }
            (start, end) = (first, visibleSequence)
        } else {
            guard let upTo = lastOfMulti(request) else { return status(reply, "404 No Results") }
            (start, end) = (request.sequence, upTo)
        }
        let batch = DirectBatch(request, from: start, upTo: end, target: host.target(reply, queue: []), self)
        if !begin(batch) { status(reply, "503 Too Many Requests") }
    }

    private func startOfBatch(_ request: MessageGetRequest) -> UInt64? {
        guard let timeNs = request.startTimeNs else { return max(request.sequence, log.state.firstSequence) }
        return log.first(atOrAfterNs: timeNs)
    }

    /// Up to where the last messages are looked for; nil where that is beyond the stream's end, which JetStream answers with nothing.
    private func lastOfMulti(_ request: MessageGetRequest) -> UInt64? {
        if request.upToSequence > 0 { return request.upToSequence <= visibleSequence ? request.upToSequence : nil }
        if let timeNs = request.upToTimeNs, let first = log.first(atOrAfterNs: timeNs) {
            return first > 0 ? min(first - 1, visibleSequence) : nil
        }
        return visibleSequence
    }

    // MARK: Sending

    private func send(_ message: StoredMessage, to reply: ByteView, noHeaders: Bool) {
        if noHeaders { return host.publish(reply, reply: .empty, headers: .empty, payload: message.payload) }
        setDirectHeaders(message)
        host.publish(reply, reply: .empty, headers: scratch.view, payload: message.payload)
    }

    /// Puts the headers of an answer into the scratch: those of the message, and what tells which one it is.
    ///
    /// - Parameters:
    ///   - pending: in a batch, how many are still to come.
    ///   - previous: in a batch, the sequence that was sent before.
    func setDirectHeaders(_ message: StoredMessage, pending: UInt64? = nil, previous: UInt64 = 0) {
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
