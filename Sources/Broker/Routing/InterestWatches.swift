// Tells whoever asked when subscriptions to a subject come or go: push consumers deliver only while somebody listens.

import Locks
import Synchronization
import Wire

/// The watched subjects of one account. Shared by all loops.
final class InterestWatches: Sendable {
    typealias Changed = @Sendable () -> Void

    private struct Watch {
        let subject: [UInt8]
        let changed: Changed
    }
    private struct State {
        var watches: [UInt64: Watch] = [:]
        /// By literal subject, so that a SUB costs one look-up however many consumers there are.
        var bySubject: [[UInt8]: [UInt64]] = [:]
        var next: UInt64 = 0
    }
    private let state = Locked(State())
    private let count = Atomic<Int>(0)

    /// Has `changed` called on any thread, with the index locked: it may post, and nothing else.
    func add(_ subject: [UInt8], _ changed: @escaping Changed) -> UInt64 {
        count.wrappingAdd(1, ordering: .sequentiallyConsistent)
        return state.withLock { state in
            state.next += 1
            state.watches[state.next] = Watch(subject: subject, changed: changed)
            state.bySubject[subject, default: []].append(state.next)
            return state.next
        }
    }

    func remove(_ watch: UInt64) {
        let found = state.withLock { state -> Bool in
            guard let known = state.watches.removeValue(forKey: watch) else { return false }
            state.bySubject[known.subject]?.removeAll { $0 == watch }
            if state.bySubject[known.subject]?.isEmpty == true { state.bySubject[known.subject] = nil }
            return true
        }
        if found { count.wrappingSubtract(1, ordering: .sequentiallyConsistent) }
    }

    /// A subscription to `pattern` has come or gone.
    @inline(__always)
    func notify(_ pattern: ByteView) {
        if count.load(ordering: .sequentiallyConsistent) != 0 { tell(pattern) }
    }

    @inline(never)
    private func tell(_ pattern: ByteView) {
        let calls = state.withLock { state -> [Changed] in
            if !Subject.hasWildcards(pattern) {
                return (state.bySubject[pattern.bytes] ?? []).compactMap { state.watches[$0]?.changed }
            }
            return state.bySubject.flatMap { subject, watches -> [Changed] in
                let matches = subject.withUnsafeBytes { Subject.matches(pattern, ByteView($0)) }
                return matches ? watches.compactMap { state.watches[$0]?.changed } : []
            }
        }
        for call in calls { call() }
    }
}
