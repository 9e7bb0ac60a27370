// Takes in one snapshot: its pieces in their order, each answered when it has been dealt with.

import Reactor
import Store
import Wire

/// On its account's home loop. `StreamLifecycle` keeps it until it has ended, and makes the stream of what has come in.
final class StreamRestore {
    /// How long a client may take from one piece to the next.
    private static let idleMs = 30_000
    /// Who goes on after an error is told of it for so long.
    private static let failedMs = 5_000
    /// Beside max_payload: the headers that a broker adds to a message, and its subject.
    private static let messageBytesExtra = 128 << 10

    private struct Piece {
        var bytes: [UInt8]
        var reply: [UInt8]
    }

    let call: APICall
    let config: StreamConfig
    let number: UInt64
    let subject: String
    private let shared: JetStream
    private unowned let router: Router
    private var endpoint: EndpointSubscription?
    private var timer: TimerID?
    private let startNs = Clock.wallNs()
    /// What there is room for, in bytes of a snapshot.
    private let bytesMax: UInt64
    private var total: UInt64 = 0

    /// What has been built so far; a file thread works with it while `isBusy`.
    let slot = RestoreSlot()
    private var isBusy = false
    private var waiting: [Piece] = []
    /// The answer to the end of the snapshot goes there.
    private(set) var endReply: [UInt8]?
    private var failure: APIError?
    private var isEnded = false

    init(_ call: APICall, _ config: StreamConfig, shared: JetStream, router: Router) {
        self.call = call
        self.config = config
        self.shared = shared
        self.router = router
        number = shared.nextSerial()
        subject = "$JS.SNAPSHOT.RESTORE.\(config.name).\(String(decoding: originToken(router.randomBits()), as: UTF8.self))"
        bytesMax = StreamRestore.room(config.storage, call.account, shared)
        endpoint = EndpointSubscription(subject, router: router, index: call.account.account.index) { [weak self] message, _ in
            self?.received(message)
        }
        wait(StreamRestore.idleMs)
    }

    private static func room(_ storage: StorageType, _ account: JetStreamAccount, _ shared: JetStream) -> UInt64 {
        let usage = account.usage
        let isFile = storage == .file
        let own = isFile ? usage.limits.maxStorageBytes : usage.limits.maxMemoryBytes
        let most = own >= 0 ? own : isFile ? shared.maxFileBytes : shared.maxMemoryBytes
        let used = isFile ? usage.storage : usage.memory
        let limit = UInt64(clamping: max(0, most))
        return limit > used ? limit - used : 0
    }

    private func wait(_ ms: Int) {
        if let timer { router.loop.cancel(timer) }
        timer = router.loop.schedule(afterMs: ms) { [weak self] in
            guard let self else { return }
            timer = nil
            if isBusy || endReply != nil { return wait(StreamRestore.idleMs) }
            fail(.streamRestore("the restore has stalled"))
            close()
        }
    }

    // MARK: Pieces

    private func received(_ message: Message) {
        // What comes behind the end means nothing: the stream is being made.
        guard !isEnded, endReply == nil else { return }
        let reply = message.reply.bytes
        if reply.isEmpty { fail(.streamRestore("each piece has to have a reply subject")) }
        if let failure { return answerFailure(failure, reply, isEnd: message.body.isEmpty) }
        wait(StreamRestore.idleMs)
        let bytes = message.body.bytes
        total += UInt64(bytes.count)
        if total > bytesMax {
            fail(.insufficientResources)
            return answerFailure(.insufficientResources, reply, isEnd: false)
        }
        router.broker.backlog.add(router.loop.index, bytes.count)
        waiting.append(Piece(bytes: bytes, reply: reply))
        next()
    }

    /// Has the next piece dealt with, on a file thread: one after the other.
    private func next() {
        guard !isBusy, endReply == nil, failure == nil, !waiting.isEmpty else { return }
        let piece = waiting.removeFirst()
        isBusy = true
        let number = number, mailbox = router.loop.mailbox, shared = shared, config = config, slot = slot
        let account = call.account
        let limits = account.jetStreamLimits(shared)
        let messageBytesMax = router.settings.maxPayloadBytes + StreamRestore.messageBytesExtra
        let isQueued = shared.fileThreads.run {
            var failure: String?
            do throws(SnapshotFailure) {
                try slot.use(shared.disk) { () throws(StoreError) in
                    try RestoreBuilder(
                        config, number: number, account: account.directory, limits: limits, messageBytesMax: messageBytesMax,
                        shared.disk)
                } _: { builder throws(SnapshotFailure) in
                    if piece.bytes.isEmpty { try builder.finish() } else { try builder.take(piece.bytes) }
                }
            } catch {
                failure = error.description
            }
            let reason = failure
            mailbox.post { loop in
                let lifecycle = (loop.context as? Router)?.streams?.admin.lifecycle
                lifecycle?.restore(number)?.taken(piece.bytes.count, piece.reply, reason)
            }
        }
        if !isQueued {
            isBusy = false
            router.broker.backlog.add(router.loop.index, -piece.bytes.count)
            fail(.insufficientResources)
            answerFailure(.insufficientResources, piece.reply, isEnd: piece.bytes.isEmpty)
        }
    }

    private func taken(_ bytes: Int, _ reply: [UInt8], _ reason: String?) {
        isBusy = false
        router.broker.backlog.add(router.loop.index, -bytes)
        if isEnded {
            discard()
            router.streams?.admin.lifecycle.end(self)
            return
        }
        if let reason { fail(.streamRestore(reason)) }
        if let failure {
            discard()
            return answerFailure(failure, reply, isEnd: bytes == 0)
        }
        guard bytes == 0 else {
            answer([], reply)
            return next()
        }
        endReply = reply
        (router.streams?.admin.lifecycle).map { $0.submit(self) }
    }

    // MARK: Ends

    private func answer(_ response: [UInt8], _ reply: [UInt8]) {
        reply.withUnsafeBytes { subject in
            response.withUnsafeBytes { response in
                _ = router.publish(
                    call.account.account.index, subject: ByteView(subject), reply: .empty, headers: .empty,
                    payload: ByteView(response))
            }
        }
    }

    private func answerFailure(_ error: APIError, _ reply: [UInt8], isEnd: Bool) {
        if !reply.isEmpty { answer(APIResponse.failure(.streamCreate, error), reply) }
        if isEnd { close() }
    }

    /// Nothing more is taken; whoever sends on is told why.
    private func fail(_ error: APIError) {
        guard failure == nil else { return }
        failure = error
        for piece in waiting {
            router.broker.backlog.add(router.loop.index, -piece.bytes.count)
            answerFailure(error, piece.reply, isEnd: false)
        }
        waiting = []
        discard()
        wait(StreamRestore.failedMs)
    }

    /// Removes what has been built; a thread that is still at it is waited for by the next.
    private func discard() {
        guard !isBusy else { return }
        let disk = shared.disk, slot = slot
        _ = shared.fileThreads.run { slot.discard(disk) }
    }

    /// The stream is there, or could not be made.
    func end(_ result: Result<StreamInfo, APIError>) {
        let reply = endReply ?? []
        switch result {
        case .success(let info): answer(APIResponse.stream(.streamCreate, info), reply)
        case .failure(let error): answer(APIResponse.failure(.streamCreate, error), reply)
        }
        discard()
        close()
    }

    private func close() {
        guard !isEnded else { return }
        isEnded = true
        if let timer { router.loop.cancel(timer) }
        timer = nil
        endpoint?.end()
        endpoint = nil
        let start = startNs, total = total, name = config.name, call = call
        Advisory.publish(
            Advisory.prefix + "STREAM.RESTORE_COMPLETE.\(name)", "restore_complete", in: call.account.account, router: router
        ) { json in
            json.member("stream", name)
            json.time("start", start)
            json.time("end", Clock.wallNs())
            json.member("bytes", total)
            json.client(call)
        }
        // A thread that is still at it is heard of first, and what it has built removed then.
        if !isBusy { router.streams?.admin.lifecycle.end(self) }
    }
}
