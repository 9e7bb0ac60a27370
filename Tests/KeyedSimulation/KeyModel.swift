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
        var key: Int
        /// The place among its key's.
        var place: Int
        var state = State.fresh
        /// Of the last time that it was given out.
        var delivery: UInt64 = 0
        var wasGiven = false
        /// A crash may have swallowed its last lease: then the one before is the last that the broker knows of.
        var isUncertain = false
    }

    private(set) var messages: [UInt64: Message] = [:]
    /// Sequences by key; those below `firstOpen` are done.
    private var byKey: [[UInt64]]
    private var firstOpen: [Int]
    /// When the key's lease ends; nil: none is live, or nobody can know.
    private var liveUntil: [UInt64?]
    private var liveSequence: [UInt64]
    private var used = Set<UInt64>()
    /// Dead letters that were announced, and that nobody has ended since.
    private(set) var parked = Set<UInt64>()
    private(set) var deliveries = 0
    /// Removed since the last crash, with where each stood.
    private var removals: [UInt64: State] = [:]

    init(keys: Int) {
        byKey = Array(repeating: [], count: keys)
        firstOpen = Array(repeating: 0, count: keys)
        liveUntil = Array(repeating: nil, count: keys)
        liveSequence = Array(repeating: 0, count: keys)
    }

    func state(_ sequence: UInt64) -> State { messages[sequence]?.state ?? .done }
    func key(_ sequence: UInt64) -> Int { messages[sequence]?.key ?? -1 }
    func isUncertain(_ sequence: UInt64) -> Bool { messages[sequence]?.isUncertain ?? true }
    func delivery(_ sequence: UInt64) -> UInt64 { messages[sequence]?.delivery ?? 0 }

    mutating func stored(_ sequence: UInt64, key: Int) {
        guard messages[sequence] == nil else { return }
        messages[sequence] = Message(key: key, place: byKey[key].count)
        byKey[key].append(sequence)
    }

    // MARK: What clients see

    mutating func given(_ lease: Lease, endsNs: UInt64, nowNs: UInt64, isThere: (UInt64) -> Bool) throws {
        deliveries += 1
        guard var message = messages[lease.sequence] else { throw Violation("\(lease.sequence) was given and never stored") }
        let key = message.key
        if !used.insert(lease.delivery).inserted { throw Violation("consumer sequence \(lease.delivery) was given twice") }
        if message.state == .done { throw Violation("\(lease.sequence) was given after it was done") }
        if let until = liveUntil[key], until > nowNs {
            throw Violation("\(lease.sequence) was given while key \(key) has a live lease")
        }
        if parked.contains(lease.sequence) { throw Violation("\(lease.sequence) was given while it is parked") }
        for place in firstOpen[key]..<message.place {
            let earlier = byKey[key][place]
            guard state(earlier) == .done || state(earlier) == .maybeDone || !isThere(earlier) else {
                throw Violation("\(lease.sequence) was given before \(earlier) of key \(key), which is \(state(earlier))")
            }
            // So its ack had arrived, or it is gone.
            if !isThere(earlier), state(earlier) != .done { removals[earlier] = state(earlier) }
            messages[earlier]?.state = .done
        }
        for place in (message.place + 1)..<max(message.place + 1, byKey[key].count)
        where messages[byKey[key][place]]?.wasGiven ?? false {
            throw Violation("\(lease.sequence) was given after \(byKey[key][place]) of key \(key)")
        }
        message.state = .given
        message.delivery = lease.delivery
        message.wasGiven = true
        message.isUncertain = false
        messages[lease.sequence] = message
        liveUntil[key] = endsNs
        liveSequence[key] = lease.sequence
        close(key)
    }

    /// A client has ended its lease, or prolonged it.
    mutating func leaseEnds(_ sequence: UInt64, _ endsNs: UInt64?) {
        guard let key = messages[sequence]?.key, liveSequence[key] == sequence else { return }
        liveUntil[key] = endsNs
    }

    func isLive(_ lease: Lease, nowNs: UInt64) -> Bool {
        guard let message = messages[lease.sequence], message.delivery == lease.delivery,
            liveSequence[message.key] == lease.sequence
        else { return false }
        return liveUntil[message.key].map { $0 > nowNs } ?? false
    }

    /// An ack is on its way.
    mutating func mayBeDone(_ sequence: UInt64) {
        if let state = messages[sequence]?.state, state != .done { messages[sequence]?.state = .maybeDone }
        if removals[sequence] != nil { removals[sequence] = .maybeDone }
    }

    /// The broker has said so.
    mutating func done(_ sequence: UInt64) {
        guard let key = messages[sequence]?.key else { return }
        messages[sequence]?.state = .done
        parked.remove(sequence)
        close(key)
    }

    /// The broker has said that an ack was stale.
    mutating func refused(_ sequence: UInt64) {
        if messages[sequence]?.state == .maybeDone { messages[sequence]?.state = .given }
    }

    // MARK: Dead letters

    mutating func announced(_ sequence: UInt64) {
        parked.insert(sequence)
        if let key = messages[sequence]?.key { liveUntil[key] = nil }
    }
    mutating func mayBeRetried(_ sequence: UInt64) { parked.remove(sequence) }

    // MARK: The broker

    /// Leases may have been forgotten, and publishes that were not acknowledged.
    mutating func crashed(lastSequence: UInt64) {
        for key in liveUntil.indices { liveUntil[key] = nil }
        for (key, places) in byKey.enumerated() {
            for sequence in places[firstOpen[key]...] { messages[sequence]?.isUncertain = true }
        }
        for sequence in messages.keys where sequence > lastSequence {
            guard let message = messages.removeValue(forKey: sequence) else { continue }
            byKey[message.key].removeAll { $0 == sequence }
        }
    }

    /// A message has left the stream.
    mutating func removed(_ sequence: UInt64) {
        if state(sequence) != .done { removals[sequence] = state(sequence) }
        done(sequence)
    }

    /// What has come back with a crash, because its removal was not durable, stands where it stood: it is given in its turn, and
    /// what comes behind it again, if that is not done.
    mutating func returned(_ isThere: (UInt64) -> Bool) {
        for (sequence, state) in removals where isThere(sequence) {
            guard let message = messages[sequence] else { continue }
            messages[sequence]?.state = state
            firstOpen[message.key] = min(firstOpen[message.key], message.place)
            for place in message.place..<byKey[message.key].count {
                messages[byKey[message.key][place]]?.wasGiven = false
                messages[byKey[message.key][place]]?.isUncertain = true
            }
        }
        removals = [:]
    }

    private mutating func close(_ key: Int) {
        while firstOpen[key] < byKey[key].count, state(byKey[key][firstOpen[key]]) == .done {
            messages[byKey[key][firstOpen[key]]]?.state = .done
            firstOpen[key] += 1
        }
    }

    /// Messages that are not done.
    var open: [UInt64] { messages.filter { $0.value.state != .done }.map(\.key).sorted() }
}
