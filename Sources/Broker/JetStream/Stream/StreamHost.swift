// What streams and consumers ask of the world around them: the loop's runtime answers in the broker, the simulator in tests.

import Wire

/// One moment on both clocks. Deadlines are monotonic, what is stored is wall time.
struct Instant: Sendable, Equatable {
    /// Nanoseconds since 1970.
    var wallNs: Int64
    var monotonicNs: UInt64
}

/// Where a consumer's messages go: the subject of a pull request's inbox, or a push consumer's deliver subject and group.
/// The host keeps with it what it found in the subject index, so that a message costs no search.
class DeliveryTarget {
    let subject: [UInt8]
    /// Only members of this queue group get what is delivered; empty: plain subscriptions and every group, as for a publish.
    let queue: [UInt8]
    init(subject: [UInt8], queue: [UInt8] = []) {
        self.subject = subject
        self.queue = queue
    }
}

/// A message on its way to a consumer's client. `subject` is what the client sees, whatever subject it is routed by.
struct Delivery {
    var subject: ByteView
    var reply: ByteView
    /// The whole header block, or empty.
    var headers: ByteView
    var payload: ByteView
}

/// Implemented by `JetStreamRuntime` for one loop and one account. Views that are passed in are copied before a call returns.
protocol StreamHost: AnyObject {
    /// The beginning of this turn.
    var now: Instant { get }
    /// Random bits; the simulator's come from its seed.
    func random() -> UInt64

    /// Publishes in the stream's account as if a client had: acks, advisories, statuses, republished messages.
    /// What another stream captures is stored there.
    func publish(_ subject: ByteView, reply: ByteView, headers: ByteView, payload: ByteView)
    /// Makes a target; it lives as long as its owner keeps it.
    func target(_ subject: [UInt8], queue: [UInt8]) -> DeliveryTarget
    /// Sends a message to whoever subscribes to the target. False: nobody does, and nothing was sent.
    func deliver(_ delivery: Delivery, to target: DeliveryTarget) -> Bool
    /// Whether the one who listens at a target has so much unsent that more should wait.
    func isCongested(_ target: DeliveryTarget) -> Bool
    func hasInterest(_ target: DeliveryTarget) -> Bool
    /// Whether a publish to a literal subject would reach anybody: advisories are only built for listeners.
    func hasInterest(_ subject: ByteView) -> Bool
    /// Has `changed` called (on the loop, in a later turn) when subscriptions to the target's subject come or go.
    func watch(_ target: DeliveryTarget, _ changed: @escaping () -> Void)
    func unwatch(_ target: DeliveryTarget)
}
