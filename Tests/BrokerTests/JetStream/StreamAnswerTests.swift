// Answers that take several turns: nobody else waits for them, and they say what they would have said at once.

import Store
import StoreKit
import Testing
import Wire

@testable import Broker

@Suite struct StreamAnswerTests {
    private static let count = 5_000

    private func filled() throws -> StreamKit {
        let kit = try StreamKit { $0.allowDirect = true }
        for number in 0..<StreamAnswerTests.count { kit.send("s.\(number % 2).\(number)", "m\(number)") }
        kit.turn()
        kit.output = []
        kit.interests.insert("direct")
        return kit
    }

    private func sequences(_ output: [StreamOutput]) -> [Int] {
        output.compactMap { sent in
            sent.headers.split(separator: "\r\n").first { $0.hasPrefix("Nats-Sequence: ") }.flatMap { Int($0.dropFirst(15)) }
        }
    }

    private func begin(_ body: String, _ kit: StreamKit) {
        Array("$JS.API.DIRECT.GET.S".utf8).withUnsafeBytes { subject in
            Array("direct".utf8).withUnsafeBytes { reply in
                Array(body.utf8).withUnsafeBytes { payload in
                    kit.stream.directGet(
                        Message(
                            subject: ByteView(subject), reply: ByteView(reply), headerBytes: -1, payload: ByteView(payload),
                            sizes: .empty))
                }
            }
        }
    }

    @Test func batchesTakeTurns() throws {
        let kit = try filled()
        begin(#"{"batch":1000000,"seq":1}"#, kit)
        kit.turn()
        let first = kit.output.count
        #expect(first > 0 && first < 1_000, "\(first) messages in one turn")
        // What is stored meanwhile is not part of it; others are answered in between.
        kit.publish("s.new", "new")
        #expect(kit.request(Stream.getMessage, #"{"seq":7}"#).contains(#""seq":7"#))
        kit.finishAnswers()
        let output = kit.output.filter { $0.subject == "direct" }
        #expect(sequences(output) == Array(1...StreamAnswerTests.count))
        #expect(
            output.last?.headers.hasPrefix("NATS/1.0 204 EOB\r\nNats-Num-Pending: 0\r\nNats-Last-Sequence: 5000\r\n") == true)
    }

    @Test func batchesByPatternCountWhatIsToCome() throws {
        let kit = try filled()
        let output = kit.directGet(#"{"batch":3,"seq":10,"next_by_subj":"s.1.*"}"#)
        #expect(sequences(output) == [10, 12, 14])
        #expect(output[0].headers.contains("Nats-Num-Pending: 2495\r\n"))
        #expect(
            kit.directGet(#"{"batch":3,"seq":10,"next_by_subj":"s.2.*"}"#).map(\.headers) == [
                "NATS/1.0 404 Message Not Found\r\n\r\n"
            ])
        #expect(sequences(kit.directGet(#"{"batch":3,"seq":10,"next_by_subj":"s.1.4999"}"#)) == [5_000])
    }

    @Test func batchesCrossGaps() throws {
        let kit = try StreamKit { $0.allowDirect = true }
        kit.publish("s.a")
        try kit.stream.skip(to: 1 << 40)
        kit.publish("s.b")
        let output = kit.directGet(#"{"batch":5,"next_by_subj":"s.*"}"#)
        #expect(sequences(output) == [1, 1 << 40 + 1])
    }

    @Test func batchesWaitForTheirReceiver() throws {
        let kit = try filled()
        kit.isCongested = true
        begin(#"{"batch":100,"seq":1}"#, kit)
        kit.pass(1)
        #expect(kit.output.isEmpty)
        kit.isCongested = false
        kit.finishAnswers()
        #expect(sequences(kit.output) == Array(1...100))
    }

    @Test func aBatchForNobodyEnds() throws {
        let kit = try filled()
        kit.interests = []
        begin(#"{"batch":100,"seq":1}"#, kit)
        kit.turn()
        #expect(kit.stream.longAnswers.count == 0 && kit.output.isEmpty)
    }

    @Test func lastMessagesAreOfOneMoment() throws {
        let kit = try filled()
        begin(#"{"multi_last":["s.1.3*","s.0.*","s.1.7","s.1.7","s.1.9"],"up_to_seq":1000}"#, kit)
        kit.finishAnswers()
        let wanted = [Int](stride(from: 1, through: 999, by: 2)) + [8, 10]
        #expect(sequences(kit.output) == wanted.sorted())
        #expect(kit.directGet(#"{"multi_last":["s.>"]}"#).map(\.headers) == ["NATS/1.0 413 Too Many Results\r\n\r\n"])
        #expect(kit.directGet(#"{"multi_last":["s.7"]}"#).map(\.headers) == ["NATS/1.0 404 No Results\r\n\r\n"])
    }

    @Test func refusesTooMany() throws {
        let kit = try filled()
        kit.isCongested = true
        for _ in 0..<LongAnswers.countMax { begin(#"{"batch":1,"seq":1}"#, kit) }
        begin(#"{"batch":1,"seq":1}"#, kit)
        #expect(kit.output.map(\.headers) == ["NATS/1.0 503 Too Many Requests\r\n\r\n"])
    }

    @Test func subjectsAreListedOverTurns() throws {
        let kit = try filled()
        var answer = ""
        Array(#"{"subjects_filter":">","offset":4997}"#.utf8).withUnsafeBytes {
            kit.stream.info(ByteView($0)) { answer = String(decoding: $0, as: UTF8.self) }
        }
        kit.turn()
        #expect(answer.isEmpty)
        kit.finishAnswers()
        #expect(answer.contains(#""total":5000,"offset":4997,"limit":100000"#))
        #expect(answer.contains(#""subjects":{"s.1.995":1,"s.1.997":1,"s.1.999":1}"#))
        let all = kit.request(Stream.info, #"{"subjects_filter":"s.*.*"}"#)
        let names = field(all, "state", "subjects")?.object?.members.map(\.name) ?? []
        #expect(names.count == 5_000 && names == names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) })
        #expect(!kit.request(Stream.info, #"{"subjects_filter":"s.*","offset":3}"#).contains("subjects\":{"))
    }

    /// Each read from the disk concerns few of those who wait for one.
    @Test func fewAskAgainAfterEachRead() throws {
        let kit = try filled()
        var asked = 0, done = 0
        func ask(_ number: Int) {
            asked += 1
            if number <= done { return }
            kit.stream.afterLoad { ask(number) }
        }
        for number in 1...2_000 { kit.stream.afterLoad(waitsInLine: true) { ask(number) } }
        for read in 1...2_000 {
            done = read
            kit.stream.messagesLoaded()
            kit.stream.advance()
        }
        #expect(asked < 100_000, "asked \(asked) times")
        kit.stream.messagesLoaded()
        #expect(!kit.stream.loadWaits.hasReady && kit.stream.loadWaits.hasRoom)
    }

    /// What was found for a pattern stays right whatever is stored and removed in between.
    @Test(arguments: [1, 2, 3] as [UInt64]) func lastOfAPatternIsKeptUpToDate(seed: UInt64) throws {
        let kit = try StreamKit()
        var random = SeededRandom(seed: seed)
        let patterns = ["s.*.1", "s.1.>", "s.*.*", "s.2.*", "s.9.*", "s.1.*", "s.*.3", "s.>", "s.3.>", "s.*.4"]
        for step in 0..<2_000 {
            switch random.below(8) {
            case 0..<4: kit.send("s.\(random.below(5)).\(random.below(5))")
            case 4..<7:
                let state = kit.log.state
                if state.messages > 0 {
                    kit.stream.discard(state.lastSequence - min(state.lastSequence, UInt64(random.below(6))))
                }
            default: if random.below(20) == 0 { _ = kit.stream.removeAll(below: kit.log.state.lastSequence + 1) }
            }
            let pattern = patterns[random.below(patterns.count)]
            let wanted = kit.log.last(upTo: .max, SubjectFilter([pattern], kit.log.subjects)) ?? 0
            let found = Array(pattern.utf8).withUnsafeBytes { kit.stream.lastSequence(matching: ByteView($0)) }
            #expect(found == wanted, "seed \(seed), step \(step), \(pattern)")
        }
    }

    /// A consumer goes and leaves nobody who waits for its messages: they go too, not all in one turn.
    @Test func sweepsOverTurns() throws {
        let kit = try StreamKit { $0.retention = .interest }
        kit.interests.insert("inbox")
        let consumer = StreamConsumerTests.consumer(kit)
        _ = StreamConsumerTests.consumer(kit, "other", filter: "s.1")
        for number in 0..<20_000 { kit.send("s.\(number % 2)") }
        kit.turn()
        kit.registry.delete(consumer)
        kit.turn()
        let left = kit.log.state.messages
        #expect(left > 10_000 && left < 20_000, "\(left) are left after one turn")
        kit.pass(0.001)
        #expect(kit.log.state.messages == 10_000 && kit.stream.sweepsFrom == nil)
    }
}
