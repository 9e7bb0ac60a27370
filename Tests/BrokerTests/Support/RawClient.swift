// A client that speaks raw bytes, for tests that care about each of them.

import Glibc
import Reactor

/// One operation from the server, as text. `MSG` and `HMSG` carry their payload.
struct ServerOperation: Equatable, CustomStringConvertible {
    var line: String
    var payload: [UInt8]?
    var description: String { payload.map { "\(line) | \(String(decoding: $0, as: UTF8.self))" } ?? line }
}

/// A blocking socket with a buffer. Used by one thread at a time, which is why it may be handed to another one.
///
/// Every read ends at `timeoutMs` at the latest: a test that waits for what never comes fails, it does not hang.
final class RawClient: @unchecked Sendable {
    static let timeoutMs: Int32 = 20_000
    let fd: Int32
    private(set) var info = ""
    private(set) var clientID = 0
    private var buffer: [UInt8] = []
    private var start = 0
    private var isShut = false
    private static let scratchBytes = 64 << 10
    private let scratch = UnsafeMutablePointer<UInt8>.allocate(capacity: scratchBytes)

    /// Connects and reads INFO.
    ///
    /// - Parameters:
    ///   - receiveBytes: a small receive buffer makes a slow reader of the client.
    ///   - readsInfo: false where the broker is not to answer yet; the test calls `readInfo` later.
    init(port: Int, receiveBytes: Int32? = nil, readsInfo: Bool = true) throws {
        fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard fd >= 0 else { throw TestFailure("socket: \(errno)") }
        if var receiveBytes {
            setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receiveBytes, socklen_t(MemoryLayout<Int32>.size))
        }
        var on: Int32 = 1
        setsockopt(fd, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(fd, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else { throw TestFailure("connect: \(errno)") }
        if readsInfo { try readInfo() }
    }

    /// Reads the broker's first line.
    func readInfo() throws {
        info = try next().line
        guard let range = info.split(separator: "\"client_id\":").last, info.hasPrefix("INFO ") else {
            throw TestFailure("no INFO but \(info)")
        }
        clientID = Int(range.prefix { $0.isNumber }) ?? 0
    }

    deinit {
        close()
        scratch.deallocate()
    }

    func close() {
        if isShut { return }
        isShut = true
        Glibc.close(fd)
    }

    /// Closes with a reset instead of an end of file.
    func reset() {
        var option = linger(l_onoff: 1, l_linger: 0)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        close()
    }

    /// Says CONNECT without +OK.
    @discardableResult
    func hello(_ options: String = "") throws -> RawClient {
        try send("CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true\(options)}\r\n")
        return self
    }

    // MARK: Sending

    func send(_ text: String) throws { try send(Array(text.utf8)) }

    /// Sends all of it; waits while the server does not read.
    func send(_ bytes: [UInt8]) throws {
        try bytes.withUnsafeBytes { raw in
            var sent = 0
            while sent < raw.count {
                let count = Glibc.send(fd, raw.baseAddress.unsafelyUnwrapped + sent, raw.count - sent, Int32(MSG_NOSIGNAL))
                if count < 0 && errno == EINTR { continue }
                guard count > 0 else { throw TestFailure("send: errno \(errno)") }
                sent += count
            }
        }
    }

    /// Sends what the socket takes now; the number of bytes.
    func sendSome(_ bytes: [UInt8]) -> Int {
        bytes.withUnsafeBytes { Glibc.send(fd, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT)) }
    }

    /// PING, and everything up to its PONG.
    @discardableResult
    func roundTrip() throws -> [ServerOperation] {
        try send("PING\r\n")
        return try upToPong()
    }

    // MARK: Receiving

    /// Operations up to the next PONG, which is not among them.
    @discardableResult
    func upToPong() throws -> [ServerOperation] {
        var seen: [ServerOperation] = []
        while true {
            let operation = try next()
            if operation.line == "PONG" { return seen }
            if operation.line.hasPrefix("INFO ") { continue }
            seen.append(operation)
        }
    }

    /// The next operation. PINGs of the server are left out.
    func next() throws -> ServerOperation {
        while true {
            let line = try readLine()
            let words = line.split(separator: " ")
            guard let verb = words.first, verb == "MSG" || verb == "HMSG" else {
                if line == "PING" { continue }
                return ServerOperation(line: line)
            }
            guard let size = words.last.flatMap({ Int($0) }) else { throw TestFailure("no size: \(line)") }
            let payload = try read(size + 2)
            guard payload[size] == 0x0D, payload[size + 1] == 0x0A else {
                throw TestFailure("payload of '\(line)' does not end in CRLF")
            }
            return ServerOperation(line: line, payload: Array(payload[0..<size]))
        }
    }

    /// Waits for a PING of the server and answers it.
    func awaitPing() throws {
        while try readLine() != "PING" {}
        try send("PONG\r\n")
    }

    /// Everything until the server closes.
    func rest() throws -> [ServerOperation] {
        var seen: [ServerOperation] = []
        while true {
            do { seen.append(try next()) } catch is EndOfStream { return seen }
        }
    }

    private func readLine() throws -> String {
        while true {
            if let end = buffer[start...].firstIndex(of: 0x0A) {
                guard end > start, buffer[end - 1] == 0x0D else { throw TestFailure("a line without CR") }
                let line = String(decoding: buffer[start..<(end - 1)], as: UTF8.self)
                start = end + 1
                return line
            }
            try fill()
        }
    }

    private func read(_ count: Int) throws -> [UInt8] {
        while buffer.count - start < count { try fill() }
        let bytes = Array(buffer[start..<(start + count)])
        start += count
        return bytes
    }

    private func fill() throws {
        if start > 1 << 16 || start == buffer.count {
            buffer.removeFirst(start)
            start = 0
        }
        var entry = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
        guard poll(&entry, 1, RawClient.timeoutMs) > 0 else {
            throw TestFailure("nothing came within \(RawClient.timeoutMs) ms")
        }
        let count = recv(fd, scratch, RawClient.scratchBytes, 0)
        if count > 0 { buffer.append(contentsOf: UnsafeBufferPointer(start: scratch, count: count)) }
        if count == 0 { throw EndOfStream() }
        if count < 0 && errno == ECONNRESET { throw EndOfStream(isReset: true) }
        if count < 0 { throw TestFailure("recv: errno \(errno)") }
    }
}

/// The server has closed.
struct EndOfStream: Error {
    var isReset = false
}

/// Runs bodies on threads of their own and waits for all; the first error is thrown.
func together(_ bodies: [@Sendable () throws -> Void]) throws {
    let results = ErrorList()
    var threads: [pthread_t] = []
    for body in bodies {
        threads.append(try spawnThread(name: "test") { do { try body() } catch { results.append(error) } })
    }
    for thread in threads { pthread_join(thread, nil) }
    if let first = results.first { throw first }
}

/// Waits until something has become true; false if it has not within 20 seconds.
func eventually(_ condition: () -> Bool) -> Bool {
    for _ in 0..<40_000 {
        if condition() { return true }
        usleep(500)
    }
    return false
}
