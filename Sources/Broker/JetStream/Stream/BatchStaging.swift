// What the messages of an atomic batch will have changed, while the later ones are checked.

import Wire

struct BatchStaging {
    private(set) var messages: UInt64 = 0
    private(set) var bytes: UInt64 = 0
    private var writes: [[UInt8]: UInt64] = [:]
    private var messageIDs: Set<[UInt8]> = []
    /// New values of counters.
    var counters: [[UInt8]: CounterValue] = [:]

    /// Whether an earlier message goes to a subject, or to one that a pattern matches.
    func hasWritten(_ subject: ByteView) -> Bool {
        if Subject.hasWildcards(subject) {
            return writes.keys.contains { key in key.withUnsafeBytes { Subject.matches(subject, ByteView($0)) } }
        }
        return writes[subject.bytes] != nil
    }

    func count(_ subject: ByteView) -> UInt64 { writes[subject.bytes] ?? 0 }

    func has(messageID: ByteView) -> Bool { messageIDs.contains(messageID.bytes) }

    /// Whether anybody is interested in a message makes no difference here, as on nats-server.
    mutating func add(_ publish: Publish, bytes: Int) {
        messages += 1
        if !publish.known.messageID.isEmpty { messageIDs.insert(publish.known.messageID.bytes) }
        self.bytes += UInt64(bytes)
        writes[publish.subject.bytes, default: 0] += 1
    }

    /// A message that was added, and stored, stands no longer for what is to come.
    mutating func remove(_ publish: Publish, bytes: Int) {
        messages -= 1
        self.bytes -= UInt64(bytes)
        writes[publish.subject.bytes, default: 1] -= 1
    }
}
