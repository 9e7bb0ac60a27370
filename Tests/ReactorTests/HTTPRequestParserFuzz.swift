// Random requests, whole and damaged, in random pieces, against a slow reading of the same rules.

import Testing

@testable import Reactor

/// What became of a stream of requests.
private enum Outcome: Equatable {
    case request(HTTPRequest)
    case refused(Int)
    case incomplete
}

/// The rules once more, written to be read: line by line, with the whole stream at hand.
private struct SlowReader {
    var rest: [UInt8]
    let limits: HTTPRequestLimits

    mutating func next() -> Outcome {
        var bytes = rest
        var skipped = 0
        while let first = bytes.first, first == 13 || first == 10 {
            bytes.removeFirst()
            skipped += 1
        }
        var lines: [[UInt8]] = []
        var used = 0
        while true {
            guard let end = bytes[used...].firstIndex(of: 10) else {
                return rest.count > limits.headBytesMax ? .refused(431) : .incomplete
            }
            var line = Array(bytes[used..<end])
            if line.last == 13 { line.removeLast() }
            used = end + 1
            if line.isEmpty { break }
            lines.append(line)
        }
        if skipped + used > limits.headBytesMax { return .refused(431) }
        guard case .request(var request) = readHead(lines) else { return readHead(lines) }

        let lengths = request.headers.filter { $0.name == "content-length" }.map(\.value)
        if request.headers.contains(where: { $0.name == "transfer-encoding" }) { return .refused(lengths.isEmpty ? 501 : 400) }
        var length = 0
        if !lengths.isEmpty {
            if lengths.count > 1 || lengths[0].isEmpty || lengths[0].contains(where: { !"0123456789".contains($0) }) {
                return .refused(400)
            }
            guard let number = Int(lengths[0]), number <= limits.bodyBytesMax else { return .refused(413) }
            length = number
        }
        if bytes.count < used + length { return .incomplete }
        request.body = Array(bytes[used..<used + length])
        rest = Array(bytes[(used + length)...])
        return .request(request)
    }

    private func readHead(_ lines: [[UInt8]]) -> Outcome {
        let words = lines[0].split(separator: 32, omittingEmptySubsequences: false).map(Array.init)
        guard words.count == 3, isToken(words[0]), !words[1].isEmpty, words[1].allSatisfy({ $0 > 32 && $0 != 127 }) else {
            return .refused(400)
        }
        let version = text(words[2])
        if version != "HTTP/1.1" && version != "HTTP/1.0" { return .refused(version.hasPrefix("HTTP/") ? 505 : 400) }
        let minor = version == "HTTP/1.1" ? 1 : 0

        var target = words[1]
        var path = "*"
        var query: [HTTPField] = []
        if !(target == [42] && text(words[0]) == "OPTIONS") {
            if target[0] != 47 {
                let lower = text(target).lowercased()
                guard let scheme = ["http://", "https://"].first(where: lower.hasPrefix) else { return .refused(400) }
                target.removeFirst(scheme.utf8.count)
                if target.isEmpty || target[0] == 47 || target[0] == 63 { return .refused(400) }
                while let first = target.first, first != 47 && first != 63 { target.removeFirst() }
            }
            let mark = target.firstIndex(of: 63) ?? target.count
            guard let decoded = unescape(Array(target[..<mark]), plus: false) else { return .refused(400) }
            path = decoded.isEmpty ? "/" : decoded
            for pair in target[mark...].dropFirst().split(separator: 38) where !pair.contains(59) {
                let equals = pair.firstIndex(of: 61) ?? pair.endIndex
                if let name = unescape(Array(pair[..<equals]), plus: true),
                    let value = unescape(Array(pair[equals...].dropFirst()), plus: true)
                {
                    query.append(HTTPField(name, value))
                }
            }
        }
        if lines.count - 1 > limits.headersMax { return .refused(431) }
        var headers: [HTTPField] = []
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: 58), isToken(Array(line[..<colon])) else { return .refused(400) }
            var value = Array(line[(colon + 1)...])
            while value.first == 32 || value.first == 9 { value.removeFirst() }
            while value.last == 32 || value.last == 9 { value.removeLast() }
            if value.contains(where: { ($0 < 32 && $0 != 9) || $0 == 127 }) { return .refused(400) }
            headers.append(HTTPField(text(Array(line[..<colon])).lowercased(), text(value)))
        }
        let hosts = headers.filter { $0.name == "host" }.count
        if hosts > 1 || (hosts == 0 && minor == 1) { return .refused(400) }
        let tokens = headers.filter { $0.name == "connection" }.flatMap { header in
            header.value.split(separator: ",").map { String($0.filter { $0 != " " && $0 != "\t" }).lowercased() }
        }
        let keeps = !tokens.contains("close") && (minor == 1 || tokens.contains("keep-alive"))
        return .request(
            HTTPRequest(
                method: text(words[0]), path: path, query: query, headers: headers, keepsAlive: keeps, minorVersion: minor))
    }

    private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    private func isToken(_ bytes: [UInt8]) -> Bool {
        let allowed = Set("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ".utf8)
        return !bytes.isEmpty && bytes.allSatisfy(allowed.contains)
    }

    private func unescape(_ bytes: [UInt8], plus: Bool) -> String? {
        var result: [UInt8] = []
        var rest = bytes
        while !rest.isEmpty {
            let byte = rest.removeFirst()
            if byte == 37 {
                guard rest.count >= 2, let value = UInt8(text(Array(rest[..<2])), radix: 16), rest[0] != 43, rest[0] != 45
                else { return nil }
                rest.removeFirst(2)
                result.append(value)
            } else {
                result.append(plus && byte == 43 ? 32 : byte)
            }
        }
        return text(result)
    }
}

private let limits: HTTPRequestLimits = {
    var limits = HTTPRequestLimits()
    limits.headBytesMax = 240
    limits.bodyBytesMax = 40
    limits.headersMax = 6
    return limits
}()

/// Requests that are mostly right, then mostly damaged a little.
private func stream(_ random: inout SeededRandom) -> [UInt8] {
    var bytes: [UInt8] = []
    for _ in 0...random.below(4) {
        let end = random.once(in: 6) ? "\n" : "\r\n"
        if random.once(in: 8) { bytes += Array(random.pick(["\r\n", "\n", "\r", "\r\n\r\n"]).utf8) }
        var target = random.pick(["/", "/varz", "/a%20b", "/%41%2f", "http://h/p", "https://h", "*", "x", "/a%2", "HTTP://x?y"])
        if random.once(in: 2) {
            target += "?" + random.pick(["a=1", "a=1&b=+%2B", "&&", "a;b=1&c", "%zz=1&d=2", "=", "a=b=c"])
        }
        bytes += Array(random.pick(["GET", "HEAD", "POST", "OPTIONS", "g!t"]).utf8) + [32] + Array(target.utf8) + [32]
        bytes += Array((random.pick(["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/1.12"]) + end).utf8)
        if !random.once(in: 12) { bytes += Array(("Host: h" + end).utf8) }
        for _ in 0..<random.below(5) {
            let header = random.pick([
                "Connection: close", "Connection: x , Keep-Alive", "A:b", "A:\t b \t",
                "Long: " + String(repeating: "y", count: 60),
                "Transfer-Encoding: chunked", "Content-Length: 3", "host: again", "Accept: */*", "X: ü",
            ])
            if !header.hasPrefix("Tr") && !header.hasPrefix("host") || random.once(in: 8) {
                bytes += Array((header + end).utf8)
            }
        }
        let length = random.below(50)
        if random.once(in: 3) {
            bytes += Array("Content-Length: \(length)\(end)\(end)".utf8)
            for _ in 0..<length { bytes.append(UInt8(random.below(256))) }
        } else {
            bytes += Array(end.utf8)
        }
    }
    for _ in 0..<(random.once(in: 2) ? random.below(4) : 0) {
        let place = random.below(bytes.count)
        let byte = random.once(in: 2) ? UInt8(random.below(256)) : random.pick(Array("\r\n :%?&=/\0\t+,;".utf8))
        switch random.below(3) {
        case 0: bytes[place] = byte
        case 1: bytes.insert(byte, at: place)
        default: if bytes.count > 1 { bytes.remove(at: place) }
        }
    }
    return bytes
}

/// As a connection does it: presents what it has, keeps what is left over, adds a piece.
private func readInPieces(_ bytes: [UInt8], _ random: inout SeededRandom) -> [Outcome] {
    var parser = HTTPRequestParser(limits: limits)
    var outcomes: [Outcome] = []
    var kept: [UInt8] = []
    var given = 0
    let pieceMax = random.pick([1, 3, 40, 1_000])
    while true {
        while !kept.isEmpty {
            let step = kept.withUnsafeBufferPointer { parser.parse($0) }
            if case .request(let request, let consumed) = step {
                outcomes.append(.request(request))
                kept.removeFirst(consumed)
                continue
            }
            if case .refused(let refusal) = step { return outcomes + [.refused(refusal.status.code)] }
            break
        }
        if given == bytes.count { return outcomes + [.incomplete] }
        let count = min(1 + random.below(pieceMax), bytes.count - given)
        kept += bytes[given..<given + count]
        given += count
    }
}

private func readSlowly(_ bytes: [UInt8]) -> [Outcome] {
    var reader = SlowReader(rest: bytes, limits: limits)
    var outcomes: [Outcome] = []
    while true {
        outcomes.append(reader.next())
        guard case .request = outcomes[outcomes.count - 1] else { return outcomes }
    }
}

@Test(arguments: [1, 2, 3, UInt64.random(in: 4...UInt64.max)])
func theParserAgreesWithASlowReader(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    var counts = (requests: 0, refusals: 0)
    for round in 0..<4_000 {
        let bytes = stream(&random)
        let expected = readSlowly(bytes)
        let got = readInPieces(bytes, &random)
        if got != expected {
            Issue.record(
                "seed \(seed) round \(round): \(String(decoding: bytes, as: UTF8.self).debugDescription)\n\(got)\n\(expected)")
            return
        }
        counts.requests += got.count - 1
        if case .refused = got[got.count - 1] { counts.refusals += 1 }
    }
    #expect(counts.requests > 1_000 && counts.refusals > 500, "the generator makes both kinds: \(counts)")
}

@Test(arguments: [1, UInt64.random(in: 2...UInt64.max)])
func noBytesTrapTheParser(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    for _ in 0..<20_000 {
        let bytes = (0..<random.below(80)).map { _ in UInt8(random.below(256)) }
        _ = readInPieces(bytes, &random)
    }
}
