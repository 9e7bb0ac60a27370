// One message that a keyed consumer has outstanding, in as few bytes as it can be told in: there may be a hundred thousand.

extension OutstandingTable {
    enum State: UInt8 {
        /// In the queue for the next lease.
        case ready
        /// A client works on it.
        case leased
        /// A client works on it, and the message has left the stream: its key waits for the ack or the ack wait.
        case orphaned
        /// Waits for a moment before it is ready again.
        case backoff
        /// Done with, or to be ready again, as soon as the journal's commit says so. The sequence is that of the key's next
        /// message by then, or 0 where it has none.
        case settling
        /// To be parked as soon as the journal's commit says so.
        case parking
        case parked

        var isTimed: Bool { self == .leased || self == .orphaned || self == .backoff }
    }

    /// 80 bytes: the fields stand in the order of their sizes.
    struct Entry {
        /// In the stream; 0 while a settling entry has none.
        var sequence: UInt64
        /// The consumer sequence of the last lease; 0 before the first.
        var delivery: UInt64 = 0
        /// Timed: when the lease or the back-off ends, monotonic. Settling and parking: the batch of the journal. Parked: when,
        /// in nanoseconds since 1970.
        var moment: UInt64 = 0
        /// Leased: the client that has it. Parked: the park's version.
        var holder: UInt64 = 0
        /// In the key's first entry: everything of the key up to here has been taken.
        var cursor: UInt64 = 0
        /// In the key's first entry: what waits behind what has been taken.
        var waitingBytes: UInt64 = 0
        var waitingCount: UInt32 = 0
        /// 0 where the message is its own key.
        var key: KeyID
        /// Leases since the beginning or the last retry.
        var attempts: UInt32 = 0
        /// Neighbours in a list; in the heap `before` is the place.
        var before = none
        var after = none
        /// The key's next entry.
        var sibling = none
        /// In the key's first entry: how many it has, and how many of them are parked.
        var ofKey: UInt16 = 1
        var parkedOfKey: UInt16 = 0
        private var totalLow: UInt16 = 0
        private var totalHigh: UInt8 = 0
        /// The state in three bits, the reason in the next three, then whether it is unpinned.
        private var flags: UInt8 = 0

        init(sequence: UInt64, key: KeyID, state: State) {
            self.sequence = sequence
            self.key = key
            self.state = state
        }

        /// Leases in all; it stops at `totalMax`.
        var total: UInt32 {
            get { UInt32(totalHigh) << 16 | UInt32(totalLow) }
            set {
                let value = min(newValue, Entry.totalMax)
                totalLow = UInt16(truncatingIfNeeded: value)
                totalHigh = UInt8(truncatingIfNeeded: value >> 16)
            }
        }
        static let totalMax: UInt32 = 0xFF_FFFF

        var state: State {
            @inline(__always) get { State(rawValue: flags & 0x07) ?? .settling }
            set { flags = flags & ~0x07 | newValue.rawValue }
        }
        var reason: ParkReason {
            get { ParkReason(rawValue: flags >> 3 & 0x07) ?? .none }
            set { flags = flags & ~0x38 | newValue.rawValue << 3 }
        }
        /// A parked message that no longer keeps the stream from removing it.
        var isUnpinned: Bool {
            get { flags & 0x40 != 0 }
            set { flags = newValue ? flags | 0x40 : flags & ~0x40 }
        }
    }
}
