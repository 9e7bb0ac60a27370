// Request and reply: requesters that keep a number of requests outstanding, and one responder, on one client thread.

import Glibc

/// Every requester has an inbox with a wildcard subscription, as clients have; every request its own reply subject.
struct RequestReply: Sendable {
    var name: String
    /// Requests under way per requester.
    var outstanding = 1
    var requesters = 1
    var payloadBytes = 128
    /// Never sleep in the poller: shows the server's share of the delay, and takes a core.
    var poll = false

    func run(_ context: RunContext) throws -> Measurement {
        let loop = try RequestLoop(self, target: context.target, progress: context.progress())
        var measurement = Measurement(workload: name, unit: "round trips")
        _ = try loop.run(PhaseLength(durationNs: context.timing.warmupNs), note: "warm-up")
        let meter = CostMeter(context.probe)
        let result = try loop.run(
            PhaseLength(durationNs: context.timing.durationNs, messagesPerTopic: context.timing.messages), note: "")
        measurement.take(meter, context.probe)
        try loop.finish()
        measurement.messages = Double(result.published)
        measurement.seconds = Double(result.endNs - result.startNs) / 1e9
        measurement.payloadBytes = measurement.messages * Double(payloadBytes)
        measurement.latency = LatencySummary(result.latency)
        measurement.latencyOf = "round trip"
        return measurement
    }
}

/// A connection whose frames all have one length, with room for what is half received or half sent.
private final class FramePipe {
    let connection: Connection
    let frameBytes: Int
    var readable = true
    private var input: UnsafeMutablePointer<UInt8>
    private let inputCapacity: Int
    private var inputCount = 0
    private var output: UnsafeMutablePointer<UInt8>
    private var outputCapacity: Int
    private var outputStart = 0
    private var outputEnd = 0
    var writable = true

    init(_ connection: Connection, frameBytes: Int) {
        self.connection = connection
        self.frameBytes = frameBytes
        inputCapacity = frameBytes + 1 << 18
        input = .allocate(capacity: inputCapacity)
        outputCapacity = 1 << 16
        output = .allocate(capacity: outputCapacity)
        let unread = connection.takeUnread()
        input.update(from: unread, count: unread.count)
        inputCount = unread.count
    }

    deinit {
        input.deallocate()
        output.deallocate()
    }

    /// Room for `count` more bytes of output, which the caller fills at once.
    func reserve(_ count: Int) -> UnsafeMutablePointer<UInt8> {
        if outputEnd + count > outputCapacity {
            let grown = max(outputCapacity * 2, outputEnd + count)
            let larger = UnsafeMutablePointer<UInt8>.allocate(capacity: grown)
            larger.update(from: output, count: outputEnd)
            output.deallocate()
            output = larger
            outputCapacity = grown
        }
        defer { outputEnd += count }
        return output + outputEnd
    }

    /// Sends what is reserved, as far as the kernel takes it. Returns whether anything went.
    func flush() throws -> Bool {
        var moved = false
        while writable, outputStart < outputEnd {
            switch connection.socket.send(output + outputStart, outputEnd - outputStart) {
            case .bytes(let count):
                outputStart += count
                moved = true
            case .wouldBlock: writable = false
            case .closed: throw connection.brokenError()
            }
        }
        if outputStart == outputEnd {
            outputStart = 0
            outputEnd = 0
        }
        return moved
    }

    /// One receive; hands each whole MSG frame to `body`. Returns whether anything came.
    func receive(_ body: (UnsafePointer<UInt8>) throws -> Void) throws -> Bool {
        let room = inputCapacity - inputCount
        switch connection.socket.receive(input + inputCount, room) {
        case .wouldBlock:
            readable = false
            return false
        case .closed: throw connection.brokenError()
        case .bytes(let count):
            if count < room { readable = false }
            inputCount += count
        }
        var at = 0
        while at < inputCount {
            if input[at] == UInt8(ascii: "M") {
                guard inputCount - at >= frameBytes else { break }
                try body(input + at)
                at += frameBytes
            } else {
                guard let end = memchr(input + at, 10, inputCount - at) else { break }
                let count = UnsafePointer<UInt8>(end.assumingMemoryBound(to: UInt8.self)) - UnsafePointer(input + at)
                try control(String(decoding: UnsafeBufferPointer(start: input + at, count: count), as: UTF8.self))
                at += count + 1
            }
        }
        if at > 0 {
            memmove(input, input + at, inputCount - at)
            inputCount -= at
        }
        return true
    }

    private func control(_ line: String) throws {
        if line.hasPrefix("PING") {
            let pong = Array("PONG\r\n".utf8)
            reserve(pong.count).update(from: pong, count: pong.count)
        } else if line.hasPrefix("-ERR") {
            throw BenchError.refused(String(line.dropFirst(5)))
        } else if line.hasPrefix("HMSG") {
            throw BenchError.mismatch("a request found no responder")
        } else if !line.hasPrefix("INFO") && !line.hasPrefix("PONG") && !line.hasPrefix("+OK") {
            throw BenchError.mismatch("unexpected: \(line.prefix(120))")
        }
    }
}

/// Frames are templates in which only the 16 digits of a request's token change:
///
///     PUB svc.echo _INBOX.iiiiiiiiiiiiiiiiiiiiii.TTTTTTTTTTTTTTTT n\r\n TTTTTTTTTTTTTTTT filler \r\n       requester sends
///     MSG svc.echo 1 _INBOX.iiiiiiiiiiiiiiiiiiiiii.TTTTTTTTTTTTTTTT n\r\n TTTTTTTTTTTTTTTT filler \r\n     responder gets
///     PUB _INBOX.iiiiiiiiiiiiiiiiiiiiii.TTTTTTTTTTTTTTTT n\r\n TTTTTTTTTTTTTTTT filler \r\n                responder sends
///     MSG _INBOX.iiiiiiiiiiiiiiiiiiiiii.TTTTTTTTTTTTTTTT 1 n\r\n TTTTTTTTTTTTTTTT filler \r\n              requester gets
private final class RequestLoop {
    private struct Frame {
        let bytes: [UInt8]
        let subjectToken: Int
        let payloadToken: Int

        init(_ head: String, afterInbox: String, payload: [UInt8]) {
            let line = Array(head.utf8)
            subjectToken = line.count
            let full = line + [UInt8](repeating: 48, count: 16) + Array(afterInbox.utf8)
            payloadToken = full.count
            bytes = full + payload + [13, 10]
        }

        /// Whether `frame` is this one with `slot` and `sequence` in both places; every byte is compared.
        func matches(_ frame: UnsafePointer<UInt8>, _ slot: UInt64, _ sequence: UInt64) -> Bool {
            let first = UnsafeRawPointer(frame + subjectToken)
            let second = UnsafeRawPointer(frame + payloadToken)
            return bytes.withUnsafeBufferPointer { expected in
                let expected = expected.baseAddress!
                return first.loadUnaligned(as: UInt64.self) == slot
                    && first.loadUnaligned(fromByteOffset: 8, as: UInt64.self) == sequence
                    && second.loadUnaligned(as: UInt64.self) == slot
                    && second.loadUnaligned(fromByteOffset: 8, as: UInt64.self) == sequence
                    && memcmp(frame, expected, subjectToken) == 0
                    && memcmp(frame + subjectToken + 16, expected + subjectToken + 16, payloadToken - subjectToken - 16)
                        == 0
                    && memcmp(frame + payloadToken + 16, expected + payloadToken + 16, bytes.count - payloadToken - 16)
                        == 0
            }
        }

        /// Writes it with a token.
        func write(_ slot: UInt64, _ sequence: UInt64, to target: UnsafeMutablePointer<UInt8>) {
            target.update(from: bytes, count: bytes.count)
            for offset in [subjectToken, payloadToken] {
                let raw = UnsafeMutableRawPointer(target + offset)
                raw.storeBytes(of: slot, as: UInt64.self)
                raw.storeBytes(of: sequence, toByteOffset: 8, as: UInt64.self)
            }
        }
    }

    private final class Requester {
        let pipe: FramePipe
        let request: Frame
        let reply: Frame
        /// Per slot: the sequence that is under way, and when it left. 0 is free.
        var sequences: [UInt64]
        var sentNs: [UInt64]
        var underWay = 0

        init(_ pipe: FramePipe, _ request: Frame, _ reply: Frame, slots: Int) {
            self.pipe = pipe
            self.request = request
            self.reply = reply
            sequences = [UInt64](repeating: 0, count: slots)
            sentNs = sequences
        }
    }

    private let plan: RequestReply
    private let poller: Poller
    private let responder: FramePipe
    private let answer: Frame
    private let incoming: Frame
    private var requesters: [Requester] = []
    private var nextSequence: UInt64 = 1
    private var progress: Progress?
    private static let stallNs: UInt64 = 15_000_000_000

    init(_ plan: RequestReply, target: Target, progress: Progress?) throws {
        self.plan = plan
        self.progress = progress
        poller = try Poller()
        var random = SplitMix(state: 7)
        var payload = [UInt8](repeating: 48, count: plan.payloadBytes)
        for index in 16..<payload.count { payload[index] = UInt8(ascii: "a") + UInt8(random.next() >> 59) % 26 }
        let end = "\(plan.payloadBytes)\r\n"
        func inbox(_ number: Int) -> String {
            let digits = String(number)
            return "_INBOX.bellhopbench" + String(repeating: "0", count: 10 - digits.count) + digits + "."
        }
        let connection = try Connection(target)
        if connection.payloadBytesMax > 0, plan.payloadBytes > connection.payloadBytesMax {
            throw BenchError.refused("payloads of \(plan.payloadBytes) bytes: its limit is \(connection.payloadBytesMax)")
        }
        try connection.say("SUB svc.echo 1\r\n")
        try connection.settle()
        // The inboxes' last digits tell requesters apart; the responder treats the head as opaque.
        incoming = Frame("MSG svc.echo 1 " + inbox(0), afterInbox: " " + end, payload: payload)
        answer = Frame("PUB " + inbox(0), afterInbox: " " + end, payload: payload)
        responder = FramePipe(connection, frameBytes: incoming.bytes.count)
        try poller.add(connection.socket, token: 0)
        for number in 0..<plan.requesters {
            let connection = try Connection(target)
            try connection.say("SUB \(inbox(number))* 1\r\n")
            try connection.settle()
            let request = Frame("PUB svc.echo " + inbox(number), afterInbox: " " + end, payload: payload)
            let reply = Frame("MSG " + inbox(number), afterInbox: " 1 " + end, payload: payload)
            let pipe = FramePipe(connection, frameBytes: reply.bytes.count)
            requesters.append(Requester(pipe, request, reply, slots: plan.outstanding))
            try poller.add(connection.socket, token: number + 1)
        }
    }

    /// Requests for as long as `length` says, then waits for the last replies. `published` counts round trips.
    func run(_ length: PhaseLength, note: String) throws -> PhaseResult {
        var result = PhaseResult()
        let startNs = Clock.nowNs()
        let deadline = startNs + length.durationNs
        let limit = length.messagesPerTopic ?? Int.max
        var now = startNs
        var lastMoveNs = startNs
        var begun = 0
        for requester in requesters {
            for slot in 0..<plan.outstanding where begun < limit {
                send(requester, slot, now)
                begun += 1
            }
        }
        while true {
            var moved = false
            for requester in requesters { if try requester.pipe.flush() { moved = true } }
            if responder.readable {
                if try responder.receive({ try self.respond($0) }) { moved = true }
            }
            if try responder.flush() { moved = true }
            var underWay = 0
            for requester in requesters {
                if requester.pipe.readable {
                    let came = try requester.pipe.receive { frame in
                        let slot = try self.check(requester, frame)
                        let arrived = Clock.nowNs()
                        result.latency.record(arrived - requester.sentNs[slot])
                        result.published += 1
                        requester.underWay -= 1
                        requester.sequences[slot] = 0
                        if arrived < deadline && begun < limit {
                            self.send(requester, slot, arrived)
                            begun += 1
                        }
                    }
                    if came {
                        moved = true
                        _ = try requester.pipe.flush()
                    }
                }
                underWay += requester.underWay
            }
            now = Clock.nowNs()
            if underWay == 0 { break }
            if moved {
                lastMoveNs = now
                progress?.show(Double(now - startNs) / Double(max(1, length.durationNs)), note, nowNs: now)
            } else if now - lastMoveNs > RequestLoop.stallNs {
                throw BenchError.stalled("\(underWay) requests are without a reply")
            }
            // Flags say what is left to read; only when nothing is, there is reason to sleep.
            let busy = responder.readable || requesters.contains { $0.pipe.readable }
            poller.wait(timeoutMs: busy || plan.poll ? 0 : 50) { event in
                let pipe = event.token == 0 ? responder : requesters[event.token - 1].pipe
                if event.readable { pipe.readable = true }
                if event.writable { pipe.writable = true }
            }
        }
        result.startNs = startNs
        result.endNs = now
        return result
    }

    /// Nothing may follow the last reply.
    func finish() throws {
        try responder.connection.settle()
        for requester in requesters { try requester.pipe.connection.settle() }
        progress?.clear()
    }

    private func send(_ requester: Requester, _ slot: Int, _ now: UInt64) {
        let sequence = Hex.word(UInt32(truncatingIfNeeded: nextSequence))
        nextSequence += 1
        requester.request.write(
            Hex.word(UInt32(slot)), sequence, to: requester.pipe.reserve(requester.request.bytes.count))
        requester.sequences[slot] = sequence
        requester.sentNs[slot] = now
        requester.underWay += 1
    }

    /// Answers one request to the inbox that it names, with the payload that came.
    private func respond(_ frame: UnsafePointer<UInt8>) throws {
        let head = 15 + 7 + 22 + 1
        guard memcmp(frame, "MSG svc.echo 1 _INBOX.", 22) == 0, incoming.subjectToken == head else {
            let got = String(decoding: UnsafeBufferPointer(start: frame, count: 60), as: UTF8.self)
            throw BenchError.mismatch("the responder received \(JSON.quoted(got))")
        }
        let out = responder.reserve(answer.bytes.count)
        memcpy(out, "PUB ", 4)
        memcpy(out + 4, frame + 15, incoming.bytes.count - 15)
    }

    /// Finds the request that a reply belongs to; a second or a wrong reply throws.
    private func check(_ requester: Requester, _ frame: UnsafePointer<UInt8>) throws -> Int {
        let raw = UnsafeRawPointer(frame + requester.reply.subjectToken)
        let slotDigits = raw.loadUnaligned(as: UInt64.self)
        let sequence = raw.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
        var slot = 0
        withUnsafeBytes(of: slotDigits) { digits in
            for digit in digits { slot = slot << 4 | Int(digit > 57 ? digit &- 87 : digit &- 48) & 15 }
        }
        guard slot < plan.outstanding, requester.sequences[slot] == sequence,
            requester.reply.matches(frame, slotDigits, sequence)
        else {
            let got = String(decoding: UnsafeBufferPointer(start: frame, count: 90), as: UTF8.self)
            throw BenchError.mismatch("a reply to no open request: \(JSON.quoted(got))")
        }
        return slot
    }
}
