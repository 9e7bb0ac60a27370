// Checks what a subscriber receives against what it must receive, nearly for free.

import Glibc

/// Knows the whole stream of MSG frames in advance, so that counting is arithmetic on bytes. Each chunk's last 64
/// bytes are compared with what must stand there: a lost, doubled, reordered or shifted frame shows, because index and
/// filler differ from frame to frame. Every sixteenth chunk is compared in full. Where a comparison fails, the chunk is
/// walked frame by frame, which finds the server's PING or INFO between two frames, or else the fault.
struct StreamChecker {
    private let block: FrameBlock
    private let sampleMask: UInt64
    private var chunks: UInt64 = 0
    /// MSG bytes received so far.
    private(set) var position = 0
    /// A control line that has begun but not ended.
    private var control: [UInt8] = []
    /// PINGs that have not been answered yet.
    var pingsToAnswer = 0
    /// PONGs seen, for whoever sent a PING.
    private(set) var pongs = 0
    /// The last `-ERR`.
    private(set) var lastError: String?

    private static let tailBytes = 64
    private static let controlBytesMax = 65_536

    /// With `everyChunk` each byte is compared.
    init(_ block: FrameBlock, everyChunk: Bool = false) {
        self.block = block
        sampleMask = everyChunk ? 0 : 15
    }

    /// Whole messages received so far.
    @inline(__always)
    var messages: Int { position / block.deliverFrameBytes }

    /// Takes a chunk. Throws `mismatch` when it is not what the publisher sent.
    @inline(__always)
    mutating func feed(_ bytes: UnsafePointer<UInt8>, _ count: Int) throws {
        if control.isEmpty {
            let checked = chunks & sampleMask == 0 ? count : min(count, StreamChecker.tailBytes)
            chunks &+= 1
            if matches(bytes + (count - checked), checked, at: position + (count - checked)) {
                position += count
                return
            }
        }
        try walk(bytes, count)
    }

    /// Goes through a chunk frame by frame, taking control lines out.
    private mutating func walk(_ bytes: UnsafePointer<UInt8>, _ count: Int) throws {
        var at = 0
        while at < count {
            let within = position % block.deliverFrameBytes
            if !control.isEmpty || (within == 0 && bytes[at] != UInt8(ascii: "M")) {
                let byte = bytes[at]
                at += 1
                control.append(byte)
                if byte == 10 { try readControl() }
                if control.count > StreamChecker.controlBytesMax {
                    throw BenchError.mismatch("after message \(messages): neither MSG nor a control line")
                }
                continue
            }
            let run = min(block.deliverFrameBytes - within, count - at)
            guard matches(bytes + at, run, at: position) else { throw fault(bytes + at, run, within) }
            position += run
            at += run
        }
    }

    private mutating func readControl() throws {
        while let last = control.last, last <= 32 { control.removeLast() }
        let line = String(decoding: control, as: UTF8.self)
        control = []
        if line == "PING" {
            pingsToAnswer += 1
        } else if line == "PONG" {
            pongs += 1
        } else if line.hasPrefix("-ERR") {
            lastError = line
            throw BenchError.refused(String(line.dropFirst(5)))
        } else if !line.hasPrefix("INFO") && line != "+OK" && !line.isEmpty {
            throw BenchError.mismatch("after message \(messages): \(line.prefix(120))")
        }
    }

    private func fault(_ bytes: UnsafePointer<UInt8>, _ count: Int, _ within: Int) -> BenchError {
        let shown = min(count, 96)
        let got = String(decoding: UnsafeBufferPointer(start: bytes, count: shown), as: UTF8.self)
        let inBlock = position % block.deliverBytes
        let room = min(shown, block.deliverBytes - inBlock)
        let wanted = String(decoding: UnsafeBufferPointer(start: block.deliver + inBlock, count: room), as: UTF8.self)
        return .mismatch(
            "message \(messages) of the stream (frame \(inBlock / block.deliverFrameBytes) of round "
                + "\(position / block.deliverBytes), byte \(within)): expected \(JSON.quoted(wanted)) (tags aside), "
                + "got \(JSON.quoted(got))")
    }

    /// Whether `count` bytes are what must stand at `start` of the stream.
    @inline(__always)
    private func matches(_ bytes: UnsafePointer<UInt8>, _ count: Int, at start: Int) -> Bool {
        var done = 0
        while done < count {
            let round = (start + done) / block.deliverBytes
            let inBlock = start + done - round * block.deliverBytes
            let frame = inBlock / block.deliverFrameBytes
            let within = inBlock - frame * block.deliverFrameBytes
            let tagged = frame == 0 || block.tagsEveryFrame
            let run = min(count - done, tagged ? block.deliverFrameBytes - within : block.deliverBytes - inBlock)
            let expected = block.deliver + inBlock
            if tagged {
                let tagStart = min(max(block.deliverTagOffset - within, 0), run)
                let tagEnd = min(max(block.deliverTagOffset + FrameBlock.tagBytes - within, 0), run)
                if memcmp(bytes + done, expected, tagStart) != 0 { return false }
                if memcmp(bytes + done + tagEnd, expected + tagEnd, run - tagEnd) != 0 { return false }
                if tagEnd > tagStart {
                    let skipped = within + tagStart - block.deliverTagOffset
                    let same = withUnsafeBytes(of: FrameBlock.tag(ofRound: round)) {
                        memcmp(bytes + done + tagStart, $0.baseAddress! + skipped, tagEnd - tagStart) == 0
                    }
                    if !same { return false }
                }
            } else if memcmp(bytes + done, expected, run) != 0 {
                return false
            }
            done += run
        }
        return true
    }
}
