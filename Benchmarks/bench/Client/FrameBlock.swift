// The bytes of one topic: a block of ready-made PUB frames, and the MSG frames that a subscriber must see for them.

import Glibc

/// A publisher sends the same block over and over; only an 8-digit tag changes from one round to the next.
///
///     PUB bench.00 128\r\n iiiiiiii tttttttt ffff...ffff \r\n       fixed subject: index, tag, filler in the payload
///     PUB booking.tttttttt-xxxx-xxxx-xxxx-xxxxxxxxxxxx.confirmed 128\r\n iiiiiiii 00000000 ffff...      unique subjects
///
/// The index is the frame's place in the block. The filler is random and differs from frame to frame, so that any
/// shift of the stream shows within a few bytes. With a fixed subject only the block's first frame carries the round's
/// tag (the others keep zeros), which makes a round cost one 8-byte store; with unique subjects every frame carries
/// it, so that no subject comes back within 2^32 rounds. All frames of a block have the same length.
final class FrameBlock {
    /// What distinguishes one topic from another.
    struct Plan: Sendable {
        /// The subject to publish on; ignored with `unique`.
        var subject: String
        var payloadBytes: Int
        /// A subject of its own for each message: `booking.<uuid>.confirmed`.
        var unique = false
        /// Makes fillers and ids; equal seeds make equal blocks.
        var seed: UInt64 = 1
    }

    let plan: Plan
    let frameCount: Int
    let publishFrameBytes: Int
    let deliverFrameBytes: Int
    /// The PUB frames, tagged for one round at a time.
    let publish: UnsafeMutablePointer<UInt8>
    /// The MSG frames with zeros for tags.
    let deliver: UnsafeMutablePointer<UInt8>
    /// Where the tag lies within a frame.
    let publishTagOffset: Int
    let deliverTagOffset: Int

    var publishBytes: Int { frameCount * publishFrameBytes }
    var deliverBytes: Int { frameCount * deliverFrameBytes }
    /// Whether every frame carries the tag, or only the first of the block.
    var tagsEveryFrame: Bool { plan.unique }
    /// What a subscriber subscribes to.
    var subscription: String { plan.unique ? "booking.*.confirmed" : plan.subject }

    static let tagBytes = 8
    /// Index and tag must fit.
    static let payloadBytesMin = 16
    /// Large enough that sends are large, small enough to stay in the second-level cache.
    private static let blockBytesWanted = 1 << 18
    private static let framesMin = 8
    /// Unique subjects: enough different ids that no cache of the server's can hold one round of them.
    private static let uniqueFrames = 16_384

    /// `sid` is the one that all subscribers of the topic use, each on its own connection.
    init(_ plan: Plan, sid: String = "1") {
        precondition(plan.payloadBytes >= FrameBlock.payloadBytesMin)
        self.plan = plan
        var random = SplitMix(state: plan.seed &* 0x9E37_79B9_7F4A_7C15)
        let zeros = Array("00000000".utf8)

        func subject(_ random: inout SplitMix) -> [UInt8] {
            guard plan.unique else { return Array(plan.subject.utf8) }
            var id: [UInt8] = zeros
            for count in [4, 4, 4, 12] {
                id.append(UInt8(ascii: "-"))
                for _ in 0..<count { id.append(Hex.digits[Int(random.next() >> 60)]) }
            }
            return Array("booking.".utf8) + id + Array(".confirmed".utf8)
        }
        let end = Array("\(plan.payloadBytes)\r\n".utf8)
        let subjectBytes = plan.unique ? 8 + 36 + 10 : plan.subject.utf8.count
        let publishHead = 4 + subjectBytes + 1 + end.count
        let deliverHead = 4 + subjectBytes + 1 + sid.utf8.count + 1 + end.count
        publishFrameBytes = publishHead + plan.payloadBytes + 2
        deliverFrameBytes = deliverHead + plan.payloadBytes + 2
        publishTagOffset = plan.unique ? 4 + 8 : publishHead + 8
        deliverTagOffset = plan.unique ? 4 + 8 : deliverHead + 8
        frameCount =
            plan.unique
            ? FrameBlock.uniqueFrames
            : max(FrameBlock.framesMin, FrameBlock.blockBytesWanted / publishFrameBytes)

        publish = .allocate(capacity: frameCount * publishFrameBytes)
        deliver = .allocate(capacity: frameCount * deliverFrameBytes)
        var payload = [UInt8](repeating: 0, count: plan.payloadBytes)
        for index in 0..<frameCount {
            let subject = subject(&random)
            Hex.put(UInt32(truncatingIfNeeded: index), into: &payload, at: 0)
            for offset in 0..<8 { payload[8 + offset] = zeros[offset] }
            var offset = 16
            while offset < payload.count {
                var bits = random.next()
                for _ in 0..<min(8, payload.count - offset) {
                    payload[offset] = UInt8(ascii: "a") &+ UInt8(truncatingIfNeeded: (bits & 0xFF) % 26)
                    bits >>= 8
                    offset += 1
                }
            }
            let tail = payload + [13, 10]
            let sent = Array("PUB ".utf8) + subject + [32] + end + tail
            let expected = Array("MSG ".utf8) + subject + [32] + Array(sid.utf8) + [32] + end + tail
            assert(sent.count == publishFrameBytes && expected.count == deliverFrameBytes)
            (publish + index * publishFrameBytes).update(from: sent, count: sent.count)
            (deliver + index * deliverFrameBytes).update(from: expected, count: expected.count)
        }
    }

    deinit {
        publish.deallocate()
        deliver.deallocate()
    }

    /// The tag of a round as 8 hexadecimal digits, in the order they are stored. Distinct for 2^32 rounds.
    @inline(__always)
    static func tag(ofRound round: Int) -> UInt64 {
        Hex.word(UInt32(truncatingIfNeeded: round &+ 1) &* 0x9E37_79B1)
    }

    /// Writes a round's tag into the frames to publish. Nothing of the previous round may be unsent.
    @inline(__always)
    func retag(round: Int) {
        let tag = FrameBlock.tag(ofRound: round)
        var at = UnsafeMutableRawPointer(publish + publishTagOffset)
        at.storeBytes(of: tag, as: UInt64.self)
        guard tagsEveryFrame else { return }
        for _ in 1..<frameCount {
            at += publishFrameBytes
            at.storeBytes(of: tag, as: UInt64.self)
        }
    }
}

@available(*, unavailable)
extension FrameBlock: Sendable {}

/// Hexadecimal digits, written eight at a time.
enum Hex {
    static let digits = Array("0123456789abcdef".utf8)

    /// The 8 digits of `value`, most significant first, as the word that stores them in that order.
    @inline(__always)
    static func word(_ value: UInt32) -> UInt64 {
        var spread = UInt64(value.byteSwapped)
        // One nibble per byte, the high nibble of each byte first.
        spread = (spread | spread << 16) & 0x0000_FFFF_0000_FFFF
        spread = (spread | spread << 8) & 0x00FF_00FF_00FF_00FF
        spread = (spread >> 4 & 0x000F_000F_000F_000F) | (spread & 0x000F_000F_000F_000F) << 8
        // 0...9 become "0"..."9", 10...15 become "a"..."f" (39 more).
        let letters = (spread &+ 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101
        return (spread &+ 0x3030_3030_3030_3030 &+ letters &* 39).littleEndian
    }

    static func put(_ value: UInt32, into bytes: inout [UInt8], at offset: Int) {
        var word = word(value)
        withUnsafeBytes(of: &word) { source in
            for index in 0..<8 { bytes[offset + index] = source[index] }
        }
    }
}

/// A small seeded random generator (splitmix64).
struct SplitMix: Sendable {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var bits = state
        bits = (bits ^ bits >> 30) &* 0xBF58_476D_1CE4_E5B9
        bits = (bits ^ bits >> 27) &* 0x94D0_49BB_1331_11EB
        return bits ^ bits >> 31
    }
}
