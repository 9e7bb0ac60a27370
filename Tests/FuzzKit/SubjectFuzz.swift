// Subject's answers against the rules of subjects, written for reading.

import Wire

enum SubjectFuzz {
    @Sendable static func iterate(_ random: inout SeededRandom) throws(FuzzFailure) {
        let a = subject(&random), b = subject(&random)
        let oracleA = SubjectOracle(a), oracleB = SubjectOracle(b)
        let bytesA = Array(a.utf8), bytesB = Array(b.utf8)
        // Copies that end where memory ends.
        let memoryA = GuardedBytes(capacity: 64), memoryB = GuardedBytes(capacity: 64)
        let x = ByteView(memoryA.place(bytesA[...], slack: 0, junk: 0), bytesA.count)
        let y = ByteView(memoryB.place(bytesB[...], slack: 0, junk: 0), bytesB.count)
        let context = "'\(a)' '\(b)'"
        try require(Subject.isValid(x) == oracleA.isValid, "isValid, \(context)")
        try require(Subject.isValidLiteral(x) == oracleA.isValidLiteral, "isValidLiteral, \(context)")
        try require(Subject.hasWildcards(x) == oracleA.hasWildcards, "hasWildcards, \(context)")
        try require(Subject.tokenCount(x) == oracleA.tokens.count, "tokenCount, \(context)")
        try require(Subject.token(x, at: 1)?.string == oracleA.tokens.dropFirst().first, "token, \(context)")
        if oracleA.isValid { try require(Subject.matches(x, y) == oracleA.matches(oracleB), "matches, \(context)") }
        if oracleA.isValid && oracleB.isValid {
            try require(Subject.isSubset(x, of: y) == oracleA.isSubset(of: oracleB), "isSubset, \(context)")
            try require(Subject.overlaps(x, y) == oracleA.overlaps(oracleB), "overlaps, \(context)")
        } else {
            // No promise about the answer, but it has to come.
            _ = Subject.isSubset(x, of: y)
            _ = Subject.overlaps(x, y)
            _ = Subject.matches(x, y)
        }
    }

    private static func subject(_ random: inout SeededRandom) -> String {
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
}

/// The rules of subjects, written for reading: split by dots, compare token by token.
struct SubjectOracle {
    let tokens: [String]

    init(_ text: String) {
        tokens = text.isEmpty ? [] : text.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    }

    var isFull: Bool { !tokens.isEmpty && !tokens.contains("") }
    var isValid: Bool {
        isFull && !tokens.dropLast().contains(">")
            && !tokens.contains { $0.unicodeScalars.contains { " \t\r\n\u{0C}".unicodeScalars.contains($0) } }
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
