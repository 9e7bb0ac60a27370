// SubjectIndex against a plain list of subscriptions, through random insertions and removals.

import Broker
import CLinux
import Glibc
import Reactor
import Wire

enum IndexFuzz {
    /// What the list knows of a subscription.
    private struct Entry {
        let subscription: SubscriptionRef
        let subject: [UInt8]
        let queue: [UInt8]
    }

    @Sendable static func iterate(_ random: inout SeededRandom) throws(FuzzFailure) {
        let index = SubjectIndex(hashSeed: random.next())
        var matches = MatchBuffer()
        let channel = UnsafeMutableRawPointer.allocate(
            byteCount: MemoryLayout<Channel>.size, alignment: MemoryLayout<Channel>.alignment)
        memset(channel, 0, MemoryLayout<Channel>.size)
        let subscriber = Subscriber(clientID: 1)
        var entries: [Entry] = []
        var retired: [UnsafeMutableRawPointer] = []
        func retire(_ memory: UnsafeMutableRawPointer) {
            // Nobody reads while we write here, so whoever looks at it from now on sees nonsense.
            memset(memory, 0xAA, malloc_usable_size(memory))
            retired.append(memory)
        }
        defer {
            for memory in retired { free(memory) }
            for entry in entries { Subscription.free(entry.subscription) }
            channel.deallocate()
        }

        func make(_ subject: [UInt8], _ queue: [UInt8], _ sid: [UInt8]) -> SubscriptionRef {
            subject.withUnsafeBytes { subject in
                queue.withUnsafeBytes { queue in
                    sid.withUnsafeBytes { sid in
                        Subscription.make(
                            channel: channel.assumingMemoryBound(to: Channel.self), subscriber: subscriber, checks: [],
                            subject: ByteView(subject), queue: ByteView(queue), sid: ByteView(sid))
                    }
                }
            }
        }

        let words = random.pick([["a", "b"], ["a", "b", "c", "dd", "eeeeeeeee"], (0..<40).map { "w\($0)" }])
        func subject(_ random: inout SeededRandom, wildcards: Bool) -> String {
            var tokens: [String] = []
            for _ in 0..<(1 + random.below(4)) { tokens.append(wildcards && random.once(in: 4) ? "*" : random.pick(words)) }
            if wildcards && random.once(in: 5) { tokens.append(">") }
            return tokens.joined(separator: ".")
        }
        for _ in 0..<random.pick([10, 100, 400]) {
            switch random.below(10) {
            case 0..<5:
                let subject = Array(subject(&random, wildcards: true).utf8)
                let queue = Array((random.once(in: 3) ? random.pick(["q", "r", "long.queue.name"]) : "").utf8)
                let sid = Array("\(entries.count)".utf8)
                let made = make(subject, queue, sid)
                index.insert(made, retire: retire)
                entries.append(Entry(subscription: made, subject: subject, queue: queue))
            case 5..<8 where !entries.isEmpty:
                let entry = entries.remove(at: random.below(entries.count))
                entry.subscription.pointee.isClosed.store(true, ordering: .relaxed)
                index.remove(entry.subscription, retire: retire)
                Subscription.free(entry.subscription)
            case 8 where random.once(in: 2) && !entries.isEmpty:
                let place = random.below(entries.count)
                let old = entries[place]
                let new = make(old.subject, old.queue, Array("new".utf8))
                index.replace(old.subscription, with: new, retire: retire)
                Subscription.free(old.subscription)
                entries[place] = Entry(subscription: new, subject: old.subject, queue: old.queue)
            case 8 where random.once(in: 5):
                // A connection leaves with several subscriptions at once.
                let gone = entries.filter { _ in random.once(in: 3) }
                entries.removeAll { entry in gone.contains { $0.subscription == entry.subscription } }
                for entry in gone { entry.subscription.pointee.isClosed.store(true, ordering: .relaxed) }
                for entry in gone { index.remove(entry.subscription, sweeps: true, retire: retire) }
                for entry in gone { Subscription.free(entry.subscription) }
            default:
                try check(Array(subject(&random, wildcards: random.once(in: 4)).utf8), index, &matches, entries)
            }
            try require(index.count.load(ordering: .relaxed) == entries.count, "the count is wrong")
        }
        for text in ["", ".", "a.", ".a", "a..b"] { try check(Array(text.utf8), index, &matches, entries) }
        var seen = 0
        index.forEach { _ in seen += 1 }
        try require(seen == entries.count, "forEach finds \(seen) of \(entries.count)")
        for entry in entries { index.remove(entry.subscription, retire: retire) }
        try require(index.count.load(ordering: .relaxed) == 0, "something is left")
        index.forEach { _ in seen += 1 }
        try require(seen == entries.count, "forEach finds something in an empty index")
    }

    private static func check(
        _ subject: [UInt8], _ index: SubjectIndex, _ matches: inout MatchBuffer, _ entries: [Entry]
    ) throws(FuzzFailure) {
        subject.withUnsafeBytes { index.match(ByteView($0), into: &matches) }
        let reached = entries.filter { entry in
            entry.subject.withUnsafeBytes { pattern in
                subject.withUnsafeBytes { Subject.matches(ByteView(pattern), ByteView($0)) }
            }
        }
        func addresses(_ list: UnsafeMutablePointer<SubscriptionRef>, _ range: Range<Int>) -> [UInt] {
            range.map { UInt(bitPattern: list[$0]) }.sorted()
        }
        func addresses(_ list: [Entry]) -> [UInt] { list.map { UInt(bitPattern: $0.subscription) }.sorted() }
        let plain = addresses(matches.plain, 0..<matches.plainCount)
        try require(plain == addresses(reached.filter { $0.queue.isEmpty }), "plain subscriptions of \(shown(subject))")
        var groups: [[UInt8]: [UInt]] = [:]
        var covered: [Int] = []
        for group in matches.groups {
            let name = group.name.bytes
            try require(groups[name] == nil, "group \(shown(name)) comes twice for \(shown(subject))")
            groups[name] = addresses(matches.members, group.first..<(group.first + group.count))
            covered += group.first..<(group.first + group.count)
        }
        try require(covered.sorted() == Array(0..<matches.memberCount), "groups overlap for \(shown(subject))")
        let expected = Dictionary(grouping: reached.filter { !$0.queue.isEmpty }, by: \.queue).mapValues { addresses($0) }
        try require(groups == expected, "groups of \(shown(subject))")
    }
}
