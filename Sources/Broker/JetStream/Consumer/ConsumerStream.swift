// What a consumer asks of its stream.

import Store
import Wire

/// Implemented by `Stream`; consumers know no more of it than this.
protocol ConsumerStream: AnyObject {
    var config: StreamConfig { get }
    /// Whose stream it is.
    var accountName: String { get }
    var host: any StreamHost { get }
    var log: any MessageLog { get }
    /// Where consumers keep their state; nil in memory streams.
    var journal: (any ConsumerJournal)? { get }
    /// Consumers see nothing beyond it: it is durable, and whole batches only.
    var visibleSequence: UInt64 { get }
    /// Which messages share an ordering key, for keyed consumers.
    var keyIndexes: KeyIndexes { get }

    /// A consumer is done with a message: an interest or workqueue stream may remove it now.
    func consumer(_ consumer: Consumer, isDoneWith sequence: UInt64)
    /// Runs `action` once everything that is in the journal now is durable; at once if there is nothing to wait for.
    ///
    /// Never, if it will not be: then the consumer must not be confirmed.
    func afterJournalCommit(_ action: @escaping () -> Void)
    /// Runs `action` once everything that is in the journal now is durable, with the error if it never will be.
    func afterJournal(_ action: @escaping (StoreError?) -> Void)
    /// As `afterJournal`, but with `.noSpace` once a commit has found no room: then it becomes durable when there is some.
    func afterJournalAttempt(_ action: @escaping (StoreError?) -> Void)
    /// Why the journal takes nothing any more.
    var journalFailure: StoreError? { get }
    /// The last commit of the journal that counts as durable.
    var journalSettled: UInt64 { get }
    /// The consumer cannot go on before more of the journal counts as durable: has it touched when a commit has finished.
    func awaitsJournal(_ consumer: Consumer)
    /// The consumer has been inactive for its threshold and wants to be deleted, as by an API request. Called at the end of its turn.
    func consumerExpired(_ consumer: Consumer)
    /// The stream has one consumer more: it is told of messages from now on.
    func consumerAdded(_ consumer: Consumer)
    /// Something has happened that the consumer's `turnEnded` has to look at, in this turn.
    func consumerTouched(_ consumer: Consumer)
    /// A consumer has been deleted. An interest stream may remove what only it waited for.
    func consumerRemoved(_ consumer: Consumer)
    /// Messages from a sequence on that the limits had to spare need not be spared any longer.
    func pinsEnded(from sequence: UInt64)
    /// So many need not be spared any longer that the limits have to be looked at without a publish.
    func limitsApplyAgain()
    /// A message is no longer one that the limits have to spare.
    func pinEnded(of sequence: UInt64)
    /// A consumer knows only now what it waits for: an interest or workqueue stream may have kept more than that.
    func retentionAppliesAgain()
    /// A message was removed that the consumer is not done with, and now passes over. Its journal must not tell so before the
    /// removal is durable: with a crash the message would come back, and nobody would be given it.
    func journalFollowsLog()
    /// Whether no message that is gone can come back with a crash.
    var areRemovalsDurable: Bool { get }
}

extension ConsumerStream {
    func pinsEnded(from sequence: UInt64) {}
    func limitsApplyAgain() {}
    func pinEnded(of sequence: UInt64) {}
    func retentionAppliesAgain() {}
    func journalFollowsLog() {}
    var areRemovalsDurable: Bool { true }
    func afterJournal(_ action: @escaping (StoreError?) -> Void) { afterJournalCommit { action(nil) } }
    func afterJournalAttempt(_ action: @escaping (StoreError?) -> Void) { afterJournal(action) }
    var journalFailure: StoreError? { nil }
}
