// Turns one subject into another by a pattern and a template: stream transforms, sources, republishing.

import Wire

/// A transform that has been checked. Semantics are nats-server's subject mappings (ADR-30): `$1` and `{{wildcard(1)}}` stand for
/// what the first `*` matched, and functions partition, split, slice or cut it.
struct SubjectTransform: Sendable, Equatable {
    let source: String
    let destination: String
    private let sourceBytes: [UInt8]
    private let steps: [Step]
    /// The place of the source's `>`, whose tokens are appended; nil where there is none.
    private let restPlace: Int?

    /// What makes one token of the destination. Places are those of the subject's tokens, from 0.
    enum Step: Sendable, Equatable {
        case literal([UInt8])
        case token(Int)
        /// FNV-1a of the tokens' bytes, or of the whole subject where no token is named.
        case partition(buckets: Int, places: [Int])
        case random(ceiling: Int)
        case split(Int, delimiter: [UInt8])
        case splitFromLeft(Int, Int)
        case splitFromRight(Int, Int)
        case sliceFromLeft(Int, Int)
        case sliceFromRight(Int, Int)
        case left(Int, Int)
        case right(Int, Int)
    }

    /// Why there is no such transform; the text is nats-server's.
    struct Failure: Error, Equatable, CustomStringConvertible {
        var description: String

        static let badSubject = Failure(description: "invalid subject")
        static let badDestination = Failure(description: "invalid mapping destination: invalid transform")

        static func destination(_ reason: String, _ token: String) -> Failure {
            Failure(description: "invalid mapping destination: \(reason) in \(token)")
        }
    }

    init(source: String, destination: String, steps: [Step], restPlace: Int?) {
        self.source = source
        self.destination = destination
        self.steps = steps
        self.restPlace = restPlace
        sourceBytes = Array(source.utf8)
    }

    /// Whether a literal subject is one that the transform is for.
    func matches(_ subject: ByteView) -> Bool {
        sourceBytes.withUnsafeBytes { Subject.matches(ByteView($0), subject) }
    }

    /// Appends the new subject to `result`. `random` is only asked where the destination says so. False, and nothing is
    /// appended, where the source does not match.
    func apply(_ subject: ByteView, to result: inout [UInt8], random: () -> UInt64 = { 0 }) -> Bool {
        guard Subject.isValidLiteral(subject), matches(subject) else { return false }
        for (place, step) in steps.enumerated() {
            if place > 0 { result.append(UInt8(ascii: ".")) }
            switch step {
            case .literal(let text): result += text
            case .token(let place): append(SubjectTransform.token(of: subject, place), to: &result)
            case .partition(let buckets, let places):
                SubjectTransform.append(number: partition(subject, buckets, places), to: &result)
            case .random(let ceiling):
                SubjectTransform.append(number: ceiling > 0 ? UInt(random() % UInt64(ceiling)) : 0, to: &result)
            case .split(let place, let delimiter):
                split(SubjectTransform.token(of: subject, place), delimiter, to: &result)
            case .splitFromLeft(let place, let position):
                cut(SubjectTransform.token(of: subject, place), at: { _ in position }, to: &result)
            case .splitFromRight(let place, let position):
                cut(SubjectTransform.token(of: subject, place), at: { $0 - position }, to: &result)
            case .sliceFromLeft(let place, let size):
                slice(SubjectTransform.token(of: subject, place), size, first: size, to: &result)
            case .sliceFromRight(let place, let size):
                let token = SubjectTransform.token(of: subject, place)
                let remainder = size > 0 ? token.count % size : 0
                slice(token, size, first: remainder == 0 ? size : remainder, to: &result)
            case .left(let place, let length):
                let token = SubjectTransform.token(of: subject, place)
                let kept = length > 0 && length < token.count ? length : token.count
                append(ByteView(token.base, kept), to: &result)
            case .right(let place, let length):
                let token = SubjectTransform.token(of: subject, place)
                let kept = length > 0 && length < token.count ? length : token.count
                append(ByteView(token.end - kept, kept), to: &result)
            }
        }
        if let restPlace {
            let rest = SubjectTransform.token(of: subject, restPlace)
            if !steps.isEmpty { result.append(UInt8(ascii: ".")) }
            append(ByteView(rest.base, subject.end - rest.base), to: &result)
        }
        return true
    }

    /// The new subject of a text; nil where the source does not match.
    func apply(_ subject: String) -> String? {
        var result: [UInt8] = []
        let isMatch = Array(subject.utf8).withUnsafeBytes { apply(ByteView($0), to: &result) }
        return isMatch ? String(decoding: result, as: UTF8.self) : nil
    }

    // MARK: Steps

    private static func token(of subject: ByteView, _ place: Int) -> ByteView { Subject.token(subject, at: place) ?? .empty }

    private func append(_ bytes: ByteView, to result: inout [UInt8]) { result.append(contentsOf: bytes.buffer) }

    private static func append(number: UInt, to result: inout [UInt8]) {
        let start = result.count
        var rest = number
        repeat {
            result.append(UInt8(ascii: "0") + UInt8(rest % 10))
            rest /= 10
        } while rest > 0
        result[start...].reverse()
    }

    private func partition(_ subject: ByteView, _ buckets: Int, _ places: [Int]) -> UInt {
        var hash: UInt32 = 0x811C_9DC5
        func mix(_ bytes: ByteView) {
            for byte in bytes.buffer { hash = (hash ^ UInt32(byte)) &* 0x0100_0193 }
        }
        if places.isEmpty { mix(subject) } else { for place in places { mix(SubjectTransform.token(of: subject, place)) } }
        return buckets > 0 ? UInt(hash) % UInt(buckets) : 0
    }

    /// Two tokens out of one, where both would have bytes.
    private func cut(_ token: ByteView, at position: (Int) -> Int, to result: inout [UInt8]) {
        let position = position(token.count)
        guard position > 0, position < token.count else { return append(token, to: &result) }
        append(ByteView(token.base, position), to: &result)
        result.append(UInt8(ascii: "."))
        append(ByteView(token.base + position, token.count - position), to: &result)
    }

    /// Tokens of one size; the first may be shorter, and so may the last.
    private func slice(_ token: ByteView, _ size: Int, first: Int, to result: inout [UInt8]) {
        guard size > 0, size < token.count else { return append(token, to: &result) }
        var start = 0
        var end = first
        while start < token.count {
            if start > 0 { result.append(UInt8(ascii: ".")) }
            append(ByteView(token.base + start, end - start), to: &result)
            (start, end) = (end, min(token.count, end + size))
        }
    }

    /// The parts between delimiters, without the empty ones. An empty delimiter parts characters.
    private func split(_ token: ByteView, _ delimiter: [UInt8], to result: inout [UInt8]) {
        var isFirst = true
        var start = 0
        func part(_ end: Int) {
            if end > start {
                if !isFirst { result.append(UInt8(ascii: ".")) }
                append(ByteView(token.base + start, end - start), to: &result)
                isFirst = false
            }
        }
        var index = 0
        while index < token.count {
            if delimiter.isEmpty {
                if index > start, token[index] & 0xC0 != 0x80 {
                    part(index)
                    start = index
                }
                index += 1
            } else if token.count - index >= delimiter.count,
                ByteView(token.base + index, delimiter.count).buffer.elementsEqual(delimiter)
            {
                part(index)
                index += delimiter.count
                start = index
            } else {
                index += 1
            }
        }
        part(token.count)
    }
}
