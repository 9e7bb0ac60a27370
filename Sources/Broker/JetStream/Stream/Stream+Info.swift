// Tells what a stream holds: STREAM.INFO, and what other replies say of it.

import Store
import Wire

extension Stream {
    /// What `deleted_details` lists at most: gaps may be of any size.
    private static let deletedDetailsMax = 1 << 20

    /// The stream as replies to CREATE, UPDATE and LIST show it.
    func info() -> StreamInfo {
        var info = StreamInfo(config: config.withServerMetadata, createdNs: createdNs, timestampNs: host.now.wallNs)
        info.domain = settings.domain
        let state = log.state
        info.state.messages = state.messages
        info.state.bytes = state.bytes
        info.state.firstSequence = state.firstSequence
        info.state.lastSequence = state.lastSequence
        if state.messages > 0 { info.state.firstTimeNs = state.firstTimeNs }
        if state.lastTimeNs > 0 { info.state.lastTimeNs = state.lastTimeNs }
        info.state.subjectCount = state.subjects
        info.state.deletedCount = Int(clamping: state.deleted)
        info.state.lost = state.lost
        info.state.lostBytes = state.lostBytes
        info.state.consumers = listedConsumers
        onInfo?(&info)
        return info
    }

    /// STREAM.INFO.
    func info(_ body: ByteView, _ answer: @escaping ([UInt8]) -> Void) {
        let request: StreamInfoRequest
        do throws(APIError) {
            request = try RequestBody.decodeOptional(body)
        } catch {
            return answer(APIResponse.failure(.streamInfo, error))
        }
        if request.subjectsFilter.isEmpty { return tell(request, [], Page(), answer) }
        let listing = SubjectListing(request.subjectsFilter, offset: request.offset, self) { [unowned self] subjects, page in
            tell(request, subjects, page, answer)
        }
        if !begin(listing, isLarge: true) { answer(APIResponse.failure(.streamInfo, .insufficientResources)) }
    }

    /// What is told must not be taken back by a crash.
    private func tell(
        _ request: StreamInfoRequest, _ subjects: [UInt8], _ page: Page, _ answer: @escaping ([UInt8]) -> Void
    ) {
        afterCommit { [unowned self] _ in
            var info = info()
            info.leader = settings.serverName
            info.state.subjects = subjects
            if request.deletedDetails { info.state.deleted = deletedSequences() }
            answer(APIResponse.streamInfo(info, page: page))
        }
    }

    /// The sequences that are missing between the first and the last message, as many as a reply has room for.
    private func deletedSequences() -> [UInt64] {
        let state = log.state
        guard state.deleted > 0, state.messages > 0 else { return [] }
        var deleted: [UInt64] = []
        var expected = state.firstSequence
        while expected <= state.lastSequence {
            let next = log.next(atOrAfter: expected, everything, upTo: state.lastSequence) ?? state.lastSequence &+ 1
            while expected < next {
                if deleted.count >= Stream.deletedDetailsMax { return deleted }
                deleted.append(expected)
                expected += 1
            }
            expected += 1
        }
        return deleted
    }
}
