// Bytes that end where readable memory ends: whoever reads too far is stopped by the processor.

import Glibc

/// Memory whose end is the end of a page that is followed by one nobody may touch.
final class GuardedBytes {
    private static let pageBytes = 4_096
    private let memory: UnsafeMutableRawPointer
    private let mappedBytes: Int
    private let capacity: Int

    init(capacity: Int) {
        let pages = (capacity + GuardedBytes.pageBytes - 1) / GuardedBytes.pageBytes
        self.capacity = pages * GuardedBytes.pageBytes
        mappedBytes = self.capacity + GuardedBytes.pageBytes
        guard
            let memory = mmap(nil, mappedBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
            memory != MAP_FAILED, mprotect(memory + self.capacity, GuardedBytes.pageBytes, PROT_NONE) == 0
        else { fatalError("no memory for guarded bytes") }
        self.memory = memory
    }

    deinit { munmap(memory, mappedBytes) }

    /// A copy of `bytes` with exactly `slack` more readable bytes behind it, which hold junk.
    func place(_ bytes: ArraySlice<UInt8>, slack: Int, junk: UInt8) -> UnsafePointer<UInt8> {
        precondition(bytes.count + slack <= capacity)
        let start = memory + (capacity - slack - bytes.count)
        bytes.withUnsafeBytes { if let base = $0.baseAddress { memcpy(start, base, bytes.count) } }
        memset(start + bytes.count, Int32(junk), slack)
        return UnsafePointer(start.assumingMemoryBound(to: UInt8.self))
    }
}
