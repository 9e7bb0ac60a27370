// One publish with its ack, nothing else going on, beside the least that a durable ack can cost: a bare append and
// fdatasync in the same directory.

import Glibc

struct LonePublish: Sendable {
    var payloadBytes = 128
    /// Publishes and bare syncs take turns in slices, so that what the disk does meanwhile falls on both.
    private static let slice = 64

    func run(_ context: RunContext) throws -> Measurement {
        guard let store = context.store else {
            throw BenchError.usage("js-lone syncs a file beside the server's store: let bench start it with --start")
        }
        let api = try StreamAPI(context.target)
        let plan = SubjectPlan()
        try api.createStream("BENCH", subjects: [plan.wildcard])
        let publisher = try StreamPublisher(
            context.target, stream: "BENCH", plan, payloadBytes: payloadBytes, outstanding: 1)
        let bare = try BareLog(store.path + "/bare", bytes: publisher.frames.frameBytes)
        var progress = context.progress()
        _ = try publisher.run(PublishLength(durationNs: context.timing.warmupNs), &progress, note: "warm-up")
        _ = try bare.append(LonePublish.slice)
        var acks = Histogram()
        var syncs = Histogram()
        var measurement = Measurement(workload: "one publish with ack, \(payloadBytes) B")
        let startNs = Clock.nowNs()
        let meter = CostMeter(context.probe)
        while Clock.nowNs() - startNs < context.timing.durationNs {
            let result = try publisher.run(.count(LonePublish.slice), &progress, note: "")
            acks.merge(result.latency)
            measurement.seconds += result.seconds
            measurement.messages += Double(result.messages)
            syncs.merge(try bare.append(LonePublish.slice))
        }
        measurement.take(meter, context.probe)
        progress?.clear()
        try api.expect(publisher.acked, in: "BENCH")
        measurement.latency = LatencySummary(acks)
        measurement.latencyOf = "publish to ack"
        if let bare = LatencySummary(syncs), let own = measurement.latency {
            measurement.extras = [
                ("bare_p50_ns", bare.p50), ("bare_p99_ns", bare.p99), ("p99_of_bare_sync", own.p99 / bare.p99),
                ("p50_of_bare_sync", own.p50 / bare.p50),
            ]
        }
        return measurement
    }
}

/// A file that only grows: append, fdatasync, and nothing else.
private final class BareLog {
    private let descriptor: Int32
    private let record: [UInt8]

    init(_ path: String, bytes: Int) throws {
        descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw BenchError.file("\(path): \(BenchError.systemText())") }
        record = [UInt8](repeating: UInt8(ascii: "b"), count: bytes)
    }

    deinit { close(descriptor) }

    /// So many appends, each synced; how long each took.
    func append(_ count: Int) throws -> Histogram {
        var times = Histogram()
        for _ in 0..<count {
            let startNs = Clock.nowNs()
            guard write(descriptor, record, record.count) == record.count, fdatasync(descriptor) == 0 else {
                throw BenchError.file("append and fdatasync: \(BenchError.systemText())")
            }
            times.record(Clock.nowNs() - startNs)
        }
        return times
    }
}
