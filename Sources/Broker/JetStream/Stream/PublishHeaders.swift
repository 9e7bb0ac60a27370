// Finds in one pass what a publish's headers ask of the stream.

import Glibc
import Wire

/// The values of the headers that mean something to a stream; empty where a header is missing or has no value, which
/// JetStream takes for the same. Of repeated headers the first counts; names are matched in their exact case.
struct PublishHeaders {
    var messageID = ByteView.empty
    var expectedStream = ByteView.empty
    var expectedLastSequence = ByteView.empty
    var expectedLastSubjectSequence = ByteView.empty
    var expectedLastSubjectSequenceSubject = ByteView.empty
    var expectedLastMessageID = ByteView.empty
    var rollup = ByteView.empty
    var ttl = ByteView.empty
    var markerReason = ByteView.empty
    var increment = ByteView.empty
    var batchID = ByteView.empty
    var batchSequence = ByteView.empty
    var batchCommit = ByteView.empty
    var schedule = ByteView.empty
    var scheduleTarget = ByteView.empty
    var scheduleSource = ByteView.empty
    var scheduleTTL = ByteView.empty
    var scheduleTimeZone = ByteView.empty
    var scheduleRollup = ByteView.empty
    var scheduleNext = ByteView.empty
    var scheduler = ByteView.empty
    var streamSource = ByteView.empty
    var requestInfo = ByteView.empty
    var requiredAPILevel = ByteView.empty
    /// Whether the header for a time zone is there without one.
    var namesNoTimeZone: Bool { scheduleTimeZone.isEmpty && scheduleTimeZone.base != ByteView.empty.base }
    /// Whether any of them is there.
    private(set) var isRelevant = false

    init() {}

    /// - Parameter block: the whole header block, from `NATS/1.0` on.
    init(_ block: ByteView) {
        var line = block.base
        let end = block.end
        while line < end {
            let left = end - line
            let lineEnd = memchr(line, 0x0A, left).map { UnsafePointer($0.assumingMemoryBound(to: UInt8.self)) } ?? end
            // "Nats-" in front and a byte behind it.
            if lineEnd - line > 6 && UnsafeRawPointer(line).loadUnaligned(as: UInt32.self) == 0x7374_614E && line[4] == 0x2D {
                readLine(ByteView(line, lineEnd - line))
            }
            line = lineEnd + 1
        }
    }

    private mutating func readLine(_ line: ByteView) {
        guard let colon = memchr(line.base, 0x3A, line.count) else { return }
        let nameBytes = UnsafePointer(colon.assumingMemoryBound(to: UInt8.self)) - line.base
        var start = nameBytes + 1
        while start < line.count && line.base[start] == 0x20 { start += 1 }
        var end = line.count
        if end > start && line.base[end - 1] == 0x0D { end -= 1 }
        let value = ByteView(line.base + start, max(0, end - start))
        take(ByteView(line.base + 5, nameBytes - 5), value)
    }

    /// - Parameter name: without its `Nats-`.
    private mutating func take(_ name: ByteView, _ value: ByteView) {
        func set(_ field: inout ByteView) {
            isRelevant = true
            if field.base == ByteView.empty.base { field = value }
        }
        switch name.count {
        case 3:
            if name.equals("TTL") { set(&ttl) }
        case 4:
            if name.equals("Incr") { set(&increment) }
        case 6:
            if name.equals("Msg-Id") { set(&messageID) } else if name.equals("Rollup") { set(&rollup) }
        case 8:
            if name.equals("Batch-Id") { set(&batchID) } else if name.equals("Schedule") { set(&schedule) }
        case 9:
            if name.equals("Scheduler") { set(&scheduler) }
        case 12:
            if name.equals("Batch-Commit") { set(&batchCommit) } else if name.equals("Schedule-TTL") { set(&scheduleTTL) }
            if name.equals("Request-Info") { set(&requestInfo) }
        case 13:
            if name.equals("Schedule-Next") { set(&scheduleNext) } else if name.equals("Marker-Reason") { set(&markerReason) }
            if name.equals("Stream-Source") { set(&streamSource) }
        case 14:
            if name.equals("Batch-Sequence") { set(&batchSequence) }
        case 15:
            if name.equals("Expected-Stream") { set(&expectedStream) }
            if name.equals("Schedule-Target") {
                set(&scheduleTarget)
            } else if name.equals("Schedule-Source") {
                set(&scheduleSource)
            }
            if name.equals("Schedule-Rollup") { set(&scheduleRollup) }
        case 18:
            if name.equals("Schedule-Time-Zone") { set(&scheduleTimeZone) }
            if name.equals("Required-Api-Level") { set(&requiredAPILevel) }
        case 20:
            if name.equals("Expected-Last-Msg-Id") { set(&expectedLastMessageID) }
        case 22:
            if name.equals("Expected-Last-Sequence") { set(&expectedLastSequence) }
        case 30:
            if name.equals("Expected-Last-Subject-Sequence") { set(&expectedLastSubjectSequence) }
        case 38:
            if name.equals("Expected-Last-Subject-Sequence-Subject") { set(&expectedLastSubjectSequenceSubject) }
        default: break
        }
    }
}

/// A decimal number without sign, as sequences are written in headers; nil for anything else or too much.
func sequenceNumber(_ text: ByteView) -> UInt64? {
    guard !text.isEmpty && text.count <= 20 else { return nil }
    var value: UInt64 = 0
    for index in 0..<text.count {
        let digit = text[index] &- 0x30
        guard digit <= 9 else { return nil }
        let (tens, overflow) = value.multipliedReportingOverflow(by: 10)
        let (sum, carry) = tens.addingReportingOverflow(UInt64(digit))
        if overflow || carry { return nil }
        value = sum
    }
    return value
}
