// The reply subject of a message that a consumer delivered: it says which message that was.

import Wire

/// `$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>`, and the longer form with domain and
/// account hash in front of the stream.
struct DeliveryReply: Equatable {
    var streamSequence: UInt64
    var consumerSequence: UInt64
    var timeNs: Int64
    var pending: UInt64

    /// nil where the subject is no such reply.
    init?(_ subject: ByteView) {
        guard subject.hasPrefix("$JS.ACK.") else { return nil }
        let tokens = Subject.tokenCount(subject)
        let first = tokens == 9 ? 4 : 6
        guard tokens == 9 || tokens >= 11 else { return nil }
        func number(_ place: Int) -> UInt64? {
            guard let token = Subject.token(subject, at: place), !token.isEmpty, token.count <= 20 else { return nil }
            var value: UInt64 = 0
            for byte in token.buffer {
                guard byte >= 0x30, byte <= 0x39 else { return nil }
                let (scaled, overflow) = value.multipliedReportingOverflow(by: 10)
                let (sum, carry) = scaled.addingReportingOverflow(UInt64(byte &- 0x30))
                if overflow || carry { return nil }
                value = sum
            }
            return value
        }
        guard let streamSequence = number(first + 1), let consumerSequence = number(first + 2), let time = number(first + 3),
            let pending = number(first + 4), let timeNs = Int64(exactly: time)
        else { return nil }
        self.streamSequence = streamSequence
        self.consumerSequence = consumerSequence
        self.timeNs = timeNs
        self.pending = pending
    }
}
