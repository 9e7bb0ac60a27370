// Keyed consumers when messages leave the stream: whatever removes them, while they wait, are leased, in back-off or parked.

import Store
import StoreKit
import Testing
import Wire

@testable import Broker

@Suite struct KeyedRemovalTests {
    enum Cause: CaseIterable {
        case delete, erase, purge, rollup, timeToLive, age

        /// The stream's limits spare what is pinned; a person who removes something means it.
        var isLimit: Bool { self == .timeToLive || self == .age }
    }

    /// Messages 1, 2 and 3 of key a, 4 of key b; `target` is the one that the cause removes.
    private func world(
        _ cause: Cause, target: UInt64, _ metadata: [String: String] = [:], _ change: (inout ConsumerConfig) -> Void = { _ in }
    ) throws -> (StoredStream, Consumer) {
        let config = StoredStream.config { config in
            config.allowRollup = true
            config.allowMessageTTL = true
            if cause == .age { config.maxAgeNs = 20_000_000_000 }
        }
        let kit = try StoredStream(creating: config, on: try StoredStream.makeDisk())
        kit.hasListeners = true
        let consumer = kit.createKeyed(metadata, change)
        for sequence in 1...4 as ClosedRange<UInt64> {
            var headers: KeyValuePairs<String, String> = [:]
            if cause == .timeToLive && sequence == target { headers = ["Nats-TTL": "20s"] }
            if cause == .age && sequence != target { headers = ["Nats-TTL": "never"] }
            #expect(errorCode(kit.publish(subject(sequence), "x", headers)) == nil)
        }
        return (kit, consumer)
    }

    private func subject(_ sequence: UInt64) -> String { sequence == 4 ? "s.b.4" : "s.a.\(sequence)" }

    private func remove(_ kit: StoredStream, _ target: UInt64, _ cause: Cause) {
        switch cause {
        case .delete: _ = kit.request(Stream.deleteMessage, #"{"seq":\#(target),"no_erase":true}"#)
        case .erase: _ = kit.request(Stream.deleteMessage, #"{"seq":\#(target)}"#)
        case .purge: _ = kit.request(Stream.purge, #"{"filter":"\#(subject(target))"}"#)
        case .rollup: kit.publish(subject(target), "new", ["Nats-Rollup": "sub"])
        case .timeToLive, .age: kit.pass(seconds: 21)
        }
    }

    @Test(arguments: Cause.allCases) func whatWaitsIsDropped(cause: Cause) throws {
        let (kit, consumer) = try world(cause, target: 2)
        let first = kit.lease(consumer)
        #expect(first.sequences == [1, 4])
        remove(kit, 2, cause)
        #expect(!kit.log.contains(2) && consumer.info().pending == (cause == .rollup ? 2 : 1))
        kit.say(consumer, first[0])
        let second = kit.lease(consumer)
        #expect(second.sequences == [3])
        kit.say(consumer, try #require(second.first))
        // What a rollup has put in its place comes in its turn.
        #expect(kit.lease(consumer).sequences == (cause == .rollup ? [5] : []))
    }

    @Test(arguments: Cause.allCases, ["", "-NAK", "+TERM", "ack wait"])
    func aLeaseEndsAsTerminatedAndItsKeyWaits(cause: Cause, end: String) throws {
        let (kit, consumer) = try world(cause, target: 1) { $0.maxDeliver = 1 }
        let first = kit.lease(consumer)
        #expect(first.sequences == [1, 4])
        remove(kit, 1, cause)
        #expect(!kit.log.contains(1))
        #expect(kit.wasTold("$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.S.C", #""stream_seq":1,"#))
        // The worker still works on it.
        #expect(kit.lease(consumer).isEmpty && consumer.info().ackPending == 2)
        if end == "ack wait" { kit.pass(seconds: 61) } else { kit.say(consumer, first[0], end) }
        #expect(kit.lease(consumer).sequences == [2])
        #expect(kit.parked(consumer)["a"] == nil && !kit.wasTold("$BELLHOP.DLQ.S.C.YQ"))
    }

    @Test(arguments: Cause.allCases) func whatIsInBackoffIsDropped(cause: Cause) throws {
        let (kit, consumer) = try world(cause, target: 1)
        kit.say(consumer, kit.lease(consumer)[0], "-NAK 1h")
        #expect(kit.lease(consumer).isEmpty)
        remove(kit, 1, cause)
        #expect(kit.lease(consumer).sequences == [2] && consumer.info().redelivered == 0)
    }

    @Test(arguments: Cause.allCases, ["pin", "expire"]) func aParkEndsAndItsKeyResumes(cause: Cause, retention: String) throws {
        let (kit, consumer) = try world(cause, target: 1, ["bellhop.park_retention": retention])
        kit.say(consumer, kit.lease(consumer)[0], "+TERM")
        let version = try #require(kit.parked(consumer)["a"])
        remove(kit, 1, cause)
        if retention == "pin" && cause.isLimit {
            #expect(kit.log.contains(1) && kit.lease(consumer).isEmpty)
            #expect(kit.parked(consumer) == ["a": version] && !kit.wasTold("$BELLHOP.ADVISORY.PARK_ENDED.S.C"))
        } else {
            #expect(!kit.log.contains(1) && kit.parked(consumer).isEmpty)
            #expect(kit.wasTold("$BELLHOP.ADVISORY.PARK_ENDED.S.C", #""version":\#(version),"reason":"removed""#))
            #expect(kit.lease(consumer).sequences == [2])
        }
    }

    /// Everything goes at once: what is parked, leased and waits.
    @Test(arguments: [Cause.purge, .rollup]) func everythingIsRemoved(cause: Cause) throws {
        let (kit, consumer) = try world(.purge, target: 0)
        let first = kit.lease(consumer)
        kit.say(consumer, first[1], "+TERM")
        if cause == .purge {
            _ = kit.request(Stream.purge, "")
            kit.publish("s.a.5", "new")
        } else {
            kit.publish("s.a.5", "new", ["Nats-Rollup": "all"])
        }
        #expect(kit.log.state.messages == 1 && consumer.info().pending == 1 && consumer.keyed?.parkedKeys == 0)
        #expect(kit.wasTold("$BELLHOP.ADVISORY.PARK_ENDED.S.C", #""stream_seq":4,"#))
        #expect(kit.lease(consumer).isEmpty && consumer.info().ackPending == 1)
        kit.say(consumer, first[0])
        #expect(kit.lease(consumer).sequences == [5] && consumer.keyed?.table.count == 1)
    }
}
