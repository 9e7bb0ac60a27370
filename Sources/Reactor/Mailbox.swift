// What other loops and threads have for a loop: output blocks and tasks, taken over once a turn.

import CLinux
import Glibc
import Locks
import Synchronization

/// The one way onto a loop from outside. Posting takes one lock and, only if the loop sleeps, one wake-up.
public final class Mailbox: Sendable {
    public typealias Task = @Sendable (EventLoop) -> Void

    private struct Contents {
        /// A chain of output blocks, linked by `next`; bit patterns, since the blocks belong to one loop at a time.
        var firstBlock: UInt = 0
        var lastBlock: UInt = 0
        var tasks: [Task] = []
    }

    private let contents = Locked(Contents())
    /// True from a post until the loop takes the contents.
    private let filled = Atomic<Bool>(false)
    private let asleep = Atomic<Bool>(false)
    /// Bytes of the blocks that wait here.
    let bytes = Atomic<Int>(0)
    let eventFD: Int32

    init() throws(SystemError) {
        eventFD = eventfd(0, Int32(EFD_NONBLOCK | EFD_CLOEXEC))
        if eventFD < 0 { throw SystemError("eventfd") }
    }

    deinit { close(eventFD) }

    /// Runs `task` on the loop, in the order of posting.
    public func post(_ task: @escaping Task) {
        contents.withLock { $0.tasks.append(task) }
        announce()
    }

    /// Hands over a chain of blocks.
    func post(first: OutputBufferRef, last: OutputBufferRef) {
        let head = UInt(bitPattern: first), tail = UInt(bitPattern: last)
        contents.withLock { box in
            if let previous = OutputBufferRef(bitPattern: box.lastBlock) {
                previous.pointee.next = OutputBufferRef(bitPattern: head)
            } else {
                box.firstBlock = head
            }
            box.lastBlock = tail
        }
        announce()
    }

    /// Makes the loop take another turn, in which it looks at everything it waits for.
    func nudge() { announce() }

    private func wake() {
        if asleep.exchange(false, ordering: .sequentiallyConsistent) {
            var one: UInt64 = 1
            _ = write(eventFD, &one, 8)
        }
    }

    private func announce() {
        filled.store(true, ordering: .sequentiallyConsistent)
        wake()
    }

    // MARK: The loop's side

    /// True if the loop may sleep: nothing was posted since it last took the contents.
    func prepareToSleep() -> Bool {
        asleep.store(true, ordering: .sequentiallyConsistent)
        if filled.load(ordering: .sequentiallyConsistent) {
            asleep.store(false, ordering: .relaxed)
            return false
        }
        return true
    }

    func awoke() { asleep.store(false, ordering: .relaxed) }

    @inline(__always)
    var hasContents: Bool { filled.load(ordering: .relaxed) }

    func take() -> (blocks: OutputBufferRef?, tasks: [Task]) {
        // Cleared before the contents are taken: a post after this sets it again.
        filled.store(false, ordering: .sequentiallyConsistent)
        let taken = contents.withLock { box in
            let taken = box
            box.firstBlock = 0
            box.lastBlock = 0
            box.tasks = []
            return taken
        }
        return (OutputBufferRef(bitPattern: taken.firstBlock), taken.tasks)
    }
}
