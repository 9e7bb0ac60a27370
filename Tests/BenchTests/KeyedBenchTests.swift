// The keyed side of bench: which keys are drawn, what the order checker sees, frames, and options.

import Testing

@testable import bench

struct KeyedBenchTests {
    // MARK: Keys

    @Test func evenKeysAreDrawnEvenlyAndAlwaysAlike() {
        let draw = KeyDraw(KeyPlan(keys: 100))
        var counts = [Int](repeating: 0, count: 100)
        for number in 0..<100_000 { counts[draw.key(of: number)] += 1 }
        #expect(counts.allSatisfy { (850...1_150).contains($0) })
        #expect((0..<1_000).map { draw.key(of: $0) } == (0..<1_000).map { KeyDraw(KeyPlan(keys: 100)).key(of: $0) })
        #expect((0..<1_000).allSatisfy { KeyDraw(KeyPlan(keys: 1)).key(of: $0) == 0 })
    }

    @Test func zipfFollowsItsLaw() {
        let draw = KeyDraw(KeyPlan(keys: 1_000, zipf: 1))
        var counts = [Int](repeating: 0, count: 1_000)
        let total = 400_000
        for number in 0..<total { counts[draw.key(of: number)] += 1 }
        // 1 / (r * H(1000)), H(1000) = 7.4855
        for rank in [1, 2, 5, 20, 100] {
            let expected = Double(total) / (Double(rank) * 7.4855)
            #expect(abs(Double(counts[rank - 1]) - expected) < expected * 0.1 + 20)
        }
        #expect(counts[999] > 0)
    }

    @Test func theShareOfFailingKeysIsKept() {
        let draw = KeyDraw(KeyPlan(keys: 10_000, failing: 0.01))
        let count = (0..<10_000).count { draw.fails($0) }
        #expect((60...140).contains(count))
        #expect(!(0..<10_000).contains { KeyDraw(KeyPlan(keys: 10_000)).fails($0) })
    }

    // MARK: Order

    @Test func messagesOfAKeyComeOneAfterTheOther() throws {
        var order = KeyOrder(keys: 2)
        try order.begin(0, 0, number: 0, ackMayBeLost: false)
        try order.begin(1, 0, number: 1, ackMayBeLost: false)
        #expect(throws: OrderFault.keyIsBusy) { try order.begin(0, 1, number: 2, ackMayBeLost: false) }
        let first = order.end(0, 0, number: 0)
        #expect(first)
        #expect(throws: OrderFault.steppedOver(expected: 1)) { try order.begin(0, 2, number: 3, ackMayBeLost: false) }
        #expect(throws: OrderFault.handledBefore) { try order.begin(0, 0, number: 0, ackMayBeLost: false) }
        try order.begin(0, 1, number: 2, ackMayBeLost: false)
        let second = order.end(0, 1, number: 2)
        #expect(second)
        #expect(order.done(0) == 2 && order.done(1) == 0)
    }

    @Test func whatItsHandlerDidNotAckComesAgain() throws {
        var order = KeyOrder(keys: 1)
        try order.begin(0, 0, number: 0, ackMayBeLost: false)
        order.giveUp(0)
        #expect(throws: OrderFault.steppedOver(expected: 0)) { try order.begin(0, 1, number: 1, ackMayBeLost: true) }
        try order.begin(0, 0, number: 0, ackMayBeLost: true)
        let first = order.end(0, 0, number: 0)
        #expect(first && order.repeats == 0)
        // Its ack was lost with the connection.
        try order.begin(0, 0, number: 0, ackMayBeLost: true)
        let again = order.end(0, 0, number: 0)
        #expect(!again && order.repeats == 1 && order.done(0) == 1)
    }

    @Test func aParkedKeyStaysParked() throws {
        var order = KeyOrder(keys: 1)
        try order.begin(0, 0, number: 0, ackMayBeLost: false)
        order.park(0)
        #expect(throws: OrderFault.keyIsParked) { try order.begin(0, 0, number: 0, ackMayBeLost: true) }
    }

    @Test func withoutOrderOnlyRepetitionIsAFault() throws {
        var order = KeyOrder(keys: 1, checksOrder: false)
        try order.begin(0, 1, number: 70, ackMayBeLost: false)
        try order.begin(0, 0, number: 3, ackMayBeLost: false)
        let ends = (order.end(0, 1, number: 70), order.end(0, 0, number: 3))
        #expect(ends == (true, true) && order.done(0) == 2)
        #expect(throws: OrderFault.handledBefore) { try order.begin(0, 1, number: 70, ackMayBeLost: false) }
    }

    // MARK: Frames

    @Test func framesCarryTheirMark() throws {
        let frames = KeyedFrames(prefix: "bench", padding: "guest-", payloadBytes: 64, inbox: "_INBOX.x")
        let mark = KeyedMark(number: 0x2B, ordinal: 7, timeNs: 0x1234_5678_9ABC_DEF0)
        let target = UnsafeMutablePointer<UInt8>.allocate(capacity: frames.frameBytes)
        defer { target.deallocate() }
        frames.write(mark, key: 0xAB, to: target)
        let text = String(decoding: UnsafeBufferPointer(start: target, count: frames.frameBytes), as: UTF8.self)
        let lines = text.split(separator: "\r\n", omittingEmptySubsequences: false).map(String.init)
        #expect(lines.count == 3 && lines[0] == "PUB bench.guest-000000ab.confirmed _INBOX.x.0000002b 64")
        #expect(read(lines[1], frames) == mark)
        #expect(read(String(lines[1].dropLast()) + "!", frames) == nil)
        #expect(read("0000002c" + lines[1].dropFirst(8), frames) == nil)
        #expect(read("0000002G" + lines[1].dropFirst(8), frames) == nil)
        #expect(read(String(lines[1].dropLast()), frames) == nil)
        #expect(isSubject("bench.17.000000ab.confirmed", of: 0xAB) && !isSubject("bench.17.000000ac.confirmed", of: 0xAB))
        #expect(!isSubject("confirmed", of: 0))
    }

    private func read(_ text: String, _ frames: KeyedFrames) -> KeyedMark? {
        Array(text.utf8).withUnsafeBufferPointer { frames.read(Bytes(start: $0.baseAddress!, count: $0.count)) }
    }

    private func isSubject(_ text: String, of key: Int) -> Bool {
        Array(text.utf8).withUnsafeBufferPointer {
            KeyedFrames.isSubject(Bytes(start: $0.baseAddress!, count: $0.count), of: key)
        }
    }

    // MARK: Workers

    @Test func workersAreDividedOverPartitionsAndProcesses() {
        var plan = PoolPlan(
            stream: "S", consumers: (0..<64).map(WorkerPool.name), workers: 512, processes: 8, handlerNs: 0,
            deliveriesMax: 5, parks: false, breaks: false)
        #expect((0..<8).allSatisfy { plan.workers(of: $0) == [Int](repeating: 1, count: 64) })
        plan.consumers = ["c0000"]
        #expect((0..<8).map { plan.workers(of: $0) }.joined().reduce(0, +) == 512)
        plan.consumers = (0..<16).map(WorkerPool.name)
        plan.workers = 500
        let each = (0..<8).map { plan.workers(of: $0) }
        #expect(each.joined().reduce(0, +) == 500 && each.joined().allSatisfy { (3...4).contains($0) })
        #expect(WorkerPool.name(0x1F) == "c001f")
    }

    @Test func handlersEndInTheirTurnUnlessTheirProcessCrashes() throws {
        let queue = HandlerQueue(room: 4)
        let reply = Array("$JS.ACK.S.c0000.1".utf8)
        try reply.withUnsafeBufferPointer { reply in
            let bytes = Bytes(start: reply.baseAddress!, count: reply.count)
            for due in [10, 20, 30] {
                try queue.begin(Handler(dueNs: UInt64(due), key: due, place: due / 20, generation: 1), reply: bytes)
            }
        }
        #expect(queue.nextNs == 10 && queue.end(9) == nil)
        var abandoned: [Int] = []
        queue.abandon(1, 1) { abandoned.append($0.key) }
        #expect(abandoned == [20, 30])
        let first = try #require(queue.end(25))
        #expect(first.handler.key == 10 && first.handler.generation == 1 && first.reply == reply)
        #expect(queue.end(25)?.handler.generation == 0 && queue.end(25) == nil && queue.nextNs == 30)
    }

    // MARK: Options

    @Test func optionsSayWhatIsRun() throws {
        var arguments = Arguments([
            "--keys", "100K", "--zipf=1.1", "--failing", "0.01", "--failure", "nak", "--pattern", "partitions", "--partitions",
            "16", "--handler", "0ms", "--rate", "5K", "--churn", "200ms", "--release",
        ])
        let consume = try KeyedConsume(&arguments)
        try arguments.finish()
        #expect(consume.plan == KeyPlan(keys: 100_000, zipf: 1.1, failing: 0.01))
        #expect(consume.failure == .nak && consume.pattern == .partitions(16) && consume.handlerNs == 0)
        #expect(consume.supply.rate == 5_000 && consume.supply.churnNs == 200_000_000 && consume.releases)
        for wrong in [["--pattern", "queue"], ["--zipf", "-1"], ["--failing", "1"], ["--failure", "ack"]] {
            var arguments = Arguments(wrong)
            #expect(throws: BenchError.self) { try KeyedConsume(&arguments) }
        }
    }
}

extension KeyedBenchTests {
    // MARK: Rows

    @Test func rowsSayWhatTheyNeed() throws {
        let rows = KeyedRows.judged + KeyedRows.others
        #expect(Set(rows.map(\.name)).count == rows.count && rows.allSatisfy { $0.title.contains("; sync ") })
        #expect(try Row.select("keyed").map(\.name) == KeyedRows.judged.map(\.name))
        #expect(try Row.select("keyed-*").count == rows.count)
        #expect(try !Row.select("streams").contains(where: \.isKeyed))
        // A row that is paced by another one comes after it.
        for (place, row) in rows.enumerated() {
            guard let pace = row.pace else { continue }
            #expect(rows[..<place].contains { $0.name == pace.row })
        }
        let memory = try #require(rows.first { $0.name == "keyed-memory" })
        #expect(memory.sides(of: [.subject, .peer, .third]) == [.subject])
        #expect(rows[0].sides(of: [.subject, .peer, .third]) == [.subject, .peer])
    }

    @Test func thePaceFollowsFromThePeer() throws {
        let row = try #require(KeyedRows.judged.first { $0.pace != nil })
        #expect(throws: BenchError.self) { try row.paced(by: []) }
        let other = try #require(Row.all.first { $0.name == row.pace?.row })
        var measured = Measurement()
        measured.messages = 9_000
        measured.seconds = 1
        let result = RowResult(
            row: other, servers: [(side: .peer, name: "peer", version: "1", command: "peer")], pairs: [[.peer: measured]],
            timing: Timing(), command: "", load: nil)
        guard case .keyed(.consume(let workload)) = try row.paced(by: [result]).workload else {
            Issue.record("another workload")
            return
        }
        #expect(workload.supply.rate == 4_500)
    }

    @Test func theWordSaysWhatIsMeasured() throws {
        func parse(_ words: [String]) throws -> KeyedWorkload {
            var arguments = Arguments(words)
            let workload = try KeyedWorkload.parse(&arguments)
            try arguments.finish()
            return workload
        }
        guard case .memory(let memory) = try parse(["memory", "--count", "1K"]) else { throw BenchError.usage("memory") }
        #expect(memory.keys == 1_000)
        guard case .beside(let beside) = try parse(["parked", "--rate", "1K", "--turns", "3"]),
            case .parked(10_000) = beside.burden
        else { throw BenchError.usage("parked") }
        #expect(beside.turns == 3 && beside.consume.supply.rate == 1_000)
        #expect(try !parse([]).isForKeysOnly && parse(["retry"]).isForKeysOnly)
        #expect(throws: BenchError.self) { try parse(["queue"]) }
    }
}
