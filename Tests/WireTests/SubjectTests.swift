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
    for text in valid { #expect(viewing(text) { Subject.isValid($0) }, "\(text)") }
    for text in invalid { #expect(!viewing(text) { Subject.isValid($0) }, "\(text)") }
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
        (">", "a..b"), (">", ""), (">", "."), ("*", ""), ("*.*", "a."), ("a.*", "a."), ("a.>", "a."), ("a.>", "a.b."),
        (">", ".a"),
        ("a.b", "a.>"),
    ]
    for (p, s) in yes { #expect(viewing(p, s, Subject.matches), "\(p) \(s)") }
    for (p, s) in no { #expect(!viewing(p, s, Subject.matches), "\(p) \(s)") }
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
