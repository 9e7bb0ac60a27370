// The rows of the comparison that concern streams; each says when either side syncs.

/// When the two sides sync.
struct SyncPair: Sendable {
    let subject: SyncSetting
    let peer: SyncSetting

    static let both = SyncPair(subject: .always, peer: .always)
    static let oursOnly = SyncPair(subject: .always, peer: .standard)
    static let neither = SyncPair(subject: .never, peer: .standard)

    func setting(_ side: Side) -> SyncSetting { side == .subject ? subject : peer }

    /// For a row's title. nats-server's default is to sync every two minutes: not within a run.
    var title: String {
        func word(_ setting: SyncSetting) -> String { setting == .standard ? "default" : setting.rawValue }
        return subject == peer ? "sync \(word(subject))" : "sync \(word(subject)) : \(word(peer))"
    }
}

enum StreamRows {
    static let judged: [Row] =
        [(1, 1.0), (16, 8), (256, 50), (4_096, 50)].map { publish($0, 128, .both, goal: $1) }
        + [
            publish(256, 128, .oursOnly, goal: 2), publish(500, 1_024, .oursOnly, goal: 1),
            publish(256, 128, .neither, goal: 4), publish(256, 1_024, .neither, goal: 2),
        ]
        + [16, 128, 1_024].map { bytes in
            row(
                "js-pull-\(bytes)", "pull and ack, \(bytes) B", .oursOnly,
                .pull(PullConsume(payloadBytes: bytes, messages: bytes > 512 ? 100_000 : 200_000)), [.rate(5)])
        }
        + [
            batches(40, [.rate(20)]),
            row(
                "js-filter", "consumer filtered to one of 100,000 subjects", .oursOnly, .filter(FilteredConsume()),
                [.rateOfFewSubjects(0.8), .cpu(1)]),
            row("js-lone", "one publish with ack, nothing else", .both, .lone(LonePublish()), [.p99OfBareSync(1.5)]),
            row(
                "js-memory", "memory, a million messages on one subject", .oursOnly, .memory(StreamMemory()),
                [.bytesPerMessage(0.5)]),
            row(
                "js-memory-subjects", "memory, a million messages on a million subjects", .oursOnly,
                .memory(StreamMemory(subjects: 1_000_000)), [.bytesPerMessage(0.5)]),
            row(
                "js-recovery", "recovery, 1 GiB in a million messages", .oursOnly, .recovery(Recovery()),
                [.recovery(seconds: 2)]),
            row(
                "js-recovery-1000", "recovery, 1,000 streams of 100 messages", .oursOnly,
                .recovery(Recovery(streams: 1_000, messages: 100_000, payloadBytes: 128)), [.recovery(seconds: 2)]),
        ]

    static let others: [Row] =
        [batches(1, []), batches(16, [])]
        + [
            row("js-consumers", "1,000 consumers with a subject each", .oursOnly, .consumers(ManyConsumers()), []),
            row(
                "js-consumers-all", "1,000 consumers of every message", .oursOnly,
                .consumers(ManyConsumers(filtered: false)), []),
            row("js-latency", "publish to consume, one at a time", .oursOnly, .latency(StreamLatency()), []),
            row("js-latency-sync", "publish to consume, one at a time", .both, .latency(StreamLatency()), []),
        ]
        + [
            publish(500, 128, .both), publish(1, 1_024, .both), publish(16, 1_024, .both), publish(256, 1_024, .both),
            publish(500, 1_024, .both), publish(4_096, 1_024, .both), publish(1, 128, .oursOnly),
            publish(16, 128, .oursOnly), publish(4_096, 128, .oursOnly), publish(256, 128, .oursOnly, subjects: 100_000),
        ]

    private static func row(
        _ name: String, _ title: String, _ sync: SyncPair, _ workload: StreamWorkload, _ goals: [Goal]
    ) -> Row {
        Row(name: name, title: "\(title); \(sync.title)", workload: .streams(workload), goals: goals, sync: sync)
    }

    private static func publish(
        _ outstanding: Int, _ bytes: Int, _ sync: SyncPair, goal: Double = 0, subjects: Int = 1
    ) -> Row {
        let suffix = sync.peer == .always ? "both" : sync.subject == .never ? "neither" : "ours"
        return row(
            "js-publish-\(outstanding)-\(bytes)-\(suffix)" + (subjects > 1 ? "-subjects" : ""),
            "publish with acks, \(outstanding) in flight, \(bytes) B" + (subjects > 1 ? ", \(subjects) subjects" : ""),
            sync,
            .publish(StreamPublish(outstanding: outstanding, payloadBytes: bytes, subjects: subjects)),
            goal > 0 ? [.rate(goal)] : [])
    }

    private static func batches(_ inFlight: Int, _ goals: [Goal]) -> Row {
        row(
            "js-batch-\(inFlight)", "atomic batches of three, \(inFlight) in flight", .both,
            .batches(AtomicBatches(inFlight: inFlight)), goals)
    }
}
