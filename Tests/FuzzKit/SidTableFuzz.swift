// SidTable against a dictionary.

import Broker
import Glibc
import Reactor
import Wire

enum SidTableFuzz {
    @Sendable static func iterate(_ random: inout SeededRandom) throws(FuzzFailure) {
        var table = SidTable(seed: random.next())
        var expected: [[UInt8]: SubscriptionRef] = [:]
        let channel = UnsafeMutableRawPointer.allocate(
            byteCount: MemoryLayout<Channel>.size, alignment: MemoryLayout<Channel>.alignment)
        memset(channel, 0, MemoryLayout<Channel>.size)
        let subscriber = Subscriber(clientID: 1)
        defer {
            for (_, subscription) in expected { Subscription.free(subscription) }
            channel.deallocate()
        }
        let range = random.pick([3, 30, 1_000])
        for _ in 0..<random.pick([20, 300, 2_000]) {
            let sid = Array(random.pick(["", "sid-that-is-long-"]).utf8) + Array("\(random.below(range))".utf8)
            let found = sid.withUnsafeBytes { table.find(ByteView($0)) }
            try require(found == expected[sid], "find \(shown(sid))")
            if let found {
                if random.once(in: 2) {
                    table.remove(found)
                    Subscription.free(found)
                    expected[sid] = nil
                }
            } else {
                let made = sid.withUnsafeBytes {
                    Subscription.make(
                        channel: channel.assumingMemoryBound(to: Channel.self), subscriber: subscriber, checks: [],
                        subject: .empty, queue: .empty, sid: ByteView($0))
                }
                table.insert(made)
                expected[sid] = made
            }
            try require(table.count == expected.count, "count")
        }
        try require(Set(table.all) == Set(expected.values), "all")
    }
}
