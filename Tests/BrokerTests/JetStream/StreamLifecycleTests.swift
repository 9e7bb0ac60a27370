// Streams that come and go in a whole broker: names, files and requests.

import Glibc
import Store
import StoreKit
import Synchronization
import Testing
import Wire

@testable import Broker

@Suite struct StreamLifecycleTests {
    /// An application that makes its stream at its start wiped one that the broker could not open at the moment.
    @Test func aStreamThatCannotBeOpenedKeepsItsNameAndItsFiles() throws {
        let broker = try StreamBroker { _ in
        } prepare: { directory in
            let disk = SystemDisk(), account = directory + "/jetstream/$G"
            for name in ["S", "T"] {
                var config = StoredStream.config()
                config.name = name
                try JetStream.makeDirectories(account, disk)
                _ = try StreamFiles.create(StreamDefinition(config: config, createdNs: 1), in: account, disk)
            }
            let file = try disk.open(account + "/streams/S/definition", create: false)
            try file.writeAll(Array(repeating: 0, count: try file.size()), at: 0)
        }
        for request in ["STREAM.CREATE.S", "STREAM.UPDATE.S", "STREAM.RESTORE.S"] {
            let answer = try broker.api(request, #"{"name":"S","subjects":["other"]}"#)
            #expect(errorCode(answer) == 10194 && answer.contains("damaged"), "\(request): \(answer)")
        }
        for request in ["STREAM.INFO.S", "STREAM.DELETE.S"] { #expect(errorCode(try broker.api(request)) == 10194) }
        #expect(try SystemDisk().list(broker.account + "/streams/S").contains("log"))
        #expect(errorCode(try broker.api("STREAM.INFO.T")) == nil)
        #expect(errorCode(try broker.createStream("U")) == nil)
    }

    @Test func creationAndRestoreNeverReplaceAStream() throws {
        let disk = try StoredStream.makeDisk()
        let kit = try StoredStream(creating: StoredStream.config(), on: disk)
        kit.publish("s.a", "kept")
        let definition = StreamDefinition(config: StoredStream.config(), createdNs: 2)
        #expect(throws: StoreError.self) { try StreamFiles.create(definition, in: StoredStream.account, disk) }
        let restored = try StreamFiles.beginRestore(1, in: StoredStream.account, disk)
        #expect(throws: StoreError.self) {
            try StreamFiles.adopt(restored.directory, definition, in: StoredStream.account, disk)
        }
        #expect(try #require(try StoredStream(on: disk.copy())).contents == [1: "kept"])
        // Nothing can be read: nothing may be deleted.
        disk.inject(.error(5), fromCall: disk.calls)
        #expect(throws: StoreError.self) { try StreamFiles.create(definition, in: StoredStream.account, disk) }
        disk.clearFaults()
        #expect(try #require(try StoredStream(on: disk.copy())).contents == [1: "kept"])
    }

    /// Maintenance that was still under way removed a file of the next stream of that name.
    @Test func aStreamIsDeletedWhenNothingWorksWithItsFilesAnyMore() throws {
        let broker = try StreamBroker()
        #expect(errorCode(try broker.createStream()) == nil)
        let gate = try broker.holdFileThreads()
        // Half of the first segment is full: the next one is to be prepared, by a thread that does not come.
        for _ in 0..<12 { _ = try broker.request("s.x", String(repeating: "x", count: 4_000)) }
        let isClosed = Flag()
        _ = broker.test.onEveryLoop { router in
            guard let streams = router.streams, let serial = streams.streams.keys.first else { return }
            streams.close(serial) { isClosed.set() }
        }
        for _ in 0..<5 { _ = broker.test.onEveryLoop { _ in true } }
        #expect(!isClosed.isSet)
        gate.open()
        #expect(eventually { isClosed.isSet })
    }

    private final class Flag: Sendable {
        private let value = Atomic<Bool>(false)
        func set() { value.store(true, ordering: .releasing) }
        var isSet: Bool { value.load(ordering: .acquiring) }
    }

    /// Each request that was refused at once went one level deeper into the stack.
    @Test func thousandsOfRequestsThatAreRefusedTakeTheirTurn() throws {
        let broker = try StreamBroker()
        #expect(errorCode(try broker.createStream()) == nil)
        let gate = try broker.holdFileThreads()
        let update = try broker.send("$JS.API.STREAM.UPDATE.S", #"{"name":"S","subjects":["s.>"],"max_msgs":7}"#)
        var last = ""
        for number in 0..<9_900 { last = try broker.send("$JS.API.STREAM.DELETE.X\(number)") }
        try broker.client.roundTrip()
        gate.open()
        #expect(errorCode(try broker.answer(to: update)) == nil)
        #expect(errorCode(try broker.answer(to: last)) == 10059)
    }

    // MARK: Restores

    private func snapshot(_ messages: Int = 3) -> [UInt8] {
        snapshotBytes { encoder in
            var config = StoredStream.config()
            config.name = "R"
            encoder.add(.definition, StreamDefinition(config: config, createdNs: 1).encoded())
            for number in 0..<messages {
                let subject = Array("r.\(number)".utf8)
                subject.withUnsafeBytes {
                    encoder.add(
                        StoredMessage(
                            sequence: UInt64(number + 1), timeNs: 1, subject: ByteView($0), headers: .empty, payload: .empty))
                }
            }
            encoder.addEnd(lastSequence: UInt64(messages), messages: UInt64(messages))
        }
    }

    private func beginRestore(_ broker: StreamBroker, _ name: String = "R") throws -> String {
        let answer = try broker.api("STREAM.RESTORE.\(name)", #"{"config":{"name":"\#(name)","subjects":["\#(name)"]}}"#)
        let subject = field(answer, "deliver_subject")?.string ?? ""
        return subject.isEmpty ? answer : subject
    }

    /// Whether the end of a snapshot has been taken in.
    private func isComplete(_ broker: StreamBroker, home: Int) -> Bool {
        let isComplete = Flag(), isSeen = Flag()
        broker.test.broker.group.mailboxes[home].post { loop in
            let restores = (loop.context as? Router)?.streams?.admin.lifecycle.restoresUnderWay ?? []
            if restores.contains(where: { $0.endReply != nil }) { isComplete.set() }
            isSeen.set()
        }
        #expect(eventually { isSeen.isSet })
        return isComplete.isSet
    }

    /// The account took no request any more after a piece had come behind the end.
    @Test func whatComesBehindTheEndOfASnapshotIsIgnored() throws {
        let broker = try StreamBroker(loops: 2)
        for name in ["A", "B", "C"] { #expect(errorCode(try broker.createStream(name)) == nil) }
        let account = try #require(try broker.jetStream.accounts.first), home = account.home
        let other = try #require(account.all.first { $0.loop != home })
        let pieces = try beginRestore(broker)
        let name = other.config.name, gate = try broker.test.hold(loop: other.loop)
        // Waits for the other loop, and the restore for it.
        let update = try broker.send(
            "$JS.API.STREAM.UPDATE.\(name)", #"{"name":"\#(name)","subjects":["\#(name.lowercased()).>"],"max_msgs":7}"#)
        #expect(try broker.request(pieces, bytes: snapshot()) == "")
        let end = try broker.send(pieces)
        #expect(eventually { isComplete(broker, home: home) })
        try broker.client.send("PUB \(pieces) 1\r\nx\r\n")
        try broker.client.roundTrip()
        gate.open()
        #expect(errorCode(try broker.answer(to: update)) == nil)
        let answer = try broker.answer(to: end)
        #expect(errorCode(answer) == nil && field(answer, "state", "messages")?.int == 3, "\(answer)")
        #expect(errorCode(try broker.api("STREAM.DELETE.R")) == nil)
    }

    /// What was built by then stayed on the disk, and counted as backlog for ever.
    @Test func restoresThatAreGivenUpLeaveNothing() throws {
        let broker = try StreamBroker()
        #expect(errorCode(try broker.createStream()) == nil)
        for _ in 0..<6 {
            let pieces = try beginRestore(broker)
            #expect(pieces.hasPrefix("$JS.SNAPSHOT"), "\(pieces)")
            let gate = try broker.holdFileThreads()
            let first = try broker.send(pieces, bytes: snapshot())
            try broker.client.send("PUB \(pieces) 1\r\nx\r\n")
            #expect(errorCode(try broker.request(pieces)) == 10062)
            gate.open()
            _ = first
            let folder = broker.account + "/restoring"
            #expect(eventually { (try? broker.underWay) == 0 && ((try? SystemDisk().list(folder)) ?? []).isEmpty })
        }
    }

    @Test func anAccountHasSoManyRestoresAtOnce() throws {
        let broker = try StreamBroker()
        for number in 0..<4 { #expect(try beginRestore(broker, "R\(number)").hasPrefix("$JS.SNAPSHOT")) }
        #expect(errorCode(try beginRestore(broker, "R4")) == 10023)
    }

    /// Requests that came before the commit that they waited for were not counted.
    @Test func aStreamHasSoManySnapshotsAtOnce() throws {
        let broker = try StreamBroker()
        #expect(errorCode(try broker.createStream()) == nil)
        try broker.client.send("SUB snap 2\r\n")
        var replies: [String] = []
        let body = #"{"deliver_subject":"snap"}"#
        var lines = "PUB s.x 1\r\nx\r\n"
        for number in 0..<12 {
            replies.append("in.s\(number)")
            lines += "PUB $JS.API.STREAM.SNAPSHOT.S in.s\(number) \(body.utf8.count)\r\n\(body)\r\n"
        }
        try broker.client.send(lines)
        var refused = 0, begun = 0
        while refused + begun < replies.count {
            let operation = try broker.client.next()
            guard operation.line.contains(" in.s"), let payload = operation.payload else { continue }
            if errorCode(String(decoding: payload, as: UTF8.self)) == 10064 { refused += 1 } else { begun += 1 }
        }
        #expect(begun == 8 && refused == 4)
    }
}
