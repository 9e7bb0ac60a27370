// Finds where a text stops being JSON and says so in the words of Go's encoding/json, which clients see in error 10025.

import Wire

/// Walks over JSON without building anything. `skipValue` moves past one value or throws what is wrong with it.
struct JSONSyntax {
    /// Why a text is not JSON. `offset` is nil where the text ends too early.
    struct Failure: Error {
        var text: String
        var offset: Int?
    }

    /// Go's own limit is 10,000; ours is what `JSONValue` reads.
    static let depthMax = JSONLimits().depthMax

    private let text: ByteView
    private(set) var index = 0

    init(_ text: ByteView) { self.text = text }

    mutating func skipWhitespace() {
        while index < text.count, [0x20, 0x09, 0x0A, 0x0D].contains(text[index]) { index += 1 }
    }

    var isAtEnd: Bool { index >= text.count }

    mutating func skipValue() throws(Failure) {
        /// The arrays and objects that are open; true for an object.
        var open: [Bool] = []
        value: while true {
            skipWhitespace()
            switch try byte() {
            case UInt8(ascii: "{"):
                index += 1
                skipWhitespace()
                if try byte() == UInt8(ascii: "}") {
                    index += 1
                } else {
                    try push(true, on: &open)
                    try key()
                    continue value
                }
            case UInt8(ascii: "["):
                index += 1
                skipWhitespace()
                if try byte() == UInt8(ascii: "]") {
                    index += 1
                } else {
                    try push(false, on: &open)
                    continue value
                }
            case UInt8(ascii: "\""): try string()
            case UInt8(ascii: "t"): try literal("true")
            case UInt8(ascii: "f"): try literal("false")
            case UInt8(ascii: "n"): try literal("null")
            case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): try number()
            default: throw unexpected("looking for beginning of value")
            }
            while let isObject = open.last {
                skipWhitespace()
                let next = try byte()
                if next == UInt8(ascii: ",") {
                    index += 1
                    if isObject { try key() }
                    continue value
                }
                guard next == UInt8(ascii: isObject ? "}" : "]") else {
                    throw unexpected(isObject ? "after object key:value pair" : "after array element")
                }
                open.removeLast()
                index += 1
            }
            return
        }
    }

    /// What is wrong with the byte at the cursor.
    func unexpected(_ context: String) -> Failure {
        guard index < text.count else { return Failure(text: "unexpected EOF", offset: nil) }
        let (shown, length) = quotedCharacter()
        return Failure(text: "invalid character \(shown) \(context)", offset: index + length)
    }

    private func byte() throws(Failure) -> UInt8 {
        guard index < text.count else { throw unexpected("") }
        return text[index]
    }

    private func push(_ isObject: Bool, on open: inout [Bool]) throws(Failure) {
        guard open.count + 1 < JSONSyntax.depthMax else { throw Failure(text: "exceeded max depth", offset: index) }
        open.append(isObject)
    }

    private mutating func key() throws(Failure) {
        skipWhitespace()
        guard try byte() == UInt8(ascii: "\"") else { throw unexpected("looking for beginning of object key string") }
        try string()
        skipWhitespace()
        guard try byte() == UInt8(ascii: ":") else { throw unexpected("after object key") }
        index += 1
    }

    private mutating func literal(_ word: String) throws(Failure) {
        for expected in word.utf8 {
            guard try byte() == expected else {
                throw unexpected("in literal \(word) (expecting '\(Character(Unicode.Scalar(expected)))')")
            }
            index += 1
        }
    }

    private mutating func number() throws(Failure) {
        if text[index] == UInt8(ascii: "-") { index += 1 }
        if try byte() == UInt8(ascii: "0") { index += 1 } else { try digits() }
        if !isAtEnd, text[index] == UInt8(ascii: ".") {
            index += 1
            try digits()
        }
        if !isAtEnd, text[index] | 0x20 == UInt8(ascii: "e") {
            index += 1
            if !isAtEnd, text[index] == UInt8(ascii: "+") || text[index] == UInt8(ascii: "-") { index += 1 }
            try digits()
        }
    }

    private mutating func digits() throws(Failure) {
        guard isDigit(try byte()) else { throw unexpected("in numeric literal") }
        while !isAtEnd, isDigit(text[index]) { index += 1 }
    }

    private func isDigit(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") }

    private mutating func string() throws(Failure) {
        index += 1
        while true {
            switch try byte() {
            case UInt8(ascii: "\""):
                index += 1
                return
            case UInt8(ascii: "\\"): try escape()
            case 0..<0x20: throw unexpected("in string")
            default: index += 1
            }
        }
    }

    private mutating func escape() throws(Failure) {
        let start = index
        index += 1
        switch try byte() {
        case UInt8(ascii: "u"):
            index += 1
            var isBad = false
            for _ in 0..<4 {
                switch try byte() {
                case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"),
                    UInt8(ascii: "A")...UInt8(ascii: "F"):
                    break
                default: isBad = true
                }
                index += 1
            }
            if isBad { throw badEscape(from: start) }
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"), UInt8(ascii: "n"),
            UInt8(ascii: "r"), UInt8(ascii: "t"):
            index += 1
        default:
            index += 1
            throw badEscape(from: start)
        }
    }

    private func badEscape(from start: Int) -> Failure {
        let sequence = ByteView(text.base + start, index - start).string
        return Failure(text: "invalid escape sequence `\(sequence)` in string", offset: index)
    }

    /// The character at the cursor as Go prints it, and its length in bytes.
    private func quotedCharacter() -> (String, Int) {
        switch text[index] {
        case UInt8(ascii: "'"): return ("'\\''", 1)
        case UInt8(ascii: "\""): return ("'\"'", 1)
        default: break
        }
        let rest = ByteView(text.base + index, min(4, text.count - index))
        var decoder = UTF8()
        var bytes = rest.buffer.makeIterator()
        guard case .scalarValue(let scalar) = decoder.decode(&bytes) else {
            return ("'\\x\(String(text[index], radix: 16))'", 1)
        }
        let quoted = scalar == "\u{FEFF}" ? "\\ufeff" : String(goQuoted(String(Character(scalar))).dropFirst().dropLast())
        return ("'\(quoted)'", UTF8.width(scalar))
    }
}
