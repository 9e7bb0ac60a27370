// Finds single headers in a raw header block, for those that look for one or two; publishes are read by `PublishHeaders`.

import Glibc
import Wire

/// A block begins with a line `NATS/1.0[ status]` and ends with an empty one. Names are matched in their exact case, as
/// nats-server matches its own, and of repeated headers the first counts.
enum HeaderBlock {
    /// The value without the spaces before it; nil where no line has that name. A line needs no space behind its colon.
    static func value(of name: StaticString, in block: ByteView) -> ByteView? {
        let nameBytes = name.utf8CodeUnitCount
        var line = afterLine(block.base, block.end)
        while line < block.end {
            let next = afterLine(line, block.end)
            let bytes = next - line
            if bytes > nameBytes, line[nameBytes] == UInt8(ascii: ":"), memcmp(line, name.utf8Start, nameBytes) == 0 {
                var start = line + nameBytes + 1
                var end = next
                while end > start, end[-1] == 0x0A || end[-1] == 0x0D { end -= 1 }
                while start < end, start[0] == 0x20 { start += 1 }
                return ByteView(start, end - start)
            }
            line = next
        }
        return nil
    }

    /// The status of a block without a payload, `NATS/1.0 404 No Messages`: its code, or nil.
    static func status(_ block: ByteView) -> Int? {
        guard block.hasPrefix("NATS/1.0 "), block.count >= 12 else { return nil }
        var code = 0
        for place in 9..<12 {
            let digit = block[place] &- UInt8(ascii: "0")
            guard digit <= 9 else { return nil }
            code = code * 10 + Int(digit)
        }
        return code
    }

    private static func afterLine(_ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) -> UnsafePointer<UInt8> {
        guard start < end, let mark = memchr(start, 0x0A, end - start) else { return end }
        return UnsafePointer(mark.assumingMemoryBound(to: UInt8.self)) + 1
    }
}
