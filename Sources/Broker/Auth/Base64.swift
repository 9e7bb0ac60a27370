// Decodes base64, both alphabets, the way Go's decoders do.

/// RFC 4648 base64. As in Go, CR and LF are skipped, and stray bits in the last digit do not matter.
enum Base64 {
    enum Alphabet { case standard, url }

    /// nil for a foreign byte or a wrong length. Padding is required or forbidden, never optional.
    static func decode(_ text: some Collection<UInt8>, _ alphabet: Alphabet, padded: Bool) -> [UInt8]? {
        var digits = text.filter { $0 != 0x0A && $0 != 0x0D }
        if padded {
            guard digits.count % 4 == 0 else { return nil }
            for _ in 0..<2 where digits.last == UInt8(ascii: "=") { digits.removeLast() }
        }
        guard digits.count % 4 != 1 else { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(digits.count * 3 / 4)
        var bits: UInt32 = 0
        var bitCount = 0
        for digit in digits {
            guard let value = value(of: digit, alphabet) else { return nil }
            bits = bits << 6 | value
            bitCount += 6
            if bitCount >= 8 {
                bitCount -= 8
                bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(bitCount)))
            }
        }
        return bytes
    }

    private static func value(of digit: UInt8, _ alphabet: Alphabet) -> UInt32? {
        switch (digit, alphabet) {
        case (UInt8(ascii: "A")...UInt8(ascii: "Z"), _): UInt32(digit - UInt8(ascii: "A"))
        case (UInt8(ascii: "a")...UInt8(ascii: "z"), _): UInt32(digit - UInt8(ascii: "a") + 26)
        case (UInt8(ascii: "0")...UInt8(ascii: "9"), _): UInt32(digit - UInt8(ascii: "0") + 52)
        case (UInt8(ascii: "+"), .standard), (UInt8(ascii: "-"), .url): 62
        case (UInt8(ascii: "/"), .standard), (UInt8(ascii: "_"), .url): 63
        default: nil
        }
    }
}
