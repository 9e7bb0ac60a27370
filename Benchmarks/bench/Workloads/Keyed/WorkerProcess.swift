// One client process of a pool: a connection over which its workers ask for messages and ack them.

import Glibc

/// Its workers each ask for one message at a time; what several ask for in one turn goes as one pull request.
final class WorkerProcess {
    let pipe: MessagePipe
    let generation: Int
    /// There may be something to receive.
    var readable = true
    /// Workers that handle a message.
    var running = 0
    /// Set while it leaves: the PONG after which nothing more can come.
    private(set) var lastPong: Int?
    private let requests: [[UInt8]]
    /// For each consumer: workers that have not asked yet.
    private var idle: [Int]
    private var askers: [Int] = []

    /// Subscribes, and lets all workers ask.
    ///
    /// - Parameter workers: how many there are for each consumer.
    init(_ target: Target, stream: String, consumers: [String], workers: [Int], place: Int, generation: Int) throws {
        pipe = try MessagePipe(target)
        self.generation = generation
        let inbox = "_INBOX.bellhopbenchpool.\(stream).\(place).\(generation)"
        requests = consumers.map { Array("PUB $JS.API.CONSUMER.MSG.NEXT.\(stream).\($0) \(inbox) ".utf8) }
        idle = workers
        askers = workers.indices.filter { workers[$0] > 0 }
        pipe.queue("SUB \(inbox) 1\r\n")
        try pipe.settle()
    }

    var isLeaving: Bool { lastPong != nil }

    /// Whether it has handled all that it got, and nothing more can come.
    var hasLeft: Bool { lastPong.map { pipe.pongs >= $0 && running == 0 } ?? false }

    /// A worker is free again.
    @inline(__always)
    func free(_ consumer: Int) {
        running -= 1
        idle[consumer] += 1
        if idle[consumer] == 1 { askers.append(consumer) }
    }

    /// Asks for as many messages as workers are idle.
    @inline(__always)
    func ask() {
        guard !askers.isEmpty, !isLeaving else { return }
        for consumer in askers {
            pipe.queue(requests[consumer])
            let body = "{\"batch\":\(idle[consumer]),\"expires\":600000000000}"
            pipe.queue("\(body.utf8.count)\r\n\(body)\r\n")
            idle[consumer] = 0
        }
        askers.removeAll(keepingCapacity: true)
    }

    /// Takes no more messages; those that are under way are still handled.
    func leave() {
        pipe.queue("UNSUB 1\r\nPING\r\n")
        lastPong = pipe.pongs + 1
    }

    /// Queues `PUB <reply> ` with one of the bodies below.
    @inline(__always)
    static func answer(_ reply: Bytes, _ answer: Answer, _ pipe: MessagePipe) {
        let body = answer == .ack ? WorkerProcess.ack : answer == .nak ? WorkerProcess.nak : WorkerProcess.term
        let out = pipe.reserve(4 + reply.count + body.count)
        memcpy(out, "PUB ", 4)
        memcpy(out + 4, reply.start, reply.count)
        body.withUnsafeBufferPointer { _ = memcpy(out + 4 + reply.count, $0.baseAddress!, $0.count) }
    }

    enum Answer { case ack, nak, term }

    private static let ack = Array(" 4\r\n+ACK\r\n".utf8)
    private static let nak = Array(" 4\r\n-NAK\r\n".utf8)
    private static let term = Array(" 5\r\n+TERM\r\n".utf8)
}

@available(*, unavailable)
extension WorkerProcess: Sendable {}
