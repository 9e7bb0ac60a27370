// Decides what a subject is and which subjects a pattern matches: the one place that knows dots, `*` and `>`.

/// Questions about subjects, asked of raw bytes and answered without allocating.
///
/// A subject is a list of tokens split by `.`. A token that is exactly `*` stands for one token; a last token that is
/// exactly `>` stands for one or more. `foo*` and `a>b` are ordinary tokens. Semantics are nats-server's.
public enum Subject {
    // Computed, because a stored one is reached through a call from other modules: `matches` took twice as long.
    @inlinable @inline(__always) static var dot: UInt8 { UInt8(ascii: ".") }
    @inlinable @inline(__always) static var star: UInt8 { UInt8(ascii: "*") }
    @inlinable @inline(__always) static var fullWildcard: UInt8 { UInt8(ascii: ">") }

    /// Whether a subscription may name this: no empty token, no whitespace, `>` last only. A SUB line cannot hold any
    /// whitespace but a form feed, and nats-server lets that one through (`allowsFormFeed`).
    @inlinable
    public static func isValid(_ subject: ByteView, allowsFormFeed: Bool = false) -> Bool {
        var tokenStart = 0
        var index = 0
        while index < subject.count {
            let byte = subject[index]
            if byte == dot {
                if index == tokenStart { return false }
                if index == tokenStart + 1 && subject[tokenStart] == fullWildcard { return false }
                tokenStart = index + 1
            } else if byte <= 0x20 && isWhitespace(byte) && !(allowsFormFeed && byte == 0x0C) {
                return false
            }
            index += 1
        }
        return index > tokenStart
    }

    /// Whether a pedantic client may publish to this: no empty token, no wildcard token.
    /// As on nats-server, whitespace is not looked at: it cannot arrive in a PUB line.
    @inlinable
    public static func isValidLiteral(_ subject: ByteView) -> Bool {
        var tokenStart = 0
        var index = 0
        while true {
            if index == subject.count || subject[index] == dot {
                if index == tokenStart { return false }
                if index == tokenStart + 1 {
                    let only = subject[tokenStart]
                    if only == star || only == fullWildcard { return false }
                }
                if index == subject.count { return true }
                tokenStart = index + 1
            }
            index += 1
        }
    }

    /// Whether a token is `*` or `>`. A `>` counts wherever it stands, valid or not, as on nats-server.
    @inlinable
    public static func hasWildcards(_ subject: ByteView) -> Bool {
        var index = 0
        while index < subject.count {
            let byte = subject[index]
            if byte == star || byte == fullWildcard,
                index == 0 || subject[index - 1] == dot,
                index + 1 == subject.count || subject[index + 1] == dot
            {
                return true
            }
            index += 1
        }
        return false
    }

    /// The number of tokens, empty ones included; an empty subject has none.
    @inlinable
    public static func tokenCount(_ subject: ByteView) -> Int {
        if subject.isEmpty { return 0 }
        var dots = 0
        for byte in subject.buffer where byte == dot { dots += 1 }
        return dots + 1
    }

    /// The token at a zero-based place, or nil where the subject has fewer.
    @inlinable
    public static func token(_ subject: ByteView, at place: Int) -> ByteView? {
        if subject.isEmpty { return nil }
        var start = 0
        var seen = 0
        while true {
            let end = tokenEnd(subject, from: start)
            if seen == place { return ByteView(subject.base + start, end - start) }
            if end == subject.count { return nil }
            seen += 1
            start = end + 1
        }
    }

    /// Whether a valid pattern receives what is published to a subject. The subject's own `*` and `>` are ordinary
    /// tokens here; a subject with an empty token is matched by nothing, not even by `>`.
    @inlinable
    public static func matches(_ pattern: ByteView, _ literal: ByteView) -> Bool {
        var p = pattern.base, l = literal.base
        let patternEnd = pattern.end, literalEnd = literal.end
        while p < patternEnd {
            // Both stand at the beginning of a token.
            let isLone = p + 1 == patternEnd || p[1] == dot
            if isLone && p[0] == fullWildcard && p + 1 == patternEnd {
                return hasOnlyFullTokens(literal, from: l - literal.base)
            }
            let tokenStart = l
            if isLone && p[0] == star {
                while l < literalEnd && l[0] != dot { l += 1 }
                p += 1
            } else {
                while p < patternEnd && l < literalEnd && p[0] == l[0] && p[0] != dot {
                    p += 1
                    l += 1
                }
            }
            if l == tokenStart { return false }
            if l == literalEnd { return p == patternEnd }
            if p == patternEnd || p[0] != dot || l[0] != dot { return false }
            p += 1
            l += 1
        }
        return false
    }

    /// Whether every subject that `a` matches is matched by `b` too. Both are patterns; invalid ones are subsets of nothing.
    @inlinable
    public static func isSubset(_ a: ByteView, of b: ByteView) -> Bool {
        var i = 0
        var j = 0
        while true {
            let aEnd = tokenEnd(a, from: i)
            let bEnd = tokenEnd(b, from: j)
            if aEnd == i || bEnd == j { return false }
            let aOnly = aEnd - i == 1 ? a[i] : 0
            let bOnly = bEnd - j == 1 ? b[j] : 0
            if bOnly == fullWildcard { return bEnd == b.count && hasOnlyFullTokens(a, from: i) }
            if aOnly == fullWildcard { return false }
            if bOnly != star && !sameToken(a, i, aEnd, b, j, bEnd) { return false }
            if aEnd == a.count || bEnd == b.count { return aEnd == a.count && bEnd == b.count }
            i = aEnd + 1
            j = bEnd + 1
        }
    }

    /// Whether some subject is matched by both patterns. nats-server calls it a collision.
    @inlinable
    public static func overlaps(_ a: ByteView, _ b: ByteView) -> Bool {
        var i = 0
        var j = 0
        while true {
            let aEnd = tokenEnd(a, from: i)
            let bEnd = tokenEnd(b, from: j)
            if aEnd == i || bEnd == j { return false }
            let aOnly = aEnd - i == 1 ? a[i] : 0
            let bOnly = bEnd - j == 1 ? b[j] : 0
            if aOnly == fullWildcard || bOnly == fullWildcard {
                return hasOnlyFullTokens(a, from: i) && hasOnlyFullTokens(b, from: j)
            }
            if aOnly != star && bOnly != star && !sameToken(a, i, aEnd, b, j, bEnd) { return false }
            if aEnd == a.count || bEnd == b.count { return aEnd == a.count && bEnd == b.count }
            i = aEnd + 1
            j = bEnd + 1
        }
    }

    /// Whether some token is empty, or there is none: such a subject is matched by nothing.
    @inlinable
    public static func hasEmptyToken(_ subject: ByteView) -> Bool { !hasOnlyFullTokens(subject, from: 0) }

    /// Space, TAB, CR, LF, FF: what no subscription subject may hold.
    @inlinable @inline(__always)
    public static func isWhitespace(_ byte: UInt8) -> Bool {
        byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0C || byte == 0x0D
    }

    /// Where the token that starts here ends: at the next dot or at the end.
    @inlinable @inline(__always)
    static func tokenEnd(_ subject: ByteView, from start: Int) -> Int {
        var end = start
        while end < subject.count && subject[end] != dot { end += 1 }
        return end
    }

    @inlinable @inline(__always)
    static func sameToken(_ a: ByteView, _ aStart: Int, _ aEnd: Int, _ b: ByteView, _ bStart: Int, _ bEnd: Int) -> Bool {
        ByteView(a.base + aStart, aEnd - aStart) == ByteView(b.base + bStart, bEnd - bStart)
    }

    /// Whether there is at least one token from here on, and none is empty.
    @inlinable
    static func hasOnlyFullTokens(_ subject: ByteView, from start: Int) -> Bool {
        var previous = dot
        var index = start
        while index < subject.count {
            let byte = subject[index]
            if byte == dot && previous == dot { return false }
            previous = byte
            index += 1
        }
        return previous != dot
    }
}
