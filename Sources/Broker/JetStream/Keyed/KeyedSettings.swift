// What a consumer's metadata asks of a keyed consumer: the `bellhop.` keys, read and checked.

import Wire

/// Where the ordering key of a message stands.
enum KeyDefinition: Hashable, Sendable {
    /// A token of the stored subject, counted from 1.
    case token(Int)
    /// A header; of repeated ones the first counts.
    case header(String)
}

/// Pauses a consumer when a share of its keys parks within a time.
struct ParkCircuit: Equatable, Sendable {
    var ratio: Double
    var windowNs: UInt64
}

/// Durations are nanoseconds.
struct KeyedSettings: Equatable, Sendable {
    /// What happens to a key whose message used up its deliveries or was terminated.
    enum OnMaxDeliver: String, Sendable { case park, skip }
    /// Whether parked messages are exempt from the stream's limits.
    enum ParkRetention: String, Sendable { case pin, expire }

    static let maxParkedKeysDefault = 10_000
    static let maxParkedBytesDefault: UInt64 = 1 << 30
    /// Leases at a time for one key: more than that is a consumer without keys.
    static let pendingPerKeyMax = 1_000

    var key: KeyDefinition
    var onMaxDeliver = OnMaxDeliver.park
    var parkRetention = ParkRetention.pin
    var maxParkedKeys = maxParkedKeysDefault
    /// nil: a tenth of the stream's max_bytes, or 1 GiB where that is not set.
    var maxParkedBytes: UInt64?
    var maxPendingPerKey = 1
    var circuit: ParkCircuit?
    var isSticky = false
    var releasesOnDisconnect = false

    /// Whether a consumer's metadata makes it a keyed one.
    static func isKeyed(_ metadata: [String: String]) -> Bool { metadata[keyName] != nil }

    /// nil where nothing is asked for.
    ///
    /// - Throws: 10012 with what is unknown or wrong.
    static func read(_ metadata: [String: String]) throws(APIError) -> KeyedSettings? {
        let asked = metadata.filter { $0.key.hasPrefix(prefix) && !serverNames.contains($0.key) }
        guard !asked.isEmpty else { return nil }
        guard let text = asked[keyName] else { throw .consumerCreate("bellhop: \(keyName) is missing") }
        guard let key = definition(text) else { throw bad(keyName, text) }
        var settings = KeyedSettings(key: key)
        for (name, value) in asked.sorted(by: { $0.key < $1.key }) where name != keyName {
            guard try settings.take(name, value) else { throw bad(name, value) }
        }
        return settings
    }

    private static func bad(_ name: String, _ value: String) -> APIError {
        .consumerCreate("bellhop: \(value.debugDescription) is no value of \(name)")
    }

    /// False: the value makes no sense.
    private mutating func take(_ name: String, _ value: String) throws(APIError) -> Bool {
        switch name {
        case "bellhop.on_max_deliver": return OnMaxDeliver(rawValue: value).map { onMaxDeliver = $0 } != nil
        case "bellhop.park_retention": return ParkRetention(rawValue: value).map { parkRetention = $0 } != nil
        case "bellhop.max_parked_keys":
            return KeyedSettings.number(value, upTo: UInt64(Int32.max)).map { maxParkedKeys = Int($0) } != nil
        case "bellhop.max_parked_bytes":
            return KeyedSettings.number(value, upTo: UInt64(Int64.max)).map { maxParkedBytes = $0 } != nil
        case "bellhop.max_pending_per_key":
            guard let number = KeyedSettings.number(value, upTo: UInt64(KeyedSettings.pendingPerKeyMax)) else { return false }
            maxPendingPerKey = Int(number)
            return true
        case "bellhop.park_circuit":
            if value == "off" { return true }
            circuit = KeyedSettings.circuit(value)
            return circuit != nil
        case "bellhop.key_affinity":
            isSticky = value == "sticky"
            return isSticky || value == "none"
        case "bellhop.release_on_disconnect":
            releasesOnDisconnect = value == "true"
            return releasesOnDisconnect || value == "false"
        default: throw .consumerCreate("bellhop: unknown metadata key \(name.debugDescription)")
        }
    }

    // MARK: Values

    private static func definition(_ text: String) -> KeyDefinition? {
        if text.hasPrefix("token:") {
            guard let place = number(String(text.dropFirst(6)), upTo: 255) else { return nil }
            return .token(Int(place))
        }
        guard text.hasPrefix("header:") else { return nil }
        let name = text.dropFirst(7)
        guard !name.isEmpty, name.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: ":") }) else { return nil }
        return .header(String(name))
    }

    /// Digits only, 1 or more.
    private static func number(_ text: String, upTo most: UInt64) -> UInt64? {
        guard text.utf8.allSatisfy({ $0 &- 0x30 <= 9 }), let number = UInt64(text), number >= 1, number <= most else {
            return nil
        }
        return number
    }

    /// `0.5/60s`: more than nothing, at most all.
    private static func circuit(_ text: String) -> ParkCircuit? {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, parts[0].utf8.allSatisfy({ $0 &- 0x30 <= 9 || $0 == UInt8(ascii: ".") }),
            let ratio = Double(parts[0]), ratio > 0, ratio <= 1
        else { return nil }
        let window = Array(parts[1].utf8).withUnsafeBytes { GoDuration.parse(ByteView($0)) }
        guard let window, window >= 1_000_000_000 else { return nil }
        return ParkCircuit(ratio: ratio, windowNs: UInt64(window))
    }
}

// MARK: Metadata

extension KeyedSettings {
    static let prefix = "bellhop."
    static let keyName = "bellhop.key"
    static let levelName = "bellhop.level"
    static let durableName = "bellhop.durable"
    /// What the level says: the rules of this file.
    static let level = "1"
    /// Set by the server in replies; a client may send them back.
    static let serverNames: Set<String> = [levelName, durableName]
}

extension ConsumerConfig {
    /// What the metadata asks for; it has been checked.
    var keyed: KeyedSettings? {
        KeyedSettings.isKeyed(metadata) ? try? KeyedSettings.read(metadata) : nil
    }

    /// Refuses what does not go together with a key.
    func checkKeyed() throws(APIError) {
        guard let keyed = try KeyedSettings.read(metadata) else { return }
        func refuse(_ what: String) -> APIError { .consumerCreate("bellhop: a consumer with a key \(what)") }
        if direct { throw refuse("can not be direct") }
        if sourcing { throw refuse("can not be sourcing") }
        if !isPull { throw refuse("has to be a pull consumer") }
        if ackPolicy != .explicit { throw refuse("requires explicit ack") }
        if replayPolicy != .instant { throw refuse("can not replay original") }
        if keyed.isSticky && priorityPolicy != .none { throw refuse("has either sticky affinity or a priority group") }
    }

    /// The key stays what it is; everything else about it may change.
    func checkKeyChange(from old: ConsumerConfig) throws(APIError) {
        let before = old.metadata[KeyedSettings.keyName], now = metadata[KeyedSettings.keyName]
        if before != now { throw .consumerCreate("\(KeyedSettings.keyName) can not be updated") }
    }

    /// With what replies tell of a keyed consumer.
    func withKeyedMetadata(isDurable: Bool) -> ConsumerConfig {
        var shown = self
        shown.metadata[KeyedSettings.levelName] = KeyedSettings.level
        if !isDurable { shown.metadata[KeyedSettings.durableName] = "false" }
        return shown
    }
}
