// Keyed consumers whose pins have to last: over restarts, journal rewrites and updates of the filter.

import Store
import StoreKit
import Testing
import Wire

@testable import Broker

@Suite struct KeyedPinRestartTests {
    enum Event: CaseIterable { case none, crash, rewrite, filter }

    /// In a stream for three messages: 1 is parked, 3 waits behind it, and the limits have removed what came between them and the
    /// last three. By a header, messages may be their own keys: then 3 is parked, too.
    private func world(_ metadata: [String: String] = [:]) throws -> (StoredStream, Consumer) {
        let kit = try StoredStream(creating: StoredStream.config { $0.maxMessages = 3 }, on: try StoredStream.makeDisk())
        let consumer = kit.createKeyed(metadata)
        for subject in ["s.a", "s.b", "s.a"] { kit.publish(subject, "x") }
        for lease in kit.lease(consumer) { kit.say(consumer, lease, lease.sequence == 2 ? "" : "+TERM") }
        for _ in 0..<6 { kit.publish("s.b", "x") }
        #expect(kit.contents.keys.sorted() == [1, 3, 7, 8, 9])
        return (kit, consumer)
    }

    private func happens(_ event: Event, _ kit: StoredStream, _ consumer: Consumer) throws -> (StoredStream, Consumer) {
        switch event {
        case .none: return (kit, consumer)
        case .filter:
            var config = consumer.config
            config.filterSubjects = config.filterSubjects.isEmpty ? ["s.*"] : []
            consumer.update(config)
            kit.turn()
            return (kit, consumer)
        case .crash, .rewrite:
            if event == .rewrite {
                consumer.writeWhole(kit.now)
                kit.turn()
            }
            let next = try #require(try StoredStream(on: kit.disk.crashed(seed: 1)))
            return (next, try #require(next.registry["C"]))
        }
    }

    @Test(arguments: Event.allCases) func whatWaitsBehindAParkIsSpared(event: Event) throws {
        var (kit, consumer) = try world()
        for number in 0..<3 as Range<UInt64> {
            (kit, consumer) = try happens(event, kit, consumer)
            kit.publish("s.b", "x")
            #expect(kit.contents.keys.sorted() == [1, 3, 8 + number, 9 + number, 10 + number])
        }
        #expect(consumer.keyed?.pinned.messages == 2)
    }

    @Test(arguments: Event.allCases, [KeyOperation.retry, .skip])
    func whatWaitedBehindAParkIsSparedUntilItIsHandled(event: Event, operation: KeyOperation) throws {
        var (kit, consumer) = try world()
        let version = try #require(kit.parked(consumer)["a"])
        let reply = kit.command(consumer, operation, #"{"key":"a","version":\#(version),"reason":"r","actor":"me"}"#)
        #expect(reply["success"] != nil)
        var left: [UInt64] = operation == .retry ? [1, 3] : [3], last: UInt64 = 9
        while !left.isEmpty {
            (kit, consumer) = try happens(event, kit, consumer)
            last += 1
            kit.publish("s.b", "x")
            #expect(kit.contents.keys.sorted() == left + [last - 2, last - 1, last])
            #expect(consumer.keyed?.pinned.messages == UInt64(left.count))
            let lease = try #require(kit.lease(consumer, 64).first { $0.sequence == left[0] })
            kit.say(consumer, lease)
            left.removeFirst()
        }
        (kit, consumer) = try happens(event, kit, consumer)
        kit.publish("s.b", "x")
        #expect(kit.contents.keys.sorted() == [last - 1, last, last + 1])
        #expect(consumer.keyed?.pinned.messages == 0 && consumer.keyed?.draining.isEmpty ?? false)
    }

    /// Parked again, it is pinned as a park is, and no longer than that.
    @Test(arguments: Event.allCases) func aSecondParkEndsTheFirst(event: Event) throws {
        var (kit, consumer) = try world(["bellhop.max_parked_bytes": "1000000"])
        for _ in 0..<2 {
            let version = try #require(kit.parked(consumer)["a"])
            _ = kit.command(consumer, .retry, #"{"key":"a","version":\#(version)}"#)
            (kit, consumer) = try happens(event, kit, consumer)
            let lease = try #require(kit.lease(consumer).first { $0.sequence == 1 })
            kit.say(consumer, lease, "+TERM")
            (kit, consumer) = try happens(event, kit, consumer)
            #expect(consumer.keyed?.pinned.messages == 2 && consumer.keyed?.draining.isEmpty ?? false)
        }
        var config = consumer.config
        config.metadata["bellhop.park_retention"] = "expire"
        consumer.update(config)
        kit.turn()
        kit.publish("s.b", "x")
        #expect(kit.contents.keys.sorted() == [8, 9, 10])
    }

    @Test(arguments: Event.allCases) func messagesWithoutAKeyAreSparedToo(event: Event) throws {
        var (kit, consumer) = try world(["bellhop.key": "header:Booking"])
        for sequence in [1, 3] as [UInt64] {
            let slot = try #require(consumer.keyed).table.find(sequence)
            let version = try #require(consumer.keyed).table[slot].holder
            let reply = kit.command(consumer, .retry, #"{"stream_seq":\#(sequence),"version":\#(version)}"#)
            #expect(reply["success"] != nil)
        }
        (kit, consumer) = try happens(event, kit, consumer)
        kit.publish("s.b", "x")
        #expect(kit.contents.keys.sorted() == [1, 3, 8, 9, 10] && consumer.keyed?.pinned.messages == 2)
        let lease = try #require(kit.lease(consumer).first { $0.sequence == 1 })
        kit.say(consumer, lease)
        (kit, consumer) = try happens(event, kit, consumer)
        kit.publish("s.b", "x")
        #expect(kit.contents.keys.sorted() == [3, 9, 10, 11])
    }
}
