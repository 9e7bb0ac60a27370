// Where a new consumer starts: its deliver policy, applied to what the stream holds.

import Store
import Wire

struct ConsumerStart {
    /// The first sequence that may be delivered.
    private(set) var sequence: UInt64 = 1
    private(set) var lastPerSubject = LastPerSubject()

    init(_ config: ConsumerConfig, stream: StreamConfig, log: any MessageLog, filter: SubjectFilter) {
        let state = log.state
        switch config.deliverPolicy {
        case .all: sequence = state.firstSequence
        case .new: sequence = state.lastSequence &+ 1
        case .last: sequence = log.last(upTo: state.lastSequence, filter) ?? 0
        case .byStartSequence: sequence = config.startSequence
        case .byStartTime:
            sequence = log.first(atOrAfterNs: config.startTimeNs ?? 0) ?? state.lastSequence &+ 1
        case .lastPerSubject where stream.maxMessagesPerSubject == 1: sequence = state.firstSequence
        case .lastPerSubject:
            var sequences: [UInt64] = []
            log.subjects.forEach(filter) { _, summary in sequences.append(summary.last) }
            sequences.sort()
            lastPerSubject = LastPerSubject(sequences, end: state.lastSequence)
            sequence = sequences.first ?? state.lastSequence &+ 1
        }
        // A start in the future stays, if somebody asked for it by number; what is gone is passed over.
        if sequence > state.lastSequence &+ 1 && (config.direct || config.startSequence == 0) {
            sequence = state.lastSequence &+ 1
        }
        sequence = max(1, sequence, state.firstSequence)
    }
}
