// Flow control of a push consumer: how much may be on its way before the client says that it has seen it.

/// A window in bytes that starts small and doubles with each answer.
struct FlowControl {
    static let windowBytesMax = 32 << 20

    private(set) var windowBytes = windowBytesMax / 16
    /// Sent and not answered for.
    private(set) var sentBytes = 0
    /// The subject that an answer is waited for on; empty: none is.
    private(set) var request: [UInt8] = []
    /// What the outstanding answer will account for.
    private var requestBytes = 0

    var isOpen: Bool { sentBytes <= windowBytes }
    var isWaiting: Bool { !request.isEmpty }

    /// Counts what was sent. True: the client should be asked now.
    mutating func count(_ bytes: Int, isFull: Bool) -> Bool {
        sentBytes += bytes
        if isWaiting {
            if sentBytes - requestBytes >= windowBytes { requestBytes += bytes }
            return false
        }
        return sentBytes > windowBytes / 2 || isFull
    }

    mutating func asked(_ subject: [UInt8]) {
        request = subject
        requestBytes = sentBytes
    }

    /// The client has answered.
    mutating func answered() {
        windowBytes = min(windowBytes * 2, FlowControl.windowBytesMax)
        sentBytes = max(0, sentBytes - requestBytes)
        request = []
        requestBytes = 0
    }
}
