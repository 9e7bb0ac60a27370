// Loops on threads of their own, and plain blocking sockets to talk to them. For tests.

import Glibc
import Locks
import Testing

@testable import Reactor

/// Starts loops and stops them; `context` of each loop keeps what `prepare` returns alive.
final class RunningLoops: Sendable {
    let group: LoopGroup
    private let thread: pthread_t

    init(_ count: Int = 1, limits: LoopLimits = LoopLimits(), prepare: @escaping @Sendable (EventLoop) throws -> AnyObject?)
        throws
    {
        let group = try LoopGroup(count: count, slotsMax: 256)
        self.group = group
        thread = try spawnThread(name: "loops") {
            do {
                try group.run(limits: limits) { loop in loop.context = try prepare(loop) }
            } catch {
                Issue.record("the loops did not start: \(error)")
            }
        }
    }

    func stop() {
        group.stop()
        pthread_join(thread, nil)
    }

    /// Runs something on a loop and waits for what it returns.
    func on<Result: Sendable>(_ index: Int = 0, _ body: @escaping @Sendable (EventLoop) -> Result) -> Result? {
        let answer = Answer<Result>()
        group.mailboxes[index].post { answer.set(body($0)) }
        return answer.wait()
    }
}

/// A value that another thread supplies.
final class Answer<Value: Sendable>: Sendable {
    private let value = Locked<Value?>(nil)

    func set(_ new: Value) { value.withLock { $0 = new } }

    /// nil after five seconds.
    func wait() -> Value? {
        for _ in 0..<5_000 {
            if let value = value.withLock({ $0 }) { return value }
            usleep(1_000)
        }
        return nil
    }
}

/// One end of a TCP connection over loopback, blocking, with a time limit of five seconds for each read.
final class TestSocket {
    let fd: Int32

    /// Takes over a descriptor.
    init(_ fd: Int32) {
        self.fd = fd
        setTimeout(seconds: 5)
    }

    convenience init(port: Int) throws {
        let fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(fd, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else { throw SystemError("connect") }
        self.init(fd)
    }

    deinit { close(fd) }

    func setTimeout(seconds: Int) {
        var time = timeval(tv_sec: seconds, tv_usec: 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
    }

    func send(_ text: String) { send(Array(text.utf8)) }

    func send(_ bytes: [UInt8]) {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.send(fd, $0.baseAddress.unsafelyUnwrapped + sent, bytes.count - sent, 0x4000)
            }
            if count <= 0 { return }
            sent += count
        }
    }

    /// Some bytes; none at the end, nil when the time is up or the connection is broken.
    func receive() -> [UInt8]? {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let count = recv(fd, &buffer, buffer.count, 0)
        return count < 0 ? nil : Array(buffer.prefix(count))
    }

    /// Exactly that many, or what there was before the end.
    func receive(count: Int) -> [UInt8] {
        var all: [UInt8] = []
        while all.count < count, let some = receive(), !some.isEmpty { all += some }
        return all
    }

    func receiveAll() -> [UInt8] { receive(count: .max) }
}
