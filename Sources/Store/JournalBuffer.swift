// Records on their way to a consumer journal's file.

import Glibc

/// The bytes of one block, with room for its head in front. Filled on the loop, written by a commit's job; one of them at a
/// time.
final class JournalBuffer {
    private(set) var base: UnsafeMutableRawPointer
    private(set) var count = JournalBlockHead.bytes
    private var capacity = 4096
    private(set) var records = 0

    init() { base = .allocate(byteCount: capacity, alignment: 16) }
    deinit { base.deallocate() }

    var isEmpty: Bool { records == 0 }

    /// `twin` lays the record down a second time, for those that one damaged byte must not cost.
    func append(
        _ kind: JournalKind, _ consumer: ConsumerID, number: UInt32, _ body: UnsafeRawBufferPointer, twin: Bool
    ) {
        var head = JournalRecordHead(
            length: UInt32(truncatingIfNeeded: body.count), number: number, consumer: consumer, kind: kind, isTwin: false)
        let size = head.size
        reserve(twin ? 2 * size : size)
        for isTwin in twin ? [false, true] : [false] {
            let target = base + count
            head.isTwin = isTwin
            head.write(target)
            if let source = body.baseAddress, body.count > 0 {
                (target + (size - 8)).store64(0, 0)
                (target + JournalRecordHead.bytes).copyMemory(from: source, byteCount: body.count)
            }
            count += size
        }
        records += 1
    }

    /// Adds all records of another buffer.
    func append(_ other: JournalBuffer) {
        let size = other.count - JournalBlockHead.bytes
        reserve(size)
        (base + count).copyMemory(from: other.base + JournalBlockHead.bytes, byteCount: size)
        count += size
        records += other.records
    }

    func removeAll() {
        count = JournalBlockHead.bytes
        records = 0
        // What a burst has grown is given back.
        if capacity > 1 << 20 {
            base.deallocate()
            capacity = 4096
            base = .allocate(byteCount: capacity, alignment: 16)
        }
    }

    /// Calls `body` with the offset of each record from the start of the buffer.
    func forEach(_ body: (Int) -> Void) {
        var at = JournalBlockHead.bytes
        while at < count {
            body(at)
            at += JournalRecordHead.size(bodyBytes: Int(base.load32(at + 8)))
        }
    }

    private func reserve(_ bytes: Int) {
        guard capacity - count < bytes else { return }
        capacity = max(capacity * 2, count + bytes)
        let grown = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
        grown.copyMemory(from: base, byteCount: count)
        base.deallocate()
        base = grown
    }
}

@available(*, unavailable)
extension JournalBuffer: Sendable {}
