// A view of bytes that somebody else owns: what the parser hands out instead of copies.

#if canImport(Glibc)
    import Glibc
#endif

/// A pointer and a length into a buffer that outlives the view. Trivial to copy: no reference counting.
///
/// Views into a read buffer are valid until the turn's handler returns.
public struct ByteView {
    public let base: UnsafePointer<UInt8>
    public let count: Int

    @inlinable @inline(__always)
    public init(_ base: UnsafePointer<UInt8>, _ count: Int) {
        self.base = base
        self.count = count
    }

    @inlinable
    public init(_ buffer: UnsafeRawBufferPointer) {
        self.base = buffer.baseAddress?.assumingMemoryBound(to: UInt8.self) ?? ByteView.empty.base
        self.count = buffer.count
    }

    /// A view of no bytes, with a base that may be formed but not read.
    @inlinable public static var empty: ByteView { ByteView(UnsafePointer(bitPattern: 1).unsafelyUnwrapped, 0) }

    @inlinable @inline(__always) public var isEmpty: Bool { count == 0 }
    @inlinable @inline(__always) public var end: UnsafePointer<UInt8> { base + count }

    @inlinable @inline(__always)
    public subscript(_ index: Int) -> UInt8 {
        assert(index >= 0 && index < count)
        return base[index]
    }

    @inlinable public var buffer: UnsafeBufferPointer<UInt8> { UnsafeBufferPointer(start: base, count: count) }

    /// The bytes as text; invalid UTF-8 is repaired with U+FFFD.
    public var string: String { String(decoding: buffer, as: UTF8.self) }

    /// The bytes, copied.
    public var bytes: [UInt8] { Array(buffer) }

    @inlinable
    public static func == (a: ByteView, b: ByteView) -> Bool {
        a.count == b.count && (a.count == 0 || memcmp(a.base, b.base, a.count) == 0)
    }

    @inlinable
    public func equals(_ text: StaticString) -> Bool {
        count == text.utf8CodeUnitCount && memcmp(base, text.utf8Start, count) == 0
    }

    @inlinable
    public func hasPrefix(_ text: StaticString) -> Bool {
        count >= text.utf8CodeUnitCount && memcmp(base, text.utf8Start, text.utf8CodeUnitCount) == 0
    }
}

@available(*, unavailable)
extension ByteView: Sendable {}
