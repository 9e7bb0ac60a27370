// Takes messages out on request: STREAM.PURGE and STREAM.MSG.DELETE. Both are answered when that is durable.

import Store
import Wire

extension Stream {
    /// STREAM.PURGE.
    func purge(_ body: ByteView, _ answer: @escaping ([UInt8]) -> Void) {
        do throws(APIError) {
            let request = try StreamPurgeRequest.decode(body)
            if config.sealed { throw .streamSealed }
            if config.denyPurge { throw .streamPurgeFailed("stream purge not permitted") }
            if let failure { throw .streamPurgeFailed(failure.description) }
            let purged = try purge(request ?? StreamPurgeRequest())
            afterCommit { error in
                answer(
                    error.map { APIResponse.failure(.streamPurge, .streamPurgeFailed($0.description)) }
                        ?? APIResponse.purged(purged))
            }
        } catch {
            answer(APIResponse.failure(.streamPurge, error))
        }
    }

    /// - Returns: how many messages have gone.
    private func purge(_ request: StreamPurgeRequest) throws(APIError) -> UInt64 {
        let isFiltered = !request.filter.isEmpty && request.filter != ">"
        isPurging = true
        defer { isPurging = false }
        // Some of it may have gone before an error.
        defer { tellPurge(of: isFiltered ? request.filter : nil) }
        return try remove(request, isFiltered: isFiltered)
    }

    private func remove(_ request: StreamPurgeRequest, isFiltered: Bool) throws(APIError) -> UInt64 {
        let state = log.state
        if !isFiltered && request.keep == 0 {
            let end = request.sequence == 0 ? state.lastSequence &+ 1 : min(request.sequence, state.lastSequence &+ 1)
            let purged = try purgeAll(below: end)
            // Sequences that have not been used yet may be purged too: the stream goes on behind them.
            if request.sequence > state.lastSequence &+ 1 && request.sequence < UInt64.max / 4 {
                try skip(to: request.sequence - 1)
            }
            return purged
        }
        let filter = isFiltered ? SubjectFilter([request.filter], log.subjects) : everything
        guard state.messages > 0, let end = endOfPurge(request, filter, state) else { return 0 }
        if !isFiltered { return try purgeAll(below: end + 1) }
        return try purgeMatching(filter, below: end + 1)
    }

    private func purgeAll(below end: UInt64) throws(APIError) -> UInt64 {
        do throws(StoreError) { return try log.removeAll(below: end) } catch { throw purgeError(error) }
    }

    /// What has gone before an error stays gone.
    private func purgeMatching(_ filter: SubjectFilter, below end: UInt64) throws(APIError) -> UInt64 {
        var removed: UInt64 = 0
        var from = log.state.firstSequence
        do throws(StoreError) {
            while from < end, let sequence = log.next(atOrAfter: from, filter, upTo: end - 1) {
                if try log.remove(sequence, erases: false) { removed += 1 }
                from = sequence + 1
            }
        } catch {
            throw purgeError(error)
        }
        return removed
    }

    private func purgeError(_ error: StoreError) -> APIError {
        let answer = storeError(error)
        return error == .noSpace ? answer : .streamPurgeFailed(error.description)
    }

    /// Has consumers go on behind what was purged, as on nats-server: where all that they are given is of the purge's subjects,
    /// up to the first message of those that is left; where the purge's subjects are only some of theirs, up to the
    /// stream's first message.
    ///
    /// - Parameters:
    ///   - filter: the purge's subjects; nil: all.
    ///   - end: the last message when this was purged: a batch that rolls up has more in the log already.
    func tellPurge(of filter: String?, upTo end: UInt64 = UInt64.max - 1) {
        guard !consumerList.isEmpty else { return }
        let state = log.state
        let end = min(end, state.lastSequence) &+ 1
        let first = min(state.messages > 0 ? state.firstSequence : end, end)
        var firstMatching: UInt64?
        for consumer in consumerList {
            let filters = consumer.config.filters
            guard let filter else {
                consumer.purged(below: first)
                continue
            }
            if !filters.isEmpty && filters.allSatisfy({ SubjectText.isSubset($0, of: filter) }) {
                let found =
                    firstMatching
                    ?? log.next(atOrAfter: first, SubjectFilter([filter], log.subjects), upTo: state.lastSequence)
                    .map { min($0, end) }
                    ?? end
                firstMatching = found
                consumer.purged(below: found)
            } else if filters.isEmpty || filters.contains(where: { SubjectText.isSubset(filter, of: $0) }) {
                consumer.purged(below: first)
            }
        }
    }

    /// The last sequence that may go; nil where nothing does.
    private func endOfPurge(_ request: StreamPurgeRequest, _ filter: SubjectFilter, _ state: LogState) -> UInt64? {
        if request.sequence > 0 { return min(request.sequence - 1, state.lastSequence) }
        var end = state.lastSequence
        for _ in 0..<request.keep {
            guard let kept = log.last(upTo: end, filter), kept > 0 else { return nil }
            end = kept - 1
        }
        return end
    }

    func skip(to sequence: UInt64) throws(APIError) {
        do throws(StoreError) { try log.skip(to: sequence) } catch { throw storeError(error) }
    }

    /// STREAM.MSG.DELETE.
    func deleteMessage(_ body: ByteView, _ answer: @escaping ([UInt8]) -> Void) {
        do throws(APIError) {
            if RequestBody.isEmpty(body) { throw .badRequest }
            let request: MessageDeleteRequest = try RequestBody.decode(body)
            if config.sealed { throw .streamSealed }
            if config.denyDelete { throw .streamMessageDeleteFailed("message delete not permitted") }
            if let failure { throw .streamMessageDeleteFailed(failure.description) }
            if config.storage == .file, request.sequence > log.state.lastSequence {
                throw .streamMessageDeleteFailed("stream store EOF")
            }
            try delete(request)
            afterCommit { error in
                answer(
                    error.map { APIResponse.failure(.messageDelete, .streamMessageDeleteFailed($0.description)) }
                        ?? APIResponse.success(.messageDelete))
            }
        } catch {
            answer(APIResponse.failure(.messageDelete, error))
        }
    }

    private func delete(_ request: MessageDeleteRequest) throws(APIError) {
        let isFound: Bool
        do throws(StoreError) {
            isFound = try log.remove(request.sequence, erases: !request.noErase)
        } catch {
            throw .streamMessageDeleteFailed(storeError(error).description)
        }
        if !isFound {
            // As nats-server's two kinds of storage have it.
            let isBefore = request.sequence == 0 || config.storage == .file && request.sequence < log.state.firstSequence
            throw isBefore ? .streamMessageDeleteFailed("no message found") : .sequenceNotFound(request.sequence)
        }
    }
}
