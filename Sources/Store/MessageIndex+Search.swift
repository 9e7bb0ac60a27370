// Searches in the message index: what a filter lets through next, last, and how much of it there is.

/// Walks entries downwards, from the one below or at a sequence.
struct BackwardScan {
    private let index: MessageIndex
    private var place: Int
    private var slot: Int
    private(set) var sequence: UInt64 = 0

    /// - Parameter sequence: the walk begins at it.
    init(_ index: MessageIndex, from sequence: UInt64) {
        self.index = index
        place = index.runPlace(sequence)
        slot = -1
        if place < index.runs.count {
            let run = index.runs[place]
            slot = run.lowerSlot(sequence)
            if slot == run.count || run.sequence(slot) > sequence { slot -= 1 }
        } else {
            place = index.runs.count - 1
            slot = place >= 0 ? index.runs[place].count - 1 : -1
        }
    }

    @inline(__always)
    mutating func next() -> IndexEntry? {
        while slot < 0 {
            place -= 1
            if place < 0 { return nil }
            slot = index.runs[place].live > 0 ? index.runs[place].count - 1 : -1
        }
        let run = index.runs[place]
        sequence = run.sequence(slot)
        slot -= 1
        return run[slot + 1]
    }
}

extension MessageIndex {
    /// The first message from `sequence` on that a filter lets through, not beyond `limit`.
    func next(atOrAfter sequence: UInt64, _ filter: SubjectFilter, upTo limit: UInt64) -> UInt64? {
        let start = max(sequence, first)
        guard messages > 0, start <= min(limit, last) else { return nil }
        if filter.isEverything {
            guard let found = nextLive(from: start), found <= limit else { return nil }
            return found
        }
        if filter.literals.isEmpty { return scan(from: start, upTo: limit) { filter.matches($0) } }
        var best: UInt64?
        for place in filter.literals.indices {
            guard let id = filter.literals[place].id(in: table) else { continue }
            let hint = filter.literals[place].hint
            guard let found = next(id, atOrAfter: start, hint) else { continue }
            filter.literals[place].hint = found
            if found <= min(limit, best ?? limit) { best = found }
        }
        return best
    }

    /// The last message up to `limit` that a filter lets through.
    func last(upTo limit: UInt64, _ filter: SubjectFilter) -> UInt64? {
        guard messages > 0, limit >= first else { return nil }
        if filter.literals.isEmpty {
            var scan = BackwardScan(self, from: min(limit, last))
            while let entry = scan.next(), scan.sequence >= first {
                if entry.isLive && filter.matches(entry.subject) { return scan.sequence }
            }
            return nil
        }
        var best: UInt64?
        for place in filter.literals.indices {
            guard let id = filter.literals[place].id(in: table), let found = last(id, upTo: limit) else { continue }
            best = max(best ?? 0, found)
        }
        return best
    }

    /// How many messages from `sequence` to `limit` a filter lets through.
    func count(from sequence: UInt64, upTo limit: UInt64, _ filter: SubjectFilter) -> UInt64 {
        let start = max(sequence, first), end = min(limit, last)
        guard messages > 0, start <= end else { return 0 }
        if filter.isEverything { return countLive(start, end) }
        var total: UInt64 = 0
        if !filter.literals.isEmpty {
            for place in filter.literals.indices {
                guard let id = filter.literals[place].id(in: table) else { continue }
                total += count(id, start, end, filter.literals[place].hint)
            }
            return total
        }
        // Either the range itself is counted, or what lies outside of it is taken from the whole.
        if (start - first) + (last - end) >= end - start { return scanCount(start, end) { filter.matches($0) } }
        filter.forEachMatch { total += UInt64(table.record($0)?.pointee.count ?? 0) }
        if start > first { total -= min(total, scanCount(first, start - 1) { filter.matches($0) }) }
        if end < last { total -= min(total, scanCount(end + 1, last) { filter.matches($0) }) }
        return total
    }

    /// Messages that carry any of `marks`, oldest first. `batchContinues` is not kept in memory.
    func marked(_ marks: MessageMarks, from sequence: UInt64) -> [UInt64] {
        let wanted = IndexEntry.pack(marks) << 26
        var found: [UInt64] = []
        guard wanted != 0 else { return found }
        for place in runPlace(sequence)..<max(runs.count, runPlace(sequence)) where runs[place].live > 0 {
            let run = runs[place]
            for slot in run.lowerSlot(sequence)..<run.count {
                let entry = run[slot]
                if entry.word0 & wanted != 0 && entry.isLive { found.append(run.sequence(slot)) }
            }
        }
        return found
    }

    /// The first message stored at or after a time. Times do not decrease, so that few must be looked up.
    /// - Parameter timeOf: reads the time of an entry; nil if it cannot be read, which counts as older.
    func first(atOrAfterNs timeNs: Int64, _ timeOf: (_ owner: UInt64, _ place: Int) -> Int64?) -> UInt64? {
        guard messages > 0 else { return nil }
        var low = 0, high = runs.count
        while low < high {
            let middle = (low + high) >> 1
            if runs[middle].firstTimeNs < timeNs { low = middle + 1 } else { high = middle }
        }
        // The run before may end with what is looked for.
        guard low > 0 else { return first }
        let run = runs[low - 1]
        var below = 0, above = run.count
        while below < above {
            let middle = (below + above) >> 1
            var probe = middle
            while probe < above && run[probe].subject == 0 { probe += 1 }
            if probe == above {
                above = middle
            } else if (timeOf(run.owner, run[probe].place) ?? Int64.min) < timeNs {
                below = probe + 1
            } else {
                above = middle
            }
        }
        let start = below < run.count ? run.sequence(below) : run.last + 1
        return nextLive(from: max(start, first))
    }

    // MARK: One subject

    /// The first message of a subject from a sequence on.
    /// - Parameter hint: a message of the subject that the search may begin at, or 0.
    private func next(_ id: SubjectID, atOrAfter sequence: UInt64, _ hint: UInt64) -> UInt64? {
        guard let record = table.record(id), record.pointee.count > 0 else { return nil }
        if record.pointee.first >= sequence { return record.pointee.first }
        if record.pointee.last < sequence { return nil }
        var place: ChainPlace?
        if let before = chainPlace(sequence - 1, id) {
            place = before
        } else if hint >= record.pointee.first && hint < sequence {
            place = chainPlace(hint, id)
        }
        var forward = place ?? chainPlace(record.pointee.first, id)
        if place == nil {
            // From an unknown place: along the chain and through the entries at once, whichever gets there.
            let step: UInt64 = 16
            var from = sequence
            while let here = forward, here.sequence < sequence {
                if let found = scan(id, from: from, upTo: min(from + step - 1, record.pointee.tail)) {
                    forward = found
                    break
                }
                from += step
                forward = next(after: here, id)
            }
        }
        while let here = forward {
            if here.sequence >= sequence && here.entry.isLive { return here.sequence }
            forward = next(after: here, id)
        }
        return nil
    }

    /// The last message of a subject up to a limit, looked for from both sides.
    private func last(_ id: SubjectID, upTo limit: UInt64) -> UInt64? {
        let summary = table.summary(id)
        guard summary.count > 0, summary.first <= limit else { return nil }
        if summary.last <= limit { return summary.last }
        var best = summary.first
        var forward = chainPlace(best, id)
        var back = BackwardScan(self, from: limit)
        while true {
            for _ in 0..<16 {
                guard let entry = back.next() else { return best }
                if entry.subject == id && entry.isLive { return back.sequence }
            }
            guard let place = forward, let next = next(after: place, id), next.sequence <= limit else { return best }
            if next.entry.isLive { best = next.sequence }
            forward = next
        }
    }

    private func count(_ id: SubjectID, _ start: UInt64, _ end: UInt64, _ hint: UInt64) -> UInt64 {
        let summary = table.summary(id)
        guard summary.count > 0, summary.first <= end, summary.last >= start else { return 0 }
        if summary.first >= start && summary.last <= end { return summary.count }
        // Whatever is shorter: through the entries beyond the end, or along the chain.
        let beyond = summary.last > end ? min(last, summary.last) - end : 0
        if summary.first >= start && beyond < 4_096 { return summary.count - scanCount(end + 1, summary.last) { $0 == id } }
        if end - start < 4_096 { return scanCount(start, end) { $0 == id } }
        var before: UInt64 = 0, after: UInt64 = 0
        var front = chainPlace(summary.first, id)
        var back = chainPlace(start - 1, id) ?? (hint >= summary.first && hint < start ? chainPlace(hint, id) : nil)
        let hasEnd = summary.last <= end
        while true {
            // From the first one to the start: what lies before it.
            guard let place = front else { break }
            if place.sequence >= start {
                if hasEnd { return summary.count - before }
                break
            }
            if place.entry.isLive { before += 1 }
            front = next(after: place, id)
            // From the hint to the end: what lies in the range.
            if let here = back {
                if here.sequence > end { return after }
                if here.sequence >= start && here.entry.isLive { after += 1 }
                back = next(after: here, id)
                if back == nil { return after }
            }
        }
        after = 0
        while let here = front, here.sequence <= end {
            if here.entry.isLive { after += 1 }
            front = next(after: here, id)
        }
        return after
    }

    // MARK: Many subjects

    @inline(__always)
    private func scan(from start: UInt64, upTo limit: UInt64, _ passes: (SubjectID) -> Bool) -> UInt64? {
        for place in runPlace(start)..<max(runs.count, runPlace(start)) {
            let run = runs[place]
            if run.first > limit { return nil }
            if run.live == 0 { continue }
            for slot in run.lowerSlot(start)..<run.count {
                let entry = run[slot]
                if entry.isLive && passes(entry.subject) {
                    let found = run.sequence(slot)
                    return found <= limit ? found : nil
                }
            }
        }
        return nil
    }

    @inline(__always)
    private func scanCount(_ start: UInt64, _ end: UInt64, _ passes: (SubjectID) -> Bool) -> UInt64 {
        var total: UInt64 = 0
        for place in runPlace(start)..<max(runs.count, runPlace(start)) {
            let run = runs[place]
            if run.first > end { break }
            if run.live == 0 { continue }
            for slot in run.lowerSlot(start)..<(end < run.last ? run.lowerSlot(end + 1) : run.count) {
                let entry = run[slot]
                if entry.isLive && passes(entry.subject) { total += 1 }
            }
        }
        return total
    }

    private func countLive(_ start: UInt64, _ end: UInt64) -> UInt64 {
        if start == first && end == last { return messages }
        var total: UInt64 = 0
        for place in runPlace(start)..<max(runs.count, runPlace(start)) {
            let run = runs[place]
            if run.first > end { break }
            if run.live == 0 { continue }
            let low = run.lowerSlot(start), high = end < run.last ? run.lowerSlot(end + 1) : run.count
            if run.live == run.count || high - low == run.count {
                total += UInt64(run.live == run.count ? high - low : run.live)
                continue
            }
            if high - low <= run.count / 2 {
                for slot in low..<high where run[slot].isLive { total += 1 }
            } else {
                var outside = 0
                for slot in 0..<low where run[slot].isLive { outside += 1 }
                for slot in high..<run.count where run[slot].isLive { outside += 1 }
                total += UInt64(run.live - outside)
            }
        }
        return total
    }
}
