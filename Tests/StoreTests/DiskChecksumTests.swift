import CLinux
import Testing

@testable import Store

@Suite struct ChecksumTests {
    private func sum(_ bytes: [UInt8]) -> UInt32 { bytes.withUnsafeBytes { Checksum.crc32c($0) } }

    /// RFC 3720, B.4, and the check value of the catalogue of CRCs.
    @Test func knownAnswers() {
        #expect(sum([]) == 0)
        #expect(sum(Array("123456789".utf8)) == 0xE306_9283)
        #expect(sum(Array(repeating: 0, count: 32)) == 0x8A91_36AA)
        #expect(sum(Array(repeating: 0xFF, count: 32)) == 0x62A8_AB43)
        #expect(sum(Array(0..<32)) == 0x46DD_794E)
        #expect(sum(Array((0..<32).reversed())) == 0x113F_DB5C)
    }

    @Test func tablesAndInstructionAgreeAtEveryLengthAndInPieces() {
        let bytes = (0..<5000).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 7) }
        bytes.withUnsafeBytes { buffer in
            guard let base = buffer.baseAddress else { return }
            for count in Array(0..<2000) + [2303, 2304, 2305, 4097, 4990] {
                let start = count % 9
                let whole = Checksum.crc32c(base + start, count)
                #expect(whole == clinux_crc32c_tables(0, base + start, count))
                let cut = count * 3 / 7
                let first = Checksum.crc32c(base + start, cut)
                #expect(Checksum.crc32c(base + start + cut, count - cut, seed: first) == whole)
            }
        }
    }

    @Test func aNumberIsItsEightBytes() {
        let bytes: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8]
        #expect(Checksum.crc32c(0x0807_0605_0403_0201, seed: 7) == bytes.withUnsafeBytes { Checksum.crc32c($0, seed: 7) })
    }
}
