// Which ordering key each message has: drawn evenly or by Zipf's law, always the same for the same number.

import Glibc

/// What keys there are.
struct KeyPlan: Sendable, Equatable {
    var keys = 10_000
    /// Zipf's exponent: key `r` (from 1) is drawn in proportion to `1 / r^exponent`. nil: all alike.
    var zipf: Double?
    /// The share of keys whose every message fails.
    var failing = 0.0
}

/// Draws a key for each message's number. Which keys fail is drawn, too.
struct KeyDraw: Sendable {
    let keys: Int
    /// For Zipf: the probability of this key or one before it.
    private let cumulative: [Double]
    private let failingBelow: UInt64

    init(_ plan: KeyPlan) {
        keys = plan.keys
        failingBelow = UInt64(plan.failing * 0x1p53)
        guard let exponent = plan.zipf else {
            cumulative = []
            return
        }
        var sum = 0.0
        let sums = (1...plan.keys).map { rank in
            sum += pow(Double(rank), -exponent)
            return sum
        }
        cumulative = sums.map { $0 / sum }
    }

    /// The key of message `number`.
    @inline(__always)
    func key(of number: Int) -> Int {
        var random = SplitMix(state: UInt64(truncatingIfNeeded: number) &* 0xD134_2543_DE82_EF95)
        let bits = random.next()
        if cumulative.isEmpty { return Int(((bits >> 32) &* UInt64(keys)) >> 32) }
        let wanted = Double(bits >> 11) * 0x1p-53
        var low = 0
        var high = keys - 1
        while low < high {
            let middle = (low + high) / 2
            if cumulative[middle] > wanted { high = middle } else { low = middle + 1 }
        }
        return low
    }

    @inline(__always)
    func fails(_ key: Int) -> Bool {
        guard failingBelow > 0 else { return false }
        var random = SplitMix(state: UInt64(truncatingIfNeeded: key) ^ 0x5EED)
        return random.next() >> 11 < failingBelow
    }
}
