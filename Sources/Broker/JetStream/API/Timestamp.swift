// Times as JetStream's JSON has them, RFC 3339 in UTC with up to nine digits, and the calendar arithmetic behind them.

/// Times are nanoseconds since 1970, which reach from 1678 to 2262; what lies outside is the first or the last of them.
enum Timestamp {
    /// Go's zero time, `0001-01-01T00:00:00Z`, and everything else before 1678.
    static let zero = Int64.min

    /// What is wrong with a text, in the words of Go's time.Parse.
    struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    // MARK: Printing

    static func text(_ ns: Int64) -> String {
        var bytes: [UInt8] = []
        append(ns, to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    static func append(_ ns: Int64, to bytes: inout [UInt8]) {
        if ns == zero {
            bytes += "0001-01-01T00:00:00Z".utf8
            return
        }
        let time = CivilTime(secondsSince1970: floorDivide(ns, 1_000_000_000))
        let parts: [(Int, Int, UInt8)] = [
            (time.year, 4, UInt8(ascii: "-")), (time.month, 2, UInt8(ascii: "-")), (time.day, 2, UInt8(ascii: "T")),
            (time.hour, 2, UInt8(ascii: ":")), (time.minute, 2, UInt8(ascii: ":")), (time.second, 2, UInt8(ascii: ".")),
        ]
        for (number, digits, separator) in parts {
            appendPadded(number, digits, to: &bytes)
            bytes.append(separator)
        }
        let rest = ns % 1_000_000_000
        appendPadded(Int(rest < 0 ? rest + 1_000_000_000 : rest), 9, to: &bytes)
        while bytes.last == UInt8(ascii: "0") { bytes.removeLast() }
        if bytes.last == UInt8(ascii: ".") { bytes.removeLast() }
        bytes.append(UInt8(ascii: "Z"))
    }

    private static func appendPadded(_ number: Int, _ digits: Int, to bytes: inout [UInt8]) {
        let start = bytes.count
        var rest = number
        for _ in 0..<digits {
            bytes.append(UInt8(ascii: "0") + UInt8(rest % 10))
            rest /= 10
        }
        bytes[start...].reverse()
    }

    /// Rounds down, also below zero: times 10^9, the seconds of the lowest values would not fit again.
    static func floorDivide(_ a: Int64, _ b: Int64) -> Int64 {
        let (quotient, remainder) = a.quotientAndRemainder(dividingBy: b)
        return remainder < 0 ? quotient - 1 : quotient
    }

    // MARK: Parsing

    /// Reads RFC 3339 with any offset, as Go's strict reading of JSON times.
    static func parse(_ text: String) throws(Failure) -> Int64 {
        var reader = Reader(text: text)
        let year = try reader.number(4, "2006")
        try reader.literal("-")
        let month = try reader.number(2, "01")
        if month < 1 || month > 12 { throw reader.outOfRange("month") }
        try reader.literal("-")
        let day = try reader.number(2, "02")
        try reader.literal("T")
        let hour = try reader.hour()
        if hour > 23 { throw reader.outOfRange("hour") }
        try reader.literal(":")
        let minute = try reader.number(2, "04")
        if minute > 59 { throw reader.outOfRange("minute") }
        try reader.literal(":")
        let second = try reader.number(2, "05")
        if second > 59 { throw reader.outOfRange("second") }
        let nanoseconds = reader.fraction()
        let offset = try reader.offset()
        if !reader.isAtEnd { throw reader.extra() }
        if day < 1 || day > CivilTime.daysIn(month: month, year: year) { throw reader.outOfRange("day") }
        let seconds =
            CivilTime(year: year, month: month, day: day, hour: hour, minute: minute, second: second)
            .secondsSince1970 - Int64(offset)
        let (scaled, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        if overflow { return seconds < 0 ? zero : .max }
        let (total, overflowed) = scaled.addingReportingOverflow(Int64(nanoseconds))
        return overflowed ? .max : total
    }

    private struct Reader {
        let text: String
        var rest: Substring.UTF8View

        init(text: String) {
            self.text = text
            rest = text.utf8[...]
        }

        var isAtEnd: Bool { rest.isEmpty }

        func failure(_ element: String) -> Failure {
            Failure(
                description: "parsing time \(goQuoted(text)) as \"2006-01-02T15:04:05Z07:00\": "
                    + "cannot parse \(goQuoted(String(Substring(rest)))) as \(goQuoted(element))")
        }
        func outOfRange(_ what: String) -> Failure {
            Failure(description: "parsing time \(goQuoted(text)): \(what) out of range")
        }
        func extra() -> Failure {
            Failure(description: "parsing time \(goQuoted(text)): extra text: \(goQuoted(String(Substring(rest))))")
        }

        private func digit(at place: Int) -> Int? {
            guard let index = rest.index(rest.startIndex, offsetBy: place, limitedBy: rest.endIndex), index < rest.endIndex,
                case UInt8(ascii: "0")...UInt8(ascii: "9") = rest[index]
            else { return nil }
            return Int(rest[index] - UInt8(ascii: "0"))
        }

        mutating func number(_ digits: Int, _ element: String) throws(Failure) -> Int {
            var value = 0
            for place in 0..<digits {
                guard let digit = digit(at: place) else { throw failure(element) }
                value = value * 10 + digit
            }
            rest = rest.dropFirst(digits)
            return value
        }

        mutating func literal(_ mark: Character) throws(Failure) {
            guard let byte = rest.first, byte == mark.asciiValue else { throw failure(String(mark)) }
            rest = rest.dropFirst()
        }

        /// One digit will do, as in Go.
        mutating func hour() throws(Failure) -> Int { try number(digit(at: 1) == nil ? 1 : 2, "15") }

        /// A point (Go takes a comma, too) and digits, of which nine count.
        mutating func fraction() -> Int {
            guard let mark = rest.first, mark == UInt8(ascii: ".") || mark == UInt8(ascii: ","), digit(at: 1) != nil else {
                return 0
            }
            rest = rest.dropFirst()
            var value = 0
            var scale = 100_000_000
            while let digit = digit(at: 0) {
                value += digit * scale
                scale /= 10
                rest = rest.dropFirst()
            }
            return value
        }

        /// `Z` or `+hh:mm`, in seconds east of Greenwich.
        mutating func offset() throws(Failure) -> Int {
            guard let mark = rest.first else { throw failure("Z07:00") }
            if mark == UInt8(ascii: "Z") {
                rest = rest.dropFirst()
                return 0
            }
            let colon = rest.index(rest.startIndex, offsetBy: 3, limitedBy: rest.endIndex) ?? rest.endIndex
            guard mark == UInt8(ascii: "+") || mark == UInt8(ascii: "-"), colon < rest.endIndex,
                rest[colon] == UInt8(ascii: ":"),
                let h1 = digit(at: 1), let h2 = digit(at: 2), let m1 = digit(at: 4), let m2 = digit(at: 5)
            else { throw failure("Z07:00") }
            let hours = h1 * 10 + h2, minutes = m1 * 10 + m2
            if hours > 24 { throw outOfRange("time zone offset hour") }
            if minutes > 60 { throw outOfRange("time zone offset minute") }
            rest = rest.dropFirst(6)
            return (hours * 3600 + minutes * 60) * (mark == UInt8(ascii: "-") ? -1 : 1)
        }
    }
}
