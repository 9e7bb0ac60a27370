// A stream under test: a real log on a real disk, a clock that stands until it is told to move, commits that finish when the
// test wants them to, and a record of everything that is published.

import Glibc
import Store
import StoreKit
import Testing
import Wire

@testable import Broker

/// Something that a stream has published: an ack, an answer, a republished message.
struct StreamOutput: Equatable, CustomStringConvertible {
    var subject: String
    var headers: String
    var payload: String
    var description: String { "\(subject) \(headers.debugDescription) \(payload)" }
}

final class StreamKit: StreamHost, CommitRunner {
    static let startNs: Int64 = 1_800_000_000_123_456_789
    private(set) var now = Instant(wallNs: startNs, monotonicNs: 1_000_000_000_000)
    var output: [StreamOutput] = []
    /// Subjects that somebody listens to.
    var interests: Set<String> = []
    /// Whoever listens has much to take yet.
    var isCongested = false
    /// Keeps commits until `finishCommits`.
    var holdsCommits = false
    var commitError: DiskError?
    private(set) var commits = 0
    /// Of the last one.
    private(set) var hasSynced = false
    private var jobs: [(CommitJob, (CommitResult) -> Void)] = []
    private var randomState: UInt64 = 0x9E37_79B9_7F4A_7C15
    private let directory = TemporaryDirectory()
    let settings: StreamSettings
    private let disk: any Disk
    private(set) var log: FileLog
    private(set) var stream: Stream!
    private var replies = 0
    private let journal: FileConsumerJournal?
    private(set) lazy var registry = ConsumerRegistry(stream: stream)

    init(
        settings: StreamSettings = StreamSettings(), disk: any Disk = SystemDisk(), keepsConsumers: Bool = false,
        _ configure: (inout StreamConfig) -> Void = { _ in }
    ) throws {
        self.settings = settings
        self.disk = disk
        log = try FileLog.open(directory: directory.path + "/log", disk: disk)
        if keepsConsumers { try disk.makeDirectory(directory.path + "/journal") }
        journal = keepsConsumers ? try FileConsumerJournal.open(directory: directory.path + "/journal", disk: disk).0 : nil
        var config = StreamConfig()
        config.name = "S"
        config.subjects = ["s.>"]
        config.duplicateWindowNs = 120_000_000_000
        configure(&config)
        start(config)
    }

    private func start(_ config: StreamConfig) {
        stream = Stream(
            config: config, createdNs: now.wallNs, log: log, journal: journal, host: self, commits: self, settings: settings)
    }

    /// The broker is killed, and comes back with what the log has on file.
    /// - Parameter advancesFirst: a timer runs out before anything has been read.
    func restart(after seconds: Double = 0, advancesFirst: Bool = false) throws {
        let config = stream.config
        jobs = []
        stream = nil
        log = try FileLog.open(directory: directory.path + "/log", disk: disk)
        now.wallNs += Int64(seconds * 1e9)
        now.monotonicNs += UInt64(seconds * 1e9)
        start(config)
        if advancesFirst { stream.advance() }
        turn()
    }

    // MARK: Turns

    func turn() {
        stream.turnEnded()
        while !holdsCommits, !jobs.isEmpty { finishCommits() }
        read()
    }

    /// Lets the commits that are under way finish, and the turn end in which the stream hears of it.
    func finishCommits() {
        let running = jobs
        jobs = []
        for (job, then) in running {
            let result = job.run()
            then(commitError.map { CommitResult(error: $0) } ?? result)
        }
        stream.turnEnded()
    }

    private func read() {
        while let job = log.beginRead() {
            log.finishRead(job.run())
            stream.turnEnded()
        }
    }

    /// Lets time pass, and the stream act at each of its deadlines on the way.
    func pass(_ seconds: Double) {
        let end = now.monotonicNs + UInt64(seconds * 1e9)
        while let deadline = stream.nextDeadlineNs, deadline <= end {
            // A deadline that has passed already is served now; time moves on a little, so that nothing loops for ever.
            move(to: max(deadline, now.monotonicNs + 1000))
            stream.advance()
            turn()
        }
        move(to: max(end, now.monotonicNs))
    }

    private func move(to monotonicNs: UInt64) {
        now.wallNs += Int64(monotonicNs - now.monotonicNs)
        now.monotonicNs = monotonicNs
    }

    // MARK: Messages

    func send(
        _ subject: String, _ body: String = "", _ headers: KeyValuePairs<String, String> = [:], reply: String = ""
    ) {
        var block = ""
        if !headers.isEmpty {
            block = "NATS/1.0\r\n"
            for (name, value) in headers { block += "\(name): \(value)\r\n" }
            block += "\r\n"
        }
        let payload = Array((block + body).utf8)
        Array(subject.utf8).withUnsafeBytes { subject in
            Array(reply.utf8).withUnsafeBytes { reply in
                payload.withUnsafeBytes { payload in
                    stream.receive(
                        Message(
                            subject: ByteView(subject), reply: ByteView(reply),
                            headerBytes: block.isEmpty ? -1 : block.utf8.count,
                            payload: ByteView(payload), sizes: .empty))
                }
            }
        }
    }

    /// Publishes, ends the turn, and gives what came back to the publisher.
    @discardableResult
    func publish(_ subject: String, _ body: String = "", _ headers: KeyValuePairs<String, String> = [:]) -> String {
        replies += 1
        let reply = "reply.\(replies)"
        send(subject, body, headers, reply: reply)
        turn()
        return output.last { $0.subject == reply }?.payload ?? "none"
    }

    func request(_ call: (Stream) -> (ByteView, @escaping ([UInt8]) -> Void) -> Void, _ body: String = "") -> String {
        var answer = "none"
        Array(body.utf8).withUnsafeBytes { call(stream)(ByteView($0)) { answer = String(decoding: $0, as: UTF8.self) } }
        turn()
        finishAnswers()
        return answer
    }

    func directGet(_ body: String, subject: String = "", headers: String = "") -> [StreamOutput] {
        output = []
        interests.insert("direct")
        Array("$JS.API.DIRECT.GET.S\(subject.isEmpty ? "" : "." + subject)".utf8).withUnsafeBytes { subject in
            Array("direct".utf8).withUnsafeBytes { reply in
                Array((headers + body).utf8).withUnsafeBytes { payload in
                    stream.directGet(
                        Message(
                            subject: ByteView(subject), reply: ByteView(reply),
                            headerBytes: headers.isEmpty ? -1 : headers.utf8.count, payload: ByteView(payload), sizes: .empty))
                }
            }
        }
        turn()
        finishAnswers()
        return output.filter { $0.subject == "direct" }
    }

    /// Has answers that take several turns given to their end, unless commits are held back.
    func finishAnswers() {
        while !holdsCommits, stream.longAnswers.count > 0 { pass(0.000_01) }
    }

    /// What is stored: `sequence subject headers body`, line ends as `|`.
    var stored: [String] {
        var lines: [String] = []
        var sequence = log.state.firstSequence
        while sequence <= log.state.lastSequence && sequence > 0 {
            if case .message(let message) = log.load(sequence) {
                let headers = message.headers.string.replacing("NATS/1.0\r\n", with: "").replacing("\r\n", with: "|")
                lines.append("\(sequence) \(message.subject.string) \(headers.dropLast()) \(message.payload.string)")
            }
            sequence += 1
        }
        return lines
    }

    // MARK: StreamHost

    func random() -> UInt64 {
        randomState ^= randomState << 13
        randomState ^= randomState >> 7
        randomState ^= randomState << 17
        return randomState
    }

    func publish(_ subject: ByteView, reply: ByteView, headers: ByteView, payload: ByteView) {
        output.append(StreamOutput(subject: subject.string, headers: headers.string, payload: payload.string))
    }
    func target(_ subject: [UInt8], queue: [UInt8]) -> DeliveryTarget { DeliveryTarget(subject: subject, queue: queue) }
    func deliver(_ delivery: Delivery, to target: DeliveryTarget) -> Bool {
        guard hasInterest(target) else { return false }
        output.append(
            StreamOutput(
                subject: String(decoding: target.subject, as: UTF8.self), headers: delivery.headers.string,
                payload: delivery.payload.string))
        return true
    }
    func isCongested(_ target: DeliveryTarget) -> Bool { isCongested }
    func hasInterest(_ target: DeliveryTarget) -> Bool { interests.contains(String(decoding: target.subject, as: UTF8.self)) }
    func hasInterest(_ subject: ByteView) -> Bool { interests.contains(subject.string) }
    func watch(_ target: DeliveryTarget, _ changed: @escaping () -> Void) {}
    func unwatch(_ target: DeliveryTarget) {}

    // MARK: CommitRunner

    func run(_ job: CommitJob, then: @escaping (CommitResult) -> Void) {
        commits += 1
        hasSynced = job.syncs
        jobs.append((job, then))
    }
}

/// The code of the error that a publisher or a request was answered with; nil without one.
func errorCode(_ answer: String) -> Int? {
    (try? JSONValue.parse(Array(answer.utf8)))?["error"]?["err_code"]?.int
}

func field(_ answer: String, _ path: String...) -> JSONValue? {
    path.reduce(try? JSONValue.parse(Array(answer.utf8))) { $0?[$1] }
}
