// A commit that goes to two segments, and a power failure that keeps the second part of it only.

import StoreKit
import Testing
import Wire

@testable import Store

@Suite struct LogTornCommitTests {
    /// The second segment's block says what came before it: that this is not there is no loss, since nothing had been synced.
    @Test func isCutWhereItIsTorn() throws {
        var options = LogOptions()
        options.firstSegmentBytes = 8 << 10
        options.segmentBytesMax = 8 << 10
        var onlySecond = 0
        for seed in UInt64(1)...40 {
            let disk = SimulatedDisk()
            let log = try FileLog.open(directory: "/log", disk: disk, options: options)
            for index in 0..<6 {
                try log.publish("a.\(index)", pattern(1_000, 7))
                try log.commitAll()
            }
            try log.maintain()
            let acknowledged = log.state.lastSequence
            // More than is left of the first segment.
            for index in 0..<4 { try log.publish("b.\(index)", pattern(1_000, 8)) }
            let job = try #require(log.beginCommit(syncs: true))
            // Both are written, and neither is synced.
            disk.failPower(atChange: disk.changes + 3)
            #expect(job.run().error != nil)
            let kept = disk.crashed(seed: seed)
            let found = try FileLog.open(directory: "/log", disk: kept, options: options)
            #expect(found.recoveryReport.lostMessages == 0, "seed \(seed)")
            #expect(found.recoveryReport.damages.isEmpty, "seed \(seed): \(found.recoveryReport.damages)")
            #expect(
                found.state.lastSequence >= acknowledged && found.state.messages == found.state.lastSequence, "seed \(seed)")
            if found.state.lastSequence == acknowledged { onlySecond += 1 }
            #expect(try found.publish("c") == found.state.lastSequence)
            try found.commitAll()
        }
        #expect(onlySecond > 0)
    }
}
