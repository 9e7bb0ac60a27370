// Time as the loops see it: monotonic nanoseconds for deadlines, wall time for what people and disks read.

import Glibc

public enum Clock {
    /// Nanoseconds since boot. Never goes back; not comparable between machines.
    @inline(__always)
    public static func monotonicNs() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
    }

    /// Nanoseconds since 1970 in UTC.
    public static func wallNs() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec)
    }
}

extension UInt64 {
    /// Milliseconds as nanoseconds, for deadlines; saturates.
    public static func ms(_ milliseconds: Int) -> UInt64 {
        let (value, overflow) = UInt64(Swift.max(0, milliseconds)).multipliedReportingOverflow(by: 1_000_000)
        return overflow ? UInt64.max / 2 : value
    }
}
