// Builds a stream's log and journal from a snapshot, as its bytes come in.

import Locks
import Store
import Wire

/// Used by one thread at a time, never by a loop. Nothing in a snapshot is trusted: what comes out of it could have been made by
/// clients.
final class RestoreBuilder {
    /// So much is written before it is handed to the disk.
    private static let commitBytes = 8 << 20

    private let config: StreamConfig
    private let limits: JetStreamLimits
    private var decoder: SnapshotDecoder
    private let files: RestoredFiles?
    private let log: any MessageLog
    private var consumers: [RecoveredConsumer] = []
    /// Their states are in memory until the snapshot is complete.
    private var consumerBytes = 0
    private static let consumerBytesMax = 64 << 20
    private var names: Set<String> = []
    private var messages: UInt64 = 0
    private var lastTimeNs: Int64 = 0
    private var uncommitted = 0
    private var isFirst = true
    /// Of the snapshot, so far.
    var total: UInt64 { decoder.total }

    /// - Parameters:
    ///   - number: unique among the restores of a process.
    ///   - account: the account's directory.
    init(
        _ config: StreamConfig, number: UInt64, account: String, limits: JetStreamLimits, messageBytesMax: Int, _ disk: any Disk
    ) throws(StoreError) {
        self.config = config
        self.limits = limits
        decoder = SnapshotDecoder(messageBytesMax: messageBytesMax)
        files = config.storage == .file ? try StreamFiles.beginRestore(number, in: account, disk) : nil
        log = files?.log ?? MemoryLog()
    }

    /// Takes the next piece.
    func take(_ bytes: [UInt8]) throws(SnapshotFailure) {
        try bytes.withUnsafeBufferPointer { piece throws(SnapshotFailure) in
            try decoder.read(ByteView(UnsafeRawBufferPointer(piece))) { kind, body throws(SnapshotFailure) in
                try take(kind, body)
            }
        }
        if uncommitted >= RestoreBuilder.commitBytes { try commit(syncs: false) }
    }

    /// Nothing comes any more: everything that did is on disk when this returns.
    func finish() throws(SnapshotFailure) {
        try decoder.finish()
        guard let files else { return }
        for consumer in consumers {
            for record in consumer.records {
                record.withUnsafeBytes { files.journal.append(consumer.id, $0, replaces: true) }
            }
        }
        try commit(syncs: true)
        do throws(StoreError) {
            try files.journal.close()
            while let job = files.log.beginClose() {
                if let error = files.log.finishCommit(job.run()) { throw error }
            }
        } catch {
            throw SnapshotFailure(error.description)
        }
    }

    /// Makes the stream of what has been built and finished.
    func open(_ definition: StreamDefinition, _ disk: any Disk) throws(StoreError) -> OpenedStream {
        guard let files else {
            return OpenedStream(definition: definition, log: log, journal: nil, consumers: consumers)
        }
        return try files.adopt(definition, disk)
    }

    func discard(_ disk: any Disk) {
        if let files { StreamFiles.discard(files.directory, disk) }
    }

    private func commit(syncs: Bool) throws(SnapshotFailure) {
        uncommitted = 0
        guard let job = log.beginCommit(syncs: syncs) else { return }
        if let error = log.finishCommit(job.run()) { throw SnapshotFailure(error.description) }
    }

    // MARK: Frames

    private func take(_ kind: SnapshotFrame, _ body: ByteView) throws(SnapshotFailure) {
        if isFirst != (kind == .definition) { throw SnapshotFailure("the snapshot does not begin with a stream") }
        isFirst = false
        switch kind {
        case .definition:
            guard StreamDefinition(body.bytes) != nil else { throw SnapshotFailure("the snapshot describes no stream") }
        case .consumer: try takeConsumer(body.bytes)
        case .origins:
            guard let record = OriginRecord(body.bytes), record.isPlausible else {
                throw SnapshotFailure("the positions in other streams make no sense")
            }
            try keep(body.bytes)
        case .message: try takeMessage(body)
        case .end: try takeEnd(body)
        }
    }

    private func takeConsumer(_ record: [UInt8]) throws(SnapshotFailure) {
        guard let (name, text) = RestoreBuilder.plausible(record), AssetName.isValid(name),
            name.utf8.count <= JetStreamLimits.nameBytesMax
        else { throw SnapshotFailure("a consumer's state makes no sense") }
        guard names.insert(name).inserted else { throw SnapshotFailure("there are two consumers \(name)") }
        do throws(APIError) {
            let config = try RestoreBuilder.config(text)
            _ = try config.checked(pedantic: false, stream: self.config, limits: limits)
            if config.direct { throw .badRequest }
        } catch {
            throw SnapshotFailure("consumer \(name): \(error.description)")
        }
        try keep(record)
    }

    private static func config(_ text: [UInt8]) throws(APIError) -> ConsumerConfig {
        try text.withUnsafeBufferPointer { bytes throws(APIError) in
            try RequestBody.decode(ByteView(UnsafeRawBufferPointer(bytes)), as: ConsumerConfig.self, isStrict: false)
        }
    }

    /// Name and configuration of a consumer; nil unless its record can be read and no number in it is beyond what a stream can have.
    private static func plausible(_ record: [UInt8]) -> (name: String, config: [UInt8])? {
        if RecoveredKeyedState.isKeyed([record]) {
            var damaged = 0
            let found = RecoveredKeyedState.read([record], damaged: &damaged) { try? config($0) }
            guard let (state, _) = found, damaged == 0, state.isPlausible, isPlausible(timeNs: state.createdNs) else {
                return nil
            }
            return (state.name, state.config)
        }
        guard let found = RecoveredConsumerState.read(whole: record), found.state.isPlausible,
            isPlausible(timeNs: found.createdNs)
        else { return nil }
        return (found.name, found.config)
    }

    private func keep(_ record: [UInt8]) throws(SnapshotFailure) {
        consumerBytes += record.count
        if consumerBytes > RestoreBuilder.consumerBytesMax {
            throw SnapshotFailure("the states of its consumers are more than \(RestoreBuilder.consumerBytesMax) bytes")
        }
        let id = files?.journal.makeID() ?? UInt64(consumers.count + 1)
        consumers.append(RecoveredConsumer(id: id, records: [record]))
    }

    private func takeMessage(_ body: ByteView) throws(SnapshotFailure) {
        let message = try SnapshotMessage(body)
        guard message.sequence > log.state.lastSequence else {
            throw SnapshotFailure("message \(message.sequence) is not in order")
        }
        guard message.sequence < numbersMax, isPlausible(timeNs: message.timeNs) else {
            throw SnapshotFailure("sequence or time of message \(message.sequence) makes no sense")
        }
        guard message.timeNs >= lastTimeNs else { throw SnapshotFailure("message \(message.sequence) is older than the last") }
        lastTimeNs = message.timeNs
        do throws(StoreError) {
            if messages == 0 { try log.skip(to: message.sequence - 1) }
            _ = try log.append(
                sequence: message.sequence, timeNs: message.timeNs, subject: message.subject, headers: message.headers,
                payload: message.payload, marks: message.marks)
        } catch {
            throw SnapshotFailure(error.description)
        }
        messages += 1
        uncommitted += body.count
        if uncommitted >= RestoreBuilder.commitBytes { try commit(syncs: false) }
    }

    private func takeEnd(_ body: ByteView) throws(SnapshotFailure) {
        guard body.count == SnapshotFormat.endBytes else { throw SnapshotFailure("the end is cut short") }
        let base = UnsafeRawPointer(body.base)
        let last = UInt64(littleEndian: base.loadUnaligned(as: UInt64.self))
        let count = UInt64(littleEndian: base.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        guard count == messages, last >= log.state.lastSequence, last < numbersMax else {
            throw SnapshotFailure("there are \(messages) messages up to \(log.state.lastSequence), not \(count) up to \(last)")
        }
        do throws(StoreError) {
            if last > log.state.lastSequence { try log.skip(to: last) }
        } catch {
            throw SnapshotFailure(error.description)
        }
    }
}

/// Where a builder lies while no thread works with it. Loops pass it on and never look inside.
final class RestoreSlot: Sendable {
    private let builder = Locked<RestoreBuilder?>(nil)

    /// Works with the builder; makes it first where there is none. One that fails is gone, and what it has written.
    func use(
        _ disk: any Disk, _ make: () throws(StoreError) -> sending RestoreBuilder,
        _ body: (RestoreBuilder) throws(SnapshotFailure) -> Void
    ) throws(SnapshotFailure) {
        try builder.withLock { slot throws(SnapshotFailure) in
            do throws(StoreError) {
                if slot == nil { slot = try make() }
            } catch {
                throw SnapshotFailure(error.description)
            }
            do throws(SnapshotFailure) {
                if let slot { try body(slot) }
            } catch {
                slot?.discard(disk)
                slot = nil
                throw error
            }
        }
    }

    func take() -> sending RestoreBuilder? {
        builder.withLock { slot in
            let taken = slot
            slot = nil
            return taken
        }
    }

    /// Blocks: on a file thread.
    func discard(_ disk: any Disk) { take()?.discard(disk) }
}

extension RestoredFiles {
    fileprivate func adopt(_ definition: StreamDefinition, _ disk: any Disk) throws(StoreError) -> OpenedStream {
        let account = directory.split(separator: "/", omittingEmptySubsequences: false).dropLast(2).joined(separator: "/")
        return try StreamFiles.adopt(directory, definition, in: account, disk)
    }
}

/// Far more than a stream ever has, and sums of two are no problem.
private let numbersMax: UInt64 = 1 << 62

/// Between 1970 and 2116: far enough from the ends for everything that is added to times.
private func isPlausible(timeNs: Int64) -> Bool { timeNs >= 0 && timeNs < 1 << 62 }

extension ConsumerState {
    fileprivate var isPlausible: Bool {
        // What is pending has been delivered, and what is left of the last messages per subject has not.
        var slot = pending.first
        while slot != PendingTable.none {
            let entry = pending[slot]
            guard entry.sequence <= delivered.stream, 1...max(1, delivered.consumer) ~= entry.delivery else { return false }
            slot = pending.next(slot)
        }
        guard lastPerSubject.isEmpty || lastPerSubject.first > delivered.stream else { return false }
        return delivered.consumer < numbersMax && delivered.stream < numbersMax && ackFloor.consumer <= delivered.consumer
            && ackFloor.stream <= delivered.stream && lastPerSubject.isPlausible
    }
}

extension LastPerSubject {
    fileprivate var isPlausible: Bool { end < numbersMax && remaining.last ?? 0 <= end }
}

extension OriginRecord {
    fileprivate var isPlausible: Bool {
        logSequence < numbersMax && positions.values.allSatisfy { $0.sequence < numbersMax }
    }
}

extension RecoveredKeyedState {
    fileprivate var isPlausible: Bool {
        [readPosition, highestLeased, reservedEnd, lastVersion].allSatisfy { $0 < numbersMax }
            && entries.values.allSatisfy { $0.sequence < numbersMax && $0.delivery < numbersMax && $0.version < numbersMax }
            && cursors.values.allSatisfy { $0 < numbersMax } && audits.allSatisfy { $0.sequence < numbersMax }
            && start.isPlausible
    }
}
