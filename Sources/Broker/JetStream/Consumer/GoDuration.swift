// Durations as Go writes and reads them: `1h15m30.918s`. Delayed naks and some statuses use them.

import Wire

enum GoDuration {
    private static let units: [(StaticString, Int64)] = [
        ("ns", 1), ("us", 1_000), ("µs", 1_000), ("μs", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000),
        ("m", 60_000_000_000), ("h", 3_600_000_000_000),
    ]

    /// Nanoseconds; nil for what Go refuses: no unit, an unknown one, too much.
    static func parse(_ text: ByteView) -> Int64? {
        var index = 0
        var isNegative = false
        if !text.isEmpty, text[0] == UInt8(ascii: "-") || text[0] == UInt8(ascii: "+") {
            isNegative = text[0] == UInt8(ascii: "-")
            index = 1
        }
        let rest = ByteView(text.base + index, text.count - index)
        if rest.equals("0") { return 0 }
        guard !rest.isEmpty else { return nil }
        var total: Int64 = 0
        while index < text.count {
            guard let part = part(text, &index) else { return nil }
            let (sum, overflows) = total.addingReportingOverflow(part)
            if overflows { return nil }
            total = sum
        }
        return isNegative ? -total : total
    }

    /// A number with a unit.
    private static func part(_ text: ByteView, _ index: inout Int) -> Int64? {
        var whole: Int64 = 0, hasDigits = false
        while index < text.count, text[index] &- 0x30 <= 9 {
            guard whole <= (.max - 9) / 10 else { return nil }
            whole = whole * 10 + Int64(text[index] - 0x30)
            hasDigits = true
            index += 1
        }
        var fraction: Int64 = 0, scale: Int64 = 1
        if index < text.count, text[index] == UInt8(ascii: ".") {
            index += 1
            while index < text.count, text[index] &- 0x30 <= 9 {
                // More digits than nanoseconds of an hour have do not matter.
                if scale < 100_000_000_000_000 {
                    fraction = fraction * 10 + Int64(text[index] - 0x30)
                    scale *= 10
                }
                hasDigits = true
                index += 1
            }
        }
        guard hasDigits else { return nil }
        let start = index
        while index < text.count, text[index] != UInt8(ascii: "."), text[index] &- 0x30 > 9 { index += 1 }
        let name = ByteView(text.base + start, index - start)
        guard let unit = units.first(where: { name.equals($0.0) })?.1 else { return nil }
        let (scaled, overflows) = whole.multipliedReportingOverflow(by: unit)
        if overflows { return nil }
        let part = Int64(Double(fraction) * (Double(unit) / Double(scale)))
        let (sum, exceeds) = scaled.addingReportingOverflow(part)
        return exceeds ? nil : sum
    }

    static func text(_ ns: Int64) -> String {
        if ns == 0 { return "0s" }
        let magnitude = ns.magnitude, sign = ns < 0 ? "-" : ""
        if magnitude < 1_000 { return "\(sign)\(magnitude)ns" }
        if magnitude < 1_000_000 { return sign + decimal(magnitude, 3) + "µs" }
        if magnitude < 1_000_000_000 { return sign + decimal(magnitude, 6) + "ms" }
        let minutes = magnitude / 60_000_000_000
        let seconds = decimal(magnitude % 60_000_000_000, 9) + "s"
        if minutes == 0 { return sign + seconds }
        let hours = minutes / 60
        return hours == 0 ? "\(sign)\(minutes)m\(seconds)" : "\(sign)\(hours)h\(minutes % 60)m\(seconds)"
    }

    /// A number with so many places behind its point, without zeros at its end.
    private static func decimal(_ value: UInt64, _ places: Int) -> String {
        var scale: UInt64 = 1
        for _ in 0..<places { scale *= 10 }
        let whole = value / scale
        var digits = Array(String(value % scale + scale).utf8.dropFirst())
        while digits.last == UInt8(ascii: "0") { digits.removeLast() }
        return digits.isEmpty ? "\(whole)" : "\(whole).\(String(decoding: digits, as: UTF8.self))"
    }
}
