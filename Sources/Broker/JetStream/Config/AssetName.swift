// What a stream or consumer may be called.

/// Names end up in subjects and in file names.
enum AssetName {
    static func isValid(_ name: String) -> Bool {
        !name.isEmpty
            && !name.utf8.contains { byte in
                switch byte {
                case UInt8(ascii: "."), UInt8(ascii: "*"), UInt8(ascii: ">"), UInt8(ascii: "/"), UInt8(ascii: "\\"), 0x20, 0x09,
                    0x0A, 0x0C, 0x0D:
                    true
                default: false
                }
            }
    }

    static func hasPathSeparators(_ name: String) -> Bool {
        name.utf8.contains { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "\\") }
    }
}
