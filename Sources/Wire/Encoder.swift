// Writes what a server sends, straight into an output buffer that the caller has made large enough.

import Glibc

/// Appends bytes at a cursor. The caller guarantees room for what it writes plus `Encoder.slackBytes`.
public struct Encoder {
    /// Short copies are done in blocks of 32 bytes and may scribble this far behind the end.
    public static let slackBytes = 64

    public var cursor: UnsafeMutablePointer<UInt8>

    @inlinable @inline(__always)
    public init(_ cursor: UnsafeMutablePointer<UInt8>) { self.cursor = cursor }

    @inlinable @inline(__always)
    public mutating func put(_ byte: UInt8) {
        cursor[0] = byte
        cursor += 1
    }

    @inlinable @inline(__always)
    public mutating func put(_ view: ByteView) {
        memcpy(cursor, view.base, view.count)
        cursor += view.count
    }

    @inlinable @inline(__always)
    public mutating func put(_ text: StaticString) {
        memcpy(cursor, text.utf8Start, text.utf8CodeUnitCount)
        cursor += text.utf8CodeUnitCount
    }

    /// Copies `count` bytes whose source is readable for 32 bytes beyond them, as read buffers and cached lines are.
    @inlinable @inline(__always)
    public mutating func putWithSlack(_ source: UnsafePointer<UInt8>, _ count: Int) {
        copyWithSlack(cursor, source, count)
        cursor += count
    }

    @inlinable @inline(__always)
    public mutating func putLineEnd() {
        UnsafeMutableRawPointer(cursor).storeBytes(of: 0x0A0D, as: UInt16.self)
        cursor += 2
    }

    /// A decimal number, 0 or more.
    @inlinable
    public mutating func put(decimal value: Int) {
        if value < 10 {
            put(0x30 &+ UInt8(truncatingIfNeeded: value))
            return
        }
        var digits = 0
        var rest = value
        while rest > 0 {
            digits &+= 1
            rest /= 10
        }
        rest = value
        var index = digits
        while index > 0 {
            index &-= 1
            cursor[index] = 0x30 &+ UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        }
        cursor += digits
    }
}

/// Copies `count` bytes; both sides have at least 32 bytes of slack behind them.
@inlinable @inline(__always)
public func copyWithSlack(_ target: UnsafeMutablePointer<UInt8>, _ source: UnsafePointer<UInt8>, _ count: Int) {
    typealias Block = SIMD32<UInt8>
    let from = UnsafeRawPointer(source)
    let to = UnsafeMutableRawPointer(target)
    if count <= 32 {
        to.storeBytes(of: from.loadUnaligned(as: Block.self), as: Block.self)
    } else if count <= 64 {
        to.storeBytes(of: from.loadUnaligned(as: Block.self), as: Block.self)
        (to + 32).storeBytes(of: (from + 32).loadUnaligned(as: Block.self), as: Block.self)
    } else {
        memcpy(to, from, count)
    }
}

/// Whether two runs of bytes are equal; both are readable for 8 bytes beyond their end.
@inlinable @inline(__always)
public func equalWithSlack(_ a: UnsafePointer<UInt8>, _ b: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    let x = UnsafeRawPointer(a), y = UnsafeRawPointer(b)
    var index = 0
    while index &+ 8 <= count {
        if (x + index).loadUnaligned(as: UInt64.self) != (y + index).loadUnaligned(as: UInt64.self) { return false }
        index &+= 8
    }
    let rest = count &- index
    if rest == 0 { return true }
    let difference = (x + index).loadUnaligned(as: UInt64.self) ^ (y + index).loadUnaligned(as: UInt64.self)
    return difference << UInt64(truncatingIfNeeded: 64 &- rest &* 8) == 0
}

/// A hash of a few bytes, as subject tokens and sids need it: a multiply and a fold per eight bytes.
/// `seed` is random per process, so that nobody can choose subjects that collide.
@inlinable @inline(__always)
public func hashBytes(_ start: UnsafePointer<UInt8>, _ count: Int, seed: UInt64) -> UInt64 {
    var hash = seed ^ UInt64(truncatingIfNeeded: count)
    let bytes = UnsafeRawPointer(start)
    var index = 0
    while index &+ 8 <= count {
        hash = fold(hash ^ (bytes + index).loadUnaligned(as: UInt64.self), 0xA076_1D64_78BD_642F)
        index &+= 8
    }
    if index < count {
        var rest: UInt64 = 0
        // Assembled byte-wise groups: the source has no slack here.
        let left = count &- index
        if left >= 4 {
            let low = UInt64((bytes + index).loadUnaligned(as: UInt32.self))
            let high = UInt64((bytes + count - 4).loadUnaligned(as: UInt32.self))
            rest = low | high << 32
        } else {
            rest = UInt64(start[index]) | UInt64(start[index + left / 2]) << 8 | UInt64(start[count - 1]) << 16
        }
        hash = fold(hash ^ rest, 0xE703_7ED1_A0B4_28DB)
    }
    return hash
}

@inlinable @inline(__always)
func fold(_ a: UInt64, _ b: UInt64) -> UInt64 {
    let product = a.multipliedFullWidth(by: b)
    return product.high ^ product.low
}
