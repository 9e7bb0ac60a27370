// The rule at the end of a time zone file, `CET-1CEST,M3.5.0,M10.5.0/3`: which offset holds in the years to come.

/// POSIX's TZ string with RFC 8536's extensions: standard time, and summer time between two days of each year.
struct PosixZoneRule: Equatable, Sendable {
    private let standardOffset: Int
    private let summer: Summer?

    private struct Summer: Equatable, Sendable {
        var offset: Int
        var start: YearDay
        var end: YearDay
    }

    /// A day of the year and a time of that day, which may be negative or beyond the day.
    private struct YearDay: Equatable, Sendable {
        enum Day: Equatable, Sendable {
            /// `J60`: 1 to 365, never the 29th of February.
            case julian(Int)
            /// `60`: 0 to 365.
            case zeroBased(Int)
            /// `M3.5.0`: month, week (5 is the last), weekday from Sunday.
            case weekday(month: Int, week: Int, day: Int)
        }
        var day: Day
        var seconds: Int

        /// In seconds since 1970 of the local clock.
        func seconds(in year: Int) -> Int64 {
            let date: CivilTime
            switch day {
            case .julian(let number):
                let isLeap = CivilTime.daysIn(month: 2, year: year) == 29
                date = CivilTime(year: year, month: 1, day: number + (isLeap && number >= 60 ? 1 : 0))
            case .zeroBased(let number): date = CivilTime(year: year, month: 1, day: number + 1)
            case .weekday(let month, let week, let day):
                let first = CivilTime(year: year, month: month, day: 1)
                var number = 1 + (day - first.weekday + 7) % 7 + (week - 1) * 7
                while number > CivilTime.daysIn(month: month, year: year) { number -= 7 }
                date = CivilTime(year: year, month: month, day: number)
            }
            return date.secondsSince1970 + Int64(seconds)
        }
    }

    func offset(at time: Int64) -> Int {
        guard let summer else { return standardOffset }
        let year = CivilTime(secondsSince1970: time + Int64(standardOffset)).year
        let start = summer.start.seconds(in: year) - Int64(standardOffset)
        let end = summer.end.seconds(in: year) - Int64(summer.offset)
        // In the south summer begins late in the year and ends early.
        let isSummer = start < end ? time >= start && time < end : time >= start || time < end
        return isSummer ? summer.offset : standardOffset
    }

    /// nil for what is no rule.
    init?(_ text: String) {
        var reader = Reader(rest: Array(text.utf8)[...])
        guard reader.name(), let west = reader.time() else { return nil }
        standardOffset = -west
        if reader.rest.isEmpty {
            summer = nil
            return
        }
        guard reader.name() else { return nil }
        var offset = standardOffset + 3600
        if reader.rest.first != UInt8(ascii: ",") {
            guard let west = reader.time() else { return nil }
            offset = -west
        }
        guard let start = reader.yearDay(), let end = reader.yearDay(), reader.rest.isEmpty else { return nil }
        summer = Summer(offset: offset, start: start, end: end)
    }

    private struct Reader {
        var rest: ArraySlice<UInt8>

        mutating func take(_ character: Unicode.Scalar) -> Bool {
            guard rest.first == UInt8(ascii: character) else { return false }
            rest.removeFirst()
            return true
        }

        /// Letters, or anything in angle brackets.
        mutating func name() -> Bool {
            if take("<") {
                guard let end = rest.firstIndex(of: UInt8(ascii: ">")) else { return false }
                rest = rest[(end + 1)...]
                return true
            }
            let count = rest.prefix { $0 | 0x20 >= UInt8(ascii: "a") && $0 | 0x20 <= UInt8(ascii: "z") }.count
            rest = rest.dropFirst(count)
            return count >= 3
        }

        mutating func number(upTo most: Int) -> Int? {
            let digits = rest.prefix { $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }
            guard !digits.isEmpty, digits.count <= 3 else { return nil }
            rest = rest.dropFirst(digits.count)
            let value = digits.reduce(0) { $0 * 10 + Int($1 - UInt8(ascii: "0")) }
            return value <= most ? value : nil
        }

        /// `[+-]hh[:mm[:ss]]` in seconds.
        mutating func time() -> Int? {
            let isNegative = take("-")
            if !isNegative { _ = take("+") }
            guard let hours = number(upTo: 167) else { return nil }
            var seconds = hours * 3600
            for unit in [60, 1] where take(":") {
                guard let part = number(upTo: 59) else { return nil }
                seconds += part * unit
            }
            return isNegative ? -seconds : seconds
        }

        mutating func yearDay() -> YearDay? {
            guard take(",") else { return nil }
            let day: YearDay.Day
            if take("J") {
                guard let number = number(upTo: 365), number >= 1 else { return nil }
                day = .julian(number)
            } else if take("M") {
                guard let month = number(upTo: 12), month >= 1, take("."), let week = number(upTo: 5), week >= 1, take("."),
                    let weekday = number(upTo: 6)
                else { return nil }
                day = .weekday(month: month, week: week, day: weekday)
            } else {
                guard let number = number(upTo: 365) else { return nil }
                day = .zeroBased(number)
            }
            guard take("/") else { return YearDay(day: day, seconds: 7200) }
            guard let seconds = time() else { return nil }
            return YearDay(day: day, seconds: seconds)
        }
    }
}
