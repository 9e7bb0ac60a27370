// One direct get of many messages on its way: finds them, counts them and sends one after the other, as fast as they are taken.

import Store
import Wire

/// The whole answer is of the moment at which it began: of what was durable then.
final class DirectBatch: LongAnswer {
    /// Subjects that one request for last messages may yield.
    static let multiMax = 1024
    /// What one answer holds at most where the request does not say: what nats-server lets wait for one client.
    private static let bytesMax = 64 << 20
    /// Entries of the index that are looked at between two looks at the steps that are left.
    private static let scanned: UInt64 = 2_048

    private enum Phase {
        case finding, counting, collecting, sending
    }

    private let target: DeliveryTarget
    private let request: MessageGetRequest
    private let filter: SubjectFilter
    private let isMulti: Bool
    /// The filter leads from message to message without looking at others.
    private let isChained: Bool
    /// Nothing behind it is shown.
    private let end: UInt64
    private let bytesMax: Int
    private var phase: Phase
    /// Where the search for the next message goes on, or the count.
    private var from: UInt64
    /// The next message, where it has been found already.
    private var next: UInt64?
    /// Still to come.
    private var pending: UInt64 = 0
    private var lastSent: UInt64 = 0
    private var sent = 0
    private var sentBytes = 0

    // MARK: The last messages of subjects

    private var literals: [String] = []
    /// The number of the subject that is looked at next.
    private var subject: SubjectID? = 1
    private var found: Set<UInt64> = []
    private var sequences: [UInt64] = []
    private var place = 0

    /// - Parameters:
    ///   - start: where the search begins.
    ///   - end: the last sequence that may be shown; for last messages, the one up to which they are the last.
    init(_ request: MessageGetRequest, from start: UInt64, upTo end: UInt64, target: DeliveryTarget, _ stream: Stream) {
        self.request = request
        self.target = target
        self.end = end
        from = start
        bytesMax = request.maxBytes == 0 ? DirectBatch.bytesMax : request.maxBytes
        isMulti = !request.multiLast.isEmpty
        if isMulti {
            literals = request.multiLast.filter(SubjectText.isLiteral)
            let patterns = request.multiLast.filter { !SubjectText.isLiteral($0) }
            if patterns.isEmpty { subject = nil }
            filter = SubjectFilter(patterns, stream.log.subjects)
            isChained = true
            phase = .collecting
        } else {
            filter = stream.filter(request.nextBySubject)
            isChained = filter.isEverything || filter.literal != nil
            // A negative number asks for none, and is told how many there are.
            phase = request.batch < 0 ? .counting : .finding
        }
    }

    func proceed(_ stream: Stream, _ steps: inout Int) -> AnswerEnd {
        while steps > 0 {
            switch phase {
            case .finding:
                guard find(stream, &steps) else { return .steps }
                guard let next else { return finish(stream, "NATS/1.0 404 Message Not Found\r\n\r\n") }
                from = next
                phase = .counting
            case .counting:
                guard count(stream, &steps) else { return .steps }
                phase = .sending
            case .collecting:
                guard collect(stream, &steps) else { return .steps }
                if found.isEmpty { return finish(stream, "NATS/1.0 404 No Results\r\n\r\n") }
                if found.count > DirectBatch.multiMax { return finish(stream, "NATS/1.0 413 Too Many Results\r\n\r\n") }
                sequences = found.filter { $0 >= from }.sorted()
                found = []
                pending = UInt64(sequences.count)
                phase = .sending
            case .sending: return send(stream, &steps)
            }
        }
        return .steps
    }

    private func finish(_ stream: Stream, _ status: StaticString) -> AnswerEnd {
        stream.scratch.removeAll()
        stream.scratch.append(status)
        deliver(stream, payload: .empty)
        return .finished
    }

    /// Sends what is in the stream's scratch as headers. False: nobody listens any more.
    @discardableResult
    private func deliver(_ stream: Stream, payload: ByteView) -> Bool {
        target.subject.withUnsafeBytes { subject in
            stream.host.deliver(
                Delivery(subject: ByteView(subject), reply: .empty, headers: stream.scratch.view, payload: payload), to: target)
        }
    }

    // MARK: Finding

    /// The next message from `from` on. False: the steps are used up before.
    private func find(_ stream: Stream, _ steps: inout Int) -> Bool {
        let log = stream.log
        if isChained {
            steps -= 1
            next = from <= end ? log.next(atOrAfter: from, filter, upTo: end) : nil
            return true
        }
        while from <= end {
            if steps <= 0 { return false }
            let reach = min(end, from &+ DirectBatch.scanned)
            next = log.next(atOrAfter: from, filter, upTo: reach)
            steps -= 1 + Int((next ?? reach) - from)
            if next != nil { return true }
            guard skip(behind: reach, stream) else { break }
        }
        next = nil
        from = end &+ 1
        return true
    }

    /// How many messages there are from `from` on. Leaves it where the first one is.
    private func count(_ stream: Stream, _ steps: inout Int) -> Bool {
        let log = stream.log
        if isChained {
            steps -= 1
            pending = from <= end ? log.count(from: from, upTo: end, filter) : 0
            return true
        }
        while from <= end {
            if steps <= 0 { return false }
            let reach = min(end, from &+ DirectBatch.scanned)
            pending += log.count(from: from, upTo: reach, filter)
            steps -= 1 + Int(reach - from)
            guard skip(behind: reach, stream) else { break }
        }
        return true
    }

    /// Goes on behind a sequence, and over what is missing there: gaps may be of any size. False: that was the end.
    private func skip(behind reach: UInt64, _ stream: Stream) -> Bool {
        guard reach < end, let following = stream.log.next(atOrAfter: reach + 1, stream.everything, upTo: end) else {
            return false
        }
        from = following
        return true
    }

    // MARK: Last messages

    /// The last message of each subject that one of the patterns matches; one more than are allowed at most.
    private func collect(_ stream: Stream, _ steps: inout Int) -> Bool {
        let subjects = stream.log.subjects
        while found.count <= DirectBatch.multiMax, var literal = literals.popLast() {
            steps -= 8
            if let id = literal.withUTF8({ subjects.id(of: ByteView(UnsafeRawBufferPointer($0))) }) {
                collect(id, subjects.summary(id), stream, &steps)
            }
            if steps <= 0 { return false }
        }
        let cost = max(1, filter.patterns.count / 4)
        while found.count <= DirectBatch.multiMax, let from = subject {
            if steps <= 0 { return false }
            let looked = min(256, steps / cost + 1)
            var inside = 0
            subject = subjects.forEach(filter, from: from, count: looked) { id, summary in
                if found.count <= DirectBatch.multiMax { collect(id, summary, stream, &inside) }
            }
            steps += inside - looked * cost
        }
        return true
    }

    private func collect(_ id: SubjectID, _ summary: SubjectSummary, _ stream: Stream, _ steps: inout Int) {
        guard summary.count > 0, summary.first <= end else { return }
        if summary.last <= end {
            found.insert(summary.last)
            return
        }
        steps -= 64
        let only = SubjectFilter([stream.log.subjects.subject(id).string], stream.log.subjects)
        if let last = stream.log.last(upTo: end, only) { found.insert(last) }
    }

    // MARK: Sending

    private var isDone: Bool {
        (request.batch != 0 && sent >= request.batch && !(isMulti && request.batch < 0)) || (sent > 0 && sentBytes >= bytesMax)
    }

    private func send(_ stream: Stream, _ steps: inout Int) -> AnswerEnd {
        while !isDone {
            if steps <= 0 { return .steps }
            if isMulti {
                next = place < sequences.count ? sequences[place] : nil
            } else if next == nil, !find(stream, &steps) {
                return .steps
            }
            guard let sequence = next else { break }
            if stream.host.isCongested(target) { return .congested }
            switch stream.log.load(sequence) {
            case .reading: return .reading
            case .message(let message):
                guard send(message, stream) else { return .finished }
                steps -= 32 + (message.headers.count + message.payload.count) / 64
            case .absent, .failed: steps -= 4
            }
            place += 1
            from = sequence + 1
            next = nil
        }
        finishBatch(stream)
        return .finished
    }

    /// False: whoever asked is gone.
    private func send(_ message: StoredMessage, _ stream: Stream) -> Bool {
        let bytes = message.subject.count + message.headers.count + message.payload.count
        if isMulti || !request.noHeaders {
            pending -= min(1, pending)
            stream.setDirectHeaders(message, pending: pending, previous: lastSent)
        } else {
            stream.scratch.removeAll()
        }
        guard deliver(stream, payload: message.payload) else { return false }
        lastSent = message.sequence
        sent += 1
        sentBytes += bytes
        return true
    }

    private func finishBatch(_ stream: Stream) {
        let scratch = stream.scratch
        scratch.removeAll()
        scratch.append("NATS/1.0 204 EOB\r\nNats-Num-Pending: ")
        scratch.append(pending)
        scratch.append("\r\nNats-Last-Sequence: ")
        scratch.append(lastSent)
        if isMulti {
            scratch.append("\r\nNats-UpTo-Sequence: ")
            scratch.append(end)
        }
        scratch.append("\r\n\r\n")
        deliver(stream, payload: .empty)
    }
}
