// SIGINT and SIGTERM: end the server that bench started, by its process id, and leave.

import Glibc
import Synchronization

enum Interrupt {
    /// The server that runs now; 0 for none.
    static let child = Atomic<Int32>(0)

    /// Call before the first child, so that nothing is initialised inside the handler.
    static func install() {
        child.store(0, ordering: .relaxed)
        signal(SIGPIPE, SIG_IGN)
        for number in [SIGINT, SIGTERM, SIGHUP] {
            signal(number) { received in
                let pid = Interrupt.child.load(ordering: .relaxed)
                if pid > 0 { kill(pid, SIGKILL) }
                _exit(128 + received)
            }
        }
    }
}
