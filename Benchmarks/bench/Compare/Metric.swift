// What two servers are compared by, and how good is good enough.

/// A figure that two servers are compared by. `advantage` is always "times better", whichever way is better.
enum Metric: String, Sendable, CaseIterable {
    case rate, cpu, p50, p99, rss, rssPerConnection
    case rateOfFewSubjects, p99OfBareSync, recovery, bytesPerMessage
    case max, resumeMax, rateOfLight, cpuOfLight, p99OfLight, visitsPerLease, visitsOfLight, bytesPerKey, countedPerKey

    var title: String {
        switch self {
        case .rate: return "messages/s"
        case .cpu: return "CPU s per million"
        case .p50: return "p50"
        case .p99: return "p99"
        case .rss: return "RSS"
        case .rssPerConnection: return "RSS per connection beyond CONNECT"
        case .rateOfFewSubjects: return "rate, of the same with ten subjects"
        case .p99OfBareSync: return "p99, of a bare append and fdatasync's"
        case .recovery: return "start to serving"
        case .bytesPerMessage: return "RSS per stored message"
        case .max: return "max"
        case .resumeMax: return "max of RESUME to delivery"
        case .rateOfLight: return "messages/s, of the same without"
        case .cpuOfLight: return "CPU per message, of the same without"
        case .p99OfLight: return "p99, of the same without"
        case .visitsPerLease: return "keys visited per lease"
        case .visitsOfLight: return "keys visited per lease, of the same without"
        case .bytesPerKey: return "RSS per outstanding key"
        case .countedPerKey: return "per outstanding key, by the broker's own count"
        }
    }

    /// Reads the figure from a run's JSON; nil when the run has none.
    func value(in run: JSON) -> Double? {
        switch self {
        case .rate: return run["rate"]?.number
        case .cpu: return run["server_cpu_s_per_million"]?.number
        case .p50: return run["latency_ns"]?["p50"]?.number
        case .p99: return run["latency_ns"]?["p99"]?.number
        case .rss: return run["rss_bytes"]?.number
        case .rssPerConnection:
            guard let bytes = run["rss_per_connection_bytes"]?.number, let line = run["connect_line_bytes"]?.number
            else { return nil }
            return Swift.max(1, bytes - line)
        case .rateOfFewSubjects: return run["rate_of_few_subjects"]?.number
        case .p99OfBareSync: return run["p99_of_bare_sync"]?.number
        case .recovery: return run["recovery_s"]?.number
        // Less than a byte a message is none that could be told from noise.
        case .bytesPerMessage: return run["rss_per_message_bytes"]?.number.map { Swift.max(1, $0) }
        case .max: return run["latency_ns"]?["max"]?.number
        case .resumeMax: return run["resume_max_ns"]?.number
        case .rateOfLight: return run["rate_of_light"]?.number
        case .cpuOfLight: return run["cpu_of_light"]?.number
        case .p99OfLight: return run["p99_of_light"]?.number
        case .visitsPerLease: return run["keys_visited_per_lease"]?.number
        case .visitsOfLight: return run["keys_visited_of_light"]?.number
        case .bytesPerKey: return run["rss_per_key_bytes"]?.number
        case .countedPerKey: return run["counted_per_key_bytes"]?.number
        }
    }

    /// Whether more of it is better.
    var moreIsBetter: Bool { self == .rate || self == .rateOfFewSubjects || self == .rateOfLight }

    /// How many times better `one` is than `other`.
    func advantage(of one: Double, over other: Double) -> Double {
        let ratio = moreIsBetter ? one / other : other / one
        return ratio.isFinite ? ratio : 0
    }

    func text(_ value: Double) -> String {
        switch self {
        case .rate: return Format.count(value)
        case .cpu: return Format.short(value)
        case .p50, .p99, .max, .resumeMax: return Format.duration(ns: value)
        case .rss, .rssPerConnection, .bytesPerMessage, .bytesPerKey, .countedPerKey: return Format.bytes(value)
        case .rateOfFewSubjects, .p99OfBareSync, .rateOfLight, .cpuOfLight, .p99OfLight, .visitsOfLight:
            return Format.short(value) + "x"
        case .visitsPerLease: return Format.short(value)
        case .recovery: return Format.duration(ns: value * 1e9)
        }
    }

    /// An advantage as the goals put it: `8x` messages, `1/10` of the processor time, `0.6x` of the delay.
    func text(advantage: Double) -> String {
        if moreIsBetter { return Format.short(advantage) + "x" }
        if self == .cpu { return "1/" + Format.short(advantage) }
        return advantage > 0 ? Format.short(1 / advantage) + "x" : "-"
    }
}

/// What a row must reach.
struct Goal: Sendable {
    let metric: Metric
    /// Times better than the peer; for an absolute goal, the figure itself.
    let bound: Double
    /// Whether `bound` is the figure to reach, whatever the peer does.
    var isAbsolute = false

    static func rate(_ times: Double) -> Goal { Goal(metric: .rate, bound: times) }
    /// 10 is a tenth of the peer's processor time per message.
    static func cpu(_ fraction: Double) -> Goal { Goal(metric: .cpu, bound: fraction) }
    /// At most `share` of the peer's median delay.
    static func p50(_ share: Double) -> Goal { Goal(metric: .p50, bound: 1 / share) }
    /// At most `share` of the peer's.
    static func p99(_ share: Double) -> Goal { Goal(metric: .p99, bound: 1 / share) }
    /// The figure itself, whatever the peer does.
    static func absolute(_ metric: Metric, _ bound: Double) -> Goal { Goal(metric: metric, bound: bound, isAbsolute: true) }
    static func rss(_ share: Double) -> Goal { Goal(metric: .rss, bound: 1 / share) }
    static func rssPerConnection(_ bytes: Double) -> Goal {
        Goal(metric: .rssPerConnection, bound: bytes, isAbsolute: true)
    }
    /// At least `share` of the rate that the same server reaches with ten subjects.
    static func rateOfFewSubjects(_ share: Double) -> Goal {
        Goal(metric: .rateOfFewSubjects, bound: share, isAbsolute: true)
    }
    /// At most so many times the p99 of a bare append and fdatasync in the same run.
    static func p99OfBareSync(_ times: Double) -> Goal {
        Goal(metric: .p99OfBareSync, bound: times, isAbsolute: true)
    }
    static func recovery(seconds: Double) -> Goal { Goal(metric: .recovery, bound: seconds, isAbsolute: true) }
    /// At most `share` of the peer's.
    static func bytesPerMessage(_ share: Double) -> Goal { Goal(metric: .bytesPerMessage, bound: 1 / share) }

    /// Whether a figure reaches an absolute goal.
    func isReached(by value: Double) -> Bool { metric.moreIsBetter ? value >= bound : value <= bound }

    var text: String {
        isAbsolute ? (metric.moreIsBetter ? "≥ " : "≤ ") + metric.text(bound) : metric.text(advantage: bound)
    }
}
