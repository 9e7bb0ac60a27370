// What makes a consumer a keyed one: the messages of one key are delivered one after the other, in the order of the stream,
// whatever becomes of them, and a key that waits or is parked holds up no other.

import Store
import Wire

/// Owned by its consumer, and by the stream's loop.
///
/// The consumer's read position moves over the stream once. Whatever it passes is done, outstanding (in `table`), or waits
/// behind an outstanding message of its key, where `index` finds it. What decides lies in extensions, by subject:
/// KeyedChoice chooses and leases, KeyedAcks takes acks, KeyedParking parks, KeyedClock has the deadlines, KeyedRemoval what
/// the stream removes, KeyedJournaling records.
final class KeyedDelivery {
    /// Unchecked, because it is asked several times for each message, and nothing keeps this object longer than its consumer.
    unowned(unsafe) let consumer: Consumer
    let log: any MessageLog
    var settings: KeyedSettings
    let index: KeyIndex

    /// Behind a pointer, as the consumer's own state is, and for the same reason.
    var table: OutstandingTable {
        @inline(__always) _read { yield keptTable.pointee }
        @inline(__always) _modify { yield &keptTable.pointee }
    }
    private let keptTable: UnsafeMutablePointer<OutstandingTable>

    // MARK: Consumer sequences

    /// No lease may take a consumer sequence beyond: it is not durably reserved yet.
    var durableEnd: UInt64 = 0
    /// What the journal has been told.
    var reservedEnd: UInt64 = 0
    /// Sequences are reserved in blocks of so many.
    static let blockSize: UInt64 = 65_536

    // MARK: Reading

    /// Entries that a restart has brought back know their keys; before that nothing can be said of what waits.
    var isResolved = true
    /// A message has left the stream while the index did not reach up to the read position.
    var hasMissedRemovals = false
    /// What the index lacks has to come from the disk.
    var awaitsDisk = false
    /// Read something new before the next lease, however much is ready: so neither holds up the other.
    var readsNext = true
    /// With `last_per_subject`: what was there at first, as far as it is wanted.
    var start = LastPerSubject()
    /// Of entries that a restart has brought back: the hashes of their keys.
    var unresolvedHashes: [OutstandingTable.Slot: UInt64] = [:]
    var recoveredCursors: [UInt64: UInt64] = [:]
    var recoveredDrains: [(sequence: UInt64, hash: UInt64, end: UInt64)] = []
    /// Leases whose message left the stream before a restart, and whose key has no other message so far: by the key's hash.
    var orphans: [UInt64: OutstandingTable.Slot] = [:]
    /// Acks that came before the keys were known again.
    var heldAcks: [HeldAck] = []
    var heldBytes = 0
    /// A key may have more entries than `max_pending_per_key`, because that was lowered.
    var mayExceed = false
    /// Those that wait for others of their key because of that: settling, with a moment that no batch has.
    var held: Set<OutstandingTable.Slot> = []
    static let heldBack = UInt64.max
    /// The filter has changed, and entries that it does not match are still to be dropped.
    var hasNewFilter = false

    // MARK: Journal

    /// Likewise.
    var record: KeyedRecord {
        @inline(__always) _read { yield keptRecord.pointee }
        @inline(__always) _modify { yield &keptRecord.pointee }
    }
    private let keptRecord: UnsafeMutablePointer<KeyedRecord>
    /// The number of the turn whose record comes next.
    var batch: UInt64 = 1
    /// Entries that wait for the journal, in the order of their batches.
    var settling: [(slot: OutstandingTable.Slot, batch: UInt64)] = []
    var settledCount = 0

    // MARK: Parks

    var lastVersion: UInt64 = 0
    /// The last error that a client told of an entry, while there is any.
    var errors: [OutstandingTable.Slot: [UInt8]] = [:]
    /// What is parked, with what waits behind it.
    var parked = Backlog()
    /// The part of it that the stream's limits spare.
    var pinned = Backlog()
    var draining = DrainingKeys()
    /// The read position has passed messages that are pinned because they wait.
    var hasPassedPins = false
    var circuit: CircuitState?
    var hold = KeyedHold.none
    var audits: [KeyAudit] = []
    /// Retries that an operator asked for and that wait for their turn.
    var retrying: RetryRun?
    /// Who handled a key last, with `sticky`.
    var affinity = KeyAffinity()
    var lastLeases = LastLeases()

    /// Tests take one away to see that they notice.
    var checks = KeyedChecks.all

    // MARK: Figures

    /// Keys that were looked at to find the next lease: the read position's steps not included.
    var visits: UInt64 = 0
    var leasesTotal: UInt64 = 0
    var staleAcks: UInt64 = 0
    var parksTotal: UInt64 = 0

    /// - Parameter recovered: what the journal has kept; nil for a new consumer.
    init(_ consumer: Consumer, _ settings: KeyedSettings, _ recovered: RecoveredKeyedState?) {
        self.consumer = consumer
        self.settings = settings
        log = consumer.stream.log
        keptTable = .allocate(capacity: 1)
        keptTable.initialize(to: OutstandingTable())
        keptRecord = .allocate(capacity: 1)
        keptRecord.initialize(to: KeyedRecord())
        index = consumer.stream.keyIndexes.index(settings.key)
        circuit = settings.circuit.map(CircuitState.init)
        if let recovered { take(recovered) } else { beginSequences() }
        attachIndex(from: floor)
    }

    func attachIndex(from sequence: UInt64) {
        let needs = KeyIndex.User(
            floor: { [unowned self] in floor },
            read: { [unowned self] in isReady ? consumer.nextSequence : 0 },
            lowest: { [unowned self] key in table.lowest(of: key) }, beginsAnew: { [unowned self] in consumer.touch() })
        index.attach(self, from: sequence, needs)
    }

    deinit {
        keptTable.deinitialize(count: 1)
        keptTable.deallocate()
        keptRecord.deinitialize(count: 1)
        keptRecord.deallocate()
    }

    var host: any StreamHost { consumer.stream.host }

    /// The lowest sequence that is not done.
    var floor: UInt64 {
        var lowest = consumer.nextSequence
        table.forEach { slot in
            let sequence = table[slot].sequence
            if sequence != 0 && sequence < lowest { lowest = sequence }
        }
        return lowest
    }

    /// The index knows everything before the read position, and each entry its key.
    var isReady: Bool { isResolved && index.end >= consumer.nextSequence }

    /// A turn of the consumer begins. Where nothing is kept, nothing has to be waited for.
    func turnBegins() {
        if consumer.journalID == nil { endBatch() }
        if !isReady, !resolve(), awaitsDisk { consumer.isReading = true }
    }

    /// Messages that were leased before and may be leased again.
    var redeliverable: Int { table.count(.ready) + table.count(.backoff) + table.count(.settling) }

    // MARK: Keys

    /// Whether a message that is there is one of the consumer's.
    @inline(__always)
    func wants(_ sequence: UInt64) -> Bool {
        guard starts(with: sequence) else { return false }
        if consumer.filter.isEverything { return true }
        return log.subject(of: sequence).map { consumer.filter.matches($0) } ?? false
    }

    /// With `last_per_subject`: whether a message is not left out because it was there before and is not the last.
    @inline(__always)
    func starts(with sequence: UInt64) -> Bool { start.isEmpty || sequence > start.end || start.contains(sequence) }

    /// The key's next message behind one, among those that the read position has passed.
    func nextWaiting(_ key: KeyID, after sequence: UInt64) -> UInt64? {
        var place = sequence
        while let next = index.next(after: place, key), next < consumer.nextSequence {
            if wants(next) { return next }
            place = next
        }
        return nil
    }

    /// Whether a message waits behind an outstanding one of its key.
    func isWaitingBehind(_ sequence: UInt64, _ key: KeyID) -> Bool {
        guard key != 0, sequence < consumer.nextSequence else { return false }
        let first = table.first(of: key)
        return first != OutstandingTable.none && sequence > table.cursor(first)
    }

    /// Whether an interest or workqueue stream has to keep a message that has been passed.
    func isWaiting(for sequence: UInt64) -> Bool {
        let slot = table.find(sequence)
        if slot != OutstandingTable.none { return true }
        // Better too long than too short.
        guard isReady else { return sequence >= floor }
        return isWaitingBehind(sequence, index.key(of: sequence)) && wants(sequence)
    }

    /// Makes an entry of a message.
    func take(_ sequence: UInt64, _ key: KeyID) -> OutstandingTable.Slot {
        record.add(.taken, sequence, hash: hash(key))
        if key != 0 { index.retain(key) }
        return table.insert(sequence, key)
    }

    func hash(_ key: KeyID) -> UInt64 { key == 0 ? 0 : index.names.record(key).pointee.hash }

    /// An entry ends, and with the last one its key.
    func remove(_ slot: OutstandingTable.Slot) {
        let key = table[slot].key
        if !errors.isEmpty { errors[slot] = nil }
        if !orphans.isEmpty { orphans = orphans.filter { $0.value != slot } }
        if !held.isEmpty { held.remove(slot) }
        table.remove(slot)
        if key != 0 { index.release(key) }
    }

    /// A message is done with: the next of its key follows as soon as that is durable.
    ///
    /// - Parameter bytes: the size of one that has left the stream; nil if it is there.
    func finish(_ slot: OutstandingTable.Slot, bytes: Int? = nil) {
        let entry = table[slot]
        if entry.sequence != 0 {
            record.add(.finished, entry.sequence)
            lastLeases.set(entry.sequence, entry.delivery)
            if entry.total == 0 && consumer.numPending > 0 { consumer.numPending -= 1 }
            if !draining.isEmpty { drained(entry.sequence, entry.key, bytes: bytes) }
        }
        if !errors.isEmpty { errors[slot] = nil }
        guard entry.key != 0 else { return remove(slot) }
        table.move(slot, to: .settling)
        let first = table.first(of: entry.key)
        let mayFollow = !table.isParked(keyAt: first) && table.entries(ofKeyAt: first) <= settings.maxPendingPerKey
        let next = mayFollow ? nextWaiting(entry.key, after: table.cursor(first)) : nil
        if let next {
            record.add(.taken, next, hash: hash(entry.key))
            waitsNoLonger(next, first)
        }
        if !draining.isEmpty && mayFollow { pinned -= draining.goesOn(entry.key, with: next) }
        table.replace(slot, with: next ?? 0)
        settle(slot)
    }

    /// Takes what waits of a key, as far as it may be leased at a time.
    func fill(_ key: KeyID) {
        guard key != 0 else { return }
        letGo(key)
        while true {
            let first = table.first(of: key)
            guard first != OutstandingTable.none, !table.isParked(keyAt: first),
                table.entries(ofKeyAt: first) < settings.maxPendingPerKey,
                let next = nextWaiting(key, after: table.cursor(first))
            else { return }
            waitsNoLonger(next, first)
            table.move(take(next, key), to: .ready)
        }
    }

    /// Has an entry wait for the journal.
    func settle(_ slot: OutstandingTable.Slot, to state: OutstandingTable.State = .settling) {
        if !held.isEmpty { held.remove(slot) }
        table.move(slot, to: state, moment: batch)
        settling.append((slot, batch))
        if !checks.contains(.durableAck) { settled(batch) }
        consumer.touch()
    }

    /// The records of a batch are durable: what waited for them takes effect.
    func settled(_ batch: UInt64) {
        while settledCount < settling.count, settling[settledCount].batch <= batch {
            let waiting = settling[settledCount]
            settledCount += 1
            guard table.isUsed(waiting.slot) else { continue }
            let entry = table[waiting.slot]
            // Otherwise something has become of it since, and it waits again further behind.
            guard entry.moment == waiting.batch, entry.state == .settling || entry.state == .parking else { continue }
            takeEffect(waiting.slot, entry)
        }
        if settledCount == settling.count {
            settling.removeAll(keepingCapacity: settling.count < 4096)
            settledCount = 0
        } else if settledCount > 4096 {
            settling.removeFirst(settledCount)
            settledCount = 0
        }
        index.trim()
        consumer.touch()
    }

    private func takeEffect(_ slot: OutstandingTable.Slot, _ entry: OutstandingTable.Entry) {
        if entry.state == .parking { return parkTakesEffect(slot) }
        if entry.sequence == 0 {
            remove(slot)
        } else {
            table.move(slot, to: .ready)
        }
        fill(entry.key)
    }
}

@available(*, unavailable)
extension KeyedDelivery: Sendable {}

/// What a keyed consumer's promises rest on.
struct KeyedChecks: OptionSet {
    let rawValue: UInt8
    init(rawValue: UInt8) { self.rawValue = rawValue }
    /// A key with something outstanding gets no second lease.
    static let oneLease = KeyedChecks(rawValue: 1)
    /// An ack has to carry the consumer sequence of the last lease.
    static let fence = KeyedChecks(rawValue: 2)
    /// The next message of a key waits until the ack of the one before is durable.
    static let durableAck = KeyedChecks(rawValue: 4)
    static let all: KeyedChecks = [.oneLease, .fence, .durableAck]
}
