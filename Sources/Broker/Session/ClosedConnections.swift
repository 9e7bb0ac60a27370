// The connections that closed lately, for /connz?state=closed.

/// A ring of snapshots: the oldest goes when it is full.
struct ClosedConnections {
    private var entries: [ClientSnapshot] = []
    private var oldest = 0
    /// Closed since the start, those that have left the ring included.
    private(set) var total = 0

    mutating func append(_ snapshot: ClientSnapshot, capacity: Int) {
        total += 1
        guard capacity > 0 else { return }
        if entries.count < capacity {
            entries.append(snapshot)
        } else {
            entries[oldest % entries.count] = snapshot
            oldest = (oldest + 1) % entries.count
        }
    }

    var all: [ClientSnapshot] { entries }
}
