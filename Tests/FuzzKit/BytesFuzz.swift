// The routines that look at several bytes at a time, against one byte at a time.

import Glibc
import Wire

enum BytesFuzz {
    @Sendable static func iterate(_ random: inout SeededRandom) throws(FuzzFailure) {
        let count = random.below(100)
        let text = (0..<count).map { _ in random.pick([0x61, 0x62, 0x80, 0xFF, 0x20, 0x21, 0x00] as [UInt8]) }
        var other = text
        if count > 0, random.once(in: 2) { other[random.below(count)] ^= UInt8(1 + random.below(255)) }
        let left = GuardedBytes(capacity: 256), right = GuardedBytes(capacity: 256)
        let a = left.place(text[...], slack: 8, junk: 1), b = right.place(other[...], slack: 8, junk: 2)
        try require(equalWithSlack(a, b, count) == (text == other), "equalWithSlack: \(text) \(other)")

        let exact = left.place(text[...], slack: 0, junk: 0)
        let seed = random.next()
        let hash = hashBytes(exact, count, seed: seed)
        let again = right.place(text[...], slack: 3, junk: 7)
        try require(hash == hashBytes(again, count, seed: seed), "hashBytes depends on what is behind: \(text)")
        if text != other {
            let changed = right.place(other[...], slack: 0, junk: 0)
            try require(hash != hashBytes(changed, count, seed: seed), "hashBytes collides: \(text) \(other)")
        }

        let source = left.place(text[...], slack: 32, junk: 3)
        let target = UnsafeMutablePointer<UInt8>.allocate(capacity: count + 64)
        defer { target.deallocate() }
        copyWithSlack(target, source, count)
        try require(memcmp(target, source, count) == 0, "copyWithSlack: \(text)")

        let value = Int(truncatingIfNeeded: random.next() >> UInt64(1 + random.below(63)))
        var out = Encoder(target)
        let start = out.cursor
        out.put(decimal: value)
        try require(ByteView(start, out.cursor - start).string == String(value), "decimal: \(value)")
    }
}
