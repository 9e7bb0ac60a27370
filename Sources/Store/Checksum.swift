// The checksum of everything that the store writes.

import CLinux

/// CRC-32C, as iSCSI (RFC 3720, B.4) and most storage formats use it: the CPU computes it at several bytes a cycle.
public enum Checksum {
    /// - Parameter seed: the sum of what came before, so that a sum can be taken in pieces; 0 at the start.
    @inline(__always)
    public static func crc32c(_ base: UnsafeRawPointer, _ count: Int, seed: UInt32 = 0) -> UInt32 {
        clinux_crc32c(seed, base, count)
    }

    public static func crc32c(_ bytes: UnsafeRawBufferPointer, seed: UInt32 = 0) -> UInt32 {
        guard let base = bytes.baseAddress else { return seed }
        return clinux_crc32c(seed, base, bytes.count)
    }

    /// Goes on over a number, in little-endian order: for what a record is bound to without holding it, such as its place.
    @inline(__always)
    public static func crc32c(_ number: UInt64, seed: UInt32 = 0) -> UInt32 {
        withUnsafeBytes(of: number.littleEndian) { crc32c($0, seed: seed) }
    }
}
