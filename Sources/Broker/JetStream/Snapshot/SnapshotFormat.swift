// The bytes of a stream's snapshot, as docs/storage-snapshot.md draws them: a head, and frames that are chained by checksums.

import Store
import Wire

/// What a frame holds.
enum SnapshotFrame: UInt8 {
    /// The stream's definition, as JSON. Always first.
    case definition = 1
    /// A consumer's state.
    case consumer = 2
    /// How far the stream had come in the streams that it copies.
    case origins = 3
    case message = 4
    /// The last sequence, and how many messages there are. Nothing follows.
    case end = 5

    /// Frames have limits, so that a damaged or malicious length does not cost memory.
    func bytesMax(messageBytesMax: Int) -> Int {
        switch self {
        case .definition, .origins: 16 << 20
        case .consumer: 64 << 20
        case .message: SnapshotFormat.messageHeadBytes + messageBytesMax
        case .end: SnapshotFormat.endBytes
        }
    }
}

enum SnapshotFormat {
    static let magic: StaticString = "BHOPSNAP"
    static let version: UInt32 = 1
    static let headBytes = 16
    static let frameHeadBytes = 12
    static let messageHeadBytes = 24
    static let endBytes = 16
    static let foreign =
        "this is not a snapshot of Bellhop but one of nats-server, which holds its block files: copy the stream with a client instead"

    /// Of a frame: goes on from the sum of the one before, so that no frame can be missing or out of place.
    static func sum(_ previous: UInt32, _ head: UnsafeRawPointer, _ body: UnsafeRawBufferPointer) -> UInt32 {
        Checksum.crc32c(body, seed: Checksum.crc32c(head, 8, seed: Checksum.crc32c(UInt64(previous))))
    }
}

/// Lays out a snapshot, piece by piece.
struct SnapshotEncoder {
    /// What has not been taken yet.
    private(set) var bytes: [UInt8] = []
    private var taken = 0
    private var sum: UInt32 = 0

    init() {
        withUnsafeBytes(of: UInt64(littleEndian: SnapshotEncoder.magic).littleEndian) { bytes += $0 }
        append(SnapshotFormat.version)
        sum = bytes.withUnsafeBytes { Checksum.crc32c($0) }
        append(sum)
    }

    private static var magic: UInt64 {
        UnsafeRawPointer(SnapshotFormat.magic.utf8Start).loadUnaligned(as: UInt64.self)
    }

    /// How many bytes can be taken.
    var count: Int { bytes.count - taken }

    /// The next bytes, as many as are wanted or there are.
    mutating func take(_ most: Int) -> [UInt8] {
        let end = min(bytes.count, taken + most)
        defer {
            taken = end
            if taken == bytes.count || taken > max(1 << 20, bytes.count / 2) {
                bytes.removeFirst(taken)
                taken = 0
            }
        }
        return Array(bytes[taken..<end])
    }

    mutating func add(_ kind: SnapshotFrame, _ body: [UInt8]) {
        begin(kind, body.count)
        bytes += body
        seal(body.count)
    }

    mutating func add(_ message: StoredMessage) {
        let count =
            SnapshotFormat.messageHeadBytes + message.subject.count + message.headers.count + message.payload.count
        begin(.message, count)
        append(message.sequence)
        append(UInt64(bitPattern: message.timeNs))
        append(UInt32(message.subject.count))
        append(UInt32(message.headers.count))
        bytes += message.subject.buffer
        bytes += message.headers.buffer
        bytes += message.payload.buffer
        seal(count)
    }

    mutating func addEnd(lastSequence: UInt64, messages: UInt64) {
        begin(.end, SnapshotFormat.endBytes)
        append(lastSequence)
        append(messages)
        seal(SnapshotFormat.endBytes)
    }

    private mutating func begin(_ kind: SnapshotFrame, _ count: Int) {
        append(UInt32(kind.rawValue))
        append(UInt32(count))
        append(UInt32(0))
    }

    /// Writes the checksum of the frame that ends here.
    private mutating func seal(_ count: Int) {
        let start = bytes.count - count - SnapshotFormat.frameHeadBytes, previous = sum
        sum = bytes.withUnsafeBytes { all in
            let head = UnsafeRawBufferPointer(rebasing: all[start...])
            return SnapshotFormat.sum(
                previous, head.baseAddress.unsafelyUnwrapped,
                UnsafeRawBufferPointer(rebasing: head[SnapshotFormat.frameHeadBytes...]))
        }
        withUnsafeBytes(of: sum.littleEndian) { bytes.replaceSubrange(start + 8..<start + 12, with: $0) }
    }

    private mutating func append<Number: FixedWidthInteger>(_ number: Number) {
        withUnsafeBytes(of: number.littleEndian) { bytes += $0 }
    }
}

/// What is wrong with what should be a snapshot, in words for whoever sent it.
struct SnapshotFailure: Error, Equatable, CustomStringConvertible {
    var description: String
    init(_ description: String) { self.description = description }
}

/// Takes a snapshot apart as its bytes come in, in pieces of any size. Holds one frame and one block at most.
struct SnapshotDecoder {
    private let messageBytesMax: Int
    private var blocks = S2Decoder()
    private var buffer: [UInt8] = []
    private var sum: UInt32 = 0
    private var hasHead = false
    /// The end frame has been read.
    private(set) var isComplete = false
    /// Bytes that have come in.
    private(set) var total: UInt64 = 0

    /// - Parameter messageBytesMax: what subject, headers and payload of a message may take together.
    init(messageBytesMax: Int) { self.messageBytesMax = messageBytesMax }

    /// Reads on, and calls `frame` for each frame that is complete and whole.
    mutating func read(
        _ bytes: ByteView, _ frame: (SnapshotFrame, ByteView) throws(SnapshotFailure) -> Void
    ) throws(SnapshotFailure) {
        total += UInt64(bytes.count)
        var blocks = self.blocks
        self.blocks = S2Decoder()
        try blocks.read(bytes) { block throws(SnapshotFailure) in try take(block, frame) }
        self.blocks = blocks
    }

    private mutating func take(
        _ block: ByteView, _ frame: (SnapshotFrame, ByteView) throws(SnapshotFailure) -> Void
    ) throws(SnapshotFailure) {
        buffer += block.buffer
        var offset = 0
        while let end = try nextFrame(from: offset, frame) { offset = end }
        buffer.removeFirst(offset)
    }

    /// Nothing comes any more.
    func finish() throws(SnapshotFailure) {
        if total == 0 { throw SnapshotFailure("the snapshot is empty") }
        if !isComplete || !blocks.isAtEnd { throw SnapshotFailure("the snapshot ends before its end: unexpected EOF") }
    }

    /// - Returns: where the frame ended; nil if it is not there in full.
    private mutating func nextFrame(
        from offset: Int, _ frame: (SnapshotFrame, ByteView) throws(SnapshotFailure) -> Void
    ) throws(SnapshotFailure) -> Int? {
        let left = buffer.count - offset
        guard hasHead else { return try readHead(left) }
        if left == 0 { return nil }
        if isComplete { throw SnapshotFailure("the snapshot goes on behind its end") }
        guard left >= SnapshotFormat.frameHeadBytes else { return nil }
        let (kind, length, wanted) = buffer.withUnsafeBytes { bytes in
            let head = bytes.baseAddress.unsafelyUnwrapped + offset
            return (head.load32(0), Int(head.load32(4)), head.load32(8))
        }
        guard let kind = UInt8(exactly: kind).flatMap(SnapshotFrame.init) else {
            throw SnapshotFailure("the snapshot is damaged: there is no frame of kind \(kind)")
        }
        let most = kind.bytesMax(messageBytesMax: messageBytesMax)
        guard length <= most else {
            throw SnapshotFailure(
                kind == .message
                    ? "a message of \(length) bytes is more than max_payload lets this server take"
                    : "the snapshot is damaged: a frame of \(length) bytes is more than the \(most) there may be")
        }
        let size = SnapshotFormat.frameHeadBytes + length
        guard left >= size else { return nil }
        sum = try buffer.withUnsafeBufferPointer { all throws(SnapshotFailure) in
            let bytes = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(all)[offset..<offset + size])
            let body = UnsafeRawBufferPointer(rebasing: bytes[SnapshotFormat.frameHeadBytes...])
            guard SnapshotFormat.sum(sum, bytes.baseAddress.unsafelyUnwrapped, body) == wanted else {
                throw SnapshotFailure("the snapshot is damaged: a checksum is wrong")
            }
            try frame(kind, ByteView(body))
            return wanted
        }
        if kind == .end { isComplete = true }
        return offset + size
    }

    private mutating func readHead(_ left: Int) throws(SnapshotFailure) -> Int? {
        guard left >= SnapshotFormat.headBytes else {
            let isOurs = buffer.withUnsafeBytes { bytes in
                zip(bytes, UnsafeBufferPointer(start: SnapshotFormat.magic.utf8Start, count: 8)).allSatisfy { $0 == $1 }
            }
            if !isOurs { throw SnapshotFailure(SnapshotFormat.foreign) }
            return nil
        }
        let (isOurs, version, wanted, found) = buffer.withUnsafeBytes { bytes in
            let head = bytes.baseAddress.unsafelyUnwrapped
            let magic = ByteView(UnsafeRawBufferPointer(rebasing: bytes[..<8]))
            return (magic.equals(SnapshotFormat.magic), head.load32(8), head.load32(12), Checksum.crc32c(head, 12))
        }
        guard isOurs else { throw SnapshotFailure(SnapshotFormat.foreign) }
        guard wanted == found else { throw SnapshotFailure("the snapshot is damaged: its head's checksum is wrong") }
        guard version == SnapshotFormat.version else {
            throw SnapshotFailure("the snapshot has format \(version), this server reads \(SnapshotFormat.version)")
        }
        sum = wanted
        hasHead = true
        return SnapshotFormat.headBytes
    }
}

extension UnsafeRawPointer {
    fileprivate func load32(_ offset: Int) -> UInt32 {
        UInt32(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }
}

/// A message as a snapshot holds it.
struct SnapshotMessage {
    var sequence: UInt64
    var timeNs: Int64
    var subject: ByteView
    var headers: ByteView
    var payload: ByteView

    /// - Throws: where it is none that a client could have published.
    init(_ body: ByteView) throws(SnapshotFailure) {
        guard body.count >= SnapshotFormat.messageHeadBytes else { throw SnapshotFailure("a message is cut short") }
        let base = UnsafeRawPointer(body.base)
        sequence = UInt64(littleEndian: base.loadUnaligned(as: UInt64.self))
        timeNs = Int64(littleEndian: base.loadUnaligned(fromByteOffset: 8, as: Int64.self))
        let subjectBytes = Int(base.load32(16)), headerBytes = Int(base.load32(20))
        let room = body.count - SnapshotFormat.messageHeadBytes
        guard subjectBytes <= room, headerBytes <= room - subjectBytes else { throw SnapshotFailure("a message is cut short") }
        subject = ByteView(body.base + SnapshotFormat.messageHeadBytes, subjectBytes)
        headers = ByteView(subject.end, headerBytes)
        payload = ByteView(headers.end, room - subjectBytes - headerBytes)
        guard subjectBytes <= Int(UInt16.max), Subject.isValidLiteral(subject),
            subject.buffer.allSatisfy({ $0 > 0x20 && $0 != 0x7F })
        else { throw SnapshotFailure("message \(sequence) has no valid subject") }
        guard headers.isEmpty || SnapshotMessage.isBlock(headers) else {
            throw SnapshotFailure("message \(sequence) has no valid headers")
        }
        guard timeNs >= 0 else { throw SnapshotFailure("message \(sequence) has no valid time") }
    }

    private static func isBlock(_ headers: ByteView) -> Bool {
        guard headers.count >= 12, headers.hasPrefix("NATS/1.0") else { return false }
        return ByteView(headers.end - 4, 4).equals("\r\n\r\n")
    }

    /// What a restart has to find again; which of it holds is the stream's configuration's matter.
    var marks: MessageMarks {
        guard !headers.isEmpty else { return [] }
        let known = PublishHeaders(headers)
        var marks: MessageMarks = []
        if !known.ttl.isEmpty || !known.markerReason.isEmpty { marks.insert(.expires) }
        if !known.schedule.isEmpty { marks.insert(.schedule) }
        if !known.messageID.isEmpty { marks.insert(.hasMessageID) }
        return marks
    }
}
