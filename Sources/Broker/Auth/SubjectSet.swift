// A fixed set of patterns, compiled so that asking for a match costs the tokens of the subject, not the patterns of the set.

import Wire

/// An immutable trie of patterns: one node per distinct beginning, its edges in one hash table, `*` beside it.
///
/// Sendable and allocation-free to ask, so that connections on every loop share one.
struct SubjectSet: Sendable {
    private struct Node: Sendable {
        /// The node behind a `*` here, or -1.
        var star: Int32 = -1
        /// A pattern ends here.
        var ends = false
        /// A pattern goes on from here with `>`.
        var endsFull = false
    }

    /// From a node by one literal token to the next. An empty slot has parent -1.
    private struct Edge: Sendable {
        var parent: Int32 = -1
        var child: Int32 = -1
        var hash: UInt32 = 0
        var offset = 0
        var count = 0
    }

    private var nodes = [Node()]
    /// Open addressing; a power of two, at most half full.
    private var edges = [Edge](repeating: Edge(), count: 8)
    private var edgeCount = 0
    /// The literal tokens, one behind the other.
    private var tokens: [UInt8] = []
    /// The patterns as they were given, for the questions that only a SUB asks.
    let patterns: [[UInt8]]

    var isEmpty: Bool { patterns.isEmpty }

    /// Patterns that are no valid subject match nothing, as on nats-server, which leaves them out;
    /// the configuration refuses them before they come here.
    init(_ texts: [[UInt8]]) {
        patterns = texts.filter { text in text.withUnsafeBytes { Subject.isValid(ByteView($0)) } }
        for pattern in patterns { insert(pattern) }
    }

    private mutating func insert(_ pattern: [UInt8]) {
        var node: Int32 = 0
        for token in pattern.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false) {
            if token.elementsEqual([UInt8(ascii: ">")]) {
                nodes[Int(node)].endsFull = true
                return
            }
            node = token.elementsEqual([UInt8(ascii: "*")]) ? star(of: node) : child(of: node, by: Array(token))
        }
        nodes[Int(node)].ends = true
    }

    private mutating func appendNode() -> Int32 {
        nodes.append(Node())
        return Int32(nodes.count - 1)
    }

    private mutating func star(of node: Int32) -> Int32 {
        if nodes[Int(node)].star < 0 { nodes[Int(node)].star = appendNode() }
        return nodes[Int(node)].star
    }

    private mutating func child(of node: Int32, by token: [UInt8]) -> Int32 {
        let found = token.withUnsafeBytes { token in
            withTables { $0.child(of: node, by: ByteView(token)) }
        }
        if found >= 0 { return found }
        if (edgeCount + 1) * 2 > edges.count { grow() }
        let hash = token.withUnsafeBytes { Tables.hash(node, ByteView($0)) }
        let edge = Edge(parent: node, child: appendNode(), hash: hash, offset: tokens.count, count: token.count)
        tokens += token
        place(edge)
        edgeCount += 1
        return edge.child
    }

    private mutating func place(_ edge: Edge) {
        var slot = Int(edge.hash) & (edges.count - 1)
        while edges[slot].parent >= 0 { slot = (slot + 1) & (edges.count - 1) }
        edges[slot] = edge
    }

    private mutating func grow() {
        let old = edges
        edges = [Edge](repeating: Edge(), count: old.count * 2)
        for edge in old where edge.parent >= 0 { place(edge) }
    }

    /// Whether some pattern matches the subject, whose own wildcards are ordinary tokens.
    func matches(_ subject: ByteView) -> Bool {
        if patterns.isEmpty || Subject.hasEmptyToken(subject) { return false }
        return withTables { $0.matches(subject, from: 0, at: 0) }
    }

    /// Whether some pattern and this one can match the same subject. Looks at every pattern.
    func overlaps(_ pattern: ByteView) -> Bool {
        patterns.contains { $0.withUnsafeBytes { Subject.overlaps(ByteView($0), pattern) } }
    }

    /// Whether one of the patterns matches all that this one does. Looks at every pattern.
    func covers(_ pattern: ByteView) -> Bool {
        patterns.contains { $0.withUnsafeBytes { Subject.isSubset(pattern, of: ByteView($0)) } }
    }

    private func withTables<R>(_ body: (borrowing Tables) -> R) -> R {
        nodes.withUnsafeBufferPointer { nodes in
            edges.withUnsafeBufferPointer { edges in
                tokens.withUnsafeBufferPointer { tokens in body(Tables(nodes: nodes, edges: edges, tokens: tokens)) }
            }
        }
    }

    /// The three tables, without their reference counts.
    private struct Tables {
        let nodes: UnsafeBufferPointer<Node>
        let edges: UnsafeBufferPointer<Edge>
        let tokens: UnsafeBufferPointer<UInt8>

        /// As deep as the longest pattern at most, and through each node once at most.
        func matches(_ subject: ByteView, from node: Int32, at start: Int) -> Bool {
            let here = nodes[Int(node)]
            if here.endsFull { return true }
            var end = start
            while end < subject.count && subject[end] != UInt8(ascii: ".") { end += 1 }
            let child = child(of: node, by: ByteView(subject.base + start, end - start))
            return leads(child, subject, end) || leads(here.star, subject, end)
        }

        private func leads(_ next: Int32, _ subject: ByteView, _ end: Int) -> Bool {
            if next < 0 { return false }
            return end == subject.count ? nodes[Int(next)].ends : matches(subject, from: next, at: end + 1)
        }

        func child(of node: Int32, by token: ByteView) -> Int32 {
            let hash = Tables.hash(node, token)
            var slot = Int(hash) & (edges.count - 1)
            while edges[slot].parent >= 0 {
                let edge = edges[slot]
                if edge.hash == hash, edge.parent == node, let base = tokens.baseAddress,
                    ByteView(base + edge.offset, edge.count) == token
                {
                    return edge.child
                }
                slot = (slot + 1) & (edges.count - 1)
            }
            return -1
        }

        /// FNV-1a over the token, seeded with the node.
        static func hash(_ node: Int32, _ token: ByteView) -> UInt32 {
            var hash = 2_166_136_261 ^ UInt32(bitPattern: node) &* 0x9E37_79B9
            for byte in token.buffer { hash = (hash ^ UInt32(byte)) &* 16_777_619 }
            return hash ^ hash >> 15
        }
    }
}
