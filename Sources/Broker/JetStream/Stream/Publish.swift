// One message on its way into a stream.

import Wire

/// What is to be stored, as its checks leave it. Views are valid while the publish is handled: those of the message that came in
/// are its buffer's, those of what was changed are in `Stream.edits`.
struct Publish {
    var subject: ByteView
    /// Where the ack goes; empty where nobody wants one.
    var reply: ByteView
    /// The whole header block as it will be stored, or empty.
    var headers: ByteView
    var body: ByteView
    /// Of the headers as they came.
    var known: PublishHeaders
    /// Who stores it.
    var origin = Origin.client
    /// Nanoseconds from the time it is stored; 0 none, -1 never expires, not even by max_age.
    var ttlNs: Int64 = 0
    var rollup = Rollup.none
    /// When it fires, if it is a schedule.
    var scheduleDueNs: Int64?
    /// A counter's new value.
    var counterValue: DecimalInteger?
    /// In an atomic batch: the next message is part of it too.
    var batchContinues = false
    /// Of a message that another stream gave a sequence and a time to: a mirror keeps them.
    var sequence: UInt64?
    var timeNs: Int64?

    /// A schedule that it ends. It is there until room has been made for what came before, of the same batch.
    var endedSchedule: UInt64?
    /// Once it has been stored. A message that nobody is interested in has used up a sequence only.
    var storedSequence: UInt64 = 0
    var isStored = false

    enum Rollup { case none, subject, all }

    /// A client; the stream itself, with a delete marker or a schedule that fires; another stream that it sources or mirrors.
    enum Origin { case client, stream, source }

    init(subject: ByteView, reply: ByteView, headers: ByteView, body: ByteView, known: PublishHeaders) {
        self.subject = subject
        self.reply = reply
        self.headers = headers
        self.body = body
        self.known = known
    }
}

/// What became of a publish that was not refused.
enum PublishOutcome {
    case stored(UInt64)
    /// The message id is that of a message that was stored before.
    case duplicate(UInt64)

    var sequence: UInt64 {
        switch self {
        case .stored(let sequence), .duplicate(let sequence): sequence
        }
    }
}
