// What a follower asks of its origin's loop, and what it is told: values that pass between loops.

import Store
import Wire

/// Asks for a consumer on an origin.
struct OriginRequest: Sendable {
    /// The origin's name.
    var origin: String
    /// What the origin is known by; empty: any stream of that name will do.
    var identity = ""
    /// The consumer, as it is on an origin that keeps its messages whoever has read them.
    var config = ConsumerConfig()
}

/// A consumer that has been made for a follower.
struct OriginConsumer: Sendable {
    /// The origin, for as long as this process lives.
    var serial: UInt64
    var loop: Int
    var name: String
    var identity: String
    /// Deliveries begin behind this sequence.
    var delivered: UInt64
    var pending: UInt64
    /// It goes with its follower; one that is kept goes on where its follower's acks end.
    var isTemporary: Bool
}

/// What a follower asks of the broker around it.
protocol OriginFollowerHost: AnyObject {
    var now: Instant { get }
    func random() -> UInt64
    /// Has the turn's end come to the stream once more.
    func touch()
    /// Publishes in the stream's account.
    func publish(_ subject: ByteView, reply: ByteView, headers: ByteView, payload: ByteView)
    /// Whether an origin that is said to be elsewhere is in this account after all.
    func reaches(_ external: ExternalStreamConfig) -> Bool
    /// Makes a consumer on an origin, or finds the one that is kept there. The answer may come before this returns.
    func attach(_ request: OriginRequest, _ answer: @escaping (Result<OriginConsumer, APIError>) -> Void)
    /// Deletes a follower's consumer.
    func detach(_ consumer: OriginConsumer)
    /// Has what is published to a subject passed to `received`, until `unlisten`.
    func listen(_ subject: String, _ received: @escaping (Message) -> Void)
    func unlisten(_ subject: String)
}

extension ConsumerConfig {
    /// How long a follower's consumer is silent before it says that it is there.
    static let originHeartbeatNs: Int64 = 1_000_000_000
    /// A consumer whose follower is gone without a word goes after this.
    private static let originInactiveNs: Int64 = 10_000_000_000
    /// How many messages of a workqueue may be on their way: as many as other consumers may by default, as on nats-server.
    private static let originAckPendingMax = 1_000

    /// What a follower reads an origin with. Not in lists, not on disk, and made anew after any trouble.
    static func forFollower(_ name: String, of stream: String, kind: OriginKind, account: String) -> ConsumerConfig {
        var config = ConsumerConfig()
        config.name = name
        config.maxDeliver = 1
        config.flowControl = true
        config.heartbeatNs = originHeartbeatNs
        config.inactiveThresholdNs = originInactiveNs
        config.ackWaitNs = 22 * 3_600 * 1_000_000_000
        config.direct = true
        config.sourcing = true
        let word = kind == .mirror ? "mirror" : "src"
        config.metadata = ["_nats.\(word).acc": account, "_nats.\(word).stream": stream]
        return config
    }

    /// The same for an origin that removes what has been read: it may only do so once the follower has it on disk, and says so
    /// with its answers to flow control.
    var keptForFollower: ConsumerConfig {
        var config = self
        config.durable = name
        config.ackPolicy = .flowControl
        config.ackWaitNs = 0
        config.maxDeliver = -1
        config.maxAckPending = ConsumerConfig.originAckPendingMax
        config.inactiveThresholdNs = 0
        config.direct = false
        return config
    }
}

/// What a stream is to its origin.
enum OriginKind: Sendable { case mirror, source }
