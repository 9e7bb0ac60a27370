// Questions about subjects that are text, as configurations have them; `Subject` answers them.

import Wire

enum SubjectText {
    static func isValid(_ subject: String) -> Bool { view(subject) { Subject.isValid($0) } }
    static func isLiteral(_ subject: String) -> Bool { !view(subject) { Subject.hasWildcards($0) } }
    /// Whether one could publish to it.
    static func isValidLiteral(_ subject: String) -> Bool { isValid(subject) && isLiteral(subject) }

    static func overlap(_ a: String, _ b: String) -> Bool { a == b || view(a) { x in view(b) { Subject.overlaps(x, $0) } } }

    static func isSubset(_ a: String, of b: String) -> Bool { view(a) { x in view(b) { Subject.isSubset(x, of: $0) } } }

    private static func view<Result>(_ text: String, _ body: (ByteView) -> Result) -> Result {
        var text = text
        return text.withUTF8 { body(ByteView(UnsafeRawBufferPointer($0))) }
    }
}
