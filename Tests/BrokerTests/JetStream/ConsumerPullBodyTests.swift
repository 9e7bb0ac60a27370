// The short way of reading a pull request says what the long one says.

import Testing
import Wire

@testable import Broker

@Suite struct ConsumerPullBodyTests {
    private func short(_ text: String) -> Result<PullRequest, PullRequest.Failure> {
        Array(text.utf8).withUnsafeBytes { bytes in
            do throws(PullRequest.Failure) { return .success(try PullBody.read(ByteView(bytes)).request) } catch {
                return .failure(error)
            }
        }
    }
    private func long(_ text: String) -> Result<PullRequest, PullRequest.Failure> {
        Array(text.utf8).withUnsafeBytes { bytes in
            do throws(PullRequest.Failure) { return .success(try PullRequest.decode(ByteView(bytes))) } catch {
                return .failure(error)
            }
        }
    }

    @Test(arguments: [
        "", "5", " 7 ", "0", "-3", "x", "{}", "{ }", #"{"batch":10}"#, #"{"batch":10,"expires":30000000000,"no_wait":true}"#,
        #"{ "batch" : 1 , "idle_heartbeat" : 500000000, "expires":1000000000 }"#, #"{"batch":1.0}"#, #"{"batch":"1"}"#,
        #"{"batch":01}"#, #"{"batch":1e2}"#, #"{"batch":-1}"#, #"{"batch":null}"#, #"{"BATCH":3}"#,
        #"{"unknown":[1,{}],"batch":2}"#,
        #"{"batch":1,}"#, #"{"batch":1"#, #"{"batch":1} x"#, #"{"group":"A","id":"x\"y","priority":3}"#, #"{"group":"é"}"#,
        #"{"min_pending":5,"min_ack_pending":6,"max_bytes":7,"no_wait":false}"#, #"{"no_wait":truex}"#,
        #"{"expires":99999999999999999999}"#, #"{"batch":1,"batch":2}"#,
    ]) func agrees(text: String) {
        #expect(short(text) == long(text))
    }

    /// Texts put together from what such a body is made of.
    @Test(arguments: 1...50 as ClosedRange<UInt64>) func agreesOnRandomTexts(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let parts = [
            "{", "}", ",", ":", " ", "\"batch\"", "\"expires\"", "\"no_wait\"", "\"group\"", "\"x\"", "true", "false", "null",
            "1",
            "20", "0", "-5", "1.5", "[", "]", "\"id\"", "\"\\u0041\"", "\n",
        ]
        for _ in 0..<400 {
            var text = "{"
            for _ in 0..<Int.random(in: 0..<12, using: &random) { text += parts.randomElement(using: &random) ?? "" }
            #expect(short(text) == long(text), "seed \(seed): \(text)")
        }
    }
}

extension PullRequest.Failure: CustomStringConvertible {
    public var description: String { text }
}

@Suite struct ConsumerGoDurationTests {
    private func parse(_ text: String) -> Int64? { Array(text.utf8).withUnsafeBytes { GoDuration.parse(ByteView($0)) } }

    @Test(
        arguments: [
            ("0", 0), ("5s", 5_000_000_000), ("1.5s", 1_500_000_000), ("2m3s", 123_000_000_000), ("1h0.5m", 3_630_000_000_000),
            ("-1ms", -1_000_000), ("+7us", 7_000), ("7µs", 7_000), (".5s", 500_000_000), ("1.s", 1_000_000_000), ("3ns", 3),
        ] as [(String, Int64)]) func reads(text: String, ns: Int64)
    { #expect(parse(text) == ns) }

    @Test(arguments: ["", "5", "s", "1x", "1s2", ".s", "--1s", "99999999999h", "1 s", "1d"]) func refuses(text: String) {
        #expect(parse(text) == nil)
    }

    @Test(
        arguments: [
            (0, "0s"), (1, "1ns"), (1_500, "1.5µs"), (1_500_000, "1.5ms"), (1_500_000_000, "1.5s"), (60_000_000_000, "1m0s"),
            (3_600_000_000_000, "1h0m0s"), (5_430_918_000_000, "1h30m30.918s"), (-2_000_000_000, "-2s"),
        ] as [(Int64, String)]) func writes(ns: Int64, text: String)
    { #expect(GoDuration.text(ns) == text) }
}
