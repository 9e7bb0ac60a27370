// What a consumer should know: what it has delivered, what waits for an ack, who waits for messages. When exactly a wait ends
// is up to the broker within a few milliseconds, so that a wait has an earliest and a latest end here.

@testable import Broker

/// A message that has been delivered and not acked.
struct PendingModel {
    /// The consumer sequence of its first delivery.
    var delivery: UInt64
    var deliveries: Int
    /// When it may be delivered again, and when it must; nil: never by itself.
    var dueNs: ClosedRange<UInt64>?
    /// When the wait for its ack began, if that is known.
    var sinceNs: UInt64 = 0

    func isDue(at nowNs: UInt64) -> Bool { dueNs.map { $0.lowerBound <= nowNs } ?? false }
}

/// A pull request that waits.
struct RequestModel {
    var reply: String
    var batch = 1
    /// 0 is any number.
    var bytes = 0
    var expiresNs: UInt64?
    var noWait = false
    var priority = 0
    var minPending = 0
    var minAckPending = 0
    var delivered = 0
    /// The consumer's latest sign of a client before this one, which counts again where the request is refused.
    var activeBeforeNs: UInt64 = 0
}

struct ConsumerModel {
    static let slackNs: UInt64 = 5_000_000

    /// What copies share: it is large, and seldom changes.
    private final class Definition {
        let config: ConsumerConfig
        /// The subjects that it is for.
        let bits: UInt16

        init(_ config: ConsumerConfig) {
            self.config = config
            bits = config.filters.isEmpty ? 0xFF : config.filters.reduce(0) { $0 | Scenario.bits(of: $1) }
        }
    }

    let name: String
    private var definition: Definition
    var config: ConsumerConfig {
        _read { yield definition.config }
        set { definition = Definition(newValue) }
    }
    var delivered = (consumer: UInt64(0), stream: UInt64(0))
    var floor = (consumer: UInt64(0), stream: UInt64(0))
    var pending: [UInt64: PendingModel] = [:]
    /// Their deliveries are used up; they stay in the stream.
    var exhausted: Set<UInt64> = []
    /// Nothing before it is new.
    var next: UInt64
    /// With `last_per_subject`: what comes before everything behind `startsEnd`.
    var starts: [UInt64] = []
    var startsEnd: UInt64 = 0
    var requests: [RequestModel] = []
    var pauseEndsNs: UInt64?
    /// Ends of which the broker has said that it knows of them.
    var confirmed: Set<UInt64> = []
    /// The latest sign of a client, for the inactive threshold.
    var activeNs: UInt64
    let madeNs: UInt64
    /// With replay original: up to where messages keep the gaps between them, and the last one that was sent.
    var replayEnd: UInt64 = 0
    var replayed: (timeNs: Int64, atNs: UInt64)?

    init(_ name: String, _ config: ConsumerConfig, _ stream: StreamModel, nowNs: UInt64) {
        self.name = name
        definition = Definition(config)
        activeNs = nowNs
        madeNs = nowNs
        next = 1
        if config.replayPolicy == .original { replayEnd = stream.lastSequence }
        let bits = definition.bits
        let matching = stream.messages.filter { $0.subjectBit & bits != 0 }
        switch config.deliverPolicy {
        case .all: break
        case .new: next = stream.lastSequence + 1
        case .last: next = matching.last?.sequence ?? 1
        case .byStartSequence: next = config.startSequence
        case .byStartTime:
            next = stream.messages.first { $0.timeNs >= config.startTimeNs ?? 0 }?.sequence ?? stream.lastSequence + 1
        case .lastPerSubject:
            if stream.config.maxMessagesPerSubject == 1 { break }
            var last: [String: UInt64] = [:]
            for message in matching { last[message.subject] = message.sequence }
            starts = last.values.sorted()
            startsEnd = stream.lastSequence
            next = starts.first ?? stream.lastSequence + 1
        }
        next = max(1, next, stream.firstSequence)
        delivered.stream = next - 1
        floor.stream = next - 1
    }

    // MARK: What is to come

    func wants(_ subject: String) -> Bool { Scenario.bits(of: subject) & definition.bits != 0 }
    func wants(_ message: ModelMessage) -> Bool { message.subjectBit & definition.bits != 0 }

    /// New messages in the order in which they come.
    func ahead(_ stream: StreamModel) -> [ModelMessage] {
        let first = starts.compactMap { stream[$0] }
        return first + stream.messages[stream.place(from)...].filter { wants($0) }
    }

    private var from: UInt64 { starts.isEmpty ? next : startsEnd + 1 }

    /// How many these are, of those up to a sequence.
    func aheadCount(_ stream: StreamModel, upTo end: UInt64 = .max) -> Int {
        var count = 0
        for sequence in starts where sequence <= end && stream.index(sequence) != nil { count += 1 }
        for place in stream.place(from)..<stream.messages.count
        where stream.messages[place].sequence <= end && wants(stream.messages[place]) {
            count += 1
        }
        return count
    }

    /// The first of them.
    func firstAhead(_ stream: StreamModel) -> UInt64? {
        for sequence in starts where stream.index(sequence) != nil { return sequence }
        for place in stream.place(from)..<stream.messages.count where wants(stream.messages[place]) {
            return stream.messages[place].sequence
        }
        return nil
    }

    func wasDelivered(_ sequence: UInt64) -> Bool {
        starts.isEmpty ? sequence < next : sequence <= startsEnd && !starts.contains(sequence)
    }

    /// Whether an interest stream has to keep a message for it.
    func waits(for message: ModelMessage) -> Bool {
        if pending[message.sequence] != nil || exhausted.contains(message.sequence) { return true }
        if wasDelivered(message.sequence) { return false }
        return starts.contains(message.sequence) || wants(message)
    }

    var tracks: Bool { config.ackPolicy != .none }
    var isFull: Bool { tracks && config.maxAckPending > 0 && pending.count >= config.maxAckPending }
    var isPaused: Bool { pauseEndsNs != nil }
    var redelivered: Int { config.maxDeliver == 1 ? 0 : pending.values.count { $0.deliveries > 1 } + exhausted.count }

    func ackWait(_ deliveries: Int) -> UInt64? {
        if !config.backoffNs.isEmpty { return UInt64(config.backoffNs[min(deliveries, config.backoffNs.count) - 1]) }
        return config.ackWaitNs > 0 ? UInt64(config.ackWaitNs) : nil
    }

    private func due(after deliveries: Int, _ nowNs: UInt64) -> ClosedRange<UInt64>? {
        ackWait(deliveries).map { nowNs + $0...nowNs + $0 }
    }

    // MARK: What happens

    mutating func deliverNew(_ sequence: UInt64, nowNs: UInt64) {
        delivered.consumer += 1
        delivered.stream = max(delivered.stream, sequence)
        if starts.isEmpty || sequence > startsEnd {
            starts = []
            next = sequence + 1
        } else {
            starts.removeAll { $0 <= sequence }
            next = starts.isEmpty ? startsEnd + 1 : sequence + 1
        }
        guard tracks else {
            floor = (delivered.consumer, sequence)
            return
        }
        let due = due(after: 1, nowNs)
        pending[sequence] = PendingModel(delivery: delivered.consumer, deliveries: 1, dueNs: due, sinceNs: nowNs)
    }

    mutating func deliverAgain(_ sequence: UInt64, nowNs: UInt64) {
        delivered.consumer += 1
        pending[sequence]?.deliveries += 1
        let deliveries = pending[sequence]?.deliveries ?? 1
        let due = due(after: deliveries, nowNs)
        pending[sequence]?.dueNs = due
        pending[sequence]?.sinceNs = nowNs
    }

    /// A message is done with. The floor follows the lowest that is not.
    mutating func finish(_ sequence: UInt64) {
        guard let finished = pending[sequence] else { return }
        let isNext = pending.keys.min() == sequence && finished.delivery == floor.consumer + 1
        pending[sequence] = nil
        if pending.isEmpty {
            floor = delivered
        } else if isNext, let lowest = pending.keys.min(), let entry = pending[lowest] {
            floor = (entry.delivery - 1, lowest - 1)
        }
    }

    mutating func exhaust(_ sequence: UInt64) {
        pending[sequence] = nil
        exhausted.insert(sequence)
    }

    /// A message has left the stream.
    mutating func removed(_ sequence: UInt64) {
        finish(sequence)
        exhausted.remove(sequence)
    }

    /// The stream was purged: the consumer goes on behind what that has left it nothing of.
    mutating func purged(_ pattern: String?, _ stream: StreamModel) {
        let isWithin = !config.filters.isEmpty && config.filters.allSatisfy { isSubset($0, of: pattern) }
        let isWider = config.filters.isEmpty || config.filters.contains { isSubset(pattern, of: $0) }
        guard pattern == nil || isWithin || isWider else { return }
        var start = max(1, stream.firstSequence)
        if let pattern, isWithin {
            start = stream.messages.first { matches(pattern, $0.subject) }?.sequence ?? stream.lastSequence + 1
        }
        guard start - 1 > delivered.stream || start - 1 > floor.stream else { return }
        delivered.stream = max(delivered.stream, start - 1)
        let hadStarts = !starts.isEmpty
        starts.removeAll { $0 < start }
        next = starts.first ?? max(next, start, hadStarts ? startsEnd + 1 : 0)
        if let lowest = pending.keys.min() {
            floor.stream = max(floor.stream, min(start, lowest) - 1)
        } else {
            floor = delivered
        }
    }

    private func isSubset(_ pattern: String?, of other: String?) -> Bool {
        guard let other else { return true }
        guard let pattern else { return false }
        return SubjectText.isSubset(pattern, of: other)
    }

    // MARK: Acks

    /// - Returns: the sequences that the stream may remove now.
    mutating func ack(_ sequence: UInt64, delivery: UInt64) -> [UInt64] {
        guard tracks, wasDelivered(sequence) else { return [] }
        guard config.ackPolicy == .all else {
            // What it has passed over is not for it to take away: the ack may be for an earlier consumer of this name.
            guard pending[sequence] != nil || exhausted.contains(sequence) else { return [] }
            finish(sequence)
            exhausted.remove(sequence)
            return [sequence]
        }
        guard sequence > floor.stream else { return [] }
        let done = (pending.keys.filter { $0 <= sequence } + exhausted.filter { $0 <= sequence }).sorted()
        for sequence in done { pending[sequence] = nil }
        exhausted = exhausted.filter { $0 > sequence }
        floor = (max(floor.consumer, min(delivery, delivered.consumer)), max(floor.stream, sequence))
        return done
    }

    mutating func nak(_ sequence: UInt64, delivery: UInt64, delayNs: UInt64?, nowNs: UInt64) {
        guard tracks, delivery > floor.consumer, delivery <= delivered.consumer, let entry = pending[sequence] else { return }
        if let delayNs {
            pending[sequence]?.dueNs = nowNs + delayNs...nowNs + delayNs
        } else if config.maxDeliver > 0 && entry.deliveries >= config.maxDeliver {
            exhaust(sequence)
        } else if !entry.isDue(at: nowNs) {
            pending[sequence]?.dueNs = nowNs...nowNs
        }
    }

    mutating func progress(_ sequence: UInt64, nowNs: UInt64) {
        guard tracks, let entry = pending[sequence] else { return }
        if let due = entry.dueNs, due.lowerBound <= nowNs {
            // What is due already keeps its place. After a restart that is not known.
            guard due.upperBound > nowNs, let wait = ackWait(entry.deliveries) else { return }
            pending[sequence]?.dueNs = due.lowerBound...max(due.upperBound, nowNs + wait)
            return
        }
        let due = due(after: entry.deliveries, nowNs)
        pending[sequence]?.dueNs = due
        pending[sequence]?.sinceNs = nowNs
    }

    // MARK: Updates

    /// Takes over a configuration that was changed.
    ///
    /// - Parameter position: where the broker goes on looking: what it has passed over does not come back with a wider filter.
    mutating func update(_ new: ConsumerConfig, position: UInt64, nowNs: UInt64) {
        let old = config
        if starts.isEmpty { next = max(next, position) }
        config = new
        if old.ackWaitNs == new.ackWaitNs && old.backoffNs == new.backoffNs { return }
        for (sequence, entry) in pending {
            guard let due = entry.dueNs, due.lowerBound > nowNs || due.upperBound > nowNs, let wait = ackWait(entry.deliveries)
            else { continue }
            // Delays that a client has asked for go by the new length, too.
            pending[sequence]?.dueNs = min(due.lowerBound, entry.sinceNs + wait)...max(due.upperBound, nowNs + wait)
        }
    }

    /// With `last_per_subject`: what the new filter leaves out does not come any more.
    mutating func keepStarts(_ stream: StreamModel) {
        guard !starts.isEmpty else { return }
        starts = starts.filter { sequence in stream[sequence].map { wants($0) } ?? false }
        next = starts.first ?? startsEnd + 1
    }

    /// Where the broker goes on looking, if nothing that comes before that is still to be delivered.
    mutating func passOver(to position: UInt64, _ stream: StreamModel) {
        guard starts.isEmpty, position > next, firstAhead(stream) ?? .max >= position else { return }
        next = position
    }

    // MARK: Restarts

    /// Clients are gone, and how long each message has waited is not known any more.
    mutating func restart(nowNs: UInt64, wallNs: Int64) {
        // What a filter has left out before it was changed is looked at anew.
        if starts.isEmpty { next = max(delivered.stream, startsEnd) + 1 }
        requests = []
        activeNs = nowNs
        replayed = nil
        for (sequence, entry) in pending {
            var latest = ackWait(entry.deliveries) ?? 0
            if let due = entry.dueNs { latest = max(latest, due.upperBound - min(due.upperBound, nowNs)) }
            pending[sequence]?.dueNs = nowNs...nowNs + latest
        }
        pauseEndsNs = config.pauseUntilNs.flatMap { $0 > wallNs ? nowNs + UInt64($0 - wallNs) : nil }
    }

    /// A message that a crash has brought back, though its end was confirmed.
    func broughtBack(_ actual: Consumer) -> UInt64? {
        let starts = actual.state.lastPerSubject
        return confirmed.first { sequence in
            let isAhead =
                starts.isEmpty ? sequence >= actual.nextSequence : sequence > starts.end || starts.contains(sequence)
            return isAhead || actual.state.pending.contains(sequence) || actual.state.exhausted[sequence] != nil
        }
    }

    /// Takes over what a crash has left.
    mutating func adopt(_ consumer: Consumer, nowNs: UInt64) {
        delivered = (consumer.state.delivered.consumer, consumer.state.delivered.stream)
        floor = (consumer.state.ackFloor.consumer, consumer.state.ackFloor.stream)
        next = consumer.nextSequence
        starts = Array(consumer.state.lastPerSubject.remaining)
        startsEnd = consumer.state.lastPerSubject.end
        if config.replayPolicy == .original { replayEnd = consumer.stream.log.state.lastSequence }
        exhausted = Set(consumer.state.exhausted.keys)
        pending = ConsumerModel.pending(of: consumer).mapValues {
            PendingModel(delivery: $0.delivery, deliveries: Int($0.deliveries), dueNs: nil)
        }
        for (sequence, entry) in pending {
            let wait = ackWait(entry.deliveries)
            pending[sequence]?.dueNs = wait.map { nowNs...nowNs + max($0, 3_000_000_000) }
        }
    }

    static func pending(of consumer: Consumer) -> [UInt64: PendingTable.Entry] {
        var entries: [UInt64: PendingTable.Entry] = [:]
        var slot = consumer.state.pending.first
        while slot != PendingTable.none {
            entries[consumer.state.pending[slot].sequence] = consumer.state.pending[slot]
            slot = consumer.state.pending.next(slot)
        }
        return entries
    }
}
