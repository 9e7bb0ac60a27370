// Creates, changes and deletes streams: one request after the other for each account, with the file work on other threads.

import Glibc
import Reactor
import Store
import Wire

/// Lives on each loop; works for the accounts whose home it is.
final class StreamLifecycle {
    private let shared: JetStream
    private unowned let router: Router
    private var queues: [Int: StreamWorkQueue] = [:]
    private var restores: [UInt64: StreamRestore] = [:]
    /// Each holds open files, and a message and a piece of its snapshot in memory.
    private static let restoresMax = 16
    /// What one account may take of them.
    private static let accountRestoresMax = 4

    init(_ shared: JetStream, router: Router) {
        self.shared = shared
        self.router = router
    }

    private var isStrict: Bool { shared.options.isStrict }

    // MARK: In order

    func submit(_ call: APICall) {
        let number = call.account.account.number
        if queues[number, default: StreamWorkQueue()].waitingCount >= shared.options.requestQueueLimit {
            // As on nats-server: who floods the API waits for answers that do not come.
            queues[number]?.dropCalls()
            Advisory.publish(
                Advisory.prefix + "API.LIMIT_REACHED", "api_limit_reached", in: call.account.account, router: router
            ) { $0.member("dropped", shared.options.requestQueueLimit) }
        }
        queues[number, default: StreamWorkQueue()].append(.call(call))
        next(number)
    }

    private func next(_ number: Int) {
        // A request that is refused at once ends in here again: the loop below goes on with the next one.
        guard queues[number]?.isBeginning == false else { return }
        queues[number]?.isBeginning = true
        defer { queues[number]?.isBeginning = false }
        while let work = queues[number]?.takeNext() {
            switch work {
            case .call(let call): begin(call)
            case .restored(let restore): complete(restore)
            }
        }
    }

    private func begin(_ call: APICall) {
        do throws(APIError) {
            if let error = call.account.offline(call.lastToken) { throw error }
            switch call.kind {
            case .streamCreate: try create(call)
            case .streamUpdate: try update(call)
            case .streamDelete: try delete(call)
            case .streamRestore: try restore(call)
            default: throw .badRequest
            }
        } catch {
            refuse(call, error)
        }
    }

    /// A request has been dealt with: the next one may begin.
    private func finish(_ call: APICall, _ response: [UInt8]) {
        router.respond(call, response)
        release(call)
    }

    private func refuse(_ call: APICall, _ error: APIError) {
        router.refuse(call, error)
        release(call)
    }

    private func release(_ call: APICall) {
        let number = call.account.account.number
        if call.kind == .streamCreate {
            queues[number]?.creating.remove(call.lastToken)
            queues[number]?.configs[call.lastToken] = nil
        } else {
            queues[number]?.isBusy = false
        }
        next(number)
    }

    /// Goes on with a request on its account's home loop, from any thread.
    private func home(_ call: APICall) -> @Sendable (@escaping @Sendable (StreamLifecycle) -> Void) -> Void {
        let mailbox = router.loop.mailbox
        return { step in
            mailbox.post { loop in
                guard let streams = (loop.context as? Router)?.streams else { return }
                step(streams.admin.lifecycle)
            }
        }
    }

    // MARK: CREATE

    private func create(_ call: APICall) throws(APIError) {
        let request = try call.decode(StreamConfigRequest.self, isStrict: isStrict)
        if request.config.name != call.lastToken { throw .streamMismatch }
        let limits = call.account.jetStreamLimits(shared), directory = directory(of: call.account)
        switch try request.config.checkedForCreate(pedantic: request.pedantic, limits: limits, directory: directory) {
        case .exists:
            guard let entry = call.account.stream(request.config.name) else { throw .streamNotFound }
            answerWithInfo(call, entry)
        case .new(let config): try create(config, call)
        }
    }

    private func create(_ config: StreamConfig, _ call: APICall) throws(APIError) {
        let definition = StreamDefinition(config: config, createdNs: Clock.wallNs())
        let entry = StreamEntry(
            config: config, createdNs: definition.createdNs, serial: shared.nextSerial(), loop: leastLoadedLoop(),
            usage: StreamUsage())
        let home = home(call), shared = shared, group = router.loop.group
        queues[call.account.account.number]?.configs[config.name] = config
        let isQueued = shared.fileThreads.run {
            let directory = call.account.directory
            do throws(StoreError) {
                let opened = Handoff(try StreamFiles.create(definition, in: directory, shared.disk))
                group.mailboxes[entry.loop].post { loop in
                    guard let streams = (loop.context as? Router)?.streams, let opened = opened.take() else { return }
                    let info = streams.open(opened, entry, call.account)
                    home { $0.created(call, info) }
                }
            } catch {
                home { $0.refuse(call, APIError.storing(error, .streamCreate)) }
            }
        }
        if !isQueued { throw .insufficientResources }
    }

    private func created(_ call: APICall, _ info: StreamInfo) {
        if info.config.storage == .file { queues[call.account.account.number]?.hasDirectory = true }
        Advisory.stream(.create, info.config.name, in: call.account.account, router: router)
        finish(call, APIResponse.stream(call.kind, info, didCreate: true))
    }

    /// Streams are spread by how many there are on each loop.
    private func leastLoadedLoop() -> Int {
        var counts = Array(repeating: 0, count: router.loop.group.count)
        for account in shared.accounts { for entry in account.all { counts[entry.loop] += 1 } }
        return counts.indices.min { counts[$0] < counts[$1] } ?? 0
    }

    private func answerWithInfo(_ call: APICall, _ entry: StreamEntry) {
        let home = home(call)
        JetStreamLoop.gatherInfo(of: [entry], router.loop.group) { infos in
            home { lifecycle in
                guard let info = infos.first else { return lifecycle.refuse(call, .streamNotFound) }
                // As nats-server says it of a stream that was there already, too.
                lifecycle.finish(call, APIResponse.stream(call.kind, info, didCreate: true))
            }
        }
    }

    private func directory(of account: JetStreamAccount) -> StreamDirectory {
        var directory = StreamDirectory(streams: account.all.map(\.config))
        for (name, config) in queues[account.account.number]?.configs ?? [:] where directory.stream(name) == nil {
            directory.streams.append(config)
        }
        for other in shared.accounts {
            let usage = other.usage
            directory.serverReservedMemoryBytes.add(clamping: usage.reservedMemory)
            directory.serverReservedStorageBytes.add(clamping: usage.reservedStorage)
        }
        return directory
    }

    // MARK: UPDATE

    private func update(_ call: APICall) throws(APIError) {
        let request = try call.decode(StreamConfigRequest.self, isStrict: isStrict)
        if request.config.name != call.lastToken { throw .streamMismatch }
        guard let entry = call.account.stream(call.lastToken) else {
            // A configuration that is wrong in itself is refused for that.
            _ = try request.config.checkedForUpdate(
                from: nil, pedantic: request.pedantic, limits: call.account.jetStreamLimits(shared),
                directory: directory(of: call.account), consumers: [])
            throw .streamNotFound
        }
        let home = home(call)
        router.loop.group.mailboxes[entry.loop].post { loop in
            let runtime = (loop.context as? Router)?.streams?.stream(entry.serial)
            let consumers = runtime?.consumerConfigs ?? []
            home { lifecycle in
                do throws(APIError) {
                    try lifecycle.update(call, request, entry, consumers)
                } catch {
                    lifecycle.refuse(call, error)
                }
            }
        }
    }

    private func update(
        _ call: APICall, _ request: StreamConfigRequest, _ entry: StreamEntry, _ consumers: [ConsumerConfig]
    ) throws(APIError) {
        let config = try request.config.checkedForUpdate(
            from: entry.config, pedantic: request.pedantic, limits: call.account.jetStreamLimits(shared),
            directory: directory(of: call.account), consumers: consumers)
        let definition = StreamDefinition(config: config, createdNs: entry.createdNs)
        let home = home(call), shared = shared, group = router.loop.group
        let isQueued = shared.fileThreads.run {
            do throws(StoreError) {
                try StreamFiles.save(definition, in: call.account.directory, shared.disk)
                group.mailboxes[entry.loop].post { loop in
                    guard let streams = (loop.context as? Router)?.streams else { return }
                    let info = streams.update(entry.serial, config)
                    home { lifecycle in
                        guard let info else { return lifecycle.refuse(call, .streamNotFound) }
                        lifecycle.updated(call, info)
                    }
                }
            } catch {
                home { $0.refuse(call, APIError.storing(error, .streamUpdate)) }
            }
        }
        if !isQueued { throw .insufficientResources }
    }

    private func updated(_ call: APICall, _ info: StreamInfo) {
        Advisory.stream(.modify, info.config.name, in: call.account.account, router: router)
        finish(call, APIResponse.stream(call.kind, info))
    }

    // MARK: DELETE

    private func delete(_ call: APICall) throws(APIError) {
        guard call.body.isEmpty else { throw .notEmptyRequest }
        guard let entry = call.account.stream(call.lastToken) else { throw .streamNotFound }
        let home = home(call), shared = shared
        router.loop.group.mailboxes[entry.loop].post { loop in
            (loop.context as? Router)?.streams?.close(entry.serial) {
                let isQueued = shared.fileThreads.run {
                    do throws(DiskError) {
                        if entry.config.storage == .file {
                            try StreamFiles.delete(entry.config.name, in: call.account.directory, shared.disk)
                        }
                        home { $0.deleted(call, entry) }
                    } catch {
                        let text = error.description
                        home { $0.refuse(call, .streamDelete(text)) }
                    }
                }
                if !isQueued { home { $0.refuse(call, .insufficientResources) } }
            }
        }
    }

    private func deleted(_ call: APICall, _ entry: StreamEntry) {
        Advisory.stream(.delete, entry.config.name, in: call.account.account, router: router)
        finish(call, APIResponse.success(.streamDelete))
    }
}

// MARK: RESTORE

extension StreamLifecycle {
    private func restore(_ call: APICall) throws(APIError) {
        let request = try call.body.withUnsafeBufferPointer { body throws(APIError) in
            try StreamRestoreRequest.decode(ByteView(UnsafeRawBufferPointer(body)), isStrict: isStrict)
        }
        if request.config.name != call.lastToken { throw .streamMismatch }
        if call.account.stream(call.lastToken) != nil { throw .streamNameExistsRestoreFailed }
        let config = try checkedForRestore(request.config, call.account)
        let own = restores.values.count { $0.call.account === call.account }
        if restores.count >= StreamLifecycle.restoresMax || own >= StreamLifecycle.accountRestoresMax {
            throw .insufficientResources
        }
        let restore = StreamRestore(call, config, shared: shared, router: router)
        restores[restore.number] = restore
        Advisory.publish(
            Advisory.prefix + "STREAM.RESTORE_CREATE.\(config.name)", "restore_create", in: call.account.account, router: router
        ) { json in
            json.member("stream", config.name)
            json.client(call)
        }
        finish(call, APIResponse.restore(deliverSubject: restore.subject))
    }

    private func checkedForRestore(_ config: StreamConfig, _ account: JetStreamAccount) throws(APIError) -> StreamConfig {
        var unsealed = config
        unsealed.sealed = false
        let checked = try unsealed.checkedForCreate(
            pedantic: false, limits: account.jetStreamLimits(shared), directory: directory(of: account))
        guard case .new(var new) = checked else { throw .streamNameExistsRestoreFailed }
        new.sealed = config.sealed
        return new
    }

    var restoresUnderWay: [StreamRestore] { Array(restores.values) }

    /// A restore on its way, by its number.
    func restore(_ number: UInt64) -> StreamRestore? { restores[number] }

    func end(_ restore: StreamRestore) { restores[restore.number] = nil }

    /// The snapshot is there: the stream comes into being in its turn.
    func submit(_ restore: StreamRestore) {
        let number = restore.call.account.account.number
        queues[number, default: StreamWorkQueue()].append(.restored(restore))
        next(number)
    }

    private func complete(_ restore: StreamRestore) {
        let call = restore.call
        let config: StreamConfig
        do throws(APIError) {
            if let error = call.account.offline(call.lastToken) { throw error }
            // Others may have come in the meantime.
            config = try checkedForRestore(restore.config, call.account)
        } catch {
            return endRestore(restore, .failure(error))
        }
        let definition = StreamDefinition(config: config, createdNs: Clock.wallNs())
        let entry = StreamEntry(
            config: config, createdNs: definition.createdNs, serial: shared.nextSerial(), loop: leastLoadedLoop(),
            usage: StreamUsage())
        let home = home(call), shared = shared, group = router.loop.group, number = restore.number, slot = restore.slot
        let isQueued = shared.fileThreads.run {
            guard let taken = slot.take() else {
                return home { $0.completed(number, .failure(.streamRestore("the restore was given up")), call) }
            }
            do throws(StoreError) {
                let opened = Handoff(try taken.open(definition, shared.disk))
                group.mailboxes[entry.loop].post { loop in
                    guard let streams = (loop.context as? Router)?.streams, let opened = opened.take() else { return }
                    let info = streams.open(opened, entry, call.account)
                    home { $0.completed(number, .success(info), call) }
                }
            } catch {
                taken.discard(shared.disk)
                let refusal = error == .noSpace ? APIError.storageResourcesExceeded : .streamRestore(error.description)
                home { $0.completed(number, .failure(refusal), call) }
            }
        }
        if !isQueued { endRestore(restore, .failure(.insufficientResources)) }
    }

    private func completed(_ number: UInt64, _ result: Result<StreamInfo, APIError>, _ call: APICall) {
        if case .success(let info) = result {
            Advisory.stream(.create, info.config.name, in: call.account.account, router: router)
        }
        guard let restore = restores[number] else { return release(call) }
        endRestore(restore, result)
    }

    private func endRestore(_ restore: StreamRestore, _ result: Result<StreamInfo, APIError>) {
        restore.end(result)
        release(restore.call)
    }
}

extension Int64 {
    fileprivate mutating func add(clamping bytes: UInt64) { self = addingSaturated(Int64(clamping: bytes)) }
}

extension APIError {
    /// What the store says no to.
    static func storing(_ error: StoreError, _ kind: APIResponse.Kind) -> APIError {
        switch error {
        case .noSpace: .storageResourcesExceeded
        default: kind == .streamCreate ? .streamCreate(error.description) : .streamUpdate(error.description)
        }
    }
}
