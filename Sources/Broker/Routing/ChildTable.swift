// The literal children of a node of the subject index, found by the hash of their token.

import Glibc
import Synchronization
import Wire

/// The literal children of a node: open addressing over node addresses, at most half full.
///
///     | mask | used | live | slots ... |      a slot: 0 empty, 1 removed, else a node
enum ChildTable {
    private static let removed: UInt = 1
    private static let headWords = 3
    private typealias Words = UnsafeMutablePointer<Atomic<UInt>>

    private static func table(_ node: NodeRef) -> Words? {
        Words(bitPattern: node.pointee.children.load(ordering: .acquiring))
    }

    private static func make(capacity: Int) -> Words {
        let words = headWords + capacity
        guard let memory = malloc(words * MemoryLayout<Atomic<UInt>>.stride) else { fatalError("out of memory") }
        let table = memory.bindMemory(to: Atomic<UInt>.self, capacity: words)
        for index in 0..<words { (table + index).initialize(to: Atomic(0)) }
        table[0].store(UInt(capacity - 1), ordering: .relaxed)
        return table
    }

    @inline(__always)
    static func find(_ node: NodeRef, _ token: UnsafePointer<UInt8>, _ count: Int, _ hash: UInt64) -> NodeRef? {
        guard let table = table(node) else { return nil }
        let mask = table[0].load(ordering: .relaxed)
        var index = UInt(truncatingIfNeeded: hash) & mask
        while true {
            let word = table[headWords + Int(index)].load(ordering: .acquiring)
            if word == 0 { return nil }
            if word != removed, let child = NodeRef(bitPattern: word), child.pointee.hash == hash,
                child.pointee.tokenCount == count, memcmp(Node.token(child).base, token, count) == 0
            {
                return child
            }
            index = (index &+ 1) & mask
        }
    }

    static func insert(_ node: NodeRef, _ child: NodeRef, retire: SubjectIndex.Retire) {
        var table: Words
        if let current = Self.table(node) {
            table = current
            let mask = current[0].load(ordering: .relaxed)
            if (current[1].load(ordering: .relaxed) + 1) * 2 > mask + 1 {
                table = rebuild(node, current, retire: retire)
            }
        } else {
            table = make(capacity: 4)
            node.pointee.children.store(UInt(bitPattern: table), ordering: .releasing)
        }
        place(table, child)
    }

    private static func place(_ table: Words, _ child: NodeRef) {
        let mask = table[0].load(ordering: .relaxed)
        var index = UInt(truncatingIfNeeded: child.pointee.hash) & mask
        while table[headWords + Int(index)].load(ordering: .relaxed) != 0 { index = (index &+ 1) & mask }
        table[1].wrappingAdd(1, ordering: .relaxed)
        table[2].wrappingAdd(1, ordering: .relaxed)
        table[headWords + Int(index)].store(UInt(bitPattern: child), ordering: .releasing)
    }

    /// A table without removed slots, twice as large as what is live needs.
    private static func rebuild(_ node: NodeRef, _ old: Words, retire: SubjectIndex.Retire) -> Words {
        let live = Int(old[2].load(ordering: .relaxed))
        var capacity = 4
        while capacity < (live + 1) * 4 { capacity *= 2 }
        let table = make(capacity: capacity)
        for index in 0...Int(old[0].load(ordering: .relaxed)) {
            let word = old[headWords + index].load(ordering: .relaxed)
            if word != removed, let child = NodeRef(bitPattern: word) { place(table, child) }
        }
        node.pointee.children.store(UInt(bitPattern: table), ordering: .releasing)
        retire(UnsafeMutableRawPointer(old))
        return table
    }

    static func remove(_ node: NodeRef, _ child: NodeRef, retire: SubjectIndex.Retire) {
        guard let table = table(node) else { return }
        let mask = table[0].load(ordering: .relaxed)
        var index = UInt(truncatingIfNeeded: child.pointee.hash) & mask
        while true {
            let word = table[headWords + Int(index)].load(ordering: .relaxed)
            if word == 0 { return }
            if word == UInt(bitPattern: child) { break }
            index = (index &+ 1) & mask
        }
        let live = table[2].wrappingSubtract(1, ordering: .relaxed).newValue
        if live == 0 {
            node.pointee.children.store(0, ordering: .releasing)
            retire(UnsafeMutableRawPointer(table))
            return
        }
        table[headWords + Int(index)].store(removed, ordering: .releasing)
        if live * 16 < mask + 1 { _ = rebuild(node, table, retire: retire) }
    }

    static func forEach(_ node: NodeRef, _ body: (NodeRef) -> Void) {
        guard let table = table(node) else { return }
        for index in 0...Int(table[0].load(ordering: .relaxed)) {
            let word = table[headWords + index].load(ordering: .relaxed)
            if word != removed, let child = NodeRef(bitPattern: word) { body(child) }
        }
    }
}
