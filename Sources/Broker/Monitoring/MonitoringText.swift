// How nats-server spells times and durations on its monitoring pages.

import Glibc

enum MonitoringText {
    /// RFC 3339 in UTC with as many digits as it takes: `2026-11-21T09:24:24.3985Z`.
    static func timestamp(_ wallNs: Int64) -> String {
        var seconds = time_t(wallNs / 1_000_000_000)
        var fields = tm()
        gmtime_r(&seconds, &fields)
        var bytes: [UInt8] = []
        bytes.reserveCapacity(30)
        let parts: [(Int32, Int, String)] = [
            (fields.tm_year + 1900, 4, "-"), (fields.tm_mon + 1, 2, "-"), (fields.tm_mday, 2, "T"), (fields.tm_hour, 2, ":"),
            (fields.tm_min, 2, ":"), (fields.tm_sec, 2, ""),
        ]
        for (number, digits, separator) in parts {
            appendPadded(Int(number), digits: digits, to: &bytes)
            bytes += separator.utf8
        }
        let fraction = Int(wallNs % 1_000_000_000)
        if fraction > 0 {
            bytes.append(UInt8(ascii: "."))
            appendPadded(fraction, digits: 9, to: &bytes)
            while bytes.last == UInt8(ascii: "0") { bytes.removeLast() }
        }
        bytes.append(UInt8(ascii: "Z"))
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Whole seconds in the units that matter: `1d2h3m4s`, `0s`.
    static func uptime(_ ns: Int64) -> String {
        let seconds = max(0, ns / 1_000_000_000)
        let minutes = seconds / 60, hours = minutes / 60, days = hours / 24, years = days / 365
        let short = "\(seconds % 60)s"
        if years > 0 { return "\(years)y\(days % 365)d\(hours % 24)h\(minutes % 60)m\(short)" }
        if days > 0 { return "\(days)d\(hours % 24)h\(minutes % 60)m\(short)" }
        if hours > 0 { return "\(hours)h\(minutes % 60)m\(short)" }
        if minutes > 0 { return "\(minutes)m\(short)" }
        return short
    }

    /// A duration as Go prints it; between a microsecond and a millisecond without the nanoseconds.
    static func roundTrip(_ ns: UInt64) -> String {
        let shown = ns > 1_000 && ns < 1_000_000 ? ns / 1_000 * 1_000 : ns
        return ConfigurationDuration(nanoseconds: Int(clamping: shown)).description
    }
}
