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
        // What it tells must not be taken back by a crash.
        afterCommit { [unowned self] _ in answer(info(request)) }
    }

    private func info(_ request: StreamInfoRequest) -> [UInt8] {
        var info = info()
        info.leader = settings.serverName
        var page = Page()
        if request.deletedDetails { info.state.deleted = deletedSequences() }
        if !request.subjectsFilter.isEmpty {
            let subjects = subjectCounts(request.subjectsFilter)
            if !subjects.isEmpty {
                page.total = subjects.count
                page.offset = max(0, request.offset)
                page.limit = Page.subjectsMax
                info.state.subjects = Array(subjects.dropFirst(page.offset).prefix(page.limit))
            }
        }
        return APIResponse.streamInfo(info, page: page)
    }

    /// Messages of each subject that a pattern matches, by name.
    private func subjectCounts(_ pattern: String) -> [(subject: String, messages: UInt64)] {
        var found: [(subject: String, messages: UInt64)] = []
        log.subjects.forEach(SubjectFilter([pattern], log.subjects)) { id, summary in
            found.append((log.subjects.subject(id).string, summary.count))
        }
        return found.sorted { $0.subject.utf8.lexicographicallyPrecedes($1.subject.utf8) }
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
