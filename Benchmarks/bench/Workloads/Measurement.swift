// What one run found, in figures, as JSON and as text.

/// Percentiles of a latency histogram, in nanoseconds.
struct LatencySummary: Sendable {
    let count: UInt64
    let p50: Double
    let p99: Double
    let p999: Double
    let max: Double

    /// nil for an empty histogram.
    init?(_ histogram: Histogram) {
        guard histogram.count > 0 else { return nil }
        count = histogram.count
        p50 = Double(histogram.percentile(0.5))
        p99 = Double(histogram.percentile(0.99))
        p999 = Double(histogram.percentile(0.999))
        max = Double(histogram.max)
    }
}

/// The result of one run against one server. Only verified runs have one: a wrong delivery throws instead.
struct Measurement: Sendable {
    var workload = ""
    /// What `messages` counts: published messages, deliveries, round trips, subscriptions, connections.
    var unit = "messages"
    var messages = 0.0
    var seconds = 0.0
    /// Payload bytes that the messages carried, for MB/s; nil where it means nothing.
    var payloadBytes: Double?
    var latency: LatencySummary?
    /// What the latency is the delay of.
    var latencyOf: String?
    var serverSeconds: Double?
    var clientSeconds = 0.0
    /// Processor use of everybody else meanwhile, in cores.
    var others: Double?
    var rssBytes: Double?
    var rssPeakBytes: Double?
    /// Figures that only this workload has, with their names.
    var extras: [(name: String, value: Double)] = []

    var rate: Double { seconds > 0 ? messages / seconds : 0 }
    var megabytesPerSecond: Double? { payloadBytes.map { $0 / max(seconds, 1e-9) / 1e6 } }
    var serverSecondsPerMillion: Double? { perMillion(serverSeconds) }
    var clientSecondsPerMillion: Double? { perMillion(clientSeconds) }

    private func perMillion(_ seconds: Double?) -> Double? {
        guard let seconds, messages > 0 else { return nil }
        return seconds / messages * 1e6
    }

    func extra(_ name: String) -> Double? { extras.first { $0.name == name }?.value }

    /// Takes over what the meter saw during the measured phase, and the server's memory right after it.
    mutating func take(_ meter: CostMeter, _ probe: ServerProbe?) {
        let cost = meter.read()
        serverSeconds = cost.serverSeconds
        clientSeconds = cost.clientSeconds
        others = cost.others
        rssBytes = probe?.rssBytes
        rssPeakBytes = probe?.rssPeakBytes
    }

    var json: JSON {
        var members: [JSON.Member] = [
            .init("workload", .string(workload)), .init("unit", .string(unit)), .init("messages", .number(messages)),
            .init("seconds", .number(seconds)), .init("rate", .number(rate)),
        ]
        func add(_ key: String, _ value: Double?) {
            if let value { members.append(.init(key, .number(value))) }
        }
        add("mb_per_s", megabytesPerSecond)
        if let latency {
            members.append(.init("latency_of", .string(latencyOf ?? "message")))
            members.append(
                .init(
                    "latency_ns",
                    .object([
                        .init("count", .number(Double(latency.count))), .init("p50", .number(latency.p50)),
                        .init("p99", .number(latency.p99)), .init("p99.9", .number(latency.p999)),
                        .init("max", .number(latency.max)),
                    ])))
        }
        add("server_cpu_s", serverSeconds)
        add("server_cpu_s_per_million", serverSecondsPerMillion)
        add("client_cpu_s_per_million", clientSecondsPerMillion)
        add("others_cores", others)
        add("rss_bytes", rssBytes)
        add("rss_peak_bytes", rssPeakBytes)
        for extra in extras { members.append(.init(extra.name, .number(extra.value))) }
        return .object(members)
    }

    /// A few lines for a person.
    var text: String {
        var lines: [String] = []
        func line(_ key: String, _ value: String) { lines.append("  " + Format.padded(key, max(16, key.count + 1)) + value) }
        lines.append(workload)
        if messages > 0 {
            var rateText = "\(Format.count(rate)) \(unit)/s"
            if let megabytesPerSecond { rateText += ", \(Format.short(megabytesPerSecond)) MB/s" }
            line("rate", rateText)
            line("verified", "\(Format.fixed(messages, 0)) \(unit) in \(Format.fixed(seconds, 2)) s")
        }
        if let latency {
            line(
                "latency",
                "p50 \(Format.duration(ns: latency.p50)), p99 \(Format.duration(ns: latency.p99)), "
                    + "p99.9 \(Format.duration(ns: latency.p999)), max \(Format.duration(ns: latency.max))"
                    + (latencyOf.map { " (\($0))" } ?? ""))
        }
        if let serverSecondsPerMillion, let serverSeconds {
            line(
                "server CPU",
                "\(Format.short(serverSecondsPerMillion)) s per million, "
                    + "\(Format.fixed(serverSeconds / max(seconds, 1e-9), 2)) cores")
        }
        if let clientSecondsPerMillion {
            line(
                "client CPU",
                "\(Format.short(clientSecondsPerMillion)) s per million, "
                    + "\(Format.fixed(clientSeconds / max(seconds, 1e-9), 2)) cores")
        }
        if let others { line("others' CPU", "\(Format.fixed(others, 2)) cores") }
        if let rssBytes {
            line("server RSS", Format.bytes(rssBytes) + (rssPeakBytes.map { ", peak \(Format.bytes($0))" } ?? ""))
        }
        for extra in extras {
            line(extra.name, extra.name.hasSuffix("bytes") ? Format.bytes(extra.value) : number(extra.value))
        }
        return lines.joined(separator: "\n")
    }

    private func number(_ value: Double) -> String {
        value.magnitude < 100 ? Format.short(value) : Format.count(value)
    }
}
