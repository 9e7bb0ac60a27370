// Numbers as people read them.

enum Format {
    /// `value` with exactly `digits` decimals.
    static func fixed(_ value: Double, _ digits: Int) -> String {
        guard value.isFinite else { return "-" }
        var scale = 1.0
        for _ in 0..<digits { scale *= 10 }
        let scaled = (value.magnitude * scale).rounded()
        guard scaled < 9e18 else { return "\(value)" }
        let whole = Int(scaled)
        let sign = value < 0 && whole > 0 ? "-" : ""
        if digits == 0 { return sign + "\(whole)" }
        let unit = Int(scale)
        let fraction = String(whole % unit)
        return sign + "\(whole / unit)." + String(repeating: "0", count: digits - fraction.count) + fraction
    }

    /// Three significant digits or so: `1.23`, `12.3`, `123`.
    static func short(_ value: Double) -> String {
        let size = value.magnitude
        if size >= 100 { return fixed(value, 0) }
        if size >= 10 { return fixed(value, 1) }
        if size >= 1 || size == 0 { return fixed(value, 2) }
        return fixed(value, 3)
    }

    /// A rate or count with a K, M or G.
    static func count(_ value: Double) -> String {
        switch value.magnitude {
        case 1e9...: return short(value / 1e9) + "G"
        case 1e6...: return short(value / 1e6) + "M"
        case 1e4...: return short(value / 1e3) + "K"
        default: return fixed(value, 0)
        }
    }

    /// Bytes with a binary unit.
    static func bytes(_ value: Double) -> String {
        switch value.magnitude {
        case 1_073_741_824...: return short(value / 1_073_741_824) + " GiB"
        case 1_048_576...: return short(value / 1_048_576) + " MiB"
        case 1024...: return short(value / 1024) + " KiB"
        default: return fixed(value, 0) + " B"
        }
    }

    /// A duration in nanoseconds, as ns, µs, ms or s.
    static func duration(ns: Double) -> String {
        switch ns.magnitude {
        case 1e9...: return short(ns / 1e9) + " s"
        case 1e6...: return short(ns / 1e6) + " ms"
        case 1e3...: return short(ns / 1e3) + " µs"
        default: return fixed(ns, 0) + " ns"
        }
    }

    /// `text` padded with spaces to `width` characters; negative widths align to the right.
    static func padded(_ text: String, _ width: Int) -> String {
        let missing = width.magnitude > text.count ? Int(width.magnitude) - text.count : 0
        let space = String(repeating: " ", count: missing)
        return width < 0 ? space + text : text + space
    }
}
