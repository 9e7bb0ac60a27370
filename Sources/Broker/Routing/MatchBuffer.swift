// Where a match puts what it finds: raw arrays of one loop, grown once and used for every message.

import Glibc
import Wire

/// The receivers of one message: plain subscriptions, and for each queue group its members.
///
/// Groups of the same name under different subjects (`orders.*` and `orders.7`) are one group.
package struct MatchBuffer: ~Copyable {
    package private(set) var plain: UnsafeMutablePointer<SubscriptionRef>
    package private(set) var plainCount = 0
    private var plainCapacity = 16

    package struct Group {
        package var name: ByteView
        package var first: Int
        package var count: Int
    }
    package private(set) var groups: [Group] = []
    package private(set) var members: UnsafeMutablePointer<SubscriptionRef>
    package private(set) var memberCount = 0
    private var memberCapacity = 16

    private var tokens: UnsafeMutablePointer<ByteView>
    private(set) var tokenCount = 0
    private var tokenCapacity = 16

    private struct Branch {
        var node: NodeRef
        var depth: Int
    }
    private var branches: UnsafeMutablePointer<Branch>
    private var branchCount = 0
    private var branchCapacity = 16

    package init() {
        plain = .allocate(capacity: plainCapacity)
        members = .allocate(capacity: memberCapacity)
        tokens = .allocate(capacity: tokenCapacity)
        branches = .allocate(capacity: branchCapacity)
    }

    deinit {
        plain.deallocate()
        members.deallocate()
        tokens.deallocate()
        branches.deallocate()
    }

    var isEmpty: Bool { plainCount == 0 && memberCount == 0 }

    @inline(__always)
    mutating func reset() {
        plainCount = 0
        memberCount = 0
        branchCount = 0
        if !groups.isEmpty { groups.removeAll(keepingCapacity: true) }
    }

    // MARK: Tokens

    /// Splits a subject; false if one of its tokens is empty.
    @inline(__always)
    mutating func split(_ subject: ByteView) -> Bool {
        tokenCount = 0
        var start = subject.base
        var cursor = subject.base
        let end = subject.end
        while cursor < end {
            if cursor[0] == 0x2E {
                if cursor == start { return false }
                append(token: ByteView(start, cursor - start))
                start = cursor + 1
            }
            cursor += 1
        }
        if start >= end { return false }
        append(token: ByteView(start, end - start))
        return true
    }

    @inline(__always)
    private mutating func append(token: ByteView) {
        if tokenCount == tokenCapacity { Self.grow(&tokens, &tokenCapacity, tokenCount + 1) }
        tokens[tokenCount] = token
        tokenCount &+= 1
    }

    @inline(__always)
    func token(_ index: Int) -> ByteView { tokens[index] }

    // MARK: Branches still to be walked

    @inline(__always)
    mutating func push(_ node: NodeRef, depth: Int) {
        if branchCount == branchCapacity { Self.grow(&branches, &branchCapacity, branchCount + 1) }
        branches[branchCount] = Branch(node: node, depth: depth)
        branchCount &+= 1
    }

    @inline(__always)
    mutating func pop() -> (NodeRef, Int)? {
        if branchCount == 0 { return nil }
        branchCount &-= 1
        let branch = branches[branchCount]
        return (branch.node, branch.depth)
    }

    // MARK: Results

    @inline(__always)
    mutating func append(plain found: UnsafeMutablePointer<SubscriptionRef>, _ count: Int) {
        if plainCount + count > plainCapacity { Self.grow(&plain, &plainCapacity, plainCount + count) }
        if count == 1 {
            plain[plainCount] = found[0]
        } else {
            memcpy(plain + plainCount, found, count * MemoryLayout<SubscriptionRef>.stride)
        }
        plainCount &+= count
    }

    mutating func append(group name: ByteView, _ found: UnsafeMutablePointer<SubscriptionRef>, _ count: Int) {
        guard count > 0 else { return }
        if memberCount + count > memberCapacity { Self.grow(&members, &memberCapacity, memberCount + count) }
        guard let known = groups.firstIndex(where: { $0.name == name }) else {
            memcpy(members + memberCount, found, count * MemoryLayout<SubscriptionRef>.stride)
            groups.append(Group(name: name, first: memberCount, count: count))
            memberCount += count
            return
        }
        // Make room behind the group's members.
        let end = groups[known].first + groups[known].count
        memmove(
            members + end + count, members + end, (memberCount - end) * MemoryLayout<SubscriptionRef>.stride)
        memcpy(members + end, found, count * MemoryLayout<SubscriptionRef>.stride)
        groups[known].count += count
        for index in groups.indices where groups[index].first >= end && index != known { groups[index].first += count }
        memberCount += count
    }

    private static func grow<T>(_ array: inout UnsafeMutablePointer<T>, _ capacity: inout Int, _ needed: Int) {
        let larger = max(capacity * 2, needed)
        let memory = UnsafeMutablePointer<T>.allocate(capacity: larger)
        memcpy(memory, array, capacity * MemoryLayout<T>.stride)
        array.deallocate()
        array = memory
        capacity = larger
    }
}
