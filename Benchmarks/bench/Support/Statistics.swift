// The few statistics a comparison needs: medians and ranges of small samples.

/// The median with the smallest and the largest value.
struct Spread: Sendable, Equatable {
    let median: Double
    let min: Double
    let max: Double

    /// nil for an empty sample. Of an even number the median is the mean of the middle two.
    init?(_ values: [Double]) {
        let sorted = values.sorted()
        guard let first = sorted.first, let last = sorted.last else { return nil }
        let middle = sorted.count / 2
        median = sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
        min = first
        max = last
    }
}
