// The machine a table was made on, in a line.

import Glibc

enum Machine {
    /// `2 cores, AMD EPYC, 7.8 GiB, Linux 6.18`.
    static var description: String {
        var name = utsname()
        uname(&name)
        let kernel = withUnsafePointer(to: &name.release) {
            $0.withMemoryRebound(to: CChar.self, capacity: 65) { String(cString: $0) }
        }
        let memory = field("MemTotal", in: "/proc/meminfo").flatMap { Double($0.split(separator: " ")[0]) }
        let model = field("model name", in: "/proc/cpuinfo") ?? "unknown processor"
        return "\(sysconf(Int32(_SC_NPROCESSORS_ONLN))) cores, \(model), "
            + "\(Format.bytes((memory ?? 0) * 1024)), Linux \(kernel)"
    }

    /// The one-minute load average.
    static var load: Double? {
        Files.read("/proc/loadavg")?.split(separator: " ").first.flatMap { Double($0) }
    }

    /// Uses memory once and gives it back. A virtual machine may have to ask its host for each page that it uses for the first
    /// time, or again after the host has taken it back; a server that writes files would pay for that instead of for its work.
    static func touch(bytes: Int) throws {
        guard bytes > 0 else { return }
        let memory = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0)
        guard let memory, memory != MAP_FAILED else {
            throw BenchError.usage("--touch: there are not so many bytes: \(BenchError.systemText())")
        }
        munmap(memory, bytes)
    }

    /// Lifts the soft limit of open files to the hard one; returns what then holds.
    static func raiseFileLimit() -> Int {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        return Int(truncatingIfNeeded: min(limit.rlim_cur, 1 << 30))
    }

    private static func field(_ key: String, in path: String) -> String? {
        for line in (Files.read(path) ?? "").split(separator: "\n") where line.hasPrefix(key) {
            guard let colon = line.firstIndex(of: ":") else { continue }
            return line[line.index(after: colon)...].split(separator: " ").joined(separator: " ")
        }
        return nil
    }
}
