// epoll behind three methods: register once, edge-triggered, then ask what changed.

import CLinux
import Glibc

/// Edge-triggered: a socket is reported when it becomes readable or writable, so its user goes on until
/// `wouldBlock`. Belongs to one thread.
final class Poller {
    private let descriptor: Int32
    private let events: UnsafeMutablePointer<epoll_event>
    /// Wakes `wait` at a time finer than its milliseconds.
    private let timer: Int32
    private static let eventsMax: Int32 = 256
    private static let timerToken = UInt64.max

    /// What became of one socket.
    struct Event {
        let token: Int
        let readable: Bool
        let writable: Bool
    }

    init() throws {
        descriptor = epoll_create1(Int32(O_CLOEXEC))
        guard descriptor >= 0 else { throw BenchError.connection("epoll: \(BenchError.systemText())") }
        timer = timerfd_create(CLOCK_MONOTONIC, Int32(O_CLOEXEC | O_NONBLOCK))
        events = .allocate(capacity: Int(Poller.eventsMax))
        var event = epoll_event()
        event.events = EPOLLIN.rawValue | EPOLLET.rawValue
        event.data.u64 = Poller.timerToken
        guard timer >= 0, epoll_ctl(descriptor, EPOLL_CTL_ADD, timer, &event) == 0 else {
            throw BenchError.connection("timer: \(BenchError.systemText())")
        }
    }

    deinit {
        close(descriptor)
        close(timer)
        events.deallocate()
    }

    /// Watches a socket for both directions; `token` comes back with its events.
    func add(_ socket: Socket, token: Int) throws {
        var event = epoll_event()
        event.events = EPOLLIN.rawValue | EPOLLOUT.rawValue | EPOLLRDHUP.rawValue | EPOLLET.rawValue
        event.data.u64 = UInt64(token)
        guard epoll_ctl(descriptor, EPOLL_CTL_ADD, socket.descriptor, &event) == 0 else {
            throw BenchError.connection("epoll: \(BenchError.systemText())")
        }
    }

    /// Waits up to `timeoutMs` (0 only looks), hands each event to `body`, returns how many there were.
    @inline(__always)
    @discardableResult
    func wait(timeoutMs: Int32, _ body: (Event) -> Void) -> Int {
        let count = epoll_wait(descriptor, events, Poller.eventsMax, timeoutMs)
        guard count > 0 else { return 0 }
        for index in 0..<Int(count) {
            if events[index].data.u64 == Poller.timerToken { continue }
            let bits = events[index].events
            let failed = bits & (EPOLLERR.rawValue | EPOLLHUP.rawValue | EPOLLRDHUP.rawValue) != 0
            body(
                Event(
                    token: Int(events[index].data.u64),
                    readable: failed || bits & EPOLLIN.rawValue != 0,
                    writable: failed || bits & EPOLLOUT.rawValue != 0))
        }
        return Int(count)
    }

    /// Lets the next `wait` end after `ns` at the latest.
    func wake(inNs ns: UInt64) {
        var time = itimerspec()
        time.it_value = timespec(tv_sec: Int(ns / 1_000_000_000), tv_nsec: Int(max(1, ns % 1_000_000_000)))
        timerfd_settime(timer, 0, &time, nil)
    }
}

@available(*, unavailable)
extension Poller: Sendable {}
