// Many connections that do nothing: what each costs the server in memory, and how fast they come.

import Glibc

struct IdleConnections: Sendable {
    var count = 5_000
    /// Connections that are being opened at a time; below any server's accept backlog.
    private static let batch = 64

    func run(_ context: RunContext) throws -> Measurement {
        let limit = Machine.raiseFileLimit()
        guard count + 64 < limit else {
            throw BenchError.usage("\(count) connections need more open files than the \(limit) allowed (ulimit -n)")
        }
        var result = Measurement(workload: "connections \(count)", unit: "connections")
        var progress = context.progress()
        // What the first connections set in motion (buffers, threads) is not the price of one more.
        for _ in 0..<8 { _ = try Connection(context.target) }
        Clock.sleep(ms: 500)
        let before = context.probe?.rssBytes
        let meter = CostMeter(context.probe)
        let startNs = Clock.nowNs()
        var connections: [Connection] = []
        connections.reserveCapacity(count)
        while connections.count < count {
            let first = connections.count
            for _ in 0..<min(IdleConnections.batch, count - first) {
                connections.append(try Connection(starting: context.target))
            }
            for connection in connections[first...] { try connection.shakeHands() }
            progress?.show(Double(connections.count) / Double(count), "connecting", nowNs: Clock.nowNs())
        }
        result.messages = Double(count)
        result.seconds = Double(Clock.nowNs() - startNs) / 1e9
        result.take(meter, context.probe)
        Clock.sleep(ms: 1000)
        result.rssBytes = context.probe?.rssBytes
        if let before, let after = result.rssBytes {
            result.extras.append(("rss_per_connection_bytes", max(0, after - before) / Double(count)))
        }
        result.extras.append(("connect_line_bytes", Double(context.target.connectLine(echo: true).utf8.count)))
        let idle = CostMeter(context.probe)
        let idleNs = Clock.nowNs()
        Clock.sleep(ms: Int(min(context.timing.durationNs, 2_000_000_000) / 1_000_000))
        if let seconds = idle.read().serverSeconds {
            result.extras.append(("idle_cpu_percent", seconds / (Double(Clock.nowNs() - idleNs) / 1e9) * 100))
        }
        // They are worth counting only if they still work.
        for connection in connections { try connection.settle() }
        progress?.clear()
        return result
    }
}
