// Says when a schedule fires next: once at a time, at an interval, or by a cron pattern in a time zone (ADR-51).

import Wire

/// The value of `Nats-Schedule`: `@at 2026-11-21T10:00:00Z`, `@every 5m`, six cron fields (seconds first), or one of
/// `@yearly @annually @monthly @weekly @daily @midnight @hourly`.
enum MessageSchedule {
    enum Failure: Error, Equatable { case pattern, timeZone }

    /// - Parameters:
    ///   - timeZone: an IANA name, for cron patterns only; empty is UTC.
    ///   - after: the time of the schedule, or of its last firing.
    ///   - now: repeats that were missed by now fire once, and go on from here.
    /// - Returns: when it fires, which for `@at` may be in the past, and whether it goes on after that.
    static func next(
        _ pattern: String, timeZone: String, after: Int64, now: Int64
    ) throws(Failure) -> (dueNs: Int64, repeats: Bool) {
        let zone = timeZone.isEmpty ? TimeZoneRules.utc : TimeZoneRules.named(timeZone)
        guard let zone else { throw .timeZone }
        if pattern.hasPrefix("@at ") {
            guard timeZone.isEmpty, let time = try? Timestamp.parse(String(pattern.dropFirst(4))) else { throw .pattern }
            return (time, false)
        }
        if pattern.hasPrefix("@every ") {
            guard timeZone.isEmpty, let interval = try? ConfigurationDuration(String(pattern.dropFirst(7))),
                interval.nanoseconds >= 1_000_000_000
            else { throw .pattern }
            let next = secondNearest(after).addingSaturated(Int64(interval.nanoseconds))
            return (next >= now ? next : secondNearest(now).addingSaturated(Int64(interval.nanoseconds)), true)
        }
        guard let cron = CronPattern(named[pattern] ?? pattern) else { throw .pattern }
        guard let next = cron.next(after: secondNearest(after), in: zone) else { throw .pattern }
        if next >= now { return (next, true) }
        guard let later = cron.next(after: secondNearest(now), in: zone) else { throw .pattern }
        return (later, true)
    }

    private static let named = [
        "@yearly": "0 0 0 1 1 *", "@annually": "0 0 0 1 1 *", "@monthly": "0 0 0 1 * *", "@weekly": "0 0 0 * * 0",
        "@daily": "0 0 0 * * *", "@midnight": "0 0 0 * * *", "@hourly": "0 0 * * * *",
    ]

    /// A whole second, half a one rounded up. Times that far from now are none, so that nothing overflows.
    private static func secondNearest(_ ns: Int64) -> Int64 {
        let bounded = min(max(ns, -(1 << 62)), 1 << 62)
        return Timestamp.floorDivide(bounded + 500_000_000, 1_000_000_000) * 1_000_000_000
    }
}
