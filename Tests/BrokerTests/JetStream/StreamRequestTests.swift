// STREAM.INFO, PURGE, MSG.GET, MSG.DELETE and direct gets. Texts are nats-server 2.15.1's.

import Store
import Testing
import Wire

@testable import Broker

@Suite struct StreamRequestTests {
    /// Six messages on three subjects.
    private func filled() throws -> StreamKit {
        let kit = try StreamKit { $0.allowDirect = true }
        for number in 0..<6 {
            if number == 1 { kit.publish("s.1", "m1", ["A": "b"]) } else { kit.publish("s.\(number % 3)", "m\(number)") }
        }
        kit.output = []
        return kit
    }

    @Test func getsMessages() throws {
        let kit = try filled()
        func get(_ body: String) -> Int? { field(kit.request(Stream.getMessage, body), "message", "seq")?.int }
        #expect(
            kit.request(Stream.getMessage, #"{"seq":2}"#).contains(
                #""message":{"subject":"s.1","seq":2,"hdrs":"TkFUUy8xLjANCkE6IGINCg0K","data":"bTE=","time":"2027-"#))
        #expect(!kit.request(Stream.getMessage, #"{"seq":2,"no_hdr":true}"#).contains("hdrs"))
        #expect(get(#"{"last_by_subj":"s.1"}"#) == 5 && get(#"{"last_by_subj":"s.*"}"#) == 6)
        #expect(get(#"{"next_by_subj":"s.1","seq":3}"#) == 5 && get(#"{"next_by_subj":"s.1"}"#) == 2)
        #expect(get(#"{"start_time":"2020-01-01T00:00:00Z"}"#) == 1)
        #expect(get(#"{"start_time":"2020-01-01T00:00:00Z","next_by_subj":"s.2"}"#) == 3)
        for (body, code) in [
            (#"{"seq":99}"#, 10037), (#"{"seq":0}"#, 10003), ("", 10003), (#"{"last_by_subj":"s..x"}"#, 10037),
            (#"{"next_by_subj":"s.*","seq":99}"#, 10037), (#"{"start_time":"2200-01-01T00:00:00Z"}"#, 10037),
            (#"{"seq":18446744073709551615}"#, 10037), (#"{"x":1}"#, 10025),
        ] {
            #expect(errorCode(kit.request(Stream.getMessage, body)) == code, "\(body)")
        }
    }

    @Test func showsOnlyWhatIsDurable() throws {
        let kit = try filled()
        kit.holdsCommits = true
        kit.send("s.9", "new")
        kit.turn()
        var answers: [String] = []
        for body in [#"{"seq":7}"#, #"{"last_by_subj":"s.9"}"#, #"{"seq":1}"#] {
            Array(body.utf8).withUnsafeBytes {
                kit.stream.getMessage(ByteView($0)) { answers.append(String(decoding: $0, as: UTF8.self)) }
            }
        }
        #expect(answers.count == 1 && answers[0].contains(#""seq":1"#))
        #expect(kit.directGet(#"{"last_by_subj":"s.9"}"#).isEmpty)
        #expect(kit.directGet(#"{"multi_last":["s.>"]}"#).isEmpty)
        kit.finishCommits()
        #expect(answers.count == 3)
        // One, then the last of four subjects and the end.
        #expect(kit.output.filter { $0.subject == "direct" }.count >= 5)
    }

    @Test func deletesMessages() throws {
        let kit = try filled()
        kit.holdsCommits = true
        #expect(kit.request(Stream.deleteMessage, #"{"seq":2}"#) == "none")
        kit.holdsCommits = false
        kit.finishCommits()
        #expect(kit.request(Stream.deleteMessage, #"{"seq":3,"no_erase":true}"#).hasSuffix(#""success":true}"#))
        for (body, code, text) in [
            (#"{"seq":2}"#, 10043, "sequence 2 not found"), (#"{"seq":0}"#, 10057, "no message found"),
            (#"{"seq":99}"#, 10057, "stream store EOF"),
        ] {
            let answer = kit.request(Stream.deleteMessage, body)
            #expect(errorCode(answer) == code && answer.contains(text), "\(answer)")
        }
        #expect(errorCode(kit.request(Stream.deleteMessage)) == 10003)
        let info = kit.request(Stream.info, #"{"deleted_details":true}"#)
        #expect(field(info, "state", "num_deleted")?.int == 2)
        #expect(field(info, "state", "deleted")?.array?.compactMap(\.int) == [2, 3])
    }

    @Test func purges() throws {
        func purge(_ body: String, _ kit: StreamKit) -> Int? { field(kit.request(Stream.purge, body), "purged")?.int }
        let kit = try filled()
        #expect(purge(#"{"filter":"s.0","keep":1}"#, kit) == 1 && purge(#"{"filter":"s..x"}"#, kit) == 0)
        #expect(purge(#"{"seq":5,"filter":"s.1"}"#, kit) == 1)
        #expect(kit.stored.map { $0.prefix(5) } == ["3 s.2", "4 s.0", "5 s.1", "6 s.2"])
        #expect(
            purge(#"{"keep":3}"#, kit) == 1 && purge(#"{"seq":5}"#, kit) == 1 && purge(#"{"filter":">","keep":1}"#, kit) == 1)
        #expect(purge(#"{"seq":1000}"#, kit) == 1 && purge("", kit) == 0 && purge(#"{"seq":50}"#, kit) == 0)
        let state = kit.log.state
        #expect(state.messages == 0 && state.firstSequence == 1000 && state.lastSequence == 999)
        #expect(kit.publish("s.a") == #"{"stream":"S","seq":1000}"#)
        #expect(errorCode(kit.request(Stream.purge, #"{"seq":1,"keep":1}"#)) == 10003)
        #expect(purge(#"{"seq":18446744073709551615}"#, kit) == 1)
        #expect(errorCode(kit.publish("s.a")) == nil)
    }

    @Test func deniesWhatIsDenied() throws {
        let kit = try StreamKit {
            $0.denyPurge = true
            $0.denyDelete = true
        }
        kit.publish("s.1")
        #expect(
            kit.request(Stream.purge).contains(#""err_code":10110,"description":"stream purge not permitted"},"purged":0}"#))
        #expect(kit.request(Stream.deleteMessage, #"{"seq":1}"#).contains("message delete not permitted"))
        var config = kit.stream.config
        config.sealed = true
        kit.stream.update(config)
        #expect(errorCode(kit.request(Stream.purge)) == 10109)
        #expect(errorCode(kit.request(Stream.deleteMessage, #"{"seq":1}"#)) == 10109)
    }

    @Test func tellsWhatItHolds() throws {
        let kit = try filled()
        let info = kit.request(Stream.info)
        #expect(field(info, "state", "messages")?.int == 6 && field(info, "state", "num_subjects")?.int == 3)
        #expect(field(info, "state", "bytes")?.int == 6 * 35 + 4 + 18)
        func page(_ body: String) -> [Int?] {
            let info = kit.request(Stream.info, body)
            return [
                field(info, "total")?.int, field(info, "offset")?.int, field(info, "limit")?.int,
                field(info, "state", "subjects")?.object?.members.count,
            ]
        }
        #expect(page("") == [0, 0, 0, nil])
        #expect(page(#"{"subjects_filter":"s.*","offset":1}"#) == [3, 1, 100_000, 2])
        #expect(page(#"{"subjects_filter":"s.*","offset":10}"#) == [3, 10, 100_000, nil])
        #expect(page(#"{"subjects_filter":"zz"}"#) == [0, 0, 0, nil])
        #expect(errorCode(kit.request(Stream.info, #"{"x":1}"#)) == 10025)
    }

    // MARK: Direct gets

    @Test func getsOneDirectly() throws {
        let kit = try filled()
        let one = try #require(kit.directGet(#"{"seq":2}"#).first)
        #expect(
            one.headers.hasPrefix(
                "NATS/1.0\r\nA: b\r\nNats-Stream: S\r\nNats-Subject: s.1\r\nNats-Sequence: 2\r\nNats-Time-Stamp: "))
        #expect(one.headers.hasSuffix("Z\r\n\r\n") && one.payload == "m1")
        #expect(kit.directGet(#"{"seq":2,"no_hdr":true}"#) == [StreamOutput(subject: "direct", headers: "", payload: "m1")])
        #expect(kit.directGet("", subject: "s.1").map(\.payload) == ["m4"])
        #expect(kit.directGet(#"{"last_by_subj":"s.1"}"#).map(\.payload) == ["m4"])
        #expect(kit.directGet(#"{"next_by_subj":"s.2","seq":4}"#).map(\.payload) == ["m5"])
        func status(_ body: String, _ subject: String = "", _ headers: String = "") -> String? {
            kit.directGet(body, subject: subject, headers: headers).first?.headers
        }
        #expect(status(#"{"seq":99}"#) == "NATS/1.0 404 Message Not Found\r\n\r\n")
        #expect(status("") == "NATS/1.0 408 Empty Request\r\n\r\n" && status("{}") == "NATS/1.0 408 Empty Request\r\n\r\n")
        #expect(status("x") == "NATS/1.0 408 Malformed Request\r\n\r\n")
        #expect(status(#"{"seq":1,"last_by_subj":"s.1"}"#) == "NATS/1.0 408 Bad Request\r\n\r\n")
        #expect(status("", "nope") == "NATS/1.0 404 Message Not Found\r\n\r\n")
        #expect(status(#"{"seq":1}"#, "s.1") == "NATS/1.0 408 Bad Request\r\n\r\n")
        #expect(
            status(#"{"seq":1}"#, "", "NATS/1.0\r\nNats-Required-Api-Level: 9\r\n\r\n")
                == "NATS/1.0 412 Required Api Level\r\n\r\n")
    }

    @Test func getsManyDirectly() throws {
        let kit = try filled()
        func many(_ body: String) -> [String] {
            kit.directGet(body).map { output in
                output.payload
                    + output.headers.replacing("NATS/1.0", with: "").split(separator: "\r\n").filter {
                        $0.hasPrefix("Nats-Num") || $0.hasPrefix("Nats-Last") || $0.hasPrefix("Nats-Up") || $0.hasPrefix(" ")
                    }.map { " " + $0.replacing("Nats-", with: "") }.joined()
            }
        }
        #expect(
            many(#"{"seq":1,"batch":2}"#) == [
                "m0 Num-Pending: 5 Last-Sequence: 0", "m1 Num-Pending: 4 Last-Sequence: 1",
                "  204 EOB Num-Pending: 4 Last-Sequence: 2",
            ])
        #expect(many(#"{"seq":1,"batch":30}"#).last == "  204 EOB Num-Pending: 0 Last-Sequence: 6")
        #expect(many(#"{"seq":1,"batch":2,"no_hdr":true}"#) == ["m0", "m1", "  204 EOB Num-Pending: 6 Last-Sequence: 2"])
        #expect(
            many(#"{"batch":2,"next_by_subj":"s.1"}"#) == [
                "m1 Num-Pending: 1 Last-Sequence: 0", "m4 Num-Pending: 0 Last-Sequence: 2",
                "  204 EOB Num-Pending: 0 Last-Sequence: 5",
            ])
        // Subject, stored headers and payload count, and the message that crosses the limit still goes.
        #expect(
            many(#"{"seq":3,"batch":9,"max_bytes":5}"#).count == 2 && many(#"{"seq":3,"batch":9,"max_bytes":6}"#).count == 3)
        #expect(
            many(#"{"multi_last":["s.1","s.2"]}"#) == [
                "m4 Num-Pending: 1 Last-Sequence: 0", "m5 Num-Pending: 0 Last-Sequence: 5",
                "  204 EOB Num-Pending: 0 Last-Sequence: 6 UpTo-Sequence: 6",
            ])
        #expect(many(#"{"multi_last":["s.>"],"up_to_seq":4}"#).map { $0.prefix(2) } == ["m1", "m2", "m3", "  "])
        // A page begins where the last one has ended.
        #expect(many(#"{"multi_last":["s.>"],"seq":5}"#).map { $0.prefix(2) } == ["m4", "m5", "  "])
        #expect(many(#"{"multi_last":["s.>"],"seq":9}"#) == ["  204 EOB Num-Pending: 0 Last-Sequence: 0 UpTo-Sequence: 6"])
        #expect(many(#"{"multi_last":["s.>"],"batch":2}"#).last == "  204 EOB Num-Pending: 1 Last-Sequence: 5 UpTo-Sequence: 6")
        for none in [
            #"{"multi_last":["nope"]}"#, #"{"multi_last":["s.>"],"up_to_seq":99}"#,
            #"{"multi_last":["s.>"],"up_to_time":"2020-01-01T00:00:00Z"}"#,
        ] { #expect(many(none) == ["  404 No Results"]) }
        #expect(many(#"{"batch":3,"seq":99}"#) == ["  404 Message Not Found"])
        for number in 0..<1030 { kit.send("s.\(number)") }
        kit.turn()
        #expect(many(#"{"multi_last":["s.>"]}"#) == ["  413 Too Many Results"])
    }
}
