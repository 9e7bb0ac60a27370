// Streams that come and go in a whole broker: names, files and requests.

import Glibc
import Store
import StoreKit
import Synchronization
import Testing

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
}
