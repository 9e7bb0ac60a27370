// How far a stream has come in another one that it copies, and the header that tells it in every message that was sourced.

import Wire

/// The last message of an origin that was taken over.
struct OriginPosition: Equatable, Sendable {
    /// Tells a stream from a later one of the same name; empty where it is not known.
    var identity = ""
    /// No stream gets there; a header that says so is none of ours.
    static let sequencesEnd: UInt64 = 1 << 62
    /// 0: none yet.
    var sequence: UInt64 = 0
}

/// The value of `Nats-Stream-Source`, as nats-server 2.15 writes it: the origin's name, the sequence there, filter, destination,
/// the subject there, and the origin's identity.
enum SourceHeader {
    static let name: StaticString = "Nats-Stream-Source"

    /// Writes a value: what is the same for all messages of a source has been made ready.
    static func write(
        _ ready: (before: [UInt8], between: [UInt8]), _ position: OriginPosition, subject: ByteView, to target: ScratchBytes
    ) {
        target.removeAll()
        target.append(ready.before)
        target.append(position.sequence)
        target.append(ready.between)
        target.append(subject)
        target.append(" ")
        target.append(position.identity)
    }

    /// What stands before the sequence, and between it and the subject.
    static func ready(_ source: StreamSourceConfig) -> (before: [UInt8], between: [UInt8]) {
        (Array("\(source.originName) ".utf8), Array(" \(source.indexSource) \(source.indexDestination) ".utf8))
    }

    /// Which source wrote it, by `StreamSourceConfig.indexName`, and how far that was. Headers of older servers have fewer parts.
    static func read(_ value: ByteView) -> (indexName: String, position: OriginPosition)? {
        let parts = value.buffer.split(separator: 0x20, maxSplits: 7, omittingEmptySubsequences: false)
        guard parts.count >= 4 else { return nil }
        func text(_ place: Int) -> String { String(decoding: parts[place], as: UTF8.self) }
        guard let sequence = UInt64(text(1)), sequence > 0, sequence < OriginPosition.sequencesEnd else { return nil }
        let identity = parts.count > 5 ? text(5) : ""
        return ("\(text(0)) \(text(2)) \(text(3))", OriginPosition(identity: identity, sequence: sequence))
    }
}

/// What the journal keeps of a stream's positions: headers leave the stream with their messages, positions must not.
///
///     record   magic, version, complete, log sequence, count, each: name, identity, sequence
struct OriginRecord: Equatable {
    /// Tells it from a consumer's records in the same journal.
    static let magic: UInt8 = 0x4F
    private static let version: UInt8 = 1

    /// By `StreamSourceConfig.indexName`.
    var positions: [String: OriginPosition] = [:]
    /// Headers of messages up to here say nothing that is not in `positions`.
    var logSequence: UInt64 = 0
    /// A name that is not in `positions` has never been followed.
    var isComplete = false

    func encoded() -> [UInt8] {
        var writer = VarintWriter()
        writer.byte(OriginRecord.magic)
        writer.byte(OriginRecord.version)
        writer.byte(isComplete ? 1 : 0)
        writer.number(logSequence)
        writer.number(UInt64(positions.count))
        for (name, position) in positions.sorted(by: { $0.key < $1.key }) {
            writer.text(Array(name.utf8))
            writer.text(Array(position.identity.utf8))
            writer.number(position.sequence)
        }
        return writer.bytes
    }

    init() {}

    /// nil where the bytes are no such record.
    init?(_ bytes: [UInt8]) {
        var reader = VarintReader(bytes)
        guard reader.byte() == OriginRecord.magic, reader.byte() == OriginRecord.version, let complete = reader.byte(),
            let logSequence = reader.number(), let count = reader.number(), count <= UInt64(reader.remaining)
        else { return nil }
        isComplete = complete == 1
        self.logSequence = logSequence
        for _ in 0..<count {
            guard let name = reader.text(), let identity = reader.text(), let sequence = reader.number() else { return nil }
            positions[String(decoding: name, as: UTF8.self)] = OriginPosition(
                identity: String(decoding: identity, as: UTF8.self), sequence: sequence)
        }
        guard reader.isAtEnd else { return nil }
    }
}
