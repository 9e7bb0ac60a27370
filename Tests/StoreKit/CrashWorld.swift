// A store at work on a disk that forgets: everything that a stream asks of its files, and a power failure at every step.

import Glibc
import Store
import Wire

/// One seed's work. At each call that changes the disk the disk is crashed, what that leaves is opened, and must hold what
/// had been said to be durable. Runs on one thread; jobs that run on others in a broker run between steps, or in the middle
/// of each other.
public final class CrashWorld {
    /// Faults that were found, each with the seed and the call.
    public private(set) var faults: [String] = []
    /// Power failures so far.
    public private(set) var points = 0

    private let seed: UInt64
    private var random: SeededRandom
    private var crashes: SeededRandom
    private var disk = SimulatedDisk()
    private var files: CrashFiles
    private let options: LogOptions
    /// Syncs only now and then, as with a sync interval.
    private let syncsSeldom: Bool

    private var model = CrashLogModel()
    private var consumers = CrashConsumerModel()
    /// What the definition may hold.
    private var definitions: Set<Int> = [0]
    private var definition = 0
    private var batches = 0
    private var timeNs: Int64 = 1
    /// The last log commit that a sync has covered.
    private var durable: UInt64 = 0

    private struct Running {
        let job: CommitJob
        var syncs = true
        var result: CommitResult?
    }
    private var logJob: Running?
    private var journalJob: Running?
    private var maintenanceJob: Running?
    /// Something is being run in the middle of something else.
    private var isNested = false
    private var isOnLoop = true
    /// Calls fail, and say so: only what is said to be done must be done.
    private var toleratesErrors = false

    static let faultsMax = 5

    /// - Parameter omitsSync: the disk says that it has synced, and has not.
    public init(seed: UInt64, omitsSync: Bool = false) throws {
        self.seed = seed
        random = SeededRandom(seed: seed)
        crashes = SeededRandom(seed: seed ^ 0xC4A5_4ED0)
        syncsSeldom = random.once(in: 5)
        var options = LogOptions()
        options.firstSegmentBytes = [4 << 10, 8 << 10, 16 << 10][random.below(3)]
        options.segmentGrowth = [1, 2, 4][random.below(3)]
        options.segmentBytesMax = 32 << 10
        options.compactBytesMin = 2 << 10
        options.openFilesMax = [1, 4][random.below(2)]
        options.segmentIDSeed = seed
        self.options = options
        if random.once(in: 4) { disk.missCache(onceIn: 3) }
        try CrashFiles.makeDirectories(on: disk)
        files = try CrashFiles(disk, options)
        try files.definition.write([0])
        files.serve()
        if omitsSync { disk.ignoreSync() }
    }

    /// Works through some lives, each of which ends in a crash or in order.
    public func run(lives: Int = 4, steps: Int = 60) {
        for life in 0..<lives {
            if life > 0 { begin() }
            guard faults.isEmpty else { return }
            watch()
            for _ in 0..<steps {
                step()
                if faults.count >= CrashWorld.faultsMax { break }
            }
            if random.once(in: 4) { endInOrder() }
            disk.beforeChange(nil)
        }
    }

    /// Works through one life on a disk that fails at one call, or from one call on. What had been said to be durable must be
    /// there all the same, once the disk is well again.
    /// - Parameter call: from 1, counted from the beginning of the work.
    public func run(steps: Int, _ fault: DiskFault, atCall call: Int, lasting: Bool) {
        toleratesErrors = true
        if lasting {
            disk.inject(fault, fromCall: disk.calls + call)
        } else {
            disk.inject(fault, atCall: disk.calls + call)
        }
        work(steps)
        disk.clearFaults()
        isOnLoop = true
        check(disk.copy(), "\(fault) at call \(call)")
        check(disk.crashed(seed: crashes.next()), "\(fault) at call \(call)")
    }

    /// How many calls the work takes when nothing goes wrong.
    public func callsOf(steps: Int) -> Int {
        let before = disk.calls
        work(steps)
        return disk.calls - before
    }

    private func work(_ steps: Int) {
        for _ in 0..<steps { step() }
        finishAll()
        beginLog()
        beginJournal()
        finishAll()
    }

    private func watch() {
        nonisolated(unsafe) let world = self
        disk.beforeChange { call, path in world.crashPoint("\(call.rawValue) \(path)") }
    }

    // MARK: Crashing

    /// Called before each call that changes the disk.
    private func crashPoint(_ call: String) {
        guard faults.count < CrashWorld.faultsMax else { return }
        check(disk.crashed(seed: crashes.next()), call)
        // Another thread may get ahead of this one here.
        if !isOnLoop && !isNested && random.once(in: 6) {
            isNested = true
            runSomeJob()
            isNested = false
        }
    }

    private func check(_ left: SimulatedDisk, _ call: String) {
        points += 1
        var left = left
        // A start may itself be cut off, at any of its steps.
        var depth = 0
        while depth < 3 && crashes.once(in: 4) {
            left.failPower(atChange: 1 + crashes.below(6))
            if (try? CrashFiles(left, options)) != nil && !left.isOff { break }
            left = left.crashed(seed: crashes.next())
            depth += 1
            points += 1
        }
        let opened: CrashFiles
        do {
            opened = try CrashFiles(left.copy(), options)
        } catch {
            return report(["cannot be opened: \(error)"], call)
        }
        var found = model.faults(of: opened.log, durable: durable)
        found += consumers.faults(of: opened.found, findings: opened.journal.findings)
        switch Result(catching: { try opened.definition.read() }) {
        case .success(let contents?):
            if contents.isDamaged { found.append("a copy of the definition is damaged") }
            if !definitions.contains(Int(contents.bytes.first ?? 255)) { found.append("the definition is \(contents.bytes)") }
        case .success(nil): found.append("the definition is gone")
        case .failure(let error): found.append("the definition cannot be read: \(error)")
        }
        if found.isEmpty && crashes.once(in: 8) { found += goesOn(opened) }
        report(found, call)
    }

    /// What a crash leaves can be written to, and opened again.
    private func goesOn(_ opened: CrashFiles) -> [String] {
        do {
            let sequence = try opened.log.append("after", [1, 2, 3], timeNs: timeNs, marks: [])
            try opened.commitAll()
            let again = try CrashFiles(opened.disk.crashed(seed: crashes.next()), options)
            guard again.log.contains(sequence), again.log.recoveryReport.damages.isEmpty,
                again.log.state.messages == opened.log.state.messages
            else { return ["what was written after the crash is not there: \(again.log.recoveryReport.damages)"] }
            return []
        } catch {
            return ["cannot be written after the crash: \(error)"]
        }
    }

    private func report(_ found: [String], _ call: String) {
        for fault in found.prefix(CrashWorld.faultsMax) {
            faults.append("seed \(seed), crash \(points) before \(call): \(fault)")
        }
    }

    // MARK: Lives

    /// The power fails, or the process ends; what is left is what the next life begins with.
    private func begin() {
        let left = random.once(in: 3) ? disk.copy() : disk.crashed(seed: crashes.next())
        disk = left
        do {
            files = try CrashFiles(disk, options)
            let contents = try files.definition.read()
            definition = Int(contents?.bytes.first ?? 0)
        } catch {
            return report(["cannot be opened: \(error)"], "a new life")
        }
        files.serve()
        let found = model.faults(of: files.log, durable: durable)
        report(found + consumers.faults(of: files.found, findings: files.journal.findings), "a new life")
        model.rebase(on: files.log)
        consumers.rebase(on: files.found)
        definitions = [definition]
        durable = 0
        logJob = nil
        journalJob = nil
        maintenanceJob = nil
    }

    private func endInOrder() {
        for _ in 0..<20 {
            finishAll()
            guard let job = files.log.beginClose() else { break }
            logJob = Running(job: job)
        }
        do {
            consumers.commitBegan()
            try files.journal.close()
            consumers.commitFinished(syncs: true)
            let again = try CrashFiles(disk.copy(), options)
            if !again.log.recoveryReport.wasClean { report(["an orderly end counts as a crash"], "the end") }
        } catch {
            report(["cannot be closed: \(error)"], "the end")
        }
    }

    // MARK: Working

    private func step() {
        do {
            switch random.below(24) {
            case 0...6: try append()
            case 7: try appendBatch()
            case 8...9: try remove()
            case 10: try removeBelow()
            case 11: try rollUp()
            case 12: try skip()
            case 13...14: changeConsumer()
            case 15: beginJournal()
            case 16: try define()
            case 17: beginMaintenance()
            case 18...20:
                beginLog()
                if random.once(in: 2) { runSomeJob() }
            default:
                runSomeJob()
                finishSomeJob()
            }
        } catch {
            if !toleratesErrors { report(["a step failed: \(error)"], "nothing") }
        }
    }

    private func message(batch: Int = 0, marks: MessageMarks = []) -> CrashLogModel.Message {
        timeNs += Int64(random.below(3))
        let size =
            switch random.below(20) {
            case 0: 5_000 + random.below(8_000)
            case 1...4: 500 + random.below(1_500)
            default: random.below(200)
            }
        return CrashLogModel.Message(
            subject: "s.\(random.below(6))", payload: random.bytes(size), timeNs: timeNs, marks: marks, ticket: 0, batch: batch)
    }

    private func append(_ message: CrashLogModel.Message, at sequence: UInt64? = nil) throws {
        let sequence = try files.log.append(
            message.subject, message.payload, timeNs: message.timeNs, marks: message.marks, sequence: sequence)
        var message = message
        message.ticket = files.log.commitTicket
        model.append(sequence, message)
    }

    private func append() throws {
        for _ in 0...random.below(6) {
            let gap = random.once(in: 20)
            try append(message(), at: gap ? model.last + 1 + UInt64(random.below(4)) : nil)
        }
        // As max_msgs does.
        let live = model.live
        if live.count > 40 { for sequence in live.prefix(live.count - 40) { try remove(sequence, erases: false) } }
    }

    private func appendBatch() throws {
        batches += 1
        let count = 2 + random.below(4)
        for place in 1...count {
            try append(message(batch: batches, marks: place < count ? [.batchContinues] : []))
        }
    }

    private func remove(_ sequence: UInt64, erases: Bool) throws {
        guard try files.log.remove(sequence, erases: erases) else {
            return report(["\(sequence) is not there to be removed"], "nothing")
        }
        model.remove(sequence, ticket: files.log.commitTicket)
    }

    private func remove() throws {
        for _ in 0...random.below(3) {
            guard let sequence = model.live.randomElement(using: &random) else { return }
            try remove(sequence, erases: random.once(in: 2))
        }
    }

    private func removeBelow() throws {
        guard let limit = model.live.randomElement(using: &random) else { return }
        let end = random.once(in: 6) ? model.last + 1 + UInt64(random.below(3)) : limit
        guard end > files.log.state.firstSequence else { return }
        _ = try files.log.removeAll(below: end)
        model.removeAll(below: end, ticket: files.log.commitTicket)
    }

    private func rollUp() throws {
        let message = message()
        for sequence in model.live where model.messages[sequence]?.subject == message.subject {
            try remove(sequence, erases: false)
        }
        try append(message)
    }

    private func skip() throws {
        let sequence = model.last + 1 + UInt64(random.below(5))
        try files.log.skip(to: sequence)
        model.skip(to: sequence, ticket: files.log.commitTicket)
    }

    private func define() throws {
        let next = (definition + 1) % 200
        definitions.insert(next)
        try files.definition.write(Array(repeating: UInt8(next), count: 1 + random.below(9_000)))
        definition = next
        definitions = [next]
    }

    private func changeConsumer() {
        for _ in 0...random.below(3) {
            let ids = consumers.values.keys.sorted()
            if ids.count < 3 || random.once(in: 12) {
                let id = files.journal.makeID()
                files.setConsumer(id, 1, replaces: true, size: random.below(800))
                consumers.set(id, 1)
            } else if let id = ids.randomElement(using: &random), let value = consumers.values[id] {
                if random.once(in: 15) {
                    files.dropConsumer(id)
                    consumers.set(id, nil)
                } else {
                    files.setConsumer(id, value + 1, replaces: random.once(in: 10), size: random.below(6_000))
                    consumers.set(id, value + 1)
                }
            }
        }
    }

    // MARK: Jobs

    private func beginLog() {
        guard logJob == nil else { return }
        let syncs = !syncsSeldom || random.once(in: 4)
        if let job = files.log.beginCommit(syncs: syncs) { logJob = Running(job: job, syncs: syncs) }
    }

    private func beginJournal() {
        guard journalJob == nil else { return }
        let syncs = !syncsSeldom || random.once(in: 4)
        guard let job = files.journal.beginCommit(syncs: syncs) else { return }
        journalJob = Running(job: job, syncs: syncs)
        consumers.commitBegan()
    }

    private func beginMaintenance() {
        guard maintenanceJob == nil, let job = files.log.beginMaintenance() else { return }
        maintenanceJob = Running(job: job)
    }

    private func runSomeJob() {
        let wasOnLoop = isOnLoop
        isOnLoop = false
        defer { isOnLoop = wasOnLoop }
        switch random.below(3) {
        case 0: run(\.logJob)
        case 1: run(\.journalJob)
        default: run(\.maintenanceJob)
        }
    }

    private func run(_ place: ReferenceWritableKeyPath<CrashWorld, Running?>) {
        guard let running = self[keyPath: place], running.result == nil, !runningNow.contains(place) else { return }
        runningNow.append(place)
        let result = running.job.run()
        runningNow.removeLast()
        self[keyPath: place]?.result = result
    }

    private var runningNow: [ReferenceWritableKeyPath<CrashWorld, Running?>] = []

    private func finishSomeJob() {
        if let job = logJob, let result = job.result {
            logJob = nil
            let error = files.log.finishCommit(result)
            fail(error)
            if result.error != nil && error == nil { report(["a commit failed and nobody was told"], "nothing") }
            if job.syncs && error == nil { durable = files.log.finishedCommit }
        }
        if let job = journalJob, let result = job.result {
            journalJob = nil
            let before = files.journal.finishedCommit
            fail(files.journal.finishCommit(result))
            if files.journal.finishedCommit > before { consumers.commitFinished(syncs: job.syncs) }
        }
        if let job = maintenanceJob, let result = job.result {
            maintenanceJob = nil
            fail(files.log.finishMaintenance(result))
        }
    }

    private func finishAll() {
        isOnLoop = false
        run(\.logJob)
        run(\.journalJob)
        run(\.maintenanceJob)
        isOnLoop = true
        finishSomeJob()
    }

    private func fail(_ error: StoreError?) {
        if let error, !toleratesErrors { report(["a job failed: \(error)"], "nothing") }
    }
}
