// Loops on threads of their own, and channels whose other end the test holds.

import Glibc
import Locks
import Synchronization

@testable import Reactor

/// Runs a group of loops until `stop`.
final class TestLoops: Sendable {
    let group: LoopGroup

    init(count: Int, limits: LoopLimits = LoopLimits()) throws {
        let group = try LoopGroup(count: count, slotsMax: 64)
        self.group = group
        pthread_detach(try spawnThread(name: "loop-0") { try? group.run(limits: limits) { _ in } })
    }

    func stop() { group.stop() }

    /// Open channels on loop 0.
    var channelCount: Int { on(0) { $0.channelCount } }
    var mailboxBytes: Int { group.mailboxes.reduce(0) { $0 + $1.bytes.load(ordering: .relaxed) } }

    /// Runs `body` on a loop as a task of its own turn and waits for it.
    func on<T: Sendable>(_ loop: Int, _ body: @escaping @Sendable (EventLoop) -> T) -> T {
        let result = Slot<T>()
        group.mailboxes[loop].post { loop in result.set(body(loop)) }
        return result.wait()
    }

    /// A channel on loop 0 and the test's end of its connection.
    func openChannel(_ handler: RecordingHandler = RecordingHandler()) -> TestChannel {
        var ends: [Int32] = [0, 0]
        precondition(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
        _ = fcntl(ends[0], F_SETFL, O_NONBLOCK)
        let inside = ends[0]
        let address = on(0) { loop -> UInt in
            var made: ChannelRef?
            loop.adopt(FileDescriptor(owning: inside)) { channel in
                // The test looks at the channel whenever it likes, so its memory stays.
                channel.pointee.pins.wrappingAdd(1, ordering: .relaxed)
                made = channel
                return handler
            }
            return UInt(bitPattern: made)
        }
        return TestChannel(address: address, peer: ends[1], handler: handler)
    }
}

/// A channel by its address, since pointers do not cross threads by themselves.
struct TestChannel: Sendable {
    let address: UInt
    let peer: Int32
    let handler: RecordingHandler
    var ref: ChannelRef { ChannelRef(bitPattern: address).unsafelyUnwrapped }
    var blocked: Int { ref.pointee.blocked.load(ordering: .acquiring) }
    var pendingBytes: Int { ref.pointee.pendingBytes.load(ordering: .acquiring) }

    /// What arrives at the test's end, up to `count` bytes or the end of the stream.
    func read(_ count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var got = 0
        while got < count {
            var entry = pollfd(fd: peer, events: Int16(POLLIN), revents: 0)
            guard poll(&entry, 1, 20_000) > 0 else { break }
            let more = bytes.withUnsafeMutableBytes { recv(peer, $0.baseAddress.unsafelyUnwrapped + got, count - got, 0) }
            if more <= 0 { break }
            got += more
        }
        return Array(bytes[0..<got])
    }

    func text(_ count: Int) -> String { String(decoding: read(count), as: UTF8.self) }

    func send(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { raw in
            var sent = 0
            while sent < raw.count {
                let more = Glibc.send(peer, raw.baseAddress.unsafelyUnwrapped + sent, raw.count - sent, Int32(MSG_NOSIGNAL))
                if more <= 0 { return }
                sent += more
            }
        }
    }
}

/// Consumes what its rule says and counts what happens to it.
final class RecordingHandler: ChannelHandler, Sendable {
    struct Seen: Sendable {
        var presented: [Int] = []
        var consumed = 0
        var closed: [CloseReason] = []
    }
    let seen = Locked(Seen())
    private let rule: @Sendable (UnsafePointer<UInt8>, Int) -> ReadOutcome

    init(_ rule: @escaping @Sendable (UnsafePointer<UInt8>, Int) -> ReadOutcome = { ReadOutcome(consumed: $1) }) {
        self.rule = rule
    }

    func received(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> ReadOutcome {
        let outcome = rule(bytes, count)
        seen.withLock {
            $0.presented.append(count)
            $0.consumed += outcome.consumed
        }
        return outcome
    }

    func closed(_ reason: CloseReason) { seen.withLock { $0.closed.append(reason) } }

    var snapshot: Seen { seen.withLock { $0 } }
}

/// A value that one thread leaves for another.
final class Slot<T: Sendable>: Sendable {
    private let value = Locked<T?>(nil)
    func set(_ new: T) { value.withLock { $0 = new } }
    func wait() -> T {
        while true {
            if let found = value.withLock({ $0 }) { return found }
            usleep(100)
        }
    }
}

/// Waits until something has become true; false if it has not within 20 seconds.
func eventually(_ condition: () -> Bool) -> Bool {
    for _ in 0..<200_000 {
        if condition() { return true }
        usleep(100)
    }
    return false
}
