// How a server is asked for order per key: by Bellhop's keys, by partitions as users of nats-server do it, or not at all.

/// The stream, the consumers and what they promise.
enum KeyedPattern: Sendable, Equatable {
    /// One consumer with `bellhop.key`.
    case keyed
    /// A subject transform by `partition()`, and for each partition a consumer with `max_ack_pending` 1.
    case partitions(Int)
    /// One consumer without keys: no order.
    case plain

    var title: String {
        switch self {
        case .keyed: return "keyed"
        case .partitions(let count): return "\(count) partitions"
        case .plain: return "without keys"
        }
    }

    var keepsOrder: Bool { self != .plain }

    /// Whether the server knows `bellhop.key`: it says so in its reply. A plain server takes the metadata and ignores it.
    static func knowsKeys(_ api: StreamAPI) throws -> Bool {
        try api.createStream("ASK", subjects: ["ask.>"], [.init("storage", .string("memory"))])
        let reply = try api.createConsumer("c", on: "ASK", [KeyedPattern.metadata([])])
        try api.request("STREAM.DELETE.ASK")
        return reply["config"]?["metadata"]?["bellhop.level"]?.string != nil
    }

    /// Makes the stream, which takes `<prefix>.<key>.confirmed`.
    func createStream(_ name: String, prefix: String, _ api: StreamAPI) throws {
        var more: [JSON.Member] = []
        if case .partitions(let count) = self {
            more.append(
                .init(
                    "subject_transform",
                    .object([
                        .init("src", .string("\(prefix).*.confirmed")),
                        .init(
                            "dest", .string("\(prefix).{{partition(\(count),1)}}.{{wildcard(1)}}.confirmed")),
                    ])))
        }
        try api.createStream(name, subjects: [prefix + ".>"], more)
    }

    /// Makes the consumers and returns their names.
    func createConsumers(
        on stream: String, prefix: String, ackWaitNs: UInt64, deliveriesMax: Int, _ metadata: [JSON.Member], _ api: StreamAPI
    ) throws -> [String] {
        var count = 1
        if case .partitions(let partitions) = self { count = partitions }
        return try (0..<count).map { number in
            var more: [JSON.Member] = [
                .init("ack_wait", .number(Double(ackWaitNs))), .init("max_deliver", .number(deliveriesMax)),
                .init("max_waiting", .number(4_096)),
            ]
            switch self {
            case .keyed: more += [PullConsume.maxAckPending, KeyedPattern.metadata(metadata)]
            case .plain: more.append(PullConsume.maxAckPending)
            case .partitions:
                more.append(.init("max_ack_pending", .number(1)))
                more.append(.init("filter_subject", .string("\(prefix).\(number).*.confirmed")))
            }
            let name = WorkerPool.name(number)
            try api.createConsumer(name, on: stream, more)
            return name
        }
    }

    private static func metadata(_ more: [JSON.Member]) -> JSON.Member {
        .init("metadata", .object([.init("bellhop.key", .string("token:2"))] + more))
    }
}
