// What a stream does for its consumers: it shows them what is durable, and what has come from the disk.

import Store
import Testing
import Wire

@testable import Broker

@Suite struct StreamConsumerTests {
    /// A pull consumer whose messages go to `inbox`.
    static func consumer(_ kit: StreamKit, _ name: String = "c", filter: String = "", ackWaitNs: Int64 = 0) -> Consumer {
        var config = ConsumerConfig()
        config.durable = name
        config.name = name
        config.ackPolicy = .explicit
        config.filterSubject = filter
        config.maxAckPending = 1000
        config.maxWaiting = 512
        if ackWaitNs > 0 { config.ackWaitNs = ackWaitNs }
        return kit.registry.create(config)
    }

    static func pull(_ consumer: Consumer, _ batch: Int, inbox: String = "inbox", _ kit: StreamKit) {
        kit.interests.insert(inbox)
        Array("\(batch)".utf8).withUnsafeBytes { body in
            Array(inbox.utf8).withUnsafeBytes { consumer.pull(ByteView(body), reply: ByteView($0)) }
        }
    }

    @Test func deliversWhatTheDiskMustBeAskedFor() throws {
        let kit = try StreamKit(disk: ColdDisk())
        for number in 0..<40 { kit.publish("s.\(number)", "m\(number)") }
        let consumer = Self.consumer(kit)
        kit.output = []
        Self.pull(consumer, 40, kit)
        kit.turn()
        #expect(kit.output.map(\.payload) == (0..<40).map { "m\($0)" })
    }

    /// An ack is written at once and synced soon; one that asks for an answer is synced before it.
    @Test func syncsAcksThatSomebodyWaitsFor() throws {
        let kit = try StreamKit(keepsConsumers: true)
        for number in 0..<3 { kit.publish("s.\(number)") }
        let consumer = Self.consumer(kit)
        kit.turn()
        Self.pull(consumer, 3, kit)
        kit.turn()
        #expect(kit.output.count { $0.subject == "inbox" } == 3)
        func ack(_ sequence: Int, reply: String) {
            Array("$JS.ACK.S.c.1.\(sequence).\(sequence).0.0".utf8).withUnsafeBytes { subject in
                Array(reply.utf8).withUnsafeBytes { reply in
                    consumer.receive(
                        ack: Message(
                            subject: ByteView(subject), reply: ByteView(reply), headerBytes: -1, payload: .empty,
                            sizes: .empty))
                }
            }
            kit.turn()
        }
        func isAnswered(_ reply: String) -> Bool { kit.output.contains { $0.subject == reply } }
        ack(1, reply: "")
        #expect(!kit.hasSynced)
        let commits = kit.commits
        // Repeated with a wish for an answer: nothing is new, and yet it has to be synced first.
        kit.holdsCommits = true
        ack(1, reply: "answer.1")
        #expect(kit.commits == commits + 1 && kit.hasSynced && !isAnswered("answer.1"))
        kit.holdsCommits = false
        kit.finishCommits()
        #expect(isAnswered("answer.1"))
        ack(2, reply: "answer.2")
        #expect(kit.hasSynced && isAnswered("answer.2"))
        ack(3, reply: "")
        #expect(!kit.hasSynced)
        kit.pass(0.2)
        #expect(kit.hasSynced && kit.stream.nextDeadlineNs == nil)
    }

    /// A rewrite of the journal syncs what redeliveries wait for, and leaves nothing to sync after it.
    @Test func redeliversAfterTheJournalIsRewritten() throws {
        let kit = try StreamKit(keepsConsumers: true)
        let count = 200
        for _ in 0..<count { kit.send("s.a") }
        kit.turn()
        let consumer = Self.consumer(kit, ackWaitNs: 1_000_000_000)
        Self.pull(consumer, count, kit)
        kit.turn()
        // As many deliveries as make the journal's history worth a rewrite, more than once.
        for round in 1...200 {
            // In an order that cannot be written down in few bytes.
            for place in 0..<count {
                let sequence = place * 77 % count + 1
                Array("$JS.ACK.S.c.1.\(sequence).\(sequence).0.0".utf8).withUnsafeBytes { subject in
                    Array("-NAK".utf8).withUnsafeBytes { body in
                        consumer.receive(
                            ack: Message(
                                subject: ByteView(subject), reply: .empty, headerBytes: -1, payload: ByteView(body),
                                sizes: .empty))
                    }
                }
            }
            kit.output = []
            Self.pull(consumer, count, kit)
            kit.turn()
            Self.pull(consumer, count, kit)
            kit.pass(1.5)
            try #require(kit.output.count { $0.subject == "inbox" } == 2 * count, "round \(round)")
        }
    }

    /// What an update of the stream makes too old is not delivered any more.
    @Test func anUpdateTakesOutBeforeConsumersDeliver() throws {
        let kit = try StreamKit(keepsConsumers: true)
        kit.publish("s.old")
        kit.pass(60)
        kit.publish("s.new")
        let consumer = Self.consumer(kit)
        var config = kit.stream.config
        config.maxAgeNs = 30_000_000_000
        Self.pull(consumer, 10, kit)
        kit.stream.update(config)
        kit.turn()
        #expect(kit.output.count { $0.subject == "inbox" } == 1 && kit.log.state.firstSequence == 2)
    }
}

/// A disk whose cache never has anything: every read is one that waits.
struct ColdDisk: Disk {
    private let disk = SystemDisk()

    func makeDirectory(_ path: String) throws(DiskError) { try disk.makeDirectory(path) }
    func list(_ path: String) throws(DiskError) -> [String] { try disk.list(path) }
    func open(_ path: String, create: Bool) throws(DiskError) -> any DiskFile {
        ColdFile(file: try disk.open(path, create: create))
    }
    func rename(_ source: String, to target: String) throws(DiskError) { try disk.rename(source, to: target) }
    func remove(_ path: String) throws(DiskError) { try disk.remove(path) }
    func removeDirectory(_ path: String) throws(DiskError) { try disk.removeDirectory(path) }
    func syncDirectory(_ path: String) throws(DiskError) { try disk.syncDirectory(path) }
    func availableBytes(_ path: String) throws(DiskError) -> UInt64 { try disk.availableBytes(path) }
}

private final class ColdFile: DiskFile {
    private let file: any DiskFile
    var path: String { file.path }

    init(file: any DiskFile) { self.file = file }

    func size() throws(DiskError) -> Int { try file.size() }
    func read(_ target: UnsafeMutableRawPointer, _ count: Int, at offset: Int) throws(DiskError) -> Int {
        try file.read(target, count, at: offset)
    }
    func readCached(_ target: UnsafeMutableRawPointer, _ count: Int, at offset: Int) throws(DiskError) -> Int? { nil }
    func write(_ source: UnsafeRawPointer, _ count: Int, at offset: Int) throws(DiskError) -> Int {
        try file.write(source, count, at: offset)
    }
    func allocate(_ bytes: Int) throws(DiskError) { try file.allocate(bytes) }
    func truncate(_ bytes: Int) throws(DiskError) { try file.truncate(bytes) }
    func sync() throws(DiskError) { try file.sync() }
}
