// The consumers of one stream by name, in the order in which they are listed.

import Store
import Wire

/// Owned by the stream's loop. Makes, finds and removes consumers; what a client may ask for is `ConsumerRequests`' matter.
final class ConsumerRegistry {
    unowned let stream: any ConsumerStream
    private var byName: [String: Consumer] = [:]
    private var byID: [ConsumerID: Consumer] = [:]
    private var sortedNames: [String]?
    /// What the stream keeps in its journal beside its consumers.
    var otherSnapshot: ((ConsumerID) -> [UInt8]?)?

    init(stream: any ConsumerStream) {
        self.stream = stream
        stream.journal?.snapshot = { [weak self] id in self?.byID[id]?.snapshot() ?? self?.otherSnapshot?(id) }
    }

    var count: Int { byName.count }
    var all: Dictionary<String, Consumer>.Values { byName.values }

    subscript(name: String) -> Consumer? { byName[name] }

    /// Sorted by their bytes, as JetStream lists them: without those by which other streams follow this one.
    var names: [String] {
        if let sortedNames { return sortedNames }
        let names = byName.filter { !$0.value.config.direct }.keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        sortedNames = names
        return names
    }

    /// Makes a consumer of a valid configuration. It is in the journal; durable with its next commit.
    func create(_ config: ConsumerConfig) -> Consumer {
        let name = !config.durable.isEmpty ? config.durable : !config.name.isEmpty ? config.name : makeName()
        let consumer = Consumer(name: name, config: config, createdNs: stream.host.now.wallNs, stream: stream)
        consumer.enterJournal()
        add(consumer)
        return consumer
    }

    /// Brings back what a journal has kept.
    ///
    /// - Returns: how many records made no sense and were passed over, and how many consumers could not be made.
    func recover(_ found: [RecoveredConsumer]) -> (damagedRecords: Int, lostConsumers: Int) {
        var damaged = 0, lost = 0
        for one in found {
            if let consumer = Consumer.recover(one, stream: stream, damaged: &damaged), byName[consumer.name] == nil {
                add(consumer)
            } else {
                lost += 1
            }
        }
        return (damaged, lost)
    }

    /// Deletes a consumer: its state, its place in the journal, and whoever waits for it is told.
    func delete(_ consumer: Consumer) {
        guard byName[consumer.name] === consumer else { return }
        consumer.advise(.deleted)
        consumer.stop(.deleted)
        byName[consumer.name] = nil
        sortedNames = nil
        if let id = consumer.journalID { byID[id] = nil }
        consumer.drop()
        stream.consumerRemoved(consumer)
    }

    /// The stream goes, or the broker stops.
    func stopAll(_ end: ConsumerEnd) {
        for (_, consumer) in byName.sorted(by: { $0.key < $1.key }) {
            if end == .deleted { consumer.advise(.deleted) }
            consumer.stop(end)
            if end == .deleted { consumer.drop() }
        }
        byName = [:]
        byID = [:]
        sortedNames = nil
    }

    private func add(_ consumer: Consumer) {
        byName[consumer.name] = consumer
        sortedNames = nil
        if let id = consumer.journalID { byID[id] = consumer }
        stream.consumerAdded(consumer)
    }

    /// Eight characters that no consumer has yet.
    private func makeName() -> String {
        while true {
            let name = String(decoding: randomText(8, stream.host), as: UTF8.self)
            if byName[name] == nil { return name }
        }
    }
}
