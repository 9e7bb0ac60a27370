// Which subjects of one table pass: a consumer's filter, or a request's.

import Glibc
import Wire

/// Patterns over the subjects of one table: a message passes if any of them matches. No pattern lets everything through.
///
/// Remembers its verdict per subject, so that a message costs a bit. A filter of few literal subjects remembers instead where
/// in each subject's chain of messages it was last found, so that the next message costs a step along the chain.
public final class SubjectFilter {
    /// With more literals than this a scan over the messages is cheaper than a step along each chain.
    static let literalsMax = 16

    public let patterns: [String]
    /// Whether it lets everything through.
    public let isEverything: Bool
    let table: SubjectTable
    /// The chains to follow; empty where messages must be scanned.
    var literals: [LiteralSubject] = []
    private let texts: [PatternText]
    /// Two bits per number: known, passes.
    private var verdicts: UnsafeMutablePointer<UInt64>
    private var verdictWords = 0
    private var epoch: UInt32 = 0

    public init(_ patterns: [String], _ table: SubjectTable) {
        self.patterns = patterns
        self.table = table
        isEverything = patterns.isEmpty || patterns.contains(">")
        texts = patterns.map(PatternText.init)
        verdicts = .allocate(capacity: 1)
        let areLiteral = texts.allSatisfy(\.isLiteral)
        if !isEverything && areLiteral && texts.count <= SubjectFilter.literalsMax {
            literals = Set(patterns).sorted().map { LiteralSubject(text: Array($0.utf8)) }
        }
    }

    deinit { verdicts.deallocate() }

    /// The only subject that passes, if it is a single literal.
    public var literal: String? {
        literals.count == 1 ? String(decoding: literals[0].text, as: UTF8.self) : nil
    }

    /// Whether messages of a subject in the table pass.
    @inline(__always)
    public func matches(_ id: SubjectID) -> Bool {
        if isEverything { return true }
        let word = Int(id >> 5), shift = UInt64(id & 31) * 2
        if word < verdictWords && epoch == table.epoch {
            let bits = verdicts[word] >> shift
            if bits & 1 != 0 { return bits & 2 != 0 }
        }
        return decide(id)
    }

    public func matches(_ subject: ByteView) -> Bool {
        if isEverything { return true }
        for place in texts.indices where texts[place].matches(subject) { return true }
        return false
    }

    /// Forgets its verdicts: they take two bits per subject of the table.
    public func releaseMemory() {
        verdictWords = 0
        verdicts.deallocate()
        verdicts = .allocate(capacity: 1)
    }

    /// Calls `body` for each subject with a message that passes.
    func forEachMatch(_ body: (SubjectID) -> Void) {
        if literals.isEmpty {
            var id: SubjectID = 1
            while id < table.idEnd {
                if table.isPresent(id) && matches(id) { body(id) }
                id += 1
            }
        } else {
            for place in literals.indices {
                if let id = literals[place].id(in: table) { body(id) }
            }
        }
    }

    private func decide(_ id: SubjectID) -> Bool {
        let passes = matches(table.subject(id))
        if epoch != table.epoch {
            verdicts.update(repeating: 0, count: verdictWords)
            epoch = table.epoch
        }
        let word = Int(id >> 5), shift = UInt64(id & 31) * 2
        if word >= verdictWords {
            let words = max(word + 1, verdictWords * 2, 4)
            let grown = UnsafeMutablePointer<UInt64>.allocate(capacity: words)
            grown.initialize(repeating: 0, count: words)
            grown.update(from: verdicts, count: verdictWords)
            verdicts.deallocate()
            verdicts = grown
            verdictWords = words
        }
        verdicts[word] |= (passes ? 3 : 1) << shift
        return passes
    }
}

/// A pattern, and how far it is literal: most subjects that do not match differ there.
private struct PatternText {
    let bytes: [UInt8]
    let prefixCount: Int
    let isLiteral: Bool

    init(_ pattern: String) {
        bytes = Array(pattern.utf8)
        isLiteral = bytes.withUnsafeBytes { !Subject.hasWildcards(ByteView($0)) }
        let wildcard = bytes.firstIndex { $0 == UInt8(ascii: "*") || $0 == UInt8(ascii: ">") }
        prefixCount = isLiteral ? bytes.count : wildcard ?? bytes.count
    }

    @inline(__always)
    func matches(_ subject: ByteView) -> Bool {
        guard subject.count >= prefixCount else { return false }
        return bytes.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return false }
            return memcmp(base, subject.base, prefixCount) == 0
                && (isLiteral ? subject.count == prefixCount : Subject.matches(ByteView(bytes), subject))
        }
    }
}

/// A literal subject of a filter, and where it was last found.
struct LiteralSubject {
    let text: [UInt8]
    /// A message of this subject that a search has ended at, or 0: the next one begins there.
    var hint: UInt64 = 0
    private var id: SubjectID = 0
    private var epoch: UInt32 = 0

    init(text: [UInt8]) { self.text = text }

    /// The subject's number, if it has a message.
    mutating func id(in table: SubjectTable) -> SubjectID? {
        if id != 0 && epoch == table.epoch && table.isPresent(id) { return id }
        let found = text.withUnsafeBytes { table.id(of: ByteView($0)) }
        id = found ?? 0
        epoch = table.epoch
        return found
    }
}

@available(*, unavailable)
extension SubjectFilter: Sendable {}
