// A small store of which every byte is damaged in turn, and every file cut short at every length.

import Store
import Wire

/// What damage may cost: a flipped byte at most one message or one consumer record; after an unclean stop in the last block at
/// most that block; everything else nothing. Whatever is lost is reported.
public final class CorruptionWorld {
    public private(set) var faults: [String] = []
    public private(set) var runs = 0
    /// Runs in which something was lost: there must be some.
    public private(set) var costly = 0

    private let disk = SimulatedDisk()
    private let options: LogOptions
    private let isClosed: Bool
    private var whole = Contents()
    /// The last commit's messages.
    private var lastBlock: Set<UInt64> = []

    private struct Contents: Equatable {
        var messages: [UInt64: [UInt8]] = [:]
        var consumers: [ConsumerID: Int] = [:]
        var records = 0
        var definition: [UInt8] = []
    }

    /// - Parameter closes: the store was closed in order.
    public init(closes: Bool) throws {
        isClosed = closes
        var options = LogOptions()
        options.firstSegmentBytes = 4 << 10
        options.segmentBytesMax = 4 << 10
        options.compactBytesMin = 2 << 10
        options.segmentIDSeed = 7
        self.options = options
        try CrashFiles.makeDirectories(on: disk)
        let files = try CrashFiles(disk, options)
        files.serve()
        try files.definition.write(Array("a definition of some length".utf8))
        try fill(files)
        if closes { try close(files) }
        whole = try contents(CrashFiles(disk.copy(), options))
    }

    /// Several segments, one of them rewritten, with every kind of record in them.
    private func fill(_ files: CrashFiles) throws {
        let log = files.log
        var random = SeededRandom(seed: 3)
        let ids = (0..<3).map { _ in files.journal.makeID() }
        for id in ids { files.setConsumer(id, 1, replaces: true, size: 20) }
        for number in 1...60 {
            if number == 20 { try log.skip(to: log.state.lastSequence + 3) }
            let sequence = try log.append("s.\(number % 5)", random.bytes(80 + number * 3), timeNs: Int64(number), marks: [])
            if number % 3 == 0 && number < 40 { _ = try log.remove(sequence - 1, erases: number % 2 == 0) }
            if number == 12 { _ = try log.removeAll(below: 4) }
            if number == 30 { for sequence in 5...16 as ClosedRange<UInt64> { _ = try log.remove(sequence, erases: false) } }
            if number % 4 == 0 {
                files.setConsumer(ids[number % 2], 1 + number / 8 + (number % 8) / 4, replaces: number % 12 == 0, size: number)
            }
            if number > 58 { lastBlock.insert(sequence) }
            if number <= 58 || number == 60 { try files.commitAll() }
            try files.commitJournal()
            if number % 10 == 0 { try files.maintain() }
        }
        try files.commitAll()
    }

    private func close(_ files: CrashFiles) throws {
        while let job = files.log.beginClose() { if let error = files.log.finishCommit(job.run()) { throw error } }
        try files.journal.close()
    }

    private func contents(_ files: CrashFiles) throws -> Contents {
        var contents = Contents()
        let state = files.log.state
        if state.messages > 0 {
            for sequence in state.firstSequence...state.lastSequence {
                guard case .message(let message) = files.log.loaded(sequence) else { continue }
                contents.messages[sequence] = message.payload.bytes
            }
        }
        for consumer in files.found {
            contents.consumers[consumer.id] = consumer.lastValue
            contents.records += consumer.records.count
        }
        contents.definition = try files.definition.read()?.bytes ?? []
        return contents
    }

    // MARK: Flips

    /// Flips each byte of each file, one after the other.
    /// - Parameter step: looks at one byte in so many.
    public func flipAll(step: Int = 1) {
        for (path, bytes) in disk.files().sorted(by: { $0.key < $1.key }) {
            for place in stride(from: 0, to: bytes.count, by: step) {
                guard faults.count < CrashWorld.faultsMax else { return }
                var flipped = bytes
                flipped[place] ^= UInt8(1 << (place % 8))
                let copy = disk.copy()
                copy.replace(path, flipped)
                checkFlip(copy, "\(path), byte \(place) flipped")
            }
        }
    }

    private func checkFlip(_ copy: SimulatedDisk, _ what: String) {
        runs += 1
        do {
            let files = try CrashFiles(copy, options)
            let found = try contents(files), report = files.log.recoveryReport
            let lost = Set(whole.messages.keys).subtracting(found.messages.keys)
            compare(found, what)
            if !lost.isEmpty {
                costly += 1
                let isTail = !isClosed && lost.isSubset(of: lastBlock) && report.cutBytes > 0
                if !isTail {
                    if lost.count > 1 { fault("costs messages \(lost.sorted())", what) }
                    if Set(files.log.state.lost) != lost || report.damages.isEmpty { fault("loses \(lost) in silence", what) }
                }
            } else if !files.log.state.lost.isEmpty {
                fault("loses nothing and reports \(files.log.state.lost)", what)
            }
            let missing = whole.records - found.records
            if missing != 0 || found.consumers != whole.consumers {
                costly += 1
                let isTail = !isClosed && files.journal.findings.isEmpty
                if !isTail && files.journal.findings.isEmpty { fault("costs a consumer's record in silence", what) }
                if missing > 1 || found.consumers.count != whole.consumers.count { fault("costs \(missing) records", what) }
            }
            if found.definition != whole.definition { fault("changes the definition", what) }
        } catch {
            fault("cannot be opened: \(error)", what)
        }
    }

    /// Nothing has changed, and nothing has come back.
    private func compare(_ found: Contents, _ what: String) {
        for (sequence, payload) in found.messages where whole.messages[sequence] != payload {
            fault(whole.messages[sequence] == nil ? "brings \(sequence) back" : "changes \(sequence)", what)
        }
        for (id, value) in found.consumers where value > whole.consumers[id] ?? 0 {
            fault("gets ahead of consumer \(id)", what)
        }
    }

    // MARK: Truncation

    /// Cuts each file short at each length.
    public func truncateAll(step: Int = 1) {
        for (path, bytes) in disk.files().sorted(by: { $0.key < $1.key }) {
            for length in stride(from: 0, to: bytes.count, by: step) {
                guard faults.count < CrashWorld.faultsMax else { return }
                let copy = disk.copy()
                copy.replace(path, Array(bytes[..<length]))
                checkTruncation(copy, "\(path) cut to \(length) bytes")
            }
        }
    }

    private func checkTruncation(_ copy: SimulatedDisk, _ what: String) {
        runs += 1
        do {
            let files = try CrashFiles(copy, options)
            let isDefinitionGone = (try? files.definition.read()) == nil
            var found = Contents()
            if isDefinitionGone {
                try files.definition.write(whole.definition)
                found = try contents(files)
                if !what.contains("definition") { fault("costs the definition", what) }
            } else {
                found = try contents(files)
            }
            // What said that a message had been removed may be cut off; that something is, is said.
            if !files.log.recoveryReport.damages.isEmpty {
                found.messages = found.messages.filter { whole.messages[$0.key] != nil }
            }
            compare(found, what)
            let lost = Set(whole.messages.keys).subtracting(found.messages.keys)
            let state = files.log.state
            for sequence in lost where sequence <= state.lastSequence && !state.lost.contains(sequence) {
                fault("loses \(sequence) in silence", what)
            }
            if !lost.isEmpty {
                costly += 1
                if files.log.recoveryReport.damages.isEmpty { fault("loses \(lost.count) messages in silence", what) }
            }
            if found.consumers != whole.consumers && files.journal.findings.isEmpty {
                fault("costs a consumer's records in silence", what)
            }
            // It goes on from here.
            let next = try files.log.append("after", [9], timeNs: 1_000, marks: [])
            try files.commitAll()
            let again = try CrashFiles(copy.copy(), options)
            if !again.log.contains(next) { fault("what is written afterwards is lost", what) }
        } catch {
            fault("cannot be opened: \(error)", what)
        }
    }

    private func fault(_ text: String, _ what: String) { faults.append("\(what): \(text)") }
}
