// What a stream should hold: an array of messages, and the rules of the API written down as plainly as they can be.

@testable import Broker

/// A message as the model keeps it.
struct ModelMessage {
    var sequence: UInt64
    var timeNs: Int64
    var subject: String
    /// Names and values in order.
    var headers: [(name: String, value: String)]
    var body: String
    /// When its own time to live ends.
    var expiresNs: Int64?
    var neverExpires = false
    /// When it is to be made another message of, if it is a schedule.
    var firesNs: Int64?
    /// What it was to make has been refused: when it is tried again is not known.
    var isRefused = false
    /// Both are set once it is stored: its place among the simulated subjects, as a bit, and what the stream counts for it.
    var subjectBit: UInt16 = 0
    var size = 0

    func header(_ name: String) -> String? { headers.first { $0.name == name && !$0.value.isEmpty }?.value }
    var isMarker: Bool { header("Nats-Marker-Reason") != nil }

    var headerBlock: String {
        headers.isEmpty ? "" : "NATS/1.0\r\n" + headers.map { "\($0.name): \($0.value)\r\n" }.joined() + "\r\n"
    }

    func bytes(_ storage: StorageType) -> Int {
        let headerBytes = headers.isEmpty ? 0 : headers.reduce(12) { $0 + $1.name.utf8.count + $1.value.utf8.count + 4 }
        if storage == .memory { return subject.utf8.count + headerBytes + body.utf8.count + 16 }
        return 22 + subject.utf8.count + (headerBytes > 0 ? 4 + headerBytes : 0) + body.utf8.count + 8
    }
}

/// Slow and obvious. Everything it does is decided at once.
struct StreamModel {
    var config: StreamConfig
    var messages: [ModelMessage] = []
    var lastSequence: UInt64 = 0
    /// Of the last message that was stored.
    var lastTimeNs: Int64 = 0
    var lastMessageID = ""
    /// Message ids that were stored within the window: sequence and time.
    var ids: [String: (sequence: UInt64, timeNs: Int64)] = [:]
    /// Atomic batches that have begun: their messages, and when the last one came.
    var batches: [String: (messages: [Attempt], timeNs: Int64)] = [:]
    var fastBatches: [String: FastBatchModel] = [:]
    /// What was stored since somebody began to note it, whatever has become of it.
    var recent: [ModelMessage]?
    /// Consumers' filters, for interest streams: whether a subject is wanted.
    var isWanted: (String) -> Bool = { _ in true }
    /// Told of each message that goes.
    var onRemoved: (ModelMessage) -> Void = { _ in }
    /// Asked to move consumers behind what a purge or a rollup has removed, of some subjects or of all.
    var onPurged: (_ model: StreamModel, _ pattern: String?) -> Void = { _, _ in }
    /// What is to be published elsewhere, in order.
    var republished: [(subject: String, headers: String, body: String)] = []

    /// Markers that were stored, and have gone before anybody saw them.
    var lostMarkers = 0

    init(config: StreamConfig) {
        self.config = config
        if config.firstSequence > 1 { lastSequence = config.firstSequence - 1 }
    }

    // MARK: What is there

    var firstSequence: UInt64 { messages.first?.sequence ?? (lastSequence == 0 ? 0 : lastSequence + 1) }
    var bytes: Int { messages.reduce(0) { $0 + $1.size } }
    var subjectCount: Int { messages.reduce(0 as UInt16) { $0 | $1.subjectBit }.nonzeroBitCount }
    var deleted: UInt64 { messages.isEmpty ? 0 : lastSequence - firstSequence + 1 - UInt64(messages.count) }

    var counts: [String: UInt64] {
        var counts: [String: UInt64] = [:]
        for message in messages { counts[message.subject, default: 0] += 1 }
        return counts
    }

    func index(_ sequence: UInt64) -> Int? {
        let place = place(sequence)
        return place < messages.count && messages[place].sequence == sequence ? place : nil
    }

    /// Where the first message stands that does not come before a sequence.
    func place(_ sequence: UInt64) -> Int {
        var low = 0, high = messages.count
        while low < high {
            let middle = (low + high) / 2
            if messages[middle].sequence < sequence { low = middle + 1 } else { high = middle }
        }
        return low
    }

    subscript(sequence: UInt64) -> ModelMessage? { index(sequence).map { messages[$0] } }

    /// The last sequence of a subject, or of any that a pattern matches; 0 without one.
    func last(_ pattern: String) -> UInt64 {
        let bits = Scenario.bits(of: pattern)
        return messages.last { $0.subjectBit & bits != 0 }?.sequence ?? 0
    }

    // MARK: Removing

    @discardableResult
    mutating func remove(_ sequence: UInt64) -> Bool {
        guard let index = index(sequence) else { return false }
        let message = messages.remove(at: index)
        onRemoved(message)
        return true
    }

    mutating func removeAll(where isGone: (ModelMessage) -> Bool) -> Int {
        let gone = messages.filter(isGone)
        messages.removeAll(where: isGone)
        for message in gone { onRemoved(message) }
        return gone.count
    }

    /// STREAM.PURGE. - Returns: how many went.
    mutating func purge(filter: String, sequence: UInt64, keep: Int) -> Int {
        var matching = messages.filter { filter.isEmpty || matches(filter, $0.subject) }.map(\.sequence)
        if sequence > 0 { matching.removeAll { $0 >= sequence } }
        if keep > 0 { matching.removeLast(min(keep, matching.count)) }
        let gone = Set(matching)
        let count = removeAll { gone.contains($0.sequence) }
        if filter.isEmpty && sequence > lastSequence + 1 { lastSequence = sequence - 1 }
        onPurged(self, filter.isEmpty ? nil : filter)
        return count
    }

    /// What the limits allow, oldest first.
    mutating func enforceLimits() {
        if config.maxMessagesPerSubject > 0 {
            for (subject, count) in counts where count > UInt64(config.maxMessagesPerSubject) {
                let over = Int(count) - Int(config.maxMessagesPerSubject)
                for message in messages.filter({ $0.subject == subject }).prefix(over) { remove(message.sequence) }
            }
        }
        while config.maxMessages > 0 && messages.count > Int(config.maxMessages) { remove(messages[0].sequence) }
        if config.maxBytes > 0 {
            var total = bytes
            while total > Int(config.maxBytes), let first = messages.first {
                total -= first.size
                remove(first.sequence)
            }
        }
    }

    // MARK: Restarts

    /// What the broker forgets when it ends: ids of messages that are gone, batches that were under way.
    mutating func restart(nowNs: Int64) {
        batches = [:]
        fastBatches = [:]
        for place in messages.indices {
            let schedule = messages[place]
            // Where what had ended a schedule has been deleted since, it is one again.
            guard schedule.header("Nats-Schedule") != nil, last(schedule.subject) == schedule.sequence else { continue }
            // What the latest message that it has made says of the next; without one, it begins anew.
            let latest = messages.last { $0.header("Nats-Scheduler") == schedule.subject && $0.sequence > schedule.sequence }
            let next = latest?.header("Nats-Schedule-Next").flatMap { try? Timestamp.parse($0) }
            messages[place].firesNs =
                next ?? firing(schedule.header("Nats-Schedule") ?? "", after: schedule.timeNs) ?? schedule.firesNs
        }
        lastMessageID = self[lastSequence]?.header("Nats-Msg-Id") ?? ""
        ids = [:]
        guard config.duplicateWindowNs > 0 else { return }
        for message in messages where message.timeNs > nowNs - config.duplicateWindowNs {
            if let id = message.header("Nats-Msg-Id"), ids[id] == nil { ids[id] = (message.sequence, message.timeNs) }
        }
    }
}

/// Whether a pattern matches a literal subject, token by token.
func matches(_ pattern: String, _ subject: String) -> Bool {
    if pattern == subject || pattern == ">" { return true }
    let dot = UInt8(ascii: ".")
    var wanted = pattern.utf8[...], given = subject.utf8[...]
    while true {
        let token = wanted.prefix { $0 != dot }, other = given.prefix { $0 != dot }
        if token.elementsEqual(">".utf8) { return true }
        if !token.elementsEqual("*".utf8) && !token.elementsEqual(other) { return false }
        (wanted, given) = (wanted.dropFirst(token.count), given.dropFirst(other.count))
        if wanted.isEmpty || given.isEmpty { return wanted.isEmpty && given.isEmpty }
        (wanted, given) = (wanted.dropFirst(), given.dropFirst())
    }
}
