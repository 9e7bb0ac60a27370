// Calendar dates and times of day without a time zone, and their seconds since 1970.

/// A point in the (proleptic) Gregorian calendar. Fields beyond their range carry over, as in Go's time.Date: the 32nd of January
/// is the first of February.
struct CivilTime: Equatable {
    var year: Int
    var month: Int
    var day: Int
    var hour = 0
    var minute = 0
    var second = 0

    init(year: Int, month: Int, day: Int, hour: Int = 0, minute: Int = 0, second: Int = 0) {
        self.year = year
        self.month = month
        self.day = day
        self.hour = hour
        self.minute = minute
        self.second = second
    }

    /// Any seconds that a time in nanoseconds can have, and more.
    init(secondsSince1970 seconds: Int64) {
        let days = Timestamp.floorDivide(seconds, 86_400)
        let ofDay = Int(seconds - days * 86_400)
        (hour, minute, second) = (ofDay / 3600, ofDay / 60 % 60, ofDay % 60)
        // Counted from the first of March of the year 0, so that the leap day is a year's last and 400 years repeat exactly.
        let shifted = days + 719_468
        let era = Timestamp.floorDivide(shifted, 146_097)
        let dayOfEra = Int(shifted - era * 146_097)
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let marchMonth = (5 * dayOfYear + 2) / 153
        day = dayOfYear - (153 * marchMonth + 2) / 5 + 1
        month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
        year = yearOfEra + Int(era) * 400 + (month <= 2 ? 1 : 0)
    }

    var secondsSince1970: Int64 {
        days * 86_400 + Int64(hour) * 3600 + Int64(minute) * 60 + Int64(second)
    }

    /// 0 is Sunday.
    var weekday: Int {
        let days = Timestamp.floorDivide(secondsSince1970, 86_400)
        return Int(days + 4 - Timestamp.floorDivide(days + 4, 7) * 7)
    }

    /// The same point with every field in its range.
    var normalized: CivilTime { CivilTime(secondsSince1970: secondsSince1970) }

    private var days: Int64 {
        let years = Int64(year) + Timestamp.floorDivide(Int64(month) - 1, 12)
        let monthOfYear = Int64(month) - 1 - Timestamp.floorDivide(Int64(month) - 1, 12) * 12 + 1
        let marchYear = monthOfYear <= 2 ? years - 1 : years
        let era = Timestamp.floorDivide(marchYear, 400)
        let yearOfEra = marchYear - era * 400
        let dayOfYear = (153 * (monthOfYear > 2 ? monthOfYear - 3 : monthOfYear + 9) + 2) / 5 + Int64(day) - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    /// The month is from 1 to 12.
    static func daysIn(month: Int, year: Int) -> Int {
        switch month {
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }
}
