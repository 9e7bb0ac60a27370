// One client connection to a NATS server: the handshake, and line-wise talk while nothing is being measured.

import CLinux
import Glibc

/// Handshake and set-up are synchronous with a time limit; during a run the workloads use `socket` themselves.
final class Connection {
    let socket: Socket
    let target: Target
    /// The server's INFO, as it greeted.
    private(set) var info = JSON.null
    /// Received but not yet read as lines. Handed to the workload with `takeUnread`.
    private var unread: [UInt8] = []
    /// The last `-ERR` the server sent, for the message when it then hangs up.
    private(set) var lastError: String?

    /// How long a server may take to answer during set-up.
    static let answerMs = 10_000

    /// Connects and shakes hands: INFO, CONNECT, PING, PONG. Throws what the server refused with.
    init(_ target: Target, echo: Bool = true) throws {
        self.target = target
        socket = try Socket(host: target.host, port: target.port)
        try shakeHands(echo: echo)
    }

    /// For many connections at a time: starts to connect only; `shakeHands` does the rest.
    init(starting target: Target) throws {
        self.target = target
        socket = try Socket(host: target.host, port: target.port)
    }

    func shakeHands(echo: Bool = true) throws {
        guard socket.wait(for: Int32(POLLOUT), timeoutMs: Connection.answerMs) else {
            throw BenchError.connection("\(target.address) does not answer")
        }
        let failure = socket.pendingError()
        guard failure == 0 else {
            throw BenchError.connection("\(target.address): \(String(cString: strerror(failure))); is the server up?")
        }
        let greeting = try readLine()
        guard greeting.hasPrefix("INFO "), let parsed = JSON(parsing: String(greeting.dropFirst(5))) else {
            throw BenchError.connection("\(target.address) does not greet with INFO: \(greeting.prefix(80))")
        }
        info = parsed
        if info["tls_required"]?.bool == true {
            throw BenchError.refused("\(target.address) requires TLS, which bench does not speak")
        }
        if info["auth_required"]?.bool == true && target.user == nil && target.token == nil {
            throw BenchError.refused("\(target.address) requires credentials: give --user and --pass, or --token")
        }
        try say(target.connectLine(echo: echo))
        try settle()
    }

    /// The largest payload that the server takes; 0 when it does not say.
    var payloadBytesMax: Int { Int(info["max_payload"]?.number ?? 0) }

    /// `nats-server 2.15.1` or the like: what the server calls its version.
    var serverVersion: String { info["version"]?.string ?? "unknown" }

    /// Sends all of `text`, waiting as need be.
    func say(_ text: String) throws {
        try say(Array(text.utf8))
    }

    func say(_ bytes: [UInt8]) throws {
        var done = 0
        while done < bytes.count {
            let result = bytes.withUnsafeBufferPointer { socket.send($0.baseAddress! + done, $0.count - done) }
            switch result {
            case .bytes(let count): done += count
            case .wouldBlock:
                // A server that answers while we write must be read, or both sides wait for ever.
                try takeWhatIsThere()
                guard socket.wait(for: Int32(POLLOUT | POLLIN), timeoutMs: Connection.answerMs) else {
                    throw BenchError.stalled("\(target.address) takes no bytes")
                }
            case .closed: throw brokenError()
            }
        }
    }

    /// PING, and everything up to its PONG: whatever was sent before has taken effect. An `-ERR` is thrown.
    func settle() throws {
        try say("PING\r\n")
        while true {
            let line = try readLine()
            if line == "PONG" { return }
            if line == "PING" {
                try say("PONG\r\n")
                continue
            }
            if line.hasPrefix("-ERR") { throw BenchError.refused("\(target.address): \(line.dropFirst(5))") }
            guard line.hasPrefix("INFO") || line.hasPrefix("+OK") else {
                throw BenchError.mismatch("expected PONG, got: \(line.prefix(80))")
            }
        }
    }

    /// The next line without its end.
    func readLine() throws -> String {
        while true {
            if let end = unread.firstIndex(of: 10) {
                let stop = end > 0 && unread[end - 1] == 13 ? end - 1 : end
                var line = String(decoding: unread[0..<stop], as: UTF8.self)
                while line.last == " " { line.removeLast() }
                unread.removeFirst(end + 1)
                if line.hasPrefix("-ERR") { lastError = line }
                return line
            }
            guard socket.wait(for: Int32(POLLIN), timeoutMs: Connection.answerMs) else {
                throw BenchError.stalled("\(target.address) is silent")
            }
            try takeWhatIsThere()
        }
    }

    /// Bytes that came in after the last line that was read.
    func takeUnread() -> [UInt8] {
        defer { unread = [] }
        return unread
    }

    /// Why the connection ended, with the server's own words if it left any.
    func brokenError() -> BenchError {
        let code = errno
        if let lastError { return .refused("\(target.address): \(lastError.dropFirst(5))") }
        let text = String(decoding: unread, as: UTF8.self)
        if text.hasPrefix("-ERR") { return .refused("\(target.address): \(text.dropFirst(5))") }
        let reason = code == 0 ? "closed by the server" : String(cString: strerror(code))
        return .connection("\(target.address): \(reason)")
    }

    private func takeWhatIsThere() throws {
        var chunk = [UInt8](repeating: 0, count: 16_384)
        while true {
            let result = chunk.withUnsafeMutableBufferPointer { socket.receive($0.baseAddress!, $0.count) }
            switch result {
            case .bytes(let count): unread.append(contentsOf: chunk[0..<count])
            case .wouldBlock: return
            case .closed: throw brokenError()
            }
            if unread.count > 1 << 20 { return }
        }
    }
}

@available(*, unavailable)
extension Connection: Sendable {}
