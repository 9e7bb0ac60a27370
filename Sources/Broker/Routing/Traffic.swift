// What connections exchange, for the pages that show it by account.

/// Messages and payload bytes, as seen from the server: in is what clients sent.
struct Traffic: Sendable {
    var messagesIn: UInt64 = 0
    var bytesIn: UInt64 = 0
    var messagesOut: UInt64 = 0
    var bytesOut: UInt64 = 0

    mutating func add(_ other: Traffic) {
        messagesIn &+= other.messagesIn
        bytesIn &+= other.bytesIn
        messagesOut &+= other.messagesOut
        bytesOut &+= other.bytesOut
    }

    /// What was added since `earlier`.
    func since(_ earlier: Traffic) -> Traffic {
        Traffic(
            messagesIn: messagesIn &- earlier.messagesIn, bytesIn: bytesIn &- earlier.bytesIn,
            messagesOut: messagesOut &- earlier.messagesOut, bytesOut: bytesOut &- earlier.bytesOut)
    }
}
