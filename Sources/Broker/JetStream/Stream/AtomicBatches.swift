// The atomic batches that publishers have begun and not yet committed.

import Wire

/// One batch: its messages, copied, in a queue whose records never move.
final class AtomicBatch {
    let id: [UInt8]
    /// Of the last message that came; the first is 1.
    fileprivate(set) var sequence: UInt64 = 0
    fileprivate(set) var deadlineNs: UInt64 = 0
    private var records = RecordQueue()
    private(set) var messages: [Publish] = []
    private(set) var bytes = 0

    init(id: [UInt8]) { self.id = id }

    /// Keeps a message. Its headers are looked through again, because they lie elsewhere now.
    fileprivate func append(_ publish: Publish) {
        let counts = (publish.subject.count, publish.headers.count, publish.body.count)
        let place = records.append(counts.0 + counts.1 + counts.2).assumingMemoryBound(to: UInt8.self)
        var out = Encoder(place)
        out.put(publish.subject)
        out.put(publish.headers)
        out.put(publish.body)
        let headers = ByteView(place + counts.0, counts.1)
        bytes += counts.0 + counts.1 + counts.2
        messages.append(
            Publish(
                subject: ByteView(place, counts.0), reply: .empty, headers: headers,
                body: ByteView(place + counts.0 + counts.1, counts.2), known: PublishHeaders(headers)))
    }
}

/// At most as many as the settings allow, each at most so long and so long idle.
struct AtomicBatches {
    private var batches: [[UInt8]: AtomicBatch] = [:]

    var count: Int { batches.count }
    /// What all of them hold.
    private(set) var bytes = 0

    func find(_ id: ByteView) -> AtomicBatch? { batches.isEmpty ? nil : batches[id.bytes] }

    mutating func begin(_ id: ByteView) -> AtomicBatch {
        let batch = AtomicBatch(id: id.bytes)
        batches[batch.id] = batch
        return batch
    }

    mutating func append(_ publish: Publish, to batch: AtomicBatch) {
        let before = batch.bytes
        batch.append(publish)
        bytes += batch.bytes - before
    }

    /// The next message of a batch has come.
    func touch(_ batch: AtomicBatch, deadlineNs: UInt64) {
        batch.sequence += 1
        batch.deadlineNs = deadlineNs
    }

    mutating func remove(_ batch: AtomicBatch) {
        if batches.removeValue(forKey: batch.id) != nil { bytes -= batch.bytes }
    }

    var nextDeadlineNs: UInt64? { batches.values.map(\.deadlineNs).min() }

    /// Takes out those that have been idle for too long, in the order of their ids, so that every run does the same.
    mutating func takeExpired(_ nowNs: UInt64) -> [AtomicBatch] {
        let expired = batches.values.filter { $0.deadlineNs <= nowNs }
        for batch in expired { remove(batch) }
        return expired.sorted { $0.id.lexicographicallyPrecedes($1.id) }
    }

    func subjects(of id: ByteView) -> [ByteView] { find(id)?.messages.map(\.subject) ?? [] }
}
