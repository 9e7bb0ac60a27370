// A stream's snapshot and what is built of it: the same stream. And snapshots whose checksums are right and whose contents are not.

import Glibc
import Store
import StoreKit
import Testing
import Wire

@testable import Broker

@Suite struct SnapshotRestoreTests {
    /// What a restore has put into a directory, but for the folders that accounts have.
    private func left(in folder: TemporaryDirectory) -> [String] {
        (try? SystemDisk().list(folder.path + "/restoring")) ?? []
    }

    /// Messages with gaps at every end, headers, and a consumer that waits for acks.
    private func filled() throws -> StreamKit {
        let kit = try StreamKit { $0.allowMessageTTL = true }
        for number in 0..<40 {
            let body = String(repeating: "x", count: number * 500)
            kit.send("s.\(number % 7)", body, number % 3 == 0 ? ["Nats-Msg-Id": "id\(number)", "Nats-TTL": "1h"] : [:])
        }
        kit.turn()
        for sequence: UInt64 in [1, 2, 9, 40] { _ = try kit.log.remove(sequence, erases: false) }
        var config = ConsumerConfig()
        config.durable = "C"
        config.ackPolicy = .explicit
        config.maxDeliver = -1
        _ = kit.registry.create(config)
        kit.turn()
        return kit
    }

    private func snapshot(_ kit: StreamKit, pieces: Int = 10_000) throws -> [UInt8] {
        let consumers = kit.registry.names.compactMap { kit.registry[$0]?.snapshot() }
        var source = SnapshotSource(kit.stream, consumers: consumers, origins: nil, checks: true)
        var bytes: [UInt8] = []
        while true {
            switch source.next(pieces) {
            case .bytes(let piece): bytes += piece
            case .waiting: kit.turn()
            case .end: return bytes
            case .failed(let reason): throw SnapshotFailure(reason)
            }
        }
    }

    private func restore(
        _ bytes: [UInt8], _ config: StreamConfig, _ folder: TemporaryDirectory, pieces: Int = 3_000
    ) throws -> OpenedStream {
        let disk = SystemDisk()
        let builder = try RestoreBuilder(
            config, number: 1, account: folder.path, limits: JetStreamLimits(), messageBytesMax: 1 << 20, disk)
        do {
            var offset = 0
            while offset < bytes.count {
                try builder.take(Array(bytes[offset..<min(bytes.count, offset + pieces)]))
                offset += pieces
            }
            try builder.finish()
            return try builder.open(StreamDefinition(config: config, createdNs: 5), disk)
        } catch {
            builder.discard(disk)
            throw error
        }
    }

    private func contents(_ log: any MessageLog) -> [String] {
        (log.state.firstSequence...max(log.state.firstSequence, log.state.lastSequence)).map { sequence in
            while true {
                switch log.load(sequence) {
                case .message(let message):
                    return
                        "\(sequence) \(message.timeNs) \(message.subject.string) \(message.headers.string) \(message.payload.count)"
                case .reading:
                    if let file = log as? FileLog, let job = file.beginRead() { file.finishRead(job.run()) }
                default: return "\(sequence) -"
                }
            }
        }
    }

    @Test(arguments: [StorageType.file, .memory]) func whatIsRestoredIsTheSame(storage: StorageType) throws {
        let kit = try filled()
        let bytes = try snapshot(kit)
        #expect(try snapshot(kit, pieces: 1_024) == bytes)
        var config = kit.stream.config
        config.storage = storage
        let folder = TemporaryDirectory()
        let opened = try restore(bytes, config, folder)
        let wanted = kit.log.state, state = opened.log.state
        #expect(state.firstSequence == 3 && state.lastSequence == 40 && state.messages == wanted.messages)
        #expect(state.deleted == wanted.deleted && state.firstTimeNs == wanted.firstTimeNs)
        #expect(contents(opened.log) == contents(kit.log))
        #expect(opened.log.marked(.hasMessageID, from: 1) == kit.log.marked(.hasMessageID, from: 1))
        #expect(opened.log.marked(.expires, from: 1) == kit.log.marked(.expires, from: 1))
        let record = try #require(opened.consumers.first?.records.first)
        #expect(opened.consumers.count == 1 && RecoveredConsumerState.read(whole: record)?.name == "C")
        #expect(left(in: folder).isEmpty)
    }

    @Test func emptyStreamsKeepTheirSequences() throws {
        let kit = try StreamKit()
        for _ in 0..<5 { kit.send("s.a") }
        kit.turn()
        _ = try kit.log.removeAll(below: 6)
        kit.turn()
        let folder = TemporaryDirectory()
        let opened = try restore(try snapshot(kit), kit.stream.config, folder)
        #expect(opened.log.state.lastSequence == 5 && opened.log.state.firstSequence == 6 && opened.log.state.messages == 0)
    }

    @Test func damagedSnapshotsLeaveNothing() throws {
        let kit = try filled()
        let bytes = try snapshot(kit)
        for place in stride(from: 0, to: bytes.count, by: bytes.count / 12) {
            var damaged = bytes
            damaged[place] ^= 0x40
            let folder = TemporaryDirectory()
            #expect(throws: SnapshotFailure.self) { _ = try restore(damaged, kit.stream.config, folder) }
            #expect(left(in: folder).isEmpty)
            #expect(throws: SnapshotFailure.self) { _ = try restore(Array(bytes[..<place]), kit.stream.config, folder) }
            #expect(left(in: folder).isEmpty)
        }
    }

    private func refusal(_ build: (inout SnapshotEncoder) -> Void) throws -> String {
        let folder = TemporaryDirectory()
        var config = StreamConfig()
        config.name = "S"
        config.storage = .memory
        let bytes = snapshotBytes { encoder in
            encoder.add(.definition, StreamDefinition(config: config, createdNs: 1).encoded())
            build(&encoder)
        }
        do {
            _ = try restore(bytes, config, folder)
            return ""
        } catch let error as SnapshotFailure { return error.description }
    }

    private func add(
        _ encoder: inout SnapshotEncoder, _ sequence: UInt64, _ subject: String = "s", _ headers: String = "", timeNs: Int64 = 1
    ) {
        let subject = Array(subject.utf8), headers = Array(headers.utf8)
        subject.withUnsafeBytes { subject in
            headers.withUnsafeBytes { headers in
                encoder.add(
                    StoredMessage(
                        sequence: sequence, timeNs: timeNs, subject: ByteView(subject), headers: ByteView(headers),
                        payload: .empty))
            }
        }
    }

    @Test func contentsMustMakeSense() throws {
        for subject in ["", "a b", "a..b", "a.*", "a\r\nPUB x 0", ">", "a.", "\u{7F}"] {
            #expect(try refusal { add(&$0, 1, subject) }.contains("no valid subject"), "\(subject)")
        }
        for headers in ["x", "NATS/1.0\r\n", "NATS/1.0\r\nA: b\r\n", "A: b\r\n\r\n\r\n\r\n"] {
            #expect(try refusal { add(&$0, 1, "s", headers) }.contains("no valid headers"), "\(headers)")
        }
        #expect(try refusal { add(&$0, 1, timeNs: -1) }.contains("no valid time"))
        for sequences: [UInt64] in [[0], [2, 2], [2, 1], [1 << 63], [.max], [1, .max]] {
            #expect(try refusal { for sequence in sequences { add(&$0, sequence) } } != "", "\(sequences)")
        }
        #expect(
            try refusal {
                add(&$0, 1, timeNs: 5)
                add(&$0, 2, timeNs: 4)
            }.contains("older"))
        #expect(try refusal { $0.addEnd(lastSequence: 3, messages: 1) }.contains("there are 0 messages"))
        #expect(try refusal { $0.addEnd(lastSequence: .max, messages: 0) } != "")
        #expect(
            try refusal {
                add(&$0, 5)
                $0.addEnd(lastSequence: 4, messages: 1)
            } != "")
        #expect(try refusal { $0.add(.definition, []) }.contains("begin with a stream"))
        #expect(try refusal { $0.add(.consumer, [1, 2, 3]) }.contains("makes no sense"))
        #expect(try refusal { $0.add(.origins, [1, 2, 3]) }.contains("make no sense"))
        #expect(try refusal { _ in }.contains("unexpected EOF"))
    }

    /// Whatever passes the checks must do no harm to the stream that is made of it.
    @Test func mutatedContentsDoNoHarm() throws {
        let kit = try filled()
        let consumer = try #require(kit.registry["C"]?.snapshot())
        var config = kit.stream.config
        config.storage = .memory
        let folder = TemporaryDirectory()
        var taken = 0
        for seed in UInt64(1)...400 {
            var state = seed
            func random() -> UInt64 {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                return state >> 17
            }
            var record = consumer
            for _ in 0...(random() % 4) {
                // The numbers are at the end, the configuration's text before them.
                let place = random() % 3 == 0 ? Int(random()) % record.count : record.count - 1 - Int(random()) % 30
                record[place] = UInt8(truncatingIfNeeded: random())
            }
            let bytes = snapshotBytes { encoder in
                encoder.add(.definition, StreamDefinition(config: config, createdNs: 1).encoded())
                encoder.add(.consumer, record)
                var sequence: UInt64 = 0
                for _ in 0..<18 {
                    sequence += random() % 3 + 1
                    add(&encoder, sequence)
                }
                encoder.addEnd(lastSequence: sequence + (random() % 2) << (random() % 62), messages: 18)
            }
            guard let opened = try? restore(bytes, config, folder) else { continue }
            taken += 1
            let stream = Stream(
                config: config, createdNs: 1, log: opened.log, journal: nil, host: kit, commits: kit, settings: kit.settings)
            let registry = ConsumerRegistry(stream: stream)
            _ = registry.recover(opened.consumers)
            stream.turnEnded()
            stream.advance()
            stream.turnEnded()
            for consumer in registry.all {
                _ = consumer.info()
                _ = try? consumer.reset(to: 0)
            }
            registry.stopAll(.deleted)
        }
        #expect(taken > 20, "only \(taken) of the mutations were taken")
    }

    private func record(_ change: (inout ConsumerState) -> Void, createdNs: Int64 = 1) -> [UInt8] {
        var config = ConsumerConfig()
        config.durable = "C"
        config.ackPolicy = .explicit
        var json = JSONWriter()
        config.write(to: &json)
        var state = ConsumerState(startsAt: 1)
        change(&state)
        return RecoveredConsumerState.whole(
            name: "C", createdNs: createdNs, config: json.take(), state: state, now: Instant(wallNs: 5, monotonicNs: 5))
    }

    @Test func statesMustMakeSense() throws {
        func answer(_ record: [UInt8]) throws -> String { try refusal { $0.add(.consumer, record) } }
        #expect(try answer(record { _ in }).contains("unexpected EOF"))
        // Pending, and yet to be delivered.
        #expect(
            try answer(
                record {
                    $0.delivered = ConsumerPosition(consumer: 1, stream: 1)
                    _ = $0.pending.insert(2, delivery: 1, sinceNs: 5)
                }
            ).contains("makes no sense"))
        #expect(
            try answer(
                record {
                    $0.delivered = ConsumerPosition(consumer: 1, stream: 2)
                    _ = $0.pending.insert(2, delivery: 9, sinceNs: 5)
                }
            ).contains("makes no sense"))
        #expect(
            try answer(
                record {
                    $0.delivered = ConsumerPosition(consumer: 2, stream: 2)
                    $0.lastPerSubject = LastPerSubject([2, 3], end: 3)
                }
            ).contains("makes no sense"))
        for createdNs in [Int64.min, .min + 1, -1, .max] {
            #expect(try answer(record({ _ in }, createdNs: createdNs)).contains("makes no sense"), "\(createdNs)")
        }
        var origins = OriginRecord()
        origins.positions["O > "] = OriginPosition(identity: "", sequence: .max)
        #expect(try refusal { $0.add(.origins, origins.encoded()) }.contains("make no sense"))
        #expect(try refusal { add(&$0, 1, timeNs: .max) } != "")
        // All that is kept in memory until the end is bounded.
        var wide = OriginRecord()
        wide.positions[String(repeating: "x", count: 14 << 20)] = OriginPosition(identity: "", sequence: 1)
        let frame = wide.encoded()
        #expect(try refusal { for _ in 0..<5 { $0.add(.origins, frame) } }.contains("are more than"))
    }

    /// A journal's state that says so is put right: nothing is delivered as if for the first time while it is pending.
    @Test func whatIsPendingCountsAsDelivered() throws {
        let whole = record {
            $0.delivered = ConsumerPosition(consumer: 1, stream: 1)
            _ = $0.pending.insert(7, delivery: 1, sinceNs: 5)
            $0.lastPerSubject = LastPerSubject([3, 7, 9], end: 9)
        }
        var damaged = 0
        let read = RecoveredConsumerState.read([whole], tracksAcks: { _ in true }, damaged: &damaged)
        guard let recovered = read else { throw SnapshotFailure("unreadable") }
        #expect(recovered.state.delivered.stream == 7 && recovered.state.lastPerSubject.first == 9)
    }

    @Test func timesBeforeAllOthersCanBePrinted() {
        #expect(Timestamp.text(.min + 1) == "1677-09-21T00:12:43.145224193Z")
        #expect(Timestamp.text(-1) == "1969-12-31T23:59:59.999999999Z")
        #expect(Timestamp.text(.max) == "2262-04-11T23:47:16.854775807Z")
    }

    /// Clients may publish such headers, too.
    @Test func positionsBeyondEveryStreamAreNone() {
        for number in ["18446744073709551615", "9223372036854775808", "0", "x"] {
            let value = Array("O \(number) > > s.a id".utf8)
            #expect(value.withUnsafeBytes { SourceHeader.read(ByteView($0)) == nil }, "\(number)")
        }
    }
}
