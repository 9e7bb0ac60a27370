// Which of many patterns overlap, and which lie within others: found by their tokens, or by comparing each with each.

import StoreKit
import Testing

@testable import Broker

@Suite struct APIPatternTests {
    @Test(arguments: 1...20 as ClosedRange<UInt64>) func agreesWithComparing(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        for round in 0..<200 {
            let patterns = (0..<random.below(8) + 1).map { _ in
                var tokens = (0..<random.below(4) + 1).map { _ in ["a", "b", "c", "*"][random.below(4)] }
                if random.below(4) == 0 { tokens.append(">") }
                return tokens.joined(separator: ".")
            }
            let tree = PatternTree(patterns)
            for pattern in patterns + [">", "*", "a.b.c", "a.>", "*.*"] {
                let overlapping = patterns.count { SubjectText.overlap($0, pattern) }
                let containing = patterns.count { SubjectText.isSubset(pattern, of: $0) }
                for count in 1...2 {
                    let place = "seed \(seed), round \(round): \(pattern) and \(patterns)"
                    #expect(tree.overlaps(pattern, atLeast: count) == (overlapping >= count), "overlaps: \(place)")
                    #expect(tree.contains(pattern, atLeast: count) == (containing >= count), "contains: \(place)")
                }
            }
        }
    }

    /// As many as fit into a request.
    @Test func takesManySubjectsAndFilters() throws {
        let subjects = (0..<12_000).map { "orders.\($0).*" }
        var stream = StreamConfig()
        stream.name = "S"
        stream.subjects = subjects
        stream = try stream.checked(pedantic: false, limits: JetStreamLimits(), directory: StreamDirectory())
        #expect(stream.subjects.count == 12_000)
        stream.subjects.append("orders.11999.x")
        do {
            _ = try stream.checked(pedantic: false, limits: JetStreamLimits(), directory: StreamDirectory())
            Issue.record("an overlap was not found")
        } catch {
            #expect(error.description.contains(#"subject "orders.11999.*" overlaps with "orders.11999.x""#))
        }
    }
}
