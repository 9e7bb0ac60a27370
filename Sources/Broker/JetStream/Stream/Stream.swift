// One stream: decides what becomes of each publish, keeps the limits, and shows what is durable to its consumers.

import Store
import Wire

/// Owned by one loop. The runtime passes in publishes, requests, finished commits and time; effects go through the host.
///
/// A publish is checked (`Stream+Publish`), stored within the limits (`Stream+Store`), and acknowledged when the commit that
/// holds it has finished (`Stream+Commit`). Every turn in which anything happened to the stream ends with `turnEnded`.
final class Stream: ConsumerStream {
    var config: StreamConfig
    /// When the stream was made.
    let createdNs: Int64
    let host: any StreamHost
    let log: any MessageLog
    let journal: (any ConsumerJournal)?
    let commits: any CommitRunner
    let settings: StreamSettings
    var accountName: String { settings.accountName }
    /// What the configuration asks of a publish beyond storing it.
    var rules: StreamRules
    /// Has a consumer that was inactive for too long deleted, as by an API request.
    var onConsumerExpired: ((Consumer) -> Void)?
    /// Has a consumer reached from outside, and no longer.
    var onConsumerAdded: ((Consumer) -> Void)?
    var onConsumerRemoved: ((Consumer) -> Void)?
    /// Adds what is known of the streams that this one copies.
    var onInfo: ((inout StreamInfo) -> Void)?
    /// Hears why nothing more is stored until a restart.
    var onFailed: ((StoreError) -> Void)?
    /// Asked before a message is stored, if an account has limits: nil, or why there is no room for so many bytes more.
    ///
    /// `staged` are those of the messages that are stored together with the last.
    var roomForBytes: ((_ staged: Int, _ last: Int) -> APIError?)?

    // MARK: What is decided but not durable

    var visibleSequence: UInt64
    /// Set when a write or a sync has failed: nothing more is stored until a restart.
    var failure: StoreError?
    /// Set when the consumers' journal cannot be written any more: nothing that waits for it is confirmed until a restart.
    var journalFailure: StoreError?
    var releases = ReleaseQueue()
    /// Answers that wait for a commit of the log or the journal, by ticket.
    var logWaits = CommitWaits()
    var journalWaits = CommitWaits()
    /// Of these, answers that say so if a commit of the journal finds no room.
    var journalRequests = CommitWaits()
    /// What waits for a message to come from the disk.
    var loadWaits = LoadWaits()
    /// Answers that are given piece by piece.
    var longAnswers = LongAnswers()
    var isReleasing = false
    var isLogCommitting = false
    var isJournalCommitting = false
    /// Messages were removed in this turn.
    var hasRemovals = false
    /// The log's commit that has the last removal of all.
    var lastRemovalsTicket: UInt64 = 0
    /// What the journal is told in this turn relies on removals so far.
    var journalReliesOnLog = false
    /// The log's commit that has the last removal on which the journal relies.
    var removalsTicket: UInt64 = 0
    /// A purge is removing messages, or a rollup.
    var isPurging = false
    /// The journal's commit, while it waits for that.
    var waitingJournalJob: (job: CommitJob, syncs: Bool)?
    /// With an interval between syncs: when the next one is due, if something is written and not synced.
    var syncDueNs: UInt64?
    var isLogSyncDue = false
    var isJournalSyncDue = false
    /// The last commit of the journal that is synced, and all before it.
    var journalSynced: UInt64
    let ackPrefix: ScratchBytes
    let name: ScratchBytes

    // MARK: What a publish is checked against

    /// Of the last message, to give the next one a later time and to check Nats-Expected-Last-Msg-Id.
    var lastTimeNs: Int64
    let lastMessageID = ScratchBytes()
    var duplicates: DuplicateWindow
    var patternLasts = PatternLasts()
    var subjectTransform: SubjectTransform?
    var republishTransform: SubjectTransform?
    /// Changed subjects, headers and bodies of the publish that is being handled.
    var edits = RecordQueue()
    var transformed: [UInt8] = []
    /// For bytes that are passed on at once.
    let scratch = ScratchBytes()
    /// Publishes that wait for something to come from the disk, and all behind them.
    var held = HeldPublishes()

    // MARK: Batches

    /// What the earlier messages of a batch will have changed, while it is committed.
    var staging: BatchStaging?
    var atomicBatches = AtomicBatches()
    /// What batches hold in the whole account.
    var batchBytesInAccount: () -> Int = { 0 }
    var fastBatches: [[UInt8]: FastBatch] = [:]

    // MARK: What time brings

    /// Messages with a time to live of their own.
    var expiries = ExpiryQueue()
    var expiriesKept = 0
    /// Messages that max_age does not concern.
    var neverExpiring: Set<UInt64> = []
    /// Delete markers: nothing takes their place when they go.
    var markers: Set<UInt64> = []
    var lastExpiryNs: Int64 = 0
    /// Schedules, with the time at which each fires next.
    var schedules: [UInt64: Int64] = [:]
    var scheduleQueue = ExpiryQueue()
    var lastFiringNs: Int64 = 0
    /// Messages that have to be read after a restart.
    var recovering: [UInt64] = []

    // MARK: Consumers

    private(set) var consumers: [String: Consumer] = [:]
    /// The same ones, to walk over.
    private(set) var consumerList: [Consumer] = []
    /// Those with ordering keys: what they have parked may be exempt from the limits.
    var keyedConsumers: [Consumer] = []
    /// Messages before it were found to be exempt.
    var pinScan: UInt64 = 0
    private(set) lazy var keyIndexes = KeyIndexes(log)
    /// Those that clients see: without the ones by which other streams follow this one.
    private(set) var listedConsumers = 0
    /// Those whose redeliveries wait for a commit of the journal.
    var journalAwaiting: [Consumer] = []
    /// Those that something has happened to in this turn.
    private var touchedConsumers: [Consumer] = []
    /// When the first of them all has something to do; may be too early, after something else has come first.
    private var consumerDeadlineNs = UInt64.max
    /// In an interest or workqueue stream some messages may have nobody left who waits for them.
    var isSweepDue = false
    /// Where the sweep goes on that is under way.
    var sweepsFrom: UInt64?
    /// The turn that had a part of it last.
    var sweptNs: UInt64 = 0
    /// The limits are to be looked at once the consumers are back: what they have parked may be exempt.
    var areLimitsDue = false
    /// Those of all messages together, and of some subjects.
    var areTotalsDue = false
    var subjectsDue: Set<SubjectID> = []
    /// Lets every message through.
    let everything: SubjectFilter

    init(
        config: StreamConfig, createdNs: Int64, log: any MessageLog, journal: (any ConsumerJournal)?, host: any StreamHost,
        commits: any CommitRunner, settings: StreamSettings
    ) {
        self.config = config
        self.createdNs = createdNs
        self.log = log
        self.journal = journal
        self.host = host
        self.commits = commits
        self.settings = settings
        rules = StreamRules(config)
        everything = SubjectFilter([], log.subjects)
        visibleSequence = log.durableSequence
        journalSynced = journal?.finishedCommit ?? 0
        lastTimeNs = log.state.lastTimeNs
        duplicates = DuplicateWindow(seed: host.random())
        name = ScratchBytes(Array(config.name.utf8))
        ackPrefix = ScratchBytes(PubAck.prefix(stream: config.name, domain: settings.domain))
        log.onRemoved = { [unowned self] sequence, subject, bytes in messageRemoved(sequence, subject, bytes) }
        log.onLoaded = { [unowned self] in messagesLoaded() }
        setTransforms()
        if config.firstSequence > 1 && log.state.lastSequence == 0 { setFirstSequence() }
        recover()
    }

    // MARK: Consumers

    func consumerAdded(_ consumer: Consumer) {
        consumers[consumer.name] = consumer
        let place = consumerList.firstIndex { consumer.name < $0.name } ?? consumerList.count
        consumerList.insert(consumer, at: place)
        if consumer.keyed != nil { keyedConsumers.append(consumer) }
        if !consumer.config.direct { listedConsumers += 1 }
        if consumer.isTouched { consumerTouched(consumer) }
        onConsumerAdded?(consumer)
    }

    func consumerRemoved(_ consumer: Consumer) {
        guard consumers[consumer.name] === consumer else { return }
        consumers[consumer.name] = nil
        consumerList.removeAll { $0 === consumer }
        keyedConsumers.removeAll { $0 === consumer }
        keyIndexes.dropUnused()
        if !consumer.config.direct { listedConsumers -= 1 }
        if config.retention == .interest { isSweepDue = true }
        onConsumerRemoved?(consumer)
    }

    func consumerTouched(_ consumer: Consumer) { touchedConsumers.append(consumer) }

    func consumerExpired(_ consumer: Consumer) { onConsumerExpired?(consumer) }

    private func messageRemoved(_ sequence: UInt64, _ subject: SubjectID, _ bytes: Int) {
        if !neverExpiring.isEmpty { neverExpiring.remove(sequence) }
        if !markers.isEmpty { markers.remove(sequence) }
        if !schedules.isEmpty { schedules[sequence] = nil }
        hasRemovals = true
        for consumer in consumerList { consumer.messageRemoved(sequence, subject, bytes: bytes, isTold: !isPurging) }
    }

    // MARK: Turns

    /// Ends a turn: consumers send what they have for their clients, and what has changed is committed.
    func turnEnded() {
        settle()
        if areLimitsDue {
            areLimitsDue = false
            // What grew too old while the broker was away goes before a client can get it.
            expire()
            enforceLimits()
        }
        if areTotalsDue { enforceLimitsThatAreDue() }
        if isSweepDue || sweepsFrom != nil { sweep() }
        // Before the stream has read which of its messages have times of their own, nobody gets any.
        if !touchedConsumers.isEmpty && !isRecovering { endTouchedTurns() }
        commit()
        settle()
        proceedWithAnswers()
    }

    /// A thousand consumers cost nothing while nothing happens to them.
    private func endTouchedTurns() {
        // What one consumer does may concern another; that ends soon, and what is left is for the next turn.
        for _ in 0..<4 where !touchedConsumers.isEmpty {
            let touched = touchedConsumers
            touchedConsumers = []
            for consumer in touched {
                consumer.turnEnded()
                consumerDeadlineNs = min(consumerDeadlineNs, consumer.nextDeadlineNs ?? .max)
            }
        }
    }

    /// When `advance` is worth calling, on the monotonic clock.
    var nextDeadlineNs: UInt64? {
        var next = syncDueNs
        func consider(_ deadlineNs: UInt64?) {
            guard let deadlineNs else { return }
            next = min(next ?? deadlineNs, deadlineNs)
        }
        consider(expiryDeadlineNs)
        consider(scheduleDeadlineNs)
        consider(atomicBatches.nextDeadlineNs)
        consider(fastBatchDeadlineNs)
        if longAnswers.dueNs < .max { consider(longAnswers.dueNs) }
        if loadWaits.hasReady { consider(host.now.monotonicNs) }
        // No two pieces at one time: others come between.
        if sweepsFrom != nil || isSweepDue { consider(sweptNs &+ 1) }
        if consumerDeadlineNs < .max { consider(consumerDeadlineNs) }
        return next
    }

    /// Does what the time asks for. The turn ends with `turnEnded` as any other.
    func advance() {
        commit()
        askNextLoads()
        expire()
        fireSchedules()
        abandonIdleBatches()
        forgetIdleFastBatches()
        guard consumerDeadlineNs <= host.now.monotonicNs else { return }
        consumerDeadlineNs = .max
        for consumer in consumerList {
            consumer.advance()
            consumerDeadlineNs = min(consumerDeadlineNs, consumer.nextDeadlineNs ?? .max)
        }
    }

    /// The monotonic clock's reading at a wall time.
    func monotonicNs(atWallNs wallNs: Int64) -> UInt64 {
        let now = host.now
        let (left, overflow) = wallNs.subtractingReportingOverflow(now.wallNs)
        if overflow { return wallNs > now.wallNs ? UInt64.max : now.monotonicNs }
        return left <= 0 ? now.monotonicNs : saturatingSum(now.monotonicNs, UInt64(left))
    }

    /// The time of the next message: now, but later than that of every one before it.
    func nextTimeNs() -> Int64 {
        lastTimeNs = max(host.now.wallNs, lastTimeNs.addingClamped(1))
        return lastTimeNs
    }
}

@available(*, unavailable)
extension Stream: Sendable {}

/// What a stream is told by its server, not by its configuration.
struct StreamSettings: Sendable {
    /// Empty without one.
    var domain = ""
    var accountName = ""
    var serverName = ""
    var syncPolicy = SyncPolicy.always
    /// The largest message a client may publish.
    var payloadBytesMax = 1 << 20
    /// JetStream's limits for batches, as nats-server has them by default.
    var atomicBatchesMax = 50
    var atomicBatchMessagesMax = 1000
    /// Ours: what one batch may hold in memory.
    var atomicBatchBytesMax = 64 << 20
    /// All of a stream's, and all of an account's.
    var atomicBatchesBytesMax = 128 << 20
    var accountBatchesBytesMax = 256 << 20
    var atomicBatchTimeoutNs: UInt64 = 10_000_000_000
    var fastBatchesMax = 1000
    var fastBatchTimeoutNs: UInt64 = 10_000_000_000
}

/// What a stream's configuration asks of each publish. A stream without any takes the short way.
struct StreamRules: OptionSet, Sendable {
    let rawValue: UInt16
    init(rawValue: UInt16) { self.rawValue = rawValue }
    static let sealed = StreamRules(rawValue: 1)
    static let transform = StreamRules(rawValue: 2)
    static let republish = StreamRules(rawValue: 4)
    static let counter = StreamRules(rawValue: 8)
    /// max_msgs, max_bytes or max_msgs_per_subject.
    static let limits = StreamRules(rawValue: 16)
    static let discardNew = StreamRules(rawValue: 32)
    static let interest = StreamRules(rawValue: 64)
    /// Publishes have to wait: the stream is still reading what it has to know of its messages.
    static let holding = StreamRules(rawValue: 256)
    /// A write has failed.
    static let failed = StreamRules(rawValue: 512)

    init(_ config: StreamConfig) {
        self = []
        if config.sealed { insert(.sealed) }
        if config.subjectTransform != nil { insert(.transform) }
        if config.republish != nil { insert(.republish) }
        if config.allowMessageCounter { insert(.counter) }
        if config.maxMessages > 0 || config.maxBytes > 0 || config.maxMessagesPerSubject > 0 { insert(.limits) }
        if config.discard == .new { insert(.discardNew) }
        if config.retention == .interest { insert(.interest) }
    }
}
