// A follower and the stream it works for: what it asks its origin for, what it stores, and what makes it begin again. The origin
// is played by the test; streams, logs and clocks are the real ones.

import Store
import Testing
import Wire

@testable import Broker

private final class OriginHost: OriginFollowerHost {
    let kit: StreamKit
    var requests: [OriginRequest] = []
    var answer: Result<OriginConsumer, APIError> = .failure(.streamNotFound)
    var published: [String] = []
    var detached: [String] = []
    private var listeners: [String: (Message) -> Void] = [:]

    init(_ kit: StreamKit) { self.kit = kit }

    var now: Instant { kit.now }
    func random() -> UInt64 { kit.random() }
    func touch() {}
    func publish(_ subject: ByteView, reply: ByteView, headers: ByteView, payload: ByteView) {
        published.append("\(subject.string) \(headers.string)")
    }
    func reaches(_ external: ExternalStreamConfig) -> Bool { false }
    func attach(_ request: OriginRequest, _ answer: @escaping (Result<OriginConsumer, APIError>) -> Void) {
        requests.append(request)
        answer(self.answer)
    }
    func detach(_ consumer: OriginConsumer) { detached.append(consumer.name) }
    func listen(_ subject: String, _ received: @escaping (Message) -> Void) { listeners[subject] = received }
    func unlisten(_ subject: String) { listeners[subject] = nil }

    /// Sends something to where the last request wants it; false if nobody listens there any more.
    @discardableResult
    func send(_ subject: String, reply: String, headers: String = "", body: String = "") -> Bool {
        guard let listener = requests.last.flatMap({ listeners[$0.config.deliverSubject] }) else { return false }
        Array(subject.utf8).withUnsafeBytes { subject in
            Array(reply.utf8).withUnsafeBytes { reply in
                Array((headers + body).utf8).withUnsafeBytes { payload in
                    listener(
                        Message(
                            subject: ByteView(subject), reply: ByteView(reply),
                            headerBytes: headers.isEmpty ? -1 : headers.utf8.count, payload: ByteView(payload), sizes: .empty))
                }
            }
        }
        return true
    }

    func deliver(_ sequence: UInt64, as delivery: UInt64, _ subject: String = "o.a", _ body: String = "x", pending: Int = 0) {
        send(
            subject, reply: "$JS.ACK.O.C.1.\(sequence).\(delivery).\(1_700_000_000_000_000_000 + sequence).\(pending)",
            body: body)
    }

    func heartbeat(_ delivered: UInt64, stalled: String? = nil) {
        let stall = stalled.map { "Nats-Consumer-Stalled: \($0)\r\n" } ?? ""
        send(
            "x", reply: "",
            headers: "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: \(delivered)\r\nNats-Last-Stream: 9\r\n\(stall)\r\n")
    }
}

/// A stream with its followers; turns and time as the runtime lets them pass.
private final class Following {
    let kit: StreamKit
    let host: OriginHost
    private(set) var origins: StreamOrigins

    init(_ configure: (inout StreamConfig) -> Void) throws {
        kit = try StreamKit {
            $0.subjects = []
            configure(&$0)
        }
        host = OriginHost(kit)
        origins = StreamOrigins(kit.stream, account: "$G", host: host)
    }

    static func attached(delivered: UInt64 = 0, identity: String = "first") -> Result<OriginConsumer, APIError> {
        .success(
            OriginConsumer(
                serial: 1, loop: 0, name: "C", identity: identity, delivered: delivered, pending: 0, isTemporary: true))
    }

    func turn() {
        origins.turnEnded()
        kit.turn()
        origins.turnEnded()
    }

    func pass(_ seconds: Double) {
        kit.pass(seconds)
        origins.advance()
        turn()
    }

    func restart() throws {
        try kit.restart()
        origins = StreamOrigins(kit.stream, account: "$G", host: host)
    }

    var source: StreamSourceInfo? { kit.stream.info().sources.first }
}

@Suite struct SourceFollowerTests {
    @Test func sourcesStoreWithAHeader() throws {
        let following = try Following { $0.sources = [StreamSourceConfig(name: "O", startSequence: 3)] }
        following.host.answer = Following.attached()
        following.turn()
        let request = try #require(following.host.requests.first)
        #expect(request.origin == "O" && request.config.direct && request.config.flowControl && request.identity.isEmpty)
        #expect(request.config.deliverPolicy == .byStartSequence && request.config.startSequence == 3)
        following.host.deliver(3, as: 1, pending: 4)
        following.host.deliver(5, as: 2, pending: 3)
        following.turn()
        #expect(
            following.kit.stored == [
                "1 o.a Nats-Stream-Source: O 3 > > o.a first| x", "2 o.a Nats-Stream-Source: O 5 > > o.a first| x",
            ])
        #expect(following.source?.lag == 3 && following.source?.sequence == 5 && following.source?.activeNs == 0)
    }

    @Test func mirrorsKeepSequencesAndTimes() throws {
        let following = try Following { $0.mirror = StreamSourceConfig(name: "O") }
        following.host.answer = Following.attached(delivered: 6)
        following.turn()
        following.host.deliver(7, as: 1)
        following.host.deliver(9, as: 2)
        following.turn()
        let state = following.kit.log.state
        #expect(state.firstSequence == 7 && state.lastSequence == 9 && state.messages == 2)
        #expect(state.lastTimeNs == 1_700_000_000_000_000_009)
    }

    @Test func aGapBeginsAgain() throws {
        let following = try Following { $0.sources = [StreamSourceConfig(name: "O")] }
        following.host.answer = Following.attached()
        following.turn()
        following.host.deliver(1, as: 1)
        following.host.deliver(4, as: 3)
        #expect(following.host.detached == ["C"] && !following.host.send("o", reply: ""))
        following.turn()
        following.pass(1)
        #expect(following.host.requests.count == 2)
        #expect(following.host.requests[1].config.startSequence == 2 && following.host.requests[1].identity == "first")
        // What an earlier consumer sends is not heard, nor what has been taken already.
        following.host.deliver(1, as: 1)
        following.host.deliver(2, as: 2)
        following.turn()
        #expect(following.kit.log.state.messages == 2 && following.source?.sequence == 2)
    }

    @Test func silenceAndMissedDeliveriesBeginAgain() throws {
        let following = try Following { $0.sources = [StreamSourceConfig(name: "O")] }
        following.host.answer = Following.attached()
        following.turn()
        following.host.deliver(1, as: 1)
        following.pass(2)
        following.host.heartbeat(1)
        following.pass(2)
        #expect(following.host.requests.count == 1)
        following.pass(1.5)
        following.pass(0.5)
        #expect(following.host.requests.count == 2)
        following.host.heartbeat(7)
        following.pass(0.7)
        #expect(following.host.requests.count == 3)
    }

    @Test func flowControlIsAnsweredWhenStored() throws {
        let following = try Following { $0.sources = [StreamSourceConfig(name: "O")] }
        following.host.answer = Following.attached()
        following.turn()
        following.kit.holdsCommits = true
        following.host.deliver(1, as: 1)
        following.host.send("x", reply: "$JS.FC.O.C.abcd", headers: "NATS/1.0 100 FlowControl Request\r\n\r\n")
        following.host.heartbeat(1, stalled: "$JS.FC.O.C.abcd")
        following.turn()
        #expect(following.host.published.isEmpty)
        following.kit.finishCommits()
        #expect(
            following.host.published == ["$JS.FC.O.C.abcd NATS/1.0\r\nNats-Last-Consumer: 1\r\nNats-Last-Stream: 1\r\n\r\n"])
    }

    @Test func missingOriginsAreWaitedFor() throws {
        let following = try Following { $0.sources = [StreamSourceConfig(name: "O")] }
        following.turn()
        #expect(following.source?.error == .streamNotFound && following.source?.activeNs == -1)
        for _ in 0..<20 { following.pass(1.1) }
        #expect(following.host.requests.count >= 15)
        following.host.answer = Following.attached()
        following.pass(1.2)
        #expect(following.source?.error == nil && following.source?.activeNs != -1)
    }

    @Test func anotherStreamOfThatNameIsTakenWhole() throws {
        let following = try Following { $0.sources = [StreamSourceConfig(name: "O")] }
        following.host.answer = Following.attached()
        following.turn()
        following.host.deliver(5, as: 1)
        following.turn()
        following.host.answer = .failure(.consumerStreamIdentityMismatch("other"))
        following.pass(4)
        following.pass(1)
        #expect(following.host.requests.last?.identity == "first")
        following.host.answer = Following.attached(identity: "other")
        following.pass(1)
        let request = try #require(following.host.requests.last)
        #expect(request.identity.isEmpty && request.config.deliverPolicy == .all)
        following.host.deliver(1, as: 1)
        following.turn()
        #expect(following.kit.stored.last == "2 o.a Nats-Stream-Source: O 1 > > o.a other| x")
    }

    @Test func refusedMessagesAreTriedAgain() throws {
        let following = try Following {
            $0.sources = [StreamSourceConfig(name: "O")]
            $0.maxMessages = 1
            $0.discard = .new
        }
        following.host.answer = Following.attached()
        following.turn()
        following.host.deliver(1, as: 1)
        following.host.deliver(2, as: 2)
        following.turn()
        #expect(following.source?.error?.errorCode == 10077 && following.source?.sequence == 1)
        following.pass(1)
        #expect(following.host.requests.last?.config.startSequence == 2)
    }

    @Test func restartsGoOnBehindTheLastHeaders() throws {
        let filtered = StreamSourceConfig(name: "O", filterSubject: "o.b")
        let following = try Following { $0.sources = [StreamSourceConfig(name: "P"), filtered] }
        following.host.answer = Following.attached()
        following.turn()
        // The second source's consumer was asked for last.
        following.host.deliver(8, as: 1, "o.b")
        following.turn()
        for number in 0..<5_000 { following.kit.send("own.\(number)") }
        following.turn()
        try following.restart()
        following.host.requests = []
        for _ in 0..<10 { following.turn() }
        let starts = following.host.requests.map { "\($0.origin) \($0.config.startSequence) \($0.identity)" }
        #expect(starts == ["P 0 ", "O 9 first"])
    }

    @Test func transformsChooseSubjects() throws {
        let following = try Following {
            var source = StreamSourceConfig(name: "O")
            source.subjectTransforms = [
                SubjectTransformConfig(source: "o.*", destination: "u.$1"),
                SubjectTransformConfig(source: "p.>", destination: ""),
            ]
            $0.sources = [source]
            $0.subjectTransform = SubjectTransformConfig(source: "u.>", destination: "w.>")
        }
        following.host.answer = Following.attached()
        following.turn()
        #expect(following.host.requests.first?.config.filterSubjects == ["o.*", "p.>"])
        following.host.deliver(1, as: 1, "o.a")
        following.host.deliver(2, as: 2, "p.q.r")
        following.turn()
        #expect(following.kit.stored.map { $0.split(separator: " ")[1] } == ["w.a", "p.q.r"])
    }

    @Test func updatesAddAndRemoveSources() throws {
        let following = try Following { $0.sources = [StreamSourceConfig(name: "O")] }
        following.host.answer = Following.attached()
        following.turn()
        following.host.deliver(1, as: 1)
        following.turn()
        var config = following.kit.stream.config
        config.sources = [StreamSourceConfig(name: "P")]
        following.kit.stream.update(config)
        following.origins.update()
        following.turn()
        #expect(following.host.detached == ["C"] && following.host.requests.last?.origin == "P")
        config.sources = [StreamSourceConfig(name: "O"), StreamSourceConfig(name: "P")]
        following.kit.stream.update(config)
        following.origins.update()
        following.turn()
        #expect(following.host.requests.last?.origin == "O" && following.host.requests.last?.config.startSequence == 2)
        #expect(following.host.requests.count == 3)
    }
}
