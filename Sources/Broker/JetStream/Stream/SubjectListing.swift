// One STREAM.INFO that asks for subjects: finds those that a pattern matches, and lists one page of them by name.

import Glibc
import Store
import Wire

/// Subjects are gathered in runs, each run is sorted, and the runs are merged as far as the page reaches.
final class SubjectListing: LongAnswer {
    /// Subjects in a run: what is sorted at once.
    private static let runSize = 1_024

    /// Subjects with how many messages each has. They are copied: the stream's own may go between two pieces.
    private struct Run {
        struct Entry {
            var start: Int
            var count: Int
            var messages: UInt64
        }
        var texts: [UInt8] = []
        var entries: [Entry] = []
        /// Of the first one that has not been merged yet.
        var place = 0

        mutating func add(_ subject: ByteView, _ messages: UInt64) {
            entries.append(Entry(start: texts.count, count: subject.count, messages: messages))
            texts.append(contentsOf: UnsafeBufferPointer(start: subject.base, count: subject.count))
        }

        mutating func sort() {
            texts.withUnsafeBytes { texts in
                entries.sort { a, b in
                    Run.isBefore(texts, a, texts, b)
                }
            }
        }

        func isBefore(_ other: Run) -> Bool {
            texts.withUnsafeBytes { mine in
                other.texts.withUnsafeBytes { Run.isBefore(mine, entries[place], $0, other.entries[other.place]) }
            }
        }

        private static func isBefore(
            _ a: UnsafeRawBufferPointer, _ x: Entry, _ b: UnsafeRawBufferPointer, _ y: Entry
        ) -> Bool {
            guard let a = a.baseAddress, let b = b.baseAddress else { return false }
            let order = memcmp(a + x.start, b + y.start, min(x.count, y.count))
            return order != 0 ? order < 0 : x.count < y.count
        }
    }

    private let filter: SubjectFilter
    private let finish: (_ subjects: [UInt8], _ page: Page) -> Void
    private var page = Page()
    /// The number of the subject that is looked at next.
    private var subject: SubjectID? = 1
    private var fresh = Run()
    private var runs: [Run] = []
    /// The runs with something left, as a heap: the one whose next subject is the first of all is on top.
    private var heap: [Int] = []
    private var isMerging = false
    private var passed = 0
    private var json = JSONWriter()

    /// - Parameters:
    ///   - offset: where the page begins.
    ///   - finish: takes the page's subjects with their messages as a JSON object, or nothing where none is on it.
    init(
        _ pattern: String, offset: Int, _ stream: Stream, _ finish: @escaping (_ subjects: [UInt8], _ page: Page) -> Void
    ) {
        filter = SubjectFilter([pattern], stream.log.subjects)
        page.offset = max(0, offset)
        self.finish = finish
    }

    func proceed(_ stream: Stream, _ steps: inout Int) -> AnswerEnd {
        while steps > 0 {
            if isMerging {
                guard merge(&steps) else { continue }
                if passed > page.offset { json.endObject() }
                finish(json.take(), page.total == 0 ? Page() : page)
                return .finished
            }
            gather(stream.log.subjects, &steps)
        }
        return .steps
    }

    private func gather(_ table: SubjectTable, _ steps: inout Int) {
        guard let from = subject else {
            endRun(&steps)
            heap = page.offset < page.total ? Array(runs.indices) : []
            for place in heap.indices.reversed() { sink(place) }
            page.limit = Page.subjectsMax
            isMerging = true
            return
        }
        let looked = SubjectListing.runSize - fresh.entries.count
        subject = table.forEach(filter, from: from, count: looked) { id, summary in fresh.add(table.subject(id), summary.count)
        }
        steps -= looked
        if fresh.entries.count >= SubjectListing.runSize { endRun(&steps) }
    }

    private func endRun(_ steps: inout Int) {
        guard !fresh.entries.isEmpty else { return }
        fresh.sort()
        steps -= 4 * fresh.entries.count
        page.total += fresh.entries.count
        runs.append(fresh)
        fresh = Run()
    }

    /// True: the page is full, or the subjects have ended.
    private func merge(_ steps: inout Int) -> Bool {
        guard let top = heap.first, passed < page.offset || passed - page.offset < page.limit else { return true }
        if passed >= page.offset {
            if passed == page.offset { json.beginObject() }
            let run = runs[top], entry = run.entries[run.place]
            let text = String(decoding: run.texts[entry.start..<entry.start + entry.count], as: UTF8.self)
            json.member(text, entry.messages)
        }
        passed += 1
        runs[top].place += 1
        if runs[top].place == runs[top].entries.count {
            heap[0] = heap[heap.count - 1]
            heap.removeLast()
        }
        sink(0)
        steps -= 8
        return false
    }

    private func sink(_ start: Int) {
        var place = start
        while true {
            var least = place
            for child in [2 * place + 1, 2 * place + 2]
            where child < heap.count && runs[heap[child]].isBefore(runs[heap[least]]) {
                least = child
            }
            if least == place { return }
            heap.swapAt(place, least)
            place = least
        }
    }
}
