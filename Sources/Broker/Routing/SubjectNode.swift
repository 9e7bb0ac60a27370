// A node of the subject index: one token on one path, and what hangs on it.

import Glibc
import Synchronization
import Wire

typealias NodeRef = UnsafeMutablePointer<Node>

/// One token on one path, with its text behind it in the same block. The atomics hold addresses, 0 for none.
struct Node: ~Copyable {
    /// A `ChildTable`.
    let children = Atomic<UInt>(0)
    let star = Atomic<UInt>(0)
    let tail = Atomic<UInt>(0)
    /// A `SubscriptionList`.
    let plain = Atomic<UInt>(0)
    /// The first `QueueGroup`.
    let groups = Atomic<UInt>(0)
    let hash: UInt64
    let tokenCount: Int
    /// The writer's only.
    let parent: NodeRef?

    static func make(token: ByteView, hash: UInt64, parent: NodeRef?) -> NodeRef {
        guard let memory = malloc(MemoryLayout<Node>.size + token.count) else { fatalError("out of memory") }
        let node = memory.bindMemory(to: Node.self, capacity: 1)
        node.initialize(to: Node(hash: hash, tokenCount: token.count, parent: parent))
        memcpy(memory + MemoryLayout<Node>.size, token.base, token.count)
        return node
    }

    private init(hash: UInt64, tokenCount: Int, parent: NodeRef?) {
        self.hash = hash
        self.tokenCount = tokenCount
        self.parent = parent
    }

    @inline(__always)
    static func token(_ node: NodeRef) -> ByteView {
        ByteView(
            UnsafePointer((UnsafeMutableRawPointer(node) + MemoryLayout<Node>.size).assumingMemoryBound(to: UInt8.self)),
            node.pointee.tokenCount)
    }

    var isEmpty: Bool {
        children.load(ordering: .relaxed) == 0 && star.load(ordering: .relaxed) == 0 && tail.load(ordering: .relaxed) == 0
            && plain.load(ordering: .relaxed) == 0 && groups.load(ordering: .relaxed) == 0
    }

    static func retire(_ node: NodeRef, _ retire: SubjectIndex.Retire) { retire(UnsafeMutableRawPointer(node)) }

    static func visit(_ node: NodeRef, _ body: (SubscriptionRef) -> Void, _ descend: (NodeRef) -> Void) {
        func each(_ address: UInt) {
            guard let list = SubscriptionListRef(bitPattern: address) else { return }
            for position in 0..<list.pointee.count.load(ordering: .relaxed) {
                body(SubscriptionList.elements(list)[position])
            }
        }
        each(node.pointee.plain.load(ordering: .relaxed))
        var group = QueueGroupRef(bitPattern: node.pointee.groups.load(ordering: .relaxed))
        while let current = group {
            each(current.pointee.members.load(ordering: .relaxed))
            group = QueueGroupRef(bitPattern: current.pointee.next.load(ordering: .relaxed))
        }
        for wildcard in [node.pointee.star.load(ordering: .relaxed), node.pointee.tail.load(ordering: .relaxed)] {
            if let child = NodeRef(bitPattern: wildcard) { descend(child) }
        }
        ChildTable.forEach(node, descend)
    }

    static func freeTree(_ root: NodeRef) {
        var pending = [root]
        while let node = pending.popLast() {
            visit(node, { _ in }) { pending.append($0) }
            free(UnsafeMutableRawPointer(bitPattern: node.pointee.plain.load(ordering: .relaxed)))
            var group = QueueGroupRef(bitPattern: node.pointee.groups.load(ordering: .relaxed))
            while let current = group {
                group = QueueGroupRef(bitPattern: current.pointee.next.load(ordering: .relaxed))
                free(UnsafeMutableRawPointer(bitPattern: current.pointee.members.load(ordering: .relaxed)))
                free(current)
            }
            free(UnsafeMutableRawPointer(bitPattern: node.pointee.children.load(ordering: .relaxed)))
            free(node)
        }
    }
}
