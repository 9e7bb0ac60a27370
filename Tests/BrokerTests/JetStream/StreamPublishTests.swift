// Publishes: acks, their text, the order of checks, and what headers ask for. Texts and orders are nats-server 2.15.1's.

import Store
import Testing
import Wire

@testable import Broker

@Suite struct StreamPublishTests {
    @Test func acknowledgesAfterTheCommit() throws {
        let kit = try StreamKit()
        kit.holdsCommits = true
        kit.send("s.a", "one", reply: "r.1")
        kit.send("s.a", "two")
        kit.send("s.a", "three", reply: "r.3")
        kit.turn()
        #expect(kit.output.isEmpty && kit.stream.visibleSequence == 0)
        kit.finishCommits()
        #expect(kit.output.map(\.payload) == [#"{"stream":"S","seq":1}"#, #"{"stream":"S","seq":3}"#])
        #expect(kit.stream.visibleSequence == 3)
    }

    @Test func namesTheDomain() throws {
        var settings = StreamSettings()
        settings.domain = "hub"
        let kit = try StreamKit(settings: settings)
        #expect(kit.publish("s.a") == #"{"stream":"S","domain":"hub","seq":1}"#)
    }

    @Test func whatComesDuringACommitWaitsForTheNext() throws {
        let kit = try StreamKit()
        kit.holdsCommits = true
        kit.send("s.a", reply: "r.1")
        kit.turn()
        kit.send("s.a", reply: "r.2")
        kit.turn()
        #expect(kit.commits == 1)
        kit.finishCommits()
        #expect(kit.output.map(\.subject) == ["r.1"])
        #expect(kit.commits == 2)
        kit.finishCommits()
        #expect(kit.output.map(\.subject) == ["r.1", "r.2"])
    }

    @Test func aDuplicateWaitsForItsOriginal() throws {
        let kit = try StreamKit()
        kit.holdsCommits = true
        kit.send("s.a", "", ["Nats-Msg-Id": "m"], reply: "r.1")
        kit.send("s.a", "", ["Nats-Msg-Id": "m"], reply: "r.2")
        kit.turn()
        kit.send("s.a", "", ["Nats-Msg-Id": "m"], reply: "r.3")
        kit.turn()
        #expect(kit.output.isEmpty)
        kit.finishCommits()
        #expect(kit.output.map(\.payload).dropFirst().allSatisfy { $0 == #"{"stream":"S","seq":1,"duplicate": true}"# })
        #expect(kit.output.count == 3)
        #expect(kit.log.state.lastSequence == 1)
    }

    @Test func aFailedCommitEndsTheStreamsAcks() throws {
        let kit = try StreamKit()
        kit.publish("s.a", "kept")
        kit.commitError = DiskError("fdatasync", "segment", 5)
        let answer = kit.publish("s.a", "lost")
        #expect(errorCode(answer) == 10077 && answer.contains("fdatasync"))
        #expect(errorCode(kit.publish("s.a")) == 10077)
        #expect(errorCode(kit.publish("s.a", "", ["A": "b"])) == 10077)
        #expect(kit.request(Stream.getMessage, #"{"seq":1}"#).contains(#""data":"a2VwdA==""#))
        // What no commit holds is never shown.
        #expect(errorCode(kit.request(Stream.getMessage, #"{"seq":2}"#)) == 10037)
        #expect(errorCode(kit.request(Stream.deleteMessage, #"{"seq":1}"#)) == 10057)
    }

    @Test func noAckIsSilent() throws {
        let kit = try StreamKit {
            $0.noAck = true
            $0.maxMessageBytes = 3
        }
        #expect(kit.publish("s.a") == "none")
        #expect(kit.publish("s.a", "too large") == "none")
        #expect(kit.log.state.messages == 1)
    }

    @Test func asyncPersistenceAcknowledgesAtOnce() throws {
        let kit = try StreamKit { $0.persistMode = .async }
        kit.holdsCommits = true
        #expect(kit.publish("s.a") == #"{"stream":"S","seq":1}"#)
        #expect(kit.stream.visibleSequence == 0)
    }

    @Test func syncsOnceInAnInterval() throws {
        var settings = StreamSettings()
        settings.syncPolicy = .interval(ns: 1_000_000_000)
        let kit = try StreamKit(settings: settings)
        #expect(kit.publish("s.a") == #"{"stream":"S","seq":1}"#)
        kit.publish("s.a")
        #expect(kit.log.needsSync && kit.commits == 2)
        kit.pass(1.1)
        #expect(!kit.log.needsSync && kit.commits == 3)
        #expect(kit.stream.nextDeadlineNs == nil)
    }

    @Test func refusesByHeaders() throws {
        let kit = try StreamKit()
        kit.publish("s.a", "x")
        kit.publish("s.a", "x", ["Nats-Msg-Id": "a"])
        let cases: [(KeyValuePairs<String, String>, Int, String)] = [
            (["Nats-Expected-Stream": "Z"], 10060, "expected stream does not match"),
            (["Nats-Expected-Last-Sequence": "7"], 10071, "wrong last sequence: 2"),
            (["Nats-Expected-Last-Sequence": "junk"], 10071, "wrong last sequence: 2"),
            (["Nats-Expected-Last-Subject-Sequence": "0"], 10071, "wrong last sequence: 2"),
            (["Nats-Expected-Last-Subject-Sequence-Subject": "s.b"], 10193, "missing sequence"),
            (
                ["Nats-Expected-Last-Subject-Sequence-Subject": "s.*", "Nats-Expected-Last-Subject-Sequence": "1"], 10071,
                "wrong last sequence: 2"
            ),
            (["Nats-Expected-Last-Msg-Id": "q"], 10070, "wrong last msg ID: a"),
            (["Nats-Rollup": "sub"], 10111, "rollup not permitted"),
            (["Nats-TTL": "1"], 10166, "per-message TTL is disabled"),
            (["Nats-Incr": "1"], 10168, "message counters is disabled"),
            (["Nats-Incr": "x"], 10171, "invalid"),
            (["Nats-Batch-Id": "1"], 10174, "atomic publish is disabled"),
            (["Nats-Schedule": "@at x"], 10188, "message schedules is disabled"),
            (["Nats-Scheduler": "x"], 10212, "invalid scheduler"),
            (["Nats-Stream-Source": "1"], 10227, "not allowed"),
            // A duplicate with a wrong expectation is an error; with a wrong rollup it is a duplicate.
            (["Nats-Msg-Id": "a", "Nats-Expected-Last-Sequence": "9"], 10071, "2"),
        ]
        for (headers, code, text) in cases {
            let answer = kit.publish("s.a", "x", headers)
            #expect(errorCode(answer) == code && answer.contains(text), "\(headers): \(answer)")
            #expect(answer.hasSuffix(#"},"stream":"S","seq":0}"#))
        }
        #expect(kit.publish("s.a", "x", ["Nats-Msg-Id": "a", "Nats-Rollup": "sub"]).contains("duplicate"))
        #expect(kit.log.state.lastSequence == 2)
    }

    @Test func acceptsByHeaders() throws {
        let kit = try StreamKit()
        kit.publish("s.a")
        let accepted: [KeyValuePairs<String, String>] = [
            ["Nats-Expected-Stream": "S", "Nats-Expected-Last-Sequence": "1"],
            ["Nats-Expected-Last-Subject-Sequence": "2"],
            ["Nats-Expected-Last-Subject-Sequence-Subject": "s.q", "Nats-Expected-Last-Subject-Sequence": "0"],
            ["Nats-Expected-Last-Sequence": ""], ["Nats-Msg-Id": ""], ["Nats-Msg-Id": ""], ["nats-msg-id": "k"],
            ["nats-msg-id": "k"], ["Nats-Msg-Id": "k"], ["Nats-Expected-Last-Msg-Id": "k"],
        ]
        for headers in accepted { #expect(errorCode(kit.publish("s.a", "", headers)) == nil, "\(headers)") }
        #expect(kit.log.state.lastSequence == UInt64(accepted.count) + 1)
    }

    @Test func checksSizeBeforeHeaders() throws {
        let kit = try StreamKit { $0.maxMessageBytes = 20 }
        #expect(errorCode(kit.publish("s.a", String(repeating: "x", count: 21))) == 10054)
        #expect(errorCode(kit.publish("s.a", "", ["Nats-Expected-Stream": "Z"])) == 10054)
        let large = try StreamKit()
        let most = String(repeating: "x", count: 65535 - 17)
        #expect(errorCode(large.publish("s.a", "", ["A": most])) == nil)
        #expect(errorCode(large.publish("s.a", "", ["A": most + "x"])) == 10097)
        let sealed = try StreamKit { $0.sealed = true }
        #expect(errorCode(sealed.publish("s.a", "", ["Nats-Incr": "z"])) == 10109)
    }

    @Test func rollsUp() throws {
        let kit = try StreamKit { $0.allowRollup = true }
        for subject in ["s.a", "s.b", "s.a"] { kit.publish(subject, "old") }
        kit.publish("s.a", "new", ["Nats-Rollup": "SUB"])
        #expect(kit.stored == ["2 s.b  old", "4 s.a Nats-Rollup: SUB| new"])
        kit.publish("s.c", "all", ["Nats-Rollup": "all"])
        #expect(kit.stored == ["5 s.c Nats-Rollup: all| all"])
        #expect(kit.publish("s.a", "", ["Nats-Rollup": "Zub"]).contains(#"rollup value invalid: \"zub\""#))
    }

    @Test func aRollupWithWildcardsTakesAllThatMatch() throws {
        let kit = try StreamKit { $0.allowRollup = true }
        for subject in ["s.a.1", "s.b", "s.a.2"] { kit.publish(subject, "old") }
        kit.publish("s.a.*", "", ["Nats-Rollup": "sub"])
        #expect(kit.stored == ["2 s.b  old", "4 s.a.* Nats-Rollup: sub| "])
    }

    @Test func stripsWhatIsTheServers() throws {
        let kit = try StreamKit()
        kit.publish("s.a", "x", ["Nats-Request-Info": "abc", "Q": "1"])
        kit.publish("s.a", "x", ["Nats-Request-Info": "abc"])
        #expect(kit.stored == ["1 s.a Q: 1| x", "2 s.a  x"])
    }

    @Test func transformsAndRepublishes() throws {
        let kit = try StreamKit {
            $0.subjectTransform = SubjectTransformConfig(source: "s.*", destination: "t.$1")
            $0.republish = RepublishConfig(source: "t.>", destination: "r.>")
        }
        kit.holdsCommits = true
        kit.send("s.a", "1")
        kit.send("s.a.b", "2")
        kit.send("s.a", "3", ["A": "b", "Nats-Expected-Last-Subject-Sequence": "1"], reply: "ack")
        kit.turn()
        #expect(kit.output.isEmpty)
        kit.finishCommits()
        #expect(kit.output.map(\.subject) == ["r.a", "r.a", "ack"])
        let first = kit.output[0].headers
        #expect(first.hasPrefix("NATS/1.0\r\nNats-Stream: S\r\nNats-Subject: t.a\r\nNats-Sequence: 1\r\nNats-Time-Stamp: 20"))
        #expect(first.hasSuffix("Z\r\nNats-Last-Sequence: 0\r\n\r\n"))
        #expect(
            kit.output[1].headers.hasPrefix("NATS/1.0\r\nA: b\r\nNats-Expected-Last-Subject-Sequence: 1\r\nNats-Stream: S\r\n"))
        #expect(kit.output[1].headers.contains("Nats-Last-Sequence: 1\r\n"))
        #expect(kit.stored.map { $0.prefix(9) } == ["1 t.a  1", "2 s.a.b  ", "3 t.a A: "])
    }

    @Test func republishesHeadersOnly() throws {
        let kit = try StreamKit { $0.republish = RepublishConfig(source: ">", destination: "r.>", headersOnly: true) }
        kit.publish("s.a", "12")
        let copy = try #require(kit.output.first { $0.subject == "r.s.a" })
        #expect(copy.payload.isEmpty && copy.headers.hasSuffix("Nats-Last-Sequence: 0\r\nNats-Msg-Size: 2\r\n\r\n"))
    }

    @Test func timesOfMessagesDiffer() throws {
        let kit = try StreamKit()
        for _ in 0..<3 { kit.send("s.a") }
        kit.turn()
        #expect(kit.log.first(atOrAfterNs: StreamKit.startNs + 2) == 3)
    }

    @Test func mirrorsAndSources() throws {
        let kit = try StreamKit()
        func store(_ place: Stream.OriginPlace, _ headers: String = "", _ body: String = "x") throws -> UInt64? {
            let bytes = Array((headers + body).utf8)
            return try Array("o.a".utf8).withUnsafeBytes { subject in
                try bytes.withUnsafeBytes { bytes in
                    let all = ByteView(bytes), count = headers.utf8.count
                    return try kit.stream.store(
                        fromOrigin: place, subject: ByteView(subject), headers: ByteView(all.base, count),
                        body: ByteView(all.base + count, all.count - count))
                }
            }
        }
        #expect(try store(.mirror(sequence: 5, timeNs: 1_000)) == 5)
        #expect(try store(.mirror(sequence: 9, timeNs: 2_000)) == 9)
        // Again, after a reconnection.
        #expect(try store(.mirror(sequence: 9, timeNs: 2_000)) == 9)
        #expect(kit.log.state.messages == 2 && kit.log.state.firstTimeNs == 1_000)
        let block = "NATS/1.0\r\nNats-Expected-Last-Sequence: 3\r\nA: b\r\nNats-Batch-Id: q\r\nNats-Msg-Id: m\r\n\r\n"
        let first = ScratchBytes(Array("O 3 > > o.a".utf8)), second = ScratchBytes(Array("O 4 > > o.a".utf8))
        #expect(try store(.source(first.view), block) == 10)
        #expect(try store(.source(second.view), block) == 10)
        #expect(kit.stored.last == "10 o.a A: b|Nats-Msg-Id: m|Nats-Stream-Source: O 3 > > o.a| x")
        // The short way, with and without headers.
        #expect(try store(.source(second.view), "NATS/1.0\r\nA: b\r\n\r\n") == 11)
        #expect(kit.stored.last == "11 o.a A: b|Nats-Stream-Source: O 4 > > o.a| x")
        #expect(try store(.source(second.view)) == 12)
        #expect(kit.stored.last == "12 o.a Nats-Stream-Source: O 4 > > o.a| x")
    }

    /// Though the clock stands, or is set back over a restart: the second message is later than now.
    @Test func withoutAWindowNothingIsADuplicate() throws {
        let kit = try StreamKit { $0.duplicateWindowNs = 0 }
        for _ in 0..<2 { #expect(!kit.publish("s.a", "", ["Nats-Msg-Id": "x"]).contains("duplicate")) }
        try kit.restart()
        #expect(!kit.publish("s.a", "", ["Nats-Msg-Id": "x"]).contains("duplicate"))
        #expect(kit.log.state.messages == 3)
    }
}
