// The client protocol once more, slow and obvious: one byte after the other, no pointer, no look ahead.

import Wire

/// One operation as values.
struct OracleOperation: Equatable {
    var verb: ClientVerb
    var subject: [UInt8] = []
    var reply: [UInt8] = []
    var queue: [UInt8] = []
    var sid: [UInt8] = []
    var maxMessages = 0
    var headerBytes = -1
    var payload: [UInt8] = []
    var text: [UInt8] = []
}

/// Written from reference/protocol.md, section 1; where that is silent, from what nats-server 2.15 does. Two bounds are
/// ours: the run of blanks in front of the arguments, and what is skipped behind PING, PONG and +OK, are limited like the
/// arguments themselves.
struct OracleParser {
    let controlLineBytesMax: Int
    let payloadBytesMax: Int
    private(set) var operations: [OracleOperation] = []
    private(set) var violation: ProtocolViolation?
    /// The length of the frame that has begun, once its control line is complete.
    private(set) var frameBytes = 0

    private enum State {
        case verb
        /// The verb is there; a blank has to follow it.
        case blank
        case blanks
        case arguments
        case skipping
        case payload
    }
    private var state = State.verb
    private var verb = ""
    private var blanks = 0
    private var line: [UInt8] = []
    private var lineBytes = 0
    private var pending = OracleOperation(verb: .ping)
    private var payloadBytes = 0
    private var body: [UInt8] = []

    init(controlLineBytesMax: Int, payloadBytesMax: Int) {
        self.controlLineBytesMax = controlLineBytesMax
        self.payloadBytesMax = payloadBytesMax
    }

    private static let verbs: [String: ClientVerb] = [
        "PING": .ping, "PONG": .pong, "SUB": .subscribe, "UNSUB": .unsubscribe, "HPUB": .publish, "PUB": .publish,
        "CONNECT": .connect, "INFO": .info, "+OK": .ok, "-ERR": .error,
    ]

    mutating func feed(_ byte: UInt8) {
        guard violation == nil else { return }
        lineBytes += 1
        switch state {
        case .verb:
            verb += String(UnicodeScalar(byte)).uppercasedASCII
            if let known = OracleParser.verbs[verb] {
                pending = OracleOperation(verb: known)
                line = []
                blanks = 0
                switch known {
                case .ping, .pong, .ok: state = .skipping
                case .connect, .info:
                    // A first blank is welcome, but not needed.
                    state = .blanks
                    blanks = -1
                default: state = .blank
                }
            } else if !OracleParser.verbs.keys.contains(where: { $0.hasPrefix(verb) }) {
                violation = .unknownOperation
            }
        case .blank:
            if byte == 0x20 || byte == 0x09 { state = .blanks } else { violation = .unknownOperation }
        case .blanks:
            if byte == 0x20 || byte == 0x09 {
                blanks += 1
                if blanks > controlLineBytesMax { violation = .controlLineTooLong }
            } else {
                state = .arguments
                argument(byte)
            }
        case .arguments: argument(byte)
        case .skipping:
            if byte == 0x0A { finish() } else { lengthen(byte) }
        case .payload:
            body.append(byte)
            let place = body.count - payloadBytes
            if (place == 1 && byte != 0x0D) || (place == 2 && byte != 0x0A) { violation = .unknownOperation }
            if place == 2 && violation == nil {
                pending.payload = Array(body.dropLast(2))
                finish()
            }
        }
    }

    /// One byte more of a line: its CR may belong to the line end.
    private mutating func lengthen(_ byte: UInt8) {
        line.append(byte)
        let count = line.last == 0x0D ? line.count - 1 : line.count
        if count > controlLineBytesMax { violation = .controlLineTooLong }
    }

    private mutating func argument(_ byte: UInt8) {
        guard byte == 0x0A else { return lengthen(byte) }
        if line.last == 0x0D { line.removeLast() }
        // A CR within the line separates what SUB and UNSUB name, and is a part of what PUB and HPUB name.
        let words = line.split { $0 == 0x20 || $0 == 0x09 || ($0 == 0x0D && pending.verb != .publish) }.map { Array($0) }
        pending.text = line
        switch pending.verb {
        case .subscribe:
            guard words.count == 2 || words.count == 3 else {
                violation = .badArguments
                return
            }
            pending.subject = words[0]
            pending.queue = words.count == 3 ? words[1] : []
            pending.sid = words[words.count - 1]
            finish()
        case .unsubscribe:
            guard words.count == 1 || words.count == 2 else {
                violation = .badArguments
                return
            }
            pending.sid = words[0]
            if words.count == 2 { pending.maxMessages = size(words[1]) ?? -1 }
            finish()
        case .publish: beginPayload(words)
        default: finish()
        }
    }

    private mutating func beginPayload(_ words: [[UInt8]]) {
        let sizes = verb == "HPUB" ? 2 : 1
        guard words.count == 1 + sizes || words.count == 2 + sizes, let total = size(words[words.count - 1]) else {
            violation = .badArguments
            return
        }
        pending.subject = words[0]
        pending.reply = words.count == 2 + sizes ? words[1] : []
        if sizes == 2 {
            guard let header = size(words[words.count - 2]), header <= total else {
                violation = .badArguments
                return
            }
            pending.headerBytes = header
        }
        guard total <= payloadBytesMax else {
            violation = .payloadTooLarge
            return
        }
        payloadBytes = total
        body = []
        frameBytes = lineBytes + total + 2
        state = .payload
    }

    private func size(_ digits: [UInt8]) -> Int? {
        guard (1...9).contains(digits.count), digits.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return Int(String(decoding: digits, as: UTF8.self))
    }

    private mutating func finish() {
        if pending.verb == .publish { pending.text = [] }
        if pending.verb == .ping || pending.verb == .pong || pending.verb == .ok { pending.text = [] }
        operations.append(pending)
        state = .verb
        verb = ""
        lineBytes = 0
        frameBytes = 0
    }
}

extension String {
    /// Upper case for ASCII letters only.
    fileprivate var uppercasedASCII: String {
        String(
            String.UnicodeScalarView(unicodeScalars.map { ("a"..."z").contains($0) ? UnicodeScalar(UInt8($0.value) - 32) : $0 })
        )
    }
}
