// Replies to acks that asked for one: they wait until the acks are durable.

import Wire

struct AckReplies {
    private var bytes: [UInt8] = []
    private var ends: [Int] = []

    var isEmpty: Bool { ends.isEmpty }

    mutating func add(_ reply: ByteView) {
        bytes.append(contentsOf: reply.buffer)
        ends.append(bytes.count)
    }

    /// Publishes an empty message to each.
    func send(_ host: any StreamHost) {
        bytes.withUnsafeBytes { buffer in
            guard let base = buffer.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return }
            var start = 0
            for end in ends {
                host.publish(ByteView(base + start, end - start), reply: .empty, headers: .empty, payload: .empty)
                start = end
            }
        }
    }
}
