// Reads the smallest pieces of a configuration file: space, comments, keys, and single values.
// What surrounds them (maps, arrays, includes, variables) is ConfigurationParser's.
//
// It follows nats-server's lexer state by state, quirks included, because people's files rely on them. Three
// quirks are not followed, because they lose what was written: a number that touches `]` ends there (nats-server
// swallows the bracket), an unknown size suffix such as `1kbb` is an error (nats-server drops the key), and a NUL byte
// is an error everywhere outside of quotes.

/// A cursor over the bytes of one file.
struct ConfigurationLexer {
    /// A value that is neither map nor array.
    enum Scalar {
        case string(String)
        case integer(Int)
        case float(Double)
        case bool(Bool)
        case datetime(String)
        case variable(String)
    }

    private let bytes: [UInt8]
    private let file: String
    private(set) var offset = 0
    private var line = 1
    /// The offset of the newline that opened this line; 0 on the first line, which has none.
    private var lineStart = 0

    init(_ bytes: [UInt8], file: String) {
        self.bytes = bytes
        self.file = file
    }

    var here: ConfigurationPosition { ConfigurationPosition(file: file, line: line, column: offset - lineStart) }

    /// The next byte; nil at the end of the text and at a NUL byte.
    var next: UInt8? { byte(after: 0) }

    /// No byte is left at all.
    var isAtEnd: Bool { offset >= bytes.count }

    func byte(after distance: Int) -> UInt8? {
        let index = offset + distance
        return index < bytes.count && bytes[index] != 0 ? bytes[index] : nil
    }

    mutating func advance() {
        guard offset < bytes.count else { return }
        if bytes[offset] == UInt8(ascii: "\n") {
            line += 1
            lineStart = offset
        }
        offset += 1
    }

    func failure(_ message: String) -> ConfigurationError {
        ConfigurationError("Parse error on line \(line): '\(message)'", at: here)
    }

    /// The next character as an error message shows it.
    var nextShown: String {
        guard let first = next else { return "EOF" }
        if first == UInt8(ascii: "\n") { return "\\n" }
        var end = offset + 1
        while end < bytes.count, bytes[end] & 0xC0 == 0x80, end - offset < 4 { end += 1 }
        return String(decoding: bytes[offset..<end], as: UTF8.self)
    }

    // MARK: Space and comments

    /// How many bytes of white space, Unicode's included, begin at the cursor; 0 is none.
    private var spaceWidth: Int {
        guard let first = next else { return 0 }
        switch first {
        case 0x09...0x0D, 0x20: return 1
        case 0xC2:
            let second = byte(after: 1)
            return second == 0x85 || second == 0xA0 ? 2 : 0
        case 0xE1, 0xE2, 0xE3:
            guard let second = byte(after: 1), let third = byte(after: 2) else { return 0 }
            switch (first, second, third) {
            case (0xE1, 0x9A, 0x80), (0xE2, 0x80, 0x80...0x8A), (0xE2, 0x80, 0xA8), (0xE2, 0x80, 0xA9),
                (0xE2, 0x80, 0xAF), (0xE2, 0x81, 0x9F), (0xE3, 0x80, 0x80):
                return 3
            default: return 0
            }
        default: return 0
        }
    }

    var isAtSpace: Bool { spaceWidth > 0 }

    /// Passes over white space, newlines included.
    mutating func skipSpace() {
        while true {
            let width = spaceWidth
            if width == 0 { return }
            for _ in 0..<width { advance() }
        }
    }

    /// Passes over blanks and tabs only.
    mutating func skipBlanks() {
        while next == UInt8(ascii: " ") || next == UInt8(ascii: "\t") { advance() }
    }

    var isAtNewline: Bool { next == UInt8(ascii: "\n") || next == UInt8(ascii: "\r") }

    var isAtKeySeparator: Bool { next == UInt8(ascii: ":") || next == UInt8(ascii: "=") }

    var isAtComment: Bool {
        next == UInt8(ascii: "#") || (next == UInt8(ascii: "/") && byte(after: 1) == UInt8(ascii: "/"))
    }

    /// Passes over a comment, up to the newline that ends it.
    mutating func skipComment() {
        while next != nil, !isAtNewline { advance() }
    }

    // MARK: Keys

    /// A key in quotes; the cursor stands on the opening quote. Nothing is an escape in it.
    mutating func quotedKey() throws(ConfigurationError) -> String {
        let quote = next
        advance()
        let start = offset
        while let byte = next, byte != quote { advance() }
        if next == nil { throw failure("Unexpected EOF.") }
        let key = text(from: start)
        advance()
        return key
    }

    /// A bare key: at least one byte, then up to white space, a separator or the end.
    mutating func bareKey() -> String {
        let start = offset
        advance()
        while next != nil, !isAtSpace, !isAtKeySeparator { advance() }
        return text(from: start)
    }

    func text(from start: Int) -> String { String(decoding: bytes[start..<offset], as: UTF8.self) }

    // MARK: Values

    /// Reads one scalar; the cursor stands on its first byte.
    mutating func scalar() throws(ConfigurationError) -> Scalar {
        switch next {
        case UInt8(ascii: "'"): return .string(try singleQuoted())
        case UInt8(ascii: "\""): return .string(try doubleQuoted())
        case UInt8(ascii: "("): return .string(try block())
        case UInt8(ascii: "-"), .some(UInt8(ascii: "0")...UInt8(ascii: "9")): return try number()
        case UInt8(ascii: "."): throw failure("Floats must start with a digit")
        case UInt8(ascii: "\n"), UInt8(ascii: "\r"):
            advance()
            throw failure("Expected value but found new line")
        default: return try bare(from: offset)
        }
    }

    private mutating func singleQuoted() throws(ConfigurationError) -> String {
        advance()
        let start = offset
        while next != nil, next != UInt8(ascii: "'") { advance() }
        if next == nil { throw failure("Unexpected EOF.") }
        let value = text(from: start)
        advance()
        return value
    }

    private mutating func doubleQuoted() throws(ConfigurationError) -> String {
        advance()
        var value: [UInt8] = []
        while let byte = next, byte != UInt8(ascii: "\"") {
            if byte == UInt8(ascii: "\\") {
                value.append(try escape())
            } else {
                value.append(byte)
                advance()
            }
        }
        if next == nil { throw failure("Unexpected EOF.") }
        advance()
        return String(decoding: value, as: UTF8.self)
    }

    /// The byte that an escape stands for; the cursor stands on the backslash.
    private mutating func escape() throws(ConfigurationError) -> UInt8 {
        advance()
        let shown = nextShown
        let kind = next
        advance()
        switch kind {
        case UInt8(ascii: "t"): return UInt8(ascii: "\t")
        case UInt8(ascii: "n"): return UInt8(ascii: "\n")
        case UInt8(ascii: "r"): return UInt8(ascii: "\r")
        case UInt8(ascii: "\""): return UInt8(ascii: "\"")
        case UInt8(ascii: "\\"): return UInt8(ascii: "\\")
        case UInt8(ascii: "x"):
            let start = offset
            for _ in 0..<2 {
                if isAtNewline { throw failure("Expected two hexadecimal digits after '\\x', but hit end of line") }
                if next == nil { throw failure("Expected two hexadecimal digits after '\\x', but hit end of file") }
                advance()
            }
            guard let high = hexadecimal(bytes[start]), let low = hexadecimal(bytes[start + 1]) else {
                throw failure("Expected two hexadecimal digits after '\\x', but got '\(text(from: start))'")
            }
            return high << 4 | low
        default:
            throw failure(
                "Invalid escape character '\(shown)'. Only the following escape characters are allowed: "
                    + "\\xXX, \\t, \\n, \\r, \\\", \\\\.")
        }
    }

    private func hexadecimal(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }

    /// Text between `(` and a `)` that has a line of its own.
    private mutating func block() throws(ConfigurationError) -> String {
        advance()
        let start = offset
        while let byte = next {
            if byte == UInt8(ascii: ")"), offset > start, bytes[offset - 1] == UInt8(ascii: "\n"),
                offset + 1 == bytes.count || bytes[offset + 1] == UInt8(ascii: "\n")
            {
                let value = text(from: start)
                advance()
                return value
            }
            advance()
        }
        throw failure("Unexpected EOF processing block.")
    }

    /// What ends a bare value.
    private var isAtValueEnd: Bool {
        switch next {
        case nil, UInt8(ascii: "\n"), UInt8(ascii: "\r"), UInt8(ascii: ";"), UInt8(ascii: ","), UInt8(ascii: "]"),
            UInt8(ascii: "}"), UInt8(ascii: " "), UInt8(ascii: "\t"):
            true
        default: false
        }
    }

    /// A value without quotes, whose first byte is at `start` and which may be read in part already.
    private mutating func bare(from start: Int) throws(ConfigurationError) -> Scalar {
        var value = Array(bytes[start..<offset])
        var hasEscapes = false
        while let byte = next, !isAtValueEnd {
            if byte == UInt8(ascii: "'") {
                advance()
                return .string(String(decoding: value, as: UTF8.self))
            }
            if byte == UInt8(ascii: "\\") {
                hasEscapes = true
                value.append(try escape())
            } else {
                value.append(byte)
                advance()
            }
        }
        let text = String(decoding: value, as: UTF8.self)
        if hasEscapes { return .string(text) }
        switch text.lowercased() {
        case "true", "yes", "on": return .bool(true)
        case "false", "no", "off": return .bool(false)
        default: return value.first == UInt8(ascii: "$") ? .variable(String(text.dropFirst())) : .string(text)
        }
    }

    // MARK: Numbers

    private var isAtDigit: Bool {
        if case .some(UInt8(ascii: "0")...UInt8(ascii: "9")) = next { true } else { false }
    }

    /// An integer with an optional suffix, a float, a time, an address, or a bare word that begins with a digit.
    private mutating func number() throws(ConfigurationError) -> Scalar {
        let start = offset
        let isNegative = next == UInt8(ascii: "-")
        if isNegative {
            advance()
            if next == UInt8(ascii: ".") { throw failure("Floats must start with a digit, not '.'.") }
            if !isAtDigit { throw failure("Expected a digit but got '\(nextShown)'.") }
        }
        while isAtDigit { advance() }
        let digitsEnd = offset
        switch next {
        case UInt8(ascii: "-") where !isNegative:
            advance()
            if offset - start != 5 { throw failure("All ISO8601 dates must be in full Zulu form.") }
            return try datetime(from: start)
        case UInt8(ascii: "."):
            return try float(from: start)
        default: break
        }
        if let byte = next, "kKmMgGtTpPeE".utf8.contains(byte) {
            advance()
            while let byte = next, "bBiI".utf8.contains(byte) { advance() }
        }
        if isAtValueEnd || isAtComment { return .integer(try integer(from: start, digitsEnd)) }
        if isNegative { return .integer(try integer(from: start, digitsEnd)) }
        return try bare(from: start)
    }

    private func integer(from start: Int, _ digitsEnd: Int) throws(ConfigurationError) -> Int {
        let written = text(from: start)
        let suffix = String(decoding: bytes[digitsEnd..<offset], as: UTF8.self).lowercased()
        guard let scale = Self.scales[suffix] else {
            throw ConfigurationError("unknown size suffix in '\(written)'", at: here)
        }
        guard let number = Int(String(decoding: bytes[start..<digitsEnd], as: UTF8.self)) else {
            throw ConfigurationError("integer '\(written)' is out of the range", at: here)
        }
        let (product, overflow) = number.multipliedReportingOverflow(by: scale)
        if overflow { throw ConfigurationError("integer '\(written)' is out of the range", at: here) }
        return product
    }

    /// `k` is 1000, `kb`, `ki` and `kib` are 1024, and so on up to exa.
    private static let scales: [String: Int] = {
        var scales = ["": 1]
        var decimal = 1
        var binary = 1
        for letter in ["k", "m", "g", "t", "p", "e"] {
            decimal *= 1000
            binary *= 1024
            scales[letter] = decimal
            for suffix in ["b", "i", "ib"] { scales[letter + suffix] = binary }
        }
        return scales
    }()

    private mutating func float(from start: Int) throws(ConfigurationError) -> Scalar {
        advance()
        if !isAtDigit { throw failure("Floats must have a digit after the '.', but got '\(nextShown)' instead.") }
        while isAtDigit { advance() }
        if next == UInt8(ascii: ".") {
            while let byte = next,
                isAtDigit || byte == UInt8(ascii: ".") || byte == UInt8(ascii: ":")
                    || byte == UInt8(ascii: "-")
            { advance() }
            return .string(text(from: start))
        }
        let written = text(from: start)
        guard let number = Double(written), number.isFinite else {
            throw ConfigurationError("float '\(written)' is out of the range", at: here)
        }
        return .float(number)
    }

    private mutating func datetime(from start: Int) throws(ConfigurationError) -> Scalar {
        for expected in "00-00T00:00:00Z".utf8 {
            if expected == UInt8(ascii: "0") {
                if !isAtDigit { throw failure("Expected digit in ISO8601 datetime, but found '\(nextShown)' instead.") }
            } else if next != expected {
                let wanted = Character(Unicode.Scalar(expected))
                throw failure("Expected '\(wanted)' in ISO8601 datetime, but found '\(nextShown)' instead.")
            }
            advance()
        }
        let written = text(from: start)
        let fields = written.split { "-T:Z".contains($0) }.compactMap { Int($0) }
        guard fields.count == 6, isDate(fields[0], fields[1], fields[2]), fields[3] < 24, fields[4] < 60, fields[5] < 60
        else { throw ConfigurationError("expected Zulu formatted DateTime, but got '\(written)'", at: here) }
        return .datetime(written)
    }

    private func isDate(_ year: Int, _ month: Int, _ day: Int) -> Bool {
        guard (1...12).contains(month) else { return false }
        let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        let days = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1]
        return (1...days).contains(day)
    }
}
