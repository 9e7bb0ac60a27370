// One stream on its loop: its endpoints in the subject index, its timer, its commits, and its way out to clients.

import Glibc
import Reactor
import Store
import Wire

/// Owned by one loop. The `StreamHost` of its stream.
final class StreamRuntime: StreamHost, CommitRunner {
    let serial: UInt64
    let account: JetStreamAccount
    unowned let loop: JetStreamLoop
    private(set) var stream: Stream!
    /// It is on the loop's list for the end of this turn.
    var isActive = false
    private var isStopped = false
    private var timer: TimerID?
    private var timerNs: UInt64 = .max
    private var endpoints: [EndpointAddress] = []
    private var subscriptions: [SubscriptionRef] = []
    private(set) var requests = EndpointAddress.none
    private var consumerEndpoints: [String: ConsumerEndpoints] = [:]
    /// Bytes taken in since the last commit began, and those that are being committed: part of the loop's backlog.
    private var freshBytes = 0
    private var committingBytes = 0
    private var watches: [ObjectIdentifier: InterestWatch] = [:]

    init(serial: UInt64, account: JetStreamAccount, loop: JetStreamLoop) {
        self.serial = serial
        self.account = account
        self.loop = loop
    }
}
