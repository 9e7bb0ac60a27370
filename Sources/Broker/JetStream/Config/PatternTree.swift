// Patterns by their tokens, to find out which of many overlap without comparing each with each.

import Wire

/// Takes valid patterns. Its answers are those of `Subject.overlaps` and `Subject.isSubset`.
struct PatternTree {
    private struct Node {
        var children: [[UInt8]: Int] = [:]
        /// Patterns that end here.
        var ends = 0
        /// Patterns that end further down.
        var below = 0
    }
    private var nodes = [Node()]

    init(_ patterns: [String]) {
        for pattern in patterns {
            var node = 0
            for token in PatternTree.tokens(pattern) {
                nodes[node].below += 1
                if let child = nodes[node].children[token] {
                    node = child
                } else {
                    nodes.append(Node())
                    nodes[node].children[token] = nodes.count - 1
                    node = nodes.count - 1
                }
            }
            nodes[node].ends += 1
        }
    }

    /// Compared by their bytes: `String` takes different spellings of a letter for the same.
    private static func tokens(_ pattern: String) -> [[UInt8]] {
        pattern.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false).map { Array($0) }
    }
    private static let one = [UInt8(ascii: "*")]
    private static let rest = [UInt8(ascii: ">")]

    /// Whether at least `count` of the patterns overlap with one, which may be among them itself.
    func overlaps(_ pattern: String, atLeast count: Int) -> Bool {
        let tokens = PatternTree.tokens(pattern)
        var left = count
        countOverlaps(0, tokens[...], &left)
        return left <= 0
    }

    private func countOverlaps(_ place: Int, _ tokens: ArraySlice<[UInt8]>, _ left: inout Int) {
        let node = nodes[place]
        guard left > 0 else { return }
        guard let token = tokens.first else {
            left -= node.ends
            return
        }
        if token == PatternTree.rest {
            left -= node.below
            return
        }
        if let rest = node.children[PatternTree.rest] { left -= nodes[rest].ends }
        let others = tokens.dropFirst()
        if token == PatternTree.one {
            for (name, child) in node.children where name != PatternTree.rest { countOverlaps(child, others, &left) }
            return
        }
        if let child = node.children[token] { countOverlaps(child, others, &left) }
        if let child = node.children[PatternTree.one] { countOverlaps(child, others, &left) }
    }

    /// Whether at least `count` of the patterns match all that one matches, which may be among them itself.
    func contains(_ pattern: String, atLeast count: Int) -> Bool {
        let tokens = PatternTree.tokens(pattern)
        var left = count
        countContaining(0, tokens[...], &left)
        return left <= 0
    }

    private func countContaining(_ place: Int, _ tokens: ArraySlice<[UInt8]>, _ left: inout Int) {
        let node = nodes[place]
        guard left > 0 else { return }
        guard let token = tokens.first else {
            left -= node.ends
            return
        }
        if let rest = node.children[PatternTree.rest] { left -= nodes[rest].ends }
        if token == PatternTree.rest { return }
        let others = tokens.dropFirst()
        if token != PatternTree.one, let child = node.children[token] { countContaining(child, others, &left) }
        if let child = node.children[PatternTree.one] { countContaining(child, others, &left) }
    }
}
