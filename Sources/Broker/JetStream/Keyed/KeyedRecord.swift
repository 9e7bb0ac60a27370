// What happened to a keyed consumer in one turn, as one compact record for the journal.

import Wire

/// The layout of a keyed consumer's records. Numbers are varints; `Δ` is the signed difference to the last sequence that the
/// record named, at first 0; a hash is eight bytes, the lowest first.
///
///     whole    3, version, name, created, config (JSON), time, read position, highest leased, reserved end, last park version,
///              1 if the circuit is open;
///              count of entries, each: Δ, state, hash, consumer sequence, leases, leases in all, what is left of its time
///              (signed), park version, reason, error;
///              count of cursors, each: hash, sequence;
///              count of audits, each: as the event's;
///              end and count of the last per subject, each: Δ;
///              count of keys that drain, each: sequence, hash, end (of a message that is its own key: hash 0)
///     turn     4, version, time, consumer sequence before it, then events up to the end: event, Δ, [arguments]
enum KeyedRecordFormat {
    static let version: UInt8 = 1
    static let whole: UInt8 = 3
    static let turn: UInt8 = 4
    /// A turn's events are written before they grow beyond.
    static let turnBytesMax = 256 << 10
}

/// What a turn's record tells. Each names a sequence, which some have no use for.
enum KeyedEvent: UInt8 {
    /// Outstanding from now on. Argument: the key's hash.
    case taken = 1
    case leased = 2
    /// Acked, skipped, or gone from the stream.
    case finished = 3
    /// A lease or a back-off has ended: it may be leased again.
    case released = 4
    /// Argument: how long it waits at least, in nanoseconds.
    case delayed = 5
    /// The lease's time begins anew.
    case progressed = 6
    /// The message has left the stream while somebody worked on it.
    case orphaned = 7
    /// Arguments: the park's version, the reason, the error.
    case parked = 8
    /// Counts its leases from 0 again.
    case retried = 9
    /// Argument: the end of the consumer sequences that are reserved.
    case reserved = 10
    /// Arguments: see `KeyAudit`.
    case commanded = 11
    /// Argument: 1 opens the circuit, 0 closes it.
    case circuit = 12
    /// The read position has passed it, and all before it.
    case passed = 13
    /// Its park has ended, and what waited stays pinned until it is handled. Arguments: the key's hash, and where that ends.
    case draining = 14
}

/// Gathers events.
struct KeyedRecord {
    private(set) var events = VarintWriter()
    private var last: UInt64 = 0
    private var base: UInt64?
    /// The read position, as far as a journal knows it.
    private(set) var position: UInt64 = 0

    var isEmpty: Bool { events.isEmpty }
    /// Whether what has been gathered should be written now, in the middle of a turn.
    var isFull: Bool { events.bytes.count >= KeyedRecordFormat.turnBytesMax }

    mutating func add(_ event: KeyedEvent, _ sequence: UInt64) {
        events.byte(event.rawValue)
        events.signed(Int64(bitPattern: sequence &- last))
        last = sequence
    }

    mutating func add(_ event: KeyedEvent, _ sequence: UInt64, hash: UInt64) {
        add(event, sequence)
        events.hash(hash)
        if event == .taken { position = max(position, sequence &+ 1) }
    }

    /// Where the read position is, if messages were passed that only wait.
    mutating func pass(before next: UInt64) {
        guard next > position else { return }
        add(.passed, next - 1)
        position = next
    }

    mutating func drain(_ sequence: UInt64, hash: UInt64, before end: UInt64) {
        add(.draining, sequence, hash: hash)
        events.number(end)
    }

    mutating func add(_ event: KeyedEvent, _ sequence: UInt64, argument: UInt64) {
        add(event, sequence)
        events.number(argument)
    }

    /// - Parameter before: the consumer sequence before this lease.
    mutating func lease(_ sequence: UInt64, before: UInt64) {
        if base == nil { base = before }
        add(.leased, sequence)
    }

    mutating func park(_ sequence: UInt64, version: UInt64, reason: ParkReason, error: [UInt8]) {
        add(.parked, sequence, argument: version)
        events.byte(reason.rawValue)
        events.text(error)
    }

    mutating func command(_ audit: KeyAudit) {
        add(.commanded, audit.sequence)
        audit.write(to: &events)
    }

    /// The record, and an empty one again.
    mutating func take(timeNs: Int64, delivered: UInt64) -> [UInt8] {
        var record = VarintWriter()
        record.byte(KeyedRecordFormat.turn)
        record.byte(KeyedRecordFormat.version)
        record.signed(timeNs)
        record.number(base ?? delivered)
        defer { removeAll() }
        return record.bytes + events.bytes
    }

    mutating func removeAll() {
        events.removeAll()
        last = 0
        base = nil
    }
}

/// What an operator has done, with who and why.
struct KeyAudit: Equatable {
    var command: String
    var actor: String
    var reason: String
    var key: [UInt8]
    /// 0 where the command concerns no single message.
    var sequence: UInt64
    var version: UInt64
    var timeNs: Int64

    /// So many are kept.
    static let keptMax = 1_000

    func write(to writer: inout VarintWriter) {
        writer.text(Array(command.utf8))
        writer.text(Array(actor.utf8))
        writer.text(Array(reason.utf8))
        writer.text(key)
        writer.number(version)
        writer.signed(timeNs)
    }

    static func read(_ reader: inout VarintReader, sequence: UInt64) -> KeyAudit? {
        guard let command = reader.text(), let actor = reader.text(), let reason = reader.text(), let key = reader.text(),
            let version = reader.number(), let time = reader.signed()
        else { return nil }
        func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
        return KeyAudit(
            command: text(command), actor: text(actor), reason: text(reason), key: key, sequence: sequence, version: version,
            timeNs: time)
    }
}

extension VarintWriter {
    mutating func hash(_ hash: UInt64) {
        for place in 0..<8 { byte(UInt8(truncatingIfNeeded: hash >> UInt64(8 * place))) }
    }
}

extension VarintReader {
    mutating func hash() -> UInt64? {
        var hash: UInt64 = 0
        for place in 0..<8 {
            guard let byte = byte() else { return nil }
            hash |= UInt64(byte) << UInt64(8 * place)
        }
        return hash
    }
}
