// Writes JSON into a byte array, member by member, so that no tree needs to be built for what only gets sent.

/// A streaming writer. The caller opens, names, writes and closes; commas, line breaks and escapes are the writer's.
///
///     var writer = JSONWriter()
///     writer.beginObject()
///     writer.member("port", 4222)
///     writer.endObject()
///     send(writer.bytes)
///
/// Pretty output is two spaces deep per level, as on nats-server's monitoring pages.
public struct JSONWriter: Sendable {
    public enum Style: Sendable { case compact, pretty }

    public private(set) var bytes: [UInt8]
    private let style: Style
    private var depth = 0
    private var needsComma = false
    private var followsName = false

    public init(style: Style = .compact, appendingTo bytes: [UInt8] = []) {
        self.style = style
        self.bytes = bytes
    }

    /// The text so far, and an empty writer again.
    public mutating func take() -> [UInt8] {
        defer { self = JSONWriter(style: style) }
        return bytes
    }

    public mutating func beginObject() { open(UInt8(ascii: "{")) }
    public mutating func endObject() { close(UInt8(ascii: "}")) }
    public mutating func beginArray() { open(UInt8(ascii: "[")) }
    public mutating func endArray() { close(UInt8(ascii: "]")) }

    /// The name of the member whose value is written next.
    public mutating func name(_ name: String) {
        separate()
        appendQuoted(name)
        bytes.append(UInt8(ascii: ":"))
        if style == .pretty { bytes.append(0x20) }
        followsName = true
    }

    public mutating func null() { word("null") }
    public mutating func value(_ value: Bool) { value ? word("true") : word("false") }
    public mutating func value(_ value: Int) { integer(value.magnitude, isNegative: value < 0) }
    public mutating func value(_ value: Int64) { integer(UInt(value.magnitude), isNegative: value < 0) }
    public mutating func value(_ value: UInt64) { integer(UInt(value), isNegative: false) }

    /// What JSON cannot spell, an infinity or NaN, becomes null.
    public mutating func value(_ value: Double) {
        guard let number = JSONNumber(value) else { return null() }
        self.value(number)
    }

    public mutating func value(_ value: JSONNumber) {
        separate()
        bytes.append(contentsOf: value.text.utf8)
        needsComma = true
    }

    public mutating func value(_ value: String) {
        separate()
        appendQuoted(value)
        needsComma = true
    }

    public mutating func value(_ value: JSONValue) {
        switch value {
        case .null: null()
        case .bool(let value): self.value(value)
        case .number(let value): self.value(value)
        case .string(let value): self.value(value)
        case .array(let elements):
            beginArray()
            for element in elements { self.value(element) }
            endArray()
        case .object(let object):
            beginObject()
            for member in object.members {
                name(member.name)
                self.value(member.value)
            }
            endObject()
        }
    }

    /// A value that is JSON already, in this writer's style.
    public mutating func value(written json: [UInt8]) {
        separate()
        bytes.append(contentsOf: json)
        needsComma = true
    }

    public mutating func member(_ name: String, _ value: Bool) { self.name(name); self.value(value) }
    public mutating func member(_ name: String, _ value: Int) { self.name(name); self.value(value) }
    public mutating func member(_ name: String, _ value: Int64) { self.name(name); self.value(value) }
    public mutating func member(_ name: String, _ value: UInt64) { self.name(name); self.value(value) }
    public mutating func member(_ name: String, _ value: Double) { self.name(name); self.value(value) }
    public mutating func member(_ name: String, _ value: String) { self.name(name); self.value(value) }
    public mutating func member(_ name: String, _ value: JSONValue) { self.name(name); self.value(value) }

    private mutating func open(_ bracket: UInt8) {
        separate()
        bytes.append(bracket)
        depth += 1
        needsComma = false
    }

    private mutating func close(_ bracket: UInt8) {
        assert(depth > 0 && !followsName, "unbalanced JSON")
        depth -= 1
        if needsComma { breakLine() }
        bytes.append(bracket)
        needsComma = true
    }

    /// Whatever has to stand between the last thing written and the next.
    private mutating func separate() {
        if followsName {
            followsName = false
            return
        }
        if needsComma { bytes.append(UInt8(ascii: ",")) }
        if depth > 0 { breakLine() }
        needsComma = false
    }

    private mutating func breakLine() {
        guard style == .pretty else { return }
        bytes.append(0x0A)
        for _ in 0..<depth * 2 { bytes.append(0x20) }
    }

    private mutating func word(_ word: StaticString) {
        separate()
        bytes.append(contentsOf: UnsafeBufferPointer(start: word.utf8Start, count: word.utf8CodeUnitCount))
        needsComma = true
    }

    private mutating func integer(_ magnitude: UInt, isNegative: Bool) {
        separate()
        if isNegative { bytes.append(UInt8(ascii: "-")) }
        let start = bytes.count
        var rest = magnitude
        repeat {
            bytes.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10))
            rest /= 10
        } while rest > 0
        bytes[start...].reverse()
        needsComma = true
    }

    private mutating func appendQuoted(_ text: String) {
        bytes.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                bytes.append(UInt8(ascii: "\\"))
                bytes.append(byte)
            case 0x0A: append(escape: UInt8(ascii: "n"))
            case 0x0D: append(escape: UInt8(ascii: "r"))
            case 0x09: append(escape: UInt8(ascii: "t"))
            case 0..<0x20, 0x7F:
                for digit in [UInt8(ascii: "\\"), UInt8(ascii: "u"), 0x30, 0x30] { bytes.append(digit) }
                bytes.append(JSONWriter.hexDigit(byte >> 4))
                bytes.append(JSONWriter.hexDigit(byte & 15))
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }

    private mutating func append(escape: UInt8) {
        bytes.append(UInt8(ascii: "\\"))
        bytes.append(escape)
    }

    private static func hexDigit(_ nibble: UInt8) -> UInt8 {
        nibble < 10 ? UInt8(ascii: "0") + nibble : UInt8(ascii: "a") + nibble - 10
    }
}

extension JSONValue {
    /// The value as text.
    public func serialized(_ style: JSONWriter.Style = .compact) -> [UInt8] {
        var writer = JSONWriter(style: style)
        writer.value(self)
        return writer.take()
    }
}
