// NATS keys: Ed25519 keys spelled in base32, with a letter that says whose key it is.

/// A public key. On the wire it is base32, without padding, of
///
///     +--------+------------------+-------------------+
///     | prefix |  public key, 32  | CRC-16, 2, little |
///     +--------+------------------+-------------------+
///
/// which makes 56 characters that begin with the letter of the prefix. After github.com/nats-io/nkeys.
public struct NKey: Sendable, Equatable, Hashable {
    public enum Kind: UInt8, Sendable {
        // The first five bits are the letter's place in the alphabet.
        case account = 0x00  // A
        case cluster = 0x10  // C
        case server = 0x68  // N
        case `operator` = 0x70  // O
        case user = 0xA0  // U
        case curve = 0xB8  // X
    }

    public static let textBytes = 56

    public let kind: Kind
    /// 32 bytes.
    public let publicKey: [UInt8]

    init?(kind: Kind, publicKey: [UInt8]) {
        guard publicKey.count == Ed25519.keyBytes else { return nil }
        self.kind = kind
        self.publicKey = publicKey
    }

    /// Reads a key; nil where letter, length, alphabet or checksum is wrong.
    public init?(_ text: String) {
        guard text.utf8.count == NKey.textBytes, let bytes = Base32.decode(text.utf8), bytes.count == 35,
            let kind = Kind(rawValue: bytes[0]),
            CRC16.checksum(bytes[..<33]) == UInt16(bytes[33]) | UInt16(bytes[34]) << 8
        else { return nil }
        self.kind = kind
        self.publicKey = Array(bytes[1..<33])
    }

    /// The 56 characters.
    public var text: String {
        var bytes = [kind.rawValue] + publicKey
        let checksum = CRC16.checksum(bytes[...])
        bytes.append(UInt8(truncatingIfNeeded: checksum))
        bytes.append(UInt8(truncatingIfNeeded: checksum >> 8))
        return Base32.encode(bytes)
    }

    /// Whether this key signed the message. The signature is base64 as clients send it: the URL alphabet without
    /// padding, or else the standard one with it, as on nats-server.
    public func verify(signature: String, of message: [UInt8]) -> Bool {
        let text = signature.utf8
        guard let bytes = Base64.decode(text, .url, padded: false) ?? Base64.decode(text, .standard, padded: true) else {
            return false
        }
        return Ed25519.verify(signature: bytes, of: message, by: publicKey)
    }

    /// A random public key, whose private half nobody has: what names a server (N...).
    /// nil only where the system has no randomness.
    public static func random(_ kind: Kind) -> NKey? {
        Ed25519.randomBytes(Ed25519.keyBytes).flatMap { NKey(kind: kind, publicKey: $0) }
    }
}

/// RFC 4648 base32 without padding.
enum Base32 {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".utf8)

    static func encode(_ bytes: [UInt8]) -> String {
        var text: [UInt8] = []
        var bits: UInt32 = 0
        var bitCount: UInt32 = 0
        for byte in bytes {
            bits = bits << 8 | UInt32(byte)
            bitCount += 8
            while bitCount >= 5 {
                bitCount -= 5
                text.append(alphabet[Int(bits >> bitCount & 31)])
            }
        }
        if bitCount > 0 { text.append(alphabet[Int(bits << (5 - bitCount) & 31)]) }
        return String(decoding: text, as: UTF8.self)
    }

    /// nil for a foreign character. Bits beyond the last whole byte must be zero, so that each key has one spelling.
    static func decode(_ text: some Sequence<UInt8>) -> [UInt8]? {
        var bytes: [UInt8] = []
        var bits: UInt32 = 0
        var bitCount: UInt32 = 0
        for character in text {
            let digit: UInt8
            switch character {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): digit = character - UInt8(ascii: "A")
            case UInt8(ascii: "2")...UInt8(ascii: "7"): digit = character - UInt8(ascii: "2") + 26
            default: return nil
            }
            bits = bits << 5 | UInt32(digit)
            bitCount += 5
            if bitCount >= 8 {
                bitCount -= 8
                bytes.append(UInt8(truncatingIfNeeded: bits >> bitCount))
            }
        }
        guard bits & (1 << bitCount - 1) == 0 else { return nil }
        return bytes
    }
}

/// CRC-16/XMODEM: polynomial 0x1021, starting from zero.
enum CRC16 {
    static func checksum(_ bytes: some Sequence<UInt8>) -> UInt16 {
        var crc: UInt16 = 0
        for byte in bytes {
            crc ^= UInt16(byte) << 8
            for _ in 0..<8 { crc = crc & 0x8000 == 0 ? crc << 1 : crc << 1 ^ 0x1021 }
        }
        return crc
    }
}
