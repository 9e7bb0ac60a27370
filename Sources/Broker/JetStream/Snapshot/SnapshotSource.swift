// Reads a stream for its snapshot: its definition, its consumers, its messages, in the order in which they are sent.

import Store
import Wire

/// Shows the stream as it was at one moment, but for messages that have been removed since: those are left out, as the stream
/// itself no longer has them.
struct SnapshotSource {
    enum Outcome: Equatable {
        case bytes([UInt8])
        /// Something has to come from the disk first.
        case waiting
        case end
        case failed(String)
    }

    private let stream: Stream
    private var encoder = SnapshotEncoder()
    /// Blocks that have not been sent yet.
    private var ready = S2Stream.identifier
    private var nextSequence: UInt64
    private let lastSequence: UInt64
    private let checks: Bool
    private let lostBefore: Int
    private var messages: UInt64 = 0
    private var isComplete = false

    /// - Parameters:
    ///   - origins: what the stream's journal keeps of its origins.
    ///   - checks: a message that a damaged file has cost ends the snapshot.
    init(_ stream: Stream, consumers: [[UInt8]], origins: [UInt8]?, checks: Bool) {
        self.stream = stream
        self.checks = checks
        let state = stream.log.state
        nextSequence = state.firstSequence
        lastSequence = min(state.lastSequence, stream.visibleSequence)
        lostBefore = state.lost.count
        encoder.add(.definition, StreamDefinition(config: stream.config, createdNs: stream.createdNs).encoded())
        for consumer in consumers { encoder.add(.consumer, consumer) }
        if let origins { encoder.add(.origins, origins) }
    }

    /// The next piece: `count` bytes of it, or what is left at the end.
    mutating func next(_ count: Int) -> Outcome {
        while ready.count < count {
            if encoder.count >= S2Stream.blockBytesMax || isComplete {
                let block = encoder.take(S2Stream.blockBytesMax)
                if block.isEmpty { break }
                S2Stream.append(block: block, to: &ready)
            } else if let obstacle = readOn() {
                return obstacle
            }
        }
        if ready.isEmpty { return .end }
        let piece = Array(ready.prefix(count))
        ready.removeFirst(piece.count)
        return .bytes(piece)
    }

    /// Lays out the next message, or the end.
    private mutating func readOn() -> Outcome? {
        guard nextSequence > 0, let sequence = stream.log.next(atOrAfter: nextSequence, stream.everything, upTo: lastSequence)
        else {
            if checks && stream.log.state.lost.count > lostBefore { return .failed("messages are damaged") }
            encoder.addEnd(lastSequence: lastSequence, messages: messages)
            isComplete = true
            return nil
        }
        switch stream.log.load(sequence) {
        case .message(let message):
            encoder.add(message)
            messages += 1
        case .reading: return .waiting
        case .failed(let error): return .failed(error.description)
        case .absent:
            if checks && stream.log.state.lost.count > lostBefore { return .failed("message \(sequence) is damaged") }
        }
        nextSequence = sequence + 1
        return nil
    }
}
