// Atomic and fast batches (ADR-50), and counters (ADR-49). Texts are nats-server 2.15.1's.

import Store
import Testing

@testable import Broker

@Suite struct StreamBatchTests {
    private func kit(_ configure: (inout StreamConfig) -> Void = { _ in }) throws -> StreamKit {
        let kit = try StreamKit {
            $0.allowAtomicPublish = true
            $0.allowBatchPublish = true
            $0.allowRollup = true
            configure(&$0)
        }
        kit.interests = ["$JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.S"]
        return kit
    }

    /// The reason of the abandonment that has just been advised.
    private func abandoned(_ kit: StreamKit) -> String? {
        defer { kit.output = [] }
        let advisory = kit.output.last { $0.subject.hasPrefix("$JS.EVENT") }
        return advisory.flatMap { field($0.payload, "reason")?.string }
    }

    /// Limits and rollups take effect message by message, though all are stored at once.
    @Test func makesRoomMessageByMessage() throws {
        let kit = try kit { $0.maxMessages = 3 }
        for subject in ["s.a", "s.a", "s.b"] { kit.publish(subject) }
        kit.publish("s.b", "", ["Nats-Batch-Id": "x", "Nats-Batch-Sequence": "1", "Nats-Rollup": "sub"])
        kit.publish("s.c", "", ["Nats-Batch-Id": "x", "Nats-Batch-Sequence": "2", "Nats-Batch-Commit": "1"])
        #expect(kit.stored.map { $0.prefix(5) } == ["2 s.a", "4 s.b", "5 s.c"])
    }

    /// A schedule that its own batch ends takes its place in the limits until then.
    @Test(arguments: [false, true]) func makesRoomForAScheduleThatItsBatchEnds(isBatch: Bool) throws {
        let kit = try kit {
            $0.allowMessageSchedules = true
            $0.maxBytes = 700
        }
        let body = String(repeating: "x", count: 300)
        kit.publish("s.a", body)
        if isBatch {
            kit.publish(
                "s.b", body,
                [
                    "Nats-Schedule": "@at 2030-01-01T00:00:00Z", "Nats-Schedule-Target": "s.t", "Nats-Batch-Id": "x",
                    "Nats-Batch-Sequence": "1",
                ])
            kit.publish(
                "s.c", "",
                [
                    "Nats-Scheduler": "s.b", "Nats-Schedule-Next": "purge", "Nats-Batch-Id": "x", "Nats-Batch-Sequence": "2",
                    "Nats-Batch-Commit": "1",
                ])
        } else {
            kit.publish(
                "s.b", body,
                [
                    "Nats-Schedule": "@at 2030-01-01T00:00:00Z", "Nats-Schedule-Target": "s.t", "Padding": "as in a batch",
                ])
            kit.publish("s.c", "", ["Nats-Scheduler": "s.b", "Nats-Schedule-Next": "purge"])
        }
        #expect(kit.stored.map { $0.prefix(5) } == ["3 s.c"])
    }

    /// The last message of a batch is not in the log where nobody is interested in it: what comes later is no part of the batch.
    @Test func aBatchWhoseEndNobodyWantsLeavesTheNextOneWhole() throws {
        let disk = try StoredStream.makeDisk()
        let kit = try StoredStream(
            creating: StoredStream.config {
                $0.retention = .interest
                $0.allowAtomicPublish = true
            }, on: disk)
        _ = kit.create("C") { $0.filterSubject = "s.a" }
        func batch(_ id: String, _ subjects: [String], _ size: Int) -> String {
            var answer = ""
            for (place, subject) in subjects.enumerated() {
                let body = String(repeating: "\(place)", count: size), sequence = "\(place + 1)"
                answer =
                    place + 1 < subjects.count
                    ? kit.publish(subject, body, ["Nats-Batch-Id": id, "Nats-Batch-Sequence": sequence])
                    : kit.publish(
                        subject, body, ["Nats-Batch-Id": id, "Nats-Batch-Sequence": sequence, "Nats-Batch-Commit": "1"])
            }
            return answer
        }
        #expect(batch("one", ["s.a", "s.b"], 10).contains(#""seq":2"#))
        #expect(kit.log.state.messages == 1)
        // It is written, and the power fails before it is synced: some pages of it are there.
        disk.failPower(atChange: disk.changes + 2)
        #expect(errorCode(batch("two", ["s.a", "s.a", "s.a"], 5_000)) == 10077)
        var seen: Set<Int> = []
        for seed in 0..<200 as Range<UInt64> {
            let found = try #require(try StoredStream(on: disk.crashed(seed: seed)))
            let sizes = found.contents.sorted { $0.key < $1.key }.map(\.value.utf8.count)
            #expect(sizes == [10] || sizes == [10, 5_000, 5_000, 5_000], "seed \(seed)")
            seen.insert(sizes.count)
        }
        #expect(seen == [1, 4])
    }

    /// A schedule rolls up its subject, which only the first message of a batch on it may.
    @Test func aScheduleComesFirstOnItsSubject() throws {
        let kit = try kit { $0.allowMessageSchedules = true }
        kit.publish("s.a", "", ["Nats-Batch-Id": "x", "Nats-Batch-Sequence": "1"])
        let answer = kit.publish(
            "s.a", "",
            [
                "Nats-Batch-Id": "x", "Nats-Batch-Sequence": "2", "Nats-Batch-Commit": "1",
                "Nats-Schedule": "@at 2030-01-01T00:00:00Z", "Nats-Schedule-Target": "s.t",
            ])
        #expect(errorCode(answer) == 10111)
    }

    @Test func storesABatchWhole() throws {
        let kit = try kit()
        #expect(kit.publish("s.a", "1", ["Nats-Batch-Id": "b", "Nats-Batch-Sequence": "1"]) == "")
        kit.send("s.b", "2", ["Nats-Batch-Id": "b", "Nats-Batch-Sequence": "2"])
        kit.turn()
        #expect(kit.log.state.messages == 0)
        let ack = kit.publish("s.a", "3", ["Nats-Batch-Id": "b", "Nats-Batch-Sequence": "3", "Nats-Batch-Commit": "1"])
        #expect(ack == #"{"stream":"S","seq":3,"batch":"b","count":3}"#)
        #expect(kit.stored.map { $0.prefix(5) } == ["1 s.a", "2 s.b", "3 s.a"])
        #expect(kit.publish("s.a", "1", ["Nats-Batch-Id": "c", "Nats-Batch-Sequence": "1"]) == "")
        let end = kit.publish("s.a", "x", ["Nats-Batch-Id": "c", "Nats-Batch-Sequence": "2", "Nats-Batch-Commit": "eob"])
        #expect(end == #"{"stream":"S","seq":4,"batch":"c","count":1}"#)
        #expect(kit.stored.last == "4 s.a Nats-Batch-Id: c|Nats-Batch-Sequence: 1|Nats-Batch-Commit: 1| 1")
        #expect(
            kit.publish("s.a", "1", ["Nats-Batch-Id": "d", "Nats-Batch-Sequence": "1", "Nats-Batch-Commit": "1"])
                == #"{"stream":"S","seq":5,"batch":"d","count":1}"#)
    }

    @Test func refusesBrokenBatches() throws {
        let kit = try kit()
        func send(_ id: String, _ sequence: String, _ commit: String = "") -> Int? {
            let answer =
                commit.isEmpty
                ? kit.publish("s.a", "", ["Nats-Batch-Id": id, "Nats-Batch-Sequence": sequence])
                : kit.publish(
                    "s.a", "", ["Nats-Batch-Id": id, "Nats-Batch-Sequence": sequence, "Nats-Batch-Commit": commit])
            return errorCode(answer)
        }
        #expect(send(String(repeating: "x", count: 65), "1") == 10179)
        #expect(send("b", "z") == 10175)
        #expect(errorCode(kit.publish("s.a", "", ["Nats-Batch-Id": "q"])) == 10175)
        #expect(send("b", "0") == 10176 && send("b", "2") == 10176 && send("b", "0", "eob") == 10176)
        #expect(abandoned(kit) == nil)
        #expect(send("g", "1") == nil && send("g", "3") == 10176)
        #expect(abandoned(kit) == "incomplete")
        #expect(send("g", "2", "1") == 10176)
        #expect(send("h", "1") == nil && send("h", "2", "2") == 10200 && send("h", "2", "1") == 10176)
        #expect(abandoned(kit) == nil)
        #expect(send("i", "1", "eob") == 10176)
        #expect(abandoned(kit) == "incomplete")
        #expect(send("j", "1") == nil && send("j", "1") == 10176)
        #expect(kit.log.state.lastSequence == 0)
    }

    @Test func checksAllBeforeStoringAny() throws {
        let kit = try kit { $0.allowMessageTTL = true }
        kit.publish("s.z", "", ["Nats-Msg-Id": "dup"])
        typealias Headers = KeyValuePairs<String, String>
        /// The same two messages each time, with other headers.
        func batch(_ first: (String, String)?, _ second: (String, String)?, _ subject: String = "s.a") -> (Int?, String) {
            func headers(_ sequence: String, _ extra: (String, String)?, _ commit: Bool) -> String {
                let pair = extra ?? ("A", "b")
                let answer: String
                if commit {
                    answer = kit.publish(
                        subject, "",
                        ["Nats-Batch-Id": "e", "Nats-Batch-Sequence": "2", "Nats-Batch-Commit": "1", pair.0: pair.1])
                } else {
                    answer = kit.publish("s.a", "", ["Nats-Batch-Id": "e", "Nats-Batch-Sequence": "1", pair.0: pair.1])
                }
                return answer
            }
            #expect(headers("1", first, false) == "")
            let answer = headers("2", second, true)
            return (errorCode(answer), answer)
        }
        let cases: [((String, String)?, (String, String)?, Int, String)] = [
            (("Nats-Expected-Last-Sequence", "9"), nil, 10071, "wrong last sequence: 1"),
            (nil, ("Nats-Expected-Last-Sequence", "9"), 10071, "wrong last sequence: 2"),
            (nil, ("Nats-Expected-Last-Subject-Sequence", "0"), 10164, "wrong last sequence"),
            (("Nats-Expected-Last-Msg-Id", "6"), nil, 10177, "Nats-Expected-Last-Msg-Id"),
            (("Nats-Msg-Id", "6"), ("Nats-Msg-Id", "6"), 10201, "duplicate"),
            (("Nats-Msg-Id", "dup"), nil, 10201, "duplicate"),
            (nil, ("Nats-Rollup", "sub"), 10111, "batch rollup sub invalid"),
            (nil, ("Nats-Rollup", "all"), 10111, "batch rollup all invalid"),
            (("Nats-Expected-Stream", "Z"), nil, 10060, "expected stream"),
            (("Nats-TTL", "z"), nil, 10165, "TTL"),
            (("Nats-Incr", "1"), nil, 10168, "counters"),
        ]
        for (first, second, code, text) in cases {
            let (got, answer) = batch(first, second)
            #expect(
                got == code && answer.contains(text), "\(String(describing: first)) \(String(describing: second)) \(answer)")
        }
        #expect(kit.log.state.lastSequence == 1)
        #expect(batch(("Nats-Rollup", "all"), nil, "s.b").1 == #"{"stream":"S","seq":3,"batch":"e","count":2}"#)
        #expect(kit.stored.count == 2)
    }

    @Test func bounds() throws {
        var settings = StreamSettings()
        settings.atomicBatchMessagesMax = 5
        settings.atomicBatchesMax = 2
        let kit = try StreamKit(settings: settings) { $0.allowAtomicPublish = true }
        kit.interests = ["$JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.S"]
        for number in 1...5 { kit.publish("s.a", "", ["Nats-Batch-Id": "l", "Nats-Batch-Sequence": "\(number)"]) }
        let large = kit.publish("s.a", "", ["Nats-Batch-Id": "l", "Nats-Batch-Sequence": "6"])
        #expect(errorCode(large) == 10199 && large.contains("too large: 5"))
        #expect(abandoned(kit) == "large")
        for number in 1...5 { kit.publish("s.a", "", ["Nats-Batch-Id": "l", "Nats-Batch-Sequence": "\(number)"]) }
        let end = kit.publish("s.a", "", ["Nats-Batch-Id": "l", "Nats-Batch-Sequence": "6", "Nats-Batch-Commit": "eob"])
        #expect(end == #"{"stream":"S","seq":5,"batch":"l","count":5}"#)
        for id in ["m", "n"] { kit.publish("s.a", "", ["Nats-Batch-Id": id, "Nats-Batch-Sequence": "1"]) }
        #expect(errorCode(kit.publish("s.a", "", ["Nats-Batch-Id": "o", "Nats-Batch-Sequence": "1"])) == 10210)
        kit.pass(9.9)
        #expect(abandoned(kit) == nil)
        kit.pass(0.2)
        #expect(abandoned(kit) == "timeout")
        #expect(kit.stream.nextDeadlineNs == nil)
        #expect(errorCode(kit.publish("s.a", "", ["Nats-Batch-Id": "m", "Nats-Batch-Sequence": "2"])) == 10176)
    }

    @Test func aBatchFitsWholeOrNotAtAll() throws {
        let kit = try kit {
            $0.discard = .new
            $0.maxMessages = 2
        }
        kit.publish("s.a")
        kit.publish("s.a", "", ["Nats-Batch-Id": "b", "Nats-Batch-Sequence": "1"])
        let answer = kit.publish("s.a", "", ["Nats-Batch-Id": "b", "Nats-Batch-Sequence": "2", "Nats-Batch-Commit": "1"])
        #expect(errorCode(answer) == 10077)
        #expect(kit.log.state.messages == 1)
    }

    @Test func inABatchNobodyAsksWhoIsInterested() throws {
        let kit = try kit {
            $0.retention = .interest
            $0.discard = .new
            $0.maxMessages = 1
        }
        for sequence in 1...2 { #expect(kit.publish("s.a") == #"{"stream":"S","seq":\#(sequence)}"#) }
        kit.publish("s.a", "", ["Nats-Batch-Id": "b", "Nats-Batch-Sequence": "1"])
        let answer = kit.publish("s.b", "", ["Nats-Batch-Id": "b", "Nats-Batch-Sequence": "2", "Nats-Batch-Commit": "1"])
        #expect(errorCode(answer) == 10077)
    }

    /// Alone, a message has its rollup looked at first.
    @Test func inABatchTheTimeToLiveIsLookedAtFirst() throws {
        let kit = try kit { $0.allowMessageTTL = true }
        #expect(errorCode(kit.publish("s.a", "", ["Nats-Rollup": "none", "Nats-TTL": "z"])) == 10111)
        kit.publish("s.a", "", ["Nats-Batch-Id": "b", "Nats-Batch-Sequence": "1"])
        let answer = kit.publish(
            "s.b", "",
            ["Nats-Rollup": "all", "Nats-TTL": "z", "Nats-Batch-Id": "b", "Nats-Batch-Sequence": "2", "Nats-Batch-Commit": "1"])
        #expect(errorCode(answer) == 10165)
    }

    // MARK: Fast batches

    /// Answers to a message whose reply is `i.<id>.<rest>.$FI`.
    private func fast(_ kit: StreamKit, _ rest: String, _ headers: KeyValuePairs<String, String> = [:]) -> [String] {
        kit.output = []
        kit.send("s.a", "x", headers, reply: "i.\(rest).$FI")
        kit.turn()
        return kit.output.map(\.payload)
    }

    @Test func tellsHowFarAFastBatchHasCome() throws {
        let kit = try kit()
        #expect(fast(kit, "x.3.fail.1.0") == [#"{"type":"ack","seq":0,"msgs":3}"#])
        #expect(fast(kit, "x.3.fail.2.1") == [])
        #expect(fast(kit, "x.3.fail.3.1") == [#"{"type":"ack","seq":3,"msgs":3}"#])
        #expect(fast(kit, "x.3.fail.4.1") == [])
        #expect(fast(kit, "x.3.fail.4.4") == [#"{"type":"ack","seq":3,"msgs":3}"#])
        #expect(fast(kit, "x.3.fail.5.2") == [#"{"stream":"S","seq":5,"batch":"x","count":5}"#])
        _ = fast(kit, "e.3.fail.1.0")
        #expect(fast(kit, "e.3.fail.2.3") == [#"{"stream":"S","seq":6,"batch":"e","count":1}"#])
        #expect(fast(kit, "e.3.fail.1.2") == [#"{"stream":"S","seq":7,"batch":"e","count":1}"#])
        #expect(kit.log.state.lastSequence == 7)
    }

    @Test func beginsSlowlyBesideOthers() throws {
        let kit = try kit()
        _ = fast(kit, "first.3.ok.1.0")
        #expect(fast(kit, "k.0.ok.1.0") == [#"{"type":"ack","seq":0,"msgs":1}"#, #"{"type":"ack","seq":1,"msgs":2}"#])
        #expect(fast(kit, "k.0.ok.2.1") == [])
        #expect(fast(kit, "k.0.ok.3.1") == [#"{"type":"ack","seq":3,"msgs":4}"#])
        for number in 4...6 { #expect(fast(kit, "k.0.ok.\(number).1") == []) }
        #expect(fast(kit, "k.0.ok.7.1") == [#"{"type":"ack","seq":7,"msgs":8}"#])
    }

    @Test func gaps() throws {
        let kit = try kit()
        _ = fast(kit, "g.3.fail.1.0")
        #expect(
            fast(kit, "g.3.fail.4.1") == [
                #"{"type":"gap","last_seq":2,"seq":4}"#, #"{"stream":"S","seq":1,"batch":"g","count":1}"#,
            ])
        #expect(errorCode(fast(kit, "g.3.fail.2.1")[0]) == 10208)
        _ = fast(kit, "g.3.ok.1.0")
        #expect(fast(kit, "g.3.ok.4.1") == [#"{"type":"gap","last_seq":2,"seq":4}"#, #"{"type":"ack","seq":3,"msgs":3}"#])
        #expect(
            fast(kit, "g.3.ok.2.1") == [
                #"{"type":"gap","last_seq":5,"seq":2}"#, #"{"stream":"S","seq":3,"batch":"g","count":4}"#,
            ])
        _ = fast(kit, "p.3.ok.1.0")
        #expect(fast(kit, "p.3.ok.5.4") == [#"{"type":"gap","last_seq":2,"seq":6}"#, #"{"type":"ack","seq":3,"msgs":3}"#])
        #expect(fast(kit, "p.3.ok.6.2") == [#"{"stream":"S","seq":5,"batch":"p","count":6}"#])
    }

    @Test func errorsInFastBatches() throws {
        let kit = try kit()
        let wrong: KeyValuePairs = ["Nats-Expected-Last-Sequence": "999"]
        #expect(errorCode(fast(kit, "j.3.fail.1.2", wrong)[0]) == 10071)
        _ = fast(kit, "h.3.fail.1.0")
        #expect(
            fast(kit, "h.3.fail.2.1", wrong) == [
                #"{"type":"err","seq":2,"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 1"}}"#,
                #"{"stream":"S","seq":1,"batch":"h","count":1}"#,
            ])
        _ = fast(kit, "h.3.ok.1.0")
        #expect(fast(kit, "h.3.ok.2.1", wrong).count == 1)
        #expect(fast(kit, "h.3.ok.3.2") == [#"{"stream":"S","seq":3,"batch":"h","count":3}"#])
        #expect(fast(kit, "j.3.ok.1.2", wrong).last == #"{"stream":"S","seq":0,"batch":"j","count":0}"#)
        for bad in [
            "u.3.zz.1.0", "u.3.ok.0.0", "u.3.ok.x.0", "u.3.ok.1.7", "u.3.ok.1.1", "u.3.ok.1.3", "u.3.ok.18446744073709551615.2",
        ] {
            #expect(errorCode(fast(kit, bad)[0]) == 10206, "\(bad)")
        }
        #expect(errorCode(fast(kit, String(repeating: "u", count: 65) + ".3.ok.1.0")[0]) == 10207)
        #expect(errorCode(fast(kit, "u.3.ok.2.1")[0]) == 10208 && errorCode(fast(kit, "u.3.ok.1.4")[0]) == 10208)
        let off = try StreamKit()
        #expect(errorCode(fast(off, "x.3.ok.1.0")[0]) == 10205)
    }

    // MARK: Counters

    @Test func counts() throws {
        let kit = try StreamKit { $0.allowMessageCounter = true }
        #expect(errorCode(kit.publish("s.a")) == 10169)
        #expect(errorCode(kit.publish("s.a", "x", ["Nats-Incr": "1"])) == 10170)
        let steps = [
            ("1", "1"), ("+5", "6"), ("-10", "-4"), ("123456789012345678901234567890", "123456789012345678901234567886"),
            ("-123456789012345678901234567891", "-5"), ("-0", "-5"),
        ]
        for (index, (increment, value)) in steps.enumerated() {
            #expect(
                kit.publish("s.a", "", ["Nats-Incr": increment])
                    == #"{"stream":"S","seq":\#(index + 1),"val":"\#(value)"}"#)
        }
        for junk in ["junk", "+", "7 ", "1_0", "0x5"] {
            #expect(errorCode(kit.publish("s.a", "", ["Nats-Incr": junk])) == 10171, "\(junk)")
        }
        for name in ["Nats-Rollup", "Nats-Expected-Last-Sequence", "Nats-Expected-Stream", "Nats-Expected-Last-Msg-Id"] {
            #expect(errorCode(kit.publish("s.a", "", ["Nats-Incr": "1", name: "sub"])) == 10171, "\(name)")
        }
        #expect(kit.stored[1] == #"2 s.a Nats-Incr: +5| {"val":"6"}"#)
        #expect(kit.publish("s.b", "", ["Nats-Incr": "2", "Nats-Msg-Id": "u"]).contains(#""val":"2""#))
        #expect(kit.publish("s.b", "", ["Nats-Incr": "2", "Nats-Msg-Id": "u"]) == #"{"stream":"S","seq":7,"duplicate": true}"#)
        try kit.restart()
        #expect(kit.publish("s.a", "", ["Nats-Incr": "1"]).contains(#""val":"-4""#))
    }

    @Test func countsInABatch() throws {
        let kit = try kit { $0.allowMessageCounter = true }
        kit.publish("s.a", "", ["Nats-Incr": "5"])
        kit.publish("s.a", "", ["Nats-Incr": "1", "Nats-Batch-Id": "b", "Nats-Batch-Sequence": "1"])
        let ack = kit.publish(
            "s.a", "", ["Nats-Incr": "1", "Nats-Batch-Id": "b", "Nats-Batch-Sequence": "2", "Nats-Batch-Commit": "1"])
        #expect(ack.contains(#""val":"7""#) && ack.contains(#""count":2"#))
    }

    @Test func integersOfAnySize() {
        func check(_ a: String, _ b: String, _ sum: String, _ difference: String) {
            guard let x = DecimalInteger(a), let y = DecimalInteger(b) else { return #expect(Bool(false), "\(a) \(b)") }
            #expect((x + y).description == sum && (y + x).description == sum)
            #expect((x - y).description == difference)
            #expect(x - x == DecimalInteger())
        }
        check("0", "0", "0", "0")
        check("999999999", "1", "1000000000", "999999998")
        check("-1", "1", "0", "-2")
        check("1000000000000000000", "-1", "999999999999999999", "1000000000000000001")
        check("000000000000000012", "-12", "0", "24")
        check("-99999999999999999999", "-1", "-100000000000000000000", "-99999999999999999998")
        var state: UInt64 = 42
        for _ in 0..<2000 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            let a = Int64(bitPattern: state) >> Int64(state % 40 + 2),
                b = Int64(bitPattern: state &* 31) >> Int64(state % 37 + 2)
            check(String(a), String(b), String(a + b), String(a - b))
        }
        for junk in ["", "+", "-", "1 ", "a", "--1", "1.0"] { #expect(DecimalInteger(junk) == nil) }
    }

    /// A batch counts against what account and server may hold, as a whole.
    @Test func aBatchNeedsRoomInItsAccount() throws {
        let kit = try kit()
        kit.stream.roomForBytes = { $0 + $1 > 200 ? .accountResourcesExceeded : nil }
        func batch(_ id: String, _ count: Int) -> String {
            for number in 1..<count { kit.publish("s.a", "x", ["Nats-Batch-Id": id, "Nats-Batch-Sequence": "\(number)"]) }
            return kit.publish("s.a", "x", ["Nats-Batch-Id": id, "Nats-Batch-Sequence": "\(count)", "Nats-Batch-Commit": "1"])
        }
        #expect(errorCode(batch("small", 1)) == nil)
        #expect(errorCode(batch("large", 2)) == 10002)
        #expect(kit.log.state.messages == 1)
    }

    @Test func batchesAreBoundedTogether() throws {
        var settings = StreamSettings()
        settings.atomicBatchesBytesMax = 4_000
        settings.accountBatchesBytesMax = 8_000
        let kit = try StreamKit(settings: settings) { $0.allowAtomicPublish = true }
        let body = String(repeating: "x", count: 1_000)
        func begin(_ id: String) -> Int? {
            errorCode(kit.publish("s.a", body, ["Nats-Batch-Id": id, "Nats-Batch-Sequence": "1"]))
        }
        #expect((1...3).map { begin("\($0)") } == [nil, nil, nil])
        #expect(begin("4") == 10210)
        let held = kit.stream.atomicBatches.bytes
        #expect(held > 3_000 && held < 4_000)
        kit.publish("s.a", body, ["Nats-Batch-Id": "1", "Nats-Batch-Sequence": "2", "Nats-Batch-Commit": "1"])
        kit.stream.batchBytesInAccount = { 9_000 }
        #expect(begin("5") == 10210)
        kit.stream.batchBytesInAccount = { 0 }
        #expect(begin("6") == nil)
        kit.pass(20)
        #expect(kit.stream.atomicBatches.bytes == 0 && kit.stream.atomicBatches.count == 0)
    }

    /// Publishes that wait for values on the disk keep their order, and are counted while they wait.
    @Test func publishesThatWaitForTheDiskStayInOrder() throws {
        let kit = try StreamKit(disk: ColdDisk()) { $0.allowMessageCounter = true }
        for number in 0..<30 { kit.publish("s.\(number)", "", ["Nats-Incr": "1"]) }
        try kit.restart()
        kit.output = []
        for number in 0..<90 { kit.send("s.\(number % 30)", "", ["Nats-Incr": "1"], reply: "r.\(number)") }
        #expect(kit.stream.held.bytes > 0)
        for _ in 0..<200 where !kit.stream.held.isEmpty { kit.turn() }
        kit.turn()
        #expect(kit.stream.held.bytes == 0)
        let answers = kit.output.filter { $0.subject.hasPrefix("r.") }
        #expect(answers.map(\.subject) == (0..<90).map { "r.\($0)" })
        #expect(answers.enumerated().allSatisfy { $1.payload.contains(#""val":"\#($0 / 30 + 2)""#) }, "\(answers)")
    }
}
