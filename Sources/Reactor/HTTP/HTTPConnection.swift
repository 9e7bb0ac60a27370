// One connection of the HTTP server: reads a request, waits for its answer, writes it, and begins again.
//
//     reading ──request──▶ answering ──answer──▶ writing ──all sent──▶ reading, or closed
//
// One request is worked on at a time, which keeps pipelined answers in order. Meanwhile nothing is read: what the client
// sends waits in the socket, and in at most 64 KiB of the channel's memory.

final class HTTPConnection: ChannelHandler {
    private enum Phase: Equatable {
        case reading
        case answering
        case writing
        case closed
    }

    /// What a loop keeps for a channel between reads without receiving in place; more than that is not kept here.
    private static let keptBytesMax = EventLoop.carryCopiedBytesMax
    /// Staged at a time, so that a large body is in memory once only.
    private static let chunkBytes = 64 << 10
    /// Written before the other channels of the loop get their turn.
    private static let turnBytesMax = 1 << 20

    private let server: HTTPServer
    private let channel: ChannelRef
    private var parser: HTTPRequestParser
    private var phase = Phase.reading
    private var number: UInt64 = 0
    /// Some bytes of a request have come.
    private var hasBegun = false
    private var hasSaidContinue = false
    private var timer: TimerID?

    /// About the request that is being answered.
    private var keepsAlive = false
    private var announcesKeepAlive = false
    private var wantsBody = true
    private var body: [UInt8] = []
    private var sentBytes = 0

    /// When the connection began to wait for a request.
    private(set) var idleSinceNs: UInt64

    init(server: HTTPServer, channel: ChannelRef) {
        self.server = server
        self.channel = channel
        parser = HTTPRequestParser(limits: server.limits.request)
        idleSinceNs = Clock.monotonicNs()
        arm(server.limits.readMs)
    }

    private var loop: EventLoop { server.loop }

    /// It waits for a request of which nothing has come yet.
    var isIdle: Bool { phase == .reading && !hasBegun }

    func close() { loop.close(channel, .requested) }

    func closed(_ reason: CloseReason) {
        phase = .closed
        disarm()
        server.unsentBytes -= body.count
        body = []
        server.remove(channel)
    }

    // MARK: Reading

    func received(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> ReadOutcome {
        guard phase == .reading else { return ReadOutcome(consumed: phase == .closed ? count : 0) }
        switch parser.parse(UnsafeBufferPointer(start: bytes, count: count)) {
        case .incomplete(let frameBytes, let awaitsContinue):
            if !hasBegun {
                hasBegun = true
                arm(server.limits.readMs)
            }
            if awaitsContinue && !hasSaidContinue {
                hasSaidContinue = true
                loop.write(channel, "HTTP/1.1 100 Continue\r\n\r\n")
            }
            return ReadOutcome(consumed: 0, frameBytes: frameBytes)
        case .refused(let refusal):
            begin(keepsAlive: false, announcesKeepAlive: false, wantsBody: true)
            write(.refusal(refusal))
            return ReadOutcome(consumed: count)
        case .request(let request, let consumed):
            begin(
                keepsAlive: request.keepsAlive, announcesKeepAlive: request.keepsAlive && request.minorVersion == 0,
                wantsBody: request.method != "HEAD")
            arm(server.limits.answerMs)
            let responder = HTTPResponder(mailbox: loop.mailbox, channel: channel.pointee.id, number: number)
            server.handler(request, responder)
            if count - consumed > HTTPConnection.keptBytesMax {
                // Too much at once: what follows this request goes unanswered, which a client that pipelines expects.
                keepsAlive = false
                return ReadOutcome(consumed: count)
            }
            return ReadOutcome(consumed: consumed)
        }
    }

    private func begin(keepsAlive: Bool, announcesKeepAlive: Bool, wantsBody: Bool) {
        self.keepsAlive = keepsAlive
        self.announcesKeepAlive = announcesKeepAlive
        self.wantsBody = wantsBody
        number += 1
        hasBegun = false
        hasSaidContinue = false
        phase = .answering
        loop.pauseReading(channel)
    }

    // MARK: Writing

    /// The answer to request `number`; a second one, and one that comes too late, is ignored.
    func answer(_ number: UInt64, _ response: HTTPResponse) {
        guard phase == .answering, number == self.number else { return }
        if server.unsentBytes > 0 && server.unsentBytes + response.body.count > server.limits.unsentBytesMax {
            write(.text(.serviceUnavailable, "too many answers wait for slow clients"))
        } else {
            write(response)
        }
    }

    private func write(_ response: HTTPResponse) {
        disarm()
        phase = .writing
        let seconds = Int(Clock.wallNs() / 1_000_000_000)
        let head = response.head(dateSeconds: seconds, closes: !keepsAlive, announcesKeepAlive: announcesKeepAlive)
        head.withUnsafeBytes { loop.write(channel, $0) }
        if wantsBody && response.mayHaveBody {
            body = response.body
            server.unsentBytes += body.count
        }
        sentBytes = 0
        pump()
    }

    /// Stages the body piece by piece, as fast as the socket takes it.
    private func pump() {
        // Never so much that the loop would cut the channel for it.
        let chunk = max(1, min(HTTPConnection.chunkBytes, loop.limits.maxPendingBytes / 4))
        var rest = HTTPConnection.turnBytesMax
        while phase == .writing {
            let count = min(chunk, body.count - sentBytes)
            body.withUnsafeBytes { bytes in
                loop.write(channel, UnsafeRawBufferPointer(rebasing: bytes[sentBytes..<sentBytes + count]))
            }
            sentBytes += count
            rest -= count
            loop.flushStage(channel)
            // A flush that fails closes; `queueDrained` goes on where one could not send all.
            guard phase == .writing, channel.pointee.queueHead == nil else { return }
            if sentBytes == body.count {
                finish()
                return
            }
            if rest <= 0 {
                let id = channel.pointee.id
                loop.mailbox.post { loop in (loop.channel(id)?.pointee.handler as? HTTPConnection)?.pump() }
                return
            }
        }
    }

    func queueDrained() { pump() }

    /// All is with the system: on to the next request, which may be here already.
    private func finish() {
        server.unsentBytes -= body.count
        body = []
        guard keepsAlive else {
            loop.close(channel, .requested, linger: true)
            return
        }
        phase = .reading
        idleSinceNs = Clock.monotonicNs()
        arm(server.limits.idleMs)
        loop.resumeReading(channel)
    }

    // MARK: Time

    private func arm(_ delayMs: Int) {
        disarm()
        timer = loop.schedule(afterMs: delayMs) { [weak self] in self?.timedOut() }
    }

    private func disarm() {
        if let timer { loop.cancel(timer) }
        timer = nil
    }

    private func timedOut() {
        timer = nil
        switch phase {
        case .reading where hasBegun:
            begin(keepsAlive: false, announcesKeepAlive: false, wantsBody: true)
            write(.text(.requestTimeout, "408 Request Timeout"))
        case .reading: close()
        case .answering:
            keepsAlive = false
            write(.text(.serviceUnavailable, "503 Service Unavailable"))
        case .writing, .closed: break
        }
    }
}
