// What the store keeps of a stream's consumers: for each a definition and what has happened to it since, as bytes that only the
// consumer understands.

/// One consumer in a journal. Never reused within a stream.
public typealias ConsumerID = UInt64

/// What a restart finds of one consumer: its records in the order in which they were appended, beginning with the last one
/// that replaced all before it.
public struct RecoveredConsumer: Sendable {
    public var id: ConsumerID
    public var records: [[UInt8]]
    /// How many records are missing between or after these because the file is damaged (which has been reported): the later
    /// ones are there, and say what they say without the missing.
    public var lostRecords: Int
    public init(id: ConsumerID, records: [[UInt8]], lostRecords: Int = 0) {
        self.id = id
        self.records = records
        self.lostRecords = lostRecords
    }
}

/// The durable state of all consumers of one stream. Owned by the stream's loop. Commits work as in `MessageLog`, and
/// independently of the log's.
public protocol ConsumerJournal: AnyObject {
    var commitTicket: UInt64 { get }
    var finishedCommit: UInt64 { get }
    /// Why nothing more is written until it is opened anew. What is appended then is dropped, and no ticket settles.
    var failure: StoreError? { get }
    /// The number for the next consumer.
    func makeID() -> ConsumerID
    /// Appends a record to a consumer's history. `replaces` makes it stand for everything before it.
    func append(_ id: ConsumerID, _ record: UnsafeRawBufferPointer, replaces: Bool)
    /// Forgets a consumer.
    func drop(_ id: ConsumerID)
    /// Asked when the journal is rewritten because most of it is history: one record that stands for all of a consumer's.
    var snapshot: ((ConsumerID) -> [UInt8]?)? { get set }
    func beginCommit(syncs: Bool) -> CommitJob?
    func finishCommit(_ result: CommitResult) -> StoreError?
}
