// Atomic batches of three messages, so many of them open at a time: stored together or not at all, one ack for each.

import Glibc

struct AtomicBatches: Sendable {
    var inFlight = 16
    var payloadBytes = 128
    /// Messages of one batch.
    static let size = 3

    func run(_ context: RunContext) throws -> Measurement {
        let api = try StreamAPI(context.target)
        try api.createStream("BENCH", subjects: ["bench.>"], [.init("allow_atomic", .bool(true))])
        let publisher = try BatchPublisher(context.target, payloadBytes: payloadBytes, inFlight: inFlight)
        var progress = context.progress()
        _ = try publisher.run(context.timing.warmupNs, &progress)
        let meter = CostMeter(context.probe)
        let result = try publisher.run(context.timing.durationNs, &progress)
        var measurement = Measurement(workload: "atomic batches of three, \(inFlight) in flight", unit: "batches")
        measurement.take(meter, context.probe)
        progress?.clear()
        try api.expect(publisher.acked * AtomicBatches.size, in: "BENCH")
        measurement.messages = Double(result.messages)
        measurement.seconds = result.seconds
        measurement.payloadBytes = measurement.messages * Double(payloadBytes * AtomicBatches.size)
        measurement.latency = LatencySummary(result.latency)
        measurement.latencyOf = "batch to ack"
        return measurement
    }
}

/// Batches that are begun together are interleaved, as from so many clients: all first messages, all second ones, all
/// third ones with the commit. Batch `n` is acked with sequence `3n + 3`, if the server commits in order of arrival.
private final class BatchPublisher {
    private let pipe: MessagePipe
    private let inFlight: Int
    private let templates: [Template]
    private let ackHead: [UInt8]
    private let inboxBytes: Int
    private var sentNs: [UInt64]
    private var sent = 0
    private(set) var acked = 0

    /// One of the three frames; the batch's number stands in its header, its payload, and in the reply if it has one.
    private struct Template {
        let bytes: [UInt8]
        let offsets: [Int]

        init(_ step: Int, inbox: String, payloadBytes: Int) {
            let zeros = "00000000"
            let last = step == AtomicBatches.size
            var header = "NATS/1.0\r\nNats-Batch-Id: \(zeros)\r\nNats-Batch-Sequence: \(step)\r\n"
            if last { header += "Nats-Batch-Commit: 1\r\n" }
            header += "\r\n"
            var line = "HPUB bench.\(step) "
            var offsets: [Int] = []
            if last {
                line += inbox + "."
                offsets.append(line.utf8.count)
                line += zeros + " "
            }
            line += "\(header.utf8.count) \(header.utf8.count + payloadBytes)\r\n"
            // The status line and the key stand before the id.
            offsets.append(line.utf8.count + 10 + 15)
            offsets.append(line.utf8.count + header.utf8.count)
            let filler = String(repeating: "b", count: payloadBytes - 8)
            bytes = Array((line + header + zeros + filler + "\r\n").utf8)
            self.offsets = offsets
        }
    }

    init(_ target: Target, payloadBytes: Int, inFlight: Int) throws {
        pipe = try MessagePipe(target)
        self.inFlight = inFlight
        let inbox = "_INBOX.bellhopbenchbatches"
        inboxBytes = inbox.utf8.count + 1
        templates = (1...AtomicBatches.size).map { Template($0, inbox: inbox, payloadBytes: payloadBytes) }
        ackHead = Array("{\"stream\":\"BENCH\",\"seq\":".utf8)
        sentNs = [UInt64](repeating: 0, count: inFlight)
        pipe.queue("SUB \(inbox).* 1\r\n")
        try pipe.settle()
    }

    func run(_ durationNs: UInt64, _ progress: inout Progress?) throws -> PublishResult {
        var result = PublishResult()
        let startNs = Clock.nowNs()
        let first = acked
        var now = startNs
        while true {
            if now - startNs < durationNs { write(now) }
            try pipe.flush()
            if acked == sent { break }
            try pipe.wait(for: "\(sent - acked) batches are without an ack")
            var arrived: UInt64 = 0
            try pipe.receive { message in
                if arrived == 0 { arrived = Clock.nowNs() }
                try self.check(message)
                result.latency.record(arrived - self.sentNs[self.acked % self.inFlight])
                self.acked += 1
            }
            now = Clock.nowNs()
            progress?.show(Double(now - startNs) / Double(max(1, durationNs)), "", nowNs: now)
        }
        result.messages = acked - first
        result.seconds = Double(now - startNs) / 1e9
        return result
    }

    private func write(_ now: UInt64) {
        let end = acked + inFlight
        guard sent < end else { return }
        for template in templates {
            for number in sent..<end {
                let target = pipe.reserve(template.bytes.count)
                target.update(from: template.bytes, count: template.bytes.count)
                let word = Hex.word(UInt32(truncatingIfNeeded: number))
                for offset in template.offsets {
                    UnsafeMutableRawPointer(target).storeBytes(of: word, toByteOffset: offset, as: UInt64.self)
                }
            }
        }
        for number in sent..<end { sentNs[number % inFlight] = now }
        sent = end
    }

    /// `{"stream":"BENCH","seq":3,"batch":"00000000","count":3}`.
    private func check(_ message: Message) throws {
        let subject = message.subject
        let sequence = (acked + 1) * AtomicBatches.size
        let word = Hex.word(UInt32(truncatingIfNeeded: acked))
        let id = withUnsafeBytes(of: word) { String(decoding: $0, as: UTF8.self) }
        guard acked < sent, subject.count == inboxBytes + 8,
            UnsafeRawPointer(subject.start + inboxBytes).loadUnaligned(as: UInt64.self) == word,
            message.payload.hasPrefix(ackHead),
            message.payload.text.hasSuffix(":\(sequence),\"batch\":\"\(id)\",\"count\":\(AtomicBatches.size)}")
        else { throw BenchError.mismatch("expected the ack of batch \(acked), got \(message.shown)") }
    }
}
