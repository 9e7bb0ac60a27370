// What a stream asks of the place that holds its messages, on file or in memory.

import Wire

/// A message as it is stored. The views are valid until the next call of the log that gave it out.
public struct StoredMessage {
    public var sequence: UInt64
    /// Nanoseconds since 1970. Never decreases from one message to the next.
    public var timeNs: Int64
    public var subject: ByteView
    /// The whole header block, from `NATS/1.0` to the empty line; empty where there is none.
    public var headers: ByteView
    public var payload: ByteView

    public init(sequence: UInt64, timeNs: Int64, subject: ByteView, headers: ByteView, payload: ByteView) {
        self.sequence = sequence
        self.timeNs = timeNs
        self.subject = subject
        self.headers = headers
        self.payload = payload
    }
}

/// What a log holds now. An empty log that has held messages has `firstSequence == lastSequence + 1`.
public struct LogState: Sendable, Equatable {
    public var messages: UInt64 = 0
    /// As JetStream counts them: per message 22 + subject + (4 + headers, if any) + payload + 8 on file, and
    /// subject + headers + payload + 16 in memory.
    public var bytes: UInt64 = 0
    public var firstSequence: UInt64 = 0
    public var lastSequence: UInt64 = 0
    /// Of the first message that is there; 0 in an empty log.
    public var firstTimeNs: Int64 = 0
    /// Of the last message that ever was there.
    public var lastTimeNs: Int64 = 0
    public var subjects: Int = 0
    /// Sequences between first and last that are not there.
    public var deleted: UInt64 = 0
    /// Sequences that a damaged file has cost, in order.
    public var lost: [UInt64] = []
    public var lostBytes: UInt64 = 0
    public init() {}
}

/// Something the caller of `append` knows of a message and wants to find again after a restart, without reading them all.
public struct MessageMarks: OptionSet, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    /// It has a time to live of its own.
    public static let expires = MessageMarks(rawValue: 1)
    /// It is a schedule.
    public static let schedule = MessageMarks(rawValue: 2)
    /// The next message belongs to the same atomic batch: after a crash all of a batch is there or none of it.
    public static let batchContinues = MessageMarks(rawValue: 4)
    /// It has a message id, for the duplicates window.
    public static let hasMessageID = MessageMarks(rawValue: 8)
}

public enum StoreError: Error, Equatable, CustomStringConvertible {
    /// No room on the disk. What was stored is safe; deletes, purges and acks go on working.
    case noSpace
    /// A write or sync failed earlier: nothing more is accepted until a restart.
    case failed(DiskError)
    case disk(DiskError)
    /// What is there cannot be used as it is; the text says what to do.
    case unusable(String)

    public var description: String {
        switch self {
        case .noSpace: "no space left on the device"
        case .failed(let error): "an earlier write failed (\(error)); restart to go on"
        case .disk(let error): "\(error)"
        case .unusable(let text): text
        }
    }
}

/// What `load` found.
public enum LoadOutcome {
    case message(StoredMessage)
    /// Removed, never there, or lost to a damaged file (which has been reported).
    case absent
    /// Not in the page cache: it is being read off the loop. `MessageLog.onLoaded` is called when it is worth asking again.
    case reading
    case failed(StoreError)
}

/// The messages of one stream. Owned by one loop, like the stream.
///
/// Every change takes effect in memory at once and becomes durable by a commit: `beginCommit` gives the work of all
/// changes since the last one, which runs on any thread; `finishCommit` takes its result back on the loop. One commit at a
/// time. Changes made meanwhile go into the next one.
public protocol MessageLog: AnyObject {
    var state: LogState { get }
    /// Everything up to here is durable. Consumers see nothing beyond it.
    var durableSequence: UInt64 { get }
    /// Number of the commit that will hold what has been changed so far; a change is durable once
    /// `finishedCommit >= ` the ticket that was read after it.
    var commitTicket: UInt64 { get }
    var finishedCommit: UInt64 { get }
    var subjects: SubjectTable { get }
    /// Called on the loop when a `.reading` load may be repeated.
    var onLoaded: (() -> Void)? { get set }

    // MARK: Changing

    /// Stores a message under the sequence after the last, or a later one if `sequence` is given (mirrors keep gaps).
    /// - Returns: its sequence.
    func append(
        sequence: UInt64?, timeNs: Int64, subject: ByteView, headers: ByteView, payload: ByteView, marks: MessageMarks
    ) throws(StoreError) -> UInt64
    /// Uses up sequences without storing anything, up to and including `sequence`.
    func skip(to sequence: UInt64) throws(StoreError)
    /// Removes one message; false if it is not there. `erases` also overwrites its bytes on disk.
    func remove(_ sequence: UInt64, erases: Bool) throws(StoreError) -> Bool
    /// Removes everything below `sequence`. - Returns: how many messages that were.
    func removeAll(below sequence: UInt64) throws(StoreError) -> UInt64
    /// Called for each message that leaves, after it has left, whatever removed it.
    var onRemoved: ((_ sequence: UInt64, _ subject: SubjectID, _ bytes: Int) -> Void)? { get set }

    // MARK: Reading

    func load(_ sequence: UInt64) -> LoadOutcome
    func contains(_ sequence: UInt64) -> Bool
    /// The subject of a message that is there.
    func subject(of sequence: UInt64) -> SubjectID?
    /// The size of a message that is there, as `LogState.bytes` counts it.
    func size(of sequence: UInt64) -> Int?
    /// The first message from `sequence` on that a filter lets through, not beyond `limit`.
    func next(atOrAfter sequence: UInt64, _ filter: SubjectFilter, upTo limit: UInt64) -> UInt64?
    /// The last message up to `limit` that a filter lets through.
    func last(upTo limit: UInt64, _ filter: SubjectFilter) -> UInt64?
    /// How many messages from `sequence` to `limit` a filter lets through.
    func count(from sequence: UInt64, upTo limit: UInt64, _ filter: SubjectFilter) -> UInt64
    /// The first message stored at or after a time; nil if all are older.
    func first(atOrAfterNs timeNs: Int64) -> UInt64?
    /// Messages that carry any of `marks`, oldest first.
    func marked(_ marks: MessageMarks, from sequence: UInt64) -> [UInt64]

    // MARK: Committing

    /// The work that makes what has changed durable, or nil if there is none or one is under way.
    /// - Parameter syncs: false writes to the page cache only: it survives the process, not the machine.
    func beginCommit(syncs: Bool) -> CommitJob?
    /// - Returns: an error that has ended the log's life, if there was one.
    func finishCommit(_ result: CommitResult) -> StoreError?
}

/// Writes and syncs, off the loop.
public struct CommitJob: Sendable {
    let body: @Sendable () -> CommitResult
    /// False: it only copies into the page cache, and is quicker done than handed over.
    public let waitsForDisk: Bool
    /// It syncs: that takes as long as the device does.
    public let syncs: Bool
    /// What it writes; unknown is much.
    public let bytes: Int

    public init(
        waitsForDisk: Bool = true, syncs: Bool = true, bytes: Int = .max, _ body: @escaping @Sendable () -> CommitResult
    ) {
        self.waitsForDisk = waitsForDisk
        self.syncs = syncs
        self.bytes = bytes
        self.body = body
    }

    public func run() -> CommitResult { body() }
}

public struct CommitResult: Sendable {
    public var error: DiskError?
    public init(error: DiskError? = nil) { self.error = error }
}
