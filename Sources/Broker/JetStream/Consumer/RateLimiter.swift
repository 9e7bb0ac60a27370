// The two brakes of a push consumer: `rate_limit_bps`, and replaying messages at the pace at which they came.

/// A token bucket, filled with bytes.
struct RateLimiter {
    private let bytesPerSecond: Double
    private let burstBytes: Double
    private var tokens: Double
    private var filledNs: UInt64
    /// When there will be enough for what was refused last.
    private(set) var dueNs = UInt64.max

    /// - Parameter burstBytes: the largest message that may come.
    init(bitsPerSecond: UInt64, burstBytes: Int, nowNs: UInt64) {
        bytesPerSecond = max(1, Double(bitsPerSecond) / 8)
        self.burstBytes = Double(burstBytes)
        tokens = self.burstBytes
        filledNs = nowNs
    }

    /// Nothing is held back, as far as is known.
    mutating func forgetWait() { dueNs = .max }

    /// Takes the tokens for a message if there are enough, and says by `dueNs` when there will be. One that is larger than
    /// the bucket goes when that is full.
    mutating func admits(_ bytes: Int, _ nowNs: UInt64) -> Bool {
        if nowNs > filledNs {
            tokens = min(burstBytes, tokens + Double(nowNs - filledNs) / 1e9 * bytesPerSecond)
            filledNs = nowNs
        }
        let needed = min(Double(bytes), burstBytes)
        if tokens >= needed {
            tokens -= Double(bytes)
            dueNs = .max
            return true
        }
        let wait = (needed - tokens) / bytesPerSecond * 1e9
        dueNs = saturatingSum(nowNs, UInt64(min(wait + 1, 1e18)))
        return false
    }
}

/// Messages that were there before the consumer come with the gaps in time that lay between them.
struct OriginalReplay {
    /// Behind this sequence messages come as they are.
    let endsAt: UInt64
    private var lastTimeNs: Int64?
    private var lastSentNs: UInt64 = 0
    private(set) var dueNs = UInt64.max

    init(endsAt: UInt64) { self.endsAt = endsAt }

    /// Whether a message of that time may go now; otherwise `dueNs` is when it may.
    mutating func isDue(_ timeNs: Int64, _ now: Instant) -> Bool {
        dueNs = .max
        guard let lastTimeNs else { return true }
        let (gap, overflows) = timeNs.subtractingReportingOverflow(lastTimeNs)
        // Less than a millisecond is not worth a timer.
        guard !overflows, gap > 1_000_000 else { return true }
        let due = saturatingSum(lastSentNs, UInt64(gap))
        if due <= now.monotonicNs { return true }
        dueNs = due
        return false
    }

    /// Nothing is held back, as far as is known.
    mutating func forgetWait() { dueNs = .max }

    mutating func sent(_ timeNs: Int64, _ now: Instant) {
        lastTimeNs = timeNs
        lastSentNs = now.monotonicNs
        dueNs = .max
    }
}
