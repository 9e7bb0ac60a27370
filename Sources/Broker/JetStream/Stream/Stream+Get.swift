// Reads stored messages on request: STREAM.MSG.GET, and what it shares with direct gets.

import Store
import Wire

extension Stream {
    /// STREAM.MSG.GET.
    func getMessage(_ body: ByteView, _ answer: @escaping ([UInt8]) -> Void) {
        let request: MessageGetRequest
        do throws(APIError) {
            request = try MessageGetRequest.decode(body)
        } catch {
            return answer(APIResponse.failure(.messageGet, error))
        }
        find(request) { message in
            guard let message else { return answer(APIResponse.failure(.messageGet, .noMessageFound)) }
            answer(
                APIResponse.message(
                    APIMessage(
                        subject: message.subject, sequence: message.sequence,
                        headers: request.noHeaders ? .empty : message.headers, payload: message.payload,
                        timeNs: message.timeNs)))
        }
    }

    /// Passes on the message that a request asks for, or nil. What a crash could still take back is shown only once it is durable.
    func find(_ request: MessageGetRequest, _ found: @escaping (StoredMessage?) -> Void) {
        guard let sequence = sequence(of: request, upTo: UInt64.max) else { return found(nil) }
        if sequence <= visibleSequence { return load(sequence, found) }
        afterCommit { [unowned self] _ in
            // It may have gone meanwhile, or the commit failed; then what is durable counts.
            guard let sequence = self.sequence(of: request, upTo: visibleSequence) else { return found(nil) }
            load(sequence, found)
        }
    }

    private func sequence(of request: MessageGetRequest, upTo limit: UInt64) -> UInt64? {
        if !request.lastBySubject.isEmpty { return last(request.lastBySubject, upTo: limit) }
        var start = max(request.sequence, log.state.firstSequence)
        if let timeNs = request.startTimeNs {
            guard let first = log.first(atOrAfterNs: timeNs) else { return nil }
            start = first
        } else if request.nextBySubject.isEmpty && request.batch == 0 {
            return request.sequence <= limit && log.contains(request.sequence) ? request.sequence : nil
        }
        let end = min(limit, log.state.lastSequence)
        guard start <= end else { return nil }
        return log.next(atOrAfter: start, filter(request.nextBySubject), upTo: end)
    }

    func filter(_ pattern: String) -> SubjectFilter {
        pattern.isEmpty || pattern == ">" ? everything : SubjectFilter([pattern], log.subjects)
    }

    private func last(_ subject: String, upTo limit: UInt64) -> UInt64? {
        var subject = subject
        return subject.withUTF8 { bytes in
            let view = ByteView(UnsafeRawBufferPointer(bytes))
            if !Subject.hasWildcards(view), let id = log.subjects.id(of: view) {
                let last = log.subjects.summary(id).last
                if last <= limit { return last }
            }
            return log.last(upTo: limit, SubjectFilter([view.string], log.subjects))
        }
    }

    /// Passes on a message as soon as it is in memory; nil if it is not there any more.
    func load(_ sequence: UInt64, _ found: @escaping (StoredMessage?) -> Void) {
        guard loadWaits.hasRoom else {
            return afterLoad(waitsInLine: true) { [unowned self] in ask(for: sequence, found) }
        }
        ask(for: sequence, found)
    }

    private func ask(for sequence: UInt64, _ found: @escaping (StoredMessage?) -> Void) {
        switch log.load(sequence) {
        case .message(let message): found(message)
        case .reading: afterLoad { [unowned self] in ask(for: sequence, found) }
        case .absent, .failed: found(nil)
        }
    }
}
