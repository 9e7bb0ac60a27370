// Helpers for tests of keyed consumers: workers that take leases and answer them, and operators.

import Testing
import Wire

@testable import Broker

extension ConsumerFixture {
    /// A consumer keyed by the second token of `s.<key>.<rest>`, with short waits.
    func createKeyed(
        _ name: String = "c", _ metadata: [String: String] = [:], _ change: (inout ConsumerConfig) -> Void = { _ in }
    ) throws -> Consumer {
        try create(name) { config in
            config.metadata = ["bellhop.key": "token:2"].merging(metadata) { $1 }
            config.ackWaitNs = 1_000_000_000
            change(&config)
        }
    }

    /// Asks for messages without waiting, and takes what comes.
    func lease(_ consumer: Consumer, _ batch: Int = 100, client: UInt64 = 0, reply: String = "inbox") -> [Sent] {
        if !interests.contains(reply) { interests.append(reply) }
        let body = #"{"batch":\#(batch),"no_wait":true}"#
        send(body, to: "$JS.API.CONSUMER.MSG.NEXT.S.\(consumer.name)", reply: reply) {
            consumer.receive(next: $0, from: client)
        }
        endTurn()
        endTurn()
        // What is not there now is not waited for.
        consumer.forEachRequest { consumer.requests.remove($0) }
        return taken().filter { $0.reference != nil }
    }

    /// Sends a key command, and returns its answer.
    func command(_ consumer: Consumer, _ operation: KeyOperation, _ body: String = "{}") -> JSONValue {
        var answer: [UInt8] = []
        Array(body.utf8).withUnsafeBytes { bytes in
            consumer.keyed?.handle(operation, ByteView(bytes)) { answer = $0 }
        }
        endTurn()
        endTurn()
        return (try? JSONValue.parse(answer)) ?? .null
    }

    func errorCode(_ reply: JSONValue) -> Int? { reply.object?["error"]?.object?["err_code"]?.int64.map { Int($0) } }

    /// Parks a key's message by terminating it.
    func park(_ consumer: Consumer, _ delivery: Sent) {
        ack(consumer, delivery, "+TERM broken")
        endTurn()
    }

    /// Versions of what is parked, by key.
    func parked(_ consumer: Consumer) -> [String: UInt64] {
        var found: [String: UInt64] = [:]
        for key in command(consumer, .list).object?["keys"]?.array ?? [] {
            guard let name = key.object?["key"]?.string, let version = key.object?["version"]?.int64 else { continue }
            found[name] = UInt64(version)
        }
        return found
    }
}

extension [Sent] {
    var sequences: [UInt64] { compactMap(\.sequence) }
}

/// What a client holds.
struct StoredLease {
    var sequence: UInt64
    var deliveries: UInt64
    var reply: String
}

extension [StoredLease] {
    var sequences: [UInt64] { map(\.sequence) }
}

extension StoredStream {
    /// A consumer keyed by the second token of `s.<key>.<rest>`.
    func createKeyed(
        _ metadata: [String: String] = [:], _ change: (inout ConsumerConfig) -> Void = { _ in }
    ) -> Consumer {
        create("C") { config in
            config.metadata = ["bellhop.key": "token:2"].merging(metadata) { $1 }
            config.ackWaitNs = 60_000_000_000
            config.maxDeliver = -1
            config.maxWaiting = 512
            change(&config)
        }
    }

    /// Asks for messages without waiting, and takes what comes.
    func lease(_ consumer: Consumer, _ count: Int = 100) -> [StoredLease] {
        let start = output.count
        message("next", #"{"batch":\#(count),"no_wait":true}"#, reply: "inbox") { consumer.receive(next: $0) }
        turn()
        consumer.forEachRequest { consumer.requests.remove($0) }
        return output[start...].compactMap { sent in
            guard sent.subject == "inbox" else { return nil }
            let reference = Array(sent.reply.utf8).withUnsafeBytes { AckReference(ByteView($0)) }
            return reference.map { StoredLease(sequence: $0.sequence, deliveries: $0.deliveries, reply: sent.reply) }
        }
    }

    /// Answers a lease.
    func say(_ consumer: Consumer, _ lease: StoredLease, _ body: String = "") {
        message(lease.reply, body) { consumer.receive(ack: $0) }
        turn()
    }

    /// Sends a key command. - Returns: its answer; null while there is none.
    func command(_ consumer: Consumer, _ operation: KeyOperation, _ body: String = "{}") -> JSONValue {
        var answer: [UInt8] = []
        Array(body.utf8).withUnsafeBytes { bytes in
            consumer.keyed?.handle(operation, ByteView(bytes)) { answer = $0 }
        }
        turn()
        return (try? JSONValue.parse(answer)) ?? .null
    }

    /// Versions of what is parked, by key.
    func parked(_ consumer: Consumer) -> [String: Int] {
        var found: [String: Int] = [:]
        for key in command(consumer, .list)["keys"]?.array ?? [] {
            guard let name = key["key"]?.string, let version = key["version"]?.int else { continue }
            found[name] = version
        }
        return found
    }

    /// Whether something was told on a subject, since the last time that this was asked.
    func wasTold(_ subject: String, _ text: String = "") -> Bool {
        defer { output.removeAll { $0.subject == subject } }
        return output.contains { $0.subject == subject && $0.payload.contains(text) }
    }
}
