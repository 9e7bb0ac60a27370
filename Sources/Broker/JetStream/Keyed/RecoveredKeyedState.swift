// Makes a keyed consumer's state of the records that a journal has kept. Nothing in them is trusted.

import Wire

/// Times are nanoseconds since 1970.
struct RecoveredKeyedState {
    struct Entry {
        var sequence: UInt64
        var hash: UInt64
        var state = OutstandingTable.State.ready
        var delivery: UInt64 = 0
        var attempts: UInt32 = 0
        var total: UInt32 = 0
        /// When a lease or a back-off began, and how long it lasts; nil is for ever. Parked: when.
        var sinceNs: Int64 = 0
        var lengthNs: UInt64?
        var version: UInt64 = 0
        var reason = ParkReason.none
        var error: [UInt8] = []
    }

    var name = ""
    var createdNs: Int64 = 0
    var config: [UInt8] = []
    var readPosition: UInt64 = 1
    var highestLeased: UInt64 = 0
    var reservedEnd: UInt64 = 0
    var lastVersion: UInt64 = 0
    var isCircuitOpen = false
    var entries: [UInt64: Entry] = [:]
    /// Keys of which more has been taken than what is outstanding tells, by hash.
    var cursors: [UInt64: UInt64] = [:]
    var audits: [KeyAudit] = []
    var start = LastPerSubject()
    /// Keys whose park has ended, by hash, with where that ends; and messages that are their own keys.
    private var drainingKeys: [UInt64: UInt64] = [:]
    private var drainingAlone: Set<UInt64> = []
    var drains: [(sequence: UInt64, hash: UInt64, end: UInt64)] {
        drainingKeys.map { (0, $0.key, $0.value) } + drainingAlone.map { ($0, 0, $0 &+ 1) }
    }
    /// Counts consumer sequences while records are read.
    private var delivered: UInt64 = 0

    /// nil where no record is a definition. Later records that make no sense are passed over; `damaged` says how many.
    ///
    /// - Parameter decode: reads a configuration.
    static func read(
        _ records: [[UInt8]], damaged: inout Int, decode: ([UInt8]) -> ConsumerConfig?
    ) -> (RecoveredKeyedState, ConsumerConfig)? {
        guard let first = records.lastIndex(where: { read(whole: $0) != nil }), var state = read(whole: records[first]),
            let config = decode(state.config), let keyed = config.keyed
        else { return nil }
        let settings = ConsumerSettings(config)
        for record in records[(first + 1)...] {
            if !state.apply(turn: record, settings, keepsCursors: keyed.maxPendingPerKey > 1) { damaged += 1 }
        }
        return (state, config)
    }

    static func isKeyed(_ records: [[UInt8]]) -> Bool { records.contains { $0.first == KeyedRecordFormat.whole } }

    // MARK: Whole

    private static func read(whole record: [UInt8]) -> RecoveredKeyedState? {
        var reader = VarintReader(record)
        guard reader.byte() == KeyedRecordFormat.whole, reader.byte() == KeyedRecordFormat.version,
            let name = reader.text(), let created = reader.signed(), let config = reader.text(), let time = reader.signed(),
            let position = reader.number(), let highest = reader.number(), let reserved = reader.number(),
            let version = reader.number(), let circuit = reader.byte()
        else { return nil }
        var state = RecoveredKeyedState()
        state.name = String(decoding: name, as: UTF8.self)
        state.createdNs = created
        state.config = config
        state.readPosition = position
        state.highestLeased = highest
        state.reservedEnd = reserved
        state.lastVersion = version
        state.isCircuitOpen = circuit == 1
        guard state.readEntries(&reader, timeNs: time), state.readRest(&reader), reader.isAtEnd else { return nil }
        return state
    }

    private mutating func readEntries(_ reader: inout VarintReader, timeNs: Int64) -> Bool {
        // An entry takes 17 bytes at least.
        guard let count = reader.number(), count <= UInt64(reader.remaining / 17) else { return false }
        var last: UInt64 = 0
        for _ in 0..<count {
            guard let step = reader.signed(), let state = reader.byte().flatMap(OutstandingTable.State.init),
                let hash = reader.hash(), let delivery = reader.number(), let attempts = reader.number(),
                let total = reader.number(), let left = reader.signed(), let version = reader.number(),
                let reason = reader.byte().flatMap(ParkReason.init), let error = reader.text()
            else { return false }
            last = last &+ UInt64(bitPattern: step)
            guard last > 0 else { return false }
            var entry = Entry(sequence: last, hash: hash, state: state, delivery: delivery)
            entry.attempts = UInt32(clamping: attempts)
            entry.total = UInt32(clamping: total)
            if state == .parked { entry.sinceNs = left } else { entry.sinceNs = timeNs }
            if state.isTimed { entry.lengthNs = left < 0 ? nil : UInt64(left) }
            entry.version = version
            entry.reason = reason
            entry.error = error
            entries[last] = entry
        }
        return true
    }

    private mutating func readRest(_ reader: inout VarintReader) -> Bool {
        guard let cursorCount = reader.number(), cursorCount <= UInt64(reader.remaining / 9) else { return false }
        for _ in 0..<cursorCount {
            guard let hash = reader.hash(), let sequence = reader.number() else { return false }
            cursors[hash] = sequence
        }
        guard let auditCount = reader.number(), auditCount <= UInt64(reader.remaining / 7) else { return false }
        for _ in 0..<auditCount {
            guard let sequence = reader.number(), let audit = KeyAudit.read(&reader, sequence: sequence) else { return false }
            audits.append(audit)
        }
        guard let end = reader.number(), let count = reader.number(), count <= UInt64(reader.remaining) else { return false }
        var sequences: [UInt64] = []
        for _ in 0..<count {
            guard let step = reader.signed() else { return false }
            let next = (sequences.last ?? 0) &+ UInt64(bitPattern: step)
            guard next > sequences.last ?? 0 else { return false }
            sequences.append(next)
        }
        start = LastPerSubject(sequences, end: end)
        return reader.isAtEnd || readDrains(&reader)
    }

    private mutating func readDrains(_ reader: inout VarintReader) -> Bool {
        guard let count = reader.number(), count <= UInt64(reader.remaining / 10) else { return false }
        for _ in 0..<count {
            guard let sequence = reader.number(), let hash = reader.hash(), let end = reader.number() else { return false }
            drain(sequence, hash, end)
        }
        return true
    }

    private mutating func drain(_ sequence: UInt64, _ hash: UInt64, _ end: UInt64) {
        if hash != 0 { drainingKeys[hash] = end } else if sequence > 0 && sequence < .max { drainingAlone.insert(sequence) }
    }

    // MARK: Turns

    /// Takes over what a turn's record tells. False if it makes no sense, or not to its end.
    private mutating func apply(turn record: [UInt8], _ settings: ConsumerSettings, keepsCursors: Bool) -> Bool {
        var reader = VarintReader(record)
        guard reader.byte() == KeyedRecordFormat.turn, reader.byte() == KeyedRecordFormat.version,
            let time = reader.signed(), let base = reader.number()
        else { return false }
        delivered = base
        var last: UInt64 = 0
        while !reader.isAtEnd {
            guard let event = reader.byte().flatMap(KeyedEvent.init), let step = reader.signed() else { return false }
            last = last &+ UInt64(bitPattern: step)
            guard apply(event, last, time, settings, keepsCursors, &reader) else { return false }
        }
        return true
    }

    private mutating func apply(
        _ event: KeyedEvent, _ sequence: UInt64, _ timeNs: Int64, _ settings: ConsumerSettings, _ keepsCursors: Bool,
        _ reader: inout VarintReader
    ) -> Bool {
        switch event {
        case .taken:
            guard let hash = reader.hash(), sequence > 0, sequence < .max else { return false }
            if entries[sequence] == nil { entries[sequence] = Entry(sequence: sequence, hash: hash) }
            readPosition = max(readPosition, sequence + 1)
        case .leased:
            delivered &+= 1
            highestLeased = max(highestLeased, sequence)
            let delivery = delivered
            change(sequence) { entry in
                entry.attempts &+= 1
                entry.total &+= 1
                entry.delivery = delivery
                entry.state = .leased
                entry.sinceNs = timeNs
                entry.lengthNs = settings.ackWait(deliveries: entry.attempts)
            }
        case .finished:
            drainingAlone.remove(sequence)
            guard let entry = entries.removeValue(forKey: sequence) else { return true }
            if keepsCursors { cursors[entry.hash] = max(cursors[entry.hash] ?? 0, sequence) }
        case .released: change(sequence) { $0.state = .ready }
        case .delayed:
            guard let length = reader.number() else { return false }
            change(sequence) { entry in
                entry.state = .backoff
                entry.sinceNs = timeNs
                entry.lengthNs = length
            }
        case .progressed: change(sequence) { $0.sinceNs = timeNs }
        case .orphaned: change(sequence) { $0.state = .orphaned }
        case .parked:
            guard let version = reader.number(), let reason = reader.byte().flatMap(ParkReason.init),
                let error = reader.text()
            else { return false }
            lastVersion = max(lastVersion, version)
            drainingAlone.remove(sequence)
            if let hash = entries[sequence]?.hash { drainingKeys[hash] = nil }
            change(sequence) { entry in
                entry.state = .parked
                entry.version = version
                entry.reason = reason
                entry.error = error
                entry.sinceNs = timeNs
            }
        case .retried:
            change(sequence) { entry in
                entry.state = .ready
                entry.attempts = 0
            }
        case .reserved:
            guard let end = reader.number() else { return false }
            reservedEnd = max(reservedEnd, end)
        case .commanded:
            guard let audit = KeyAudit.read(&reader, sequence: sequence) else { return false }
            audits.append(audit)
            if audits.count > KeyAudit.keptMax { audits.removeFirst() }
        case .circuit:
            guard let isOpen = reader.number() else { return false }
            isCircuitOpen = isOpen == 1
        case .passed:
            guard sequence < .max else { return false }
            readPosition = max(readPosition, sequence + 1)
        case .draining:
            guard let hash = reader.hash(), let end = reader.number(), sequence < .max else { return false }
            drain(sequence, hash, end)
        }
        return true
    }

    private mutating func change(_ sequence: UInt64, _ body: (inout Entry) -> Void) {
        if var entry = entries[sequence] {
            body(&entry)
            entries[sequence] = entry
        }
    }
}
