// A latency histogram: log-linear buckets in the manner of HdrHistogram, three significant digits, mergeable.

/// Counts values (nanoseconds, but it does not care) with a relative error below 1/1024.
///
/// Values under 2,048 have a bucket each. Above, every power of two is cut into 1,024 equal buckets:
/// `exponent = bit width - 11`, `index = exponent * 1024 + (value >> exponent)`, which is continuous because
/// `value >> exponent` runs from 1,024 to 2,047.
struct Histogram: Sendable, Equatable {
    /// 2^43 ns is about 2.4 hours; longer values land in the last bucket.
    private static let exponentMax = 32
    private static let bucketCount = exponentMax * 1024 + 2048

    private var counts = [UInt64](repeating: 0, count: Histogram.bucketCount)
    /// How many values were recorded.
    private(set) var count: UInt64 = 0
    /// The largest value, exactly; 0 when empty.
    private(set) var max: UInt64 = 0
    /// The smallest value, exactly; `UInt64.max` when empty.
    private(set) var min = UInt64.max

    init() {}

    /// Records `value`, `times` times over.
    @inline(__always)
    mutating func record(_ value: UInt64, times: UInt64 = 1) {
        counts[Histogram.index(of: value)] &+= times
        count &+= times
        if value > max { max = value }
        if value < min { min = value }
    }

    /// Adds all that `other` recorded.
    mutating func merge(_ other: Histogram) {
        for index in counts.indices { counts[index] &+= other.counts[index] }
        count &+= other.count
        if other.max > max { max = other.max }
        if other.min < min { min = other.min }
    }

    /// The smallest recorded value, to three digits, that at least `fraction` (0...1) of all values do not exceed.
    /// 0 when empty; never more than `max`.
    func percentile(_ fraction: Double) -> UInt64 {
        guard count > 0 else { return 0 }
        let wanted = Swift.max(1, UInt64((fraction * Double(count)).rounded(.up)))
        var seen: UInt64 = 0
        for index in counts.indices where counts[index] > 0 {
            seen &+= counts[index]
            if seen >= wanted { return Swift.min(Histogram.highest(in: index), max) }
        }
        return max
    }

    @inline(__always)
    private static func index(of value: UInt64) -> Int {
        let exponent = Swift.max(0, 53 &- value.leadingZeroBitCount)
        if exponent > exponentMax { return bucketCount - 1 }
        return exponent &* 1024 &+ Int(truncatingIfNeeded: value >> UInt64(exponent))
    }

    /// The largest value that falls into the bucket.
    private static func highest(in index: Int) -> UInt64 {
        if index < 2048 { return UInt64(index) }
        let exponent = UInt64(index / 1024 - 1)
        let scaled = UInt64(index) - exponent * 1024
        return ((scaled + 1) << exponent) - 1
    }
}
