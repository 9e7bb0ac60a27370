// The JetStream API as a workload needs it: a JSON request, a JSON answer, and an error where the server refuses.

import Glibc

/// Makes streams and consumers and asks about them, one request at a time. Belongs to one thread.
final class StreamAPI {
    let pipe: MessagePipe
    private var number = 0
    private let inbox = "_INBOX.bellhopbenchapi"

    init(_ target: Target) throws {
        pipe = try MessagePipe(target)
        pipe.queue("SUB \(inbox).* 1\r\n")
        try pipe.settle()
    }

    /// Asks `$JS.API.<subject>`, or another service's. An answer with `error` is thrown.
    @discardableResult
    func request(_ subject: String, _ body: JSON? = nil, of service: String = "$JS.API") throws -> JSON {
        number += 1
        let reply = "\(inbox).\(number)"
        let text = body?.text ?? ""
        pipe.queue("PUB \(service).\(subject) \(reply) \(text.utf8.count)\r\n\(text)\r\n")
        try pipe.flush()
        var answer: String?
        let wanted = Array(reply.utf8)
        while answer == nil {
            try pipe.wait(for: "no answer to \(service).\(subject)")
            try pipe.receive { message in
                guard message.subject == wanted else { return }
                if message.status == 503 { throw BenchError.refused("JetStream is not enabled: start it with -js") }
                answer = message.payload.text
            }
            try pipe.flush()
        }
        guard let json = JSON(parsing: answer ?? "") else {
            throw BenchError.mismatch("\(service).\(subject) answered \(JSON.quoted(answer ?? ""))")
        }
        if let error = json["error"] {
            throw BenchError.refused("\(service).\(subject): \(error["description"]?.string ?? error.text)")
        }
        return json
    }

    /// Makes a file stream; `more` adds to its configuration.
    func createStream(_ name: String, subjects: [String], _ more: [JSON.Member] = []) throws {
        let configuration: [JSON.Member] = [
            .init("name", .string(name)), .init("subjects", .array(subjects.map { .string($0) })),
            .init("storage", .string("file")), .init("retention", .string("limits")),
        ]
        try request("STREAM.CREATE.\(name)", .object(configuration + more))
    }

    /// Makes a durable pull consumer with explicit acks; `more` adds to its configuration.
    @discardableResult
    func createConsumer(_ name: String, on stream: String, _ more: [JSON.Member] = []) throws -> JSON {
        let configuration: [JSON.Member] = [
            .init("durable_name", .string(name)), .init("ack_policy", .string("explicit")),
            .init("deliver_policy", .string("all")),
        ]
        return try request(
            "CONSUMER.CREATE.\(stream).\(name)",
            .object([.init("stream_name", .string(stream)), .init("config", .object(configuration + more))]))
    }

    /// How many messages a stream says it holds.
    func messages(in stream: String) throws -> Int {
        Int(try request("STREAM.INFO.\(stream)")["state"]?["messages"]?.number ?? -1)
    }

    /// Fails unless the stream holds exactly `count` messages.
    func expect(_ count: Int, in stream: String) throws {
        let found = try messages(in: stream)
        guard found == count else {
            throw BenchError.mismatch("\(stream) holds \(found) messages after \(count) acks")
        }
    }

    /// Waits until every message of the consumer has been delivered once and acked; fails where that does not come.
    /// A server may take plain acks after it answers a PING.
    func expectDone(_ consumer: String, on stream: String) throws {
        let deadline = Clock.nowNs() + 10_000_000_000
        while true {
            let info = try request("CONSUMER.INFO.\(stream).\(consumer)")
            let left = ["num_pending", "num_ack_pending", "num_redelivered"].map { Int(info[$0]?.number ?? -1) }
            if left == [0, 0, 0] { return }
            guard Clock.nowNs() < deadline, left[2] == 0 else {
                throw BenchError.mismatch(
                    "consumer \(consumer) at its end: \(left[0]) pending, \(left[1]) without ack, \(left[2]) redelivered")
            }
            Clock.sleep(ms: 10)
        }
    }
}

@available(*, unavailable)
extension StreamAPI: Sendable {}
