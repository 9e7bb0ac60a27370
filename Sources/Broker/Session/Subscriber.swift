// What a delivery on another loop may need to know of the connection it goes to.

import Locks
import Synchronization
import Wire

/// The part of a connection that any loop may touch. Looked at only by deliveries whose subscription carries checks.
public final class Subscriber: Sendable {
    let clientID: UInt64
    /// The connection has closed.
    let hasLeft = Atomic<Bool>(false)
    private let authorization: Locked<Authorization?>

    /// Stands for the broker's own endpoints.
    static let broker = Subscriber(clientID: 0)

    package init(clientID: UInt64) {
        self.clientID = clientID
        authorization = Locked(nil)
    }

    func set(_ new: Authorization) { authorization.withLock { $0 = new } }

    func mayReceive(_ subject: ByteView, queue: ByteView) -> Bool {
        let current = authorization.withLock { $0 }
        return current?.mayDeliver(subject, queue: queue) ?? true
    }

    /// A message with a reply subject is on its way: the user may answer it.
    func didDeliver(reply: ByteView, nowMs: Int64) {
        authorization.withLock { $0 }?.didDeliver(reply: reply, nowMs: nowMs)
    }
}
