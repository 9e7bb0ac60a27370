// One client thread's loop: pumps the publishers and subscribers of its topics, keeps the window, measures delays.

import Glibc

/// What one loop is to do; the same for every loop of a run but for the topics.
struct LoopPlan: Sendable {
    var topics: [FrameBlock.Plan]
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
    /// A publisher with its subscribers, and the times at which its messages left.
    private final class Topic {
        let block: FrameBlock
        let publisher: Publisher
        let subscribers: [Subscriber]
        /// What may be published in this phase, in messages since the connection began.
        var limit = 0
        var startMessages = 0
        /// The server's receipt for a phase without subscribers.
        var pongsWanted = 0
        /// A ring of (messages sent so far, when): one mark for each send, skipped while a subscriber is a ring behind.
        let marks: UnsafeMutablePointer<(messages: Int, ns: UInt64)>
        var markCount = 0

        init(_ block: FrameBlock, _ publisher: Publisher, _ subscribers: [Subscriber]) {
            self.block = block
            self.publisher = publisher
            self.subscribers = subscribers
            marks = .allocate(capacity: ClientLoop.marksMax)
            marks.initialize(repeating: (0, 0), count: ClientLoop.marksMax)
        }

        deinit { marks.deallocate() }

        /// What the slowest subscriber has.
        var deliveredByAll: Int {
            var least = Int.max
            for subscriber in subscribers where subscriber.messages < least { least = subscriber.messages }
            return least
        }
    }

    private static let marksMax = 4096
    private static let receiveBytesMax = 1 << 18
    /// A run in which nothing moves for this long has lost something.
    private static let stallNs: UInt64 = 15_000_000_000

    private let plan: LoopPlan
    private let poller: Poller
    private var topics: [Topic] = []
    private let buffer: UnsafeMutablePointer<UInt8>
    private var latency = Histogram()
    private var progress: Progress?

    /// Connects everything; returns when all subscriptions stand.
    init(_ plan: LoopPlan, target: Target, progress: Progress?) throws {
        self.plan = plan
        self.progress = progress
        poller = try Poller()
        buffer = .allocate(capacity: ClientLoop.receiveBytesMax)
        for topicPlan in plan.topics {
            let block = FrameBlock(topicPlan)
            var subscribers: [Subscriber] = []
            for _ in 0..<plan.subscribersPerTopic {
                subscribers.append(try Subscriber(try Connection(target), block, everyChunk: plan.verifyAll))
            }
            let connection = try Connection(target)
            if connection.payloadBytesMax > 0, topicPlan.payloadBytes > connection.payloadBytesMax {
                throw BenchError.refused(
                    "payloads of \(topicPlan.payloadBytes) bytes: its limit is \(connection.payloadBytesMax)")
            }
            try connection.settle()
            topics.append(Topic(block, Publisher(connection, block), subscribers))
        }
        // A token is the topic's number, then the connection's: 0 publishes, the others subscribe.
        for (number, topic) in topics.enumerated() {
            try poller.add(topic.publisher.connection.socket, token: number << 16)
            for (index, subscriber) in topic.subscribers.enumerated() {
                try poller.add(subscriber.connection.socket, token: number << 16 | (index + 1))
            }
        }
    }

    deinit { buffer.deallocate() }

    /// Publishes for as long as `length` says, then waits until all of it has arrived and been checked.
    func run(_ length: PhaseLength, note: String) throws -> PhaseResult {
        latency = Histogram()
        let startNs = Clock.nowNs()
        let deadline = startNs + length.durationNs
        for topic in topics {
            topic.startMessages = topic.publisher.messages
            topic.limit = length.messagesPerTopic.map { topic.startMessages + $0 } ?? Int.max >> 24
        }
        var stopping = false
        var lastMoveNs = startNs
        var now = startNs
        while true {
            if !stopping {
                let fraction = Double(now - startNs) / Double(max(1, length.durationNs))
                progress?.show(fraction, note, nowNs: now)
                if now >= deadline || topics.allSatisfy({ $0.publisher.messages == $0.limit }) {
                    stopping = true
                    stop()
                }
            } else if isDrained() {
                break
            }
            let moved = try turn(now: now, startNs: startNs)
            now = Clock.nowNs()
            if moved {
                lastMoveNs = now
            } else if now - lastMoveNs > ClientLoop.stallNs {
                throw stalled()
            }
            rest(moved: moved, now: now, startNs: startNs)
        }
        var result = PhaseResult(startNs: startNs, endNs: Clock.nowNs(), latency: latency)
        for topic in topics {
            let count = topic.publisher.messages - topic.startMessages
            result.published += count
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
            let publisher = topic.publisher
            let allowed = allowance(topic, now: now, startNs: startNs)
            let before = publisher.begunMessages
            let sent =
                plan.singleWrites ? try publisher.pumpSingly(upTo: allowed) : try publisher.pump(upTo: allowed)
            if sent > 0 {
                moved = true
                if plan.ratePerTopic == nil { mark(topic, first: before, now: now) }
            }
            if publisher.readable { try publisher.readControl(buffer, ClientLoop.receiveBytesMax) }
            for subscriber in topic.subscribers where subscriber.readable {
                let before = subscriber.messages
                if try subscriber.pump(buffer, ClientLoop.receiveBytesMax) > 0 {
                    moved = true
                    measure(topic, subscriber, from: before, startNs: startNs)
                }
            }
        }
        return moved
    }

    /// How many messages the publisher may have sent by now.
    @inline(__always)
    private func allowance(_ topic: Topic, now: UInt64, startNs: UInt64) -> Int {
        var allowed = topic.limit
        if !topic.subscribers.isEmpty {
            let window = max(2, plan.windowBytes / topic.block.deliverFrameBytes)
            allowed = min(allowed, topic.deliveredByAll + window)
        }
        if let rate = plan.ratePerTopic {
            allowed = min(allowed, topic.startMessages + Int(Double(now - startNs) * 1e-9 * rate))
        }
        return max(allowed, topic.publisher.begunMessages)
    }

    /// Notes when the first message of a send left: it is the one that waited longest.
    @inline(__always)
    private func mark(_ topic: Topic, first: Int, now: UInt64) {
        guard !topic.subscribers.isEmpty else { return }
        for subscriber in topic.subscribers where topic.markCount - subscriber.markCursor >= ClientLoop.marksMax {
            return
        }
        topic.marks[topic.markCount & (ClientLoop.marksMax - 1)] = (first + 1, now)
        topic.markCount += 1
    }

    /// Records the delay of what has just arrived. Without a rate: of the marked messages. With one: of every message,
    /// against the time at which it was due, so that a late publisher hides nothing.
    @inline(__always)
    private func measure(_ topic: Topic, _ subscriber: Subscriber, from before: Int, startNs: UInt64) {
        let now = Clock.nowNs()
        if let rate = plan.ratePerTopic {
            for message in before..<max(before, subscriber.messages) {
                let due = startNs + UInt64(Double(message - topic.startMessages + 1) / rate * 1e9)
                latency.record(now > due ? now - due : 0)
            }
            return
        }
        while subscriber.markCursor < topic.markCount {
            let mark = topic.marks[subscriber.markCursor & (ClientLoop.marksMax - 1)]
            if mark.messages > subscriber.messages { break }
            latency.record(now > mark.ns ? now - mark.ns : 0)
            subscriber.markCursor += 1
        }
    }

    /// Looks for events, and sleeps when there is nothing else to do.
    private func rest(moved: Bool, now: UInt64, startNs: UInt64) {
        var timeoutMs: Int32 = moved || plan.poll ? 0 : 50
        if timeoutMs > 0, let rate = plan.ratePerTopic, let topic = topics.first {
            let next = Double(topic.publisher.begunMessages - topic.startMessages + 1) / rate * 1e9
            let due = startNs + UInt64(next)
            if due > now { poller.wake(inNs: due - now) } else { timeoutMs = 0 }
        }
        poller.wait(timeoutMs: timeoutMs) { event in
            let topic = topics[event.token >> 16]
            let index = event.token & 0xFFFF
            if index == 0 {
                if event.readable { topic.publisher.readable = true }
                if event.writable { topic.publisher.writable = true }
            } else if event.readable {
                topic.subscribers[index - 1].readable = true
            }
        }
    }

    /// Ends the publishing at a whole message; a topic without subscribers asks with a PING for the server's receipt.
    private func stop() {
        for topic in topics {
            topic.limit = topic.publisher.begunMessages
            if topic.subscribers.isEmpty {
                topic.publisher.queue("PING\r\n")
                topic.pongsWanted = topic.publisher.pongs + 1
            }
        }
    }

    private func isDrained() -> Bool {
        topics.allSatisfy { topic in
            topic.publisher.messages == topic.limit
                && topic.subscribers.allSatisfy { $0.messages >= topic.limit }
                && (!topic.subscribers.isEmpty || topic.publisher.pongs >= topic.pongsWanted)
        }
    }

    private func stalled() -> BenchError {
        let lines = topics.enumerated().map { number, topic in
            let received = topic.subscribers.map { String($0.messages) }.joined(separator: ", ")
            return "topic \(number): sent \(topic.publisher.messages), received [\(received)]"
        }
        return .stalled("nothing moved for \(ClientLoop.stallNs / 1_000_000_000) s; " + lines.joined(separator: "; "))
    }
}

@available(*, unavailable)
extension ClientLoop: Sendable {}
