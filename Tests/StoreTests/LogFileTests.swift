import StoreKit
import Testing
import Wire

@testable import Store

private func open(_ directory: TemporaryDirectory, _ options: LogOptions = LogOptions()) throws -> FileLog {
    try FileLog.open(directory: "\(directory.path)/log", disk: SystemDisk(), options: options)
}

@Test func logKeepsMessages() throws {
    let directory = TemporaryDirectory()
    do {
        let log = try open(directory)
        #expect(log.state == LogState())
        #expect(try log.publish("a.b", pattern(100, 1), timeNs: 10) == 1)
        #expect(log.commitTicket == 1)
        #expect(log.durableSequence == 0)
        #expect(try log.publish("a.c", [], headers: "NATS/1.0\r\nA: b\r\n\r\n", timeNs: 5) == 2)
        #expect(try log.message(1) == TestMessage(subject: "a.b", payload: pattern(100, 1), timeNs: 10))
        let job = try #require(log.beginCommit(syncs: true))
        #expect(log.beginCommit(syncs: true) == nil)
        // While a commit is under way.
        #expect(try log.message(1)?.payload == pattern(100, 1))
        #expect(try log.publish("a.b", pattern(70_000, 3), timeNs: 20) == 3)
        #expect(log.commitTicket == 2)
        #expect(log.finishCommit(job.run()) == nil)
        #expect(log.finishedCommit == 1 && log.durableSequence == 2)
        #expect(try log.message(3)?.payload == pattern(70_000, 3))
        try log.commitAll()
        #expect(log.durableSequence == 3 && log.commitTicket == 2)
        log.releaseMemory()
        #expect(try log.message(3)?.payload == pattern(70_000, 3))
        try log.close()
    }
    let log = try open(directory)
    #expect(log.recoveryReport == RecoveryReport())
    #expect(log.durableSequence == 3)
    #expect(try log.message(1) == TestMessage(subject: "a.b", payload: pattern(100, 1), timeNs: 10))
    // Times never decrease.
    #expect(try log.message(2) == TestMessage(subject: "a.c", headers: "NATS/1.0\r\nA: b\r\n\r\n", payload: [], timeNs: 10))
    #expect(try log.message(3) == TestMessage(subject: "a.b", payload: pattern(70_000, 3), timeNs: 20))
    let state = log.state
    #expect(state.messages == 3 && state.firstSequence == 1 && state.lastSequence == 3 && state.subjects == 2)
    #expect(state.bytes == 70_221)
    #expect(state.firstTimeNs == 10 && state.lastTimeNs == 20)
}

@Test func logForgetsWhatWasRemoved() throws {
    let directory = TemporaryDirectory()
    do {
        let log = try open(directory)
        for n in 1...20 { try log.publish("s.\(n % 3)", pattern(n, 0), timeNs: Int64(n)) }
        try log.commitAll()
        #expect(try log.remove(7, erases: false))
        #expect(try !log.remove(7, erases: false))
        #expect(try log.remove(9, erases: true))
        #expect(try log.removeAll(below: 4) == 3)
        #expect(try log.remove(20, erases: false))
        try log.skip(to: 25)
        try log.commitAll()
    }
    for closes in [false, true] {
        let log = try open(directory)
        #expect(log.recoveryReport.damages.isEmpty && log.recoveryReport.lostMessages == 0)
        let state = log.state
        #expect(state.firstSequence == 4 && state.lastSequence == 25 && state.messages == 14 && state.deleted == 8)
        #expect(state.firstTimeNs == 4)
        #expect(state.lost.isEmpty)
        for n in 1...25 { #expect(log.contains(UInt64(n)) == (n >= 4 && n < 20 && n != 7 && n != 9)) }
        if closes { try log.close() }
    }
    do {
        let log = try open(directory)
        #expect(log.recoveryReport.wasClean)
        #expect(try log.removeAll(below: 100) == 14)
        #expect(log.state.firstSequence == 100 && log.state.lastSequence == 99)
        try log.commitAll()
    }
    let log = try open(directory)
    #expect(log.state.firstSequence == 100 && log.state.lastSequence == 99 && log.state.messages == 0)
    #expect(try log.publish("a") == 100)
    #expect(log.state.lost.isEmpty)
}

/// Whoever asks what to wait for while an erasure is being written is told of a commit that comes.
@Test func logErasuresUnderWayAskForNoOtherCommit() throws {
    let directory = TemporaryDirectory()
    let log = try open(directory)
    for _ in 1...2 { try log.publish("s") }
    try log.commitAll()
    #expect(try log.remove(1, erases: true))
    let removal = try #require(log.beginCommit(syncs: true))
    #expect(log.finishCommit(removal.run()) == nil)
    let erasure = try #require(log.beginCommit(syncs: true))
    let ticket = log.commitTicket
    #expect(log.finishCommit(erasure.run()) == nil)
    #expect(log.finishedCommit == ticket && log.commitTicket == ticket)
}

@Test func logErasesPayloads() throws {
    let directory = TemporaryDirectory()
    let secret = Array("a secret that must not be found".utf8)
    let log = try open(directory)
    for n in 1...3 { try log.publish("s", n == 2 ? secret : [0], timeNs: 1) }
    try log.commitAll()
    #expect(try log.remove(2, erases: true))
    let ticket = log.commitTicket
    let job = try #require(log.beginCommit(syncs: true))
    #expect(log.finishCommit(job.run()) == nil)
    #expect(log.finishedCommit == ticket)
    try log.commitAll()
    let bytes = try SystemDisk().open(LogSegment.path("\(directory.path)/log", 1), create: false).read(65_536, at: 0)
    #expect(bytes.count == 65_536)
    let isThere = bytes.indices.dropLast(secret.count).contains { Array(bytes[$0..<($0 + secret.count)]) == secret }
    #expect(!isThere)
    try log.publish("s", [4])
    try log.commitAll()
    let again = try open(directory)
    #expect(again.recoveryReport.damages.isEmpty && again.state.lost.isEmpty)
    #expect(again.state.messages == 3 && again.state.deleted == 1)
}

@Test func logRefusesOtherVersions() throws {
    let directory = TemporaryDirectory()
    do { _ = try open(directory) }
    let file = try SystemDisk().open(LogSegment.path("\(directory.path)/log", 1), create: false)
    let head = WriteBuffer(capacity: SegmentHeader.size)
    _ = try file.readAll(head.base, SegmentHeader.size, at: 0)
    var header = try #require(SegmentHeader(head.base))
    header.version = 2
    header.write(head.base)
    try file.writeAll(head.base, SegmentHeader.size, at: 0)
    #expect(throws: StoreError.self) { _ = try open(directory) }
}

@Test func logCutsWhatIsUnfinished() throws {
    let directory = TemporaryDirectory()
    do {
        let log = try open(directory)
        for n in 1...10 { try log.publish("s", pattern(50, UInt64(n))) }
        try log.commitAll()
        for n in 11...20 { try log.publish("s", pattern(50, UInt64(n))) }
        try log.commitAll()
        let end = try #require(log.active).end
        let file = try SystemDisk().open(LogSegment.path("\(directory.path)/log", 1), create: false)
        // The last block has lost its fourteenth message, and is the last one: nothing after it counts.
        try file.writeAll([0xFF, 0xFF], at: end - 6 * 96 + 50)
    }
    do {
        let log = try open(directory)
        #expect(log.state.lastSequence == 14)
        #expect(log.recoveryReport.cutBytes > 0 && log.state.lost.isEmpty)
        for n in 15...16 { #expect(try log.publish("t", pattern(50, UInt64(n))) == UInt64(n)) }
        try log.commitAll()
    }
    let log = try open(directory)
    #expect(log.recoveryReport.damages.isEmpty && log.recoveryReport.cutBytes == 0)
    #expect(log.state.lastSequence == 16)
    #expect(try log.message(15)?.subject == "t")
}

@Test func logCutsHalfABatch() throws {
    let directory = TemporaryDirectory()
    do {
        let log = try open(directory)
        try log.publish("s", [1])
        try log.commitAll()
        try log.publish("s", [2], marks: .batchContinues)
        try log.publish("s", [3], marks: .batchContinues)
        try log.commitAll()
    }
    for _ in 0..<2 {
        let log = try open(directory)
        #expect(log.state.lastSequence == 1 && log.state.messages == 1)
        #expect(log.state.lost.isEmpty)
    }
}

@Test func logReportsWhatDamageCosts() throws {
    let directory = TemporaryDirectory()
    do {
        let log = try open(directory)
        for n in 1...10 {
            try log.publish("s", pattern(50, UInt64(n)))
            try log.commitAll()
        }
        let file = try SystemDisk().open(LogSegment.path("\(directory.path)/log", 1), create: false)
        let (entry, _) = try #require(log.index.live(5))
        try file.writeAll([0xFF, 0xFF], at: entry.place + 60)
        log.releaseMemory()
        var told: [UInt64] = []
        log.onLost = { sequence, _ in told.append(sequence) }
        #expect(try log.message(4) != nil)
        #expect(try log.message(5) == nil)
        #expect(told == [5] && log.state.lost == [5] && log.state.messages == 9)
        let (other, _) = try #require(log.index.live(8))
        try file.writeAll([0xFF, 0xFF], at: other.place + 20)
    }
    for _ in 0..<2 {
        let log = try open(directory)
        #expect(log.state.lost == [5, 8])
        #expect(log.recoveryReport.damages.count == 2 && log.recoveryReport.cutBytes == 0)
        for n in 1...10 { #expect(try (log.message(UInt64(n)) != nil) == (n != 5 && n != 8)) }
        try log.close()
    }
}

@Test func logGapsAreNotLosses() throws {
    let directory = TemporaryDirectory()
    do {
        let log = try open(directory)
        #expect(try log.publish("s", sequence: 1_000_000) == 1_000_000)
        #expect(try log.publish("s", sequence: 3_000_000_000_000) == 3_000_000_000_000)
        try log.commitAll()
        try log.skip(to: 3_000_000_000_010)
        #expect(try log.publish("s") == 3_000_000_000_011)
        try log.commitAll()
    }
    let log = try open(directory)
    #expect(log.recoveryReport.damages.isEmpty && log.state.lost.isEmpty)
    #expect(log.state.messages == 3 && log.state.firstSequence == 1_000_000)
    #expect(log.next(atOrAfter: 1_000_001, SubjectFilter(["s"], log.subjects), upTo: UInt64.max) == 3_000_000_000_000)
}
