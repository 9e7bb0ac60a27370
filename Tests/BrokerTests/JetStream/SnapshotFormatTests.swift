// The bytes of snapshots: what is written is read again, and whatever else comes in is refused without harm.

import Store
import Testing
import Wire

@testable import Broker

/// A snapshot of raw frames, in blocks as they travel.
func snapshotBytes(_ build: (inout SnapshotEncoder) -> Void) -> [UInt8] {
    var encoder = SnapshotEncoder()
    build(&encoder)
    var bytes = S2Stream.identifier
    while encoder.count > 0 { S2Stream.append(block: encoder.take(S2Stream.blockBytesMax), to: &bytes) }
    return bytes
}

@Suite struct SnapshotFormatTests {
    private static let large = [UInt8](repeating: 0x41, count: 150_000)

    private static func sample() -> [UInt8] {
        snapshotBytes { encoder in
            encoder.add(.definition, Array("d".utf8))
            encoder.add(.consumer, [])
            large.withUnsafeBytes { payload in
                Array("s.a".utf8).withUnsafeBytes { subject in
                    encoder.add(
                        StoredMessage(
                            sequence: 7, timeNs: 9, subject: ByteView(subject), headers: .empty, payload: ByteView(payload)))
                }
            }
            encoder.addEnd(lastSequence: 8, messages: 1)
        }
    }

    /// The frames of what is read in pieces of a size.
    private func read(_ bytes: [UInt8], pieces: Int = 1 << 20, messageBytesMax: Int = 1 << 20) throws -> [String] {
        var decoder = SnapshotDecoder(messageBytesMax: messageBytesMax)
        var frames: [String] = []
        var offset = 0
        while offset < bytes.count {
            let piece = Array(bytes[offset..<min(bytes.count, offset + pieces)])
            offset += piece.count
            try piece.withUnsafeBytes { piece in
                try decoder.read(ByteView(piece)) { kind, body throws(SnapshotFailure) in frames.append("\(kind) \(body.count)")
                }
            }
        }
        try decoder.finish()
        return frames
    }

    @Test func framesComeBack() throws {
        let bytes = Self.sample()
        let wanted = ["definition 1", "consumer 0", "message 150027", "end 16"]
        for pieces in [1, 7, 1000, 65_536, 1 << 20] { #expect(try read(bytes, pieces: pieces) == wanted) }
    }

    @Test func largeMessagesHaveALimit() throws {
        let bytes = Self.sample()
        #expect(try read(bytes, messageBytesMax: 150_003).count == 4)
        #expect(throws: SnapshotFailure.self) { try read(bytes, messageBytesMax: 150_002) }
    }

    @Test func everyFlippedByteIsNoticed() throws {
        let bytes = snapshotBytes { encoder in
            encoder.add(.definition, Array("definition".utf8))
            encoder.add(.consumer, [1, 2, 3])
            encoder.addEnd(lastSequence: 0, messages: 0)
        }
        for place in bytes.indices {
            for bit in [UInt8(1), 0x80, 0xFF] {
                var damaged = bytes
                damaged[place] ^= bit
                #expect(throws: SnapshotFailure.self, "byte \(place)") { try read(damaged, pieces: 5) }
            }
        }
        for count in bytes.indices {
            #expect(throws: SnapshotFailure.self, "\(count) bytes") { try read(Array(bytes[..<count])) }
        }
        #expect(throws: SnapshotFailure.self) { try read(bytes + [0]) }
    }

    @Test func framesCannotBeMoved() throws {
        func frames(_ build: (inout SnapshotEncoder) -> Void) -> [UInt8] {
            var encoder = SnapshotEncoder()
            build(&encoder)
            return encoder.take(1 << 20)
        }
        let both = frames {
            $0.add(.consumer, [1])
            $0.add(.consumer, [2])
        }
        let end = frames {
            $0.add(.consumer, [1])
            $0.add(.consumer, [2])
            $0.addEnd(lastSequence: 0, messages: 0)
        }[both.count...]
        let one = 13
        for contents in [both[..<(16 + one)] + end, both[..<16] + both[(16 + one)...] + both[16..<(16 + one)] + end] {
            var bytes = S2Stream.identifier
            S2Stream.append(block: Array(contents), to: &bytes)
            #expect(throws: SnapshotFailure.self) { try read(bytes) }
        }
    }

    @Test func otherFilesAreRefused() throws {
        func reason(_ bytes: [UInt8]) -> String {
            do {
                _ = try read(bytes)
                return ""
            } catch { return "\(error)" }
        }
        #expect(reason([]) == "the snapshot is empty")
        #expect(reason(Array("junk that is longer than a head".utf8)) == "this is no snapshot of Bellhop")
        // As nats-server's begin: one large block, or a compressed one.
        #expect(reason(S2Stream.identifier + [0x01, 0x51, 0x61, 0x02, 0x79, 0x74]).contains("nats-server"))
        #expect(reason(S2Stream.identifier + [0x00, 0x51, 0x61, 0x00, 0x79, 0x74]).contains("nats-server"))
        var archive = S2Stream.identifier
        S2Stream.append(block: Array("NATSARC1 and more".utf8), to: &archive)
        #expect(reason(archive).contains("nats-server"))
        var later = S2Stream.identifier
        var head = SnapshotEncoder().bytes
        head[8] = 2
        head.replaceSubrange(
            12..<16, with: withUnsafeBytes(of: head[..<12].withUnsafeBytes { Checksum.crc32c($0) }) { Array($0) })
        S2Stream.append(block: head, to: &later)
        #expect(reason(later) == "the snapshot has format 2, this server reads 1")
    }

    @Test func blocksAreAsS2HasThem() {
        var bytes: [UInt8] = []
        S2Stream.append(block: Array("123456789".utf8), to: &bytes)
        // CRC-32C of "123456789" is E3069283.
        let masked = (UInt32(0xE306_9283) >> 15 | UInt32(0xE306_9283) << 17) &+ 0xA282_EAD8
        #expect(bytes == [1, 13, 0, 0] + withUnsafeBytes(of: masked.littleEndian) { Array($0) } + Array("123456789".utf8))
    }
}
