// Keeps the consumer's state in the journal: one record a turn, and one that stands for all where its definition changes.

import Store
import Wire

extension Consumer {
    /// Begins to keep a new consumer, unless its state lives in memory only.
    func enterJournal() {
        defer { keyed?.confirmReservation() }
        guard journalID == nil, !config.memoryStorage, !config.direct, let journal = stream.journal else { return }
        journalID = journal.makeID()
        writeWhole(stream.host.now)
    }

    /// Writes what the turn has brought, and has its acks answered once that is durable.
    func writeRecord(_ now: Instant) {
        keyed?.writeRecord(now)
        if !record.isEmpty {
            if let journalID, let journal = stream.journal {
                followRemovals()
                record.take(timeNs: now.wallNs).withUnsafeBytes { journal.append(journalID, $0, replaces: false) }
            } else {
                record.removeAll()
            }
        }
        guard !ackReplies.isEmpty else { return }
        let replies = ackReplies
        ackReplies = AckReplies()
        let host = stream.host
        guard journalID != nil else { return replies.send(host) }
        stream.afterJournalCommit { replies.send(host) }
    }

    /// What has been passed over because it was removed must not come back with a crash after the journal tells so.
    private func followRemovals() {
        guard removedAhead != .max else { return }
        if stream.areRemovalsDurable {
            removedAhead = .max
        } else if state.delivered.stream > removedAhead {
            // The journal waits for all removals up to now, those further ahead included.
            removedAhead = .max
            stream.journalFollowsLog()
        }
    }

    /// The commit that makes durable what has been written so far; 0 where nothing has to be waited for.
    var journalTicket: UInt64 { journalID == nil ? 0 : stream.journal?.commitTicket ?? 0 }

    /// Writes a record that stands for all before it.
    func writeWhole(_ now: Instant) {
        guard let journalID, let journal = stream.journal else {
            keyed?.record.removeAll()
            return record.removeAll()
        }
        defer { keyed?.endBatch() }
        followRemovals()
        whole(now).withUnsafeBytes { journal.append(journalID, $0, replaces: true) }
    }

    /// A record that stands for everything up to now: for the journal when it is rewritten.
    func snapshot() -> [UInt8] { whole(stream.host.now) }

    private func whole(_ now: Instant) -> [UInt8] {
        if let keyed { return keyed.whole(now) }
        // What the turn has gathered is part of the state already.
        record.removeAll()
        var json = JSONWriter()
        config.write(to: &json)
        return RecoveredConsumerState.whole(
            name: name, createdNs: createdNs, config: json.take(), state: state, now: now)
    }

    /// Reads what a journal has kept of a consumer. nil where that makes none.
    ///
    /// - Parameter damaged: counts records that made no sense.
    static func recover(
        _ found: RecoveredConsumer, stream: any ConsumerStream, damaged: inout Int
    ) -> Consumer? {
        func decode(_ text: [UInt8]) -> ConsumerConfig? {
            text.withUnsafeBytes { try? RequestBody.decode(ByteView($0), as: ConsumerConfig.self, isStrict: false) }
        }
        if RecoveredKeyedState.isKeyed(found.records) {
            return recoverKeyed(found, stream: stream, damaged: &damaged, decode: decode)
        }
        var count = 0
        let recovered = RecoveredConsumerState.read(
            found.records, tracksAcks: { decode($0)?.ackPolicy != AckPolicy.none }, damaged: &count)
        damaged += count
        guard let recovered, let config = decode(recovered.config), !recovered.name.isEmpty else { return nil }
        return Consumer(recovered: recovered, config: config, id: found.id, stream: stream)
    }
}
