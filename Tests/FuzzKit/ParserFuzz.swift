// ClientParser against the oracle, on valid, damaged and random bytes, whole and in pieces.

import Wire

enum ParserFuzz {
    @Sendable static func iterate(_ random: inout SeededRandom) throws(FuzzFailure) {
        let lineMax = random.pick([8, 20, 64, 300]), payloadMax = random.pick([0, 5, 40, 200])
        var bytes: [UInt8] = []
        for _ in 0..<(1 + random.below(6)) { bytes += operation(&random, lineMax, payloadMax) }
        if random.once(in: 3) { damage(&bytes, &random) }
        if random.once(in: 20) { bytes = random.bytes(random.below(60)) }

        var oracle = OracleParser(controlLineBytesMax: lineMax, payloadBytesMax: payloadMax)
        for byte in bytes { oracle.feed(byte) }
        let whole = parse(bytes, pieces: [bytes.count], lineMax, payloadMax, &random)
        try compare(whole, oracle, bytes, "whole, line \(lineMax), payload \(payloadMax)")

        var pieces: [Int] = []
        var left = bytes.count
        while left > 0 {
            let piece = min(left, random.once(in: 2) ? 1 : 1 + random.below(30))
            pieces.append(piece)
            left -= piece
        }
        let split = parse(bytes, pieces: pieces, lineMax, payloadMax, &random)
        try compare(split, oracle, bytes, "pieces \(pieces), line \(lineMax), payload \(payloadMax)")
    }

    private struct Outcome {
        var operations: [OracleOperation] = []
        var violation: ProtocolViolation?
        var frameBytes = 0
    }

    private static func compare(
        _ outcome: Outcome, _ oracle: OracleParser, _ bytes: [UInt8], _ how: String
    ) throws(FuzzFailure) {
        try require(
            outcome.operations == oracle.operations,
            "operations of \(shown(bytes)), \(how): \(outcome.operations), not \(oracle.operations)")
        try require(
            outcome.violation == oracle.violation,
            "violation in \(shown(bytes)), \(how): \(String(describing: outcome.violation)), not \(String(describing: oracle.violation))"
        )
        if oracle.violation == nil {
            try require(
                outcome.frameBytes == oracle.frameBytes,
                "frame length in \(shown(bytes)), \(how): \(outcome.frameBytes), not \(oracle.frameBytes)")
        }
    }

    /// As a connection does it: what is left over is presented again with more behind it, at the very end of memory.
    private static func parse(
        _ bytes: [UInt8], pieces: [Int], _ lineMax: Int, _ payloadMax: Int, _ random: inout SeededRandom
    ) -> Outcome {
        let memory = GuardedBytes(capacity: bytes.count + ClientParser.slackBytes)
        var parser = ClientParser(controlLineBytesMax: lineMax, payloadBytesMax: payloadMax)
        var outcome = Outcome()
        var start = 0, end = 0
        for piece in pieces {
            end += piece
            let base = memory.place(
                bytes[start..<end], slack: ClientParser.slackBytes, junk: random.pick([0x0A, 0x20, 0x0D, 0x78, 0]))
            let limit = base + (end - start)
            var cursor = base
            outcome.frameBytes = 0
            reading: while cursor < limit {
                switch parser.parse(cursor, limit) {
                case .operation(let verb, let next):
                    outcome.operations.append(values(verb, parser))
                    cursor = next
                case .incomplete(let frameBytes):
                    outcome.frameBytes = frameBytes
                    break reading
                case .violation(let violation):
                    outcome.violation = violation
                    return outcome
                }
            }
            start += cursor - base
        }
        return outcome
    }

    private static func values(_ verb: ClientVerb, _ parser: borrowing ClientParser) -> OracleOperation {
        var operation = OracleOperation(verb: verb)
        switch verb {
        case .publish:
            operation.subject = parser.subject.bytes
            operation.reply = parser.reply.bytes
            operation.headerBytes = parser.headerBytes
            operation.payload = parser.payload.bytes
        case .subscribe:
            operation.subject = parser.subject.bytes
            operation.queue = parser.queue.bytes
            operation.sid = parser.sid.bytes
            operation.text = parser.text.bytes
        case .unsubscribe:
            operation.sid = parser.sid.bytes
            operation.maxMessages = parser.maxMessages
            operation.text = parser.text.bytes
        case .connect, .info, .error: operation.text = parser.text.bytes
        case .ping, .pong, .ok: break
        }
        return operation
    }

    // MARK: What is parsed

    private static func operation(_ random: inout SeededRandom, _ lineMax: Int, _ payloadMax: Int) -> [UInt8] {
        func blanks(_ random: inout SeededRandom) -> String {
            if random.once(in: 60) { return String(repeating: " ", count: random.below(2 * lineMax)) }
            return random.pick([" ", " ", " ", "\t", "  ", " \t "])
        }
        func word(_ random: inout SeededRandom) -> String {
            if random.once(in: 30) { return String(repeating: "w", count: random.below(2 * lineMax)) }
            return random.pick([
                "a", "foo", "foo.bar", "x.*.>", "12", "ü", "a\u{1}b", "\u{7F}", "_INBOX.abcdefghijk", "0", "9999999999", "-1",
                "1 2",
            ])
        }
        func size(_ value: Int, _ random: inout SeededRandom) -> String {
            random.once(in: 20)
                ? random.pick(["", "x", "-1", "0000000001", "1e1", "999999999", "+1"])
                : String(repeating: "0", count: random.below(2)) + String(value)
        }
        let lineEnd = random.pick(["\r\n", "\r\n", "\r\n", "\n", "\r\r\n", " \r\n", "\t\n"])
        func cased(_ verb: String, _ random: inout SeededRandom) -> String { random.once(in: 4) ? verb.lowercased() : verb }
        switch random.below(12) {
        case 0: return Array((cased("PING", &random) + random.pick(["", "", "x", " y"]) + lineEnd).utf8)
        case 1: return Array((cased("PONG", &random) + lineEnd).utf8)
        case 2: return Array((random.pick(["+OK", "+ok", "-ERR 'x'", "-err", "INFO {}", "info{}"]) + lineEnd).utf8)
        case 3:
            return Array(
                (cased("CONNECT", &random) + (random.once(in: 4) ? "" : blanks(&random)) + "{\"a\":\"\(word(&random))\"}"
                    + lineEnd).utf8)
        case 4, 5:
            var text = cased("SUB", &random)
            for _ in 0..<(random.once(in: 10) ? random.below(6) : 2 + random.below(2)) {
                text += blanks(&random) + word(&random)
            }
            return Array((text + lineEnd).utf8)
        case 6:
            var text = cased("UNSUB", &random)
            for _ in 0..<(random.once(in: 10) ? random.below(5) : 1 + random.below(2)) {
                text += blanks(&random) + word(&random)
            }
            return Array((text + lineEnd).utf8)
        default:
            let total = random.once(in: 15) ? payloadMax + random.below(3) : random.below(payloadMax + 1)
            let hasHeaders = random.once(in: 3)
            var text = cased(hasHeaders ? "HPUB" : "PUB", &random) + blanks(&random) + word(&random)
            if random.once(in: 2) { text += blanks(&random) + word(&random) }
            if hasHeaders { text += blanks(&random) + size(random.below(total + 2), &random) }
            text += blanks(&random) + size(total, &random)
            return Array((text + lineEnd).utf8) + random.bytes(total) + Array((random.once(in: 20) ? "\n" : "\r\n").utf8)
        }
    }

    private static func damage(_ bytes: inout [UInt8], _ random: inout SeededRandom) {
        for _ in 0..<(1 + random.below(3)) where !bytes.isEmpty {
            let place = random.below(bytes.count)
            switch random.below(4) {
            case 0: bytes[place] = UInt8(truncatingIfNeeded: random.next())
            case 1: bytes.remove(at: place)
            case 2: bytes.insert(random.pick([0x0D, 0x0A, 0x20, 0, 0xFF]), at: place)
            default: bytes.removeLast(bytes.count - place)
            }
        }
    }
}
