// Compares what a client sent with what the configuration holds: plain text or a bcrypt hash.

import CCrypt
import Glibc

/// A password or token of the configuration.
///
/// A hash is anything that looks like `$2a$10$...` (a, b, x or y), as on nats-server. Checking one takes about as long as
/// its cost says, 100 ms for `$2a$11$`, and so belongs on a thread that no connection waits for.
public struct Password: Sendable, Equatable {
    private let stored: [UInt8]
    public let isHash: Bool

    public init(_ stored: String) {
        self.stored = Array(stored.utf8)
        isHash = Password.looksHashed(self.stored)
    }

    /// Whether the offered text is the password. Slow where `isHash`. Plain texts are compared in a time that depends on
    /// the length of what was offered only.
    public func matches(_ offered: String) -> Bool {
        let offered = Array(offered.utf8)
        return isHash ? Password.bcryptMatches(offered, hash: stored) : Password.equal(offered, stored)
    }

    static func looksHashed(_ text: [UInt8]) -> Bool {
        func isDigit(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") }
        return text.count >= 7 && text[0] == UInt8(ascii: "$") && text[1] == UInt8(ascii: "2")
            && Array("abxy".utf8).contains(text[2]) && text[3] == UInt8(ascii: "$")
            && isDigit(text[4]) && isDigit(text[5]) && text[6] == UInt8(ascii: "$")
    }

    /// Looks at every byte of what was offered, whatever the secret holds.
    static func equal(_ offered: [UInt8], _ secret: [UInt8]) -> Bool {
        var difference: UInt8 = offered.count == secret.count ? 0 : 1
        for (index, byte) in offered.enumerated() {
            difference |= byte ^ (secret.isEmpty ? 0xFF : secret[index % secret.count])
        }
        return difference == 0
    }

    /// Hashes the offered text with the hash's own salt and cost. Go's bcrypt reads 2a, 2b, 2x and 2y all as the correct
    /// algorithm; libxcrypt would reproduce an old bug for 2x, so the letter is taken as b.
    private static func bcryptMatches(_ offered: [UInt8], hash: [UInt8]) -> Bool {
        // crypt_r ends the phrase at a NUL, Go hashes it: two phrases that only differ behind a NUL must not be equal.
        // Go's bcrypt refuses nothing when it compares, but hashes only 72 bytes; so does libxcrypt.
        // What follows the 60 characters of a hash does not count, there as here.
        guard hash.count >= 60, !offered.contains(0) else { return false }
        let hash = Array(hash[..<60])
        var setting = hash + [0]
        setting[2] = UInt8(ascii: "b")
        var phrase = offered + [0]
        // struct crypt_data is 32 KiB: too much for the stack of a small thread.
        let data = UnsafeMutablePointer<crypt_data>.allocate(capacity: 1)
        defer {
            explicit_bzero(data, MemoryLayout<crypt_data>.size)
            data.deallocate()
            explicit_bzero(&phrase, phrase.count)
        }
        memset(data, 0, MemoryLayout<crypt_data>.size)
        let result = phrase.withUnsafeBytes { phrase in
            setting.withUnsafeBytes { setting in
                crypt_r(phrase.bindMemory(to: CChar.self).baseAddress, setting.bindMemory(to: CChar.self).baseAddress, data)
            }
        }
        guard let result else { return false }
        var computed = Array(UnsafeRawBufferPointer(start: result, count: strlen(result)))
        guard computed.count == 60 else { return false }
        computed[2] = hash[2]
        return equal(computed, hash)
    }
}
