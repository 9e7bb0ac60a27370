// The last publish line of a connection with the ready-made lines of its receivers: a stream of messages on one subject
// costs a comparison and a copy each.

import Glibc
import Reactor
import Wire

/// Raw memory of one connection, valid for one generation of its account's index.
///
/// Holds what routing, permissions and limits said about one control line, so that none of them is asked again while the
/// same line keeps coming. Lines that need a look at every message (a reply subject, a subscription with checks or a
/// message limit) are not kept.
struct PublishCache: ~Copyable {
    struct Target {
        let subscription: SubscriptionRef
        let channel: ChannelRef
        let slot: Int32
        let headCount: Int32
        let head: UnsafeMutablePointer<UInt8>
    }
    struct Group {
        let first: Int
        let count: Int
    }

    static let lineBytesMax = 256
    static let targetsMax = 256

    private(set) var generation: UInt64 = 0
    private(set) var lineCount = 0
    private(set) var payloadCount = 0
    /// Line, payload and CRLF.
    private(set) var frameCount = 0
    private(set) var plainCount = 0
    private(set) var groups: [Group] = []
    private(set) var targets: UnsafeMutablePointer<Target>
    private var targetCapacity = 0
    private var targetCount = 0
    private var line: UnsafeMutablePointer<UInt8>
    private var heads: UnsafeMutablePointer<UInt8>
    private var headsCapacity = 0

    init() {
        line = .allocate(capacity: PublishCache.lineBytesMax + Encoder.slackBytes)
        targets = .allocate(capacity: 0)
        heads = .allocate(capacity: 0)
    }

    deinit {
        line.deallocate()
        targets.deallocate()
        heads.deallocate()
    }

    /// Whether the bytes at `cursor` begin with the cached line.
    @inline(__always)
    func isHit(_ cursor: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>, generation now: UInt64) -> Bool {
        generation == now && end - cursor >= lineCount && equalWithSlack(cursor, line, lineCount)
    }

    /// The next line is looked at again, whatever the generation.
    mutating func forget() { generation = 0 }

    /// Makes the lines for the receivers in `matches`. The caller has seen that all of them can be served unchecked.
    mutating func fill(
        controlLine: ByteView, subject: ByteView, headerBytes: Int, sizes: ByteView, payloadCount: Int,
        matches: borrowing MatchBuffer, generation: UInt64
    ) {
        let count = matches.plainCount + matches.memberCount
        self.generation = 0
        guard controlLine.count <= PublishCache.lineBytesMax, count <= PublishCache.targetsMax else { return }
        memcpy(line, controlLine.base, controlLine.count)
        lineCount = controlLine.count
        self.payloadCount = payloadCount
        frameCount = lineCount + payloadCount + 2

        var bytes = 0
        func headCount(_ subscription: SubscriptionRef) -> Int {
            5 + subject.count + 1 + Int(subscription.pointee.sidCount) + 1 + sizes.count + 2
        }
        for index in 0..<matches.plainCount { bytes += headCount(matches.plain[index]) + 32 }
        for index in 0..<matches.memberCount { bytes += headCount(matches.members[index]) + 32 }
        if bytes > headsCapacity {
            heads.deallocate()
            heads = .allocate(capacity: bytes + Encoder.slackBytes)
            headsCapacity = bytes
        }
        if count > targetCapacity {
            targets.deallocate()
            targets = .allocate(capacity: count)
            targetCapacity = count
        }
        var out = Encoder(heads)
        targetCount = 0
        func add(_ subscription: SubscriptionRef) {
            let start = out.cursor
            if headerBytes >= 0 { out.put(0x48) }
            out.put("MSG ")
            out.put(subject)
            out.put(0x20)
            out.put(Subscription.sid(subscription))
            out.put(0x20)
            out.put(sizes)
            out.putLineEnd()
            targets[targetCount] = Target(
                subscription: subscription, channel: subscription.pointee.channel, slot: subscription.pointee.slot,
                headCount: Int32(out.cursor - start), head: start)
            targetCount += 1
        }
        for index in 0..<matches.plainCount { add(matches.plain[index]) }
        plainCount = matches.plainCount
        for index in 0..<matches.memberCount { add(matches.members[index]) }
        groups = matches.groups.map { Group(first: plainCount + $0.first, count: $0.count) }
        self.generation = generation
    }
}
