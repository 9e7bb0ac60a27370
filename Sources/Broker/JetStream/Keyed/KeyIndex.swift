// Which messages of a stream share an ordering key: answers "the key's next message after this one", for all consumers of one
// key definition.

import Glibc
import Store
import Wire

/// Covers the stream from the lowest message that any of its consumers has not finished, to as far as one has read. The
/// messages of a key form a chain: each entry holds the distance to the next one. So what waits behind a blocked key costs
/// eight to ten bytes a message, and nothing in the consumer. Of what all consumers have read, only what waits is kept: a
/// key that is parked for weeks costs what waits behind it, not what passes by.
final class KeyIndex {
    /// How far a call has come.
    enum Reach {
        case covered
        /// A message has to come from the disk first.
        case reading
        /// A message could not be read.
        case failed
        /// The caller's steps are used up.
        case budget
    }

    /// What a consumer needs of the index.
    struct User {
        /// The lowest sequence that it still needs.
        let floor: () -> UInt64
        /// Of everything before, it needs only what waits behind something outstanding.
        let read: () -> UInt64
        /// Of what it has read: from where on it needs a key's messages; nil where nothing of the key is outstanding.
        let lowest: (KeyID) -> UInt64?
        /// The index begins anew, and the consumer waits until it is back at its read position.
        let beginsAnew: () -> Void
    }

    let definition: KeyDefinition
    private let headerName: [UInt8]
    private let log: any MessageLog
    private let everything: SubjectFilter
    /// Behind a pointer: a property of a class is guarded against overlapping changes at run time, for each message.
    private(set) var names: KeyNames {
        @inline(__always) _read { yield keptNames.pointee }
        @inline(__always) _modify { yield &keptNames.pointee }
    }
    private let keptNames: UnsafeMutablePointer<KeyNames>
    private let subjects: SubjectTable
    /// With a token: which key a subject has, by the subject's number. Behind a pointer likewise.
    private let keysOfSubjects: UnsafeMutablePointer<KeysOfSubjects>
    private var pages: [KeyPage] = []
    private var farLinks: [UInt64: UInt64] = [:]
    /// What is covered: from `start` on, and before `end`.
    private(set) var start: UInt64 = 0
    private(set) var end: UInt64 = 0
    /// From here on, every message is covered; before, only what waits, and what that waits for.
    private(set) var complete: UInt64 = 0
    /// Pages are given back when so many have gathered since the last time.
    private var pagesAtTrim = KeyIndex.pagesMin
    private static let pagesMin = 128
    /// Where the next page to be compacted is looked for, and how many may be: two for each new one.
    private var compactPlace = 0
    private var compactCredit = 0
    private static let compactMax = 512
    /// The consumers that use it.
    private var users: [(id: ObjectIdentifier, needs: User)] = []

    init(_ definition: KeyDefinition, _ log: any MessageLog) {
        self.definition = definition
        self.log = log
        keptNames = .allocate(capacity: 1)
        keptNames.initialize(to: KeyNames())
        subjects = log.subjects
        keysOfSubjects = .allocate(capacity: 1)
        keysOfSubjects.initialize(to: KeysOfSubjects())
        everything = SubjectFilter([], log.subjects)
        if case .header(let name) = definition { headerName = Array(name.utf8) } else { headerName = [] }
    }

    deinit {
        for page in pages { page.free() }
        keptNames.deinitialize(count: 1)
        keptNames.deallocate()
        keysOfSubjects.deinitialize(count: 1)
        keysOfSubjects.deallocate()
    }

    /// Bytes that it holds.
    var memory: Int {
        names.memory + keysOfSubjects.pointee.memory + pages.reduce(0) { $0 + $1.memory } + farLinks.count * 32
    }

    // MARK: Consumers

    /// A consumer needs everything from a sequence on. Where that has been given up, the index begins anew, and those who have
    /// read on wait until it is back where it was.
    func attach(_ user: AnyObject, from sequence: UInt64, _ needs: User) {
        users.append((ObjectIdentifier(user), needs))
        guard pages.isEmpty && users.count == 1 || sequence < complete else { return }
        forgetPages()
        start = sequence
        end = sequence
        complete = sequence
        for other in users { other.needs.beginsAnew() }
    }

    func detach(_ user: AnyObject) {
        users.removeAll { $0.id == ObjectIdentifier(user) }
        if users.isEmpty {
            forgetPages()
            start = 0
            end = 0
            complete = 0
        }
    }

    var isUnused: Bool { users.isEmpty }

    func retain(_ key: KeyID) { names.retain(key) }
    func release(_ key: KeyID) { names.release(key) }

    // MARK: Reading the stream

    /// Covers everything up to a sequence, each message for one of the caller's steps.
    func extend(through last: UInt64, _ steps: inout Int) -> Reach {
        while end <= last {
            guard let next = log.next(atOrAfter: end, everything, upTo: last) else {
                end = last &+ 1
                return .covered
            }
            guard steps > 0 else { return .budget }
            switch definition {
            case .token(let place):
                if let subject = log.subject(of: next) { append(next, subject, keyAt: place - 1) }
            case .header:
                switch log.load(next) {
                case .message(let message):
                    let text = KeyIndex.value(of: headerName, in: message.headers)
                    if !text.isEmpty { append(next, names.use(text)) }
                case .absent: break
                case .reading: return .reading
                case .failed: return .failed
                }
            }
            steps -= 1
            end = next &+ 1
        }
        return .covered
    }

    /// A subject that was there before mostly has the key that it had: then neither text is looked at.
    private func append(_ sequence: UInt64, _ subject: SubjectID, keyAt place: Int) {
        if let known = keysOfSubjects.pointee.find(subject, subjects.epoch), names.isSame(known) {
            names.retain(known.id)
            return append(sequence, known.id)
        }
        guard let text = Subject.token(subjects.subject(subject), at: place), !text.isEmpty else { return }
        let key = names.use(text)
        if key != 0 { keysOfSubjects.pointee.set(subject, names.issue(of: key)) }
        append(sequence, key)
    }

    /// - Parameter key: with one use more.
    private func append(_ sequence: UInt64, _ key: KeyID) {
        guard key != 0 else { return }
        let record = names.record(key)
        if record.pointee.tail >= start, record.pointee.tail != 0, let tail = entry(record.pointee.tail) {
            let distance = sequence &- record.pointee.tail
            if distance < UInt64(KeyPage.Entry.far) {
                tail.pointee.distance = UInt32(truncatingIfNeeded: distance)
            } else {
                tail.pointee.distance = KeyPage.Entry.far
                farLinks[record.pointee.tail] = sequence
            }
        }
        record.pointee.tail = sequence
        makeEntry(sequence).pointee = KeyPage.Entry(key: key, distance: 0)
    }

    /// The first header of a name, without spaces around its value; empty where there is none.
    static func value(of name: [UInt8], in block: ByteView) -> ByteView {
        guard block.count > name.count else { return .empty }
        var line = block.base
        while line < block.end {
            let left = block.end - line
            let next = memchr(line, 0x0A, left).map { UnsafePointer($0.assumingMemoryBound(to: UInt8.self)) + 1 } ?? block.end
            if next - line > name.count, line[name.count] == UInt8(ascii: ":"),
                name.withUnsafeBytes({ memcmp(line, $0.baseAddress ?? UnsafeRawPointer(line), name.count) == 0 })
            {
                var start = line + name.count + 1, end = next
                while end > start, end[-1] <= 0x20 { end -= 1 }
                while start < end, start[0] <= 0x20 { start += 1 }
                return ByteView(start, end - start)
            }
            line = next
        }
        return .empty
    }

    // MARK: Questions

    /// The key of a message, there or removed; 0 where it has none.
    @inline(__always)
    func key(of sequence: UInt64) -> KeyID { entry(sequence)?.pointee.key ?? 0 }

    func text(_ key: KeyID) -> ByteView { names.text(key) }

    /// The key's next message that is there, after one of its own; nil where none is covered.
    func next(after sequence: UInt64, _ key: KeyID) -> UInt64? {
        guard key != 0, let from = entry(sequence), from.pointee.key == key else { return scan(key, after: sequence) }
        var at = from, place = sequence
        while let following = linked(at, place) {
            guard let entry = entry(following), entry.pointee.key == key else { return nil }
            at = entry
            place = following
            if log.contains(place) {
                shorten(from, sequence, to: place)
                return place
            }
        }
        return nil
    }

    private func linked(_ entry: UnsafeMutablePointer<KeyPage.Entry>, _ sequence: UInt64) -> UInt64? {
        switch entry.pointee.distance {
        case 0: nil
        case KeyPage.Entry.far: farLinks[sequence]
        default: sequence &+ UInt64(entry.pointee.distance)
        }
    }

    /// What lies between has left the stream: the next search steps over it.
    private func shorten(_ entry: UnsafeMutablePointer<KeyPage.Entry>, _ sequence: UInt64, to place: UInt64) {
        guard place &- sequence < UInt64(KeyPage.Entry.far) else { return }
        entry.pointee.distance = UInt32(truncatingIfNeeded: place &- sequence)
    }

    /// For a message that was never covered, because it had left the stream before.
    private func scan(_ key: KeyID, after sequence: UInt64) -> UInt64? {
        guard key != 0 else { return nil }
        var found: UInt64?
        for page in pages where page.firstSequence + UInt64(KeyPage.size) > sequence {
            let isThere = page.forEach { place, entry in
                guard entry.key == key, place > sequence, log.contains(place) else { return false }
                found = place
                return true
            }
            if isThere { break }
        }
        return found
    }

    // MARK: Pages

    @inline(__always)
    private func entry(_ sequence: UInt64) -> UnsafeMutablePointer<KeyPage.Entry>? {
        guard sequence >= start, sequence < end, let first = pages.first else { return nil }
        let number = sequence >> KeyPage.shift
        guard number >= first.number else { return nil }
        // Without gaps a page stands where its number says.
        let guess = Int(truncatingIfNeeded: min(number &- first.number, UInt64(pages.count - 1)))
        let page = pages[guess].number == number ? guess : place(of: number)
        guard page < pages.count, pages[page].number == number else { return nil }
        return pages[page].entry(sequence)
    }

    /// The first page that is not before a number.
    private func place(of number: UInt64) -> Int {
        var low = 0, high = pages.count
        while low < high {
            let middle = (low + high) / 2
            if pages[middle].number < number { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private func makeEntry(_ sequence: UInt64) -> UnsafeMutablePointer<KeyPage.Entry> {
        let number = sequence >> KeyPage.shift
        if let last = pages.last, last.number == number, let entry = last.entry(sequence) { return entry }
        let page = KeyPage(number: number)
        pages.append(page)
        compactCredit = min(compactCredit + 2, KeyIndex.compactMax)
        guard let entry = page.entry(sequence) else { preconditionFailure("a dense page has every place") }
        return entry
    }

    /// Gives back what no consumer needs any more; cheap to ask often.
    func trim() {
        if compactCredit > 0 { compact() }
        guard pages.count >= pagesAtTrim else { return }
        let floor = users.reduce(end) { min($0, $1.needs.floor()) }
        var kept: [KeyPage] = []
        for page in pages {
            if page.firstSequence + UInt64(KeyPage.size) <= floor {
                drop(page)
            } else if page.isEmpty {
                page.free()
            } else {
                kept.append(page)
            }
        }
        pages = kept
        compactPlace = 0
        if !farLinks.isEmpty { farLinks = farLinks.filter { $0.key >= floor } }
        start = max(start, min(floor, pages.first?.firstSequence ?? end))
        complete = max(complete, start)
        pagesAtTrim = pages.count + max(KeyIndex.pagesMin, pages.count / 2)
    }

    /// Looks at some pages that every consumer has read to the end, and drops what none of them needs. They take turns, so that
    /// what was kept is looked at again, and no turn takes long.
    private func compact() {
        let read = users.reduce(end) { min($0, $1.needs.read()) }
        let end = place(of: read >> KeyPage.shift)
        guard end > 0 else { return }
        var left = min(compactCredit, end)
        compactCredit = 0
        let needs = users.map(\.needs.lowest)
        func isNeeded(_ sequence: UInt64, _ key: KeyID) -> Bool {
            for lowest in needs { if let from = lowest(key), from <= sequence { return true } }
            return false
        }
        while left > 0 {
            if compactPlace >= end { compactPlace = 0 }
            left -= 1
            pages[compactPlace].compact(isNeeded) { sequence, entry in
                if entry.distance == KeyPage.Entry.far { farLinks[sequence] = nil }
                names.release(entry.key)
            }
            complete = max(complete, pages[compactPlace].firstSequence + UInt64(KeyPage.size))
            compactPlace += 1
        }
    }

    private func drop(_ page: KeyPage) {
        page.forEach { _, entry in
            names.release(entry.key)
            return false
        }
        page.free()
    }

    private func forgetPages() {
        for page in pages {
            page.forEach { _, entry in
                // Its number may go on being used by a consumer, and must not point to what is gone.
                names.record(entry.key).pointee.tail = 0
                return false
            }
        }
        for page in pages { drop(page) }
        pages = []
        farLinks = [:]
        pagesAtTrim = KeyIndex.pagesMin
        compactPlace = 0
        compactCredit = 0
    }
}

@available(*, unavailable)
extension KeyIndex: Sendable {}

/// The key indexes of one stream: one for each definition that a consumer asks for.
final class KeyIndexes {
    private let log: any MessageLog
    private var byDefinition: [KeyDefinition: KeyIndex] = [:]

    init(_ log: any MessageLog) { self.log = log }

    func index(_ definition: KeyDefinition) -> KeyIndex {
        if let index = byDefinition[definition] { return index }
        let index = KeyIndex(definition, log)
        byDefinition[definition] = index
        return index
    }

    func dropUnused() { byDefinition = byDefinition.filter { !$0.value.isUnused } }
    var memory: Int { byDefinition.values.reduce(0) { $0 + $1.memory } }
}
