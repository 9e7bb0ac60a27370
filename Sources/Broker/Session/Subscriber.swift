// What a delivery on another loop may need to know of the connection it goes to.

import Synchronization
import Wire

/// The part of a connection that any loop may touch. Looked at only by deliveries whose subscription carries checks.
public final class Subscriber: Sendable {
    let clientID: UInt64
    private let permissions = Mutex<Permissions?>(nil)
    private let permits = Mutex<ResponsePermits?>(nil)

    init(clientID: UInt64) { self.clientID = clientID }

    func set(permissions new: Permissions?) {
        permissions.withLock { $0 = new }
        permits.withLock { permits in
            if let responses = new?.responses {
                if permits == nil { permits = ResponsePermits(responses) }
            } else {
                permits = nil
            }
        }
    }

    func mayReceive(_ subject: ByteView) -> Bool {
        permissions.withLock { $0?.mayDeliver(subject) ?? true }
    }

    /// A message with a reply subject is on its way: the user may answer it.
    func permitReply(_ reply: ByteView, nowNs: UInt64) {
        permits.withLock { $0?.add(reply, nowNs: nowNs) }
    }

    func takeReplyPermit(_ subject: ByteView, nowNs: UInt64) -> Bool {
        permits.withLock { $0?.take(subject, nowNs: nowNs) ?? false }
    }
}
