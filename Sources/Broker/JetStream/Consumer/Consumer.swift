// One consumer: what it has delivered, what waits for an ack, who waits for messages.

import Store
import Wire

/// Owned by its stream's loop. Takes what happens (requests, acks, time) and lets the host send what follows.
///
/// A consumer never delivers anything outside `turnEnded` and `advance`. What it decides lies in extensions, by subject:
/// ConsumerDispatch chooses and sends messages, ConsumerAcks takes acks, ConsumerPull pull requests, ConsumerPush interest
/// and flow control, ConsumerClock deadlines, ConsumerChanges updates and deletion, ConsumerJournaling records.
final class Consumer {
    unowned let stream: any ConsumerStream
    let name: String
    let createdNs: Int64
    let streamName: String
    var config: ConsumerConfig
    var settings: ConsumerSettings
    var filter: SubjectFilter

    // MARK: What survives a restart

    /// Behind a pointer, because it is looked at several times for each message: a property of a class is guarded against
    /// overlapping changes at run time, and nothing here changes it from two sides.
    var state: ConsumerState {
        @inline(__always) _read { yield kept.pointee }
        @inline(__always) _modify { yield &kept.pointee }
    }
    private let kept: UnsafeMutablePointer<ConsumerState>
    /// Its number in the journal; nil where it keeps nothing.
    var journalID: ConsumerID?

    // MARK: Reading

    /// Where the search for the next message begins. While `state.lastPerSubject` holds anything that comes first.
    var nextSequence: UInt64
    /// Messages that match, are visible and were not delivered yet.
    var numPending: UInt64 = 0
    /// `numPending` knows of everything up to here.
    var countedSequence: UInt64 = 0
    /// The end of what may be delivered.
    var visibleSequence: UInt64 = 0
    /// The log is fetching what comes next.
    var isReading = false
    /// When to try again what could not be read.
    var readAgainNs: UInt64 = .max

    // MARK: Turn

    /// Something has happened that `turnEnded` has to look at.
    private(set) var isTouched = true
    /// The budget of a turn ended before the messages did.
    var hasMore = false
    var isStopped = false
    var record = TurnRecord()
    var ackReplies = AckReplies()
    /// The first message that it would have been given, was removed, and may come back with a crash: a record that passes
    /// over it must follow the removal.
    var removedAhead: UInt64 = .max
    /// Terminations of messages that the stream removed: told at the end of the turn, not from within the log.
    var removals: [Removal] = []
    /// An interest or workqueue stream wants to know what is done.
    var keepsInterest = false
    var lastDeliveredNs: Int64?
    /// As of the last turn; `hasAcked` adds this one's.
    var lastAckedNs: Int64?
    var hasAcked = false

    // MARK: Pull

    var requests = WaitingRequests()
    var lastRequestNs: UInt64 = 0
    /// The turn in which it was last looked whether those who asked still listen.
    var interestCheckedNs: UInt64 = 0
    var pin = PinnedClient()
    /// Delivers the messages of each key in order; nil in a consumer without a key.
    var keyed: KeyedDelivery?

    // MARK: Push

    /// Where a push consumer delivers.
    var target: DeliveryTarget?
    /// Somebody listens at `target`.
    var isActive = false
    var flow: FlowControl?
    var limiter: RateLimiter?
    var replay: OriginalReplay?
    var heartbeatDueNs: UInt64 = .max
    /// The client's socket is full: when to look again, and how long was waited the last time.
    var pacedUntilNs: UInt64 = .max
    var paceNs: UInt64 = 0

    // MARK: Idle and paused

    /// Idle for so long, it is deleted; 0 is never. With the jitter that JetStream adds for pull consumers.
    var inactiveThresholdNs: UInt64 = 0
    var inactiveDueNs: UInt64 = .max
    var pauseEndsNs: UInt64 = .max

    // MARK: Scratch

    let ackSubjects: AckSubjectWriter
    var scratch = HeaderScratch()
    var expiredSlots: [PendingTable.Slot] = []

    /// A new consumer. `config` has its defaults and is valid; the consumer starts where its deliver policy says.
    init(name: String, config: ConsumerConfig, createdNs: Int64, stream: any ConsumerStream) {
        self.name = name
        self.config = config
        self.createdNs = createdNs
        self.stream = stream
        streamName = stream.config.name
        settings = ConsumerSettings(config)
        let filter = SubjectFilter(config.filters, stream.log.subjects)
        self.filter = filter
        let start = ConsumerStart(config, stream: stream.config, log: stream.log, filter: filter)
        var state = ConsumerState(startsAt: start.sequence)
        state.lastPerSubject = start.lastPerSubject
        kept = .allocate(capacity: 1)
        kept.initialize(to: state)
        nextSequence = start.sequence
        ackSubjects = AckSubjectWriter(stream: streamName, consumer: name)
        begin(nil)
    }

    /// A consumer that a restart has found.
    ///
    /// - Parameters:
    ///   - id: its number in the journal that told of it.
    ///   - keyed: what the journal has kept of a keyed consumer.
    init(
        recovered: consuming RecoveredConsumerState, config: ConsumerConfig, id: ConsumerID, stream: any ConsumerStream,
        keyed: RecoveredKeyedState? = nil
    ) {
        name = recovered.name
        createdNs = recovered.createdNs
        self.config = config
        self.stream = stream
        streamName = stream.config.name
        settings = ConsumerSettings(config)
        filter = SubjectFilter(config.filters, stream.log.subjects)
        journalID = id
        ackSubjects = AckSubjectWriter(stream: streamName, consumer: recovered.name)
        nextSequence = 1
        kept = .allocate(capacity: 1)
        kept.initialize(to: recovered.state)
        let settings = settings
        state.setClocks(now: stream.host.now) { settings.ackWait(deliveries: $0) }
        let hasChanged = agreeWithLog(isKeyed: keyed != nil)
        begin(keyed)
        // What the journal says of sequences that come again must not be said of other messages after the next restart, and
        // what it tells from here on builds upon the state as it is now.
        if hasChanged { writeWhole(stream.host.now) }
    }

    deinit {
        kept.deinitialize(count: 1)
        kept.deallocate()
    }

    /// What both ways of coming into being share.
    private func begin(_ recovered: RecoveredKeyedState?) {
        let now = stream.host.now
        visibleSequence = stream.visibleSequence
        keepsInterest = stream.config.retention != .limits
        if let settings = config.keyed { startKeyed(settings, recovered) }
        countPending()
        setInactiveThreshold()
        setPause(now)
        if config.replayPolicy == .original { replay = OriginalReplay(endsAt: stream.log.state.lastSequence) }
        lastRequestNs = now.monotonicNs
        if settings.isPull { armInactivity(now) } else { beginPush(now) }
    }

    /// Drops what a stream that was cut or emptied in the meantime no longer has.
    ///
    /// - Returns: whether that changed anything. The stream may even end before what the consumer knows of it, where not every
    ///   commit syncs.
    private func agreeWithLog(isKeyed: Bool) -> Bool {
        let log = stream.log, last = log.state.lastSequence
        var hasChanged = false
        var slot = state.pending.first
        while slot != PendingTable.none {
            let sequence = state.pending[slot].sequence, following = state.pending.next(slot)
            if sequence > last || !log.contains(sequence) {
                hasChanged = true
                state.finish(slot)
            }
            slot = following
        }
        for sequence in Array(state.exhausted.keys) where sequence > last || !log.contains(sequence) {
            hasChanged = true
            state.exhausted[sequence] = nil
        }
        if state.lastPerSubject.end > last {
            hasChanged = true
            state.lastPerSubject = LastPerSubject(state.lastPerSubject.remaining.filter { $0 <= last }, end: last)
        }
        if state.delivered.stream > last && !waitsForItsStart(behind: last, isKeyed: isKeyed) {
            hasChanged = true
            state.delivered.stream = last
            state.ackFloor.stream = min(state.ackFloor.stream, last)
        }
        nextSequence =
            state.lastPerSubject.isEmpty
            ? max(state.delivered.stream + 1, state.lastPerSubject.end &+ 1, log.state.firstSequence)
            : state.lastPerSubject.first
        return hasChanged
    }

    /// Whether it was told to begin where the stream has not come to yet, and has delivered nothing.
    private func waitsForItsStart(behind last: UInt64, isKeyed: Bool) -> Bool {
        let isToldByConfig = config.deliverPolicy == .byStartSequence && config.startSequence > last
        // What a keyed consumer has delivered is not known here: rather too much than too little.
        if isKeyed || isToldByConfig { return isToldByConfig && (isKeyed || state.delivered.consumer == 0) }
        switch config.deliverPolicy {
        case .new, .last, .lastPerSubject: return false
        // A reset may have told it so; or the stream was longer once, and a crash has taken its end back.
        case .all, .byStartSequence, .byStartTime:
            return state.delivered.consumer == 0 && (stream.log as? FileLog)?.recoveryReport.wasClean ?? true
        }
    }

    /// Has the stream call `turnEnded` at the end of this turn.
    @inline(__always)
    func touch() {
        guard !isTouched else { return }
        isTouched = true
        stream.consumerTouched(self)
    }

    /// `turnEnded` begins: what happens from here on is for the next turn.
    func untouch() { isTouched = false }
}

/// A message that the stream removed while it waited for an ack.
struct Removal {
    var sequence: UInt64
    var delivery: UInt64
    var deliveries: UInt32
}
