// Signals as something to read: blocked in every thread, taken from a descriptor on loop 0.

import CLinux
import Glibc
import Reactor

/// Create it before any other thread, so that all of them inherit the blocked set.
final class SignalSource: Sendable {
    static let handled: [Int32] = [SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2]
    let fd: Int32

    init() throws(SystemError) {
        signal(SIGPIPE, SIG_IGN)
        var set = sigset_t()
        sigemptyset(&set)
        for signal in SignalSource.handled { sigaddset(&set, signal) }
        pthread_sigmask(SIG_BLOCK, &set, nil)
        fd = signalfd(-1, &set, Int32(SFD_NONBLOCK | SFD_CLOEXEC))
        if fd < 0 { throw SystemError("signalfd") }
    }

    deinit { close(fd) }

    /// The next pending signal, if any.
    func next() -> Int32? {
        var info = signalfd_siginfo()
        let size = MemoryLayout<signalfd_siginfo>.size
        guard read(fd, &info, size) == size else { return nil }
        return Int32(bitPattern: info.ssi_signo)
    }
}
