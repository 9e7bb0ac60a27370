// `--signal`: sends a running broker the signal that a command stands for.

import Glibc

enum ProcessSignal {
    static let commands: [String: Int32] = [
        "stop": SIGKILL, "quit": SIGINT, "term": SIGTERM, "reopen": SIGUSR1, "reload": SIGHUP, "ldm": SIGUSR2,
    ]

    /// Carries out `command`, `command=PID` or `command=PIDFILE`. Without a process it must be the only one of its name.
    static func send(_ request: String, program: String) throws(ConfigurationError) {
        let parts = request.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard let signal = commands[parts[0]] else {
            throw ConfigurationError("unknown signal \(goQuoted(parts[0]))")
        }
        let process = parts.count > 1 && !parts[1].isEmpty ? try processID(parts[1]) : try onlyProcess(named: program)
        if kill(process, signal) != 0 {
            throw ConfigurationError("signal \(goQuoted(parts[0])) \(process): \(systemMessage(errno))")
        }
    }

    /// A process by its number, or by a file that holds its number.
    static func processID(_ text: String) throws(ConfigurationError) -> pid_t {
        if let number = pid_t(text) {
            // 0 and negative numbers would reach whole process groups.
            if number > 0 { return number }
            throw ConfigurationError("invalid pid: \(text)")
        }
        guard let content = try? ConfigurationLoader.readFile(text),
            let number = pid_t(String(decoding: content, as: UTF8.self).filter { !$0.isWhitespace }), number > 0
        else { throw ConfigurationError("invalid pid: \(text)") }
        return number
    }

    private static func onlyProcess(named program: String) throws(ConfigurationError) -> pid_t {
        let processes = running(program)
        if processes.isEmpty { throw ConfigurationError("no \(program) processes running") }
        if processes.count > 1 {
            let list = processes.map { "\n\($0)" }.joined()
            throw ConfigurationError("multiple \(program) processes running:\(list)")
        }
        return processes[0]
    }

    /// The processes whose name, as the kernel keeps it (15 bytes), is this program's; without this very one.
    private static func running(_ program: String) -> [pid_t] {
        let wanted = Array(program.utf8.prefix(15))
        var processes: [pid_t] = []
        for name in FilePath.names(in: "/proc") {
            guard let process = pid_t(name), process != getpid(),
                let content = try? ConfigurationLoader.readFile("/proc/\(name)/comm")
            else { continue }
            if content.prefix(while: { $0 != UInt8(ascii: "\n") }).elementsEqual(wanted) { processes.append(process) }
        }
        return processes.sorted()
    }
}
