// Chooses the next message that may be leased, and leases it: keys that are ready take turns, and no other key is looked at.

import Store
import Wire

/// What a keyed consumer found to lease.
enum KeyedChoice {
    case message(OutstandingTable.Slot)
    case none(DispatchEnd)
}

extension KeyedDelivery {
    /// How many messages of blocked keys the read position passes in one turn.
    static let stepsMax = 16_384

    /// So many keys are ready at least, if the stream has them: what is read ahead lets a key with a long backlog take its
    /// turn behind others.
    static let readyMin = 64
    /// While there are fewer, every other lease brings one that is new, however many are ready.
    static let readyMax = 16_384

    /// The key that has been ready for longest.
    ///
    /// - Parameter steps: how many more messages may be passed.
    func choose(_ steps: inout Int) -> KeyedChoice {
        if hold != .none { return .none(.takers) }
        let limit = consumer.settings.maxAckPending
        if limit > 0 && leases >= limit { return .none(.maxAckPending) }
        guard reserve() else { return .none(.maxAckPending) }
        var end = DispatchEnd.messages
        var more = readsNext && table.count(.ready) < KeyedDelivery.readyMax
        readsNext = false
        while more || table.count(.ready) < KeyedDelivery.readyMin {
            more = false
            if let reason = read(&steps) {
                end = reason
                break
            }
        }
        while table.firstReady != OutstandingTable.none {
            let slot = table.firstReady
            if isExhausted(slot) {
                // By an update of `max_deliver`.
                exhaust(slot)
            } else if !mayLease(slot) {
                holdBack(slot)
            } else {
                break
            }
            visits += 1
        }
        guard table.firstReady != OutstandingTable.none else { return .none(end) }
        visits += 1
        return .message(table.firstReady)
    }

    // MARK: Too many of a key

    /// Whether an entry may be leased now. After `max_pending_per_key` was lowered a key may have more entries than it says.
    private func mayLease(_ slot: OutstandingTable.Slot) -> Bool {
        let entry = table[slot]
        guard mayExceed, entry.key != 0 else { return true }
        let first = table.first(of: entry.key), limit = settings.maxPendingPerKey
        guard table.entries(ofKeyAt: first) > limit, checks.contains(.oneLease) else { return true }
        var earlier = 0, live = 0, other = first
        while other != OutstandingTable.none {
            let state = table[other].state, sequence = table[other].sequence
            if other != slot && sequence != 0 {
                if state == .leased || state == .orphaned { live += 1 }
                if sequence < entry.sequence { earlier += 1 }
            }
            other = table.sibling(other)
        }
        return earlier < limit && live < limit
    }

    /// It waits for what its key has before it: no list of ready keys has it meanwhile.
    private func holdBack(_ slot: OutstandingTable.Slot) {
        table.move(slot, to: .settling, moment: KeyedDelivery.heldBack)
        held.insert(slot)
    }

    /// Something of a key has ended: what waited for that may be ready.
    func letGo(_ key: KeyID) {
        guard !held.isEmpty, key != 0 else { return }
        var slot = table.first(of: key)
        while slot != OutstandingTable.none {
            if held.contains(slot) && mayLease(slot) {
                held.remove(slot)
                table.move(slot, to: .ready)
                consumer.touch()
            }
            slot = table.sibling(slot)
        }
    }

    func letAllGo() {
        for slot in held.sorted() { letGo(table[slot].key) }
    }

    /// Live leases: each takes a slot of `max_ack_pending`.
    var leases: Int { table.count(.leased) + table.count(.orphaned) }

    /// Moves the read position behind the next message whose key is not blocked, and makes that ready.
    ///
    /// - Returns: why there is none.
    private func read(_ steps: inout Int) -> DispatchEnd? {
        let visible = consumer.visibleSequence
        while true {
            guard consumer.nextSequence <= visible else { return .messages }
            guard steps > 0 else { return .budget }
            guard let sequence = log.next(atOrAfter: consumer.nextSequence, consumer.filter, upTo: visible) else {
                if let end = extend(through: visible, &steps) { return end }
                consumer.nextSequence = visible &+ 1
                return .messages
            }
            if let end = extend(through: sequence, &steps) { return end }
            steps -= 1
            consumer.nextSequence = sequence &+ 1
            guard starts(with: sequence) else { continue }
            // It left the stream while the index read on.
            guard log.contains(sequence) else { continue }
            if let slot = pass(sequence) {
                table.move(slot, to: .ready)
                return nil
            }
            if record.isFull { consumer.writeRecord(host.now) }
        }
    }

    /// Has the index reach a message; why not, if it does not yet.
    private func extend(through sequence: UInt64, _ steps: inout Int) -> DispatchEnd? {
        switch index.extend(through: sequence, &steps) {
        case .covered: return nil
        case .reading: return .reading
        case .failed:
            consumer.readLater()
            return .reading
        case .budget: return .budget
        }
    }

    /// The read position passes a message: it is outstanding from now on, or waits behind others of its key (nil).
    private func pass(_ sequence: UInt64) -> OutstandingTable.Slot? {
        let key = index.key(of: sequence)
        if !orphans.isEmpty, key != 0, let slot = orphans.removeValue(forKey: hash(key)) {
            index.retain(key)
            table.join(slot, key)
        }
        let first = table.first(of: key)
        guard key != 0, first != OutstandingTable.none, checks.contains(.oneLease) else { return take(sequence, key) }
        if table.isParked(keyAt: first) {
            startsToWait(sequence, first)
            return nil
        }
        let count = table.entries(ofKeyAt: first)
        if count < settings.maxPendingPerKey, !waits(key, first, before: sequence) { return take(sequence, key) }
        // One that only waits for the journal stands for its key's next message, which this is.
        guard let vacant = vacancy(first), !waits(key, first, before: sequence) else {
            startsToWait(sequence, first)
            return nil
        }
        record.add(.taken, sequence, hash: hash(key))
        let moment = table[vacant].moment
        table.replace(vacant, with: sequence)
        assert(table[vacant].moment == moment)
        return nil
    }

    /// Whether something of a key that has been passed earlier is still to be taken: after `max_pending_per_key` was raised.
    private func waits(_ key: KeyID, _ first: OutstandingTable.Slot, before sequence: UInt64) -> Bool {
        guard settings.maxPendingPerKey > 1 else { return false }
        return nextWaiting(key, after: table.cursor(first)).map { $0 < sequence } ?? false
    }

    private func vacancy(_ first: OutstandingTable.Slot) -> OutstandingTable.Slot? {
        var slot = first
        while slot != OutstandingTable.none {
            if table[slot].sequence == 0 { return slot }
            slot = table.sibling(slot)
        }
        return nil
    }

    /// A message is on its way to a client.
    func leased(_ slot: OutstandingTable.Slot, to client: UInt64, _ now: Instant) {
        let sequence = table[slot].sequence
        let isFirst = table[slot].total == 0
        record.lease(sequence, before: consumer.state.delivered.consumer)
        consumer.state.delivered.consumer += 1
        consumer.state.delivered.stream = max(consumer.state.delivered.stream, sequence)
        consumer.lastDeliveredNs = now.wallNs
        if isFirst && consumer.numPending > 0 { consumer.numPending -= 1 }
        table.countLease(slot)
        table[slot].delivery = consumer.state.delivered.consumer
        table[slot].holder = client
        let wait = consumer.settings.ackWait(deliveries: table[slot].attempts)
        table.move(slot, to: .leased, moment: wait.map { saturatingSum(now.monotonicNs, $0) } ?? .max)
        readsNext = leasesTotal & 1 == 0
        leasesTotal += 1
        let key = table[slot].key
        if key != 0 && settings.isSticky { affinity.set(hash(key), client) }
        circuit?.leased(key != 0 ? hash(key) : KeyNames.hash(sequence), now.monotonicNs)
        if record.isFull { consumer.writeRecord(now) }
    }

    /// With `sticky`: the first request of the client that handled the key last, if it has one waiting.
    func preferredRequest(_ slot: OutstandingTable.Slot) -> WaitingRequests.Slot {
        let key = table[slot].key
        guard settings.isSticky, key != 0, let client = affinity.client(hash(key)) else { return WaitingRequests.none }
        var request = consumer.requests.head
        while request != WaitingRequests.none {
            if consumer.requests[request].client == client { return request }
            request = consumer.requests.next(request)
        }
        return WaitingRequests.none
    }
}

extension Consumer {
    /// Leases messages to the requests that wait, for a consumer with keys.
    func deliverByKey(_ keyed: KeyedDelivery, _ now: Instant) -> DispatchEnd {
        guard !requests.isEmpty else { return .takers }
        guard keyed.resolve() else { return keyed.awaitsDisk ? .reading : .budget }
        keyed.updateHold(now)
        let log = stream.log, host = stream.host
        var sent = 0, sentBytes = 0, steps = KeyedDelivery.stepsMax
        while !requests.isEmpty {
            if sent >= DispatchBudget.messages || sentBytes >= DispatchBudget.bytes { return .budget }
            let slot: OutstandingTable.Slot
            switch keyed.choose(&steps) {
            case .none(let end): return end
            case .message(let chosen): slot = chosen
            }
            let message: StoredMessage
            switch log.load(keyed.table[slot].sequence) {
            case .message(let loaded): message = loaded
            case .reading: return .reading
            case .failed:
                readLater()
                return .reading
            case .absent:
                keyed.removed(slot, bytes: 0)
                continue
            }
            let entry = keyed.table[slot]
            let pending = entry.total == 0 && numPending > 0 ? numPending - 1 : numPending
            let ack = ackSubjects.write(
                deliveries: UInt64(entry.attempts) + 1, sequence: entry.sequence, delivery: state.delivered.consumer &+ 1,
                timeNs: message.timeNs, pending: pending)
            var delivery = Delivery(subject: message.subject, reply: ack, headers: message.headers, payload: message.payload)
            if settings.headersOnly { leaveOutPayload(&delivery) }
            let bytes = delivery.subject.count + ack.count + delivery.headers.count + delivery.payload.count
            var request = keyed.preferredRequest(slot)
            if request == WaitingRequests.none {
                request = chooseRequest(bytes: bytes, now)
            } else if !accepts(request, bytes: bytes, now) {
                continue
            }
            if request == WaitingRequests.none { return .takers }
            // A status went out meanwhile: the views may be gone.
            if request == WaitingRequests.again { continue }
            if settings.priority == .pinnedClient {
                delivery.headers = scratch.extended(
                    message.headers, payloadBytes: settings.headersOnly ? message.payload.count : nil, pinID: pin.id)
            }
            let client = requests[request].client
            guard host.deliver(delivery, to: requests[request].target) else {
                requests.remove(request)
                continue
            }
            keyed.leased(slot, to: client, now)
            serve(request, bytes: bytes, now)
            sent += 1
            sentBytes += bytes
        }
        return .takers
    }
}

/// Which client handled a key last: a table of fixed size, in which keys that share a place forget each other.
struct KeyAffinity {
    private static let size = 1 << 14
    private var clients: [(hash: UInt64, client: UInt64)] = []

    mutating func set(_ hash: UInt64, _ client: UInt64) {
        if clients.isEmpty { clients = Array(repeating: (0, 0), count: KeyAffinity.size) }
        clients[Int(truncatingIfNeeded: hash) & (KeyAffinity.size - 1)] = (hash, client)
    }

    func client(_ hash: UInt64) -> UInt64? {
        guard !clients.isEmpty else { return nil }
        let known = clients[Int(truncatingIfNeeded: hash) & (KeyAffinity.size - 1)]
        return known.hash == hash && known.client != 0 ? known.client : nil
    }
}
