// What a consumer journal must hold after a crash: the state as of its last durable commit, or as of the one under way.

import Store

/// Each consumer counts: its records say `=n` (stands for all before) and `+n`, one more each.
struct CrashConsumerModel {
    private(set) var values: [ConsumerID: Int] = [:]
    /// As of the last commit that is durable, and as of those begun since.
    private var durable: [ConsumerID: Int] = [:]
    private var begun: [[ConsumerID: Int]] = []

    mutating func set(_ id: ConsumerID, _ value: Int?) { values[id] = value }
    mutating func commitBegan() { begun.append(values) }
    mutating func commitFinished(syncs: Bool) {
        guard syncs, let last = begun.last else { return }
        durable = last
        begun = []
    }

    /// Compares what a restart has found.
    func faults(of found: [RecoveredConsumer], findings: [String]) -> [String] {
        var faults = findings.map { "the journal finds after a mere crash: \($0)" }
        var read: [ConsumerID: Int] = [:]
        for consumer in found {
            if consumer.lostRecords > 0 { faults.append("consumer \(consumer.id) has lost \(consumer.lostRecords) records") }
            var value: Int?
            for record in consumer.records {
                let isBase = record.first == UInt8(ascii: "=")
                let number = RecoveredConsumer.value(record)
                if !isBase, let value, number != value + 1 {
                    faults.append("consumer \(consumer.id) goes from \(value) to \(number ?? -1)")
                }
                value = number
            }
            read[consumer.id] = value
        }
        if read != durable && !begun.contains(read) {
            faults.append("consumers are \(read); durable was \(durable), begun \(begun)")
        }
        return faults
    }

    mutating func rebase(on found: [RecoveredConsumer]) {
        values = [:]
        for consumer in found { values[consumer.id] = consumer.lastValue }
        durable = values
        begun = []
    }
}
