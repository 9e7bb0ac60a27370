// The framing in which snapshots travel: S2's stream format, which tools that back up streams read along to show their progress.
// Blocks are stored uncompressed. (github.com/google/snappy, framing_format.txt; S2 has another identifier.)

import Store
import Wire

/// A stream begins with an identifier; each block behind it is
///
///     type 1 (0x01) | length 3, of what follows | masked CRC-32C of the bytes 4 | bytes
enum S2Stream {
    static let identifier: [UInt8] = [0xFF, 0x06, 0x00, 0x00, 0x53, 0x32, 0x73, 0x54, 0x77, 0x4F]
    /// The format lets a block hold so much.
    static let blockBytesMax = 65_536
    fileprivate static let uncompressed: UInt8 = 0x01
    fileprivate static let headBytes = 8

    fileprivate static func maskedSum(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
        let sum = Checksum.crc32c(bytes)
        return (sum >> 15 | sum << 17) &+ 0xA282_EAD8
    }

    /// Appends one block to a stream.
    static func append(block: [UInt8], to stream: inout [UInt8]) {
        let length = UInt32(block.count + 4)
        withUnsafeBytes(of: (UInt32(uncompressed) | length << 8).littleEndian) { stream += $0 }
        withUnsafeBytes(of: block.withUnsafeBytes(maskedSum).littleEndian) { stream += $0 }
        stream += block
    }
}

/// Takes blocks out of a stream as its bytes come in. Holds one block at most.
struct S2Decoder {
    private var buffer: [UInt8] = []
    private var hasIdentifier = false

    /// Nothing is left of a block that has not come in full.
    var isAtEnd: Bool { buffer.isEmpty }

    /// Reads on, and calls `block` for each block that is complete and whole.
    mutating func read(_ bytes: ByteView, _ block: (ByteView) throws(SnapshotFailure) -> Void) throws(SnapshotFailure) {
        buffer += bytes.buffer
        var offset = 0
        if !hasIdentifier {
            let known = S2Stream.identifier
            guard buffer.starts(with: known.prefix(buffer.count)) else {
                throw SnapshotFailure("this is no snapshot of Bellhop")
            }
            guard buffer.count >= known.count else { return }
            hasIdentifier = true
            offset = known.count
        }
        while let end = try nextBlock(from: offset, block) { offset = end }
        buffer.removeFirst(offset)
    }

    /// - Returns: where the block ended; nil if it is not there in full.
    private func nextBlock(
        from offset: Int, _ block: (ByteView) throws(SnapshotFailure) -> Void
    ) throws(SnapshotFailure) -> Int? {
        let left = buffer.count - offset
        guard left >= 4 else { return nil }
        let length = Int(buffer[offset + 1]) | Int(buffer[offset + 2]) << 8 | Int(buffer[offset + 3]) << 16
        // nats-server's blocks are larger, or compressed.
        guard buffer[offset] == S2Stream.uncompressed, length >= 4, length - 4 <= S2Stream.blockBytesMax else {
            throw SnapshotFailure(SnapshotFormat.foreign)
        }
        guard left >= 4 + length else { return nil }
        try buffer.withUnsafeBufferPointer { all throws(SnapshotFailure) in
            let bytes = UnsafeRawBufferPointer(all)
            let wanted = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset + 4, as: UInt32.self))
            let body = UnsafeRawBufferPointer(rebasing: bytes[offset + S2Stream.headBytes..<offset + 4 + length])
            guard S2Stream.maskedSum(body) == wanted else {
                throw SnapshotFailure("the snapshot is damaged: a block's checksum is wrong")
            }
            try block(ByteView(body))
        }
        return offset + 4 + length
    }
}
