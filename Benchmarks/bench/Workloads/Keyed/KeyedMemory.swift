// What a key with something outstanding costs the server in memory.

struct KeyedMemory: Sendable {
    var keys = 100_000
    var keyBytes = 64
    private static let settleMs = 3_000
    private static let sampleMs = 250

    func run(_ context: RunContext) throws -> Measurement {
        guard let probe = context.probe else {
            throw BenchError.usage("memory needs to see the server's process: run it on this machine")
        }
        let api = try StreamAPI(context.target)
        guard try KeyedPattern.knowsKeys(api) else { throw BenchError.refused("it does not know bellhop.key") }
        try KeyedPattern.keyed.createStream("BENCH", prefix: "bench", api)
        // What deliveries set in motion, buffers above all, is not the price of a key.
        let padding = String(repeating: "k", count: keyBytes - 8)
        let room = JSON.Member("max_ack_pending", .number(2 * keys))
        try api.createConsumer("warm", on: "BENCH", [room])
        let warm = try ParkingLot(context.target, stream: "BENCH", prefix: "bench", consumer: "warm", padding: padding)
        try warm.publish(keys)
        try warm.take(keys) { _ in .ack }
        try api.expectDone("warm", on: "BENCH")
        let before = least(probe)
        let meter = CostMeter(probe)
        let startNs = Clock.nowNs()
        try api.createConsumer(
            "keys", on: "BENCH",
            [room, .init("ack_wait", .number(3.6e12)), .init("metadata", .object([.init("bellhop.key", .string("token:2"))]))])
        let lot = try ParkingLot(context.target, stream: "BENCH", prefix: "bench", consumer: "keys")
        try lot.take(keys) { _ in nil }
        var result = Measurement(workload: "\(keys) outstanding keys of \(keyBytes) bytes", unit: "keys")
        result.messages = Double(keys)
        result.seconds = Double(Clock.nowNs() - startNs) / 1e9
        result.take(meter, probe)
        let figures = try KeyFigures.read(api, "BENCH", "keys")
        guard Int(figures.number("leased")) == keys else {
            throw BenchError.mismatch("\(figures.number("leased")) keys are leased, not \(keys)")
        }
        let after = least(probe)
        result.rssBytes = after
        result.extras = [
            ("rss_per_key_bytes", max(0, after - before) / Double(keys)),
            ("counted_per_key_bytes", figures.number("memory") / Double(keys)),
        ]
        return result
    }

    /// The least resident memory while the server settles.
    private func least(_ probe: ServerProbe) -> Double {
        var least = probe.rssBytes ?? 0
        for _ in 0..<(KeyedMemory.settleMs / KeyedMemory.sampleMs) {
            Clock.sleep(ms: KeyedMemory.sampleMs)
            least = min(least, probe.rssBytes ?? least)
        }
        return least
    }
}
