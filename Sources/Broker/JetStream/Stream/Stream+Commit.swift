// Makes what a stream has decided durable, and lets out what waited for that: acks, republished messages, answers, and the
// messages themselves, for consumers.

import Store
import Wire

extension Stream {
    /// Starts the commits that there is something for. One at a time for the log and for the journal; what changes meanwhile
    /// goes into the next one.
    func commit() {
        if let due = syncDueNs, due <= host.now.monotonicNs {
            syncDueNs = nil
            isLogSyncDue = true
            isJournalSyncDue = true
        }
        if hasRemovals {
            hasRemovals = false
            lastRemovalsTicket = log.commitTicket
        }
        if journalReliesOnLog {
            journalReliesOnLog = false
            removalsTicket = lastRemovalsTicket
        }
        commitLog()
        commitJournal()
    }

    private func commitLog() {
        guard !isLogCommitting, failure == nil else { return }
        let syncs = settings.syncPolicy.syncsEveryCommit || isLogSyncDue
        isLogSyncDue = false
        guard let job = log.beginCommit(syncs: syncs) else {
            // Something is to be written, and the log cannot: it says why to the next one who stores something.
            if log.commitTicket > log.finishedCommit { fail(.unusable("the stream's log cannot be written")) }
            return
        }
        isLogCommitting = true
        commits.run(job) { [self] result in logCommitFinished(result, syncs: syncs) }
    }

    private func commitJournal() {
        guard !isJournalCommitting, journalFailure == nil, let journal else { return }
        if let error = journal.failure { return failJournal(error) }
        let waits = removalsTicket > log.finishedCommit
        // Removals that will never be durable: with the journal's record of them a restart would show the messages to nobody.
        if waits, let failure { return failJournal(failure) }
        // The log's next commit may have the removals that the journal relies on.
        if waits && !(isLogCommitting && removalsTicket == log.finishedCommit + 1) { return }
        // Most acks are not waited for; those that are sync at once.
        let isAwaited = !journalWaits.isEmpty || !journalRequests.isEmpty || !journalAwaiting.isEmpty
        let syncs = isJournalSyncDue || settings.syncPolicy.syncsEveryCommit && isAwaited
        isJournalSyncDue = false
        guard let job = journal.beginCommit(syncs: syncs) else {
            // Nothing is left to sync, whoever did it: a rewrite of the journal syncs by itself.
            if syncs && failure == nil && journal.commitTicket == journal.finishedCommit { journalIsSynced() }
            return
        }
        isJournalCommitting = true
        if waits { waitingJournalJob = (job, syncs) } else { run(journalJob: job, syncs: syncs) }
    }

    private func run(journalJob job: CommitJob, syncs: Bool) {
        commits.run(job) { [self] result in journalCommitFinished(result, syncs: syncs) }
    }

    private func logCommitFinished(_ result: CommitResult, syncs: Bool) {
        isLogCommitting = false
        if !syncs { noteUnsynced() }
        if let error = log.finishCommit(result) { fail(error) }
        if let waiting = waitingJournalJob {
            waitingJournalJob = nil
            if let failure {
                isJournalCommitting = false
                return failJournal(failure)
            }
            run(journalJob: waiting.job, syncs: waiting.syncs)
        }
        settle()
    }

    /// How long acks of consumers that nobody waits for may be forgotten by a power cut.
    private static let ackSyncNs: UInt64 = 100_000_000

    /// Something has been written that the next sync has to cover.
    private func noteUnsynced() {
        guard syncDueNs == nil else { return }
        switch settings.syncPolicy {
        case .always: syncDueNs = host.now.monotonicNs &+ Stream.ackSyncNs
        case .interval(let intervalNs): syncDueNs = host.now.monotonicNs &+ intervalNs
        case .never: break
        }
    }

    /// What has been written counts as durable for whoever waits, by the stream's policy.
    var journalSettled: UInt64 {
        settings.syncPolicy.syncsEveryCommit ? journalSynced : journal?.finishedCommit ?? 0
    }

    /// The stream is about to be closed: its last commits sync whatever the policy.
    func prepareToClose() {
        isLogSyncDue = true
        isJournalSyncDue = true
    }

    private func journalCommitFinished(_ result: CommitResult, syncs: Bool) {
        isJournalCommitting = false
        if !syncs { noteUnsynced() }
        guard let journal else { return }
        let before = journal.finishedCommit
        if let error = journal.finishCommit(result) {
            return failJournal(error)
        }
        // What it found no room for is tried again with the next record.
        if journal.finishedCommit == before { for action in journalRequests.takeAll() { action(.noSpace) } }
        if syncs { journalSynced = journal.finishedCommit }
        tellJournalWaits()
    }

    private func journalIsSynced() {
        guard let journal, journalSynced < journal.finishedCommit else { return }
        journalSynced = journal.finishedCommit
        tellJournalWaits()
    }

    private func tellJournalWaits() {
        takeJournalWaits()
        tellThoseWhoAwaitJournal()
    }

    private func takeJournalWaits() {
        if !journalWaits.isEmpty {
            for action in journalWaits.take(finished: journalSettled) { action(nil) }
        }
        if !journalRequests.isEmpty {
            for action in journalRequests.take(finished: journalSettled) { action(nil) }
        }
    }

    /// Lets out whatever is durable by now.
    func settle() {
        release()
        let durable = log.durableSequence
        if durable > visibleSequence {
            visibleSequence = durable
            for consumer in consumerList { consumer.messagesVisible() }
        }
        if !logWaits.isEmpty {
            for action in logWaits.take(finished: log.finishedCommit) { action(nil) }
        }
        takeJournalWaits()
    }

    /// Publishes what waited for a finished commit, in order. What is published may come back as a publish to this stream.
    private func release() {
        guard !isReleasing else { return }
        isReleasing = true
        let finished = log.finishedCommit
        while let next = releases.first, next.ticket <= finished {
            host.publish(next.subject, reply: .empty, headers: next.headers, payload: next.payload)
            releases.removeFirst()
        }
        isReleasing = false
    }

    /// A write or sync has failed: whoever waits for it gets an error, and so does every later publisher. What is durable can
    /// still be read.
    func fail(_ error: StoreError) {
        guard failure == nil else { return }
        failure = error
        rules.insert(.failed)
        onFailed?(error)
        let answer = PubAck.failure(.streamStoreFailed(error.description), stream: config.name)
        while let waiting = releases.first {
            if waiting.isAnswer {
                answer.withUnsafeBytes {
                    host.publish(waiting.subject, reply: .empty, headers: .empty, payload: ByteView($0))
                }
            }
            releases.removeFirst()
        }
        for action in logWaits.takeAll() { action(error) }
    }

    /// The journal has failed: nothing that waits for it is confirmed. Acks that asked for an answer get none, and are repeated
    /// after the restart; requests are told.
    private func failJournal(_ error: StoreError) {
        guard journalFailure == nil else { return }
        journalFailure = error
        journalAwaiting = []
        fail(error)
        for action in journalWaits.takeAll() + journalRequests.takeAll() { action(error) }
    }

    /// The commit that a change made now waits for. Streams that persist in the background acknowledge at once.
    var ackTicket: UInt64 { config.persistMode == .async ? 0 : log.commitTicket }

    /// Runs `action` once everything that has been decided so far is durable, with the error if it never will be.
    func afterCommit(_ action: @escaping (StoreError?) -> Void) {
        if let failure { return action(failure) }
        let ticket = log.commitTicket
        if log.finishedCommit >= ticket { action(nil) } else { logWaits.add(ticket, action) }
    }

    func journalFollowsLog() { journalReliesOnLog = true }

    var areRemovalsDurable: Bool { !hasRemovals && lastRemovalsTicket <= log.finishedCommit }

    func afterJournalCommit(_ action: @escaping () -> Void) { afterJournal { error in if error == nil { action() } } }

    func afterJournal(_ action: @escaping (StoreError?) -> Void) {
        guard let journal else { return action(nil) }
        if let journalFailure { return action(journalFailure) }
        let ticket = journal.commitTicket
        if journalSettled >= ticket { action(nil) } else { journalWaits.add(ticket, action) }
    }

    func afterJournalAttempt(_ action: @escaping (StoreError?) -> Void) {
        guard let journal, journalFailure == nil else { return action(journalFailure) }
        let ticket = journal.commitTicket
        if journalSettled >= ticket { action(nil) } else { journalRequests.add(ticket, action) }
    }

    /// A redelivery must not go out before the journal tells of the delivery before: the next commit syncs for it.
    func awaitsJournal(_ consumer: Consumer) { if journalFailure == nil { journalAwaiting.append(consumer) } }

    private func tellThoseWhoAwaitJournal() {
        guard !journalAwaiting.isEmpty else { return }
        let waiting = journalAwaiting
        journalAwaiting = []
        for consumer in waiting { consumer.touch() }
    }
}
