// One SUB: where its messages go, and what has to be checked before they do.

import Glibc
import Reactor
import Synchronization
import Wire

public typealias SubscriptionRef = UnsafeMutablePointer<Subscription>

/// Lives in raw memory, with subject, queue and sid behind it in the same block. Deliveries on any loop read it while it
/// is in the index; it is freed an epoch after it left.
///
///     | Subscription | subject | queue | sid | slack |
public struct Subscription: ~Copyable {
    /// Something that a delivery must look at before it goes out; 0 is the fast case.
    public struct Checks: OptionSet, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        /// The connection has not said `headers: true`: header blocks are stripped.
        static let noHeaders = Checks(rawValue: 1)
        /// The connection has said `echo: false`.
        static let noEcho = Checks(rawValue: 2)
        /// Some subjects that the subscription covers are denied to its user.
        static let filtered = Checks(rawValue: 4)
        /// Deliveries that carry a reply subject give the user leave to publish to it.
        static let tracksReplies = Checks(rawValue: 8)
        /// The receiver is an endpoint inside the broker: the subscription has no channel.
        static let endpoint = Checks(rawValue: 16)
        /// That endpoint answers at the end of the turn: it does not wait for a disk.
        static let prompt = Checks(rawValue: 32)
    }

    // Never changed after the subscription is in the index.
    let channel: ChannelRef
    let slot: Int32
    let subjectCount: Int32
    let queueCount: Int32
    let sidCount: Int32
    let checks: Checks
    /// Where deliveries are counted: this subscription, or the first one of the same SUB where others have taken its place.
    /// That one's memory stays until the last of them is freed.
    let counter: SubscriptionRef
    /// For deliveries with checks; retained.
    let subscriber: Unmanaged<Subscriber>
    /// Where messages go if `checks` has `endpoint`.
    let endpoint: EndpointAddress

    /// It is in the index. The index's writer's only.
    var isListed = false

    /// Messages delivered, on whichever loop. Looked at through `counter`, like `maxMessages`.
    let delivered = Atomic<UInt64>(0)
    /// Deliver this many and vanish; 0 is no limit.
    let maxMessages = Atomic<UInt64>(0)
    /// Set when it leaves the index; what still finds it does not deliver.
    package let isClosed = Atomic<Bool>(false)

    package static func make(
        channel: ChannelRef, subscriber: Subscriber, checks: Checks, subject: ByteView, queue: ByteView, sid: ByteView,
        replacing old: SubscriptionRef? = nil
    ) -> SubscriptionRef {
        make(
            channel: channel, slot: channel.pointee.slot, subscriber: subscriber, checks: checks, endpoint: .none,
            subject: subject, queue: queue, sid: sid, replacing: old)
    }

    /// A subscription of the broker's own. Whoever delivers looks at its checks first and never at its channel.
    static func make(endpoint: EndpointAddress, isPrompt: Bool = false, subject: ByteView) -> SubscriptionRef {
        make(
            channel: nobody, slot: -1, subscriber: Subscriber.broker, checks: isPrompt ? [.endpoint, .prompt] : .endpoint,
            endpoint: endpoint, subject: subject, queue: .empty, sid: .empty, replacing: nil)
    }

    /// An address that is no channel's, and is never followed.
    private static var nobody: ChannelRef { ChannelRef(bitPattern: MemoryLayout<Channel>.alignment).unsafelyUnwrapped }

    private static func make(
        channel: ChannelRef, slot: Int32, subscriber: Subscriber, checks: Checks, endpoint: EndpointAddress,
        subject: ByteView, queue: ByteView, sid: ByteView, replacing old: SubscriptionRef?
    ) -> SubscriptionRef {
        let size = MemoryLayout<Subscription>.size + subject.count + queue.count + sid.count + Encoder.slackBytes
        guard let memory = malloc(size) else { fatalError("out of memory") }
        let subscription = memory.bindMemory(to: Subscription.self, capacity: 1)
        subscription.initialize(
            to: Subscription(
                channel: channel, slot: slot, subjectCount: Int32(subject.count),
                queueCount: Int32(queue.count), sidCount: Int32(sid.count), checks: checks,
                counter: old?.pointee.counter ?? subscription, subscriber: Unmanaged.passRetained(subscriber),
                endpoint: endpoint))
        var tail = Encoder(text(subscription))
        tail.put(subject)
        tail.put(queue)
        tail.put(sid)
        return subscription
    }

    /// - Parameter isReplaced: another one counts where this one does.
    package static func free(_ subscription: SubscriptionRef, isReplaced: Bool = false) {
        let counter = subscription.pointee.counter
        if counter != subscription { destroy(subscription) }
        if !isReplaced { destroy(counter) }
    }

    private static func destroy(_ subscription: SubscriptionRef) {
        subscription.pointee.subscriber.release()
        subscription.deinitialize(count: 1)
        Glibc.free(subscription)
    }

    private init(
        channel: ChannelRef, slot: Int32, subjectCount: Int32, queueCount: Int32, sidCount: Int32, checks: Checks,
        counter: SubscriptionRef, subscriber: Unmanaged<Subscriber>, endpoint: EndpointAddress
    ) {
        self.channel = channel
        self.slot = slot
        self.subjectCount = subjectCount
        self.queueCount = queueCount
        self.sidCount = sidCount
        self.checks = checks
        self.counter = counter
        self.subscriber = subscriber
        self.endpoint = endpoint
    }

    @inline(__always)
    static func text(_ subscription: SubscriptionRef) -> UnsafeMutablePointer<UInt8> {
        (UnsafeMutableRawPointer(subscription) + MemoryLayout<Subscription>.size).assumingMemoryBound(to: UInt8.self)
    }

    @inline(__always)
    package static func subject(_ subscription: SubscriptionRef) -> ByteView {
        ByteView(text(subscription), Int(subscription.pointee.subjectCount))
    }

    @inline(__always)
    package static func queue(_ subscription: SubscriptionRef) -> ByteView {
        ByteView(text(subscription) + Int(subscription.pointee.subjectCount), Int(subscription.pointee.queueCount))
    }

    @inline(__always)
    package static func sid(_ subscription: SubscriptionRef) -> ByteView {
        ByteView(
            text(subscription) + Int(subscription.pointee.subjectCount + subscription.pointee.queueCount),
            Int(subscription.pointee.sidCount))
    }
}
