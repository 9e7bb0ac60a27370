// Durations as Go writes them ("1h30m", "100ms"): reading them, and printing them in messages.

/// A span of time in nanoseconds, signed, as Go's time.Duration holds it.
struct ConfigurationDuration: Equatable {
    var nanoseconds: Int

    init(nanoseconds: Int) { self.nanoseconds = nanoseconds }

    /// Whole milliseconds, rounded away from zero, so that a tiny time-out does not turn into none.
    var milliseconds: Int {
        let (quotient, remainder) = nanoseconds.quotientAndRemainder(dividingBy: 1_000_000)
        return remainder == 0 ? quotient : quotient + remainder.signum()
    }

    /// Whole microseconds, rounded likewise.
    var microseconds: Int {
        let (quotient, remainder) = nanoseconds.quotientAndRemainder(dividingBy: 1_000)
        return remainder == 0 ? quotient : quotient + remainder.signum()
    }

    /// Seconds as a number; nil where they do not fit into about 292 years.
    init?(seconds: Double) {
        let nanoseconds = seconds * 1e9
        guard nanoseconds.isFinite, nanoseconds.magnitude < 9.2e18 else { return nil }
        self.nanoseconds = Int(nanoseconds.rounded())
    }

    /// The text of a duration cannot be understood; the description is Go's, `time: invalid duration "5"`.
    struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    private static let units: [String: Double] = [
        "ns": 1, "us": 1e3, "µs": 1e3, "μs": 1e3, "ms": 1e6, "s": 1e9, "m": 60e9, "h": 3600e9,
    ]

    /// Parses a sum of numbers with units, `-1.5h` or `2h45m10s`; "0" needs no unit.
    init(_ text: String) throws(Failure) {
        let invalid = Failure(description: "time: invalid duration \(goQuoted(text))")
        var rest = Substring(text)
        let isNegative = rest.first == "-"
        if rest.first == "-" || rest.first == "+" { rest = rest.dropFirst() }
        if rest == "0" {
            nanoseconds = 0
            return
        }
        if rest.isEmpty { throw invalid }
        var total = 0.0
        while !rest.isEmpty {
            let number = rest.prefix { $0 == "." || ("0"..."9").contains($0) }
            guard
                let value = Double(
                    number.hasPrefix(".") ? "0" + number : number.hasSuffix(".") ? number + "0" : String(number)),
                number.contains(where: { $0 != "." })
            else { throw invalid }
            rest = rest.dropFirst(number.count)
            let unit = String(rest.prefix { $0 != "." && !("0"..."9").contains($0) })
            if unit.isEmpty { throw Failure(description: "time: missing unit in duration \(goQuoted(text))") }
            guard let scale = Self.units[unit] else {
                throw Failure(description: "time: unknown unit \(goQuoted(unit)) in duration \(goQuoted(text))")
            }
            total += value * scale
            rest = rest.dropFirst(unit.count)
        }
        guard total < 9.2e18 else { throw invalid }
        nanoseconds = Int(total.rounded()) * (isNegative ? -1 : 1)
    }
}

extension ConfigurationDuration: CustomStringConvertible {
    /// Go's form: `3m20s`, `1.5s`, `100ms`, `0s`.
    var description: String {
        if nanoseconds == 0 { return "0s" }
        let sign = nanoseconds < 0 ? "-" : ""
        let magnitude = nanoseconds.magnitude
        func decimal(_ whole: UInt, _ rest: UInt, digits: Int) -> String {
            if rest == 0 { return String(whole) }
            var fraction = String(rest)
            fraction = String(repeating: "0", count: digits - fraction.count) + fraction
            while fraction.hasSuffix("0") { fraction.removeLast() }
            return "\(whole).\(fraction)"
        }
        if magnitude < 1_000 { return "\(sign)\(magnitude)ns" }
        if magnitude < 1_000_000 { return sign + decimal(magnitude / 1_000, magnitude % 1_000, digits: 3) + "µs" }
        if magnitude < 1_000_000_000 { return sign + decimal(magnitude / 1_000_000, magnitude % 1_000_000, digits: 6) + "ms" }
        let seconds = magnitude / 1_000_000_000
        let last = decimal(seconds % 60, magnitude % 1_000_000_000, digits: 9) + "s"
        if seconds < 60 { return sign + last }
        if seconds < 3600 { return "\(sign)\(seconds / 60)m\(last)" }
        return "\(sign)\(seconds / 3600)h\(seconds % 3600 / 60)m\(last)"
    }
}

/// A text in double quotes, with the escapes that Go's %q uses for what these messages contain.
func goQuoted(_ text: String) -> String {
    var quoted = "\""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\"": quoted += "\\\""
        case "\\": quoted += "\\\\"
        case "\n": quoted += "\\n"
        case "\r": quoted += "\\r"
        case "\t": quoted += "\\t"
        case _ where scalar.value < 0x20 || scalar.value == 0x7F:
            let digits = String(scalar.value, radix: 16)
            quoted += "\\x" + (digits.count < 2 ? "0" : "") + digits
        default: quoted.unicodeScalars.append(scalar)
        }
    }
    return quoted + "\""
}
