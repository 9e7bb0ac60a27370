// Publish and subscribe in all shapes: publish only, 1:1, fan-out, distinct subjects, unique subjects, single writes.

import Glibc
import Synchronization

/// `topics` publishers, each with a subject of its own and `subscribersPerTopic` subscribers to it.
struct PubSub: Sendable {
    var name: String
    var topics = 1
    /// 0 publishes only; the server's PONG then ends the measurement.
    var subscribersPerTopic = 1
    var payloadBytes = 128
    /// A subject per message, and wildcard subscribers.
    var unique = false
    var singleWrites = false
    /// Messages a second over all topics; nil is as fast as it goes.
    var rate: Double?
    /// Client threads, over which the topics are spread.
    var threads = 1
    /// Subscribers on threads of their own, so that a publisher's writes never wait for its reads: as two programs would be.
    var split = false
    /// How many delivered bytes a publisher may be ahead; nil for what suits the shape.
    var windowBytes: Int?
    var verifyAll = false
    var poll = false

    /// Servers cut a connection with 64 MB pending. Measured on nats-server from 256 KiB to 32 MiB: at 4 MiB it is at
    /// or near its best in every shape; less starves it (and flatters a server whose queues then fit the cache), more
    /// only lengthens the queues.
    static let windowBytesDefault = 4 << 20

    func run(_ context: RunContext) throws -> Measurement {
        let loops = max(1, min(threads, topics))
        var plans: [LoopPlan] = []
        for loop in 0..<loops {
            let numbers = Array(stride(from: loop, to: topics, by: loops))
            var plan = LoopPlan(
                topics: numbers.map { number in
                    FrameBlock.Plan(
                        subject: "bench.\(number / 10)\(number % 10)", payloadBytes: payloadBytes, unique: unique,
                        seed: UInt64(number + 1))
                },
                boards: numbers.map { _ in TopicBoard() }, subscribersPerTopic: subscribersPerTopic,
                singleWrites: singleWrites, verifyAll: verifyAll, ratePerTopic: rate.map { $0 / Double(topics) },
                windowBytes: windowBytes ?? PubSub.windowBytesDefault, poll: poll)
            if split && subscribersPerTopic > 0 {
                plan.role = .publish
                plans.append(plan)
                plan.role = .subscribe
            }
            plans.append(plan)
        }
        var measurement = Measurement(workload: name, unit: subscribersPerTopic > 0 ? "messages" : "published")
        let warmup = PhaseLength(durationNs: context.timing.warmupNs)
        let measured = PhaseLength(durationNs: context.timing.durationNs, messagesPerTopic: context.timing.messages)

        let crew = LoopCrew(Array(plans.dropFirst()), target: context.target, phases: [warmup, measured])
        defer { crew.abandon() }
        let own = try ClientLoop(plans[0], target: context.target, progress: context.progress())
        try crew.waitUntilReady()
        crew.begin(phase: 0)
        _ = try own.run(warmup, note: "warm-up")
        _ = try crew.results(ofPhase: 0)
        let meter = CostMeter(context.probe)
        crew.begin(phase: 1)
        var result = try own.run(measured, note: "")
        for other in try crew.results(ofPhase: 1) { result.merge(other) }
        measurement.take(meter, context.probe)
        try own.finish()
        try crew.finish()

        measurement.messages = Double(subscribersPerTopic > 0 ? result.delivered : result.published)
        measurement.seconds = Double(result.endNs - result.startNs) / 1e9
        measurement.payloadBytes = measurement.messages * Double(payloadBytes)
        measurement.latency = LatencySummary(result.latency)
        measurement.latencyOf =
            rate == nil ? "through full queues" : "since it was due, at \(Format.count(rate ?? 0)) msgs/s"
        return measurement
    }
}

/// The client loops beyond the first, each on a thread of its own. Phases begin together, by a counter that the
/// threads watch; results come back under a lock.
private final class LoopCrew: Sendable {
    private struct State {
        var ready = 0
        var results: [[PhaseResult]] = []
        var finished = 0
        var failure: (any Error)?
    }

    private let count: Int
    private let phases: [PhaseLength]
    private let state = Mutex(State())
    /// The phase that may run; -1 before the first, `Int.max` tells the threads to leave.
    private let phase = Atomic<Int>(-1)

    init(_ plans: [LoopPlan], target: Target, phases: [PhaseLength]) {
        count = plans.count
        self.phases = phases
        state.withLock { $0.results = phases.map { _ in [] } }
        for plan in plans {
            let crew = self
            Thread.start { crew.work(plan, target) }
        }
    }

    func begin(phase number: Int) { phase.store(number, ordering: .releasing) }

    /// Lets the threads go, whatever they wait for.
    func abandon() { phase.store(Int.max, ordering: .releasing) }

    func waitUntilReady() throws { try wait { $0.ready == self.count } }

    func results(ofPhase number: Int) throws -> [PhaseResult] {
        try wait { $0.results[number].count == self.count }
        return state.withLock { $0.results[number] }
    }

    func finish() throws {
        begin(phase: phases.count)
        try wait { $0.finished == self.count }
    }

    private func wait(_ condition: (borrowing State) -> Bool) throws {
        while true {
            let (done, failure) = state.withLock { (condition($0), $0.failure) }
            if let failure { throw failure }
            if done { return }
            usleep(200)
        }
    }

    private func work(_ plan: LoopPlan, _ target: Target) {
        do {
            let loop = try ClientLoop(plan, target: target, progress: nil)
            state.withLock { $0.ready += 1 }
            for number in phases.indices {
                guard waitForPhase(number) else { return }
                let result = try loop.run(phases[number], note: "")
                state.withLock { $0.results[number].append(result) }
            }
            guard waitForPhase(phases.count) else { return }
            try loop.finish()
            state.withLock { $0.finished += 1 }
        } catch {
            state.withLock { $0.failure = error }
        }
    }

    private func waitForPhase(_ number: Int) -> Bool {
        while true {
            let current = phase.load(ordering: .acquiring)
            if current == Int.max { return false }
            if current >= number { return true }
            usleep(100)
        }
    }
}
