// The grammar: what each form means, where mistakes are reported, and that no bytes break the parser.

import Testing

@testable import Broker

private func parse(
    _ text: String, environment: [String: String] = [:], files: [String: String] = [:]
) throws(ConfigurationError) -> ConfigurationMap {
    try ConfigurationParser.parse(Array(text.utf8), file: "dir/a.conf", environment: environment) {
        path throws(FileFailure) in
        guard let file = files[path] else { throw FileFailure("open \(path): no such file or directory") }
        return Array(file.utf8)
    }
}

private func message(_ text: String, environment: [String: String] = [:], files: [String: String] = [:]) -> String? {
    do throws(ConfigurationError) {
        _ = try parse(text, environment: environment, files: files)
        return nil
    } catch {
        return error.description
    }
}

private func kind(_ text: String, environment: [String: String] = [:]) throws -> ConfigurationValue? {
    try parse(text, environment: environment)["x"]
}

private func value(_ kind: ConfigurationValue.Kind) -> ConfigurationValue {
    ConfigurationValue(kind, at: ConfigurationPosition(file: "", line: 0, column: 0))
}

@Suite struct ConfigurationParserTests {
    @Test(arguments: [
        ("x: 5", 5), ("x=5", 5), ("x 5", 5), ("x\n5", 5), ("{\"x\": 5}", 5), ("x: -5", -5), ("x: 2k", 2000), ("x: 2kb", 2048),
        ("x: 2Ki", 2048), ("x: 2KiB", 2048), ("x: 1e", 1_000_000_000_000_000_000), ("x: 1eib", 1 << 60),
        ("x: 9223372036854775807", Int.max), ("x: -9223372036854775808", Int.min), ("x: 1;y: 2", 1), ("x: 1, y: 2", 1),
    ]) func integers(_ text: String, _ number: Int) throws { #expect(try kind(text) == value(.integer(number))) }

    @Test(arguments: [
        ("x: plain", "plain"), ("x: 'a\"b\\n'", "a\"b\\n"), ("x: \"a\\tb\\x41\\\\\"", "a\tbA\\"),
        ("x: (\na\nb\n)\n", "\na\nb\n"),
        ("x: 3xyz", "3xyz"), ("x: 100ms", "100ms"), ("x: 127.0.0.1:4222", "127.0.0.1:4222"), ("x: a\\x20b", "a b"),
        ("x: $2a$10$abc", "$2a$10$abc"), ("x:", ""), ("x: truely", "truely"), ("x: \"\"", ""),
        ("x: nats://a:4222", "nats://a:4222"),
    ]) func strings(_ text: String, _ expected: String) throws {
        #expect(try kind(text) == value(.string(expected)))
    }

    @Test func otherScalars() throws {
        #expect(try kind("x: YES") == value(.bool(true)))
        #expect(try kind("x: off") == value(.bool(false)))
        #expect(try kind("x: -1.5") == value(.float(-1.5)))
        #expect(try kind("x: 2026-11-21T06:27:01Z") == value(.datetime("2026-11-21T06:27:01Z")))
        #expect(message("x: 2026-02-29T06:27:01Z") == "expected Zulu formatted DateTime, but got '2026-02-29T06:27:01Z'")
        #expect(try kind("x: [1, 2]") == value(.array([value(.integer(1)), value(.integer(2))])))
    }

    @Test func overflowIsAnError() {
        #expect(message("x: 9223372036854775808") == "integer '9223372036854775808' is out of the range")
        #expect(message("x: 10e") == "integer '10e' is out of the range")
        #expect(message("x: 1kbb") == "unknown size suffix in '1kbb'")
    }

    @Test func positionsAreThoseOfKeys() throws {
        let map = try parse("a: 1\n  b {\n\tc: [\n 5 ]\n}")
        #expect(map["a"]?.position == ConfigurationPosition(file: "dir/a.conf", line: 1, column: 0))
        #expect(map["b"]?.position == ConfigurationPosition(file: "dir/a.conf", line: 2, column: 3))
        guard case .map(let inner) = map["b"]?.kind, case .array(let list) = inner["c"]?.kind else {
            Issue.record("not a map with a list")
            return
        }
        #expect(inner["c"]?.position == ConfigurationPosition(file: "dir/a.conf", line: 3, column: 2))
        #expect(list[0].position == ConfigurationPosition(file: "dir/a.conf", line: 4, column: 2))
    }

    @Test func variablesComeFromTheEnclosingMapsThenTheEnvironment() throws {
        #expect(try parse("a: 1\nm { a: 2, n { x: $a } }").entries.last.map { "\($0.value)" }?.contains("integer(2)") == true)
        #expect(try kind("a: 1\nx: $a", environment: ["a": "7"]) == value(.integer(1)))
        #expect(try kind("x: $a", environment: ["a": "7kb"]) == value(.integer(7168)))
        #expect(try kind("x: $a", environment: ["a": "'7'"]) == value(.string("7")))
        #expect(try kind("x: $a", environment: ["a": "[1]"]) == value(.array([value(.integer(1))])))
        #expect(try kind("x: $a", environment: ["a": "$b", "b": "on"]) == value(.bool(true)))
        #expect(message("x: $a") == "variable reference for 'a' on line 1 can not be found")
        #expect(message("x: $a", environment: ["a": "$a"])?.contains("refers to itself") == true)
        #expect(try parse("a: 1\nx: $a")["a"]?.isUsedVariable == true)
    }

    @Test func includesAreRelativeToTheIncludingFile() throws {
        let files = ["dir/sub/b.conf": "x: 1\ninclude c.conf\n", "dir/sub/c.conf": "y: 2"]
        let map = try parse("include \"sub/b.conf\"\nm { include 'sub/c.conf' }", files: files)
        #expect(map["x"] == value(.integer(1)))
        #expect(map["y"]?.position.file == "dir/sub/c.conf")
        guard case .map(let inner) = map["m"]?.kind else {
            Issue.record("not a map")
            return
        }
        #expect(inner["y"] == value(.integer(2)))
        #expect(
            message("include no.conf") == "error parsing include file 'no.conf', open dir/no.conf: no such file or directory")
        #expect(
            message("include b.conf", files: ["dir/b.conf": "a {"])
                == "error parsing include file 'b.conf', Parse error on line 1: 'Unexpected EOF processing map.'")
    }

    @Test func cyclesAndDepthEnd() {
        #expect(message("include a.conf", files: ["dir/a.conf": "include a.conf"])?.contains("includes itself") == true)
        var files: [String: String] = [:]
        for index in 0..<40 { files["dir/\(index)x.conf"] = "include '\(index + 1)x.conf'" }
        #expect(message("include '0x.conf'", files: files)?.contains("nest deeper than 16") == true)
        let deep = String(repeating: "[", count: 100_000)
        #expect(message("x: " + deep)?.contains("nest deeper than 100") == true)
        #expect(message("x: " + String(repeating: "{a ", count: 100_000))?.contains("nest deeper than 100") == true)
    }

    @Test func variablesCannotGrowWithoutBounds() {
        var text = "a0: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]\n"
        for index in 1..<40 { text += "a\(index): [$a\(index - 1), $a\(index - 1)]\n" }
        #expect(message(text)?.contains("too large") == true)
        var nested = "a0: [1]\n"
        for index in 1..<200 { nested += "a\(index): [$a\(index - 1)]\n" }
        #expect(message(nested)?.contains("nest deeper") == true)
    }

    @Test func whatWasPrintedComesBack() throws {
        let plan = fuzzingPlan(rounds: 2_000)
        print("configuration trees: seed \(plan.seed), \(plan.rounds) rounds")
        var generator = ConfigurationTreeGenerator(seed: plan.seed)
        for _ in 0..<plan.rounds {
            let sample = generator.sample()
            do throws(ConfigurationError) {
                let tree = try ConfigurationParser.parse(Array(sample.text.utf8), file: "a.conf") {
                    path throws(FileFailure) in
                    guard let file = sample.files[path] else { throw FileFailure("open \(path)") }
                    return Array(file.utf8)
                }
                if tree == sample.tree { continue }
                Issue.record("another tree came back from \(sample.text)\n\(sample.files)")
            } catch {
                Issue.record("\(error): \(sample.text)\n\(sample.files)")
            }
            return
        }
    }

    @Test func noBytesBreakIt() {
        let plan = fuzzingPlan(rounds: 5_000)
        print("configuration bytes: seed \(plan.seed), \(plan.rounds) rounds")
        let accepted = ConfigurationFuzzer.run(seed: plan.seed, rounds: plan.rounds)
        #expect(accepted > plan.rounds / 20 && accepted < plan.rounds)
    }
}
