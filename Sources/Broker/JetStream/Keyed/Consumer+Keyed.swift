// Where a consumer and its keys meet: how the two begin, come back after a restart, and report together.

import Store
import Wire

extension Consumer {
    /// Leases, or messages that wait for an ack.
    var ackPendingCount: Int { keyed?.leases ?? state.pending.count }

    /// - Parameter recovered: nil for a new consumer.
    func startKeyed(_ settings: KeyedSettings, _ recovered: RecoveredKeyedState?) {
        let keyed = KeyedDelivery(self, settings, recovered)
        keyed.start = recovered?.start ?? state.lastPerSubject
        state.lastPerSubject = LastPerSubject()
        self.keyed = keyed
        if recovered != nil {
            writeRecord(stream.host.now)
            keyed.confirmReservation()
        }
        _ = keyed.resolve()
    }

    /// `$BELLHOP.API.KEY.<operation>.<stream>.<consumer>`.
    func receive(keyRequest message: Message) {
        guard let keyed, !isStopped else { return }
        let name = Subject.token(message.subject, at: 3)?.string ?? ""
        let reply = message.reply.bytes, host = stream.host
        func send(_ answer: [UInt8]) {
            guard !reply.isEmpty else { return }
            reply.withUnsafeBytes { reply in
                answer.withUnsafeBytes {
                    host.publish(ByteView(reply), reply: .empty, headers: .empty, payload: ByteView($0))
                }
            }
        }
        guard let operation = KeyOperation(rawValue: name) else {
            return send(
                KeyReply.failure(name, .keyRequest("there is no \(name); there are LIST, INFO, PARK, RETRY, SKIP, RESUME")))
        }
        keyed.handle(operation, message.body, send)
    }

    /// Reads what a journal has kept of a keyed consumer. nil where that makes none.
    static func recoverKeyed(
        _ found: RecoveredConsumer, stream: any ConsumerStream, damaged: inout Int, decode: ([UInt8]) -> ConsumerConfig?
    ) -> Consumer? {
        guard let (keyed, config) = RecoveredKeyedState.read(found.records, damaged: &damaged, decode: decode),
            !keyed.name.isEmpty, keyed.reservedEnd < .max / 2
        else { return nil }
        var state = ConsumerState(startsAt: max(1, keyed.readPosition))
        state.delivered.stream = max(1, keyed.readPosition) - 1
        let recovered = RecoveredConsumerState(
            name: keyed.name, createdNs: keyed.createdNs, config: keyed.config, state: state)
        return Consumer(recovered: recovered, config: config, id: found.id, stream: stream, keyed: keyed)
    }
}

extension KeyedDelivery {
    /// CONSUMER.INFO has JetStream's fields only.
    func fill(_ info: inout ConsumerInfo) {
        var floor = UInt64.max, floorDelivery = UInt64.max, redelivered = 0
        table.forEach { slot in
            let entry = table[slot]
            guard entry.sequence != 0 else { return }
            floor = min(floor, entry.sequence)
            if entry.delivery != 0 { floorDelivery = min(floorDelivery, entry.delivery) }
            if entry.state == .backoff || entry.state == .leased && entry.total > 1 { redelivered += 1 }
        }
        info.ackPending = leases
        info.redelivered = redelivered
        let delivered = consumer.state.delivered
        info.ackFloor.stream = floor == .max ? delivered.stream : min(delivered.stream, floor - 1)
        info.ackFloor.consumer = floorDelivery == .max ? delivered.consumer : min(delivered.consumer, floorDelivery - 1)
        info.config = info.config?.withKeyedMetadata(
            isDurable: consumer.stream.journal != nil && !consumer.config.memoryStorage)
    }
}
