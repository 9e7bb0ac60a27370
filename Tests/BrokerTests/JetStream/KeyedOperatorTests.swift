// Keyed consumers: what operators see and do, what they and their listeners are told, and what pauses a consumer.

import Testing
import Wire

@testable import Broker

@Suite struct KeyedOperatorTests {
    private func world() throws -> ConsumerFixture {
        let world = try ConsumerFixture()
        world.subscribe("$BELLHOP.>")
        return world
    }

    @Test func aRetryDrainsWhatWaitedInOrder() throws {
        let world = try world()
        try world.store("s.a", "s.a", "s.a", "s.b")
        let consumer = try world.createKeyed("c") { $0.maxDeliver = 1 }
        let first = world.lease(consumer)
        world.park(consumer, first[0])
        try world.store("s.a")
        world.ack(consumer, first[1])
        #expect(world.lease(consumer).isEmpty)
        let version = try #require(world.parked(consumer)["a"])
        let reply = world.command(consumer, .retry, #"{"key":"a","version":\#(version),"actor":"me","reason":"fixed"}"#)
        #expect(reply.object?["retried"]?.int64 == 1)
        var order: [UInt64] = []
        for _ in 0..<4 {
            for delivery in world.lease(consumer) {
                if order.isEmpty { #expect(delivery.reference?.deliveries == 1) }
                order.append(delivery.sequence ?? 0)
                world.ack(consumer, delivery)
            }
        }
        #expect(order == [1, 2, 3, 5])
    }

    @Test func aStaleRetryIsRefused() throws {
        let world = try world()
        try world.store("s.a")
        let consumer = try world.createKeyed()
        world.park(consumer, world.lease(consumer)[0])
        let version = try #require(world.parked(consumer)["a"])
        let body = #"{"key":"a","version":\#(version)}"#
        #expect(world.errorCode(world.command(consumer, .retry, body)) == nil)
        #expect(world.errorCode(world.command(consumer, .retry, body)) == 20_003)
        world.park(consumer, world.lease(consumer)[0])
        #expect(world.errorCode(world.command(consumer, .retry, body)) == 20_004)
        #expect(world.errorCode(world.command(consumer, .retry, #"{"key":"x","version":1}"#)) == 20_002)
        #expect(world.errorCode(world.command(consumer, .retry, #"{"key":"a"}"#)) == 20_001)
        #expect(world.errorCode(world.command(consumer, .retry, #"{"what":1}"#)) != nil)
    }

    @Test func aSkipNeedsAReasonAndAnActor() throws {
        let world = try world()
        try world.store("s.a", "s.a")
        let consumer = try world.createKeyed()
        world.park(consumer, world.lease(consumer)[0])
        let version = try #require(world.parked(consumer)["a"])
        #expect(world.errorCode(world.command(consumer, .skip, #"{"key":"a","version":\#(version),"actor":"me"}"#)) == 20_001)
        #expect(world.errorCode(world.command(consumer, .skip, #"{"key":"a","version":\#(version),"reason":"r"}"#)) == 20_001)
        _ = world.taken()
        let body = #"{"key":"a","version":\#(version),"reason":"hopeless","actor":"me"}"#
        #expect(world.errorCode(world.command(consumer, .skip, body)) == nil)
        let audit = world.taken().filter { $0.to == "$BELLHOP.AUDIT.S.c" }
        #expect(audit.count == 1 && audit[0].payload.contains("hopeless") && audit[0].payload.contains(#""actor":"me""#))
        #expect(world.lease(consumer).sequences == [2])
    }

    @Test func parksAndAuditsSurviveARestart() throws {
        var world = try world()
        try world.store("s.a", "s.a", "s.b", "s.c")
        var consumer = try world.createKeyed()
        let first = world.lease(consumer)
        world.send("+TERM why", headers: "NATS/1.0\r\nBellhop-Error: broken pipe\r\n\r\n", to: first[0].reply) {
            consumer.receive(ack: $0)
        }
        world.endTurn()
        world.park(consumer, first[1])
        let before = world.parked(consumer)
        _ = world.command(
            consumer, .skip, #"{"key":"b","version":\#(before["b"] ?? 0),"reason":"r","actor":"me"}"#)
        for rewrites in [false, true] {
            if rewrites { world.lists.rewrite() }
            world.endTurn()
            world = try world.restarted(afterNs: 10_000_000)
            consumer = try #require(world.registry["c"])
            #expect(world.parked(consumer) == ["a": before["a"] ?? 0])
            let listed = world.command(consumer, .list).object?["keys"]?.array?.first?.object
            #expect(listed?["error"]?.string == "broken pipe" && listed?["reason"]?.string == "terminated")
            let audit = world.command(consumer, .info).object?["audit"]?.array?.first?.object
            #expect(audit?["actor"]?.string == "me" && audit?["command"]?.string == "skip")
            #expect(!world.lease(consumer).sequences.contains(2))
        }
        #expect(world.errorCode(world.command(consumer, .retry, #"{"key":"a","version":\#(before["a"] ?? 0)}"#)) == nil)
        #expect(world.lease(consumer).sequences.contains(1))
    }

    @Test func aRetryThatIsNotDurableIsForgotten() throws {
        var world = try world()
        try world.store("s.a")
        var consumer = try world.createKeyed()
        world.park(consumer, world.lease(consumer)[0])
        let body = Array(#"{"key":"a","version":\#(world.parked(consumer)["a"] ?? 0)}"#.utf8)
        var answer: [UInt8] = []
        body.withUnsafeBytes { consumer.keyed?.handle(.retry, ByteView($0)) { answer = $0 } }
        world.endTurn(commits: false)
        #expect(answer.isEmpty && world.lease(consumer, reply: "x").count <= 1)
        world = try world.restarted()
        consumer = try #require(world.registry["c"])
        #expect(world.parked(consumer).count + world.lease(consumer).count == 1)
    }

    @Test func manyAtARate() throws {
        let world = try world()
        for key in 0..<10 { try world.append("s.k\(key)") }
        world.commitLog()
        let consumer = try world.createKeyed()
        for delivery in world.lease(consumer) { world.park(consumer, delivery) }
        #expect(world.parked(consumer).count == 10)
        let reply = world.command(consumer, .retry, #"{"all":true,"limit":6,"rate":2}"#).object
        #expect(reply?["retried"]?.int64 == 1 && reply?["scheduled"]?.int64 == 5)
        world.pass(ms: 1_100)
        #expect(world.parked(consumer).count == 7)
        world.pass(ms: 5_000)
        #expect(world.parked(consumer).count == 4)
        #expect(world.command(consumer, .retry, #"{"all":true}"#).object?["retried"]?.int64 == 4)
    }

    @Test func operatorsParkToo() throws {
        let world = try world()
        try world.store("s.a", "s.a", "s.b")
        let consumer = try world.createKeyed()
        let first = world.lease(consumer)
        let reply = world.command(consumer, .park, #"{"key":"a","reason":"stop","actor":"me"}"#)
        #expect(reply.object?["stream_seq"]?.int64 == 1)
        #expect(world.parked(consumer).keys.sorted() == ["a"])
        // What the worker still says of it counts.
        world.ack(consumer, first[0])
        #expect(world.parked(consumer).isEmpty && world.lease(consumer).sequences == [2])
        #expect(world.errorCode(world.command(consumer, .park, #"{"key":"nobody"}"#)) == 20_002)
    }

    @Test func listsByState() throws {
        let world = try world()
        try world.store("s.a", "s.b", "s.c", "s.d")
        let consumer = try world.createKeyed("c") { $0.maxAckPending = 3 }
        let first = world.lease(consumer)
        world.park(consumer, first[0])
        world.ack(consumer, first[1], "-NAK 1h")
        func keys(_ state: String) -> [String] {
            let reply = world.command(consumer, .list, #"{"state":"\#(state)"}"#)
            return (reply.object?["keys"]?.array ?? []).compactMap { $0.object?["key"]?.string }
        }
        #expect(keys("parked") == ["a"] && keys("backoff") == ["b"] && keys("leased") == ["c"] && keys("ready") == ["d"])
        #expect(world.errorCode(world.command(consumer, .list, #"{"state":"gone"}"#)) == 20_001)
        let page = world.command(consumer, .list, #"{"state":"leased","offset":1}"#).object
        #expect(page?["total"]?.int64 == 1 && page?["keys"]?.array?.count == 0)
    }

    /// A command that was meant for a park of an earlier consumer of the name finds none of this one's.
    @Test func versionsDoNotComeAgain() throws {
        let world = try world()
        try world.store("s.a", "s.a")
        var consumer = try world.createKeyed()
        world.park(consumer, world.lease(consumer)[0])
        let stale = try #require(world.parked(consumer)["a"])
        world.registry.delete(consumer)
        consumer = try world.createKeyed()
        world.ack(consumer, world.lease(consumer)[0])
        world.park(consumer, world.lease(consumer)[0])
        let skip = #"{"key":"a","version":\#(stale),"reason":"r","actor":"me"}"#
        #expect(world.errorCode(world.command(consumer, .skip, skip)) == 20_004)
        #expect(world.parked(consumer)["a"] != nil && world.parked(consumer)["a"] != stale)
    }

    /// With several messages of a key at a time several may be parked: each is named by its version, and what waits behind them
    /// counts once.
    @Test func severalParksOfAKey() throws {
        let world = try world()
        for _ in 0..<6 { try world.append("s.a") }
        world.commitLog()
        let consumer = try world.createKeyed("c", ["bellhop.max_pending_per_key": "3"])
        for delivery in world.lease(consumer) { world.park(consumer, delivery) }
        func parks() -> [(sequence: Int64, version: Int64)] {
            (world.command(consumer, .list).object?["keys"]?.array ?? []).compactMap { park in
                guard let sequence = park.object?["stream_seq"]?.int64, let version = park.object?["version"]?.int64 else {
                    return nil
                }
                return (sequence, version)
            }
        }
        #expect(parks().map(\.sequence) == [1, 2, 3])
        let keyed = try #require(consumer.keyed)
        let all = (1...6).reduce(UInt64(0)) { $0 + UInt64(world.log.size(of: UInt64($1)) ?? 0) }
        #expect(keyed.parked.bytes == all && keyed.pinned.bytes == all && keyed.parked.messages == 6)
        for place in [1, 0, 2] {
            let park = (try #require(parks().first { $0.sequence == Int64(place + 1) }))
            let answer = world.command(consumer, .retry, #"{"key":"a","version":\#(park.version)}"#)
            #expect(world.errorCode(answer) == nil && !parks().contains { $0.sequence == park.sequence })
            #expect(keyed.pinned.bytes == all, "what is retried stays pinned until it is handled")
        }
        #expect(keyed.parked.messages == 0)
        for _ in 0..<6 {
            for delivery in world.lease(consumer) { world.ack(consumer, delivery) }
            world.endTurn()
        }
        #expect(keyed.table.count == 0 && keyed.pinned.messages == 0 && keyed.pinned.bytes == 0)
    }

    /// A key that parks again and again is one key, and an operator's own parks are none of its failures.
    @Test func theCircuitCountsKeys() throws {
        let world = try world()
        for key in 0..<10 { try world.append("s.k\(key)") }
        world.commitLog()
        let consumer = try world.createKeyed("c", ["bellhop.park_circuit": "0.3/60s"])
        var bad = world.lease(consumer)
        for delivery in bad.dropFirst(4) { world.ack(consumer, delivery) }
        for _ in 0..<4 {
            world.park(consumer, bad[0])
            let version = world.parked(consumer)["k0"] ?? 0
            #expect(world.errorCode(world.command(consumer, .retry, #"{"key":"k0","version":\#(version)}"#)) == nil)
            bad[0] = try #require(world.lease(consumer).first)
        }
        for key in 1...3 { _ = world.command(consumer, .park, #"{"key":"k\#(key)"}"#) }
        #expect(world.command(consumer, .info).object?["paused"]?.string == "")
    }

    @Test func requestsThatContradictThemselves() throws {
        let world = try world()
        try world.store("s.a", "s.b")
        let consumer = try world.createKeyed()
        for delivery in world.lease(consumer) { world.park(consumer, delivery) }
        let version = world.parked(consumer)["a"] ?? 0
        for body in [
            #"{"key":"a","version":\#(version),"all":true}"#, #"{"all":true,"stream_seq":1}"#, #"{"all":true,"limit":-1}"#,
        ] { #expect(world.errorCode(world.command(consumer, .retry, body)) == 20_001, "\(body)") }
        #expect(world.errorCode(world.command(consumer, .park, #"{"key":"a"}"#)) == 20_008)
        #expect(world.errorCode(world.command(consumer, .list, #"{"offset":-1}"#)) == 20_001)
        #expect(world.parked(consumer).count == 2)
        // A reader of JSON would take another key for it.
        var answer: [UInt8] = []
        (Array(#"{"key":""#.utf8) + [0xFF] + Array(#"","version":1}"#.utf8)).withUnsafeBytes { body in
            consumer.keyed?.handle(.retry, ByteView(body)) { answer = $0 }
        }
        #expect(world.errorCode((try? JSONValue.parse(answer)) ?? .null) == 20_001)
    }

    @Test func anOperationThatThereIsNot() throws {
        let world = try world()
        let consumer = try world.createKeyed()
        world.interests.append("answer")
        world.send("{}", to: "$BELLHOP.API.KEY.FOO.S.c", reply: "answer") { consumer.receive(keyRequest: $0) }
        let answers = world.taken().filter { $0.to == "answer" }
        #expect(answers.count == 1 && answers[0].payload.contains("20001") && answers[0].payload.contains("FOO"))
    }

    /// What was promised for later comes, whatever is asked for meanwhile.
    @Test func aRetryOfSomeLeavesTheRunThatIsUnderWay() throws {
        let world = try world()
        for key in 0..<10 { try world.append("s.k\(key)") }
        world.commitLog()
        let consumer = try world.createKeyed()
        for delivery in world.lease(consumer) { world.park(consumer, delivery) }
        _ = world.command(consumer, .retry, #"{"all":true,"rate":2}"#)
        #expect(world.parked(consumer).count == 9)
        _ = world.command(consumer, .retry, #"{"all":true,"limit":1}"#)
        #expect(world.parked(consumer).count == 8)
        world.pass(ms: 4_200)
        #expect(world.parked(consumer).isEmpty)
    }

    @Test func tooManyParkedKeysPause() throws {
        let world = try world()
        for key in 0..<5 { try world.append("s.k\(key)") }
        world.commitLog()
        let consumer = try world.createKeyed("c", ["bellhop.max_parked_keys": "2"]) { $0.maxAckPending = 2 }
        for delivery in world.lease(consumer) { world.park(consumer, delivery) }
        #expect(world.lease(consumer).isEmpty)
        #expect(world.command(consumer, .info).object?["paused"]?.string == "max_parked_keys")
        _ = world.command(consumer, .retry, #"{"key":"k0","version":\#(world.parked(consumer)["k0"] ?? 0)}"#)
        #expect(!world.lease(consumer).isEmpty)
    }

    @Test func theCircuitOpensAndIsClosed() throws {
        var world = try world()
        for key in 0..<20 { try world.append("s.k\(key)") }
        world.commitLog()
        var consumer = try world.createKeyed("c", ["bellhop.park_circuit": "0.5/60s"]) { $0.maxAckPending = 6 }
        let first = world.lease(consumer)
        for delivery in first[..<3] { world.ack(consumer, delivery) }
        for delivery in first[3...] { world.park(consumer, delivery) }
        #expect(world.lease(consumer).isEmpty)
        #expect(world.command(consumer, .info).object?["paused"]?.string == "park_circuit")
        world = try world.restarted()
        consumer = try #require(world.registry["c"])
        #expect(world.lease(consumer).isEmpty)
        #expect(world.errorCode(world.command(consumer, .resume, #"{"actor":"me","reason":"fixed"}"#)) == nil)
        #expect(!world.lease(consumer).isEmpty)
        #expect(world.errorCode(world.command(consumer, .resume)) == 20_006)
    }

    @Test func stickyPrefersTheSameClient() throws {
        let world = try world()
        for _ in 0..<6 { try world.append("s.a") }
        world.commitLog()
        let consumer = try world.createKeyed("c", ["bellhop.key_affinity": "sticky"])
        world.interests += ["one", "two"]
        let body = #"{"batch":10,"expires":60000000000}"#
        for (reply, client) in [("one", 1), ("two", 2)] as [(String, UInt64)] {
            world.send(body, to: "$JS.API.CONSUMER.MSG.NEXT.S.c", reply: reply) { consumer.receive(next: $0, from: client) }
        }
        world.endTurn()
        var receivers: [String] = []
        for _ in 0..<6 {
            let sent = world.taken().filter { $0.reference != nil }
            receivers += sent.map(\.to)
            for delivery in sent { world.ack(consumer, delivery) }
            world.endTurn()
        }
        #expect(receivers.count >= 5 && Set(receivers).count == 1)
    }

    @Test func leasesEndWithTheirConnection() throws {
        let world = try world()
        try world.store("s.a", "s.b")
        let consumer = try world.createKeyed("c", ["bellhop.release_on_disconnect": "true"])
        let plain = try world.createKeyed("plain")
        _ = world.lease(consumer, 1, client: 7)
        _ = world.lease(consumer, 1, client: 8)
        _ = world.lease(plain, 2, client: 7)
        for one in [consumer, plain] { one.keyed?.clientClosed(7) }
        #expect(world.lease(consumer, client: 9).sequences == [1] && world.lease(plain).isEmpty)
    }

    @Test func keysAreTokensOfSubjects() {
        #expect(KeyToken.text(Array("a".utf8)) == "YQ" && KeyToken.text([]) == "_")
        #expect(KeyToken.text([0xFB, 0xFF]) == "-_8")
        #expect(KeyToken.text(Array(repeating: 0x61, count: 257)).hasPrefix("sha256-"))
    }

    @Test func aKeyTakesLittleMemory() throws {
        let world = try world()
        let count = 25_000, filler = String(repeating: "k", count: 57)
        for key in 0..<count { try world.append("s.\(filler)\(1_000_000 + key)") }
        world.commitLog()
        let consumer = try world.createKeyed("c", ["bellhop.max_parked_keys": "1000000"]) { $0.maxAckPending = 2 * count }
        let keyed = try #require(consumer.keyed)
        for _ in 0..<100 where keyed.table.count < count {
            for (place, delivery) in world.lease(consumer, 4_096).enumerated() {
                world.ack(consumer, delivery, place % 2 == 0 ? "-NAK 1h" : "+TERM", ends: false)
            }
            world.endTurn()
        }
        #expect(keyed.table.count(.parked) > count / 3 && keyed.table.count(.backoff) > count / 3)
        // Of TERM without a reason nothing is kept.
        #expect(keyed.errors.isEmpty)
        let bytes = keyed.table.memory + keyed.index.memory
        #expect(bytes <= 256 * count, "\(bytes / count) bytes a key")
        print("keyed: \(bytes / count) bytes for a key of 64 bytes")
    }

    @Test func parkedKeysCostNoVisits() throws {
        let world = try world()
        for key in 0..<2_000 { try world.append("s.k\(key)") }
        world.commitLog()
        let consumer = try world.createKeyed("c") { $0.maxAckPending = 5_000 }
        for _ in 0..<2 {
            for delivery in world.lease(consumer, 1_000) { world.ack(consumer, delivery, "+TERM", ends: false) }
        }
        world.endTurn()
        world.endTurn()
        #expect(consumer.keyed?.table.count(.parked) == 2_000)
        for number in 0..<100 { try world.append("s.x\(number % 10)") }
        world.commitLog()
        let keyed = try #require(consumer.keyed)
        let visits = keyed.visits, leases = keyed.leasesTotal
        for _ in 0..<10 { for delivery in world.lease(consumer) { world.ack(consumer, delivery) } }
        #expect(keyed.leasesTotal - leases == 100 && keyed.visits - visits == 100)
    }
}
