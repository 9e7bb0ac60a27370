// A broker in the test process that keeps streams in a directory of its own, and a client that asks it things.

import Glibc
import Store
import StoreKit
import Testing

@testable import Broker

final class StreamBroker {
    private let temporary = TemporaryDirectory()
    var directory: String { temporary.path }
    let test: TestBroker
    let client: RawClient
    private var requests = 0

    /// - Parameter prepare: may put something into the store directory before the broker looks at it.
    init(
        loops: Int = 1, _ configure: (inout Options) -> Void = { _ in }, prepare: (String) throws -> Void = { _ in }
    ) throws {
        let path = temporary.path
        try prepare(path)
        test = try TestBroker(loops: loops) { options in
            options.jetStream.isEnabled = true
            options.jetStream.storeDirectory = path
            configure(&options)
        }
        let accounts: [Int?] = test.onEveryLoop { $0.streams?.shared.accounts.first?.home }
        client = try test.connect(loop: (accounts.first ?? 0) ?? 0)
        try client.hello()
        try client.send("SUB in.* 1\r\n")
        try client.roundTrip()
    }

    deinit {
        client.close()
        test.stop()
    }

    /// Of the account that clients without a name are in.
    var account: String { directory + "/jetstream/$G" }

    var jetStream: JetStream {
        get throws {
            let found: [JetStream?] = test.onEveryLoop { $0.streams?.shared }
            guard let first = found.first, let first else { throw TestFailure("no streams") }
            return first
        }
    }

    // MARK: Clients

    /// - Returns: the subject that the answer will come to.
    @discardableResult
    func send(_ subject: String, _ body: String = "") throws -> String {
        requests += 1
        try client.send("PUB \(subject) in.\(requests) \(body.utf8.count)\r\n\(body)\r\n")
        return "in.\(requests)"
    }

    func answer(to reply: String) throws -> String {
        while true {
            let operation = try client.next()
            guard let payload = operation.payload, operation.line.contains(" \(reply) ") else { continue }
            return String(decoding: payload, as: UTF8.self)
        }
    }

    @discardableResult
    func request(_ subject: String, _ body: String = "") throws -> String { try answer(to: try send(subject, body)) }

    @discardableResult
    func api(_ subject: String, _ body: String = "") throws -> String { try request("$JS.API." + subject, body) }

    func createStream(_ name: String = "S", _ more: String = "") throws -> String {
        try api("STREAM.CREATE.\(name)", #"{"name":"\#(name)","subjects":["\#(name.lowercased()).>"]\#(more)}"#)
    }

    @discardableResult
    func send(_ subject: String, bytes: [UInt8]) throws -> String {
        requests += 1
        try client.send(Array("PUB \(subject) in.\(requests) \(bytes.count)\r\n".utf8) + bytes + [13, 10])
        return "in.\(requests)"
    }

    func request(_ subject: String, bytes: [UInt8]) throws -> String { try answer(to: try send(subject, bytes: bytes)) }

    // MARK: Threads

    /// Restores that have not ended.
    var underWay: Int {
        get throws { test.onEveryLoop { $0.streams?.admin.lifecycle.restoresUnderWay.count ?? 0 }.reduce(0, +) }
    }

    /// What needs a file thread waits, from now on until the gate opens.
    func holdFileThreads() throws -> Gate {
        let gate = Gate(), shared = try jetStream
        for _ in 0..<4 { shared.fileThreads.run { gate.pass() } }
        guard gate.holds(4) else { throw TestFailure("the file threads do not come") }
        return gate
    }
}
