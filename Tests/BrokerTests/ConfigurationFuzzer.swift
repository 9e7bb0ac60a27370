// Throws broken configurations at the parser and the readers behind it: whatever the bytes, they end in a value or an
// error. The test runs it briefly; FUZZ_ROUNDS and FUZZ_SEED in the environment make it long or repeat a run.

import Glibc

@testable import Broker

/// A small generator with a printable seed (SplitMix64).
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

/// The seed and the rounds of one fuzzing run; printed, so that a failure can be repeated.
func fuzzingPlan(rounds: Int) -> (seed: UInt64, rounds: Int) {
    func number(_ name: String) -> UInt64? { getenv(name).flatMap { UInt64(String(cString: $0)) } }
    let seed = number("FUZZ_SEED") ?? UInt64.random(in: 1...UInt64(UInt32.max))
    return (seed, number("FUZZ_ROUNDS").map(Int.init) ?? rounds)
}

enum ConfigurationFuzzer {
    /// What can make a difference to the lexer.
    private static let pieces: [String] = [
        "{", "}", "[", "]", "(", ")", ":", "=", ",", ";", "\n", "\r\n", " ", "\t", "#", "//", "/", "'", "\"", "\\", "\\x4", "$",
        "$a", "$LOOP", "$2a$", "include ", "include \"b.conf\"", "include a.conf", "-", ".", "0", "9", "1k", "1kib", "9e",
        "1.5",
        "1.2.3.4:5", "2020-02-30T00:00:00Z", "true", "off", "\u{A0}", "é", "\0", "(\n", "\n)\n", "a", "users", "accounts {",
        "authorization {", "permissions", "\"1h\"", "9223372036854775807", "-9223372036854775808", "99999999999999999999e",
    ]

    /// Runs the seeded rounds; returns how many texts were accepted.
    static func run(seed: UInt64, rounds: Int) -> Int {
        var random = SeededGenerator(seed: seed)
        let seeds = configurationCorpus.map { Array($0.text.utf8) }
        var accepted = 0
        for _ in 0..<rounds {
            var source: [UInt8]
            switch Int.random(in: 0..<4, using: &random) {
            case 0: source = (0..<Int.random(in: 0..<80, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
            case 1:
                source = (0..<Int.random(in: 0..<40, using: &random)).flatMap { _ in pieces.randomElement(using: &random)!.utf8
                }
            default: source = mutated(seeds.randomElement(using: &random)!, seeds, &random)
            }
            if Int.random(in: 0..<200, using: &random) == 0 {
                source = Array(repeating: pieces.randomElement(using: &random)!, count: 5000).joined().utf8.map { $0 }
            }
            if read(source, included: mutated(seeds.randomElement(using: &random)!, seeds, &random)) { accepted += 1 }
        }
        return accepted
    }

    /// One text through everything; true if the tree could be built.
    static func read(_ source: [UInt8], included: [UInt8]) -> Bool {
        let environment = ["LOOP": "$LOOP", "a": String(decoding: included, as: UTF8.self), "b": "[1, {c: 2}]"]
        do throws(ConfigurationError) {
            let map = try ConfigurationParser.parse(source, file: "a.conf", environment: environment) {
                path throws(FileFailure) in
                if path.hasSuffix("x.conf") { throw FileFailure("open \(path): no such file or directory") }
                return included
            }
            let reader = OptionsReader(map, file: "a.conf")
            _ = OptionsValidator.contradiction(in: reader.options)
            _ = try? Reload.diff(old: Options(), new: reader.options).map(\.description)
            _ = ConfigurationDigest.of(map)
            return true
        } catch {
            precondition(!error.description.isEmpty)
            return false
        }
    }

    /// A text with a few bytes or pieces inserted, removed, doubled or swapped, or spliced with another text.
    private static func mutated(_ source: [UInt8], _ others: [[UInt8]], _ random: inout SeededGenerator) -> [UInt8] {
        var text = source
        for _ in 0..<Int.random(in: 0...4, using: &random) {
            let at = Int.random(in: 0...text.count, using: &random)
            switch Int.random(in: 0..<6, using: &random) {
            case 0: text.insert(UInt8.random(in: 0...255, using: &random), at: at)
            case 1: text.insert(contentsOf: pieces.randomElement(using: &random)!.utf8, at: at)
            case 2: if at < text.count { text.remove(at: at) }
            case 3: text.removeSubrange(at..<min(text.count, at + Int.random(in: 0...10, using: &random)))
            case 4: text.insert(contentsOf: text[at..<min(text.count, at + Int.random(in: 0...20, using: &random))], at: at)
            default:
                let other = others.randomElement(using: &random)!
                text = Array(text[..<at]) + Array(other.suffix(Int.random(in: 0...other.count, using: &random)))
            }
        }
        return text
    }
}
