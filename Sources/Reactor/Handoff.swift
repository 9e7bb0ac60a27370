// Carries something that is not Sendable from one thread to another, once.

import Locks

/// A box for one value that its maker gives up and its taker gets. Made on a worker, emptied on a loop.
public final class Handoff<Value>: Sendable {
    private let slot: Locked<Value?>

    public init(_ value: consuming sending Value) { slot = Locked(value) }

    /// The value; nil if it has been taken.
    public func take() -> sending Value? {
        slot.withLock { slot in
            let value = slot
            slot = nil
            return value
        }
    }
}
