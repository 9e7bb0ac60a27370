// The checker must let every true stream pass, however it is cut, and no false one.

import Testing

@testable import bench

struct StreamCheckerTests {
    /// What a server sends for `count` messages from the first round on, with control lines in between if wanted.
    private func stream(_ block: FrameBlock, frames: Range<Int>) -> [[UInt8]] {
        frames.map { number in
            let (round, index) = number.quotientAndRemainder(dividingBy: block.frameCount)
            let start = block.deliver + index * block.deliverFrameBytes
            var frame = Array(UnsafeBufferPointer(start: start, count: block.deliverFrameBytes))
            if index == 0 || block.tagsEveryFrame {
                withUnsafeBytes(of: FrameBlock.tag(ofRound: round)) { tag in
                    for offset in 0..<8 { frame[block.deliverTagOffset + offset] = tag[offset] }
                }
            }
            return frame
        }
    }

    private func feed(_ checker: inout StreamChecker, _ bytes: [UInt8], chunk: () -> Int) throws {
        var at = 0
        while at < bytes.count {
            let count = min(max(1, chunk()), bytes.count - at)
            try bytes.withUnsafeBufferPointer { try checker.feed($0.baseAddress! + at, count) }
            at += count
        }
    }

    @Test(arguments: [16, 17, 128, 1024, 65_536], [false, true])
    func passesAnyCutWithControlLines(payloadBytes: Int, unique: Bool) throws {
        let block = FrameBlock(.init(subject: "bench.00", payloadBytes: payloadBytes, unique: unique && payloadBytes < 1024))
        // A seed that failed is enough to see it again.
        for seed in UInt64(1)...20 {
            var random = SplitMix(state: seed)
            var bytes: [UInt8] = []
            var pings = 0
            let count = min(block.frameCount * 2 + 3, 4_000_000 / block.deliverFrameBytes)
            for (number, frame) in stream(block, frames: 0..<count).enumerated() {
                bytes += frame
                guard number % 97 == 0, random.next() % 3 == 0 else { continue }
                bytes += Array((random.next() % 2 == 0 ? "PING\r\n" : "INFO {\"a\":1}\r\n").utf8)
                if bytes.suffix(6) == Array("PING\r\n".utf8)[...] { pings += 1 }
            }
            var checker = StreamChecker(block)
            try feed(&checker, bytes) { Int(random.next() % (random.next() % 4 == 0 ? 64 : 100_000)) }
            #expect(checker.messages == count, "seed \(seed)")
            #expect(checker.pingsToAnswer == pings, "seed \(seed)")
            if seed == 2 && payloadBytes == 65_536 { break }
        }
    }

    enum Fault: CaseIterable { case lost, doubled, swapped, flipped, foreign, wrongRound }

    @Test(arguments: Fault.allCases)
    func findsEveryFault(fault: Fault) throws {
        let block = FrameBlock(.init(subject: "bench.00", payloadBytes: 16))
        for seed in UInt64(1)...50 {
            var random = SplitMix(state: seed)
            let count = block.frameCount + 500
            var frames = stream(block, frames: 0..<count)
            let victim = Int(random.next() % UInt64(count - 2)) + 1
            switch fault {
            case .lost: frames.remove(at: victim)
            case .doubled: frames.insert(frames[victim], at: victim)
            case .swapped: frames.swapAt(victim, victim - 1)
            case .flipped: frames[victim][Int(random.next() % UInt64(block.deliverFrameBytes - 8)) + 4] ^= 1
            case .foreign: frames.insert(Array("MSG bench.01 1 4\r\nstay\r\n".utf8), at: victim)
            case .wrongRound: frames[block.frameCount][block.deliverTagOffset + 3] ^= 1
            }
            var checker = StreamChecker(block, everyChunk: true)
            #expect(throws: BenchError.self, "seed \(seed)") {
                try feed(&checker, frames.flatMap { $0 }) { Int(random.next() % 5_000) }
            }
        }
    }

    /// Without full comparison, a frame that is missing anywhere still shifts every chunk's end after it.
    @Test func samplingStillFindsALoss() {
        let block = FrameBlock(.init(subject: "bench.00", payloadBytes: 16))
        for seed in UInt64(1)...50 {
            var random = SplitMix(state: seed)
            var frames = stream(block, frames: 0..<3_000)
            frames.remove(at: Int(random.next() % 2_900))
            var checker = StreamChecker(block)
            #expect(throws: BenchError.self, "seed \(seed)") {
                try feed(&checker, frames.flatMap { $0 }) { Int(random.next() % 5_000) }
            }
        }
    }

    @Test func aServersErrorIsThrownInItsWords() {
        let block = FrameBlock(.init(subject: "bench.00", payloadBytes: 16))
        var checker = StreamChecker(block)
        #expect {
            try feed(&checker, Array("-ERR 'Stale Connection'\r\n".utf8)) { 7 }
        } throws: { "\($0)".contains("Stale Connection") }
    }

    @Test func publishedFramesSayWhatTheSubscriberExpects() {
        let block = FrameBlock(.init(subject: "", payloadBytes: 128, unique: true))
        block.retag(round: 5)
        let sent = String(
            decoding: UnsafeBufferPointer(start: block.publish + 7 * block.publishFrameBytes, count: block.publishFrameBytes),
            as: UTF8.self)
        let frame = String(decoding: stream(block, frames: 5 * block.frameCount + 7..<5 * block.frameCount + 8)[0], as: UTF8.self)
        #expect(frame == Text.replacing(".confirmed 128", in: "MSG" + sent.dropFirst(3), with: ".confirmed 1 128"))
        #expect(sent.hasPrefix("PUB booking.") && sent.hasSuffix("\r\n"))
        #expect(sent.split(separator: " ")[1].count == 8 + 36 + 10)
    }
}
