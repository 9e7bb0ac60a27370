// The client's loop: one publisher and one pool of workers on one thread, by the clock.

import Glibc

/// How much is published.
struct Supply: Sendable {
    /// Publishes without an ack.
    var outstanding = 1_024
    /// Published and not handled: so far is the publisher ahead of the workers.
    var ahead = 20_000
    /// Messages a second; nil is as many as `ahead` allows. Delays then count from when a message was due.
    var rate: Double?
    /// A process crashes, joins or leaves, in turn, this often; nil for never.
    var churnNs: UInt64?
}

/// Published messages move through the server to the workers; a phase lasts for a time, `drain` until all is handled.
final class KeyedLoop {
    let publisher: KeyedPublisher
    let pool: WorkerPool
    let supply: Supply
    private let poller: Poller
    private let plan: PoolPlan
    private var publisherIsReadable = true
    private var paceStartNs: UInt64 = 0
    private var paceSent = 0
    private var churn: Churn?

    private static let writeMax = 256
    /// How long the end of a phase may be overlooked.
    private static let lookNs: UInt64 = 1_000_000
    private static let stallNs: UInt64 = 30_000_000_000

    init(_ publisher: KeyedPublisher, _ plan: PoolPlan, _ supply: Supply, _ target: Target, checksOrder: Bool) throws {
        self.publisher = publisher
        self.plan = plan
        self.supply = supply
        poller = try Poller()
        pool = try WorkerPool(plan, target, poller, publisher.frames, publisher.draw, checksOrder: checksOrder)
        try poller.add(publisher.pipe.connection.socket, token: 0)
        churn = supply.churnNs.map { Churn(everyNs: $0, places: plan.processes) }
    }

    /// Goes on for a while. Returns how many messages were handled meanwhile, and in which time.
    ///
    /// - Parameter least: goes on longer, up to ten times, until so many are handled.
    func run(
        _ durationNs: UInt64, least: Int = 0, _ progress: inout Progress?, note: String
    ) throws -> (handled: Int, ns: UInt64) {
        let startNs = Clock.nowNs()
        let first = pool.counts.handled
        pool.latency = Histogram()
        paceStartNs = startNs
        paceSent = 0
        var now = startNs
        var moves = Moves(now)
        while now - startNs < durationNs
            || pool.counts.handled - first < least && now - startNs < 10 * durationNs
        {
            supplyMore(now)
            try churn?.step(pool, now)
            try turn(now, until: max(startNs + durationNs, now + KeyedLoop.lookNs), &moves)
            now = Clock.nowNs()
            progress?.show(Double(now - startNs) / Double(durationNs), note, nowNs: now)
        }
        return (pool.counts.handled - first, now - startNs)
    }

    /// Publishes nothing more and waits until all of it is handled; then checks that nothing is missing.
    func drain(_ progress: inout Progress?) throws {
        var now = Clock.nowNs()
        var moves = Moves(now)
        while !isDrained {
            try churn?.fill(pool)
            try turn(now, until: now + KeyedLoop.stallNs, &moves)
            now = Clock.nowNs()
            progress?.show(Double(pool.counts.handled) / Double(max(1, publisher.sent)), "draining", nowNs: now)
        }
        try pool.finish()
        for key in 0..<publisher.draw.keys where !publisher.draw.fails(key) || !plan.parks {
            let sent = Int(publisher.counts[key])
            guard pool.order.done(key) == sent else {
                throw BenchError.mismatch("key \(key): \(pool.order.done(key)) of \(sent) messages were handled")
            }
        }
    }

    private var isDrained: Bool {
        guard publisher.acked == publisher.sent, pool.counts.handled == publisher.sentToHealthy else { return false }
        return plan.parks || pool.counts.givenUp == publisher.sent - publisher.sentToHealthy
    }

    /// When something last moved.
    private struct Moves {
        var lastNs: UInt64
        init(_ now: UInt64) { lastNs = now }
    }

    private func turn(_ now: UInt64, until endNs: UInt64, _ moves: inout Moves) throws {
        try publisher.pipe.flush()
        if publisherIsReadable { publisherIsReadable = try publisher.receive() }
        if try pool.turn() { moves.lastNs = now }
        if now - moves.lastNs > KeyedLoop.stallNs {
            throw BenchError.stalled(
                "\(publisher.sent) published, \(publisher.acked) of them acked, \(pool.counts.handled) handled")
        }
        wait(now, until: endNs)
    }

    /// Writes what may be written: by the window, or by the clock.
    private func supplyMore(_ now: UInt64) {
        var count = min(
            supply.outstanding - (publisher.sent - publisher.acked),
            supply.ahead - (publisher.sentToHealthy - pool.counts.handled), KeyedLoop.writeMax)
        guard let rate = supply.rate else { return publisher.write(count, firstNs: now) }
        let step = 1e9 / rate
        count = min(count, Int(Double(now - paceStartNs) / step) - paceSent)
        guard count > 0 else { return }
        publisher.write(count, firstNs: paceStartNs + UInt64(Double(paceSent + 1) * step), stepNs: step)
        paceSent += count
    }

    /// Sleeps until something comes, a handler ends, a message is due or the phase is over.
    private func wait(_ now: UInt64, until endNs: UInt64) {
        var timeoutMs: Int32 = 50
        if publisherIsReadable || pool.hasInput {
            timeoutMs = 0
        } else {
            var nextNs = endNs
            if let due = pool.nextNs { nextNs = min(nextNs, due) }
            if let rate = supply.rate {
                nextNs = min(nextNs, paceStartNs + UInt64(Double(paceSent + 1) * 1e9 / rate))
            }
            let now = Clock.nowNs()
            if nextNs > now { poller.wake(inNs: nextNs - now) } else { timeoutMs = 0 }
        }
        poller.wait(timeoutMs: timeoutMs) { event in
            guard event.readable else { return }
            if event.token == 0 {
                publisherIsReadable = true
            } else {
                pool.isReadable(event.token - WorkerPool.firstToken)
            }
        }
    }
}

@available(*, unavailable)
extension KeyedLoop: Sendable {}

/// Lets processes crash, leave and join, one after the other.
struct Churn {
    private let everyNs: UInt64
    private let places: Int
    private var random = SplitMix(state: 7)
    private var nextNs: UInt64 = 0
    private var steps = 0

    init(everyNs: UInt64, places: Int) {
        self.everyNs = everyNs
        self.places = places
    }

    mutating func step(_ pool: WorkerPool, _ now: UInt64) throws {
        guard now >= nextNs else { return }
        nextNs = now + everyNs
        steps += 1
        let place = Int(random.next() >> 33) % places
        switch steps % 4 {
        case 1: pool.crash(place)
        case 3: pool.leave(place)
        default: try fill(pool)
        }
    }

    /// Lets somebody join wherever there is room.
    func fill(_ pool: WorkerPool) throws {
        for place in pool.vacant { try pool.join(place) }
    }
}
