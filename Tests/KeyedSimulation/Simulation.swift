// One life of a stream with a keyed consumer: random clients, operators, crashes and deletions out of a seed, and the rules
// after each.

import StoreKit
import Wire

@testable import Broker

struct Simulation {
    let seed: UInt64
    private var random: SeededRandom
    private let world: World
    private var model: KeyModel
    private let keys: Int
    private let ackWaitNs: UInt64
    private let maxAckPending: Int
    private let limitsMessages: Bool
    private let hasHeaderKeys: Bool
    private let releasesOnDisconnect: Bool
    private let changesFilter: Bool
    /// The last tokens that the consumer's filter lets through.
    private var wanted = 0..<3
    private var held: [Lease] = []
    /// Acks that were sent and are not answered, by number.
    private var asked: [Int: (lease: Lease, body: String)] = [:]
    private var lastAsked = 0
    private var lastStored: UInt64 = 0
    private let clients = 6
    /// Prints what happens.
    var traces = false

    private func trace(_ text: @autoclosure () -> String) { if traces { print(text()) } }

    var deliveries: Int { model.deliveries }

    init(seed: UInt64, checks: KeyedChecks) throws {
        self.seed = seed
        var random = SeededRandom(seed: seed)
        keys = [3, 10, 40, 200][random.below(4)]
        ackWaitNs = UInt64(1 + random.below(5)) * 1_000_000_000
        maxAckPending = [3, 20, 1000][random.below(3)]
        limitsMessages = random.once(in: 4)
        hasHeaderKeys = random.once(in: 3)
        releasesOnDisconnect = random.once(in: 3)
        let leasesPerKey = random.once(in: 4) ? [2, 5][random.below(2)] : 1
        var config = StreamConfig()
        config.name = "S"
        config.subjects = ["s.>"]
        if limitsMessages { config.maxMessages = 400 }
        if !limitsMessages && random.once(in: 3) { config.retention = .workqueue }
        var consumer = ConsumerConfig()
        consumer.durable = "c"
        consumer.name = "c"
        consumer.ackPolicy = .explicit
        consumer.ackWaitNs = Int64(ackWaitNs)
        consumer.maxDeliver = [-1, 1, 3][random.below(3)]
        consumer.maxAckPending = maxAckPending
        consumer.metadata = ["bellhop.key": hasHeaderKeys ? "header:Key" : "token:2", "bellhop.max_parked_keys": "100000"]
        if leasesPerKey > 1 { consumer.metadata["bellhop.max_pending_per_key"] = "\(leasesPerKey)" }
        if random.once(in: 3) { consumer.metadata["bellhop.key_affinity"] = "sticky" }
        if releasesOnDisconnect { consumer.metadata["bellhop.release_on_disconnect"] = "true" }
        // What a work queue keeps for a filter that comes back later is another matter.
        changesFilter = random.once(in: 4) && config.retention == .limits
        let checked = try consumer.checked(pedantic: false, stream: config, limits: JetStreamLimits())
        self.random = random
        model = KeyModel(keys: keys, leasesPerKey: leasesPerKey)
        world = try World(config: config, consumer: checked, checks: checks, seed: seed)
    }

    mutating func run(deliveries wanted: Int) throws {
        defer { world.end() }
        do {
            var steps = 0
            while model.deliveries < wanted && steps < wanted * 2 {
                steps += 1
                try step()
                try look()
                if steps % 64 == 0 { try compare() }
            }
            try finish()
        } catch {
            throw Violation("seed \(seed), after \(model.deliveries) deliveries: \(error)")
        }
    }

    // MARK: What happens

    private mutating func step() throws {
        switch random.below(100) {
        case 0..<18: for _ in 0..<(1 + random.below(12)) { publish() }
        case 18..<38: world.pull(client: random.below(clients), batch: 1 + random.below(8), expiresNs: 1_000_000_000)
        case 38..<72: for _ in 0..<(1 + random.below(6)) { answer() }
        case 72..<84: random.once(in: 3) ? world.turn() : world.commit()
        case 84..<92: try world.settle()
        case 92..<95: try world.pass(ns: UInt64(random.below(2_000)) * 1_000_000)
        case 95..<97: operate()
        case 97:
            // A client dies: what it held is not answered any more.
            let client = random.below(clients)
            held.removeAll { $0.client == client }
            if releasesOnDisconnect { model.released(by: client) }
            world.keyed.clientClosed(UInt64(client + 1))
        case 98:
            if random.once(in: 3) { try delete() } else if changesFilter && random.once(in: 3) { try changeFilter() }
        default: if random.once(in: 4) { try crash() }
        }
    }

    private mutating func publish() {
        let key = key(), last = random.below(3)
        guard hasHeaderKeys else { return world.publish(key, last) }
        // Without the header a message is its own key.
        switch random.below(16) {
        case 0: world.publish(nil, last, headers: "NATS/1.0\r\nOther: 1\r\n\r\n")
        case 1: world.publish(nil, last, headers: "NATS/1.0\r\nKey: \r\n\r\n")
        case 2: world.publish(nil, last)
        case 3: world.publish(key, last, headers: "NATS/1.0\r\nKey: \(key)\r\nKey: \(key + 1)\r\n\r\n")
        default: world.publish(key, last, headers: "NATS/1.0\r\nKey: \(key)\r\n\r\n")
        }
    }

    /// What waits and no longer matches is dropped; what comes back with a wider filter begins at the read position.
    private mutating func changeFilter() throws {
        try world.settle()
        try look()
        wanted = [0..<3, 0..<1, 0..<2, 1..<3][random.below(4)]
        trace("filter \(wanted)")
        // The limits may remove at once what they no longer have to spare; then nobody can tell what it was.
        var unwanted: Set<UInt64> = []
        model.forEachOpen { if let last = world.lastToken($0), !wanted.contains(last) { unwanted.insert($0) } }
        try world.filter(wanted.count == 3 ? [] : wanted.map { "s.*.\($0)" })
        model.filtered { !unwanted.contains($0) }
        noteStored()
        model.filtered { world.isWanted($0) }
        try look()
    }

    private mutating func key() -> Int {
        // Half of all messages go to a few hot keys.
        random.once(in: 2) ? random.below(min(3, keys)) : random.below(keys)
    }

    /// A client answers one of the deliveries that it holds, perhaps not for the first time, perhaps too late.
    private mutating func answer() {
        guard !held.isEmpty else { return }
        let place = random.below(held.count), lease = held[place]
        let body = ["", "", "", "", "", "", "+ACK", "-NAK", "-NAK 300ms", "+WPI", "+TERM bad"][random.below(11)]
        if random.below(8) > 0 { held.swapAt(place, held.count - 1); held.removeLast() }
        lastAsked += 1
        asked[lastAsked] = (lease, body)
        let isLive = model.isLive(lease, nowNs: world.now.monotonicNs)
        if body.isEmpty || body == "+ACK" {
            // A crash may have swallowed the last lease: then the one before still counts.
            if model.delivery(lease.sequence) == lease.delivery || model.isUncertain(lease.sequence) {
                model.mayBeDone(lease.sequence)
                model.mayBeRetried(lease.sequence)
                if isLive { model.leaseEnds(lease.sequence, nil) }
            }
        } else if body == "+WPI" {
            if isLive { model.leaseEnds(lease.sequence, world.now.monotonicNs + ackWaitNs) }
        } else if isLive {
            model.leaseEnds(lease.sequence, nil)
        }
        trace("ack \(lease.sequence) d\(lease.delivery) \(body)")
        world.ack(lease, body, answer: lastAsked)
    }

    private mutating func operate() {
        let parked = parks()
        switch random.below(6) {
        case 0, 1, 2:
            guard !parked.isEmpty else { return }
            let (sequence, version) = parked[random.below(parked.count)]
            model.mayBeRetried(sequence)
            trace("retry \(sequence)")
            world.command(.retry, #"{"stream_seq":\#(sequence),"version":\#(version)}"#) { _ in }
            // A second one is stale, whatever became of the first.
            var second: JSONValue = .null
            world.command(.retry, #"{"stream_seq":\#(sequence),"version":\#(version)}"#) { second = $0 }
            if second.object?["error"] == nil { staleRetries += 1 }
        case 3:
            guard !parked.isEmpty else { return }
            let (sequence, version) = parked[random.below(parked.count)]
            model.mayBeRetried(sequence)
            model.mayBeDone(sequence)
            trace("skip \(sequence)")
            world.command(.skip, #"{"stream_seq":\#(sequence),"version":\#(version),"reason":"r","actor":"a"}"#) { _ in }
        case 4:
            for (sequence, _) in parked { model.mayBeRetried(sequence) }
            trace("retry all")
            world.command(.retry, #"{"all":true}"#) { _ in }
        default:
            let message = UInt64(random.below(Int(max(1, lastStored)))) + 1
            trace("park \(message)")
            world.command(.park, #"{"stream_seq":\#(message)}"#) { _ in }
            let open = model.state(message) != .done
            if open { model.leaseEnds(message, nil) }
        }
    }

    /// Sequences and versions of what is parked.
    private func parks() -> [(UInt64, UInt64)] {
        let keyed = world.keyed
        var found: [(UInt64, UInt64)] = []
        keyed.table.forEach { slot in
            if keyed.table[slot].state == .parked { found.append((keyed.table[slot].sequence, keyed.table[slot].holder)) }
        }
        return found.sorted { $0.0 < $1.0 }
    }

    private var staleRetries = 0

    private mutating func delete() throws {
        guard lastStored > 0 else { return }
        let sequence = UInt64(random.below(Int(lastStored))) + 1
        guard world.stream.log.contains(sequence), !limitsMessages else { return }
        // The client may go on working on it: its key waits, which the model need not know.
        model.done(sequence)
        trace("delete \(sequence)")
        _ = try world.stream.log.remove(sequence, erases: false)
        try world.settle()
    }

    private mutating func crash() throws {
        try look()
        trace("crash")
        let changes = 1 + random.below(6), afterNs = UInt64(random.below(3_000)) * 1_000_000
        try world.crash(afterChanges: changes, afterNs: afterNs) { if limitsMessages { noteRemoved() } }
        trace("after the crash: \(entries)")
        for sequence in model.parked {
            trace("parked \(sequence): \(world.stream.log.contains(sequence)) \(world.config.retention)")
        }
        asked = [:]
        position = world.consumer.nextSequence
        let state = world.stream.log.state
        lastStored = min(lastStored, state.lastSequence)
        model.crashed(lastSequence: state.lastSequence)
        model.returned { world.stream.log.contains($0) }
        // What was announced as parked before is parked now.
        for sequence in model.parked where !isParked(sequence) {
            throw Violation("the park of \(sequence) was forgotten in a crash")
        }
        try look()
    }

    private var entries: String {
        var texts: [String] = []
        let keyed = world.keyed
        keyed.table.forEach { slot in
            let entry = keyed.table[slot]
            texts.append("\(entry.sequence) \(entry.state) d\(entry.delivery) key \(entry.key)")
        }
        return "position \(world.consumer.nextSequence), " + texts.sorted().joined(separator: ", ")
    }

    private func isParked(_ sequence: UInt64) -> Bool {
        let slot = world.keyed.table.find(sequence)
        return slot != OutstandingTable.none && world.keyed.table[slot].state == .parked
    }

    // MARK: What is seen

    private mutating func look() throws {
        if staleRetries > 0 { throw Violation("a stale retry was accepted") }
        noteStored()
        let events = world.events
        world.events = []
        for event in events {
            switch event {
            case .deadLetter(let sequence):
                trace("dead \(sequence)")
                if model.state(sequence) != .done { model.announced(sequence) }
            case .answered(let number, let isStale): try answered(number, isStale)
            case .given(let lease, let nowNs):
                // Given a moment before the limits have removed it: both are seen at once.
                if removedNow.contains(lease.sequence) { continue }
                trace(
                    "give \(lease.sequence) d\(lease.delivery) to \(lease.client), key \(model.key(lease.sequence)), at \(nowNs / 1_000_000)"
                )
                try model.given(lease, endsNs: nowNs + ackWaitNs, nowNs: nowNs) { world.stream.log.contains($0) }
                held.append(lease)
            }
        }
        if held.count > 300 { held.removeFirst(100) }
        // What is announced as parked and not ended is spared by the limits.
        if limitsMessages {
            for sequence in model.parked where !world.stream.log.contains(sequence) {
                throw Violation("the limits have removed \(sequence), which is parked")
            }
            if let wronglyRemoved { throw Violation("the limits have removed \(wronglyRemoved), which waits behind a park") }
        }
        position = world.consumer.nextSequence
        removedNow = []
    }

    private mutating func answered(_ number: Int, _ isStale: Bool) throws {
        guard let (lease, body) = asked.removeValue(forKey: number), body.isEmpty || body == "+ACK" else { return }
        let isLast = model.delivery(lease.sequence) == lease.delivery
        if isStale {
            // Only the last lease's ack counts; the model has not believed any other, but while nobody can know which that is.
            if isLast && !model.isUncertain(lease.sequence) { model.refused(lease.sequence) }
        } else if isLast || model.isUncertain(lease.sequence) {
            model.done(lease.sequence)
        } else if model.state(lease.sequence) == .given {
            throw Violation("an ack of an earlier lease of \(lease.sequence) was accepted")
        }
    }

    private mutating func noteStored() {
        let log = world.stream.log
        while lastStored < log.state.lastSequence {
            lastStored += 1
            guard let id = log.subject(of: lastStored) else { continue }
            let subject = log.subjects.subject(id)
            guard let token = Subject.token(subject, at: 1) else { continue }
            // `s.own.<n>` has none.
            var key: Int? = 0
            for place in 0..<token.count { key = key.map { $0 * 10 + Int(token[place]) - 0x30 } }
            if token[0] > 0x39 { key = nil }
            trace("stored \(lastStored) on \(subject.string)")
            model.stored(lastStored, key: key, isWanted: wanted.contains(Int(subject[subject.count - 1]) - 0x30))
        }
        if limitsMessages { dropRemoved() }
    }

    /// How many had gone when they were last looked for.
    private var removed: UInt64 = 0
    /// Since it was looked last.
    private var removedNow: Set<UInt64> = []
    /// The consumer's read position when it was last looked at: what waits before it behind a park is spared by the limits.
    private var position: UInt64 = 0
    private var wronglyRemoved: UInt64?

    /// What the limits have removed is done with.
    private mutating func dropRemoved() {
        let state = world.stream.log.state
        guard state.lastSequence - state.messages != removed else { return }
        removed = state.lastSequence - state.messages
        noteRemoved()
    }

    private mutating func noteRemoved() {
        var gone: [UInt64] = []
        let log = world.stream.log
        model.forEachOpen { if $0 <= lastStored && !log.contains($0) { gone.append($0) } }
        for sequence in gone.sorted() {
            trace("removed \(sequence)")
            removedNow.insert(sequence)
            if limitsMessages && sequence < position && model.waitsBehindPark(sequence) { wronglyRemoved = sequence }
            model.removed(sequence)
        }
    }

    /// The consumer's own figures.
    private mutating func compare() throws {
        try world.settle()
        try look()
        let consumer = world.consumer, keyed = world.keyed
        if keyed.table.count(.leased) + keyed.table.count(.orphaned) > maxAckPending {
            throw Violation("\(keyed.leases) leases are more than max_ack_pending allows")
        }
        let claimed = consumer.numPending
        consumer.countPending()
        if claimed != consumer.numPending { throw Violation("num_pending is \(claimed), and should be \(consumer.numPending)") }
        if keyed.visits > keyed.leasesTotal * 4 + 1000 {
            throw Violation("\(keyed.visits) keys visited for \(keyed.leasesTotal) leases")
        }
        var perKey: [KeyID: Int] = [:]
        keyed.table.forEach { slot in
            let key = keyed.table[slot].key
            if key != 0 { perKey[key, default: 0] += 1 }
        }
        if keyed.checks.contains(.oneLease), perKey.values.contains(where: { $0 > model.leasesPerKey }) {
            throw Violation("a key has more entries than it may have leases")
        }
    }

    /// Clients that do their work, and operators that retry what is parked: nothing is left in limbo.
    private mutating func finish() throws {
        held = []
        var open = model.open, stuck = 0
        while !open.isEmpty && stuck < 20 {
            for _ in 0..<30 { try work() }
            for sequence in open where !world.stream.log.contains(sequence) { model.done(sequence) }
            let before = open.count
            open = model.open
            stuck = open.count < before ? 0 : stuck + 1
        }
        // What nobody waits for any more is done, whether its client heard of it or not.
        let floor = world.keyed.floor
        let left = model.open.filter {
            (model.state($0) != .maybeDone || floor <= $0) && !model.isOptional($0)
        }
        if !left.isEmpty {
            trace("at the end: \(entries), requests \(world.consumer.requests.count), hold \(world.keyed.hold)")
            trace("open: \(left.prefix(20).map { "\($0) \(model.state($0)) \(world.stream.log.contains($0))" })")
        }
        if !left.isEmpty { throw Violation("\(left.count) messages are in limbo, the first is \(left[0])") }
    }

    /// All clients ack what they are given.
    private mutating func work() throws {
        try world.settle()
        try look()
        if world.consumer.requests.count < 64 {
            for client in 0..<clients { world.pull(client: client, batch: 64, expiresNs: 600_000_000_000) }
        }
        if world.keyed.table.count(.parked) > 0 {
            for sequence in model.parked { model.mayBeRetried(sequence) }
            world.command(.retry, #"{"all":true}"#) { _ in }
        }
        try world.settle()
        try look()
        for lease in held {
            lastAsked += 1
            asked[lastAsked] = (lease, "")
            if model.delivery(lease.sequence) == lease.delivery { model.mayBeDone(lease.sequence) }
            model.leaseEnds(lease.sequence, nil)
            world.ack(lease, "", answer: lastAsked)
        }
        if held.isEmpty { try world.pass(ns: ackWaitNs) }
        held = []
    }
}
