// One client thread's loop: pumps the publishers and subscribers of its topics, keeps the window, measures delays.

import Glibc

/// What one loop is to do; the same for every loop of a run but for topics and role.
struct LoopPlan: Sendable {
    /// Which ends of its topics a loop holds.
    enum Role: Sendable { case both, publish, subscribe }

    var topics: [FrameBlock.Plan]
    /// One for each topic; shared with the loop that holds the other end.
    var boards: [TopicBoard]
    var role = Role.both
    var subscribersPerTopic: Int
    /// One write() for each message.
    var singleWrites = false
    /// Compare every byte, not only samples.
    var verifyAll = false
    /// Messages a second for each topic; nil is as fast as it goes.
    var ratePerTopic: Double?
    /// How many delivered bytes a publisher may be ahead of its slowest subscriber.
    var windowBytes: Int
    /// Never sleep in the poller.
    var poll = false
}

/// How long a phase goes on.
struct PhaseLength: Sendable {
    var durationNs: UInt64
    /// Stop after so many messages of each topic, if that comes first.
    var messagesPerTopic: Int?
}

/// What came of one phase in one loop.
struct PhaseResult: Sendable {
    var published = 0
    var delivered = 0
    var startNs: UInt64 = .max
    var endNs: UInt64 = 0
    var latency = Histogram()

    mutating func merge(_ other: PhaseResult) {
        published += other.published
        delivered += other.delivered
        startNs = min(startNs, other.startNs)
        endNs = max(endNs, other.endNs)
        latency.merge(other.latency)
    }
}

/// Each phase starts and ends with everything delivered, so its figures stand for exactly the messages it counts.
final class ClientLoop {
    /// A publisher with its subscribers, as far as they are this loop's.
    private final class Topic {
        let block: FrameBlock
        let board: TopicBoard
        let publisher: Publisher?
        let subscribers: [Subscriber]
        /// What may be published in this phase, in messages since the connection began.
        var limit = 0
        var startMessages = 0
        /// The server's receipt for a phase without subscribers.
        var pongsWanted = 0

        init(_ block: FrameBlock, _ board: TopicBoard, _ publisher: Publisher?, _ subscribers: [Subscriber]) {
            self.block = block
            self.board = board
            self.publisher = publisher
            self.subscribers = subscribers
        }

        /// What the slowest subscriber has.
        var deliveredByAll: Int {
            var least = Int.max
            for subscriber in subscribers where subscriber.messages < least { least = subscriber.messages }
            return least
        }
    }

    private static let receiveBytesMax = 1 << 18
    /// A run in which nothing moves for this long has lost something.
    private static let stallNs: UInt64 = 15_000_000_000

    private let plan: LoopPlan
    private let poller: Poller
    private var topics: [Topic] = []
    private let buffer: UnsafeMutablePointer<UInt8>
    private var latency = Histogram()
    private var progress: Progress?
    private var phasesBegun = 0

    /// Connects everything; returns when all subscriptions stand.
    init(_ plan: LoopPlan, target: Target, progress: Progress?) throws {
        self.plan = plan
        self.progress = progress
        poller = try Poller()
        buffer = .allocate(capacity: ClientLoop.receiveBytesMax)
        for (topicPlan, board) in zip(plan.topics, plan.boards) {
            let block = FrameBlock(topicPlan)
            var subscribers: [Subscriber] = []
            for _ in 0..<(plan.role == .publish ? 0 : plan.subscribersPerTopic) {
                subscribers.append(try Subscriber(try Connection(target), block, everyChunk: plan.verifyAll))
            }
            var publisher: Publisher?
            if plan.role != .subscribe {
                let connection = try Connection(target)
                if connection.payloadBytesMax > 0, topicPlan.payloadBytes > connection.payloadBytesMax {
                    throw BenchError.refused(
                        "payloads of \(topicPlan.payloadBytes) bytes: its limit is \(connection.payloadBytesMax)")
                }
                try connection.settle()
                publisher = Publisher(connection, block)
            }
            topics.append(Topic(block, board, publisher, subscribers))
        }
        // A token is the topic's number, then the connection's: 0 publishes, the others subscribe.
        for (number, topic) in topics.enumerated() {
            if let publisher = topic.publisher { try poller.add(publisher.connection.socket, token: number << 16) }
            for (index, subscriber) in topic.subscribers.enumerated() {
                try poller.add(subscriber.connection.socket, token: number << 16 | (index + 1))
            }
        }
    }

    deinit { buffer.deallocate() }

    /// Publishes for as long as `length` says, then waits until all of it has arrived and been checked.
    func run(_ length: PhaseLength, note: String) throws -> PhaseResult {
        latency = Histogram()
        phasesBegun += 1
        let startNs = Clock.nowNs()
        let deadline = startNs + length.durationNs
        for topic in topics {
            topic.startMessages = topic.publisher?.messages ?? topic.deliveredByAll
            topic.limit = length.messagesPerTopic.map { topic.startMessages + $0 } ?? Int.max >> 24
        }
        var stopping = false
        var lastMoveNs = startNs
        var now = startNs
        while true {
            if !stopping {
                let fraction = Double(now - startNs) / Double(max(1, length.durationNs))
                progress?.show(fraction, note, nowNs: now)
                stopping = tryToStop(timeIsUp: now >= deadline)
            } else if isDrained() {
                break
            }
            let moved = try turn(now: now, startNs: startNs)
            now = Clock.nowNs()
            if moved {
                lastMoveNs = now
            } else if now - lastMoveNs > ClientLoop.stallNs + length.durationNs * (plan.role == .both ? 0 : 1) {
                throw stalled()
            }
            rest(moved: moved, now: now, startNs: startNs)
        }
        var result = PhaseResult(startNs: startNs, endNs: Clock.nowNs(), latency: latency)
        for topic in topics {
            let count = topic.limit - topic.startMessages
            if topic.publisher != nil { result.published += count }
            result.delivered += count * topic.subscribers.count
            for subscriber in topic.subscribers where !subscriber.holdsExactly(topic.limit, topic.block) {
                throw BenchError.mismatch("sent \(topic.limit) messages, received \(subscriber.messages) or a part more")
            }
        }
        return result
    }

    /// Makes sure that nothing follows what was counted: a PING on each subscriber brings its PONG, and no message.
    func finish() throws {
        for topic in topics {
            for subscriber in topic.subscribers { try subscriber.connection.settle() }
        }
        progress?.clear()
    }

    /// One pass over all connections. Returns whether anything moved.
    private func turn(now: UInt64, startNs: UInt64) throws -> Bool {
        var moved = false
        for topic in topics {
            if let publisher = topic.publisher {
                let allowed = allowance(topic, publisher, now: now, startNs: startNs)
                let before = publisher.begunMessages
                let sent =
                    plan.singleWrites ? try publisher.pumpSingly(upTo: allowed) : try publisher.pump(upTo: allowed)
                if sent > 0 {
                    moved = true
                    // The first message of a send is the one that waits longest.
                    if plan.ratePerTopic == nil { topic.board.mark(message: before + 1, ns: now) }
                }
                if publisher.readable { try publisher.readControl(buffer, ClientLoop.receiveBytesMax) }
            }
            var received = false
            for subscriber in topic.subscribers where subscriber.readable {
                let before = subscriber.messages
                if try subscriber.pump(buffer, ClientLoop.receiveBytesMax) > 0 {
                    received = true
                    measure(topic, subscriber, from: before, startNs: startNs)
                }
            }
            if received {
                moved = true
                topic.board.delivered.store(topic.deliveredByAll, ordering: .releasing)
            }
        }
        return moved
    }

    /// How many messages the publisher may have sent by now.
    @inline(__always)
    private func allowance(_ topic: Topic, _ publisher: Publisher, now: UInt64, startNs: UInt64) -> Int {
        var allowed = topic.limit
        if plan.subscribersPerTopic > 0 {
            let window = max(2, plan.windowBytes / topic.block.deliverFrameBytes)
            allowed = min(allowed, topic.board.delivered.load(ordering: .acquiring) + window)
        }
        if let rate = plan.ratePerTopic {
            allowed = min(allowed, topic.startMessages + Int(Double(now - startNs) * 1e-9 * rate))
        }
        return max(allowed, publisher.begunMessages)
    }

    /// Records the delay of what has just arrived. Without a rate: of the marked messages. With one: of every message,
    /// against the time at which it was due, so that a late publisher hides nothing.
    @inline(__always)
    private func measure(_ topic: Topic, _ subscriber: Subscriber, from before: Int, startNs: UInt64) {
        let now = Clock.nowNs()
        guard let rate = plan.ratePerTopic else {
            subscriber.markCursor = topic.board.measure(
                from: subscriber.markCursor, messages: subscriber.messages, now: now, into: &latency)
            return
        }
        for message in before..<max(before, subscriber.messages) {
            let due = startNs + UInt64(Double(message - topic.startMessages + 1) / rate * 1e9)
            latency.record(now > due ? now - due : 0)
        }
    }

    /// Looks for events, and sleeps when there is nothing else to do.
    private func rest(moved: Bool, now: UInt64, startNs: UInt64) {
        var timeoutMs: Int32 = moved || plan.poll ? 0 : 50
        if timeoutMs > 0, let rate = plan.ratePerTopic, let topic = topics.first, let publisher = topic.publisher {
            let next = Double(publisher.begunMessages - topic.startMessages + 1) / rate * 1e9
            let due = startNs + UInt64(next)
            if due > now { poller.wake(inNs: due - now) } else { timeoutMs = 0 }
        } else if timeoutMs > 0, plan.role != .both {
            // The other loop moves the window or ends the phase without a word.
            poller.wake(inNs: 100_000)
        }
        poller.wait(timeoutMs: timeoutMs) { event in
            let topic = topics[event.token >> 16]
            let index = event.token & 0xFFFF
            if index > 0 {
                if event.readable { topic.subscribers[index - 1].readable = true }
            } else if let publisher = topic.publisher {
                if event.readable { publisher.readable = true }
                if event.writable { publisher.writable = true }
            }
        }
    }

    /// Ends the publishing at a whole message, once the time is up or the count reached; a topic without subscribers
    /// asks with a PING for the server's receipt. A loop that only subscribes waits for the other loop's word.
    private func tryToStop(timeIsUp: Bool) -> Bool {
        if plan.role == .subscribe {
            guard topics.allSatisfy({ $0.board.phasesEnded.load(ordering: .acquiring) >= phasesBegun }) else {
                return false
            }
            for topic in topics { topic.limit = topic.board.limit.load(ordering: .acquiring) }
            return true
        }
        guard timeIsUp || topics.allSatisfy({ $0.publisher?.messages == $0.limit }) else { return false }
        for topic in topics {
            guard let publisher = topic.publisher else { continue }
            topic.limit = publisher.begunMessages
            topic.board.limit.store(topic.limit, ordering: .releasing)
            topic.board.phasesEnded.store(phasesBegun, ordering: .releasing)
            if plan.subscribersPerTopic == 0 {
                publisher.queue("PING\r\n")
                topic.pongsWanted = publisher.pongs + 1
            }
        }
        return true
    }

    private func isDrained() -> Bool {
        topics.allSatisfy { topic in
            if let publisher = topic.publisher {
                if publisher.messages != topic.limit { return false }
                if plan.subscribersPerTopic == 0 && publisher.pongs < topic.pongsWanted { return false }
            }
            return topic.subscribers.allSatisfy { $0.messages >= topic.limit }
        }
    }

    private func stalled() -> BenchError {
        let lines = topics.enumerated().map { number, topic in
            let sent = topic.publisher.map { "sent \($0.messages), " } ?? ""
            let received = topic.subscribers.map { String($0.messages) }.joined(separator: ", ")
            return "topic \(number): \(sent)received [\(received)]"
        }
        return .stalled("nothing moved for \(ClientLoop.stallNs / 1_000_000_000) s; " + lines.joined(separator: "; "))
    }
}

@available(*, unavailable)
extension ClientLoop: Sendable {}
