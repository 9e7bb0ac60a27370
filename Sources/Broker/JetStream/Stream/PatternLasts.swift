// The last messages that match the patterns which publishes expect something of: found once, and kept up to date.

import Store
import Wire

/// Publishers that expect the last sequence of a pattern mostly ask for the same few, and each search may go far back.
struct PatternLasts {
    /// The filter of each takes two bits per subject.
    private static let patternsMax = 8

    private struct Known {
        let pattern: [UInt8]
        let filter: SubjectFilter
        /// Everything up to here has been looked at.
        var lookedUpTo: UInt64 = 0
        /// 0: none matches.
        var last: UInt64 = 0

        mutating func lookFurther(_ log: any MessageLog) {
            let end = log.state.lastSequence
            while lookedUpTo < end, let found = log.next(atOrAfter: lookedUpTo + 1, filter, upTo: end) {
                (last, lookedUpTo) = (found, found)
            }
            lookedUpTo = max(lookedUpTo, end)
            if last > 0 && !log.contains(last) { last = log.last(upTo: last - 1, filter) ?? 0 }
        }
    }
    /// The one that was asked for last comes first.
    private var known: [Known] = []

    /// The sequence of the last message that matches a pattern; 0 without one.
    mutating func last(_ pattern: ByteView, _ log: any MessageLog) -> UInt64 {
        let place = known.firstIndex { $0.pattern.withUnsafeBytes { ByteView($0) == pattern } }
        var one: Known
        if let place {
            one = known.remove(at: place)
            one.lookFurther(log)
        } else {
            one = Known(pattern: pattern.bytes, filter: SubjectFilter([pattern.string], log.subjects))
            one.lookedUpTo = log.state.lastSequence
            one.last = log.last(upTo: one.lookedUpTo, one.filter) ?? 0
            if known.count == PatternLasts.patternsMax { known.removeLast() }
        }
        known.insert(one, at: 0)
        return one.last
    }
}
