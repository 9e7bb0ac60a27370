// The fast batches that publishers have begun: how far each has come, and how often it is told.

import Wire

/// What the reply of a fast batch's message says of it: `<inbox>.<id>.<flow>.<ok|fail>.<sequence>.<operation>.$FI`.
struct FastBatchPlace {
    enum Operation: UInt64 {
        case start, append, commit
        /// Ends the batch and is not stored.
        case endOfBatch
        /// Asks how far it has come.
        case ping
    }

    struct Content {
        var id: ByteView
        /// After how many messages the publisher wants to hear; 0 or less: as the server likes.
        var flow: UInt64
        var allowsGaps: Bool
        var sequence: UInt64
        var operation: Operation
    }

    /// nil where it cannot be read.
    let content: Content?

    /// nil where the reply is none of a fast batch's.
    init?(reply: ByteView) {
        guard FastBatchPlace.isMeant(by: reply) else { return nil }
        content = FastBatchPlace.read(ByteView(reply.base, reply.count - 4))
    }

    /// Whether a reply ends in `.$FI`.
    @inline(__always)
    static func isMeant(by reply: ByteView) -> Bool {
        reply.count >= 4 && UnsafeRawPointer(reply.end - 4).loadUnaligned(as: UInt32.self) == 0x4946_242E
    }

    private static func read(_ text: ByteView) -> Content? {
        var rest = text
        func last() -> ByteView? {
            var start = rest.count
            while start > 0 && rest[start - 1] != UInt8(ascii: ".") { start -= 1 }
            guard start > 0 else { return nil }
            let token = ByteView(rest.base + start, rest.count - start)
            rest = ByteView(rest.base, start - 1)
            return token
        }
        guard let operation = last().flatMap(sequenceNumber).flatMap(Operation.init(rawValue:)),
            let sequence = last().flatMap(sequenceNumber), sequence > 0, sequence <= UInt64(Int64.max), let gaps = last(),
            let flow = last(), let id = last(),
            gaps.equals("ok") || gaps.equals("fail"), operation != .start || sequence == 1
        else { return nil }
        if operation == .append && sequence == 1 || operation == .endOfBatch && sequence == 1 { return nil }
        return Content(
            id: id, flow: sequenceNumber(flow) ?? 0, allowsGaps: gaps.equals("ok"), sequence: sequence, operation: operation)
    }
}

/// One batch. What is stored of it is stored at once; only the answers are fewer.
final class FastBatch {
    /// How often it is told at most, and without a wish.
    static let flowMax: UInt64 = 500
    static let flowDefault: UInt64 = 10

    let id: [UInt8]
    let allowsGaps: Bool
    let flow: UInt64
    /// Batch sequence of the last message that came.
    var sequence: UInt64 = 0
    /// Batch sequence that the publisher was told last.
    var acknowledged: UInt64 = 0
    /// After how many messages it is told next.
    var messages: UInt64
    /// Stream sequence of the last message that was stored.
    var lastStored: UInt64 = 0
    var deadlineNs: UInt64 = 0

    /// A publisher that is not alone begins slowly.
    init(_ content: FastBatchPlace.Content, isAlone: Bool) {
        id = content.id.bytes
        allowsGaps = content.allowsGaps
        flow = content.flow == 0 ? FastBatch.flowDefault : min(content.flow, FastBatch.flowMax)
        messages = isAlone ? flow : 1
    }

    /// The batch sequence to tell the publisher now; nil if it is not time yet.
    func ackDue() -> UInt64? {
        guard sequence >= acknowledged + messages else { return nil }
        // Where messages are missing, some acks may be due at once: the last one says it all.
        acknowledged += (sequence - acknowledged) / messages * messages
        messages = min(messages * 2, flow)
        return acknowledged
    }
}
