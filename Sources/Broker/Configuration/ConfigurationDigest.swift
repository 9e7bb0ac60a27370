// The fingerprint of a configuration: SHA-256 of its tree as Go would encode it to JSON. Two files that say the
// same have the same digest, and it is the digest that nats-server prints for `-t` and reports in /varz.

import COpenSSL

enum ConfigurationDigest {
    /// `sha256:` and 64 hexadecimal digits. Entries that serve as variables count, too.
    static func of(_ map: ConfigurationMap) -> String {
        var json: [UInt8] = []
        append(map, to: &json)
        json.append(UInt8(ascii: "\n"))
        return "sha256:" + sha256(json)
    }

    /// The digest in lower-case hexadecimal.
    static func sha256(_ bytes: [UInt8]) -> String {
        var digest = [UInt8](repeating: 0, count: 32)
        var count: UInt32 = 0
        let succeeded = EVP_Digest(bytes, bytes.count, &digest, &count, EVP_sha256(), nil)
        precondition(succeeded == 1 && count == 32, "OpenSSL has no SHA-256")
        return digest.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    }

    private static func append(_ map: ConfigurationMap, to json: inout [UInt8]) {
        json.append(UInt8(ascii: "{"))
        // Go sorts keys by their bytes; Swift's own String order is by Unicode's canonical form.
        let entries = map.entries.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
        for (index, entry) in entries.enumerated() {
            if index > 0 { json.append(UInt8(ascii: ",")) }
            append(entry.key, to: &json)
            json.append(UInt8(ascii: ":"))
            append(entry.value, to: &json)
        }
        json.append(UInt8(ascii: "}"))
    }

    private static func append(_ value: ConfigurationValue, to json: inout [UInt8]) {
        switch value.kind {
        case .string(let text), .datetime(let text): append(text, to: &json)
        case .integer(let number): json += Array(String(number).utf8)
        case .float(let number): json += Array(goText(number).utf8)
        case .bool(let flag): json += Array((flag ? "true" : "false").utf8)
        case .map(let map): append(map, to: &json)
        case .array(let values):
            json.append(UInt8(ascii: "["))
            for (index, value) in values.enumerated() {
                if index > 0 { json.append(UInt8(ascii: ",")) }
                append(value, to: &json)
            }
            json.append(UInt8(ascii: "]"))
        }
    }

    private static func append(_ text: String, to json: inout [UInt8]) {
        json.append(UInt8(ascii: "\""))
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": json += Array("\\\"".utf8)
            case "\\": json += Array("\\\\".utf8)
            case "\n": json += Array("\\n".utf8)
            case "\r": json += Array("\\r".utf8)
            case "\t": json += Array("\\t".utf8)
            case "\u{8}": json += Array("\\b".utf8)
            case "\u{C}": json += Array("\\f".utf8)
            case _ where scalar.value < 0x20 || "<>&\u{2028}\u{2029}".unicodeScalars.contains(scalar):
                let digits = String(scalar.value, radix: 16)
                json += Array(("\\u" + String(repeating: "0", count: 4 - digits.count) + digits).utf8)
            default: json += Array(String(scalar).utf8)
            }
        }
        json.append(UInt8(ascii: "\""))
    }

    /// A float as Go's JSON encoder writes it: `2` for 2.0, and plain digits from 1e-6 up to 1e21, where Swift changes to
    /// exponents sooner.
    static func goText(_ number: Double) -> String {
        let text = "\(number)"
        guard let mark = text.firstIndex(of: "e"), let exponent = Int(text[text.index(after: mark)...]) else {
            return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
        }
        let sign = number < 0 ? "-" : ""
        let digits = text[..<mark].filter { $0 != "-" && $0 != "." }.reversed().drop { $0 == "0" }.reversed()
        if exponent >= 21 || exponent < -6 {
            let fraction = digits.count > 1 ? "." + String(digits.dropFirst()) : ""
            return "\(sign)\(digits.prefix(1).map(String.init).joined())\(fraction)e\(exponent < 0 ? "" : "+")\(exponent)"
        }
        if exponent < 0 { return sign + "0." + String(repeating: "0", count: -exponent - 1) + String(digits) }
        if digits.count > exponent + 1 {
            return sign + String(digits.prefix(exponent + 1)) + "." + String(digits.dropFirst(exponent + 1))
        }
        return sign + String(digits) + String(repeating: "0", count: exponent + 1 - digits.count)
    }
}
