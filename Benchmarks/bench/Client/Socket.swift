// One nonblocking TCP socket; the only owner of its descriptor.

import CLinux
import Glibc

/// Closes its descriptor when it goes. Belongs to one thread.
final class Socket {
    let descriptor: Int32

    /// What a transfer came to.
    enum Transfer {
        case bytes(Int)
        /// Nothing now; the poller says when.
        case wouldBlock
        /// The other side closed, or the connection broke; `errno` says which.
        case closed
    }

    /// Starts to connect. The first `send` waits for the poller, or `wait` for `POLLOUT`.
    init(host: String, port: UInt16) throws {
        descriptor = Glibc.socket(
            AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw BenchError.connection("socket: \(BenchError.systemText())") }
        var on: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        guard inet_pton(AF_INET, host == "localhost" ? "127.0.0.1" : host, &address.sin_addr) == 1 else {
            throw BenchError.usage("\(host) is no IPv4 address")
        }
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 || errno == EINPROGRESS else {
            throw BenchError.connection("\(host):\(port): \(BenchError.systemText())")
        }
    }

    deinit { close(descriptor) }

    /// Sends what the kernel takes of `count` bytes.
    @inline(__always)
    func send(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Transfer {
        while true {
            let sent = Glibc.send(descriptor, bytes, count, Int32(MSG_NOSIGNAL))
            if sent >= 0 { return .bytes(sent) }
            if errno == EINTR { continue }
            return errno == EAGAIN ? .wouldBlock : .closed
        }
    }

    /// Receives up to `count` bytes.
    @inline(__always)
    func receive(_ buffer: UnsafeMutablePointer<UInt8>, _ count: Int) -> Transfer {
        while true {
            let received = Glibc.recv(descriptor, buffer, count, 0)
            if received > 0 { return .bytes(received) }
            if received == 0 {
                errno = 0
                return .closed
            }
            if errno == EINTR { continue }
            return errno == EAGAIN ? .wouldBlock : .closed
        }
    }

    /// Waits for `POLLIN` or `POLLOUT`. False when the time is up first.
    func wait(for events: Int32, timeoutMs: Int) -> Bool {
        var entry = pollfd(fd: descriptor, events: Int16(events), revents: 0)
        return poll(&entry, 1, Int32(timeoutMs)) > 0
    }

    /// The error that a connection attempt ended with; 0 for none.
    func pendingError() -> Int32 {
        var value: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &value, &size)
        return value
    }
}
