// What has been read of a log's files lately: one stretch for each place where somebody reads.

/// Stretches of segments in memory, for reading message after message without a system call for each.
///
/// A read that goes on where an earlier one ended takes more at once; one out of order takes little.
final class ReadWindows {
    private struct Window {
        var segmentID: UInt64
        var start: Int
        var count: Int
        var buffer: WriteBuffer
        var lastUse: UInt64
        var end: Int { start + count }
    }

    /// The window that was used last, without its owner: set aside whenever windows come or go.
    private struct Current {
        var segmentID: UInt64 = 0
        var start = 0
        var end = 0
        var base: UnsafeRawPointer?
    }
    private var current = Current()

    private let options: LogOptions
    private var windows: [Window] = []
    private var clock: UInt64 = 0

    init(_ options: LogOptions) { self.options = options }

    var memory: Int { windows.reduce(0) { $0 + $1.buffer.capacity } }

    /// The bytes at a place, if all of them have been read.
    @inline(__always)
    func bytes(_ segmentID: UInt64, _ place: Int, _ count: Int) -> UnsafeRawPointer? {
        // Whoever reads on finds the next message behind the last one.
        if segmentID == current.segmentID && place >= current.start && place + count <= current.end, let base = current.base {
            return base + (place - current.start)
        }
        return search(segmentID, place, count)
    }

    private func search(_ segmentID: UInt64, _ place: Int, _ count: Int) -> UnsafeRawPointer? {
        for at in windows.indices {
            let window = windows[at]
            if window.segmentID == segmentID && place >= window.start && place + count <= window.end {
                clock += 1
                windows[at].lastUse = clock
                current = Current(
                    segmentID: segmentID, start: window.start, end: window.end, base: UnsafeRawPointer(window.buffer.base))
                return UnsafeRawPointer(window.buffer.base + (place - window.start))
            }
        }
        return nil
    }

    /// How much to read for `count` bytes at a place.
    func readSize(_ segmentID: UInt64, _ place: Int, _ count: Int) -> Int {
        let isNext = windows.contains { window in
            window.segmentID == segmentID && place >= window.start && place <= window.end + options.singleReadBytes
        }
        return max(count, isNext ? options.readAheadBytes : options.singleReadBytes)
    }

    /// A buffer for a read, taken from the window that is to be replaced where possible.
    func makeBuffer(_ segmentID: UInt64, _ place: Int, _ size: Int) -> WriteBuffer {
        current = Current()
        // What this read continues has served its purpose.
        if let at = windows.firstIndex(where: { window in
            window.segmentID == segmentID && place >= window.start && place <= window.end + options.singleReadBytes
        }) {
            let buffer = windows.remove(at: at).buffer
            if buffer.capacity >= size && buffer.capacity <= 2 * size { return buffer }
        } else if windows.count >= options.readWindowsMax,
            let at = windows.indices.min(by: { windows[$0].lastUse < windows[$1].lastUse })
        {
            let buffer = windows.remove(at: at).buffer
            if buffer.capacity >= size && buffer.capacity <= 2 * size { return buffer }
        }
        return WriteBuffer(capacity: size)
    }

    func install(_ segmentID: UInt64, _ start: Int, _ count: Int, _ buffer: WriteBuffer) {
        clock += 1
        current = Current()
        if windows.count >= options.readWindowsMax,
            let at = windows.indices.min(by: { windows[$0].lastUse < windows[$1].lastUse })
        {
            windows.remove(at: at)
        }
        windows.append(Window(segmentID: segmentID, start: start, count: count, buffer: buffer, lastUse: clock))
    }

    func removeAll() {
        current = Current()
        windows.removeAll()
    }
}

@available(*, unavailable)
extension ReadWindows: Sendable {}
