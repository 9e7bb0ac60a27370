// Which messages of a stream share an ordering key: answers "the key's next message after this one", for all consumers of one
// key definition.

import Glibc
import Store
import Wire

/// Covers the stream from the lowest message that any of its consumers has not finished, to as far as one has read. The
/// messages of a key form a chain: each entry holds the distance to the next one. So what waits behind a blocked key costs
/// eight bytes a message, and nothing in the consumer.
final class KeyIndex {
    private struct Entry {
        var key: KeyID
        /// To the next message of the key; 0 at its last, `far` where it does not fit.
        var distance: UInt32
        static let far = UInt32.max
    }

    private struct Page {
        /// The first sequence, divided by the page's size.
        let number: UInt64
        let entries: UnsafeMutablePointer<Entry>
    }

    private static let shift: UInt64 = 10
    private static let pageSize = 1 << 10

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
    /// With a token: which key a subject has, by the subject's number.
    private var keysOfSubjects = KeysOfSubjects()
    private var pages: [Page] = []
    private var farLinks: [UInt64: UInt64] = [:]
    /// What is covered: from `start` on, and before `end`.
    private(set) var start: UInt64 = 0
    private(set) var end: UInt64 = 0
    /// Pages are given back when so many have gathered since the last time.
    private var pagesAtTrim = 16
    /// The consumers that use it.
    private var users: [ObjectIdentifier: () -> UInt64] = [:]

    init(_ definition: KeyDefinition, _ log: any MessageLog) {
        self.definition = definition
        self.log = log
        keptNames = .allocate(capacity: 1)
        keptNames.initialize(to: KeyNames())
        everything = SubjectFilter([], log.subjects)
        if case .header(let name) = definition { headerName = Array(name.utf8) } else { headerName = [] }
    }

    deinit {
        for page in pages { page.entries.deallocate() }
        keptNames.deinitialize(count: 1)
        keptNames.deallocate()
    }

    /// Bytes that it holds.
    var memory: Int {
        names.memory + keysOfSubjects.memory + pages.count * (KeyIndex.pageSize * MemoryLayout<Entry>.stride + 16)
    }

    // MARK: Consumers

    /// A consumer needs everything from a sequence on.
    ///
    /// - Parameter floor: asked for the lowest sequence that it still needs.
    func attach(_ user: AnyObject, from sequence: UInt64, floor: @escaping () -> UInt64) {
        let isFirst = users.isEmpty
        users[ObjectIdentifier(user)] = floor
        if isFirst && pages.isEmpty {
            start = sequence
            end = sequence
        } else if sequence < start {
            // It begins again further down; those who have read on wait until it is back where it was.
            let reached = end
            forgetPages()
            start = sequence
            end = sequence
            if case .token = definition { _ = extend(through: reached &- 1) }
        }
    }

    func detach(_ user: AnyObject) {
        users[ObjectIdentifier(user)] = nil
        if users.isEmpty {
            forgetPages()
            start = 0
            end = 0
        }
    }

    var isUnused: Bool { users.isEmpty }

    func retain(_ key: KeyID) { names.retain(key) }
    func release(_ key: KeyID) { names.release(key) }

    // MARK: Reading the stream

    /// Covers everything up to a sequence. False: a message has to come from the disk first.
    func extend(through last: UInt64) -> Bool {
        while end <= last {
            guard let next = log.next(atOrAfter: end, everything, upTo: last) else {
                end = last &+ 1
                return true
            }
            switch definition {
            case .token(let place):
                if let subject = log.subject(of: next) { append(next, subject, keyAt: place - 1) }
            case .header:
                switch log.load(next) {
                case .message(let message):
                    let text = KeyIndex.value(of: headerName, in: message.headers)
                    if !text.isEmpty { append(next, names.use(text)) }
                case .absent: break
                case .reading, .failed: return false
                }
            }
            end = next &+ 1
        }
        return true
    }

    /// A subject that was there before mostly has the key that it had: then neither text is looked at.
    private func append(_ sequence: UInt64, _ subject: SubjectID, keyAt place: Int) {
        let subjects = log.subjects
        if let known = keysOfSubjects.find(subject, subjects.epoch), names.isSame(known) {
            names.retain(known.id)
            return append(sequence, known.id)
        }
        guard let text = Subject.token(subjects.subject(subject), at: place), !text.isEmpty else { return }
        let key = names.use(text)
        if key != 0 { keysOfSubjects.set(subject, names.issue(of: key)) }
        append(sequence, key)
    }

    /// - Parameter key: with one use more.
    private func append(_ sequence: UInt64, _ key: KeyID) {
        guard key != 0 else { return }
        let record = names.record(key)
        if record.pointee.tail >= start, record.pointee.tail != 0, let tail = entry(record.pointee.tail) {
            let distance = sequence &- record.pointee.tail
            if distance < UInt64(Entry.far) {
                tail.pointee.distance = UInt32(truncatingIfNeeded: distance)
            } else {
                tail.pointee.distance = Entry.far
                farLinks[record.pointee.tail] = sequence
            }
        }
        record.pointee.tail = sequence
        makeEntry(sequence).pointee = Entry(key: key, distance: 0)
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

    private func linked(_ entry: UnsafeMutablePointer<Entry>, _ sequence: UInt64) -> UInt64? {
        switch entry.pointee.distance {
        case 0: nil
        case Entry.far: farLinks[sequence]
        default: sequence &+ UInt64(entry.pointee.distance)
        }
    }

    /// What lies between has left the stream: the next search steps over it.
    private func shorten(_ entry: UnsafeMutablePointer<Entry>, _ sequence: UInt64, to place: UInt64) {
        guard place &- sequence < UInt64(Entry.far) else { return }
        entry.pointee.distance = UInt32(truncatingIfNeeded: place &- sequence)
    }

    /// For a message that was never covered, because it had left the stream before.
    private func scan(_ key: KeyID, after sequence: UInt64) -> UInt64? {
        guard key != 0 else { return nil }
        for page in pages where (page.number + 1) << KeyIndex.shift > sequence {
            for slot in 0..<KeyIndex.pageSize where page.entries[slot].key == key {
                let found = page.number << KeyIndex.shift + UInt64(slot)
                if found > sequence && log.contains(found) { return found }
            }
        }
        return nil
    }

    // MARK: Pages

    @inline(__always)
    private func entry(_ sequence: UInt64) -> UnsafeMutablePointer<Entry>? {
        guard sequence >= start, sequence < end, let first = pages.first else { return nil }
        let number = sequence >> KeyIndex.shift
        guard number >= first.number else { return nil }
        // Without gaps a page stands where its number says.
        let guess = Int(truncatingIfNeeded: min(number &- first.number, UInt64(pages.count - 1)))
        let page = pages[guess].number == number ? guess : place(of: number)
        guard page < pages.count, pages[page].number == number else { return nil }
        return pages[page].entries + Int(truncatingIfNeeded: sequence & UInt64(KeyIndex.pageSize - 1))
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

    private func makeEntry(_ sequence: UInt64) -> UnsafeMutablePointer<Entry> {
        let number = sequence >> KeyIndex.shift
        if pages.last?.number != number {
            let entries = UnsafeMutablePointer<Entry>.allocate(capacity: KeyIndex.pageSize)
            entries.initialize(repeating: Entry(key: 0, distance: 0), count: KeyIndex.pageSize)
            pages.append(Page(number: number, entries: entries))
        }
        return pages[pages.count - 1].entries + Int(truncatingIfNeeded: sequence & UInt64(KeyIndex.pageSize - 1))
    }

    /// Gives back what no consumer needs any more; cheap to ask often.
    func trim() {
        guard pages.count >= pagesAtTrim else { return }
        let floor = users.values.reduce(end) { min($0, $1()) }
        var kept = 0
        while kept < pages.count, (pages[kept].number + 1) << KeyIndex.shift <= floor {
            drop(pages[kept])
            kept += 1
        }
        pages.removeFirst(kept)
        if !farLinks.isEmpty { farLinks = farLinks.filter { $0.key >= floor } }
        start = max(start, min(floor, (pages.first?.number ?? .max >> KeyIndex.shift) << KeyIndex.shift))
        pagesAtTrim = pages.count + max(16, pages.count / 2)
    }

    private func drop(_ page: Page) {
        for slot in 0..<KeyIndex.pageSize where page.entries[slot].key != 0 { names.release(page.entries[slot].key) }
        page.entries.deallocate()
    }

    private func forgetPages() {
        for page in pages {
            for slot in 0..<KeyIndex.pageSize where page.entries[slot].key != 0 {
                // Its number may go on being used by a consumer, and must not point to what is gone.
                names.record(page.entries[slot].key).pointee.tail = 0
            }
        }
        for page in pages { drop(page) }
        pages = []
        farLinks = [:]
        pagesAtTrim = 16
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
