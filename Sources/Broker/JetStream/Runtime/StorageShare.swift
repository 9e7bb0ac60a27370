// What a stream takes of the storage that its account and the server may use, and whether there is room for more.

import Store
import Synchronization

/// Owned by the stream's loop.
final class StorageShare {
    private let storage: StorageType
    private let account: JetStreamAccount
    private let shared: JetStream
    /// What has been counted of this stream in its account and in the server.
    private var countedBytes: UInt64 = 0
    private var turnBytes: UInt64 = 0
    private var countedBatchBytes = 0

    init(_ storage: StorageType, _ account: JetStreamAccount, _ shared: JetStream) {
        self.storage = storage
        self.account = account
        self.shared = shared
    }

    func count(_ bytes: UInt64) {
        account.stored.change(storage, from: countedBytes, to: bytes)
        shared.stored.change(storage, from: countedBytes, to: bytes)
        countedBytes = bytes
        turnBytes = 0
    }

    /// What the stream's atomic batches hold in memory.
    func countBatches(_ bytes: Int) {
        guard bytes != countedBatchBytes else { return }
        account.batchBytes.wrappingAdd(bytes - countedBatchBytes, ordering: .relaxed)
        countedBatchBytes = bytes
    }

    /// Publishes are refused when what account or server may hold is used up.
    func limit(_ stream: Stream) {
        let storage = storage, shared = shared
        let limits = account.accountLimits
        let ofAccount = storage == .memory ? limits.maxMemoryBytes : limits.maxStorageBytes
        let ofServer = UInt64(clamping: storage == .memory ? shared.maxMemoryBytes : shared.maxFileBytes)
        stream.roomForBytes = { [self, unowned stream] staged, last in
            let bytes = staged &+ last
            // The server's limit may be exceeded by one message, the account's not at all, as on nats-server.
            func refusal(afterMore pending: UInt64) -> APIError? {
                if shared.stored.of(storage) &+ pending &+ UInt64(clamping: staged) > ofServer { return .insufficientResources }
                let held = account.stored.of(storage) &+ pending &+ UInt64(clamping: bytes)
                return ofAccount >= 0 && held > UInt64(clamping: ofAccount) ? .accountResourcesExceeded : nil
            }
            // What this turn has brought is not counted yet. What it has removed only matters near the limit.
            defer { turnBytes &+= UInt64(clamping: bytes) }
            if refusal(afterMore: turnBytes) == nil { return nil }
            return refusal(afterMore: stream.log.state.bytes &- countedBytes)
        }
    }
}
