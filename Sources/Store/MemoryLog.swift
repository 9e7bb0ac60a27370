// The messages of a stream that lives in memory only.

import Glibc
import Wire

/// Messages lie one behind the other in slabs of raw memory, which are freed when nothing in them is left, and closed up
/// when most of it is gone. Everything is durable at once, as durable as it will ever be.
public final class MemoryLog: MessageLog {
    private let index = MessageIndex()
    /// By ordinal, from `firstOrdinal`; nil where one has been freed.
    private var slabs: [MemorySlab?] = []
    private var firstOrdinal: UInt64 = 1
    /// A slab of the largest size, kept for the next time one is needed.
    private var spare: MemorySlab?
    private var nextSlabBytes = MemorySlab.bytesMin
    private var lastTimeNs: Int64 = 0
    public var onLoaded: (() -> Void)?
    public var onRemoved: ((_ sequence: UInt64, _ subject: SubjectID, _ bytes: Int) -> Void)?

    public init() {
        index.sizeOf = { [unowned self] owner, place in
            guard let slab = slab(owner) else { return 0 }
            let record = slab.record(place)
            guard let subject = subject(of: record.sequence) else { return 0 }
            return MemoryLog.size(subjects.subject(subject).count, record.headersLength, record.payloadLength)
        }
    }

    /// As JetStream counts a message in memory.
    private static func size(_ subject: Int, _ headers: Int, _ payload: Int) -> Int { subject + headers + payload + 16 }

    public var subjects: SubjectTable { index.table }
    public var durableSequence: UInt64 { index.last }
    public var commitTicket: UInt64 { 0 }
    public var finishedCommit: UInt64 { 0 }
    public func beginCommit(syncs: Bool) -> CommitJob? { nil }
    public func finishCommit(_ result: CommitResult) -> StoreError? { nil }

    public var state: LogState {
        var state = LogState()
        state.messages = index.messages
        state.bytes = index.bytes
        state.firstSequence = index.first
        state.lastSequence = index.last
        state.lastTimeNs = lastTimeNs
        state.subjects = index.table.count
        if index.messages > 0 {
            state.deleted = index.last - index.first + 1 - index.messages
            if let (entry, owner) = index.live(index.first) { state.firstTimeNs = slab(owner)?.record(entry.place).timeNs ?? 0 }
        }
        return state
    }

    /// Bytes of memory beyond what messages count: index, subjects, unused parts of slabs.
    public var memory: Int {
        index.memory + index.table.memory + slabs.reduce(0) { $0 + ($1?.capacity ?? 0) } + (spare?.capacity ?? 0)
    }

    // MARK: Changing

    public func append(
        sequence: UInt64?, timeNs: Int64, subject: ByteView, headers: ByteView, payload: ByteView, marks: MessageMarks
    ) throws(StoreError) -> UInt64 {
        let sequence = sequence ?? index.last + 1
        guard sequence > index.last, sequence < FileLog.sequencesEnd - 1 else {
            throw .unusable("sequence \(sequence) does not follow \(index.last)")
        }
        let length = MemoryRecord.bytes + headers.count + payload.count
        guard length <= IndexEntry.placesEnd - 8 else {
            throw .unusable("a message of \(length) bytes is more than a stream in memory takes")
        }
        let slab = slabWithRoom(length)
        // Not before the slabs are tidied, which may take a number from a subject of which there is no message.
        guard let id = index.table.number(subject) else { throw .unusable("too many subjects, or one that is too long") }
        lastTimeNs = max(timeNs, lastTimeNs)
        let place = slab.append(
            MemoryRecord(
                sequence: sequence, timeNs: lastTimeNs, headersLength: headers.count, payloadLength: payload.count),
            headers, payload)
        index.append(
            sequence, id, place: place, size: MemoryLog.size(subject.count, headers.count, payload.count), marks: marks,
            owner: slab.ordinal, timeNs: lastTimeNs)
        return sequence
    }

    public func skip(to sequence: UInt64) throws(StoreError) {
        guard sequence < FileLog.sequencesEnd - 1 else { throw .unusable("sequence \(sequence) is too high") }
        index.skip(to: sequence)
    }

    public func remove(_ sequence: UInt64, erases: Bool) throws(StoreError) -> Bool { take(sequence, erases: erases) }

    public func removeAll(below sequence: UInt64) throws(StoreError) -> UInt64 {
        let end = min(sequence, FileLog.sequencesEnd - 1)
        guard end > index.first, end > 0 else { return 0 }
        var count: UInt64 = 0
        while index.messages > 0 && index.first < end, take(index.first, erases: false) { count += 1 }
        index.skip(to: end - 1)
        return count
    }

    private func take(_ sequence: UInt64, erases: Bool) -> Bool {
        guard let removed = index.remove(sequence) else { return false }
        let slab = slab(removed.owner)
        slab?.remove(removed.place, erases: erases)
        // Before the index forgets the subject.
        onRemoved?(sequence, removed.subject, removed.size)
        if let slab { tidy(slab) }
        return true
    }

    // MARK: Reading

    public func load(_ sequence: UInt64) -> LoadOutcome {
        guard let (entry, owner) = index.live(sequence), let slab = slab(owner) else { return .absent }
        let record = slab.record(entry.place)
        let body = (slab.base + entry.place + MemoryRecord.bytes).assumingMemoryBound(to: UInt8.self)
        return .message(
            StoredMessage(
                sequence: sequence, timeNs: record.timeNs, subject: subjects.subject(entry.subject),
                headers: ByteView(UnsafePointer(body), record.headersLength),
                payload: ByteView(UnsafePointer(body + record.headersLength), record.payloadLength)))
    }

    public func contains(_ sequence: UInt64) -> Bool { index.live(sequence) != nil }
    public func size(of sequence: UInt64) -> Int? { index.size(of: sequence) }
    public func subject(of sequence: UInt64) -> SubjectID? { index.live(sequence)?.entry.subject }
    public func next(atOrAfter sequence: UInt64, _ filter: SubjectFilter, upTo limit: UInt64) -> UInt64? {
        index.next(atOrAfter: sequence, filter, upTo: limit)
    }
    public func last(upTo limit: UInt64, _ filter: SubjectFilter) -> UInt64? { index.last(upTo: limit, filter) }
    public func count(from sequence: UInt64, upTo limit: UInt64, _ filter: SubjectFilter) -> UInt64 {
        index.count(from: sequence, upTo: limit, filter)
    }
    public func first(atOrAfterNs timeNs: Int64) -> UInt64? {
        index.first(atOrAfterNs: timeNs) { owner, place in slab(owner)?.record(place).timeNs }
    }
    public func marked(_ marks: MessageMarks, from sequence: UInt64) -> [UInt64] { index.marked(marks, from: sequence) }

    // MARK: Slabs

    private func slab(_ ordinal: UInt64) -> MemorySlab? {
        guard ordinal >= firstOrdinal, ordinal - firstOrdinal < UInt64(slabs.count) else { return nil }
        return slabs[Int(ordinal - firstOrdinal)]
    }

    private func slabWithRoom(_ bytes: Int) -> MemorySlab {
        if let last = slabs.last, let last {
            if last.capacity - last.used >= MemoryRecord.padded(bytes) { return last }
            // From now on it may be closed up or freed.
            last.isFull = true
            tidy(last)
        }
        let wanted = nextSlabBytes
        nextSlabBytes = min(wanted * 4, MemorySlab.bytesMax)
        let ordinal = firstOrdinal + UInt64(slabs.count)
        if let spare, wanted == MemorySlab.bytesMax, MemoryRecord.padded(bytes) <= spare.capacity {
            self.spare = nil
            spare.begin(ordinal)
            slabs.append(spare)
            return spare
        }
        let slab = MemorySlab(ordinal, capacity: max(wanted, MemoryRecord.padded(bytes)))
        slabs.append(slab)
        return slab
    }

    /// Frees a slab of which nothing is left, and closes one up of which most is gone.
    private func tidy(_ slab: MemorySlab) {
        if slab.live == 0 {
            // The one that is being filled begins again once that is worth forgetting what the index knows of it.
            guard slab.isFull || slab.used > slab.capacity / 2 else { return }
            index.drop(owner: slab.ordinal)
            if !slab.isFull {
                slab.begin(slab.ordinal)
                return
            }
            let place = Int(slab.ordinal - firstOrdinal)
            slabs[place] = nil
            if slab.capacity == MemorySlab.bytesMax && spare == nil { spare = slab }
            // The last one stays: its number is that of the youngest run.
            let gone = slabs.dropLast().prefix { $0 == nil }.count
            if gone > 0 {
                slabs.removeFirst(gone)
                firstOrdinal += UInt64(gone)
            }
        } else if slab.isFull && slab.liveBytes < slab.capacity / 2 {
            slab.closeUp { sequence, from, to in
                guard let (entry, owner) = index.live(sequence), owner == slab.ordinal, entry.place == from else {
                    return false
                }
                if let to { index.move(sequence, to: to) }
                return true
            }
            index.thin(owner: slab.ordinal)
        }
    }
}

@available(*, unavailable)
extension MemoryLog: Sendable {}

/// What stands before the headers and payload of a message in a slab. Its subject is in the table.
private struct MemoryRecord {
    static let bytes = 24
    var sequence: UInt64
    var timeNs: Int64
    var headersLength: Int
    var payloadLength: Int

    static func padded(_ bytes: Int) -> Int { (bytes + 7) & ~7 }
    var size: Int { MemoryRecord.padded(MemoryRecord.bytes + headersLength + payloadLength) }
}

/// A piece of memory with messages in it.
private final class MemorySlab {
    /// A stream with a few messages takes little; one with many allocates seldom.
    static let bytesMin = 4 << 10
    static let bytesMax = 1 << 20

    private(set) var ordinal: UInt64
    private(set) var base: UnsafeMutableRawPointer
    private(set) var capacity: Int
    private(set) var used = 0
    private(set) var live = 0
    private(set) var liveBytes = 0
    /// Nothing is added any more.
    var isFull = false

    init(_ ordinal: UInt64, capacity: Int) {
        self.ordinal = ordinal
        self.capacity = capacity
        base = .allocate(byteCount: capacity, alignment: 8)
    }

    deinit { base.deallocate() }

    func begin(_ ordinal: UInt64) {
        self.ordinal = ordinal
        used = 0
        live = 0
        liveBytes = 0
        isFull = false
    }

    func append(_ record: MemoryRecord, _ headers: ByteView, _ payload: ByteView) -> Int {
        let place = used
        let target = base + place
        target.storeBytes(of: record.sequence, as: UInt64.self)
        target.storeBytes(of: record.timeNs, toByteOffset: 8, as: Int64.self)
        target.storeBytes(of: UInt32(truncatingIfNeeded: record.headersLength), toByteOffset: 16, as: UInt32.self)
        target.storeBytes(of: UInt32(truncatingIfNeeded: record.payloadLength), toByteOffset: 20, as: UInt32.self)
        let body = target + MemoryRecord.bytes
        body.copyMemory(from: headers.base, byteCount: headers.count)
        (body + headers.count).copyMemory(from: payload.base, byteCount: payload.count)
        used += record.size
        live += 1
        liveBytes += record.size
        return place
    }

    func record(_ place: Int) -> MemoryRecord {
        let source = base + place
        return MemoryRecord(
            sequence: source.load(as: UInt64.self), timeNs: source.load(fromByteOffset: 8, as: Int64.self),
            headersLength: Int(source.load(fromByteOffset: 16, as: UInt32.self)),
            payloadLength: Int(source.load(fromByteOffset: 20, as: UInt32.self)))
    }

    func remove(_ place: Int, erases: Bool) {
        let record = record(place)
        live -= 1
        liveBytes -= record.size
        if erases { memset(base + place + MemoryRecord.bytes, 0, record.headersLength + record.payloadLength) }
    }

    /// Moves what is left into memory of its size.
    /// - Parameter moves: asked whether the message at a place is still there, and told its new place.
    func closeUp(_ moves: (_ sequence: UInt64, _ from: Int, _ to: Int?) -> Bool) {
        let target = UnsafeMutableRawPointer.allocate(byteCount: max(liveBytes, 8), alignment: 8)
        var at = 0, end = 0
        while at < used {
            let record = record(at)
            if moves(record.sequence, at, nil) {
                (target + end).copyMemory(from: base + at, byteCount: record.size)
                _ = moves(record.sequence, at, end)
                end += record.size
            }
            at += record.size
        }
        base.deallocate()
        base = target
        capacity = max(liveBytes, 8)
        used = end
    }
}
