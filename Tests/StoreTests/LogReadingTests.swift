// Reads of a log all over the place, while it grows, is overwritten in parts and rewritten: what is kept must be what is there.

import StoreKit
import Testing

@testable import Store

private func readEverywhere(seed: UInt64, _ options: LogOptions) throws {
    var random = SeededRandom(seed: seed)
    let directory = TemporaryDirectory()
    let log = try FileLog.open(directory: "\(directory.path)/log", disk: SystemDisk(), options: options)
    var kept: [UInt64: [UInt8]] = [:]
    for step in 0..<4_000 {
        switch random.next() % 8 {
        case 0, 1:
            // Some longer than a piece.
            let payload = pattern(random.next() % 40 == 0 ? 20_000 : Int(random.next() % 400), UInt64(step))
            kept[try log.publish("s.\(random.next() % 50)", payload)] = payload
            if random.next() % 2 == 0 { try log.commitAll(syncs: false) }
        case 2 where random.next() % 4 == 0:
            guard let sequence = kept.keys.sorted().randomElement(using: &random) else { continue }
            #expect(try log.remove(sequence, erases: random.next() % 2 == 0))
            kept[sequence] = nil
        case 3 where random.next() % 200 == 0: try log.maintain()
        case 4 where random.next() % 200 == 0: log.releaseMemory()
        default:
            let last = log.state.lastSequence
            guard last > 0 else { continue }
            let sequence = random.next() % last + 1
            #expect(try log.message(sequence)?.payload == kept[sequence], "seed \(seed), step \(step)")
        }
    }
    for sequence in 1...log.state.lastSequence {
        #expect(try log.message(sequence)?.payload == kept[sequence], "seed \(seed), at the end")
    }
}

private func tight(pieces: Int, inAll: Int) -> LogOptions {
    var options = LogOptions()
    options.firstSegmentBytes = 16 << 10
    options.segmentBytesMax = 256 << 10
    options.compactBytesMin = 16 << 10
    options.cachedPiecesMax = pieces
    options.cachedPiecesTotalMax = inAll
    return options
}

@Test(arguments: 1...5) func logReadsEverywhere(seed: Int) throws {
    try readEverywhere(seed: UInt64(seed), tight(pieces: 1_024, inAll: 8_192))
    try readEverywhere(seed: UInt64(seed), tight(pieces: 4, inAll: 8_192))
    try readEverywhere(seed: UInt64(seed), tight(pieces: 8, inAll: 2))
    try readEverywhere(seed: UInt64(seed), tight(pieces: 0, inAll: 0))
}

/// What is read out of order is read from the file once.
@Test func logKeepsWhatItReadsOutOfOrder() throws {
    let directory = TemporaryDirectory()
    let disk = FailingDisk(hasCache: true)
    let log = try FileLog.open(directory: "\(directory.path)/log", disk: disk)
    for step in 0..<2_000 { try log.publish("s", pattern(150, UInt64(step))) }
    try log.commitAll()
    log.releaseMemory()
    var random = SeededRandom(seed: 7)
    func readAll() throws {
        for sequence in (1...2_000).shuffled(using: &random) {
            #expect(try log.message(UInt64(sequence))?.payload == pattern(150, UInt64(sequence - 1)))
        }
    }
    try readAll()
    let before = disk.reads.load(ordering: .relaxed)
    try readAll()
    let again = disk.reads.load(ordering: .relaxed) - before
    // Those that lie across the end of a piece are read each time.
    #expect(before < 400 && again < 200, "\(before) reads, and \(again) the second time")
}
