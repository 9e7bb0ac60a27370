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

import Locks
import Synchronization
import Wire

/// The subscriptions of one account, by subject.
public final class SubjectIndex: Sendable {
    /// Changes with every insertion and removal: whatever was derived from the index under another value is void.
    let generation = Atomic<UInt64>(1)
    package let count = Atomic<Int>(0)
    let inserts = Atomic<UInt64>(0)
    let removes = Atomic<UInt64>(0)

    let watches = InterestWatches()

    private let hashSeed: UInt64
    private nonisolated(unsafe) let root: NodeRef
    private let writer = Locked(())

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
            watches.notify(Subscription.subject(subscription))
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
            watches.notify(Subscription.subject(subscription))
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
