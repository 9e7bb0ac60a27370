// Remembers the reply subjects of delivered requests, to which an allow_responses user may publish for a while.

import Wire

/// One connection's permits. A plain value; the clock comes in as monotonic milliseconds.
public struct ResponsePermits: Sendable {
    private struct Permit: Sendable {
        /// Below zero is unlimited.
        var remaining: Int
        var expiresMs: Int64
    }

    private var permits: [[UInt8]: Permit] = [:]
    private var bytes = 0
    public let options: ResponsePermissionOptions
    /// A service with more requests open than this has long been overrun. nats-server sets no limit.
    public let countMax: Int
    public let bytesMax: Int

    public init(_ options: ResponsePermissionOptions, countMax: Int = 65_536, bytesMax: Int = 8 << 20) {
        self.options = options
        self.countMax = countMax
        self.bytesMax = bytesMax
    }

    public var count: Int { permits.count }

    /// Permits replies to a request that is being delivered. The same reply subject starts anew.
    /// When the table is full, what has expired goes first, then the quarter that would expire next.
    public mutating func permit(_ reply: ByteView, nowMs: Int64) {
        let key = reply.bytes
        if permits[key] == nil {
            if permits.count >= countMax || bytes + key.count > bytesMax { makeRoom(nowMs: nowMs) }
            if permits.count >= countMax || bytes + key.count > bytesMax { return }
            bytes += key.count
        }
        // Zero takes the default and a negative number lifts the limit, as on nats-server.
        let defaults = ResponsePermissionOptions()
        let max = options.max == 0 ? defaults.max : options.max
        let expiresMs = options.expiresMs == 0 ? defaults.expiresMs : options.expiresMs
        let (deadline, overflows) = nowMs.addingReportingOverflow(Int64(expiresMs))
        permits[key] = Permit(remaining: max, expiresMs: expiresMs < 0 || overflows ? .max : deadline)
    }

    /// Whether one message may go to this subject now; if so it is counted.
    public mutating func use(_ subject: ByteView, nowMs: Int64) -> Bool {
        if permits.isEmpty { return false }
        let key = subject.bytes
        guard var permit = permits[key] else { return false }
        guard permit.expiresMs >= nowMs else {
            remove(key)
            return false
        }
        guard permit.remaining > 0 else { return permit.remaining < 0 }
        permit.remaining -= 1
        if permit.remaining == 0 { remove(key) } else { permits[key] = permit }
        return true
    }

    private mutating func remove(_ key: [UInt8]) {
        if permits.removeValue(forKey: key) != nil { bytes -= key.count }
    }

    private mutating func makeRoom(nowMs: Int64) {
        for (key, permit) in permits where permit.expiresMs < nowMs { remove(key) }
        guard permits.count >= countMax - countMax / 4 || bytes > bytesMax - bytesMax / 4 else { return }
        let oldest = permits.sorted { $0.value.expiresMs < $1.value.expiresMs }
        for (key, _) in oldest.prefix(max(1, permits.count / 4)) { remove(key) }
    }
}
