// What a Mutex orders, said once more so that the thread sanitizer hears it.

import Synchronization

/// A mark that is passed inside a lock by everybody who hands memory over under it. The standard library's Mutex is not
/// built with the sanitizer, which would take the use of that memory on the other side for a race. Two plain moves.
struct VisibleOrder: ~Copyable {
    private let mark = Atomic<UInt8>(0)

    @inline(__always)
    func pass() { mark.store(mark.load(ordering: .acquiring), ordering: .releasing) }
}
