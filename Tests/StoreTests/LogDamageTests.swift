import StoreKit
import Testing
import Wire

@testable import Store

/// A small log with every kind of record in it, in one segment, and what it should hold.
private struct SmallLog {
    let directory: TemporaryDirectory
    let bytes: [UInt8]
    let end: Int
    /// Sequences of the messages that the last block holds.
    let lastBlock: ClosedRange<UInt64>
    var model: [UInt64: [UInt8]] = [:]

    var path: String { "\(directory.path)/log" }
    var options: LogOptions {
        var options = LogOptions()
        options.firstSegmentBytes = 4 << 10
        return options
    }

    init(closes: Bool) throws {
        directory = TemporaryDirectory()
        var options = LogOptions()
        options.firstSegmentBytes = 4 << 10
        let log = try FileLog.open(directory: "\(directory.path)/log", disk: SystemDisk(), options: options)
        for n in 1...12 as ClosedRange<UInt64> {
            if n == 7 {
                try log.skip(to: 9)
                continue
            }
            if n == 8 || n == 9 { continue }
            let payload = pattern(Int(n) * 3, n)
            try log.publish("s.\(n % 3)", payload)
            model[n] = payload
            if n == 4 { #expect(try log.removeAll(below: 3) == 2) }
            if n == 6 { #expect(try log.remove(5, erases: true)) }
            if n < 11 { try log.commitAll() }
        }
        try log.commitAll()
        for n in [1, 2, 5] as [UInt64] { model[n] = nil }
        lastBlock = 11...12
        if closes { try log.close() }
        end = try #require(log.active).end
        bytes = try SystemDisk().open(LogSegment.path("\(directory.path)/log", 1), create: false).read(4 << 10, at: 0)
    }

    func restore(_ bytes: [UInt8]) throws {
        let disk = SystemDisk()
        for name in try disk.list(path) { try disk.remove("\(path)/\(name)") }
        try disk.open(LogSegment.path(path, 1), create: true).writeAll(bytes, at: 0)
    }

    func open() throws -> FileLog { try FileLog.open(directory: path, disk: SystemDisk(), options: options, syncs: false) }
}

@Test(arguments: [false, true]) func logLosesAtMostOneMessageToAFlippedByte(closes: Bool) throws {
    let small = try SmallLog(closes: closes)
    for place in 0..<small.end {
        var bytes = small.bytes
        bytes[place] ^= UInt8(1 << (place % 8))
        try small.restore(bytes)
        let log = try small.open()
        var lost: [UInt64] = []
        for n in 1...12 as ClosedRange<UInt64> {
            let found = try log.message(n)
            if found == nil && small.model[n] != nil {
                lost.append(n)
            } else {
                #expect(found?.payload == small.model[n], "\(place)")
            }
        }
        let isTail = !closes && lost.allSatisfy { small.lastBlock.contains($0) }
        if isTail && !lost.isEmpty {
            #expect(log.recoveryReport.cutBytes > 0, "\(place)")
        } else {
            #expect(lost.count <= 1 && log.state.lost == lost, "flip at \(place): \(lost), reported \(log.state.lost)")
        }
        if !lost.isEmpty { #expect(!log.recoveryReport.damages.isEmpty || log.recoveryReport.cutBytes > 0, "\(place)") }
        // It goes on from here.
        let next = try log.publish("after", [9])
        try log.commitAll(syncs: false)
        if place % 16 == 0 {
            let again = try small.open()
            #expect(try again.message(next)?.payload == [9], "\(place)")
            #expect(again.state.lost == log.state.lost, "\(place)")
        }
    }
}

@Test(arguments: [false, true]) func logSurvivesTruncationAnywhere(closes: Bool) throws {
    let small = try SmallLog(closes: closes)
    for length in 0..<small.bytes.count {
        try small.restore(Array(small.bytes.prefix(length)))
        let log = try small.open()
        for n in 1...12 as ClosedRange<UInt64> {
            if let found = try log.message(n), let payload = small.model[n] { #expect(found.payload == payload, "\(length)") }
            if try log.message(n) == nil && small.model[n] != nil && n <= log.state.lastSequence {
                #expect(log.state.lost.contains(n), "\(length): \(n) is missing in silence")
            }
        }
        #expect(!log.recoveryReport.damages.isEmpty, "\(length)")
        let next = try log.publish("after", [9])
        try log.commitAll(syncs: false)
        if length % 16 == 0 { #expect(try small.open().message(next)?.payload == [9], "\(length)") }
    }
}

/// A message that holds the bytes of records and blocks does not pass for them, wherever damage makes recovery look.
@Test func logIsNotFooledByImages() throws {
    let small = try SmallLog(closes: false)
    let directory = TemporaryDirectory()
    let path = "\(directory.path)/log"
    do {
        let log = try FileLog.open(directory: path, disk: SystemDisk())
        for n in 1...5 { try log.publish("image", Array(small.bytes[(n * 8)..<small.end])) }
        try log.commitAll()
        let own = try SystemDisk().open(LogSegment.path(path, 1), create: false).read(log.segments[0].end, at: 0)
        for n in 0..<8 { try log.publish("image", Array(own[n...])) }
        try log.commitAll()
        try log.publish("end")
        try log.commitAll()
        let file = try SystemDisk().open(LogSegment.path(path, 1), create: false)
        for n in [2, 7, 9] as [UInt64] {
            let (entry, _) = try #require(log.index.live(n))
            try file.writeAll([0xFF], at: entry.place + 4)
        }
    }
    let log = try FileLog.open(directory: path, disk: SystemDisk())
    #expect(log.state.lost == [2, 7, 9] && log.state.messages == 11)
}
