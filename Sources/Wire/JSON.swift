// Reads JSON as Go's encoding/json does: what clients send in CONNECT, in API requests and in stored state.

/// One JSON value. Objects keep the order and the unknown members they came with, numbers their digits, so that
/// what was read can be written again unchanged.
public enum JSONValue: Sendable, Equatable {
    case null
    case bool(Bool)
    case number(JSONNumber)
    case string(String)
    case array([JSONValue])
    case object(JSONObject)
}

/// A number as it was spelled: no digit is lost between reading and writing.
public struct JSONNumber: Sendable, Equatable {
    /// A number by JSON's grammar.
    public let text: String

    /// Trusts the caller that the text is a JSON number.
    init(spelled text: String) { self.text = text }
    public init(_ value: Int) { text = String(value) }
    public init(_ value: Int64) { text = String(value) }
    public init(_ value: UInt64) { text = String(value) }
    /// nil where JSON has no spelling for it: infinities and NaN.
    public init?(_ value: Double) {
        guard value.isFinite else { return nil }
        text = String(value)
    }

    /// nil for a fraction, an exponent (`1.0` and `1e3` too, as in Go) or what does not fit.
    public var int64: Int64? { Int64(text) }
    public var uint64: UInt64? { UInt64(text) }
    public var int: Int? { Int(text) }
    public var double: Double { Double(text) ?? 0 }
}

/// Members in their order; duplicates are kept.
public struct JSONObject: Sendable, Equatable {
    public struct Member: Sendable, Equatable {
        public var name: String
        public var value: JSONValue
        public init(_ name: String, _ value: JSONValue) {
            self.name = name
            self.value = value
        }
    }

    public var members: [Member]
    public init(_ members: [Member] = []) { self.members = members }

    /// The last member of this name in any case, as Go's decoder would leave it in a struct.
    /// Setting replaces that member or appends one; setting nil removes all of that name.
    public subscript(name: String) -> JSONValue? {
        get { members.last { JSONObject.sameName($0.name, name) }?.value }
        set {
            guard let newValue else { return members.removeAll { JSONObject.sameName($0.name, name) } }
            if let index = members.lastIndex(where: { JSONObject.sameName($0.name, name) }) {
                members[index].value = newValue
            } else {
                members.append(Member(name, newValue))
            }
        }
    }

    /// Whether Go's decoder takes one name for the other: ASCII letters in either case, and the two letters that fold
    /// to ASCII, U+017F (long s) and U+212A (kelvin).
    public static func sameName(_ a: String, _ b: String) -> Bool {
        if a == b { return true }
        var left = a.unicodeScalars.makeIterator(), right = b.unicodeScalars.makeIterator()
        while true {
            switch (left.next(), right.next()) {
            case (nil, nil): return true
            case (let x?, let y?) where folded(x) == folded(y): continue
            default: return false
            }
        }
    }

    private static func folded(_ scalar: Unicode.Scalar) -> UInt32 {
        switch scalar.value {
        case 0x41...0x5A: scalar.value + 0x20
        case 0x17F: 0x73
        case 0x212A: 0x6B
        default: scalar.value
        }
    }
}

extension JSONValue {
    public subscript(name: String) -> JSONValue? { object?[name] }

    public var isNull: Bool { self == .null }
    public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
    public var string: String? { if case .string(let value) = self { value } else { nil } }
    public var number: JSONNumber? { if case .number(let value) = self { value } else { nil } }
    public var array: [JSONValue]? { if case .array(let value) = self { value } else { nil } }
    public var object: JSONObject? { if case .object(let value) = self { value } else { nil } }
    public var int: Int? { number?.int }
    public var int64: Int64? { number?.int64 }
    public var uint64: UInt64? { number?.uint64 }

    public static func int(_ value: Int) -> JSONValue { .number(JSONNumber(value)) }
    public static func int64(_ value: Int64) -> JSONValue { .number(JSONNumber(value)) }
    public static func uint64(_ value: UInt64) -> JSONValue { .number(JSONNumber(value)) }
}

/// What a document may cost before it is refused.
public struct JSONLimits: Sendable {
    /// Open arrays and objects. Each costs a stack frame of the parser: 256 of them stay well below 512 KiB.
    public var depthMax = 256
    /// Matches the default of the largest message, with room.
    public var bytesMax = 8 << 20
    /// Values in all. `[0,0,0]` takes two bytes a value on the wire and about twenty in memory.
    public var valuesMax = 1 << 20
    public init() {}
}

/// Where and why a text is not JSON, or too much of it.
public struct JSONError: Error, Equatable {
    public enum Reason: Sendable, Equatable {
        case unexpectedEnd, unexpectedByte, badNumber, badEscape, controlByteInString, trailingBytes
        case tooDeep, tooLong, tooManyValues
    }
    public let reason: Reason
    /// In bytes from the start.
    public let offset: Int
}

extension JSONValue {
    /// Reads one document. Strings that are no UTF-8, and lone surrogates, are repaired with U+FFFD, as in Go.
    public static func parse(_ text: ByteView, limits: JSONLimits = JSONLimits()) throws(JSONError) -> JSONValue {
        guard text.count <= limits.bytesMax else { throw JSONError(reason: .tooLong, offset: 0) }
        var parser = JSONParser(text: text, limits: limits)
        parser.skipWhitespace()
        let value = try parser.value(depth: 0)
        parser.skipWhitespace()
        guard parser.isAtEnd else { throw parser.error(.trailingBytes) }
        return value
    }

    public static func parse(_ text: [UInt8], limits: JSONLimits = JSONLimits()) throws(JSONError) -> JSONValue {
        let result = text.withUnsafeBytes { bytes -> Result<JSONValue, JSONError> in
            do throws(JSONError) {
                return .success(try parse(ByteView(bytes), limits: limits))
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }
}

/// A recursive-descent reader by RFC 8259, as strict as Go's.
private struct JSONParser {
    let text: ByteView
    let limits: JSONLimits
    var index = 0
    var valueCount = 0

    init(text: ByteView, limits: JSONLimits) {
        self.text = text
        self.limits = limits
    }

    var isAtEnd: Bool { index >= text.count }

    func error(_ reason: JSONError.Reason) -> JSONError { JSONError(reason: reason, offset: index) }

    /// The byte at the cursor; 0 at the end, which no rule below accepts.
    var current: UInt8 { index < text.count ? text[index] : 0 }

    func unexpected() -> JSONError { error(isAtEnd ? .unexpectedEnd : .unexpectedByte) }

    mutating func skipWhitespace() {
        while index < text.count {
            switch text[index] {
            case 0x20, 0x09, 0x0A, 0x0D: index += 1
            default: return
            }
        }
    }

    mutating func value(depth: Int) throws(JSONError) -> JSONValue {
        valueCount += 1
        guard valueCount <= limits.valuesMax else { throw error(.tooManyValues) }
        switch current {
        case UInt8(ascii: "{"): return try object(depth: depth + 1)
        case UInt8(ascii: "["): return try array(depth: depth + 1)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number(try number())
        default: throw unexpected()
        }
    }

    mutating func word(_ word: StaticString, _ meaning: JSONValue) throws(JSONError) -> JSONValue {
        let rest = ByteView(text.base + index, text.count - index)
        guard rest.hasPrefix(word) else {
            throw error(rest.count < word.utf8CodeUnitCount ? .unexpectedEnd : .unexpectedByte)
        }
        index += word.utf8CodeUnitCount
        return meaning
    }

    mutating func array(depth: Int) throws(JSONError) -> JSONValue {
        guard depth <= limits.depthMax else { throw error(.tooDeep) }
        index += 1
        var elements: [JSONValue] = []
        skipWhitespace()
        if current == UInt8(ascii: "]") {
            index += 1
            return .array(elements)
        }
        while true {
            skipWhitespace()
            elements.append(try value(depth: depth))
            skipWhitespace()
            switch current {
            case UInt8(ascii: ","): index += 1
            case UInt8(ascii: "]"):
                index += 1
                return .array(elements)
            default: throw unexpected()
            }
        }
    }

    mutating func object(depth: Int) throws(JSONError) -> JSONValue {
        guard depth <= limits.depthMax else { throw error(.tooDeep) }
        index += 1
        var object = JSONObject()
        skipWhitespace()
        if current == UInt8(ascii: "}") {
            index += 1
            return .object(object)
        }
        while true {
            skipWhitespace()
            guard current == UInt8(ascii: "\"") else { throw unexpected() }
            let name = try string()
            skipWhitespace()
            guard current == UInt8(ascii: ":") else { throw unexpected() }
            index += 1
            skipWhitespace()
            object.members.append(JSONObject.Member(name, try value(depth: depth)))
            skipWhitespace()
            switch current {
            case UInt8(ascii: ","): index += 1
            case UInt8(ascii: "}"):
                index += 1
                return .object(object)
            default: throw unexpected()
            }
        }
    }

    mutating func number() throws(JSONError) -> JSONNumber {
        let start = index
        if current == UInt8(ascii: "-") { index += 1 }
        if current == UInt8(ascii: "0") {
            index += 1
        } else {
            try digits()
        }
        if current == UInt8(ascii: ".") {
            index += 1
            try digits()
        }
        if current == UInt8(ascii: "e") || current == UInt8(ascii: "E") {
            index += 1
            if current == UInt8(ascii: "+") || current == UInt8(ascii: "-") { index += 1 }
            try digits()
        }
        return JSONNumber(spelled: ByteView(text.base + start, index - start).string)
    }

    mutating func digits() throws(JSONError) {
        let start = index
        while case UInt8(ascii: "0")...UInt8(ascii: "9") = current { index += 1 }
        guard index > start else { throw error(isAtEnd ? .unexpectedEnd : .badNumber) }
    }

    mutating func string() throws(JSONError) -> String {
        index += 1
        let start = index
        while index < text.count {
            switch text[index] {
            case UInt8(ascii: "\""):
                let plain = ByteView(text.base + start, index - start)
                index += 1
                return plain.string
            case UInt8(ascii: "\\"):
                return try escapedString(from: start)
            case 0..<0x20:
                throw error(.controlByteInString)
            default:
                index += 1
            }
        }
        throw error(.unexpectedEnd)
    }

    /// The slower way, for strings with a backslash: the cursor stands on the first one.
    mutating func escapedString(from start: Int) throws(JSONError) -> String {
        var bytes = ByteView(text.base + start, index - start).bytes
        while index < text.count {
            let byte = text[index]
            switch byte {
            case UInt8(ascii: "\""):
                index += 1
                return String(decoding: bytes, as: UTF8.self)
            case UInt8(ascii: "\\"):
                index += 1
                try escape(into: &bytes)
            case 0..<0x20:
                throw error(.controlByteInString)
            default:
                bytes.append(byte)
                index += 1
            }
        }
        throw error(.unexpectedEnd)
    }

    mutating func escape(into bytes: inout [UInt8]) throws(JSONError) {
        let byte = current
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): bytes.append(byte)
        case UInt8(ascii: "b"): bytes.append(0x08)
        case UInt8(ascii: "f"): bytes.append(0x0C)
        case UInt8(ascii: "n"): bytes.append(0x0A)
        case UInt8(ascii: "r"): bytes.append(0x0D)
        case UInt8(ascii: "t"): bytes.append(0x09)
        case UInt8(ascii: "u"):
            index += 1
            let first = try hexQuad()
            bytes.append(contentsOf: String(Character(scalar(after: first))).utf8)
            return
        default:
            throw error(isAtEnd ? .unexpectedEnd : .badEscape)
        }
        index += 1
    }

    /// The scalar that a code unit stands for, together with the low surrogate that may follow it as `\uXXXX`.
    /// What follows a lone surrogate is left to be read on its own.
    mutating func scalar(after first: UInt32) -> Unicode.Scalar {
        let replacement: Unicode.Scalar = "\u{FFFD}"
        guard first & 0xFC00 == 0xD800 else { return Unicode.Scalar(first) ?? replacement }
        let before = index
        if current == UInt8(ascii: "\\") {
            index += 1
            if current == UInt8(ascii: "u") {
                index += 1
                if let second = try? hexQuad(), second & 0xFC00 == 0xDC00 {
                    return Unicode.Scalar(0x10000 + ((first & 0x3FF) << 10 | (second & 0x3FF))) ?? replacement
                }
            }
        }
        index = before
        return replacement
    }

    mutating func hexQuad() throws(JSONError) -> UInt32 {
        var unit: UInt32 = 0
        for _ in 0..<4 {
            let byte = current
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): unit = unit << 4 | UInt32(byte - UInt8(ascii: "0"))
            case UInt8(ascii: "a")...UInt8(ascii: "f"): unit = unit << 4 | UInt32(byte - UInt8(ascii: "a") + 10)
            case UInt8(ascii: "A")...UInt8(ascii: "F"): unit = unit << 4 | UInt32(byte - UInt8(ascii: "A") + 10)
            default: throw error(isAtEnd ? .unexpectedEnd : .badEscape)
            }
            index += 1
        }
        return unit
    }
}
