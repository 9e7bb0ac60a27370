// The grammar of the client protocol, rule by rule, as reference/protocol.md has it.

import Testing

@testable import Wire

/// What the first step of a parser says about a text, as text.
private func firstStep(_ text: String, lineMax: Int = 4_096, payloadMax: Int = 100) -> String {
    var parser = ClientParser(controlLineBytesMax: lineMax, payloadBytesMax: payloadMax)
    let bytes = Array(text.utf8), padded = bytes + [UInt8](repeating: 0x78, count: ClientParser.slackBytes)
    return padded.withUnsafeBufferPointer { buffer in
        guard let base = buffer.baseAddress else { return "" }
        switch parser.parse(base, base + bytes.count) {
        case .incomplete(let frameBytes): return "incomplete \(frameBytes)"
        case .violation(let violation): return "\(violation)"
        case .operation(let verb, let next):
            let rest = bytes.count - (next - base)
            let behind = rest == 0 ? "" : " +\(rest)"
            switch verb {
            case .publish:
                let headers = parser.headerBytes < 0 ? "" : " h\(parser.headerBytes)"
                return "pub \(parser.subject.string) [\(parser.reply.string)]\(headers) {\(parser.payload.string)}\(behind)"
            case .subscribe: return "sub \(parser.subject.string) [\(parser.queue.string)] \(parser.sid.string)\(behind)"
            case .unsubscribe: return "unsub \(parser.sid.string) \(parser.maxMessages)\(behind)"
            case .connect, .info, .error: return "\(verb) \(parser.text.string)\(behind)"
            default: return "\(verb)\(behind)"
            }
        }
    }
}

@Test(arguments: [
    ("PUB foo 2\r\nhi\r\n", "pub foo [] {hi}"), ("PUB foo r 2\r\nhi\r\n", "pub foo [r] {hi}"),
    ("pub foo 0\r\n\r\n", "pub foo [] {}"),
    ("PuB\tfoo\t \t2 \t\nhi\r\n", "pub foo [] {hi}"), ("PUB  foo   2\r\nhi\r\nPING", "pub foo [] {hi} +4"),
    ("PUB foo 002\r\nhi\r\n", "pub foo [] {hi}"), ("PUB foo 2\r\n\r\n\r\n", "pub foo [] {\r\n}"),
    ("PUB f\ro r\rx 2\r\nhi\r\n", "pub f\ro [r\rx] {hi}"), ("PUB \r 2\r\nhi\r\n", "pub \r [] {hi}"),
    ("SUB f\ro 1\r\n", "sub f [o] 1"), ("UNSUB 1\r2\r\n", "unsub 1 2"),
    ("PUB f\u{1}o 2\r\nhi\r\n", "pub f\u{1}o [] {hi}"), ("PUB ü.y 2\r\nhi\r\n", "pub ü.y [] {hi}"),
    ("HPUB foo 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", "pub foo [] h12 {NATS/1.0\r\n\r\nhi}"),
    ("hpub foo r 0 2\r\nhi\r\n", "pub foo [r] h0 {hi}"), ("HPUB foo 2 2\r\nhi\r\n", "pub foo [] h2 {hi}"),
    ("SUB foo 1\r\n", "sub foo [] 1"), ("sub foo q 1\n", "sub foo [q] 1"), ("SUB\tfoo\tq\tsid-x\r\n", "sub foo [q] sid-x"),
    ("UNSUB 1\r\n", "unsub 1 0"), ("UNSUB 1 5\r\n", "unsub 1 5"), ("UNSUB 1 x\r\n", "unsub 1 -1"),
    ("UNSUB 1 9999999999\r\n", "unsub 1 -1"),
    ("PING\r\n", "ping"), ("ping\n", "ping"), ("PONG\r\n", "pong"), ("PINGxx\r\nPONG\r\n", "ping +6"), ("+OK\r\n", "ok"),
    ("+ok\n", "ok"),
    ("-ERR 'x'\r\n", "error 'x'"), ("INFO {}\r\n", "info {}"), ("CONNECT {\"a\":1}\r\n", "connect {\"a\":1}"),
    ("connect \t {} \r\n", "connect {} "), ("CONNECT{}\r\n", "connect {}"),
])
func parserAccepts(text: String, expected: String) { #expect(firstStep(text) == expected) }

@Test(arguments: [
    "FOO\r\n", "\r\n", "\n", " PING\r\n", "P U B", "PUX", "MSG foo 1 1\r\na\r\n", "HMSG a 1 1 1\r\n", "RS+ a\r\n", "A+ a\r\n",
    "UNSUB\r\n",
    "SUB\r\n", "PUB\r\n", "PUBLISH a 1\r\n", "SUBfoo 1\r\n", "-ERR\r\n", "PUB foo 2\r\nhixx", "PUB foo 2\r\nhi\rx",
    "PUB foo 2\r\nhi\nx",
    "PUB foo 0\r\nx", "\0", "\u{FF}",
])
func parserFindsNoOperation(text: String) { #expect(firstStep(text) == "unknownOperation") }

@Test(arguments: [
    "PUB \r\n", "PUB foo\r\n", "PUB a b c 1\r\n", "PUB foo x\r\n", "PUB foo -1\r\n", "PUB foo 1.0\r\n",
    "PUB foo 1234567890\r\n",
    "PUB foo 1\r\r\n", "PUB foo \r1\r\n", "PUB foo\r1\r\n", "PUB foo 1 \r\r\n", "HPUB foo 1\r2 12\r\n",
    "PUB foo +1\r\n", "HPUB foo 1\r\n", "HPUB foo 3 2\r\n", "HPUB foo -1 2\r\n", "HPUB foo x 2\r\n", "HPUB a b c 1 2\r\n",
    "HPUB foo r 1 2 3\r\n",
    "SUB foo\r\n", "SUB \r\n", "SUB a b c d\r\n", "UNSUB \r\n", "UNSUB 1 2 3\r\n",
])
func parserFindsBadArguments(text: String) { #expect(firstStep(text) == "badArguments") }

@Test func parserKnowsHowLongAFrameIs() {
    #expect(firstStep("PUB foo 10\r\nhi") == "incomplete 24")
    #expect(firstStep("HPUB foo 2 10\r\n") == "incomplete 27")
    for text in ["", "P", "PUB", "PUB ", "PUB foo 10", "PUB foo 10\r", "CONN", "CONNECT {", "SUB foo 1", "-", "+O", "h"] {
        #expect(firstStep(text) == "incomplete 0", "\(text)")
    }
}

@Test func parserBoundsPayloads() {
    #expect(firstStep("PUB foo 100\r\n") == "incomplete 115")
    #expect(firstStep("PUB foo 101\r\n") == "payloadTooLarge")
    #expect(firstStep("HPUB foo 1 101\r\n") == "payloadTooLarge")
    #expect(firstStep("PUB foo 999999999\r\n", payloadMax: .max) == "incomplete 1000000020")
}

@Test func parserBoundsControlLines() {
    let subject = String(repeating: "a", count: 18)
    #expect(firstStep("PUB \(subject) 1\r\nx\r\n", lineMax: 20) == "pub \(subject) [] {x}")
    // The CR of a line that is not complete may belong to the line end.
    #expect(firstStep("PUB \(subject) 1\r", lineMax: 20) == "incomplete 0")
    for text in [
        "PUB \(subject)x 1\r\nx\r\n", "PUB \(subject)x 1", "PUB \(subject) 1\rx", "SUB \(subject)xxx",
        "CONNECT \(subject)xxx\r\n",
        "PING\(subject)xxx\r\n", "PING\(subject)xxx", "PUB \(String(repeating: " ", count: 30))",
        "SUB \(String(repeating: " ", count: 30))a 1\r\n",
        "CONNECT\(String(repeating: "\t", count: 30)){}\r\n", "+OK\(subject)xxx\n",
    ] {
        #expect(firstStep(text, lineMax: 20) == "controlLineTooLong", "\(text)")
    }
}

@Test func parserTakesAnySplit() {
    let text = "CONNECT {}\r\nSUB foo q 1\r\nHPUB foo r 12 14\r\nNATS/1.0\r\n\r\nhi\r\nPUB foo 0\r\n\r\nUNSUB 1 5\r\nPING\r\n"
    for cut in 1..<text.utf8.count {
        // The operation that the cut goes through is incomplete; nothing else about it may be wrong.
        let head = String(decoding: Array(text.utf8)[..<cut], as: UTF8.self)
        var rest = head
        while true {
            let step = firstStep(rest)
            if step.hasPrefix("incomplete") || rest.isEmpty { break }
            #expect(!step.contains("Operation") && !step.contains("Arguments") && !step.contains("TooLong"), "\(head): \(step)")
            guard let plus = step.lastIndex(of: "+"), let left = Int(step[step.index(after: plus)...]) else { break }
            rest = String(decoding: Array(rest.utf8).suffix(left), as: UTF8.self)
        }
    }
}
