// Percentiles to three digits, and merging that loses nothing.

import Testing

@testable import bench

struct HistogramTests {
    @Test func smallValuesAreExact() {
        var histogram = Histogram()
        for value in UInt64(1)...1000 { histogram.record(value) }
        #expect(histogram.percentile(0.5) == 500)
        #expect(histogram.percentile(0.99) == 990)
        #expect(histogram.percentile(0.999) == 999)
        #expect(histogram.percentile(1) == 1000)
        #expect(histogram.max == 1000 && histogram.min == 1 && histogram.count == 1000)
    }

    @Test func everyValueIsWithinATenthOfAPercent() {
        var random = SplitMix(state: 42)
        for _ in 0..<2_000 {
            let value = random.next() >> (22 + random.next() % 40)
            var histogram = Histogram()
            histogram.record(value)
            histogram.record(UInt64.max >> 20)
            let read = histogram.percentile(0.5)
            #expect(read >= value && Double(read - value) <= Double(value) / 1024, "value \(value)")
        }
    }

    @Test func mergingIsAddingAll() {
        var (one, two, both) = (Histogram(), Histogram(), Histogram())
        var random = SplitMix(state: 1)
        for number in 0..<10_000 {
            let value = random.next() >> 40
            if number % 3 == 0 { one.record(value) } else { two.record(value) }
            both.record(value)
        }
        one.merge(two)
        #expect(one == both)
    }

    @Test func emptyAndOverflowing() {
        var histogram = Histogram()
        #expect(histogram.percentile(0.5) == 0)
        #expect(LatencySummary(histogram) == nil)
        histogram.record(UInt64.max)
        #expect(histogram.percentile(0.5) <= UInt64.max && histogram.max == UInt64.max)
    }
}
