// Keys whose park has ended: what waited behind it stays pinned until it is handled, so that no limit removes it first.

/// What is still to be handled of each, by key; of messages that are their own keys, by sequence.
struct DrainingKeys {
    private struct Drain {
        /// Only what the read position had passed when the park ended.
        var end: UInt64
        var left: Backlog
    }

    private var byKey: [KeyID: Drain] = [:]
    private var alone: [UInt64: Backlog] = [:]

    /// All of them; the key is 0, or the sequence is.
    var drains: [(sequence: UInt64, key: KeyID, end: UInt64)] {
        byKey.map { (0, $0.key, $0.value.end) } + alone.keys.map { ($0, 0, $0 &+ 1) }
    }

    var isEmpty: Bool { byKey.isEmpty && alone.isEmpty }

    /// A park has ended.
    ///
    /// - Parameters:
    ///   - backlog: the message that was parked, and what waits behind it.
    ///   - end: the read position.
    mutating func begin(_ sequence: UInt64, _ key: KeyID, _ backlog: Backlog, before end: UInt64) {
        if key == 0 {
            alone[sequence] = backlog
        } else {
            byKey[key, default: Drain(end: end, left: Backlog())].left += backlog
        }
    }

    /// Whether a message, or one that waits behind others of its key, is still to be handled.
    func contains(_ sequence: UInt64, _ key: KeyID) -> Bool {
        if key == 0 { return alone[sequence] != nil }
        return byKey[key].map { sequence < $0.end } ?? false
    }

    /// A message has been handled, or has left the stream.
    ///
    /// - Returns: what need not be pinned any longer.
    mutating func finish(_ sequence: UInt64, _ key: KeyID, _ backlog: Backlog) -> Backlog {
        if key == 0 { return alone.removeValue(forKey: sequence) ?? Backlog() }
        guard contains(sequence, key), let left = byKey[key]?.left, left.messages > 0 else { return Backlog() }
        let ended = Backlog(messages: 1, bytes: min(left.bytes, backlog.bytes))
        byKey[key]?.left -= ended
        return ended
    }

    /// The key's next message is this one, if any.
    ///
    /// - Returns: what need not be pinned any longer.
    mutating func goesOn(_ key: KeyID, with next: UInt64?) -> Backlog {
        guard let drain = byKey[key], next.map({ $0 >= drain.end }) ?? true else { return Backlog() }
        return end(key)
    }

    /// The key is parked again.
    ///
    /// - Returns: what need not be pinned any longer for this.
    mutating func end(_ key: KeyID, _ sequence: UInt64 = 0) -> Backlog {
        (key == 0 ? alone.removeValue(forKey: sequence) : byKey.removeValue(forKey: key)?.left) ?? Backlog()
    }
}
