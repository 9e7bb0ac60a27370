import Testing
import Wire

@testable import Broker

private func apply(_ source: String, _ destination: String, _ subject: String) throws -> String? {
    try SubjectTransform.parse(source: source, destination: destination)?.apply(subject)
}

@Test func apiTransformsOfSubjects() throws {
    let results: [(String, String, String, String?)] = [
        ("a.*", "b.$1", "a.x", "b.x"), ("a.*.*", "b.$2.$1", "a.x.y", "b.y.x"), ("a.*", "b.{{wildcard(1)}}", "a.x", "b.x"),
        ("a.*", "b.{{ Wildcard ( 1 ) }}", "a.x", "b.x"), ("a.*", "b.$x", "a.x", "b.$x"), ("a.*", "b.$0", "a.x", "b.a"),
        ("a.*", "b", "a.x", "b"), ("a", "b", "a", "b"), ("a", "b", "c", nil), ("a.>", "b.>", "a.x.y", "b.x.y"),
        ("a.>", "b.c.>", "a.x", "b.c.x"), ("", "x.>", "a.b", "x.a.b"), (">", "x.>", "a", "x.a"),
        ("a.*.>", "b.$1.>", "a.x.y.z", "b.x.y.z"),
        ("a.>", ">", "a.x.y", "x.y"), ("a.*", "b.{{split(1,-)}}", "a.x-y--z-", "b.x.y.z"),
        ("a.*", "b.{{split(1,-)}}", "a.-x", "b.x"),
        ("a.*", "b.{{split(1,)}}", "a.xyé", "b.x.y.é"), ("a.*", "b.{{splitFromLeft(1,2)}}", "a.12345", "b.12.345"),
        ("a.*", "b.{{splitFromRight(1,2)}}", "a.12345", "b.123.45"), ("a.*", "b.{{splitFromLeft(1,5)}}", "a.12345", "b.12345"),
        ("a.*", "b.{{sliceFromLeft(1,2)}}", "a.12345", "b.12.34.5"),
        ("a.*", "b.{{SliceFromRight(1,2)}}", "a.12345", "b.1.23.45"),
        ("a.*", "b.{{sliceFromLeft(1,0)}}", "a.12345", "b.12345"), ("a.*", "b.{{left(1,2)}}", "a.12345", "b.12"),
        ("a.*", "b.{{Right(1,2)}}", "a.12345", "b.45"), ("a.*", "b.{{left(1,9)}}", "a.12345", "b.12345"),
        ("a.*", "b.{{random(0)}}", "a.x", "b.0"), ("a.*", "b.{{partition(0,1)}}", "a.x", "b.0"),
        // FNV-1a of "x" and of "ab", in 32 bits.
        ("a.*", "b.{{partition(1000,1)}}", "a.x", "b.\(0xFD0C_5087 as UInt32 % 1000)"),
        ("*.*", "b.{{partition(1000,1,2)}}", "a.b", "b.\(0x4D25_05CA as UInt32 % 1000)"),
        ("x", "b.{{partition(1000)}}", "x", "b.\(0xFD0C_5087 as UInt32 % 1000)"),
    ]
    for (source, destination, subject, result) in results {
        #expect(try apply(source, destination, subject) == result, "\(source) -> \(destination) of \(subject)")
    }
    #expect(try SubjectTransform.parse(source: "a.*", destination: "") == nil)
}

/// The texts are those of nats-server 2.15.1.
@Test func apiTransformsThatAreRefused() {
    let prefix = "invalid mapping destination: "
    let refused = [
        ("a.*", "b.$2", prefix + "wildcard index out of range in $2: [2]"),
        ("a", "b.$1", prefix + "wildcard index out of range in $1"),
        ("a.>", "b.$1.>", prefix + "wildcard index out of range in $1: [1]"),
        ("a.*", "b.{{wildcard()}}", prefix + "not enough arguments passed to the function in {{wildcard()}}"),
        ("a.*", "b.{{wildcard(1,2)}}", prefix + "too many arguments passed to the function in {{wildcard(1,2)}}"),
        ("a.*", "b.{{wildcard(x)}}", prefix + "function argument is invalid or in the wrong format in {{wildcard(x)}}"),
        ("a.*", "b.{{foo(1)}}", prefix + "unknown function in {{foo(1)}}"),
        ("a.*", "b.{{random(1,2)}}", prefix + "not enough arguments passed to the function in {{random(1,2)}}"),
        ("a.*", "b.{{random()}}", prefix + "function argument is invalid or in the wrong format in {{random()}}"),
        ("a.*", "b.{{left(1,2,3)}}", prefix + "too many arguments passed to the function in {{left(1,2,3)}}"),
        (
            "a.*", "b.{{partition(99999999999,1)}}",
            prefix + "function argument is invalid or in the wrong format in {{partition(99999999999,1)}}"
        ),
        ("a.*", "b..c", prefix + "invalid transform"), ("a.*", "b c", prefix + "invalid transform"),
        ("a.>", "b", "invalid subject"),
        ("a", "b.>", "invalid subject"), ("a.*", "b.*", "invalid subject"), ("", "x", "invalid subject"),
        ("a..b", "c", "invalid subject"),
    ]
    for (source, destination, text) in refused {
        #expect(throws: SubjectTransform.Failure(description: text), "\(source) -> \(destination)") {
            try SubjectTransform.validate(source: source, destination: destination)
        }
    }
}

@Test func apiTransformsOfAnything() throws {
    let pieces = [
        "a", "*", ">", "$1", "$2", "{{wildcard(1)}}", "{{partition(3,1,2)}}", "{{split(1,-)}}", "{{sliceFromRight(2,3)}}", "",
        "{{",
    ]
    for seed in 0..<4_000 as Range<UInt64> {
        var random = SeededGenerator(seed: seed)
        func subject() -> String {
            (0..<Int.random(in: 1...4, using: &random)).map { _ in pieces.randomElement(using: &random) ?? "" }.joined(
                separator: ".")
        }
        let source = subject(), destination = subject()
        guard let transform = try? SubjectTransform.parse(source: source, destination: destination) else { continue }
        for text in ["a", "a.b.c", "aaaa.b-b.c", "", ".", "a..b", "*.>"] { _ = transform.apply(text) }
    }
}
