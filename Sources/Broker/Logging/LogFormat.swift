// The bytes of a log line: `[pid] 2026/11/21 06:27:01.469826 [INF] text`, as nats-server writes them and as tools
// that wait for "Server is ready" read them.

import Glibc

/// How serious a line is.
public enum LogLevel: String, Sendable {
    case info = "INF"
    case warning = "WRN"
    case error = "ERR"
    case debug = "DBG"
    case trace = "TRC"
    case fatal = "FTL"

    /// syslog(3)'s priority, as nats-server assigns them.
    var syslogPriority: Int32 {
        switch self {
        case .info, .trace: LOG_NOTICE
        case .warning: LOG_WARNING
        case .error: LOG_ERR
        case .debug: LOG_DEBUG
        case .fatal: LOG_CRIT
        }
    }
}

/// A moment of the wall clock, broken down.
struct LogTime: Equatable {
    var year = 1970, month = 1, day = 1, hour = 0, minute = 0, second = 0, nanosecond = 0

    static func now(utc: Bool) -> LogTime {
        var clock = timespec()
        clock_gettime(CLOCK_REALTIME, &clock)
        var fields = tm()
        var seconds = clock.tv_sec
        if utc { gmtime_r(&seconds, &fields) } else { localtime_r(&seconds, &fields) }
        return LogTime(
            year: Int(fields.tm_year) + 1900, month: Int(fields.tm_mon) + 1, day: Int(fields.tm_mday),
            hour: Int(fields.tm_hour), minute: Int(fields.tm_min), second: Int(fields.tm_sec), nanosecond: clock.tv_nsec)
    }

    /// `2026.11.21.06.27.01.469826123`, the ending of a file that rotation has put aside.
    var backupSuffix: String {
        var bytes: [UInt8] = []
        for (index, field) in [year, month, day, hour, minute, second].enumerated() {
            appendPadded(field, digits: index == 0 ? 4 : 2, to: &bytes)
            bytes.append(UInt8(ascii: "."))
        }
        appendPadded(nanosecond, digits: 9, to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }
}

func appendPadded(_ number: Int, digits: Int, to bytes: inout [UInt8]) {
    let text = String(number).utf8
    for _ in 0..<max(0, digits - text.count) { bytes.append(UInt8(ascii: "0")) }
    bytes += text
}

enum LogFormat {
    /// One line with its newline. Newlines within the text are escaped, so that nobody can forge a line of the log.
    static func line(_ level: LogLevel, _ text: String, processID: pid_t, time: LogTime?) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.utf8.count + 48)
        bytes.append(UInt8(ascii: "["))
        bytes += String(processID).utf8
        bytes += "] ".utf8
        if let time {
            for (field, digits, separator) in [
                (time.year, 4, "/"), (time.month, 2, "/"), (time.day, 2, " "), (time.hour, 2, ":"), (time.minute, 2, ":"),
                (time.second, 2, "."), (time.nanosecond / 1000, 6, " "),
            ] {
                appendPadded(field, digits: digits, to: &bytes)
                bytes += separator.utf8
            }
        }
        bytes.append(UInt8(ascii: "["))
        bytes += level.rawValue.utf8
        bytes += "] ".utf8
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\n"): bytes += "\\n".utf8
            case UInt8(ascii: "\r"): bytes += "\\r".utf8
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\n"))
        return bytes
    }
}
