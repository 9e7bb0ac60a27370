// The same work for two consumers of one server, in turns: what keys cost, and what parked keys cost the others.

struct KeyedBeside: Sendable {
    /// What the second one has to bear.
    enum Burden: Sendable {
        /// Keys, where the first one has none.
        case keys
        /// So many parked keys, where the first one has none.
        case parked(Int)
    }

    var consume: KeyedConsume
    var burden: Burden
    /// Turns of both; the figures are the medians of their ratios.
    var turns = 5

    func run(_ context: RunContext) throws -> Measurement {
        let api = try StreamAPI(context.target)
        guard try KeyedPattern.knowsKeys(api) else { throw BenchError.refused("it does not know bellhop.key") }
        var parked = 0
        if case .parked(let count) = burden { parked = count }
        let first = try KeyedConsume.Bench(consume, parked > 0 ? .keyed : .plain, stream: "LIGHT", context, api)
        let second = try KeyedConsume.Bench(consume, .keyed, stream: "BURDENED", parked: parked, context, api)
        var progress = context.progress()
        var light: [Measurement] = []
        var burdened: [Measurement] = []
        for turn in 0..<turns {
            let note = "turn \(turn + 1)"
            light.append(try measure(first, context, &progress, note: note + " without"))
            burdened.append(try measure(second, context, &progress, note: note + " with"))
        }
        progress?.clear()
        func ratio(_ figure: (Measurement) -> Double?) -> Double {
            Spread(
                zip(burdened, light).compactMap { one, other in
                    guard let one = figure(one), let other = figure(other), other > 0 else { return nil }
                    return one / other
                })?.median ?? 0
        }
        let middle = burdened.sorted { $0.rate < $1.rate }[turns / 2]
        var result = middle
        result.workload = "\(parked > 0 ? "\(parked) parked keys" : "keys") beside none; " + result.workload
        let visits = try (
            KeyFigures.read(api, "BURDENED", second.consumers[0]).visitsPerLease,
            parked > 0 ? KeyFigures.read(api, "LIGHT", first.consumers[0]).visitsPerLease : 1
        )
        result.extras = [
            ("rate_of_light", ratio(\.rate)), ("cpu_of_light", ratio(\.serverSecondsPerMillion)),
            ("p99_of_light", ratio { $0.latency?.p99 }), ("keys_visited_per_lease", visits.0),
            ("keys_visited_of_light", visits.0 / max(visits.1, 1e-9)),
        ]
        return result
    }

    /// One turn: afterwards all that was published is handled.
    private func measure(
        _ bench: KeyedConsume.Bench, _ context: RunContext, _ progress: inout Progress?, note: String
    ) throws -> Measurement {
        _ = try bench.loop.run(context.timing.warmupNs, &progress, note: note)
        let meter = CostMeter(context.probe)
        let run = try bench.loop.run(context.timing.durationNs, &progress, note: note)
        var result = Measurement(workload: consume.title(bench.pattern))
        result.take(meter, context.probe)
        result.messages = Double(run.handled)
        result.seconds = Double(run.ns) / 1e9
        result.latency = LatencySummary(bench.loop.pool.latency)
        result.latencyOf = consume.supply.rate == nil ? "publish to handled" : "due to handled"
        try bench.loop.drain(&progress)
        return result
    }
}
