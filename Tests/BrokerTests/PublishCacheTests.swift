// The last publish line with its ready-made answers: when it counts, and what it says.

import Glibc
import Reactor
import Testing
import Wire

@testable import Broker

@Suite struct PublishCacheTests {
    private func view<R>(_ text: String, _ body: (ByteView) throws -> R) rethrows -> R {
        // Read buffers have slack behind their bytes; so has this copy.
        try (Array(text.utf8) + [UInt8](repeating: 0x7E, count: 64)).withUnsafeBufferPointer {
            try body(ByteView($0.baseAddress.unsafelyUnwrapped, text.utf8.count))
        }
    }

    @Test func aLineHitsInItsGenerationOnly() throws {
        let channel = UnsafeMutableRawPointer.allocate(
            byteCount: MemoryLayout<Channel>.size, alignment: MemoryLayout<Channel>.alignment)
        memset(channel, 0, MemoryLayout<Channel>.size)
        defer { channel.deallocate() }
        let index = SubjectIndex(hashSeed: 1)
        let subscriber = Subscriber(clientID: 1)
        var made: [SubscriptionRef] = []
        for (queue, sid) in [("", "1"), ("", "22"), ("q", "3"), ("q", "4")] {
            let subscription = view("foo") { foo in
                view(queue) { queue in
                    view(sid) { sid in
                        Subscription.make(
                            channel: channel.assumingMemoryBound(to: Channel.self), subscriber: subscriber, checks: [],
                            subject: foo,
                            queue: queue, sid: sid)
                    }
                }
            }
            index.insert(subscription) { free($0) }
            made.append(subscription)
        }
        defer { for subscription in made { Subscription.free(subscription) } }
        var matches = MatchBuffer()
        view("foo") { index.match($0, into: &matches) }
        #expect(matches.plainCount == 2 && matches.memberCount == 2)

        var cache = PublishCache()
        view("PUB foo 5\r\n") { line in
            var isHit = cache.isHit(line.base, line.end, generation: 7)
            #expect(!isHit)
            view("foo") { foo in
                view("5") { five in
                    cache.fill(
                        controlLine: line, subject: foo, headerBytes: -1, sizes: five, payloadCount: 5, matches: matches,
                        generation: 7)
                }
            }
            isHit = cache.isHit(line.base, line.end, generation: 7)
            #expect(isHit)
            isHit = cache.isHit(line.base, line.end, generation: 8)
            #expect(!isHit)
            isHit = cache.isHit(line.base, line.end - 1, generation: 7)
            #expect(!isHit)
        }
        for other in ["PUB foo 6\r\n", "PUB fop 5\r\n", "pub foo 5\r\n", "PUB foo 5\n\n"] {
            let isHit = view(other) { cache.isHit($0.base, $0.end, generation: 7) }
            #expect(!isHit, "\(other)")
        }
        let heads = (0..<4).map { ByteView(cache.targets[$0].head, Int(cache.targets[$0].headCount)).string }
        #expect(heads.prefix(2) == ["MSG foo 1 5\r\n", "MSG foo 22 5\r\n"])
        #expect(Set(heads.suffix(2)) == ["MSG foo 3 5\r\n", "MSG foo 4 5\r\n"])
        #expect(cache.groups.map(\.first) == [2] && cache.groups.map(\.count) == [2])
        #expect(cache.frameCount == 11 + 5 + 2)

        cache.forget()
        let isStillHit = view("PUB foo 5\r\n") { cache.isHit($0.base, $0.end, generation: 7) }
        #expect(!isStillHit)
        view("HPUB foo 12 14\r\n") { line in
            view("foo") { foo in
                view("12 14") { sizes in
                    cache.fill(
                        controlLine: line, subject: foo, headerBytes: 12, sizes: sizes, payloadCount: 14, matches: matches,
                        generation: 9)
                }
            }
        }
        #expect(ByteView(cache.targets[0].head, Int(cache.targets[0].headCount)).string == "HMSG foo 1 12 14\r\n")
    }

    /// A cached line must not outlive what it was made from: every change shows at the next message.
    @Test func changesShowAtOnce() throws {
        let server = try TestBroker()
        defer { server.stop() }
        let publisher = try server.connect(loop: 1).hello(), first = try server.connect(loop: 0).hello(),
            second = try server.connect(loop: 1).hello()
        let burst = String(repeating: "PUB foo 2\r\nhi\r\n", count: 5)
        for round in 0..<20 {
            try publisher.send(burst)
            try publisher.roundTrip()
            try first.send("SUB foo \(round)\r\n")
            try first.roundTrip()
            try publisher.send(burst)
            try publisher.roundTrip()
            #expect(try first.roundTrip().count == 5)
            try second.send("SUB foo q \(round)\r\n")
            try second.roundTrip()
            try publisher.send(burst)
            try publisher.roundTrip()
            try first.send("UNSUB \(round)\r\n")
            #expect(try first.roundTrip().count == 5)
            try publisher.send(burst)
            try publisher.roundTrip()
            #expect(try first.roundTrip().isEmpty)
            try second.send("UNSUB \(round)\r\n")
            #expect(try second.roundTrip().count == 10)
        }
    }
}
