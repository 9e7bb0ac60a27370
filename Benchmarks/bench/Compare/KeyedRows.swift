// The rows of the comparison that concern keyed consumers. The peer does what its users do: partition() and max_ack_pending 1.

enum KeyedRows {
    static let judged: [Row] =
        [
            row("keyed-10000-both", .both, consume(), [.rate(5)]),
            row("keyed-10000-neither", .neither, consume(), [.rate(5)]),
            row("keyed-10000-ours", .oursOnly, consume(), [.rate(5)]),
            paced("keyed-paced-both", .both, of: "keyed-10000-both"),
            paced("keyed-paced-neither", .neither, of: "keyed-10000-neither"),
            alone(
                "keyed-unkeyed", "10,000 keys beside the same without keys, 512 workers of 5 ms", .never,
                .beside(KeyedBeside(consume: consume(), burden: .keys)), [.absolute(.rateOfLight, 0.8)]),
            alone(
                "keyed-unkeyed-0", "10,000 keys beside the same without keys, 512 workers of 0 ms", .never,
                .beside(KeyedBeside(consume: endless, burden: .keys)), [.absolute(.rateOfLight, 0.8)]),
            alone(
                "keyed-unkeyed-0-sync", "10,000 keys beside the same without keys, 512 workers of 0 ms", .always,
                .beside(KeyedBeside(consume: endless, burden: .keys)), [.absolute(.rateOfLight, 0.8)]),
            alone(
                "keyed-parked", "20,000 messages/s, 10,000 parked keys", .never,
                .beside(KeyedBeside(consume: steady, burden: .parked(10_000))),
                [.absolute(.cpuOfLight, 1.05), .absolute(.p99OfLight, 1.25), .absolute(.visitsOfLight, 1)]),
            alone(
                "keyed-memory", "100,000 outstanding keys of 64 bytes", .always, .memory(KeyedMemory()),
                [.absolute(.bytesPerKey, 256), .absolute(.countedPerKey, 256)]),
            alone(
                "keyed-retry", "RETRY to delivery, 10,000 parked keys", .always, .retry(KeyedRetry()),
                [.absolute(.p99, 10e6), .absolute(.resumeMax, 10e6)]),
        ]

    static let others: [Row] = [
        row("keyed-hot", .both, hot, []),
        row("keyed-hot-neither", .neither, hot, []),
        row("keyed-100", .neither, consume { $0.plan.keys = 100 }, []),
        row(
            "keyed-100000", .neither,
            consume {
                $0.plan.keys = 100_000
                $0.supply.ahead = 100_000
            }, []),
        row("keyed-16", .neither, consume { $0.partitions = 16 }, []),
        row("keyed-zipf", .neither, consume { $0.plan.zipf = 1 }, []),
        row("keyed-failing", .neither, consume { $0.plan.failing = 0.01 }, []),
        row(
            "keyed-nak", .neither,
            consume {
                $0.plan.failing = 0.01
                $0.failure = .nak
            }, []),
        row("keyed-churn", .neither, consume { $0.supply.churnNs = 100_000_000 }, []),
        row(
            "keyed-churn-release", .neither,
            consume {
                $0.supply.churnNs = 100_000_000
                $0.releases = true
            }, []),
    ]

    private static func consume(_ change: (inout KeyedConsume) -> Void = { _ in }) -> KeyedConsume {
        var workload = KeyedConsume()
        change(&workload)
        return workload
    }

    /// One key, and handlers that take no time: an event for each round trip and sync.
    private static let hot = consume {
        $0.plan.keys = 1
        $0.handlerNs = 0
        $0.supply.ahead = 1_000
    }

    /// Handlers that take no time: what the server can do.
    private static let endless = consume { $0.handlerNs = 0 }

    private static let steady = consume { $0.supply.rate = 20_000 }

    private static func row(_ name: String, _ sync: SyncPair, _ workload: KeyedConsume, _ goals: [Goal]) -> Row {
        var title = "\(workload.plan.keys) keys"
        if workload.plan.zipf != nil { title += " by Zipf's law" }
        if workload.plan.failing > 0 {
            title += ", 1% fail (\(workload.failure == .nak ? "nak, 5 times" : "term"))"
        }
        if workload.supply.churnNs != nil { title += ", workers crash, leave and join" }
        if workload.releases { title += ", release_on_disconnect" }
        title += ", 512 workers of \(workload.handlerNs / 1_000_000) ms, \(workload.partitions) partitions"
        return Row(
            name: name, title: "\(title); \(sync.title)", workload: .keyed(.consume(workload)), goals: goals, sync: sync)
    }

    private static func paced(_ name: String, _ sync: SyncPair, of other: String) -> Row {
        var row = row(name, sync, KeyedConsume(), [.p99(0.5)])
        let text = "at half of the peer's rate: "
        row = Row(
            name: name, title: text + row.title, workload: .keyed(KeyedWorkload.consume(KeyedConsume()).paced(1)),
            goals: row.goals,
            sync: sync)
        row.pace = (other, 0.5)
        return row
    }

    private static func alone(
        _ name: String, _ title: String, _ sync: SyncSetting, _ workload: KeyedWorkload, _ goals: [Goal]
    ) -> Row {
        Row(
            name: name, title: "keyed, \(title); sync \(sync.rawValue)", workload: .keyed(workload), goals: goals,
            sync: SyncPair(subject: sync, peer: sync))
    }
}
