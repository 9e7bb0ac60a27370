// The clocks: monotonic time for durations, processor time for this process.

import Glibc

enum Clock {
    /// Monotonic time in nanoseconds.
    @inline(__always)
    static func nowNs() -> UInt64 { read(CLOCK_MONOTONIC) }

    /// Processor time that this process has used, in nanoseconds.
    static func processCPUNs() -> UInt64 { read(CLOCK_PROCESS_CPUTIME_ID) }

    /// Reads any clock of the system, in nanoseconds; 0 if it does not exist.
    @inline(__always)
    static func read(_ id: clockid_t) -> UInt64 {
        var time = timespec()
        guard clock_gettime(id, &time) == 0 else { return 0 }
        return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
    }

    /// Sleeps; a signal may end it early.
    static func sleep(ms: Int) {
        var time = timespec(tv_sec: ms / 1000, tv_nsec: (ms % 1000) * 1_000_000)
        nanosleep(&time, nil)
    }

    /// The time of day as `2026-08-01T12:34:56Z`.
    static func timestamp() -> String {
        var seconds = time(nil)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        func two(_ value: Int32) -> String { value < 10 ? "0\(value)" : "\(value)" }
        return "\(parts.tm_year + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday))"
            + "T\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec))Z"
    }
}
