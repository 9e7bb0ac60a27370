import Testing

@testable import Wire

/// Lends the bytes of a text as a view. For tests.
func viewing<R>(_ text: String, _ body: (ByteView) throws -> R) rethrows -> R {
    try Array(text.utf8).withUnsafeBytes { try body(ByteView($0)) }
}

func viewing<R>(_ a: String, _ b: String, _ body: (ByteView, ByteView) throws -> R) rethrows -> R {
    try viewing(a) { x in try viewing(b) { y in try body(x, y) } }
}

@Test func subjectValidity() {
    let valid = ["a", "a.b", "*", ">", "a.*", "a.>", "*.b.>", "foo*", "a.>b", "*a.b", "ü.x", "$JS.API.>"]
    let invalid = ["", ".", "a.", ".a", "a..b", ">.a", "a.>.b", "a b", "a\t", "\ra", "a.\n", "a.\u{0C}b", " "]
    for text in valid { #expect(viewing(text, Subject.isValid), "\(text)") }
    for text in invalid { #expect(!viewing(text, Subject.isValid), "\(text)") }
    for text in ["a", "foo*", "a.>b", "**", "a.b.c"] { #expect(viewing(text, Subject.isValidLiteral), "\(text)") }
    for text in ["", "*", ">", "a.*", "*.a", "a.>", "a..b", "a.", ".a"] {
        #expect(!viewing(text, Subject.isValidLiteral), "\(text)")
    }
}

@Test func subjectWildcards() {
    for text in ["*", ">", "a.*", "a.>", "*.a", ">.a"] { #expect(viewing(text, Subject.hasWildcards), "\(text)") }
    for text in ["", "a", "foo*", "*foo", "a.>b", "a.**", ">>"] { #expect(!viewing(text, Subject.hasWildcards), "\(text)") }
}

@Test func subjectTokens() {
    #expect(viewing("", Subject.tokenCount) == 0)
    #expect(viewing("a", Subject.tokenCount) == 1)
    #expect(viewing("a.b.", Subject.tokenCount) == 3)
    #expect(viewing("a.bc.d") { Subject.token($0, at: 1)?.string } == "bc")
    #expect(viewing("a.bc.d") { Subject.token($0, at: 2)?.string } == "d")
    #expect(viewing("a.bc.d") { Subject.token($0, at: 3)?.string } == nil)
}

@Test func subjectMatching() {
    let yes = [
        ("a", "a"), ("a.b", "a.b"), ("*", "a"), (">", "a"), (">", "a.b"), ("a.*", "a.b"), ("a.>", "a.b.c"), ("foo*", "foo*"),
        ("a.*", "a.*"), ("a.>", "a.>"), ("*", ">"), ("*.*", "a.b"), ("*.b.>", "x.b.c.d"),
    ]
    let no = [
        ("a", "b"), ("a", "a.b"), ("a.b", "a"), ("*", "a.b"), ("a.>", "a"), ("foo*", "foobar"), ("foo.bar", "foo.*"),
        (">", "a..b"), (">", ""), (">", "."), ("*", ""), ("*.*", "a."), ("a.*", "a."), ("a.>", "a."), ("a.>", "a.b."), (">", ".a"),
        ("a.b", "a.>"),
    ]
    for (p, s) in yes { #expect(viewing(p, s, Subject.matches), "\(p) \(s)") }
    for (p, s) in no { #expect(!viewing(p, s, Subject.matches), "\(p) \(s)") }
}

@Test func subjectAlgebraAgreesWithTheOracle() {
    fuzzSubjects(seed: 1, rounds: 1_000)
}

/// Compares `Subject` with a slow and obvious oracle on random subjects. A fuzz driver runs it for longer.
func fuzzSubjects(seed: UInt64, rounds: Int) {
    var random = SeededRandom(seed: seed)
    for _ in 0..<rounds {
        let a = randomSubject(&random), b = randomSubject(&random)
        let oracleA = SubjectOracle(a), oracleB = SubjectOracle(b)
        viewing(a, b) { x, y in
            let context = "seed \(seed): '\(a)' '\(b)'"
            #expect(Subject.isValid(x) == oracleA.isValid, "isValid, \(context)")
            #expect(Subject.isValidLiteral(x) == oracleA.isValidLiteral, "isValidLiteral, \(context)")
            #expect(Subject.hasWildcards(x) == oracleA.hasWildcards, "hasWildcards, \(context)")
            #expect(Subject.tokenCount(x) == oracleA.tokens.count, "tokenCount, \(context)")
            #expect(Subject.token(x, at: 1)?.string == oracleA.tokens.dropFirst().first, "token, \(context)")
            if oracleA.isValid {
                #expect(Subject.matches(x, y) == oracleA.matches(oracleB), "matches, \(context)")
            }
            if oracleA.isValid && oracleB.isValid {
                #expect(Subject.isSubset(x, of: y) == oracleA.isSubset(of: oracleB), "isSubset, \(context)")
                #expect(Subject.overlaps(x, y) == oracleA.overlaps(oracleB), "overlaps, \(context)")
            } else {
                // No promise about the answer, but it has to come.
                _ = Subject.isSubset(x, of: y)
                _ = Subject.overlaps(x, y)
                _ = Subject.matches(x, y)
            }
        }
    }
}

/// The rules of subjects, written for reading: split by dots, compare token by token.
struct SubjectOracle {
    let tokens: [String]

    init(_ text: String) {
        tokens = text.isEmpty ? [] : text.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    }

    var isFull: Bool { !tokens.isEmpty && !tokens.contains("") }
    var isValid: Bool {
        isFull && !tokens.dropLast().contains(">") && !tokens.contains { $0.unicodeScalars.contains { " \t\r\n\u{0C}".unicodeScalars.contains($0) } }
    }
    var isValidLiteral: Bool { isFull && !hasWildcards }
    var hasWildcards: Bool { tokens.contains("*") || tokens.contains(">") }

    func matches(_ literal: SubjectOracle) -> Bool {
        guard literal.isFull else { return false }
        let isOpen = tokens.last == ">"
        let head = isOpen ? Array(tokens.dropLast()) : tokens
        guard isOpen ? literal.tokens.count > head.count : literal.tokens.count == head.count else { return false }
        return zip(head, literal.tokens).allSatisfy { $0 == "*" || $0 == $1 }
    }

    /// Every literal over a small alphabet with a length up to one more than either pattern: enough to tell patterns apart.
    private static func literals(for a: SubjectOracle, _ b: SubjectOracle) -> [SubjectOracle] {
        let words = Set(a.tokens + b.tokens).subtracting(["*", ">"]).union(["fresh"])
        var all: [[String]] = [[]], latest: [[String]] = [[]]
        for _ in 0..<min(5, max(a.tokens.count, b.tokens.count) + 1) {
            latest = latest.flatMap { head in words.map { head + [$0] } }
            all += latest
        }
        return all.dropFirst().map { SubjectOracle($0.joined(separator: ".")) }
    }

    func isSubset(of other: SubjectOracle) -> Bool {
        SubjectOracle.literals(for: self, other).allSatisfy { !matches($0) || other.matches($0) }
    }

    func overlaps(_ other: SubjectOracle) -> Bool {
        SubjectOracle.literals(for: self, other).contains { matches($0) && other.matches($0) }
    }
}

func randomSubject(_ random: inout SeededRandom) -> String {
    let words = ["a", "a", "b", "ab", "*", "*", ">", "a*", ">b"]
    var tokens: [String] = []
    for _ in 0..<Int.random(in: 0...4, using: &random) {
        switch Int.random(in: 0..<40, using: &random) {
        case 0: tokens.append("")
        case 1: tokens.append(" ")
        default: tokens.append(words.randomElement(using: &random) ?? "a")
        }
    }
    return tokens.joined(separator: ".")
}

/// SplitMix64: the same numbers for the same seed on every machine.
struct SeededRandom: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
