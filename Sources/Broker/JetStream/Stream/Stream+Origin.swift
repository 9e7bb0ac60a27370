// Stores what another stream has: as a mirror, or as a source.

import Store
import Wire

extension Stream {
    /// Where a message of another stream comes from, and what it keeps of it.
    enum OriginPlace {
        /// The same sequence and time as there; sequences in between are left out.
        case mirror(sequence: UInt64, timeNs: Int64)
        /// A sequence of this stream's own, and a Nats-Stream-Source header with this value.
        case source(ByteView)
    }

    /// Stores a message of another stream. It is acknowledged to nobody; `afterCommit` tells when it is durable.
    /// - Returns: its sequence here, or that of its original if it is a duplicate; nil where it cannot be stored before
    ///   something has come from the disk.
    func store(fromOrigin place: OriginPlace, subject: ByteView, headers: ByteView, body: ByteView) throws(APIError) -> UInt64?
    {
        defer { edits.removeAll() }
        if let failure { throw .streamStoreFailed(failure.description) }
        if rules.contains(.holding) { return nil }
        var publish = Publish(subject: subject, reply: .empty, headers: headers, body: body, known: PublishHeaders(headers))
        publish.origin = .source
        transformSubject(&publish)
        switch place {
        case .mirror(let sequence, let timeNs):
            guard sequence > log.state.lastSequence else { return sequence }
            publish.sequence = sequence
            publish.timeNs = max(timeNs, lastTimeNs)
            try checkSize(publish)
            if !publish.known.ttl.isEmpty, config.allowMessageTTL, let ttl = MessageTTL(publish.known.ttl) {
                publish.ttlNs = ttl.ns
            }
            return try store(&publish)
        case .source(let value):
            if isCounterLoading(publish.subject) { return nil }
            if publish.known.isRelevant {
                let text = value.string
                edit(&publish) { headers in
                    headers.remove(prefix: "Nats-Expected-")
                    headers.remove(prefix: "Nats-Batch-")
                    headers.remove("Nats-Stream-Source")
                    headers.add("Nats-Stream-Source", text)
                }
                publish.known = PublishHeaders(publish.headers)
            } else {
                addSource(&publish, value)
            }
            return try process(&publish).sequence
        }
    }

    /// The short way for a message without headers of JetStream's own: one line more.
    private func addSource(_ publish: inout Publish, _ value: ByteView) {
        let begin: StaticString = "NATS/1.0\r\n", name: StaticString = "Nats-Stream-Source: ", end: StaticString = "\r\n\r\n"
        // Without the empty line at its end.
        let kept =
            publish.headers.count >= 4
            ? ByteView(publish.headers.base, publish.headers.count - 2) : ByteView(begin.utf8Start, begin.utf8CodeUnitCount)
        let count = kept.count + name.utf8CodeUnitCount + value.count + end.utf8CodeUnitCount
        let place = edits.append(count).assumingMemoryBound(to: UInt8.self)
        var out = Encoder(place)
        out.put(kept)
        out.put(name)
        out.put(value)
        out.put(end)
        publish.headers = ByteView(place, count)
    }
}
