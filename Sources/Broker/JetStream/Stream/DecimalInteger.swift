// Integers of any size: what counters add up.

import Wire

/// Sign and magnitude, in groups of nine decimal digits, the lowest first: counters are read and written as decimal text far more
/// often than added. Limited by the size of a message.
struct DecimalInteger: Equatable, Sendable {
    private static let base: UInt32 = 1_000_000_000
    private var isNegative = false
    /// Empty for zero; no leading zero group.
    private var groups: [UInt32] = []

    init() {}

    /// An optional sign and digits, nothing else. nil for any other text.
    init?(_ text: ByteView) {
        var start = 0
        if let sign = text.buffer.first, sign == 0x2B || sign == 0x2D {
            isNegative = sign == 0x2D
            start = 1
        }
        guard start < text.count else { return nil }
        for index in start..<text.count where text[index] &- 0x30 > 9 { return nil }
        var end = text.count
        while end > start {
            let from = max(start, end - 9)
            var group: UInt32 = 0
            for index in from..<end { group = group * 10 + UInt32(text[index] &- 0x30) }
            groups.append(group)
            end = from
        }
        normalize()
    }

    static func + (a: DecimalInteger, b: DecimalInteger) -> DecimalInteger {
        var sum = DecimalInteger()
        if a.isNegative == b.isNegative {
            sum.isNegative = a.isNegative
            sum.groups = added(a.groups, b.groups)
        } else if isLess(a.groups, b.groups) {
            sum.isNegative = b.isNegative
            sum.groups = subtracted(b.groups, a.groups)
        } else {
            sum.isNegative = a.isNegative
            sum.groups = subtracted(a.groups, b.groups)
        }
        sum.normalize()
        return sum
    }

    static func - (a: DecimalInteger, b: DecimalInteger) -> DecimalInteger {
        var negated = b
        negated.isNegative.toggle()
        return a + negated
    }

    private mutating func normalize() {
        while groups.last == 0 { groups.removeLast() }
        if groups.isEmpty { isNegative = false }
    }

    private static func isLess(_ a: [UInt32], _ b: [UInt32]) -> Bool {
        if a.count != b.count { return a.count < b.count }
        for index in a.indices.reversed() where a[index] != b[index] { return a[index] < b[index] }
        return false
    }

    private static func added(_ a: [UInt32], _ b: [UInt32]) -> [UInt32] {
        var sum: [UInt32] = []
        sum.reserveCapacity(max(a.count, b.count) + 1)
        var carry: UInt32 = 0
        for index in 0..<max(a.count, b.count) {
            let digit = (index < a.count ? a[index] : 0) + (index < b.count ? b[index] : 0) + carry
            carry = digit >= base ? 1 : 0
            sum.append(digit - carry * base)
        }
        if carry > 0 { sum.append(carry) }
        return sum
    }

    /// `a` is not less than `b`.
    private static func subtracted(_ a: [UInt32], _ b: [UInt32]) -> [UInt32] {
        var difference: [UInt32] = []
        difference.reserveCapacity(a.count)
        var borrow: UInt32 = 0
        for index in a.indices {
            let taken = (index < b.count ? b[index] : 0) + borrow
            borrow = a[index] < taken ? 1 : 0
            difference.append(a[index] + borrow * base - taken)
        }
        return difference
    }
}

extension DecimalInteger: CustomStringConvertible {
    var description: String {
        guard let highest = groups.last else { return "0" }
        var text = isNegative ? "-\(highest)" : "\(highest)"
        for group in groups.dropLast().reversed() {
            let digits = String(group)
            text += String(repeating: "0", count: 9 - digits.count) + digits
        }
        return text
    }
}

extension DecimalInteger {
    init?(_ text: String) {
        var text = text
        guard let value = text.withUTF8({ DecimalInteger(ByteView(UnsafeRawBufferPointer($0))) }) else { return nil }
        self = value
    }
}
