// Carries out what operators ask of a keyed consumer, and answers when that is durable.

import Store
import Wire

extension KeyedDelivery {
    typealias Answer = ([UInt8]) -> Void

    /// So many entries are listed at a time.
    static let listMax = 256

    /// A request, by the operation in its subject.
    func handle(_ operation: KeyOperation, _ body: ByteView, _ answer: @escaping Answer) {
        do throws(APIError) {
            let request: KeyRequest = try RequestBody.decode(body, isStrict: true)
            // JSON readers put U+FFFD in its place, which may be another key.
            guard String(validating: body.buffer, as: UTF8.self) != nil else {
                throw .keyRequest("it is no UTF-8; such keys go as key_base64")
            }
            guard resolve() else { throw .keysRecovering }
            if operation != .list && operation != .info, consumer.journalID != nil, let error = consumer.stream.journalFailure {
                throw .keysNotStored(error)
            }
            switch operation {
            case .list: answer(try list(request))
            case .info: answer(try info(request))
            case .park: try parkByCommand(request, answer)
            case .retry: try retryByCommand(request, answer)
            case .skip: try skipByCommand(request, answer)
            case .resume: try resumeByCommand(request, answer)
            }
        } catch {
            answer(KeyReply.failure(operation.rawValue, error))
        }
    }

    // MARK: Reading

    private func list(_ request: KeyRequest) throws(APIError) -> [UInt8] {
        let wanted: [OutstandingTable.State]
        switch request.state {
        case "ready": wanted = [.ready, .settling]
        case "leased": wanted = [.leased, .orphaned]
        case "backoff": wanted = [.backoff]
        case "parked": wanted = [.parked]
        default: throw .keyRequest("state is ready, leased, backoff or parked")
        }
        var slots: [OutstandingTable.Slot] = []
        table.forEach { slot in
            if wanted.contains(table[slot].state) && table[slot].sequence != 0 { slots.append(slot) }
        }
        slots.sort { table[$0].sequence < table[$1].sequence }
        guard request.limit >= 0, request.offset >= 0 else { throw .keyRequest("limit and offset are 0 or more") }
        let limit = request.limit > 0 ? min(request.limit, KeyedDelivery.listMax) : KeyedDelivery.listMax
        let page = Page(total: slots.count, offset: request.offset, limit: limit)
        return KeyReply.write(.list) { json in
            page.write(to: &json)
            json.array("keys", Array(slots[page.range])) { json, slot in
                json.beginObject()
                self.write(slot, to: &json)
                json.endObject()
            }
        }
    }

    private func write(_ slot: OutstandingTable.Slot, to json: inout JSONWriter) {
        let entry = table[slot], now = host.now
        if entry.state == .parked {
            json.member("state", "parked")
            park(at: slot).write(to: &json)
            return
        }
        json.key(keyText(entry))
        let state =
            switch entry.state {
            case .leased, .orphaned: "leased"
            case .backoff: "backoff"
            default: "ready"
            }
        json.member("state", state)
        json.member("stream_seq", entry.sequence)
        json.member("deliveries", UInt64(entry.total))
        if entry.state.isTimed {
            json.member("consumer_seq", entry.delivery)
            if entry.moment != .max {
                json.member("remaining", Int64(clamping: entry.moment > now.monotonicNs ? entry.moment - now.monotonicNs : 0))
            }
        }
        if let error = errors[slot] { json.member("error", String(decoding: error, as: UTF8.self)) }
    }

    private func park(at slot: OutstandingTable.Slot) -> Park {
        let entry = table[slot]
        return Park(
            key: keyText(entry), sequence: entry.sequence, version: entry.holder, reason: entry.reason.text,
            attempts: UInt64(entry.total), error: errors[slot] ?? [], parkedNs: Int64(clamping: entry.moment))
    }

    private func info(_ request: KeyRequest) throws(APIError) -> [UInt8] {
        if let slot = try find(request) {
            let entry = table[slot]
            let waiting = entry.key == 0 ? 0 : table.waiting(table.first(of: entry.key)).messages
            return KeyReply.write(.info) { json in
                self.write(slot, to: &json)
                json.member("waiting", waiting)
            }
        }
        let figures = figures()
        return KeyReply.write(.info) { json in
            figures.write(to: &json)
            json.member("paused", hold == .none ? "" : hold.rawValue)
            json.member("memory", index.memory + table.memory)
            json.array("audit", Array(audits.suffix(100))) { json, audit in
                json.beginObject()
                audit.write(to: &json)
                json.endObject()
            }
        }
    }

    /// What a consumer reports of its keys.
    func figures() -> KeyFigures {
        var figures = KeyFigures()
        var fresh: UInt64 = 0, oldest = UInt64.max
        table.forEach { slot in
            let entry = table[slot]
            if entry.sequence != 0 && entry.total == 0 { fresh += 1 }
            if entry.state == .parked { oldest = min(oldest, entry.moment) }
        }
        figures.ready = table.count(.ready) + table.count(.settling)
        figures.leased = leases
        figures.backoff = table.count(.backoff)
        figures.parked = table.count(.parked)
        figures.blocked = figures.backoff + parkedKeys
        let position = consumer.nextSequence, visible = consumer.visibleSequence
        let ahead = position <= visible ? log.count(from: position, upTo: visible, consumer.filter) : 0
        let known = saturatingSum(ahead, fresh)
        figures.waiting = consumer.numPending > known ? consumer.numPending - known : 0
        if oldest != .max { figures.oldestParkNs = max(0, host.now.wallNs &- Int64(clamping: oldest)) }
        figures.parkedBytes = parked.bytes
        figures.pinnedBytes = pinned.bytes
        figures.parksTotal = parksTotal
        figures.staleAcks = staleAcks
        figures.leasesTotal = leasesTotal
        figures.visits = visits
        figures.isPaused = hold != .none
        return figures
    }

    // MARK: Commands

    /// The entry that a request names; nil where it names none.
    private func find(_ request: KeyRequest) throws(APIError) -> OutstandingTable.Slot? {
        if let key = try request.keyBytes() {
            let number = key.withUnsafeBytes { index.names.find(ByteView($0)) }
            guard let number else { throw .keyNotFound }
            let first = table.first(of: number)
            guard first != OutstandingTable.none else { throw .keyNotFound }
            return try find(first, version: request.version)
        }
        guard request.sequence > 0 else { return nil }
        let slot = table.find(request.sequence)
        guard slot != OutstandingTable.none else { throw .keyNotFound }
        return slot
    }

    /// Of a key's entries the park of that version; or any that is parked; or the first in the stream.
    private func find(
        _ first: OutstandingTable.Slot, version: UInt64
    ) throws(APIError) -> OutstandingTable.Slot {
        var slot = first, parked = OutstandingTable.none, earliest = OutstandingTable.none
        while slot != OutstandingTable.none {
            let entry = table[slot]
            if entry.sequence != 0 {
                if entry.state == .parked && (parked == OutstandingTable.none || entry.holder == version) { parked = slot }
                if earliest == OutstandingTable.none || entry.sequence < table[earliest].sequence { earliest = slot }
            }
            slot = table.sibling(slot)
        }
        if parked != OutstandingTable.none { return parked }
        guard earliest != OutstandingTable.none else { throw .keyNotFound }
        return earliest
    }

    /// The parked entry that a request names with its version.
    private func findParked(_ request: KeyRequest) throws(APIError) -> OutstandingTable.Slot {
        guard let slot = try find(request) else { throw .keyRequest("key or stream_seq is missing") }
        guard request.version > 0 else { throw .keyRequest("version is missing") }
        guard table[slot].state == .parked else { throw .keyNotParked }
        guard table[slot].holder == request.version, request.sequence == 0 || request.sequence == table[slot].sequence else {
            throw .keyVersion
        }
        return slot
    }

    private func parkByCommand(_ request: KeyRequest, _ answer: @escaping Answer) throws(APIError) {
        guard let slot = try find(request) else { throw .keyRequest("key or stream_seq is missing") }
        let entry = table[slot]
        guard entry.state != .parked && entry.state != .parking else { throw .keyParked }
        guard entry.state != .orphaned else { throw .keyNotFound }
        if !request.reason.isEmpty { errors[slot] = Array(request.reason.utf8.prefix(KeyedDelivery.errorBytesMax)) }
        park(slot, .operatorCommand)
        let version = table[slot].holder
        audit("park", request, keyText(entry), entry.sequence, version)
        confirm(.park, answer) { json in
            json.member("stream_seq", entry.sequence)
            json.member("version", version)
        }
    }

    private func retryByCommand(_ request: KeyRequest, _ answer: @escaping Answer) throws(APIError) {
        if request.all {
            guard request.limit >= 0, request.rate >= 0 else { throw .keyRequest("limit and rate are 0 or more") }
            guard request.key == nil, request.keyBase64 == nil, request.sequence == 0, request.version == 0 else {
                throw .keyRequest("all goes without key, stream_seq and version")
            }
            let underWay = retrying
            let count = request.limit > 0 ? min(request.limit, table.count(.parked)) : table.count(.parked)
            retrying = RetryRun(
                left: count, rate: request.rate, lastVersion: lastVersion, actor: request.actor, reason: request.reason,
                dueNs: host.now.monotonicNs)
            audit("retry_all", request, [], 0, 0)
            let before = table.count(.parked)
            continueRetries(host.now)
            let retried = before - table.count(.parked)
            // What was promised for later is still to come.
            if retrying == nil { retrying = underWay }
            return confirm(.retry, answer) { json in
                json.member("retried", retried)
                json.member("scheduled", count - retried)
            }
        }
        let slot = try findParked(request), entry = table[slot]
        audit("retry", request, keyText(entry), entry.sequence, entry.holder)
        retry(slot)
        confirm(.retry, answer) { $0.member("retried", 1) }
    }

    /// Retries what is due of a run, oldest park first.
    func continueRetries(_ now: Instant) {
        guard var run = retrying, run.dueNs <= now.monotonicNs else { return }
        while run.left > 0 {
            if run.rate > 0 && run.dueNs > now.monotonicNs { break }
            let slot = table.firstParked
            guard slot != OutstandingTable.none, table[slot].holder <= run.lastVersion else {
                run.left = 0
                break
            }
            retry(slot)
            run.left -= 1
            if run.rate > 0 { run.dueNs = saturatingSum(run.dueNs, 1_000_000_000 / UInt64(run.rate)) }
            if record.isFull { consumer.writeRecord(now) }
        }
        retrying = run.left > 0 ? run : nil
        consumer.touch()
    }

    private func skipByCommand(_ request: KeyRequest, _ answer: @escaping Answer) throws(APIError) {
        guard !request.reason.isEmpty else { throw .keyRequest("reason is missing") }
        guard !request.actor.isEmpty else { throw .keyRequest("actor is missing") }
        let slot = try findParked(request), entry = table[slot]
        audit("skip", request, keyText(entry), entry.sequence, entry.holder)
        skip(slot)
        confirm(.skip, answer) { $0.member("stream_seq", entry.sequence) }
    }

    private func resumeByCommand(_ request: KeyRequest, _ answer: @escaping Answer) throws(APIError) {
        guard circuit?.isOpen ?? false else { throw .keyCircuitClosed }
        circuit?.reset()
        record.add(.circuit, 0, argument: 0)
        audit("resume", request, [], 0, 0)
        updateHold(host.now)
        confirm(.resume, answer) { _ in }
    }

    /// Answers a command when it is durable, or as soon as it cannot be.
    private func confirm(
        _ operation: KeyOperation, _ answer: @escaping Answer, _ members: @escaping (inout JSONWriter) -> Void
    ) {
        consumer.writeRecord(host.now)
        func reply(_ error: StoreError?) {
            answer(
                KeyReply.write(operation) { json in
                    if let error {
                        json.name("error")
                        APIError.keysNotStored(error).write(to: &json)
                    } else {
                        json.member("success", true)
                        members(&json)
                    }
                })
        }
        if consumer.journalID == nil { reply(nil) } else { consumer.stream.afterJournalAttempt(reply) }
    }

    private func audit(_ command: String, _ request: KeyRequest, _ key: [UInt8], _ sequence: UInt64, _ version: UInt64) {
        let audit = KeyAudit(
            command: command, actor: request.actor, reason: request.reason, key: key, sequence: sequence, version: version,
            timeNs: host.now.wallNs)
        audits.append(audit)
        if audits.count > KeyAudit.keptMax { audits.removeFirst(audits.count - KeyAudit.keptMax) }
        record.command(audit)
        afterRecord { [consumer] in consumer.keyed?.advise(.commanded(audit)) }
    }
}

enum KeyReply {
    static func write(_ operation: KeyOperation, _ members: (inout JSONWriter) -> Void) -> [UInt8] {
        write(operation.rawValue, members)
    }

    static func failure(_ operation: String, _ error: APIError) -> [UInt8] {
        write(operation) { json in
            json.name("error")
            error.write(to: &json)
        }
    }

    private static func write(_ operation: String, _ members: (inout JSONWriter) -> Void) -> [UInt8] {
        var json = JSONWriter()
        json.beginObject()
        json.member("type", "io.bellhop.key.api.v1.\(operation.lowercased())_response")
        members(&json)
        json.endObject()
        return json.take()
    }
}

/// What a keyed consumer reports beside JetStream's own figures.
struct KeyFigures: Sendable {
    var ready = 0
    var leased = 0
    var backoff = 0
    var parked = 0
    /// Keys in back-off and parked.
    var blocked = 0
    /// Messages behind outstanding ones of their keys.
    var waiting: UInt64 = 0
    /// The age of the oldest park.
    var oldestParkNs: Int64 = 0
    var parkedBytes: UInt64 = 0
    var pinnedBytes: UInt64 = 0
    var parksTotal: UInt64 = 0
    var staleAcks: UInt64 = 0
    var leasesTotal: UInt64 = 0
    /// Keys that were looked at to find them.
    var visits: UInt64 = 0
    var isPaused = false

    /// The members alone.
    func write(to json: inout JSONWriter) {
        json.member("ready", ready)
        json.member("leased", leased)
        json.member("backoff", backoff)
        json.member("parked", parked)
        json.member("blocked", blocked)
        json.member("waiting", waiting)
        json.member("oldest_park_age", oldestParkNs)
        json.member("parked_bytes", parkedBytes)
        json.member("pinned_bytes", pinnedBytes)
        json.member("parks_total", parksTotal)
        json.member("stale_acks_total", staleAcks)
        json.member("leases_total", leasesTotal)
        json.member("key_visits_total", visits)
    }
}
