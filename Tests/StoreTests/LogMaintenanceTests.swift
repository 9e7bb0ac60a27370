import StoreKit
import Testing
import Wire

@testable import Store

private func options(_ bytes: Int = 8 << 10) -> LogOptions {
    var options = LogOptions()
    options.firstSegmentBytes = bytes
    options.segmentBytesMax = bytes
    options.compactBytesMin = bytes / 2
    return options
}

private func open(_ directory: TemporaryDirectory, _ options: LogOptions) throws -> FileLog {
    try FileLog.open(directory: "\(directory.path)/log", disk: SystemDisk(), options: options)
}

@Test func logReusesSegments() throws {
    let directory = TemporaryDirectory()
    let log = try open(directory, options())
    for n in 1...2_000 {
        try log.publish("s", pattern(100, UInt64(n)))
        if n > 100 { #expect(try log.removeAll(below: UInt64(n - 100)) <= 1) }
        if n % 10 == 0 { try log.maintain() }
    }
    let files = try SystemDisk().list("\(directory.path)/log")
    #expect(files.count <= 6, "\(files)")
    #expect(log.state.messages == 101 && log.state.firstSequence == 1_900)
    for n in 1_900...2_000 { #expect(try log.message(UInt64(n))?.payload == pattern(100, UInt64(n))) }
    try log.close()
    let again = try open(directory, options())
    #expect(again.recoveryReport == RecoveryReport())
    #expect(again.state.messages == 101)
    for n in 1_900...2_000 { #expect(try again.message(UInt64(n))?.payload == pattern(100, UInt64(n))) }
}

@Test func logRewritesSparseSegments() throws {
    let directory = TemporaryDirectory()
    let log = try open(directory, options())
    for n in 1...1_000 { try log.publish("s.\(n % 7)", pattern(100, UInt64(n))) }
    try log.commitAll()
    let before = try SystemDisk().list("\(directory.path)/log").count
    for n in 1...1_000 where n % 10 != 0 { #expect(try log.remove(UInt64(n), erases: n % 30 == 1)) }
    try log.maintain()
    let all = SubjectFilter([], log.subjects)
    func check(_ log: FileLog) throws {
        #expect(log.state.messages == 100 && log.state.lost.isEmpty && log.recoveryReport.damages.isEmpty)
        var next: UInt64 = 1
        for n in 1...100 {
            let found = try #require(log.next(atOrAfter: next, all, upTo: UInt64.max))
            #expect(found == UInt64(n * 10))
            #expect(try log.message(found)?.payload == pattern(100, found))
            next = found + 1
        }
    }
    try check(log)
    #expect(log.segments.contains { $0.isCompacted })
    let bytes = log.segments.dropLast(1).reduce(0) { $0 + $1.capacity }
    #expect(bytes < before * 8_192 / 3, "\(bytes)")
    try log.close()
    let again = try open(directory, options())
    try check(again)
    #expect(again.recoveryReport.wasClean)
}

/// Removals of early messages stand in later segments; those may go before the early ones.
@Test func logCarriesTombstones() throws {
    let directory = TemporaryDirectory()
    do {
        let log = try open(directory, options())
        for n in 1...30 { try log.publish("keep", pattern(100, UInt64(n))) }
        // Fill the next segments with messages and with removals of the first ones.
        for n in 31...400 {
            try log.publish("go", pattern(100, UInt64(n)))
            if n % 20 == 0 { #expect(try log.remove(UInt64(n / 20 + 1), erases: false)) }
            try log.commitAll()
        }
        for n in 31...400 { #expect(try log.remove(UInt64(n), erases: false)) }
        for n in 401...430 { try log.publish("keep", pattern(100, UInt64(n))) }
        try log.maintain()
        #expect(log.segments.count <= 5, "\(log.segments.count)")
    }
    let log = try open(directory, options())
    #expect(log.recoveryReport.damages.isEmpty && log.state.lost.isEmpty)
    for n in 1...430 {
        #expect(log.contains(UInt64(n)) == (n <= 2 || n > 21 && n < 31 || n > 400), "\(n)")
    }
}

@Test func logTakesMessagesLargerThanSegments() throws {
    let directory = TemporaryDirectory()
    do {
        let log = try open(directory, options())
        for n in 1...5 {
            try log.publish("small")
            try log.publish("large", pattern(100_000 * n, UInt64(n)))
            if n % 2 == 0 { try log.maintain() }
        }
        try log.maintain()
        log.releaseMemory()
        for n in 1...5 { #expect(try log.message(UInt64(n * 2))?.payload == pattern(100_000 * n, UInt64(n))) }
        #expect(try log.removeAll(below: 9) == 8)
        try log.maintain()
    }
    let log = try open(directory, options())
    #expect(log.state.messages == 2 && log.state.lost.isEmpty)
    #expect(try log.message(10)?.payload == pattern(500_000, 5))
    #expect(throws: StoreError.self) { try log.publish("too large", [UInt8](repeating: 0, count: 200 << 20)) }
    #expect(try log.publish("small") == 11)
}

/// Random operations with commits, crashes (reopening without closing) and maintenance at any time, against a plain model.
@Test(arguments: [1, 2, 3, 4, 5, 6, 7, 8] as [UInt64]) func logAgreesWithAModel(seed: UInt64) throws {
    var random = SplitMix(seed: seed)
    let directory = TemporaryDirectory()
    var options = options([4 << 10, 16 << 10, 64 << 10].randomElement(using: &random) ?? 4_096)
    options.segmentBytesMax = [16 << 10, 64 << 10].randomElement(using: &random) ?? 16_384
    options.readWindowsMax = 2
    var model: [UInt64: TestMessage] = [:]
    var last: UInt64 = 0, first: UInt64 = 0, timeNs: Int64 = 0
    var log = try open(directory, options)
    for step in 0..<1_500 {
        let note = Comment(rawValue: "seed \(seed) step \(step)")
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<50:
            timeNs += Int64.random(in: 0...5, using: &random)
            let size = Int.random(in: 0..<50, using: &random) == 0 ? 40_000 : Int.random(in: 0..<300, using: &random)
            let jump: UInt64? =
                Int.random(in: 0..<50, using: &random) == 0 ? last + UInt64.random(in: 1..<5_000, using: &random) : nil
            let message = TestMessage(
                subject: "s.\(Int.random(in: 0..<20, using: &random))", headers: step % 3 == 0 ? "NATS/1.0\r\n\r\n" : "",
                payload: pattern(size, UInt64(step)), timeNs: timeNs)
            last = try log.publish(message.subject, message.payload, headers: message.headers, timeNs: timeNs, sequence: jump)
            if model.isEmpty { first = last }
            model[last] = message
        case 50..<68:
            guard last > 0 else { continue }
            let sequence = model.keys.sorted().randomElement(using: &random) ?? last
            let erases = Int.random(in: 0..<4, using: &random) == 0
            #expect(try log.remove(sequence, erases: erases) == (model.removeValue(forKey: sequence) != nil), note)
        case 68..<71:
            guard last > 0 else { continue }
            let below = Int.random(in: 0..<30, using: &random) == 0 ? last + 3 : max(first, last - min(last, 150))
            let gone = model.keys.filter { $0 < below }
            #expect(try log.removeAll(below: below) == UInt64(gone.count), note)
            for sequence in gone { model[sequence] = nil }
            last = max(last, below - 1)
        case 71..<72:
            last += UInt64.random(in: 1..<20, using: &random)
            try log.skip(to: last)
        case 72..<85: try log.commitAll(syncs: Bool.random(using: &random))
        case 85..<91:
            if let job = log.beginMaintenance() {
                let result = job.run()
                // What happens while the job is under way.
                if let sequence = model.keys.min(), Bool.random(using: &random) {
                    model[sequence] = nil
                    #expect(try log.remove(sequence, erases: true), note)
                }
                #expect(log.finishMaintenance(result) == nil, note)
            }
        case 91..<93:
            try log.commitAll()
            if Bool.random(using: &random) { try log.close() }
            log = try open(directory, options)
            #expect(log.recoveryReport.damages.isEmpty, note)
        case 93..<94: log.releaseMemory()
        default:
            guard let sequence = model.keys.sorted().randomElement(using: &random) else { continue }
            #expect(try log.message(sequence) == model[sequence], note)
            let time = model[sequence]?.timeNs ?? 0
            #expect(log.first(atOrAfterNs: time) == model.filter { $0.value.timeNs >= time }.keys.min(), note)
        }
        first = model.keys.min() ?? last + 1
        let state = log.state
        #expect(state.messages == UInt64(model.count), note)
        #expect(state.lastSequence == last && (last == 0 || state.firstSequence == first), note)
        #expect(state.firstTimeNs == model[first]?.timeNs ?? 0, note)
        #expect(state.lost.isEmpty, note)
        #expect(state.subjects == Set(model.values.map(\.subject)).count, note)
    }
    try log.maintain()
    for (sequence, message) in model { #expect(try log.message(sequence) == message, "seed \(seed)") }
}

@Test func logOnAFullDiskStillRemoves() throws {
    let directory = TemporaryDirectory()
    let disk = FailingDisk()
    let path = "\(directory.path)/log"
    var last: UInt64 = 0
    do {
        let log = try FileLog.open(directory: path, disk: disk, options: options(16 << 10))
        for _ in 1...200 { last = try log.publish("s", pattern(100, 0)) }
        try log.maintain()
        disk.isFull.store(true, ordering: .relaxed)
        // What is prepared is used up, but for what removals need.
        while let next = try? log.publish("s", pattern(100, 0)) {
            last = next
            try log.commitAll()
        }
        #expect(throws: StoreError.noSpace) { try log.publish("s", pattern(100, 0)) }
        #expect(log.state.lastSequence == last)
        for n in 0..<8 {
            #expect(try log.remove(UInt64(2 + n * 3), erases: n == 0))
            try log.commitAll()
        }
        #expect(try log.removeAll(below: last - 20) > 0)
        try log.commitAll()
        // What they were in comes back as the next segment, and publishing goes on.
        while log.isMaintenanceDue, let job = log.beginMaintenance() {
            _ = log.finishMaintenance(job.run())
            try log.commitAll()
        }
        last = try log.publish("s", pattern(100, 0))
        try log.commitAll()
    }
    disk.isFull.store(false, ordering: .relaxed)
    let log = try FileLog.open(directory: path, disk: disk, options: options(16 << 10))
    #expect(log.recoveryReport.damages.isEmpty && log.state.lost.isEmpty)
    #expect(log.state.lastSequence == last && log.state.firstSequence == last - 21)
    // Every read waits for the device here.
    log.releaseMemory()
    guard case .reading = log.load(last) else {
        Issue.record("read at once")
        return
    }
    var loaded = 0
    log.onLoaded = { loaded += 1 }
    #expect(try log.message(last)?.payload == pattern(100, 0))
    #expect(loaded == 1)
}

/// A stream reads what it has to know of its messages before anybody can run its reads.
@Test func logTellsOfReadsThatCameBeforeItsListener() throws {
    let directory = TemporaryDirectory()
    let path = "\(directory.path)/log"
    do {
        let log = try FileLog.open(directory: path, disk: SystemDisk())
        try log.publish("s")
        try log.commitAll()
        try log.close()
    }
    let log = try FileLog.open(directory: path, disk: FailingDisk())
    guard case .reading = log.load(1) else {
        Issue.record("it was read at once")
        return
    }
    var asked = 0
    log.onNeedsRead = { asked += 1 }
    #expect(asked == 1)
    log.finishRead(try #require(log.beginRead()).run())
    // Nothing is left to be read.
    log.onNeedsRead = { asked += 1 }
    #expect(asked == 1)
    guard case .message = log.load(1) else {
        Issue.record("it has not been read")
        return
    }
}

@Test func logStopsWhenAWriteFails() throws {
    let directory = TemporaryDirectory()
    let disk = FailingDisk()
    let path = "\(directory.path)/log"
    do {
        let log = try FileLog.open(directory: path, disk: disk)
        for _ in 1...10 { try log.publish("s") }
        try log.commitAll()
        try log.publish("s")
        disk.isBroken.store(true, ordering: .relaxed)
        let job = try #require(log.beginCommit(syncs: true))
        guard case .failed? = log.finishCommit(job.run()) else {
            Issue.record("no error")
            return
        }
        #expect(log.durableSequence == 10 && log.finishedCommit == 1)
        #expect(throws: StoreError.self) { try log.publish("s") }
        #expect(throws: StoreError.self) { try log.remove(1, erases: false) }
        #expect(log.beginCommit(syncs: true) == nil)
    }
    disk.isBroken.store(false, ordering: .relaxed)
    let log = try FileLog.open(directory: path, disk: disk)
    #expect(log.state.messages == 10 && log.state.lost.isEmpty)
    #expect(try log.publish("s") == 11)
}
