// The advisories and metrics of consumers: events for whoever listens, and nothing where nobody does.

import Wire

/// What happened to a consumer. Domains are left out: a broker of its own has none.
enum ConsumerAdvisory {
    case created
    case deleted
    case paused(untilNs: Int64?, nowNs: Int64)
    case pinned(group: String, id: String)
    case unpinned(group: String, reason: String)
    case maxDeliver(sequence: UInt64, deliveries: UInt64)
    case naked(sequence: UInt64, delivery: UInt64, deliveries: UInt64)
    case terminated(sequence: UInt64, delivery: UInt64, deliveries: UInt64, reason: String)
    /// A sampled ack.
    case acked(sequence: UInt64, delivery: UInt64, deliveries: UInt64, afterNs: Int64)

    /// What stands before `.<stream>.<consumer>` in the subject.
    private var subject: String {
        switch self {
        case .created: "$JS.EVENT.ADVISORY.CONSUMER.CREATED"
        case .deleted: "$JS.EVENT.ADVISORY.CONSUMER.DELETED"
        case .paused: "$JS.EVENT.ADVISORY.CONSUMER.PAUSE"
        case .pinned: "$JS.EVENT.ADVISORY.CONSUMER.PINNED"
        case .unpinned: "$JS.EVENT.ADVISORY.CONSUMER.UNPINNED"
        case .maxDeliver: "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES"
        case .naked: "$JS.EVENT.ADVISORY.CONSUMER.MSG_NAKED"
        case .terminated: "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED"
        case .acked: "$JS.EVENT.METRIC.CONSUMER.ACK"
        }
    }

    private var type: String {
        switch self {
        case .created, .deleted: "io.nats.jetstream.advisory.v1.consumer_action"
        case .paused: "io.nats.jetstream.advisory.v1.consumer_pause"
        case .pinned: "io.nats.jetstream.advisory.v1.consumer_group_pinned"
        case .unpinned: "io.nats.jetstream.advisory.v1.consumer_group_unpinned"
        case .maxDeliver: "io.nats.jetstream.advisory.v1.max_deliver"
        case .naked: "io.nats.jetstream.advisory.v1.nak"
        case .terminated: "io.nats.jetstream.advisory.v1.terminated"
        case .acked: "io.nats.jetstream.metric.v1.consumer_ack"
        }
    }

    /// Publishes it if anybody listens.
    func publish(account: String, stream: String, consumer: String, _ host: any StreamHost) {
        let subject = Array("\(subject).\(stream).\(consumer)".utf8)
        subject.withUnsafeBytes { view in
            guard host.hasInterest(ByteView(view)) else { return }
            json(account: account, stream: stream, consumer: consumer, host).withUnsafeBytes {
                host.publish(ByteView(view), reply: .empty, headers: .empty, payload: ByteView($0))
            }
        }
    }

    private func json(account: String, stream: String, consumer: String, _ host: any StreamHost) -> [UInt8] {
        var json = JSONWriter()
        json.beginObject()
        json.member("type", type)
        json.member("id", String(decoding: randomText(22, host), as: UTF8.self))
        json.time("timestamp", host.now.wallNs)
        switch self {
        case .pinned, .unpinned: json.optional("account", account)
        default: break
        }
        json.member("stream", stream)
        json.member("consumer", consumer)
        writeRest(&json)
        json.endObject()
        return json.take()
    }

    private func writeRest(_ json: inout JSONWriter) {
        switch self {
        case .created: json.member("action", "create")
        case .deleted: json.member("action", "delete")
        case .paused(let untilNs, let nowNs):
            let until = untilNs ?? Timestamp.zero
            json.member("paused", until > nowNs)
            json.time("pause_until", until)
        case .pinned(let group, let id):
            json.member("group", group)
            json.member("pinned_id", id)
        case .unpinned(let group, let reason):
            json.member("group", group)
            json.member("reason", reason)
        case .maxDeliver(let sequence, let deliveries):
            json.member("stream_seq", sequence)
            json.member("deliveries", deliveries)
        case .naked(let sequence, let delivery, let deliveries):
            writeDelivery(&json, sequence, delivery)
            json.member("deliveries", deliveries)
        case .terminated(let sequence, let delivery, let deliveries, let reason):
            writeDelivery(&json, sequence, delivery)
            json.member("deliveries", deliveries)
            json.optional("reason", reason)
        case .acked(let sequence, let delivery, let deliveries, let afterNs):
            writeDelivery(&json, sequence, delivery)
            json.member("ack_time", afterNs)
            json.member("deliveries", deliveries)
        }
    }

    private func writeDelivery(_ json: inout JSONWriter, _ sequence: UInt64, _ delivery: UInt64) {
        json.member("consumer_seq", delivery)
        json.member("stream_seq", sequence)
    }
}

extension Consumer {
    func advise(_ advisory: ConsumerAdvisory) {
        advisory.publish(account: stream.accountName, stream: streamName, consumer: name, stream.host)
    }

    /// Messages that the stream removed while they were pending count as terminated.
    func tellRemovals(_ now: Instant) {
        guard !removals.isEmpty else { return }
        let told = removals
        removals = []
        for removal in told {
            advise(
                .terminated(
                    sequence: removal.sequence, delivery: removal.delivery, deliveries: UInt64(removal.deliveries),
                    reason: "Unacknowledged message was deleted"))
        }
    }
}
