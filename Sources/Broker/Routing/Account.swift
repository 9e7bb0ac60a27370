// A tenant: its own subject space, its own limits.

import Synchronization

/// Subjects of one account never meet those of another. Shared by all loops.
public final class Account: Sendable {
    /// Where users land who belong to no other.
    public static let defaultName = "$G"
    public static let systemName = "$SYS"

    public let name: String
    /// Unique among the accounts of a process.
    let number: Int
    let index: SubjectIndex
    let connections = Atomic<Int>(0)
    /// Since the start, closed ones included.
    let connectionsTotal = Atomic<Int>(0)
    /// -1 is unlimited.
    let maxConnections = Atomic<Int>(-1)
    let maxSubscriptions = Atomic<Int>(-1)
    let maxPayloadBytes = Atomic<Int>(-1)
    let slowConsumers = Atomic<Int>(0)

    init(name: String, number: Int, hashSeed: UInt64) {
        self.name = name
        self.number = number
        index = SubjectIndex(hashSeed: hashSeed)
    }
}
