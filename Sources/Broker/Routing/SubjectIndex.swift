// Who gets a message: a trie of subject tokens that every loop reads without a lock.
//
//   root ── booking ─┬─ * ── confirmed      plain: [sub, sub]   groups: [workers: [sub, sub]]
//                    ├─ 7 ── confirmed
//                    └─ >
//
// Writers take one lock, and publish each change with a releasing store: a child in a table, a longer list, a new list.
// Readers follow acquiring loads. What a writer unlinks is handed to `retire` and freed when no loop can still be in it.
// This is in place of whole snapshots of the index: a SUB changes one list, so 100,000 of them cost linear time, and a
// publish that starts after the SUB was answered sees it, because the store came before the answer.

import Glibc
import Synchronization
import Wire

/// The subscriptions of one account, by subject.
public final class SubjectIndex: Sendable {
    /// Changes with every insertion and removal: whatever was derived from the index under another value is void.
    let generation = Atomic<UInt64>(1)
    package let count = Atomic<Int>(0)
    let inserts = Atomic<UInt64>(0)
    let removes = Atomic<UInt64>(0)

    private let hashSeed: UInt64
    private nonisolated(unsafe) let root: NodeRef
    private let writer = Mutex(())

    /// Frees memory once no loop can still be reading it.
    package typealias Retire = (UnsafeMutableRawPointer) -> Void

    package init(hashSeed: UInt64) {
        self.hashSeed = hashSeed
        root = Node.make(token: .empty, hash: 0, parent: nil)
    }

    deinit { Node.freeTree(root) }

    // MARK: Writing

    /// Adds a subscription whose subject is valid.
    package func insert(_ subscription: SubscriptionRef, retire: Retire) {
        writer.withLock { _ in
            var node = root
            var cursor = TokenCursor(Subscription.subject(subscription))
            while let token = cursor.next() { node = child(of: node, token, retire: retire) }
            if subscription.pointee.queueCount == 0 {
                SubscriptionList.append(node.pointee.plain, subscription, retire: retire)
            } else {
                appendToGroup(node, subscription, retire: retire)
            }
            subscription.pointee.isListed = true
            count.wrappingAdd(1, ordering: .relaxed)
            inserts.wrappingAdd(1, ordering: .relaxed)
            generation.wrappingAdd(1, ordering: .sequentiallyConsistent)
        }
    }

    /// Takes a subscription out. The caller frees it through `retire` afterwards.
    ///
    /// - Parameter sweeps: takes every closed subscription out of the list that is made anew, so that a connection with
    ///   many on one subject leaves in linear time. Whoever owns those calls `remove` for them, too, before freeing them.
    package func remove(_ subscription: SubscriptionRef, sweeps: Bool = false, retire: Retire) {
        writer.withLock { _ in
            guard subscription.pointee.isListed else { return }
            var node = root
            var cursor = TokenCursor(Subscription.subject(subscription))
            while let token = cursor.next() {
                guard let next = existingChild(of: node, token) else { return }
                node = next
            }
            let removed =
                subscription.pointee.queueCount == 0
                ? SubscriptionList.remove(node.pointee.plain, subscription, sweeps: sweeps, retire: retire)
                : removeFromGroup(node, subscription, sweeps: sweeps, retire: retire)
            guard removed > 0 else { return }
            prune(node, retire: retire)
            count.wrappingSubtract(removed, ordering: .relaxed)
            removes.wrappingAdd(UInt64(removed), ordering: .relaxed)
            generation.wrappingAdd(1, ordering: .sequentiallyConsistent)
        }
    }

    /// Puts a subscription in the place of another one of the same subject and queue: every publish finds one of them.
    /// The caller frees the old one through `retire` afterwards.
    package func replace(_ old: SubscriptionRef, with new: SubscriptionRef, retire: Retire) {
        writer.withLock { _ in
            guard old.pointee.isListed else { return }
            var node = root
            var cursor = TokenCursor(Subscription.subject(old))
            while let token = cursor.next() {
                guard let next = existingChild(of: node, token) else { return }
                node = next
            }
            if old.pointee.queueCount == 0 {
                SubscriptionList.replace(node.pointee.plain, old, with: new, retire: retire)
            } else {
                var group = QueueGroupRef(bitPattern: node.pointee.groups.load(ordering: .relaxed))
                while let current = group, !(QueueGroup.name(current) == Subscription.queue(old)) {
                    group = QueueGroupRef(bitPattern: current.pointee.next.load(ordering: .relaxed))
                }
                guard let group else { return }
                SubscriptionList.replace(group.pointee.members, old, with: new, retire: retire)
            }
            generation.wrappingAdd(1, ordering: .sequentiallyConsistent)
        }
    }

    /// Voids everything derived from the index, as when permissions have changed.
    func invalidate() { generation.wrappingAdd(1, ordering: .sequentiallyConsistent) }

    private func child(of node: NodeRef, _ token: ByteView, retire: Retire) -> NodeRef {
        if let existing = existingChild(of: node, token) { return existing }
        let hash = hashBytes(token.base, token.count, seed: hashSeed)
        let made = Node.make(token: token, hash: hash, parent: node)
        switch TokenKind(token) {
        case .one: node.pointee.star.store(UInt(bitPattern: made), ordering: .releasing)
        case .rest: node.pointee.tail.store(UInt(bitPattern: made), ordering: .releasing)
        case .literal: ChildTable.insert(node, made, retire: retire)
        }
        return made
    }

    private func existingChild(of node: NodeRef, _ token: ByteView) -> NodeRef? {
        switch TokenKind(token) {
        case .one: return NodeRef(bitPattern: node.pointee.star.load(ordering: .relaxed))
        case .rest: return NodeRef(bitPattern: node.pointee.tail.load(ordering: .relaxed))
        case .literal:
            return ChildTable.find(node, token.base, token.count, hashBytes(token.base, token.count, seed: hashSeed))
        }
    }

    /// Unlinks nodes that hold nothing any more, from the leaf upwards.
    private func prune(_ leaf: NodeRef, retire: Retire) {
        var node = leaf
        while let parent = node.pointee.parent, node.pointee.isEmpty {
            switch TokenKind(Node.token(node)) {
            case .one: parent.pointee.star.store(0, ordering: .releasing)
            case .rest: parent.pointee.tail.store(0, ordering: .releasing)
            case .literal: ChildTable.remove(parent, node, retire: retire)
            }
            Node.retire(node, retire)
            node = parent
        }
    }

    private func appendToGroup(_ node: NodeRef, _ subscription: SubscriptionRef, retire: Retire) {
        let name = Subscription.queue(subscription)
        var group = QueueGroupRef(bitPattern: node.pointee.groups.load(ordering: .relaxed))
        while let current = group {
            if QueueGroup.name(current) == name {
                SubscriptionList.append(current.pointee.members, subscription, retire: retire)
                return
            }
            group = QueueGroupRef(bitPattern: current.pointee.next.load(ordering: .relaxed))
        }
        let made = QueueGroup.make(name, next: node.pointee.groups.load(ordering: .relaxed))
        SubscriptionList.append(made.pointee.members, subscription, retire: retire)
        node.pointee.groups.store(UInt(bitPattern: made), ordering: .releasing)
    }

    private func removeFromGroup(
        _ node: NodeRef, _ subscription: SubscriptionRef, sweeps: Bool, retire: Retire
    ) -> Int {
        let name = Subscription.queue(subscription)
        var previous: QueueGroupRef?
        var group = QueueGroupRef(bitPattern: node.pointee.groups.load(ordering: .relaxed))
        while let current = group {
            let next = current.pointee.next.load(ordering: .relaxed)
            if QueueGroup.name(current) == name {
                let removed = SubscriptionList.remove(
                    current.pointee.members, subscription, sweeps: sweeps, retire: retire)
                guard removed > 0 else { return 0 }
                if current.pointee.members.load(ordering: .relaxed) == 0 {
                    if let previous {
                        previous.pointee.next.store(next, ordering: .releasing)
                    } else {
                        node.pointee.groups.store(next, ordering: .releasing)
                    }
                    retire(UnsafeMutableRawPointer(current))
                }
                return removed
            }
            previous = current
            group = QueueGroupRef(bitPattern: next)
        }
        return 0
    }

    // MARK: Reading

    /// Collects every subscription that `subject` reaches. Subjects with an empty token reach nobody.
    ///
    /// Cost: one probe per token and wildcard branch; no allocation once `matches` has grown.
    package func match(_ subject: ByteView, into matches: inout MatchBuffer) {
        matches.reset()
        guard matches.split(subject) else { return }
        let tokenCount = matches.tokenCount
        matches.push(root, depth: 0)
        while let (start, startDepth) = matches.pop() {
            var node = start
            var depth = startDepth
            while true {
                if depth == tokenCount {
                    collect(node, &matches)
                    break
                }
                if let tail = NodeRef(bitPattern: node.pointee.tail.load(ordering: .acquiring)) { collect(tail, &matches) }
                if let star = NodeRef(bitPattern: node.pointee.star.load(ordering: .acquiring)) {
                    matches.push(star, depth: depth + 1)
                }
                let token = matches.token(depth)
                guard node.pointee.children.load(ordering: .relaxed) != 0,
                    let next = ChildTable.find(
                        node, token.base, token.count, hashBytes(token.base, token.count, seed: hashSeed))
                else { break }
                node = next
                depth += 1
            }
        }
    }

    @inline(__always)
    private func collect(_ node: NodeRef, _ matches: inout MatchBuffer) {
        if let list = SubscriptionListRef(bitPattern: node.pointee.plain.load(ordering: .acquiring)) {
            matches.append(plain: SubscriptionList.elements(list), list.pointee.count.load(ordering: .acquiring))
        }
        var group = QueueGroupRef(bitPattern: node.pointee.groups.load(ordering: .acquiring))
        while let current = group {
            if let list = SubscriptionListRef(bitPattern: current.pointee.members.load(ordering: .acquiring)) {
                matches.append(
                    group: QueueGroup.name(current), SubscriptionList.elements(list),
                    list.pointee.count.load(ordering: .acquiring))
            }
            group = QueueGroupRef(bitPattern: current.pointee.next.load(ordering: .acquiring))
        }
    }

    /// Calls `body` for every subscription, in no order, with the writers kept out. For monitoring and reloads.
    package func forEach(_ body: (SubscriptionRef) -> Void) {
        writer.withLock { _ in
            var pending = [root]
            while let node = pending.popLast() { Node.visit(node, body) { pending.append($0) } }
        }
    }
}

private enum TokenKind {
    case literal, one, rest
    init(_ token: ByteView) {
        if token.count == 1 && token.base[0] == 0x2A {
            self = .one
        } else if token.count == 1 && token.base[0] == 0x3E {
            self = .rest
        } else {
            self = .literal
        }
    }
}

/// Walks the tokens of a subject.
private struct TokenCursor {
    private var cursor: UnsafePointer<UInt8>?
    private let end: UnsafePointer<UInt8>

    init(_ subject: ByteView) {
        cursor = subject.base
        end = subject.end
    }

    mutating func next() -> ByteView? {
        guard let start = cursor else { return nil }
        var stop = start
        while stop < end, stop[0] != 0x2E { stop += 1 }
        cursor = stop < end ? stop + 1 : nil
        return ByteView(start, stop - start)
    }
}

// MARK: Nodes

private typealias QueueGroupRef = UnsafeMutablePointer<QueueGroup>
private typealias SubscriptionListRef = UnsafeMutablePointer<SubscriptionList>
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

/// The literal children of a node: open addressing over node addresses, at most half full.
///
///     | mask | used | live | slots ... |      a slot: 0 empty, 1 removed, else a node
private enum ChildTable {
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

/// Subscriptions in one place. Appending writes behind what readers see, then shows it; removing makes a new list.
///
///     | count | capacity | subscription ... |
private struct SubscriptionList: ~Copyable {
    let count = Atomic<Int>(0)
    let capacity: Int

    private init(capacity: Int) { self.capacity = capacity }

    static func elements(_ list: SubscriptionListRef) -> UnsafeMutablePointer<SubscriptionRef> {
        (UnsafeMutableRawPointer(list) + MemoryLayout<SubscriptionList>.size)
            .assumingMemoryBound(to: SubscriptionRef.self)
    }

    private static func make(capacity: Int) -> SubscriptionListRef {
        let size = MemoryLayout<SubscriptionList>.size + capacity * MemoryLayout<SubscriptionRef>.stride
        guard let memory = malloc(size) else { fatalError("out of memory") }
        let list = memory.bindMemory(to: SubscriptionList.self, capacity: 1)
        list.initialize(to: SubscriptionList(capacity: capacity))
        return list
    }

    static func append(
        _ place: borrowing Atomic<UInt>, _ subscription: SubscriptionRef, retire: SubjectIndex.Retire
    ) {
        guard let list = SubscriptionListRef(bitPattern: place.load(ordering: .relaxed)) else {
            let made = make(capacity: 1)
            elements(made)[0] = subscription
            made.pointee.count.store(1, ordering: .relaxed)
            place.store(UInt(bitPattern: made), ordering: .releasing)
            return
        }
        let count = list.pointee.count.load(ordering: .relaxed)
        if count < list.pointee.capacity {
            elements(list)[count] = subscription
            list.pointee.count.store(count + 1, ordering: .releasing)
            return
        }
        let larger = make(capacity: count * 2)
        memcpy(elements(larger), elements(list), count * MemoryLayout<SubscriptionRef>.stride)
        elements(larger)[count] = subscription
        larger.pointee.count.store(count + 1, ordering: .relaxed)
        place.store(UInt(bitPattern: larger), ordering: .releasing)
        retire(UnsafeMutableRawPointer(list))
    }

    /// Takes one subscription out, and with `sweeps` all that are closed; how many that were.
    static func remove(
        _ place: borrowing Atomic<UInt>, _ subscription: SubscriptionRef, sweeps: Bool, retire: SubjectIndex.Retire
    ) -> Int {
        guard let list = SubscriptionListRef(bitPattern: place.load(ordering: .relaxed)) else { return 0 }
        let count = list.pointee.count.load(ordering: .relaxed)
        let old = elements(list)
        guard let position = (0..<count).first(where: { old[$0] == subscription }) else { return 0 }
        if count == 1 {
            subscription.pointee.isListed = false
            place.store(0, ordering: .releasing)
            retire(UnsafeMutableRawPointer(list))
            return 1
        }
        let shorter = make(capacity: count)
        let new = elements(shorter)
        var kept = 0
        if sweeps {
            for index in 0..<count where !takeOut(old[index], subscription) {
                new[kept] = old[index]
                kept += 1
            }
        } else {
            memcpy(new, old, position * MemoryLayout<SubscriptionRef>.stride)
            memcpy(new + position, old + position + 1, (count - position - 1) * MemoryLayout<SubscriptionRef>.stride)
            subscription.pointee.isListed = false
            kept = count - 1
        }
        shorter.pointee.count.store(kept, ordering: .relaxed)
        if kept == 0 {
            place.store(0, ordering: .releasing)
            free(shorter)
        } else {
            place.store(UInt(bitPattern: shorter), ordering: .releasing)
        }
        retire(UnsafeMutableRawPointer(list))
        return count - kept
    }

    /// Makes a list in which `new` stands where `old` stood.
    static func replace(
        _ place: borrowing Atomic<UInt>, _ old: SubscriptionRef, with new: SubscriptionRef, retire: SubjectIndex.Retire
    ) {
        guard let list = SubscriptionListRef(bitPattern: place.load(ordering: .relaxed)) else { return }
        let count = list.pointee.count.load(ordering: .relaxed)
        guard let position = (0..<count).first(where: { elements(list)[$0] == old }) else { return }
        let copy = make(capacity: count)
        memcpy(elements(copy), elements(list), count * MemoryLayout<SubscriptionRef>.stride)
        elements(copy)[position] = new
        copy.pointee.count.store(count, ordering: .relaxed)
        old.pointee.isListed = false
        new.pointee.isListed = true
        place.store(UInt(bitPattern: copy), ordering: .releasing)
        retire(UnsafeMutableRawPointer(list))
    }

    private static func takeOut(_ candidate: SubscriptionRef, _ subscription: SubscriptionRef) -> Bool {
        guard candidate == subscription || candidate.pointee.isClosed.load(ordering: .relaxed) else { return false }
        candidate.pointee.isListed = false
        return true
    }
}

/// The queue subscriptions of one name on one subject.
private struct QueueGroup: ~Copyable {
    let members = Atomic<UInt>(0)
    let next: Atomic<UInt>
    let nameCount: Int

    private init(nameCount: Int, next: UInt) {
        self.nameCount = nameCount
        self.next = Atomic(next)
    }

    static func make(_ name: ByteView, next: UInt) -> QueueGroupRef {
        guard let memory = malloc(MemoryLayout<QueueGroup>.size + name.count) else { fatalError("out of memory") }
        let group = memory.bindMemory(to: QueueGroup.self, capacity: 1)
        group.initialize(to: QueueGroup(nameCount: name.count, next: next))
        memcpy(memory + MemoryLayout<QueueGroup>.size, name.base, name.count)
        return group
    }

    static func name(_ group: QueueGroupRef) -> ByteView {
        ByteView(
            UnsafePointer(
                (UnsafeMutableRawPointer(group) + MemoryLayout<QueueGroup>.size).assumingMemoryBound(to: UInt8.self)),
            group.pointee.nameCount)
    }
}
