// Where each message is and what its subject is, in memory: the index that logs on file and in memory share.

import Wire

/// Owned by a log, and by its loop. Knows the messages that are there, in runs by segment, and keeps the table of subjects
/// up to date.
///
/// The messages of a subject form a chain: each entry holds the distance to the next one, so that a filter on one subject
/// steps from message to message whatever else is in the stream. Removed messages stay in the chain until their run
/// leaves memory. A link that leads to what has left is repaired by a scan from there on.
final class MessageIndex {
    /// A longer gap in sequences begins a new run instead of being filled with holes.
    static let gapMax: UInt64 = 1_024

    let table = SubjectTable()
    /// In the order of their sequences, which do not overlap.
    private(set) var runs: [IndexRun] = []
    private(set) var messages: UInt64 = 0
    private(set) var bytes: UInt64 = 0
    /// Of the first message; `last + 1` when there is none, 0 if there never was one.
    private(set) var first: UInt64 = 0
    /// The last sequence that was used.
    private(set) var last: UInt64 = 0
    /// The run that was found last.
    private var hint = 0
    /// Distances that do not fit an entry.
    private var farLinks: [UInt64: UInt64] = [:]
    /// Looks up a size that does not fit an entry.
    var sizeOf: ((_ owner: UInt64, _ place: Int) -> Int)?

    init() {
        table.resolveLast = { [unowned self] id in self.lastLive(id) }
    }

    /// Bytes that runs take; the table has its own.
    var memory: Int { runs.reduce(0) { $0 + $1.memory } + farLinks.capacity * 24 }

    // MARK: Changing

    /// Adds a message beyond the last sequence.
    /// - Parameters:
    ///   - place: where it begins in its segment, in bytes; a multiple of eight below `IndexEntry.placesEnd`.
    ///   - size: as the stream counts it.
    ///   - owner: the segment; not below that of the message before.
    func append(
        _ sequence: UInt64, _ id: SubjectID, place: Int, size: Int, marks: MessageMarks, owner: UInt64, timeNs: Int64
    ) {
        assert(sequence > last)
        linkTail(of: id, to: sequence)
        run(for: sequence, owner, timeNs).append(sequence, IndexEntry(place: place, size: size, marks: marks, subject: id))
        table.added(id, sequence)
        if messages == 0 { first = sequence }
        messages += 1
        bytes += UInt64(truncatingIfNeeded: size)
        last = sequence
    }

    /// Uses up sequences.
    func skip(to sequence: UInt64) {
        guard sequence > last else { return }
        last = sequence
        if messages == 0 { first = sequence + 1 }
    }

    /// What has become of a removed message.
    struct Removed {
        let subject: SubjectID
        let size: Int
        let owner: UInt64
        let place: Int
    }

    /// Removes a message; nil if it is not there.
    func remove(_ sequence: UInt64) -> Removed? {
        guard let (run, slot) = find(sequence) else { return nil }
        let entry = run[slot]
        guard entry.isLive else { return nil }
        let size = sizeOf(entry, run)
        run.kill(slot)
        messages -= 1
        bytes -= min(bytes, UInt64(truncatingIfNeeded: size))
        unlink(entry.subject, sequence, run, slot)
        if sequence == first { first = nextLive(from: sequence) ?? last + 1 }
        return Removed(subject: entry.subject, size: size, owner: run.owner, place: entry.place)
    }

    /// Forgets the runs of a segment, in which no message is left.
    func drop(owner: UInt64) {
        for run in runs where run.owner == owner { forget(run) }
        runs.removeAll { $0.owner == owner }
    }

    /// Keeps of a segment's removed messages nothing, where most are removed.
    func thin(owner: UInt64) {
        for run in runs where run.owner == owner { run.thin(leave) }
    }

    /// A message has another place in its segment now.
    func move(_ sequence: UInt64, to place: Int) {
        guard let (run, slot) = find(sequence), run[slot].subject != 0 else { return }
        run[slot].move(to: place)
    }

    /// Gives back memory that a segment's last run has reserved.
    func seal() { runs.last?.seal() }

    private func forget(_ run: IndexRun) {
        assert(run.live == 0)
        for slot in 0..<run.count {
            let entry = run[slot]
            if entry.subject != 0 { leave(entry, run.sequence(slot)) }
        }
    }

    private func leave(_ entry: IndexEntry, _ sequence: UInt64) {
        if entry.distance == IndexEntry.farDistance { farLinks[sequence] = nil }
        table.dropped(entry.subject)
    }

    private func run(for sequence: UInt64, _ owner: UInt64, _ timeNs: Int64) -> IndexRun {
        if let run = runs.last, run.owner == owner, run.isOpen, sequence - run.last <= MessageIndex.gapMax { return run }
        runs.last?.seal()
        let run = IndexRun(owner: owner, first: sequence, firstTimeNs: timeNs)
        runs.append(run)
        return run
    }

    /// Lets the last message of the subject, if there was one, point to the next.
    @inline(__always)
    private func linkTail(of id: SubjectID, to sequence: UInt64) {
        guard let record = table.record(id), record.pointee.entries > 0 else { return }
        link(record.pointee.tail, id, to: sequence)
    }

    private func link(_ sequence: UInt64, _ id: SubjectID, to next: UInt64) {
        guard sequence < next, let (run, slot) = find(sequence), run[slot].subject == id else { return }
        let distance = next - sequence
        if distance < UInt64(IndexEntry.farDistance) {
            run[slot].link(UInt32(truncatingIfNeeded: distance))
        } else {
            run[slot].link(IndexEntry.farDistance)
            farLinks[sequence] = next
        }
    }

    private func unlink(_ id: SubjectID, _ sequence: UInt64, _ run: IndexRun, _ slot: Int) {
        guard let record = table.record(id) else { return }
        record.pointee.count -= 1
        if record.pointee.count == 0 {
            record.pointee.isLastStale = false
            table.emptied()
            return
        }
        if record.pointee.first == sequence {
            var place: ChainPlace? = ChainPlace(sequence: sequence, run: run, slot: slot)
            repeat { place = place.flatMap { next(after: $0, id) } } while place.map { !$0.entry.isLive } ?? false
            if let place { record.pointee.first = place.sequence }
        }
        if record.pointee.last == sequence { record.pointee.isLastStale = true }
    }

    private func sizeOf(_ entry: IndexEntry, _ run: IndexRun) -> Int {
        if entry.size < IndexEntry.largeSize { return Int(entry.size) }
        return sizeOf?(run.owner, entry.place) ?? Int(entry.size)
    }

    // MARK: Finding

    /// The run and slot of a sequence that is in the index, live or not; what is found may be a hole.
    @inline(__always)
    func find(_ sequence: UInt64) -> (run: IndexRun, slot: Int)? {
        let place = runPlace(sequence)
        guard place < runs.count else { return nil }
        let run = runs[place]
        let slot = run.slot(of: sequence)
        return slot < 0 ? nil : (run, slot)
    }

    /// The entry of a message that is there, with its segment.
    @inline(__always)
    func live(_ sequence: UInt64) -> (entry: IndexEntry, owner: UInt64)? {
        guard let (run, slot) = find(sequence), run[slot].isLive else { return nil }
        return (run[slot], run.owner)
    }

    /// The size of a message that is there.
    func size(of sequence: UInt64) -> Int? {
        guard let (run, slot) = find(sequence), run[slot].isLive else { return nil }
        return sizeOf(run[slot], run)
    }

    /// The place of the first run that does not end below a sequence; `runs.count` if there is none.
    @inline(__always)
    func runPlace(_ sequence: UInt64) -> Int {
        // Most look for what came last.
        if let run = runs.last, sequence >= run.first { return sequence <= run.last ? runs.count - 1 : runs.count }
        // Or for what stands beside what they looked for before.
        if hint < runs.count, sequence >= runs[hint].first, sequence <= runs[hint].last { return hint }
        var low = 0, high = runs.count
        while low < high {
            let middle = (low + high) >> 1
            if runs[middle].last < sequence { low = middle + 1 } else { high = middle }
        }
        hint = low
        return low
    }

    /// The first message from a sequence on, whatever its subject.
    func nextLive(from sequence: UInt64) -> UInt64? {
        var place = runPlace(sequence)
        while place < runs.count {
            let run = runs[place]
            if run.live > 0 {
                var slot = run.lowerSlot(sequence)
                while slot < run.count {
                    if run[slot].isLive { return run.sequence(slot) }
                    slot += 1
                }
            }
            place += 1
        }
        return nil
    }

    // MARK: Chains

    /// A message in its subject's chain, there or removed.
    struct ChainPlace {
        let sequence: UInt64
        let run: IndexRun
        let slot: Int
        @inline(__always) var entry: IndexEntry { run[slot] }
    }

    /// Where a sequence stands in a subject's chain, if it does.
    @inline(__always)
    func chainPlace(_ sequence: UInt64, _ id: SubjectID) -> ChainPlace? {
        guard let (run, slot) = find(sequence), run[slot].subject == id else { return nil }
        return ChainPlace(sequence: sequence, run: run, slot: slot)
    }

    /// The next in the chain, there or removed.
    func next(after place: ChainPlace, _ id: SubjectID) -> ChainPlace? {
        guard let record = table.record(id), place.sequence < record.pointee.tail else { return nil }
        let distance = place.entry.distance
        let linked: UInt64
        if distance == 0 {
            linked = place.sequence + 1
        } else if distance == IndexEntry.farDistance {
            linked = farLinks[place.sequence] ?? place.sequence + 1
        } else {
            linked = place.sequence + UInt64(distance)
        }
        if let next = chainPlace(linked, id) { return next }
        // What the link led to has left memory.
        guard let next = scan(id, from: linked, upTo: record.pointee.tail) else { return nil }
        link(place.sequence, id, to: next.sequence)
        return next
    }

    /// The first entry of a subject in a range, there or removed.
    func scan(_ id: SubjectID, from sequence: UInt64, upTo limit: UInt64) -> ChainPlace? {
        var at = runPlace(sequence)
        while at < runs.count, runs[at].first <= limit {
            let run = runs[at]
            var slot = run.lowerSlot(sequence)
            while slot < run.count {
                if run[slot].subject == id {
                    let found = run.sequence(slot)
                    return found <= limit ? ChainPlace(sequence: found, run: run, slot: slot) : nil
                }
                slot += 1
            }
            at += 1
        }
        return nil
    }

    /// The last message of a subject whose last one has been removed: looked for from both ends of the chain at once.
    private func lastLive(_ id: SubjectID) -> UInt64 {
        guard let record = table.record(id), record.pointee.count > 1 else { return table.record(id)?.pointee.first ?? 0 }
        var best = record.pointee.first
        var forward = chainPlace(best, id)
        var back = BackwardScan(self, from: record.pointee.last)
        while true {
            for _ in 0..<16 {
                guard let entry = back.next() else { return best }
                if entry.subject == id && entry.isLive { return back.sequence }
            }
            guard let place = forward, let next = next(after: place, id), next.sequence < record.pointee.last else {
                return best
            }
            if next.entry.isLive { best = next.sequence }
            forward = next
        }
    }
}

@available(*, unavailable)
extension MessageIndex: Sendable {}
