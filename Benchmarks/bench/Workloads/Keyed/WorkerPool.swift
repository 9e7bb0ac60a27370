// A pool of workers over a few connections: asks, handles for a while, acks, and checks the order of every key.

import Glibc

/// How a pool is made up.
struct PoolPlan: Sendable {
    var stream: String
    /// A consumer for all, or one for each partition.
    var consumers: [String]
    var workers: Int
    /// Connections, over which workers and consumers are spread evenly.
    var processes: Int
    var handlerNs: UInt64
    var failure = Failure.term
    /// After so many deliveries a message that fails is given up.
    var deliveriesMax: Int
    /// Whether the server parks keys that fail; others go on to the key's next message.
    var parks: Bool
    /// Connections break: an ack may be lost.
    var breaks: Bool

    /// What a handler that fails does.
    enum Failure: String, Sendable { case nak, term }

    /// How many workers a process has for each consumer.
    func workers(of place: Int) -> [Int] {
        var counts = Array(repeating: 0, count: consumers.count)
        for worker in stride(from: place, to: workers, by: processes) { counts[worker / processes % consumers.count] += 1 }
        return counts
    }
}

/// What a pool has done so far.
struct PoolCounts {
    /// Messages handled for the first time, of keys that do not fail.
    var handled = 0
    /// Messages of failing keys that were given up.
    var givenUp = 0
    var deliveries = 0
    var redeliveries = 0
    var crashes = 0
}

/// One thread's. Consumers are called `c` and four hexadecimal digits, so that an ack's subject tells which it is.
final class WorkerPool {
    private(set) var counts = PoolCounts()
    /// From the time in a message to the end of its handler.
    var latency = Histogram()
    private(set) var order: KeyOrder
    /// nil where one has left or crashed.
    private var processes: [WorkerProcess?] = []
    private let plan: PoolPlan
    private let target: Target
    private let poller: Poller
    private let frames: KeyedFrames
    private let draw: KeyDraw
    private let queue: HandlerQueue
    private let ackHead: [UInt8]
    private var generations = 0
    /// Which places are open for the next to join.
    private(set) var vacant: [Int] = []

    /// The poller's token of the process at place 0.
    static let firstToken = 1
    /// Timers end at multiples of this: a pool that woke for each would measure its own wake-ups.
    private static let tickNs: UInt64 = 100_000

    static func name(_ consumer: Int) -> String {
        let digits = String(consumer, radix: 16)
        return "c" + String(repeating: "0", count: 4 - digits.count) + digits
    }

    init(_ plan: PoolPlan, _ target: Target, _ poller: Poller, _ frames: KeyedFrames, _ draw: KeyDraw, checksOrder: Bool) throws
    {
        self.plan = plan
        self.target = target
        self.poller = poller
        self.frames = frames
        self.draw = draw
        order = KeyOrder(keys: draw.keys, checksOrder: checksOrder)
        // A handler whose process crashed stays in the queue until it would have ended.
        queue = HandlerQueue(room: plan.workers * 4)
        ackHead = Array("$JS.ACK.\(plan.stream).c".utf8)
        processes = Array(repeating: nil, count: plan.processes)
        for place in 0..<plan.processes { try join(place) }
    }

    // MARK: Who works

    func join(_ place: Int) throws {
        generations += 1
        let process = try WorkerProcess(
            target, stream: plan.stream, consumers: plan.consumers, workers: plan.workers(of: place), place: place,
            generation: generations)
        try poller.add(process.pipe.connection.socket, token: WorkerPool.firstToken + place)
        processes[place] = process
        vacant.removeAll { $0 == place }
    }

    /// Its connection closes; what it handles gets no ack.
    func crash(_ place: Int) {
        guard let process = processes[place], !process.isLeaving else { return }
        processes[place] = nil
        vacant.append(place)
        counts.crashes += 1
        queue.abandon(place, process.generation) { order.giveUp($0.key) }
    }

    func leave(_ place: Int) { processes[place].map { if !$0.isLeaving { $0.leave() } } }

    func isReadable(_ place: Int) { processes[place]?.readable = true }

    // MARK: Turns

    /// When the next handler ends.
    var nextNs: UInt64? { queue.nextNs }

    /// Whether something is left to receive at once.
    var hasInput: Bool { processes.contains { $0?.readable ?? false } }

    /// Receives, ends what is due, asks again, sends. Returns whether anything moved.
    func turn() throws -> Bool {
        var moved = false
        for place in processes.indices {
            guard let process = processes[place], process.readable else { continue }
            let now = Clock.nowNs()
            process.readable = try process.pipe.receive { try take($0, process, place, now) }
            moved = true
        }
        let now = Clock.nowNs()
        while let (handler, reply) = queue.end(now) {
            end(handler, reply, now)
            moved = true
        }
        for place in processes.indices {
            guard let process = processes[place] else { continue }
            process.ask()
            if process.pipe.hasOutput { try process.pipe.flush() }
            if process.hasLeft {
                processes[place] = nil
                vacant.append(place)
            }
        }
        return moved
    }

    @inline(__always)
    private func take(_ message: Message, _ process: WorkerProcess, _ place: Int, _ now: UInt64) throws {
        let reply = message.reply
        guard message.header.count == 0, reply.hasPrefix(ackHead), reply.count > ackHead.count + 6,
            let mark = frames.read(message.payload)
        else { throw BenchError.mismatch("no message of this stream: \(message.shown)") }
        var consumer = 0
        for offset in ackHead.count..<ackHead.count + 4 {
            let digit = reply.start[offset]
            consumer = consumer << 4 | Int(digit > 57 ? digit &- 87 : digit &- 48) & 15
        }
        let deliveries = StreamPuller.number(reply, from: ackHead.count + 5)
        let key = draw.key(of: mark.number)
        guard consumer < plan.consumers.count, KeyedFrames.isSubject(message.subject, of: key) else {
            throw BenchError.mismatch("not the subject of message \(mark.number): \(message.shown)")
        }
        counts.deliveries += 1
        if deliveries > 1 { counts.redeliveries += 1 }
        do {
            try order.begin(key, mark.ordinal, number: mark.number, ackMayBeLost: plan.breaks && deliveries > 1)
        } catch let fault {
            throw BenchError.mismatch("key \(key), its message \(mark.ordinal): \(fault), at \(message.shown)")
        }
        var handler = Handler(mark: mark, key: key, deliveries: deliveries, place: place, generation: process.generation)
        handler.consumer = consumer
        if plan.handlerNs > 0 {
            let tick = WorkerPool.tickNs
            handler.dueNs = (now + plan.handlerNs + tick - 1) / tick * tick
        }
        try queue.begin(handler, reply: reply)
        process.running += 1
    }

    @inline(__always)
    private func end(_ handler: Handler, _ reply: Bytes, _ now: UInt64) {
        guard let process = processes[handler.place], process.generation == handler.generation else { return }
        process.free(handler.consumer)
        if draw.fails(handler.key) {
            fail(handler, reply, process)
            return
        }
        WorkerProcess.answer(reply, .ack, process.pipe)
        if order.end(handler.key, handler.mark.ordinal, number: handler.mark.number) {
            counts.handled += 1
            latency.record(now &- min(now, handler.mark.timeNs))
        }
    }

    private func fail(_ handler: Handler, _ reply: Bytes, _ process: WorkerProcess) {
        WorkerProcess.answer(reply, plan.failure == .nak ? .nak : .term, process.pipe)
        if plan.failure == .nak && handler.deliveries < plan.deliveriesMax {
            order.giveUp(handler.key)
        } else if plan.parks {
            order.park(handler.key)
            counts.givenUp += 1
        } else if order.end(handler.key, handler.mark.ordinal, number: handler.mark.number) {
            counts.givenUp += 1
        }
    }

    /// Nothing but what was asked for may have come: a PING on each connection brings its PONG, and no message.
    func finish() throws {
        for process in processes {
            try process?.pipe.settle { throw BenchError.mismatch("one message too many: \($0.shown)") }
        }
    }
}

@available(*, unavailable)
extension WorkerPool: Sendable {}
