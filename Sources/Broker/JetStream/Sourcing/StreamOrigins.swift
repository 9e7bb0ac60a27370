// The streams that one stream copies: as a mirror, or as sources. Keeps a follower for each, stores what they bring, and
// remembers how far each has come.

import Store
import Wire

/// Owned by the stream's loop. Its runtime calls `turnEnded` before the stream's own, and `advance` at `nextDeadlineNs`.
///
/// A mirror's position is its log's. A source's is in the Nats-Stream-Source header of the last message that it has stored,
/// and, since messages are removed, in a record of the stream's journal from time to time (`OriginRecord`).
final class StreamOrigins {
    /// Messages whose headers are looked at in one turn, after a restart.
    private static let scanBudget = 2_048
    /// How old the record in the journal may be while messages that tell more are in the log.
    private static let recordMs: UInt64 = 1_000

    private unowned let stream: Stream
    let host: any OriginFollowerHost
    private let account: String
    private var mirror: OriginFollower?
    /// In the configuration's order.
    private var sources: [(name: String, follower: OriginFollower)] = []
    private var isStarted = false
    private var isStopped = false

    // MARK: Positions

    private var record: OriginRecord
    private let recordID: ConsumerID?
    /// Of the followers, as of the last finished commit, and the log's last sequence then.
    private var durable: (positions: [String: OriginPosition], logSequence: UInt64)?
    private var recordDueNs = UInt64.max
    private var hasStored = false
    /// Sources whose last header is still to be found, and the message that is looked at next.
    private var sought: Set<String> = []
    private var seekSequence: UInt64 = 0
    private var seekEnd: UInt64 = 0
    private var isLoading = false
    private var transformed: [UInt8] = []
    private let headerValue = ScratchBytes()

    /// - Parameter found: the record that the journal has kept, with its number there.
    init(_ stream: Stream, account: String, host: any OriginFollowerHost, found: (id: ConsumerID, bytes: [UInt8])? = nil) {
        self.stream = stream
        self.account = account
        self.host = host
        record = found.flatMap { OriginRecord($0.bytes) } ?? OriginRecord()
        let last = stream.log.state.lastSequence
        // A log that has lost its end has lost what the record says of it.
        if record.logSequence > last { record = OriginRecord() }
        if last == 0 { record.isComplete = true }
        recordID = found?.id ?? stream.journal?.makeID()
        stream.onInfo = { [unowned self] info in
            info.mirror = mirror?.info()
            info.sources = sources.map { $0.follower.info() }
        }
        configure()
        seek(sources.map(\.name), behind: record.logSequence)
    }

    private func configure() {
        let config = stream.config
        if config.mirror == nil { mirror?.stop(forGood: true) }
        mirror = config.mirror.map { wanted in
            mirror
                ?? OriginFollower(wanted, .mirror, OriginPosition(), name: consumerName("mirror", "JS_MIRROR_"), origins: self)
        }
        var left = sources
        sources = config.sources.map { source in
            let name = source.indexName
            if let place = left.firstIndex(where: { $0.name == name && $0.follower.config == source }) {
                return left.remove(at: place)
            }
            let follower = OriginFollower(
                source, .source, record.positions[name] ?? OriginPosition(), name: consumerName(name, "JS_SRC_"), origins: self)
            return (name, follower)
        }
        for gone in left {
            record.positions[gone.name] = gone.follower.position
            gone.follower.stop(forGood: true)
        }
    }

    /// A name that is the same after each start, and another one for each source of each stream.
    private func consumerName(_ name: String, _ prefix: String) -> String {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in "\(stream.config.name) \(stream.createdNs) \(name)".utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        return prefix + String(decoding: originToken(hash ^ hash >> 29, count: 8), as: UTF8.self)
    }

    func consumerConfig(_ name: String, _ kind: OriginKind) -> ConsumerConfig {
        .forFollower(name, of: stream.config.name, kind: kind, account: account)
    }

    /// The stream's configuration has changed.
    func update() {
        configure()
        let names = sources.map(\.name).filter { record.positions[$0] == nil && !sought.contains($0) }
        if !names.isEmpty && !record.isComplete { seek(names, behind: 0) }
        host.touch()
    }

    /// - Parameter forGood: the stream is deleted; otherwise it goes on after a restart.
    func stop(forGood: Bool) {
        guard !isStopped else { return }
        isStopped = true
        if !forGood { writeRecord() }
        mirror?.stop(forGood: forGood)
        for source in sources { source.follower.stop(forGood: forGood) }
        stream.onInfo = nil
    }

    // MARK: Finding positions

    /// Looks for the last header of each of these sources, from the newest message back.
    private func seek(_ names: [String], behind sequence: UInt64) {
        guard !names.isEmpty else { return }
        seekEnd = record.isComplete || names.allSatisfy { record.positions[$0] != nil } ? sequence : 0
        seekSequence = stream.log.state.lastSequence
        sought.formUnion(names)
    }

    private func seekOn() {
        var budget = StreamOrigins.scanBudget
        while !sought.isEmpty, seekSequence > seekEnd,
            let sequence = stream.log.last(upTo: seekSequence, stream.everything), sequence > seekEnd
        {
            if budget == 0 { return host.touch() }
            budget -= 1
            switch stream.log.load(sequence) {
            case .reading:
                isLoading = true
                return stream.afterLoad { [weak self] in
                    self?.isLoading = false
                    self?.host.touch()
                }
            case .message(let message):
                if let value = HeaderBlock.value(of: SourceHeader.name, in: message.headers),
                    let (name, position) = SourceHeader.read(value), sought.remove(name) != nil
                {
                    record.positions[name] = position
                }
            case .absent, .failed: break
            }
            seekSequence = sequence - 1
        }
        sought = []
        record.isComplete = true
    }

    // MARK: Turns

    func turnEnded() {
        guard !isStopped, mirror != nil || !sources.isEmpty else { return }
        if !sought.isEmpty && !isLoading { seekOn() }
        if sought.isEmpty && !stream.isRecovering { startFollowers() }
        if hasStored {
            hasStored = false
            let positions = positions, last = stream.log.state.lastSequence
            stream.afterCommit { [weak self] error in
                if error == nil { self?.committed(positions, last) }
            }
        }
        if recordDueNs <= host.now.monotonicNs || isRecordUrgent { writeRecord() }
    }

    private func startFollowers() {
        if !isStarted {
            isStarted = true
            // No message has told more than the record does.
            record.logSequence = max(record.logSequence, sources.isEmpty ? 0 : stream.log.state.lastSequence)
        }
        mirror?.start(from: nil)
        for source in sources { source.follower.start(from: record.positions[source.name]) }
    }

    var nextDeadlineNs: UInt64 {
        var next = min(recordDueNs, mirror?.nextDeadlineNs ?? .max)
        for source in sources { next = min(next, source.follower.nextDeadlineNs) }
        return next
    }

    func advance() {
        mirror?.advance()
        for source in sources { source.follower.advance() }
    }

    // MARK: Storing

    /// Where a mirror goes on: behind the last message that it has, or has left out.
    var mirrorSequence: UInt64 { stream.log.state.lastSequence }

    /// The origin begins behind a sequence: what it had up to there is gone, and the mirror leaves it out, too.
    func mirrorBegins(behind sequence: UInt64) {
        guard sequence > stream.log.state.lastSequence else { return }
        do { try stream.log.skip(to: sequence) } catch { _ = stream.storeError(error) }
    }

    /// Stores a message of an origin. False: it has to be asked for again, after something has come from the disk.
    func take(
        _ message: Message, _ reference: AckReference, _ position: OriginPosition, from follower: OriginFollower
    ) throws(APIError) -> Bool {
        transformed.removeAll(keepingCapacity: true)
        for filter in follower.filters
        where filter.apply(message.subject, to: &transformed, random: { stream.host.random() }) { break }
        hasStored = true
        host.touch()
        if transformed.isEmpty { return try take(message, message.subject, reference, position, follower) }
        let subject = transformed
        return try subject.withUnsafeBufferPointer { bytes throws(APIError) in
            try take(message, ByteView(UnsafeRawBufferPointer(bytes)), reference, position, follower)
        }
    }

    private func take(
        _ message: Message, _ subject: ByteView, _ reference: AckReference, _ position: OriginPosition,
        _ follower: OriginFollower
    ) throws(APIError) -> Bool {
        let place: Stream.OriginPlace
        switch follower.kind {
        case .mirror: place = .mirror(sequence: reference.sequence, timeNs: Int64(clamping: reference.timeNs))
        case .source:
            SourceHeader.write(follower.header, position, subject: message.subject, to: headerValue)
            place = .source(headerValue.view)
        }
        return try stream.store(fromOrigin: place, subject: subject, headers: message.headers, body: message.body) != nil
    }

    /// Runs `action` once all that has been taken so far is durable; never if it will not be.
    func afterCommit(_ action: @escaping () -> Void) {
        stream.afterCommit { error in if error == nil { action() } }
    }

    // MARK: The record

    private var positions: [String: OriginPosition] {
        var positions = record.positions
        for source in sources where source.follower.position.sequence > 0 { positions[source.name] = source.follower.position }
        return positions
    }

    private func committed(_ positions: [String: OriginPosition], _ logSequence: UInt64) {
        guard !sources.isEmpty, positions != record.positions || logSequence != record.logSequence else { return }
        durable = (positions, logSequence)
        if recordDueNs == .max { recordDueNs = host.now.monotonicNs &+ StreamOrigins.recordMs * 1_000_000 }
        host.touch()
    }

    /// Messages go that tell more than the record: it must not wait.
    private var isRecordUrgent: Bool {
        guard let durable, durable.logSequence > record.logSequence else { return false }
        return stream.config.retention != .limits || stream.log.state.firstSequence > record.logSequence + 1
    }

    private func writeRecord() {
        recordDueNs = .max
        guard let durable else { return }
        self.durable = nil
        for source in sources {
            record.positions[source.name] = durable.positions[source.name] ?? record.positions[source.name]
        }
        record.logSequence = durable.logSequence
        guard let recordID, let journal = stream.journal else { return }
        record.encoded().withUnsafeBytes { journal.append(recordID, $0, replaces: true) }
    }

    /// As it would be in the journal after a restart; nil where nothing has been followed.
    var snapshotRecord: [UInt8]? { record.logSequence > 0 ? record.encoded() : nil }

    /// What stands for all records before, when the journal is rewritten; nil for another number than the record's.
    func snapshot(_ id: ConsumerID) -> [UInt8]? {
        id == recordID && record.logSequence > 0 ? record.encoded() : nil
    }
}
