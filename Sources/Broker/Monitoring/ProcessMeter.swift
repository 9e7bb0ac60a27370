// What the process uses of the machine.

import Glibc
import Reactor

/// Figures of one moment.
struct ProcessFigures: Sendable {
    /// Resident memory.
    var memoryBytes: Int
    /// Of one core, so two busy loops make 200.
    var cpuPercent: Double
    var cpuSeconds: Double
}

/// Reads the process's figures; the share of the processor is that of the time since the last reading but one second ago
/// at least, so that readers who ask often do not see noise.
struct ProcessMeter {
    private static let periodNs: UInt64 = 1_000_000_000
    private var sinceNs: UInt64
    private var cpuNsBefore: UInt64 = 0
    private var cpuPercent = 0.0

    init(startedNs: UInt64) { sinceNs = startedNs }

    mutating func read() -> ProcessFigures {
        let now = Clock.monotonicNs()
        let cpuNs = ProcessMeter.cpuNs()
        let passed = now &- sinceNs
        if passed >= ProcessMeter.periodNs {
            cpuPercent = (Double(cpuNs &- cpuNsBefore) / Double(passed) * 1_000).rounded() / 10
            sinceNs = now
            cpuNsBefore = cpuNs
        }
        return ProcessFigures(
            memoryBytes: ProcessMeter.residentBytes(), cpuPercent: cpuPercent, cpuSeconds: Double(cpuNs) / 1e9)
    }

    private static func cpuNs() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
    }

    /// The second number of /proc/self/statm, in pages. The kernel makes it up on the spot: no disk is involved.
    private static func residentBytes() -> Int {
        let descriptor = open("/proc/self/statm", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return 0 }
        defer { close(descriptor) }
        var text = [UInt8](repeating: 0, count: 128)
        let count = Glibc.read(descriptor, &text, text.count)
        let words = text.prefix(max(0, count)).split(separator: 0x20)
        guard words.count > 1, let pages = Int(String(decoding: words[1], as: UTF8.self)) else { return 0 }
        return pages * sysconf(Int32(_SC_PAGESIZE))
    }
}
