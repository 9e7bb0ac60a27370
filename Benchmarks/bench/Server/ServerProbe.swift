// What a server costs, read from outside: its processor time, its memory, and what else the machine was doing.

import Glibc

/// Reads one process. Every method returns nil once the process is gone, or for a server on another machine.
struct ServerProbe: Sendable {
    let pid: pid_t

    /// Processor time used so far by all threads, dead ones included, in nanoseconds.
    var cpuNs: UInt64? {
        var clock = clockid_t()
        guard clock_getcpuclockid(pid, &clock) == 0 else { return nil }
        let time = Clock.read(clock)
        return time == 0 ? nil : time
    }

    /// Resident memory in bytes.
    var rssBytes: Double? { statusKiB("VmRSS:").map { $0 * 1024 } }

    /// The most that was ever resident, in bytes.
    var rssPeakBytes: Double? { statusKiB("VmHWM:").map { $0 * 1024 } }

    private func statusKiB(_ key: String) -> Double? {
        guard let text = Files.read("/proc/\(pid)/status") else { return nil }
        for line in text.split(separator: "\n") where line.hasPrefix(key) {
            return line.split(whereSeparator: { $0 == " " || $0 == "\t" }).dropFirst().first.flatMap { Double($0) }
        }
        return nil
    }

    /// The process that listens on a port of this machine; nil if it is none of ours to see.
    static func listening(on port: UInt16) -> ServerProbe? {
        let hex = String(port, radix: 16, uppercase: true)
        let suffix = ":" + String(repeating: "0", count: 4 - hex.count) + hex
        var inode: Substring?
        for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
            for line in (Files.read(table) ?? "").split(separator: "\n").dropFirst() {
                let fields = line.split(separator: " ")
                if fields.count > 9, fields[1].hasSuffix(suffix), fields[3] == "0A" { inode = fields[9] }
            }
        }
        guard let inode else { return nil }
        for entry in names(in: "/proc") {
            guard let pid = pid_t(entry) else { continue }
            for descriptor in names(in: "/proc/\(entry)/fd")
            where link("/proc/\(entry)/fd/\(descriptor)") == "socket:[\(inode)]" {
                return ServerProbe(pid: pid)
            }
        }
        return nil
    }

    private static func names(in path: String) -> [String] {
        guard let directory = opendir(path) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            names.append(
                withUnsafePointer(to: &entry.pointee.d_name) {
                    $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                })
        }
        return names
    }

    private static func link(_ path: String) -> String? {
        var bytes = [UInt8](repeating: 0, count: 256)
        let count = bytes.withUnsafeMutableBytes {
            readlink(path, $0.baseAddress!.assumingMemoryBound(to: CChar.self), $0.count)
        }
        return count > 0 ? String(decoding: bytes[0..<count], as: UTF8.self) : nil
    }
}

/// The processor time around one phase: the server's, this client's, and everybody else's.
struct CostMeter: Sendable {
    private let probe: ServerProbe?
    private let serverNs: UInt64?
    private let clientNs: UInt64
    private let machineNs: UInt64?
    private let startNs: UInt64

    /// Starts to count.
    init(_ probe: ServerProbe?) {
        self.probe = probe
        serverNs = probe?.cpuNs
        clientNs = Clock.processCPUNs()
        machineNs = CostMeter.machineBusyNs()
        startNs = Clock.nowNs()
    }

    /// What has been used since the start. `others` is in cores, to within the kernel's 10 ms ticks: a measure of noise.
    func read() -> (serverSeconds: Double?, clientSeconds: Double, others: Double?) {
        let wall = Double(Clock.nowNs() - startNs)
        let client = Double(Clock.processCPUNs() - clientNs)
        var server: Double?
        if let before = serverNs, let after = probe?.cpuNs { server = Double(after - before) }
        var others: Double?
        if let before = machineNs, let after = CostMeter.machineBusyNs(), let server {
            others = max(0, (Double(after - before) - client - server) / wall)
        }
        return (server.map { $0 / 1e9 }, client / 1e9, others)
    }

    /// Busy time of all processors since boot; guests and waiting do not count.
    private static func machineBusyNs() -> UInt64? {
        guard let line = Files.read("/proc/stat")?.split(separator: "\n").first else { return nil }
        let ticks = line.split(separator: " ").dropFirst().compactMap { UInt64($0) }
        guard ticks.count >= 8 else { return nil }
        // user nice system idle iowait irq softirq steal
        let busy = ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6] + ticks[7]
        return busy * (1_000_000_000 / UInt64(max(1, sysconf(Int32(_SC_CLK_TCK)))))
    }
}
