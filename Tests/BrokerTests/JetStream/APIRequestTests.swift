import Testing

@testable import Broker
@testable import Wire

/// Lends a text's bytes. For tests.
private func reading<Result>(_ text: String, _ body: (ByteView) throws -> Result) rethrows -> Result {
    try Array(text.utf8).withUnsafeBytes { try body(ByteView($0)) }
}

/// What a request's body is answered with, or nil where it is fine.
private func failure<Request: JSONReadable>(_ type: Request.Type, _ body: String, isStrict: Bool = true) -> String? {
    do {
        _ = try reading(body) { try RequestBody.decode($0, as: type, isStrict: isStrict) }
        return nil
    } catch {
        return (error as? APIError)?.description
    }
}

/// The texts are those of nats-server 2.15.1.
@Test func apiRequestsOfWrongFormGetGosWords() {
    let texts = [
        ("{", "unexpected EOF"), ("nul", "unexpected EOF"), (#"{"n":"abc"#, "unexpected EOF"),
        ("[]", "json: cannot unmarshal array into Go value of type server.StreamConfigRequest"),
        ("5", "json: cannot unmarshal number into Go value of type server.StreamConfigRequest"),
        (#"{"name":"S"}x"#, "invalid character 'x' looking for beginning of value at offset 13"),
        (#"{"name":"S"}5"#, "json: cannot unmarshal number into Go value of type server.StreamConfigRequest"),
        (#"{"name":5}"#, "json: cannot unmarshal number into Go struct field StreamConfigRequest.name of type string"),
        (#"{"NAME":5}"#, "json: cannot unmarshal number into Go struct field StreamConfigRequest.name of type string"),
        (
            #"{"subjects":"a"}"#,
            "json: cannot unmarshal string into Go struct field StreamConfigRequest.subjects of type []string"
        ),
        (#"{"subjects":["a",5]}"#, "json: cannot unmarshal number into StreamConfigRequest.subjects.1 of type string"),
        (
            #"{"sources":{}}"#,
            "json: cannot unmarshal object into Go struct field StreamConfigRequest.sources of type []*server.StreamSource"
        ),
        (
            #"{"sources":[{"name":5}]}"#,
            "json: cannot unmarshal number into Go struct field StreamConfigRequest.sources.0.name of type string"
        ),
        (
            #"{"mirror":{"subject_transforms":[5]}}"#,
            "json: cannot unmarshal number into StreamConfigRequest.mirror.subject_transforms.0 of type "
                + "server.SubjectTransformConfig"
        ),
        (
            #"{"metadata":{"a.b":5}}"#,
            "json: cannot unmarshal number into Go struct field StreamConfigRequest.metadata.a.b of type string"
        ),
        (
            #"{"max_msgs":1.5}"#,
            "json: cannot unmarshal number 1.5 into Go struct field StreamConfigRequest.max_msgs of type int64"
        ),
        (
            #"{"max_msg_size":3000000000}"#,
            "json: cannot unmarshal number 3000000000 into Go struct field StreamConfigRequest.max_msg_size of type int32"
        ),
        (
            #"{"max_age":"1s"}"#,
            "json: cannot unmarshal string into Go struct field StreamConfigRequest.max_age of type time.Duration"
        ),
        (#"{"retention":"foo"}"#, #"can not unmarshal "\"foo\"""#), (#"{"retention":null}"#, #"can not unmarshal "null""#),
        (#"{"compression":"x"}"#, "unknown compression algorithm"),
        (#"{"compression":3}"#, "json: cannot unmarshal number into Go value of type string"),
        (#"{"bogus":1,"name":5}"#, #"json: unknown field "bogus""#), (#"{"mirror":{"nam":1}}"#, #"json: unknown field "nam""#),
        (#"{"name":"S",}"#, "invalid character '}' looking for beginning of object key string at offset 13"),
        (#"{"a" 5}"#, "invalid character '5' after object key at offset 6"),
        (#"{"name":"S" "b"}"#, "invalid character '\"' after object key:value pair at offset 13"),
        ("[1 2]", "invalid character '2' after array element at offset 4"),
        (#"{"name":tru}"#, "invalid character '}' in literal true (expecting 'e') at offset 12"),
        (#"{"n":1.}"#, "invalid character '}' in numeric literal at offset 8"),
        (#"{"name":"\x"}"#, #"invalid escape sequence `\x` in string at offset 11"#),
        (#"{"n":"\u12g4"}"#, #"invalid escape sequence `\u12g4` in string at offset 12"#),
        ("{\"name\":\"a\tb\"}", #"invalid character '\t' in string at offset 11"#),
        ("{'name':5}", #"invalid character '\'' looking for beginning of object key string at offset 2"#),
    ]
    for (body, text) in texts { #expect(failure(StreamConfigRequest.self, body) == "invalid JSON: " + text, "\(body)") }
    for body in ["", "  ", "null", "{}", #"{"name":"S"} {}"#, #"{"name":null,"subjects":null,"mirror":null,"max_msgs":-0}"#] {
        #expect(failure(StreamConfigRequest.self, body) == nil, "\(body)")
    }
    #expect(failure(StreamConfigRequest.self, #"{"bogus":1,"mirror":{"nam":2}}"#, isStrict: false) == nil)
}

@Test func apiConsumerRequestsOfWrongForm() {
    let texts = [
        (#"{"action":"x"}"#, #"unknown consumer action: "x""#), (#"{"action":null}"#, "unknown consumer action: null"),
        (#"{"config":{"priority_policy":5}}"#, "unknown priority policy: 5"),
        (
            #"{"config":{"backoff":[1.5]}}"#,
            "json: cannot unmarshal number 1.5 into CreateConsumerRequest.config.backoff.0 of type time.Duration"
        ),
        (
            #"{"config":{"opt_start_time":"x"}}"#,
            #"parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006""#
        ),
        (
            #"{"config":5}"#,
            "json: cannot unmarshal number into Go struct field CreateConsumerRequest.config of type server.ConsumerConfig"
        ),
    ]
    for (body, text) in texts { #expect(failure(ConsumerCreateRequest.self, body) == "invalid JSON: " + text, "\(body)") }
}

@Test func apiRequestsWhoseBodyIsOptional() throws {
    for body in ["", "5", "null"] { #expect(try reading(body) { try StreamPurgeRequest.decode($0) == nil }) }
    #expect(try reading(#"{"filter":"a","keep":2}"#) { try StreamPurgeRequest.decode($0)?.keep } == 2)
    #expect(throws: APIError.badRequest) { try reading(#"{"seq":1,"keep":2}"#) { try StreamPurgeRequest.decode($0) } }
    #expect(throws: APIError.invalidJSON("consumer group not specified")) {
        try reading("{}") { try ConsumerUnpinRequest.decode($0) }
    }
    #expect(throws: APIError.invalidJSON("unexpected end of JSON input")) {
        try reading("") { try ConsumerUnpinRequest.decode($0) }
    }
    #expect(
        try reading(#"{"pause_until":"2040-01-01T00:00:00+01:00"}"#) { try ConsumerPauseRequest.decode($0).pauseUntilNs }
            == 2_208_985_200_000_000_000)
    for body in ["", "{}", " { } "] { #expect(reading(body, RequestBody.isEmpty)) }
    for body in ["null", "[]", " ", "{}x"] { #expect(!reading(body, RequestBody.isEmpty)) }
}

@Test func apiRequestsForMessages() throws {
    for body in ["", "{}", #"{"seq":1,"last_by_subj":"a"}"#, #"{"batch":1,"seq":1}"#, #"{"multi_last":["a"]}"#] {
        #expect(throws: APIError.badRequest, "\(body)") { try reading(body) { try MessageGetRequest.decode($0) } }
    }
    #expect(try reading(#"{"next_by_subj":"a","seq":5}"#) { try MessageGetRequest.decode($0).sequence } == 5)
    func direct(_ body: String) -> MessageGetRequest.DirectFailure? {
        reading(body) { body in
            do throws(MessageGetRequest.DirectFailure) {
                _ = try MessageGetRequest.decodeDirect(body)
                return nil
            } catch {
                return error
            }
        }
    }
    for body in ["", "{}", #"{"batch":1}"#, #"{"bogus":1}"#] { #expect(direct(body) == .empty, "\(body)") }
    for body in ["{", "5", #"{"seq":"x"}"#, #"{"seq":1} x"#] { #expect(direct(body) == .malformed, "\(body)") }
    for body in [
        #"{"seq":1,"last_by_subj":"x"}"#, #"{"last_by_subj":"x","batch":1}"#, #"{"multi_last":["a"],"next_by_subj":"x"}"#,
        #"{"seq":1,"up_to_seq":3,"up_to_time":"2040-01-01T00:00:00Z"}"#,
    ] {
        #expect(direct(body) == .bad, "\(body)")
    }
    for body in [#"{"seq":1,"bogus":2}"#, #"{"multi_last":["a"],"seq":1,"batch":5}"#] {
        #expect(direct(body) == nil, "\(body)")
    }
    #expect(throws: MessageGetRequest.DirectFailure.bad) {
        try reading(#"{"seq":1}"#) { try MessageGetRequest.decodeDirect($0, lastBySubject: "a") }
    }
}

@Test func apiPullRequests() throws {
    for (body, batch) in [
        ("", 1), ("7", 7), (" 5", 5), ("x", 1), ("-3", 1), ("null", 1), (#"{"batch":0}"#, 1), (#"{"batch":9}"#, 9),
    ] {
        #expect(try reading(body) { try PullRequest.decode($0).messages } == batch, "\(body)")
    }
    #expect(throws: PullRequest.Failure(text: "json: cannot unmarshal string into Go struct field .batch of type int")) {
        try reading(#"{"batch":"x"}"#) { try PullRequest.decode($0) }
    }
    #expect(throws: PullRequest.Failure(text: "unexpected end of JSON input")) {
        try reading("{") { try PullRequest.decode($0) }
    }
}

@Test func apiTimes() throws {
    let times: [(String, Int64)] = [
        ("1970-01-01T00:00:00Z", 0), ("2026-11-21T12:15:26.525030622Z", 1_795_263_326_525_030_622),
        ("1969-12-31T23:59:59.5Z", -500_000_000),
        ("2000-02-29T23:59:59Z", 951_868_799_000_000_000), ("0001-01-01T00:00:00Z", Timestamp.zero),
    ]
    for (text, ns) in times {
        #expect(try Timestamp.parse(text) == ns)
        #expect(Timestamp.text(ns) == text)
    }
    #expect(try Timestamp.parse("2020-01-01T01:00:00,25+01:00") == 1_577_836_800_250_000_000)
    #expect(try Timestamp.parse("9999-12-31T23:59:59Z") == .max)
    let faults = [
        ("2020-13-01T00:00:00Z", "month out of range"), ("2020-02-30T00:00:00Z", "day out of range"),
        ("2020-02-03T25:00:00Z", "hour out of range"), ("2020-02-03T00:00:00+25:00", "time zone offset hour out of range"),
        ("2020-02-03T00:00:00", #"cannot parse "" as "Z07:00""#), ("2020-01-01", #"cannot parse "" as "T""#),
        ("2020-02-03T00:00:00Zx", #"extra text: "x""#),
    ]
    for (text, fault) in faults {
        do {
            _ = try Timestamp.parse(text)
            Issue.record("\(text) was read")
        } catch {
            #expect(error.description.hasSuffix(fault), "\(error)")
        }
    }
    for seed in 0..<2_000 as Range<UInt64> {
        var random = SeededGenerator(seed: seed)
        let ns = Int64.random(in: (.min + 1)...(.max), using: &random)
        #expect(try Timestamp.parse(Timestamp.text(ns)) == ns, "seed \(seed)")
    }
}

/// What the syntax check lets pass is JSON to the parser too, and nothing else is.
@Test func apiSyntaxAgreesWithTheParser() {
    let samples = [
        #"{"name":"S","subjects":["a.>",null,true,-1.5e3],"metadata":{"k\u00e9\"":"v"}}"#, #"[[],{},[0,-0,1E+2],"\\\/\b"]"#,
        "{\"a\":\"é\u{FEFF}\",\"b\":[false, nul]}",
    ]
    for seed in 0..<6_000 as Range<UInt64> {
        var random = SeededGenerator(seed: seed)
        var bytes = Array(samples[Int(seed % 3)].utf8)
        for _ in 0..<Int.random(in: 0...3, using: &random) {
            let place = Int.random(in: 0..<bytes.count, using: &random)
            switch Int.random(in: 0...2, using: &random) {
            case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
            case 1: bytes.remove(at: place)
            default: bytes.insert(Array("{}[],:\"\\0e-".utf8).randomElement(using: &random) ?? 0, at: place)
            }
        }
        let isRead = (try? JSONValue.parse(bytes)) != nil
        let isPassed = bytes.withUnsafeBytes { raw in
            var syntax = JSONSyntax(ByteView(raw))
            do throws(JSONSyntax.Failure) {
                try syntax.skipValue()
                syntax.skipWhitespace()
                return syntax.isAtEnd
            } catch {
                return false
            }
        }
        #expect(isRead == isPassed, "seed \(seed): \(String(decoding: bytes, as: UTF8.self))")
    }
}
