// One value of a request on its way into a field: the rules of Go's encoding/json, and its words where they are broken.

import Wire

/// What a request, or an object inside of one, is read into.
protocol JSONReadable {
    init()
    /// As Go names the type in its errors, without its package.
    static var goName: String { get }
    /// Reads the member of this (folded) name; false where there is none of that name.
    mutating func read(_ name: String, _ field: JSONField) throws(APIError) -> Bool
}

/// A value and where it stands.
struct JSONField {
    let value: JSONValue
    /// As Go spells it, `StreamConfigRequest.mirror.name`; empty for the request itself.
    let path: String
    /// Whether it is an element of an array: Go's text differs.
    var isElement = false
    /// Whether a member that nobody knows is an error.
    let isStrict: Bool

    /// A value of another kind than the field takes.
    func mismatch(_ goType: String) -> APIError {
        let kind =
            switch value {
            case .null: "null"
            case .bool: "bool"
            case .string: "string"
            case .array: "array"
            case .object: "object"
            case .number(let number): JSONField.isNumeric(goType) ? "number \(number.text)" : "number"
            }
        let place = path.isEmpty ? "Go value" : isElement ? path : "Go struct field \(path)"
        return .invalidJSON("json: cannot unmarshal \(kind) into \(place) of type \(goType)")
    }

    private static func isNumeric(_ goType: String) -> Bool {
        ["int", "int32", "int64", "uint64", "time.Duration"].contains(goType)
    }

    /// The value as it would be written.
    private var spelled: String { String(decoding: value.serialized(), as: UTF8.self) }

    // MARK: Plain values. null leaves them as they are.

    func read(_ target: inout String) throws(APIError) {
        if value.isNull { return }
        guard let text = value.string else { throw mismatch("string") }
        target = text
    }

    func read(_ target: inout Bool) throws(APIError) {
        if value.isNull { return }
        guard let flag = value.bool else { throw mismatch("bool") }
        target = flag
    }

    func read<Number: FixedWidthInteger>(_ target: inout Number, _ goType: String) throws(APIError) {
        if value.isNull { return }
        guard let number = value.number, let parsed = Number(number.text) else { throw mismatch(goType) }
        target = parsed
    }

    func read(_ target: inout Int) throws(APIError) { try read(&target, "int") }
    func read(_ target: inout Int32) throws(APIError) { try read(&target, "int32") }
    func read(_ target: inout Int64) throws(APIError) { try read(&target, "int64") }
    func read(_ target: inout UInt64) throws(APIError) { try read(&target, "uint64") }
    func readDuration(_ target: inout Int64) throws(APIError) { try read(&target, "time.Duration") }

    func readTime(_ target: inout Int64?) throws(APIError) {
        switch value {
        case .null: target = nil
        case .string(let text):
            do throws(Timestamp.Failure) {
                target = try Timestamp.parse(text)
            } catch {
                throw .invalidJSON(error.description)
            }
        default: throw mismatch("time.Time")
        }
    }

    // MARK: Names out of a set, which Go's types read themselves: null is no exception.

    func readName<Name: RawRepresentable>(_ target: inout Name) throws(APIError) where Name.RawValue == String {
        guard let text = value.string, let name = Name(rawValue: text) else {
            throw .invalidJSON("can not unmarshal \(goQuoted(spelled))")
        }
        target = name
    }

    /// Like `readName`, for the types that say what it is that they do not know.
    func readName<Name: RawRepresentable>(_ target: inout Name, _ what: String) throws(APIError)
    where Name.RawValue == String {
        guard let text = value.string, let name = Name(rawValue: text) else {
            throw .invalidJSON("unknown \(what): \(spelled)")
        }
        target = name
    }

    func read(_ target: inout StoreCompression) throws(APIError) {
        guard value.string != nil || value.isNull else {
            throw JSONField(value: value, path: "", isStrict: isStrict).mismatch("string")
        }
        guard let name = value.string.flatMap(StoreCompression.init(rawValue:)) else {
            throw .invalidJSON("unknown compression algorithm")
        }
        target = name
    }

    // MARK: Arrays, maps, objects. null empties them.

    /// Reads an array, each element by `read`.
    func readArray<Element>(
        _ target: inout [Element], _ goType: String, of initial: Element,
        _ read: (JSONField, inout Element) throws(APIError) -> Void
    ) throws(APIError) {
        if value.isNull {
            target = []
            return
        }
        guard let array = value.array else { throw mismatch("[]" + goType) }
        var elements: [Element] = []
        elements.reserveCapacity(array.count)
        for (place, element) in array.enumerated() {
            var result = initial
            let field = JSONField(value: element, path: "\(path).\(place)", isElement: true, isStrict: isStrict)
            try read(field, &result)
            elements.append(result)
        }
        target = elements
    }

    func read(_ target: inout [String]) throws(APIError) {
        try readArray(&target, "string", of: "") { (field, text) throws(APIError) in try field.read(&text) }
    }

    func readDurations(_ target: inout [Int64]) throws(APIError) {
        try readArray(&target, "time.Duration", of: 0) { (field, number) throws(APIError) in try field.readDuration(&number) }
    }

    func read(_ target: inout [String: String]) throws(APIError) {
        if value.isNull {
            target = [:]
            return
        }
        guard let object = value.object else { throw mismatch("map[string]string") }
        for member in object.members {
            var text = ""
            try JSONField(value: member.value, path: "\(path).\(member.name)", isStrict: isStrict).read(&text)
            target[member.name] = text
        }
    }

    func read<Target: JSONReadable>(_ target: inout Target) throws(APIError) {
        if value.isNull { return }
        guard let object = value.object else { throw mismatch("server." + Target.goName) }
        for member in object.members {
            // A key is looked up as Go does it, in any case; its own spelling is what errors show.
            let name = JSONField.folded(member.name)
            let field = JSONField(value: member.value, path: "\(pathOfMembers(of: Target.self)).\(name)", isStrict: isStrict)
            if try !target.read(name, field) && isStrict {
                throw .invalidJSON("json: unknown field \(goQuoted(member.name))")
            }
        }
    }

    func read<Target: JSONReadable>(_ target: inout Target?) throws(APIError) {
        if value.isNull {
            target = nil
            return
        }
        var read = target ?? Target()
        try self.read(&read)
        target = read
    }

    func read<Target: JSONReadable>(_ target: inout [Target]) throws(APIError) {
        try readArray(&target, "server." + Target.goName, of: Target()) { (field, element) throws(APIError) in
            try field.read(&element)
        }
    }

    private func pathOfMembers<Target: JSONReadable>(of type: Target.Type) -> String { path.isEmpty ? Target.goName : path }

    /// A member's name as Go's decoder compares it: ASCII in lower case, and the two letters that fold to ASCII.
    private static func folded(_ name: String) -> String {
        if name.utf8.allSatisfy({ $0 < 0x80 && !($0 >= 0x41 && $0 <= 0x5A) }) { return name }
        var folded = ""
        for scalar in name.unicodeScalars {
            switch scalar.value {
            case 0x41...0x5A: folded.unicodeScalars.append(Unicode.Scalar(UInt8(scalar.value + 0x20)))
            case 0x17F: folded.append("s")
            case 0x212A: folded.append("k")
            default: folded.unicodeScalars.append(scalar)
            }
        }
        return folded
    }
}
