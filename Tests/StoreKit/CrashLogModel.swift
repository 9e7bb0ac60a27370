// What a log must hold after a crash: what was said to be durable, and of the rest any beginning.

import Store
import Wire

/// The messages that were ever given to one log, and what has been asked of them since.
struct CrashLogModel {
    struct Message {
        var subject: String
        var payload: [UInt8]
        var timeNs: Int64
        var marks: MessageMarks
        /// The commit that holds it.
        var ticket: UInt64
        /// The commit that holds its removal.
        var removal: UInt64?
        /// Members of one atomic batch have the same; 0 is none.
        var batch = 0
    }

    private(set) var messages: [UInt64: Message] = [:]
    /// Removed, durably, before the last restart.
    private var gone: Set<UInt64> = []
    private(set) var last: UInt64 = 0
    /// Highest sequence that was used up, by the commit that says so.
    private var skips: [(to: UInt64, ticket: UInt64)] = []
    private var floors: [(sequence: UInt64, ticket: UInt64)] = []
    private var floor: UInt64 = 0
    private var lastKept: UInt64 = 0

    /// Sequences that are there, as the log's user sees it.
    var live: [UInt64] { messages.filter { $0.value.removal == nil }.keys.sorted() }

    mutating func append(_ sequence: UInt64, _ message: Message) {
        messages[sequence] = message
        last = sequence
    }

    mutating func remove(_ sequence: UInt64, ticket: UInt64) { messages[sequence]?.removal = ticket }

    mutating func skip(to sequence: UInt64, ticket: UInt64) {
        skips.append((sequence, ticket))
        last = max(last, sequence)
    }

    mutating func removeAll(below sequence: UInt64, ticket: UInt64) {
        for each in live where each < sequence { remove(each, ticket: ticket) }
        floors.append((sequence, ticket))
        skip(to: sequence - 1, ticket: ticket)
    }

    /// Compares a log that a restart has opened with what it must hold.
    /// - Parameter durable: the last commit that was said to be durable.
    func faults(of log: FileLog, durable: UInt64) -> [String] {
        var faults: [String] = []
        let state = log.state, report = log.recoveryReport
        for damage in report.damages { faults.append("damage after a mere crash: \(damage)") }
        if report.lostMessages > 0 || !state.lost.isEmpty { faults.append("lost after a mere crash: \(state.lost)") }
        var present: [UInt64] = []
        // The first message of the last, unfinished commits that is missing: none behind it may be there.
        var missing: UInt64?
        var batches: [Int: Set<Bool>] = [:]
        for (sequence, message) in messages.sorted(by: { $0.key < $1.key }) {
            let isThere = log.contains(sequence)
            if isThere { present.append(sequence) }
            let isSure = message.ticket <= durable
            if let removal = message.removal, removal <= durable {
                if isThere { faults.append("\(sequence) is back; its removal was durable") }
            } else if isSure && message.removal == nil && !isThere {
                faults.append("\(sequence) is lost; it was durable")
            }
            if isThere, let fault = fault(of: sequence, message, log) { faults.append(fault) }
            guard !isSure else { continue }
            if !isThere && message.removal == nil { missing = missing ?? sequence }
            if isThere, let missing { faults.append("\(sequence) is there, \(missing) before it is not") }
            if message.batch > 0 && message.removal == nil { batches[message.batch, default: []].insert(isThere) }
        }
        if batches.values.contains(where: { $0.count > 1 }) { faults.append("half of an atomic batch is there") }
        for sequence in gone where log.contains(sequence) { faults.append("\(sequence) is back from an earlier life") }
        faults += disagreements(state, present, durable)
        return faults
    }

    private func fault(of sequence: UInt64, _ message: Message, _ log: FileLog) -> String? {
        switch log.loaded(sequence) {
        case .message(let found):
            guard found.subject.string == message.subject, found.payload.bytes == message.payload,
                found.timeNs == message.timeNs
            else { return "\(sequence) has other contents" }
            return nil
        case .absent: return "\(sequence) is listed and cannot be loaded"
        case .reading: return "\(sequence) is being read for ever"
        case .failed(let error): return "\(sequence) cannot be read: \(error)"
        }
    }

    private func disagreements(_ state: LogState, _ present: [UInt64], _ durable: UInt64) -> [String] {
        var faults: [String] = []
        if state.messages != UInt64(present.count) {
            faults.append("the state counts \(state.messages) messages; \(present.count) are known")
        }
        let sureMessages = messages.filter { $0.value.ticket <= durable }
        let leastLast = max(
            sureMessages.keys.max() ?? 0, skips.filter { $0.ticket <= durable }.map(\.to).max() ?? 0, lastKept)
        if state.lastSequence < leastLast || state.lastSequence > last {
            faults.append("the last sequence is \(state.lastSequence); \(leastLast) was durable, \(last) given out")
        }
        if let first = present.first, state.firstSequence != first {
            faults.append("the first sequence is \(state.firstSequence), not \(first)")
        }
        if present.isEmpty && state.lastSequence > 0 && state.firstSequence != state.lastSequence + 1 {
            faults.append("an empty log goes from \(state.firstSequence) to \(state.lastSequence)")
        }
        let leastFirst = max(floor, floors.filter { $0.ticket <= durable }.map(\.sequence).max() ?? 0)
        if state.firstSequence < leastFirst {
            faults.append("the first sequence is \(state.firstSequence); everything below \(leastFirst) was removed durably")
        }
        return faults
    }

    /// The log has been opened again: what it shows is what there is.
    mutating func rebase(on log: FileLog) {
        let state = log.state
        for (sequence, message) in messages {
            if log.contains(sequence) {
                var kept = message
                kept.ticket = 0
                kept.removal = nil
                kept.batch = 0
                messages[sequence] = kept
            } else {
                messages[sequence] = nil
                gone.insert(sequence)
            }
        }
        // Sequences that were never durable are given out again.
        gone = gone.filter { $0 <= state.lastSequence }
        last = state.lastSequence
        lastKept = last
        floor = state.firstSequence
        skips = []
        floors = []
    }
}

extension FileLog {
    /// Loads a message, with the reads that it takes.
    func loaded(_ sequence: UInt64) -> LoadOutcome {
        for _ in 0..<100 {
            guard case .reading = load(sequence) else { break }
            guard let job = beginRead() else { break }
            finishRead(job.run())
        }
        return load(sequence)
    }
}
