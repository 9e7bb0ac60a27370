// A server that bench starts for itself on a free loopback port, and ends.

import CLinux
import Glibc
import Synchronization

/// How to start one kind of server.
struct ServerPlan: Sendable {
    /// What tables call it.
    var name: String
    var path: String
    /// Arguments; `{port}` and `{spin}` are replaced.
    var arguments: [String]

    func filled(port: UInt16, spinUs: Int) -> [String] {
        arguments.map { argument in
            Text.replacing("{spin}", in: Text.replacing("{port}", in: argument, with: "\(port)"), with: "\(spinUs)")
        }
    }
}

/// Plain text replacement, which the standard library leaves to Foundation.
enum Text {
    static func replacing(_ part: String, in text: String, with other: String) -> String {
        var out = ""
        var rest = text[...]
        while let start = rest.firstIndex(of: part.first ?? " ") {
            if rest[start...].hasPrefix(part) {
                out += rest[..<start] + other
                rest = rest[rest.index(start, offsetBy: part.count)...]
            } else {
                out += rest[...start]
                rest = rest[rest.index(after: start)...]
            }
        }
        return out + rest
    }
}

/// Runs until `stop`. One at a time: the signal handler knows of one child.
final class ServerProcess {
    let target: Target
    private(set) var pid: pid_t
    let version: String
    private let command: [String]
    /// Where its output goes: a file without a name, for the message when it dies.
    private let output: Int32
    private var running = true

    private static let startMs = 10_000
    private static let stopMs = 30_000
    /// A server with a large store may take its time.
    private static let restartMs = 120_000

    var probe: ServerProbe { ServerProbe(pid: pid) }

    /// Starts the server and returns when it greets. `more` are arguments beside the plan's.
    init(_ plan: ServerPlan, spinUs: Int = 0, more: [String] = []) throws {
        guard access(plan.path, X_OK) == 0 else {
            throw BenchError.server("\(plan.path): \(BenchError.systemText())")
        }
        var target = Target()
        target.port = try ServerProcess.freePort()
        self.target = target
        output = try ServerProcess.namelessFile()
        command = [plan.path] + plan.filled(port: target.port, spinUs: spinUs) + more
        pid = try ServerProcess.spawn(command, output: output)
        Interrupt.child.store(pid, ordering: .sequentiallyConsistent)
        version = try ServerProcess.greeting(pid, target, command, output, timeoutMs: ServerProcess.startMs)
    }

    /// Returns the version that the server greets with. One that does not greet in time is ended.
    private static func greeting(
        _ pid: pid_t, _ target: Target, _ command: [String], _ output: Int32, timeoutMs: Int
    ) throws -> String {
        let deadline = Clock.nowNs() + UInt64(timeoutMs) * 1_000_000
        while true {
            var status: Int32 = 0
            if waitpid(pid, &status, WNOHANG) == pid {
                Interrupt.child.store(0, ordering: .sequentiallyConsistent)
                let said = tail(of: output)
                close(output)
                throw BenchError.server("\(command.joined(separator: " ")) ended at once: \(said)")
            }
            if let version = try? Connection(target).serverVersion { return version }
            if Clock.nowNs() > deadline {
                kill(pid, SIGKILL)
                waitpid(pid, &status, 0)
                Interrupt.child.store(0, ordering: .sequentiallyConsistent)
                let said = tail(of: output)
                close(output)
                throw BenchError.server("\(command.joined(separator: " ")) does not greet: \(said)")
            }
            Clock.sleep(ms: 2)
        }
    }

    /// Ends the server, politely or with SIGKILL, and starts it again on the same port and store. Returns when it
    /// greets, with the time of the start.
    func restart(kill: Bool) throws -> UInt64 {
        end(kill ? SIGKILL : SIGTERM)
        running = false
        let startNs = Clock.nowNs()
        pid = try ServerProcess.spawn(command, output: output)
        Interrupt.child.store(pid, ordering: .sequentiallyConsistent)
        _ = try ServerProcess.greeting(pid, target, command, output, timeoutMs: ServerProcess.restartMs)
        running = true
        return startNs
    }

    deinit { stop() }

    /// Asks it to end, waits, and insists in the end.
    func stop() {
        guard running else { return }
        running = false
        end(SIGTERM)
        close(output)
    }

    /// Sends the signal and waits until the process is gone.
    private func end(_ number: Int32) {
        var status: Int32 = 0
        kill(pid, number)
        let deadline = Clock.nowNs() + UInt64(ServerProcess.stopMs) * 1_000_000
        while waitpid(pid, &status, WNOHANG) == 0 {
            if Clock.nowNs() > deadline {
                kill(pid, SIGKILL)
                waitpid(pid, &status, 0)
                break
            }
            Clock.sleep(ms: 2)
        }
        Interrupt.child.store(0, ordering: .sequentiallyConsistent)
    }

    /// The end of what it printed: where it says why it died or hung up.
    func lastWords() -> String { ServerProcess.tail(of: output) }

    private static func tail(of output: Int32) -> String {
        lseek(output, 0, SEEK_SET)
        let lines = (Files.read(descriptor: output) ?? "").split(separator: "\n")
        return lines.suffix(5).joined(separator: " | ")
    }

    private static func spawn(_ arguments: [String], output: Int32) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, output, 1)
        posix_spawn_file_actions_adddup2(&actions, output, 2)
        let copies = arguments.map { strdup($0) }
        defer { for copy in copies { free(copy) } }
        var pid: pid_t = 0
        let result = posix_spawn(&pid, arguments[0], &actions, nil, copies + [nil], environ)
        guard result == 0 else {
            throw BenchError.server("\(arguments[0]): \(String(cString: strerror(result)))")
        }
        return pid
    }

    private static func namelessFile() throws -> Int32 {
        var path = Array("/tmp/bench-server-XXXXXX".utf8CString)
        let descriptor = path.withUnsafeMutableBufferPointer { mkstemp($0.baseAddress!) }
        guard descriptor >= 0 else { throw BenchError.file("/tmp: \(BenchError.systemText())") }
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        path.withUnsafeBufferPointer { _ = unlink($0.baseAddress!) }
        return descriptor
    }

    /// A port that nobody had a moment ago.
    private static func freePort() throws -> UInt16 {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw BenchError.server("socket: \(BenchError.systemText())") }
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, size) == 0 && getsockname(descriptor, $0, &size) == 0
            }
        }
        guard bound else { throw BenchError.server("bind: \(BenchError.systemText())") }
        return UInt16(bigEndian: address.sin_port)
    }
}

@available(*, unavailable)
extension ServerProcess: Sendable {}
