// A few bytes in a place of their own, kept from one message to the next.

import Glibc
import Wire

/// A raw buffer that is filled anew again and again. Its view is valid until it is filled the next time.
final class ScratchBytes {
    private var base: UnsafeMutablePointer<UInt8>
    private var capacity: Int
    private(set) var count = 0

    init(capacity: Int = 64) {
        self.capacity = capacity
        base = .allocate(capacity: capacity + Encoder.slackBytes)
    }

    convenience init(_ bytes: [UInt8]) {
        self.init(capacity: bytes.count)
        append(bytes)
    }

    deinit { base.deallocate() }

    var isEmpty: Bool { count == 0 }
    var view: ByteView { ByteView(base, count) }

    func removeAll() { count = 0 }

    func set(_ view: ByteView) {
        count = 0
        append(view)
    }

    /// - Parameter view: must not be this buffer's own.
    func append(_ view: ByteView) {
        reserve(view.count)
        memcpy(base + count, view.base, view.count)
        count += view.count
    }

    func append(_ text: StaticString) { append(ByteView(text.utf8Start, text.utf8CodeUnitCount)) }

    func append(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { append(ByteView($0)) }
    }

    func append(_ text: String) {
        var text = text
        text.withUTF8 { append(ByteView(UnsafeRawBufferPointer($0))) }
    }

    func append(_ number: UInt64) {
        reserve(20)
        var out = Encoder(base + count)
        let digits = decimalDigits(number)
        out.put(number, digits: digits)
        count += digits
    }

    private func reserve(_ more: Int) {
        guard count + more > capacity else { return }
        capacity = max(count + more, capacity * 2)
        let larger = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity + Encoder.slackBytes)
        memcpy(larger, base, count)
        base.deallocate()
        base = larger
    }
}
