// Answers that may go out only once a commit has finished.

import Store

/// Actions with the commit that each waits for, in order.
struct CommitWaits {
    private var waits: [(ticket: UInt64, action: (StoreError?) -> Void)] = []

    var isEmpty: Bool { waits.isEmpty }

    mutating func add(_ ticket: UInt64, _ action: @escaping (StoreError?) -> Void) { waits.append((ticket, action)) }

    /// Takes out the actions whose commit is among the finished ones.
    mutating func take(finished: UInt64) -> [(StoreError?) -> Void] {
        let count = waits.firstIndex { $0.ticket > finished } ?? waits.count
        guard count > 0 else { return [] }
        defer { waits.removeFirst(count) }
        return waits[..<count].map(\.action)
    }

    mutating func takeAll() -> [(StoreError?) -> Void] {
        defer { waits = [] }
        return waits.map(\.action)
    }
}
