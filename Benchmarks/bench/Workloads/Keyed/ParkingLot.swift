// Takes messages of one keyed consumer one by one, outside of a pool: to park keys, and to see when a parked one comes back.

import Glibc

/// Its keys begin with `parked-`; each has one message. One thread's.
final class ParkingLot {
    let stream: String
    let consumer: String
    private let target: Target
    private let prefix: String
    private let padding: String
    private let pipe: MessagePipe
    private let inbox: String
    /// What the stream holds.
    private var published: Int

    static let paddingDefault = "parked-"
    private static let batch = 500
    private static let payloadBytes = 128

    init(
        _ target: Target, stream: String, prefix: String, consumer: String, padding: String = ParkingLot.paddingDefault,
        published: Int = 0
    ) throws {
        self.target = target
        self.stream = stream
        self.prefix = prefix
        self.consumer = consumer
        self.padding = padding
        self.published = published
        pipe = try MessagePipe(target)
        inbox = "_INBOX.bellhopbenchlot.\(stream).\(consumer)"
        pipe.queue("SUB \(inbox) 1\r\n")
        try pipe.settle()
    }

    /// The text of a key.
    func key(_ number: Int) -> String {
        let digits = String(number, radix: 16)
        return padding + String(repeating: "0", count: 8 - digits.count) + digits
    }

    /// Publishes one message for each of the keys from 0 on.
    func publish(_ count: Int) throws {
        let publisher = try KeyedPublisher(
            target, stream: stream, prefix: prefix, KeyDraw(KeyPlan(keys: count)), payloadBytes: ParkingLot.payloadBytes,
            padding: padding, firstSequence: published + 1)
        for key in 0..<count {
            publisher.write(key: key, timeNs: Clock.nowNs())
            if key % 1_000 == 999 { try publisher.settle() }
        }
        try publisher.settle()
        published += count
    }

    /// Takes `count` messages and does with each what `body` says. Returns when the server has taken that.
    func take(_ count: Int, _ body: (Message) -> WorkerProcess.Answer?) throws {
        var taken = 0
        var asked = 0
        while taken < count {
            if asked == taken {
                asked = min(count, taken + ParkingLot.batch)
                ask(asked - taken)
            }
            try pipe.flush()
            try pipe.wait(for: "\(count - taken) messages of \(stream) are missing")
            try pipe.receive { message in
                guard message.header.count == 0 else { throw BenchError.mismatch("no message: \(message.shown)") }
                taken += 1
                if let answer = body(message) { WorkerProcess.answer(message.reply, answer, pipe) }
            }
        }
        try pipe.settle()
    }

    /// Publishes a message for each of `count` keys, and parks them.
    func park(_ count: Int, _ api: StreamAPI) throws {
        try publish(count)
        try take(count) { _ in .term }
        try waitUntil(api, "\(count) keys are not parked") { $0.number("parked") >= Double(count) }
    }

    /// Asks for messages without waiting for them.
    func ask(_ count: Int) {
        let body = "{\"batch\":\(count),\"expires\":600000000000}"
        pipe.queue("PUB $JS.API.CONSUMER.MSG.NEXT.\(stream).\(consumer) \(inbox) \(body.utf8.count)\r\n\(body)\r\n")
    }

    /// How long it takes from a request about keys to the message that it brings to the pull request that waits.
    ///
    /// - Returns: nanoseconds to the message, and to the answer.
    func time(_ operation: String, _ body: JSON) throws -> (message: UInt64, answer: UInt64) {
        ask(1)
        try pipe.settle()
        let answers = "_INBOX.bellhopbenchlot.answers"
        pipe.queue("SUB \(answers) 2\r\n")
        let text = body.text
        let startNs = Clock.nowNs()
        pipe.queue("PUB \(KeyFigures.service).\(operation).\(stream).\(consumer) \(answers) \(text.utf8.count)\r\n\(text)\r\n")
        var message: UInt64?
        var answer: UInt64?
        let wanted = Array(answers.utf8)
        while message == nil || answer == nil {
            try pipe.flush()
            try pipe.wait(for: "nothing came after \(operation)")
            try pipe.receive { received in
                let now = Clock.nowNs()
                if received.subject == wanted {
                    let json = JSON(parsing: received.payload.text)
                    guard json?["success"]?.bool == true else {
                        throw BenchError.refused("\(operation): \(received.payload.text)")
                    }
                    answer = now - startNs
                } else {
                    guard received.header.count == 0 else { throw BenchError.mismatch("no message: \(received.shown)") }
                    message = now - startNs
                    WorkerProcess.answer(received.reply, .ack, pipe)
                }
            }
        }
        pipe.queue("UNSUB 2\r\n")
        try pipe.settle()
        return (message ?? 0, answer ?? 0)
    }

    /// Asks for the consumer's figures until they are as wanted.
    func waitUntil(_ api: StreamAPI, _ what: String, _ isSo: (KeyFigures) -> Bool) throws {
        let deadline = Clock.nowNs() + 30_000_000_000
        while !isSo(try KeyFigures.read(api, stream, consumer)) {
            guard Clock.nowNs() < deadline else { throw BenchError.stalled(what) }
            Clock.sleep(ms: 5)
        }
    }
}

@available(*, unavailable)
extension ParkingLot: Sendable {}
