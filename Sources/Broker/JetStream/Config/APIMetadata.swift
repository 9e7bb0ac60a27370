// The metadata that the server itself puts on streams and consumers: versions and the API level they need.

import Wire

/// JetStream's API levels and the metadata keys they travel in. A stored configuration has `_nats.req.level` only; the other
/// two are of the moment and belong into replies.
enum APIMetadata {
    /// The level this server speaks: nats-server 2.15's.
    static let level = 5

    /// Whether a request asks for more than this server speaks, in `Nats-Required-Api-Level`: a higher level, or what is no
    /// number. Without a value it asks for nothing.
    static func isBeyond(_ required: ByteView) -> Bool {
        if required.isEmpty { return false }
        guard let asked = Int(required.string) else { return true }
        return asked > level
    }

    static let requiredLevelKey = "_nats.req.level"
    static let serverVersionKey = "_nats.ver"
    static let serverLevelKey = "_nats.level"

    /// What is to be stored: the client's entries, with the server's own put right.
    static func stored(_ metadata: [String: String], requiring level: Int) -> [String: String] {
        var stored = metadata
        stored[serverVersionKey] = nil
        stored[serverLevelKey] = nil
        for name in KeyedSettings.serverNames { stored[name] = nil }
        stored[requiredLevelKey] = String(level)
        return stored
    }

    /// What a reply shows.
    static func shown(_ metadata: [String: String]) -> [String: String] {
        var shown = metadata
        shown[serverVersionKey] = BrokerCommandLine.protocolVersion
        shown[serverLevelKey] = String(level)
        return shown
    }

    /// What configurations are compared by.
    static func compared(_ metadata: [String: String]) -> [String: String] {
        var compared = metadata
        for key in [serverVersionKey, serverLevelKey, requiredLevelKey] + KeyedSettings.serverNames { compared[key] = nil }
        return compared
    }

    static func byteCount(_ metadata: [String: String]) -> Int {
        metadata.reduce(0) { $0 + $1.key.utf8.count + $1.value.utf8.count }
    }
}

extension StreamConfig {
    var requiredAPILevel: Int {
        if allowBatchPublish { return 4 }
        if allowMessageCounter || allowAtomicPublish || allowMessageSchedules || persistMode == .async { return 2 }
        return allowMessageTTL || subjectDeleteMarkerTTLNs > 0 ? 1 : 0
    }

    /// With the metadata that replies to CREATE, UPDATE and INFO show.
    var withServerMetadata: StreamConfig {
        var shown = self
        shown.metadata = APIMetadata.shown(metadata)
        return shown
    }

    /// Whether a CREATE with the other configuration finds its stream in this one. Both have been checked.
    func isSame(as other: StreamConfig) -> Bool {
        var a = self, b = other
        a.metadata = APIMetadata.compared(a.metadata)
        b.metadata = APIMetadata.compared(b.metadata)
        return a == b
    }
}

extension ConsumerConfig {
    var requiredAPILevel: Int {
        if ackPolicy == .flowControl { return 4 }
        let hasPause = pauseUntilNs.map { $0 != Timestamp.zero } ?? false
        return hasPause || priorityPolicy != .none || priorityTimeoutNs != 0 || !priorityGroups.isEmpty ? 1 : 0
    }

    /// With the metadata that replies to CREATE and INFO show.
    var withServerMetadata: ConsumerConfig {
        var shown = self
        shown.metadata = APIMetadata.shown(metadata)
        return shown
    }

    /// Whether a request with the other configuration asks for this consumer as it is. Both have been checked.
    func isSame(as other: ConsumerConfig) -> Bool {
        var a = self, b = other
        a.metadata = APIMetadata.compared(a.metadata)
        b.metadata = APIMetadata.compared(b.metadata)
        return a == b
    }
}
