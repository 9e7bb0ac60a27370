// Six cron fields, and the search for the next second that they all admit.

import Wire

/// Seconds, minutes, hours, days of the month, months, days of the week; lists, ranges, steps and names as nats-server takes
/// them.
struct CronPattern: Equatable {
    private let second: Field
    private let minute: Field
    private let hour: Field
    private let day: Field
    private let month: Field
    private let weekday: Field

    /// The values of a field as bits, and whether a star has admitted them all.
    private struct Field: Equatable {
        var bits: UInt64 = 0
        var isStar = false

        func admits(_ value: Int) -> Bool { value >= 0 && value < 64 && bits >> UInt64(value) & 1 == 1 }
    }

    private static let months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
    private static let weekdays = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
    private static let yearsMax = 5

    /// nil for what is no pattern, or admits nothing.
    init?(_ text: String) {
        let fields = text.split { $0.isWhitespace }
        guard fields.count == 6,
            let second = CronPattern.field(fields[0], 0...59), let minute = CronPattern.field(fields[1], 0...59),
            let hour = CronPattern.field(fields[2], 0...23), let day = CronPattern.field(fields[3], 1...31),
            let month = CronPattern.field(fields[4], 1...12, CronPattern.months),
            let weekday = CronPattern.field(fields[5], 0...6, CronPattern.weekdays)
        else { return nil }
        (self.second, self.minute, self.hour, self.day, self.month, self.weekday) = (second, minute, hour, day, month, weekday)
    }

    /// The next time after a whole second, in nanoseconds; nil where there is none within five years.
    func next(after ns: Int64, in zone: TimeZoneRules) -> Int64? {
        let start = Timestamp.floorDivide(ns, 1_000_000_000) + 1
        var time = zone.civil(start)
        let lastYear = time.year + CronPattern.yearsMax
        // Days are looked for in the calendar, and times of day in the day's real seconds: an hour that a zone skips or repeats
        // is skipped or repeated here, too.
        while time.year <= lastYear {
            if !month.admits(time.month) {
                time = CivilTime(year: time.year, month: time.month + 1, day: 1).normalized
                continue
            }
            if admitsDay(time), let found = firstSecond(of: time, notBefore: start, zone) { return found * 1_000_000_000 }
            time = CivilTime(year: time.year, month: time.month, day: time.day + 1).normalized
        }
        return nil
    }

    /// Both kinds of days have to fit where one is a star, and either will do where both are given.
    private func admitsDay(_ time: CivilTime) -> Bool {
        let fits = (day.admits(time.day), weekday.admits(time.weekday))
        return day.isStar || weekday.isStar ? fits.0 && fits.1 : fits.0 || fits.1
    }

    /// The first second of a day that fits. Walks through the day by its real seconds, in steps as long as what does not fit.
    private func firstSecond(of date: CivilTime, notBefore start: Int64, _ zone: TimeZoneRules) -> Int64? {
        let midnight = CivilTime(year: date.year, month: date.month, day: date.day)
        var instant = max(start, zone.seconds(midnight))
        // A day with a change of the clocks may have 25 hours, or more where a zone has moved.
        let end = instant + 50 * 3600
        while instant < end {
            let time = zone.civil(instant)
            if (time.year, time.month, time.day) != (date.year, date.month, date.day) {
                // Before the day where midnight is skipped, and else after it.
                if time.secondsSince1970 >= midnight.secondsSince1970 { return nil }
                instant += 1
            } else if !hour.admits(time.hour) {
                instant = stepped(instant, by: 3600 - time.minute * 60 - time.second, zone)
            } else if !minute.admits(time.minute) {
                instant = stepped(instant, by: 60 - time.second, zone)
            } else if !second.admits(time.second) {
                instant += 1
            } else {
                return instant
            }
        }
        return nil
    }

    /// Forward by seconds of the clock, or only to where the clocks change meanwhile.
    private func stepped(_ instant: Int64, by seconds: Int, _ zone: TimeZoneRules) -> Int64 {
        let target = instant + Int64(max(1, seconds))
        guard let change = zone.change(after: instant), change < target else { return target }
        return change
    }

    // MARK: Parsing

    private static func field(_ text: Substring, _ range: ClosedRange<Int>, _ names: [String] = []) -> Field? {
        var field = Field()
        for part in text.split(separator: ",") {
            guard let values = values(part, range, names) else { return nil }
            field.bits |= values.bits
            field.isStar = field.isStar || values.isStar
        }
        return field.bits == 0 ? nil : field
    }

    /// `*`, `?`, a value, `low-high`, each perhaps with `/step`; a value with a step goes up to the highest.
    private static func values(_ text: Substring, _ range: ClosedRange<Int>, _ names: [String]) -> Field? {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count <= 2 else { return nil }
        let ends = parts[0].split(separator: "-", omittingEmptySubsequences: false)
        let step = parts.count == 2 ? Int(parts[1]) : 1
        guard let step, step > 0 else { return nil }
        if ends[0] == "*" || ends[0] == "?" { return Field(bits: bits(range, step), isStar: step == 1) }
        guard ends.count <= 2, let low = number(ends[0], range, names) else { return nil }
        var high = low
        if ends.count == 2 {
            guard let end = number(ends[1], range, names) else { return nil }
            high = end
        } else if parts.count == 2 {
            high = range.upperBound
        }
        guard low >= range.lowerBound, high <= range.upperBound, low <= high else { return nil }
        return Field(bits: bits(low...high, step))
    }

    private static func number(_ text: Substring, _ range: ClosedRange<Int>, _ names: [String]) -> Int? {
        if let place = names.firstIndex(of: text.lowercased()) { return place + range.lowerBound }
        guard let number = Int(text), number >= 0 else { return nil }
        return number
    }

    private static func bits(_ range: ClosedRange<Int>, _ step: Int) -> UInt64 {
        var bits: UInt64 = 0
        var value = range.lowerBound
        while value <= range.upperBound {
            bits |= 1 << UInt64(value)
            let (next, overflow) = value.addingReportingOverflow(step)
            if overflow { break }
            value = next
        }
        return bits
    }
}
