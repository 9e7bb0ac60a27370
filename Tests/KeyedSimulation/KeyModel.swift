// What must hold of a keyed consumer, seen from outside: by what clients were given and answered, and what operators saw.

import Wire

/// Knows of each message where it stands, as far as a client can know.
struct KeyModel {
    enum State: UInt8 {
        case fresh
        /// Somebody was given it.
        case given
        /// An ack, or a skip, is on its way and not answered: a crash may have swallowed it.
        case maybeDone
        case done
    }

    struct Message {
        /// -1 where no such message was stored.
        var key = -1
        /// The place among its key's.
        var place = 0
        var state = State.fresh
        /// Of the last time that it was given out.
        var delivery: UInt64 = 0
        /// A crash may have swallowed its last lease: then the one before is the last that the broker knows of.
        var isUncertain = false
        /// A filter has left it out while it waited: it may be passed over.
        var isOptional = false
    }

    /// A lease that has not ended, as far as anybody knows.
    private struct Live {
        var sequence: UInt64
        var client: Int
        var untilNs: UInt64
    }

    private struct Key {
        /// Sequences; those below `firstOpen` are done.
        var sequences: [UInt64] = []
        var firstOpen = 0
        /// The furthest place that was given out.
        var furthest = -1
        var live: [Live] = []
    }

    /// Leases at a time for one key; above 1 the order inside the key is given up.
    let leasesPerKey: Int
    /// By sequence.
    private var messages: [Message] = [Message()]
    private var keys: [Key]
    private var lastDelivery: UInt64 = 0
    /// Dead letters that were announced, and that nobody has ended since.
    private(set) var parked = Set<UInt64>()
    private(set) var deliveries = 0
    /// Removed since the last crash, with where each stood.
    private var removals: [UInt64: State] = [:]
    /// Passed over since the last crash because a filter left it out, as the lease of a later one of its key has shown.
    private var passings: [(sequence: UInt64, by: UInt64)] = []

    init(keys: Int, leasesPerKey: Int) {
        self.leasesPerKey = leasesPerKey
        self.keys = Array(repeating: Key(), count: keys)
    }

    private func isKnown(_ sequence: UInt64) -> Bool { sequence < UInt64(messages.count) && messages[Int(sequence)].key >= 0 }

    func state(_ sequence: UInt64) -> State { isKnown(sequence) ? messages[Int(sequence)].state : .done }
    func key(_ sequence: UInt64) -> Int { isKnown(sequence) ? messages[Int(sequence)].key : -1 }
    func isUncertain(_ sequence: UInt64) -> Bool { isKnown(sequence) ? messages[Int(sequence)].isUncertain : true }
    func delivery(_ sequence: UInt64) -> UInt64 { isKnown(sequence) ? messages[Int(sequence)].delivery : 0 }

    /// - Parameter key: nil: it is its own.
    mutating func stored(_ sequence: UInt64, key: Int?, isWanted: Bool) {
        while messages.count <= Int(sequence) { messages.append(Message()) }
        guard messages[Int(sequence)].key < 0 else { return }
        let key = key ?? keys.count
        if key == keys.count { keys.append(Key()) }
        messages[Int(sequence)] = Message(key: key, place: keys[key].sequences.count, isOptional: !isWanted)
        keys[key].sequences.append(sequence)
    }

    // MARK: What clients see

    mutating func given(_ lease: Lease, endsNs: UInt64, nowNs: UInt64, isThere: (UInt64) -> Bool) throws {
        deliveries += 1
        guard isKnown(lease.sequence) else { throw Violation("\(lease.sequence) was given and never stored") }
        let message = messages[Int(lease.sequence)], key = message.key
        // So none is given twice, and handlers can fence by it.
        if lease.delivery <= lastDelivery {
            throw Violation("consumer sequence \(lease.delivery) was given after \(lastDelivery)")
        }
        lastDelivery = lease.delivery
        if message.state == .done { throw Violation("\(lease.sequence) was given after it was done") }
        keys[key].live.removeAll { $0.untilNs <= nowNs }
        if keys[key].live.count >= leasesPerKey || keys[key].live.contains(where: { $0.sequence == lease.sequence }) {
            throw Violation("\(lease.sequence) was given while key \(key) has a live lease")
        }
        if parked.contains(lease.sequence) { throw Violation("\(lease.sequence) was given while it is parked") }
        if leasesPerKey == 1 { try keepsOrder(message, lease.sequence, isThere) }
        messages[Int(lease.sequence)].state = .given
        messages[Int(lease.sequence)].delivery = lease.delivery
        messages[Int(lease.sequence)].isUncertain = false
        keys[key].furthest = max(keys[key].furthest, message.place)
        keys[key].live.append(Live(sequence: lease.sequence, client: lease.client, untilNs: endsNs))
        close(key)
    }

    private mutating func keepsOrder(_ message: Message, _ sequence: UInt64, _ isThere: (UInt64) -> Bool) throws {
        let key = message.key
        if keys[key].furthest > message.place {
            throw Violation("\(sequence) was given after \(keys[key].sequences[keys[key].furthest]) of key \(key)")
        }
        guard keys[key].firstOpen < message.place else { return }
        for place in keys[key].firstOpen..<message.place {
            let earlier = keys[key].sequences[place], state = messages[Int(earlier)].state
            if state == .done { continue }
            let isGone = !isThere(earlier)
            guard state == .maybeDone || isGone || messages[Int(earlier)].isOptional else {
                throw Violation("\(sequence) was given before \(earlier) of key \(key), which is \(state)")
            }
            // So its ack had arrived, or it is gone, or was passed over.
            if isGone { removals[earlier] = state } else if state == .fresh { passings.append((earlier, sequence)) }
            messages[Int(earlier)].state = .done
        }
    }

    /// A client has ended its lease, or prolonged it.
    mutating func leaseEnds(_ sequence: UInt64, _ endsNs: UInt64?) {
        guard isKnown(sequence) else { return }
        let key = messages[Int(sequence)].key
        guard let place = keys[key].live.firstIndex(where: { $0.sequence == sequence }) else { return }
        if let endsNs { keys[key].live[place].untilNs = endsNs } else { keys[key].live.remove(at: place) }
    }

    /// A client's connection is gone, and its leases with it.
    mutating func released(by client: Int) {
        for key in keys.indices where !keys[key].live.isEmpty { keys[key].live.removeAll { $0.client == client } }
    }

    func isLive(_ lease: Lease, nowNs: UInt64) -> Bool {
        guard isKnown(lease.sequence), messages[Int(lease.sequence)].delivery == lease.delivery else { return false }
        return keys[messages[Int(lease.sequence)].key].live.contains { $0.sequence == lease.sequence && $0.untilNs > nowNs }
    }

    /// An ack is on its way.
    mutating func mayBeDone(_ sequence: UInt64) {
        if state(sequence) != .done { messages[Int(sequence)].state = .maybeDone }
        if removals[sequence] != nil { removals[sequence] = .maybeDone }
    }

    /// The broker has said so.
    mutating func done(_ sequence: UInt64) {
        guard isKnown(sequence) else { return }
        messages[Int(sequence)].state = .done
        parked.remove(sequence)
        close(messages[Int(sequence)].key)
    }

    /// The broker has said that an ack was stale.
    mutating func refused(_ sequence: UInt64) {
        if state(sequence) == .maybeDone { messages[Int(sequence)].state = .given }
    }

    // MARK: Dead letters

    mutating func announced(_ sequence: UInt64) {
        parked.insert(sequence)
        leaseEnds(sequence, nil)
    }
    mutating func mayBeRetried(_ sequence: UInt64) { parked.remove(sequence) }

    /// Whether a message waits behind one that is parked, as far as anybody knows. With more than one lease for a key, some of
    /// those behind it do not wait.
    func waitsBehindPark(_ sequence: UInt64) -> Bool {
        guard leasesPerKey == 1, state(sequence) == .fresh, !isOptional(sequence) else { return false }
        return parked.contains { $0 < sequence && key($0) == key(sequence) }
    }

    // MARK: The broker

    /// The consumer's filter has changed: what it leaves out may be passed over from now on.
    mutating func filtered(_ isWanted: (UInt64) -> Bool) {
        for key in keys.indices {
            for sequence in keys[key].sequences[keys[key].firstOpen...]
            where !messages[Int(sequence)].isOptional && !isWanted(sequence) {
                messages[Int(sequence)].isOptional = true
            }
        }
    }

    /// Leases may have been forgotten, and publishes that were not acknowledged.
    mutating func crashed(lastSequence: UInt64) {
        for key in keys.indices {
            keys[key].live.removeAll(keepingCapacity: true)
            while let last = keys[key].sequences.last, last > lastSequence { keys[key].sequences.removeLast() }
            keys[key].firstOpen = min(keys[key].firstOpen, keys[key].sequences.count)
            keys[key].furthest = min(keys[key].furthest, keys[key].sequences.count - 1)
            for sequence in keys[key].sequences[keys[key].firstOpen...] { messages[Int(sequence)].isUncertain = true }
        }
        if messages.count > Int(lastSequence) + 1 { messages.removeLast(messages.count - Int(lastSequence) - 1) }
        unpass()
    }

    /// Of a lease that nobody has ended for good the crash may have forgotten that the read position was there: a filter that
    /// lets through by then what was passed over has it given after all.
    private mutating func unpass() {
        for (sequence, by) in passings where isKnown(sequence) && state(by) != .done {
            let key = messages[Int(sequence)].key, place = messages[Int(sequence)].place
            messages[Int(sequence)].state = .fresh
            keys[key].firstOpen = min(keys[key].firstOpen, place)
            keys[key].furthest = min(keys[key].furthest, place - 1)
        }
        passings = []
    }

    /// A message has left the stream.
    mutating func removed(_ sequence: UInt64) {
        if state(sequence) != .done { removals[sequence] = state(sequence) }
        done(sequence)
    }

    /// What has come back with a crash, because its removal was not durable, stands where it stood: it is given in its turn, and
    /// what comes behind it again, if that is not done.
    mutating func returned(_ isThere: (UInt64) -> Bool) {
        for (sequence, state) in removals where isThere(sequence) && isKnown(sequence) {
            messages[Int(sequence)].state = state
            let key = messages[Int(sequence)].key, from = messages[Int(sequence)].place
            keys[key].firstOpen = min(keys[key].firstOpen, from)
            keys[key].furthest = min(keys[key].furthest, from - 1)
            for place in from..<keys[key].sequences.count {
                messages[Int(keys[key].sequences[place])].isUncertain = true
            }
        }
        removals = [:]
    }

    private mutating func close(_ key: Int) {
        while keys[key].firstOpen < keys[key].sequences.count,
            messages[Int(keys[key].sequences[keys[key].firstOpen])].state == .done
        {
            keys[key].firstOpen += 1
        }
    }

    /// Calls `body` for each message that is not done, in no order.
    func forEachOpen(_ body: (UInt64) -> Void) {
        for key in keys where key.firstOpen < key.sequences.count {
            for sequence in key.sequences[key.firstOpen...] where messages[Int(sequence)].state != .done { body(sequence) }
        }
    }

    /// Messages that are not done, in order.
    var open: [UInt64] {
        var open: [UInt64] = []
        forEachOpen { open.append($0) }
        return open.sorted()
    }

    /// Whether a message may be left where it is for good.
    func isOptional(_ sequence: UInt64) -> Bool { isKnown(sequence) && messages[Int(sequence)].isOptional }
}
