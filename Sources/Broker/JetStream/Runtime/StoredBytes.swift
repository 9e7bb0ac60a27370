// What the streams of an account, or of the server, hold together: counted by the streams' loops, looked at on each publish.

import Synchronization

/// Bytes by kind of storage. Approximate to what the loops have taken in within one turn.
final class StoredBytes: Sendable {
    private let memory = Atomic<UInt64>(0)
    private let file = Atomic<UInt64>(0)

    func change(_ storage: StorageType, from old: UInt64, to new: UInt64) {
        guard old != new else { return }
        if storage == .memory {
            memory.wrappingAdd(new &- old, ordering: .relaxed)
        } else {
            file.wrappingAdd(new &- old, ordering: .relaxed)
        }
    }

    func of(_ storage: StorageType) -> UInt64 {
        storage == .memory ? memory.load(ordering: .relaxed) : file.load(ordering: .relaxed)
    }
}
