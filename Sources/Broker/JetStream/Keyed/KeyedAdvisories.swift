// What a keyed consumer tells whoever listens: dead letters, the ends of parks, pauses, stale acks, and what operators did.

import Wire

/// A dead letter: a pointer to a message that stays in the stream.
struct Park {
    var key: [UInt8]
    var sequence: UInt64
    var version: UInt64
    var reason: String
    var attempts: UInt64
    var error: [UInt8]
    var parkedNs: Int64
}

enum KeyedAdvisory {
    case parked(Park)
    case parkEnded(sequence: UInt64, key: [UInt8], version: UInt64, why: ParkEnd)
    case unpinned(sequence: UInt64, key: [UInt8], version: UInt64)
    case parksDropped(count: Int)
    case skipped(sequence: UInt64, key: [UInt8], reason: String)
    case staleAck(sequence: UInt64, delivery: UInt64)
    case paused(KeyedHold)
    case resumed(from: KeyedHold)
    case commanded(KeyAudit)

    private var type: String {
        let name =
            switch self {
            case .parked: "parked"
            case .parkEnded: "park_ended"
            case .unpinned: "unpinned"
            case .parksDropped: "parks_dropped"
            case .skipped: "skipped"
            case .staleAck: "stale_ack"
            case .paused: "paused"
            case .resumed: "resumed"
            case .commanded: "audit"
            }
        return "io.bellhop.key.advisory.v1.\(name)"
    }

    private func subject(_ stream: String, _ consumer: String) -> String {
        switch self {
        case .parked(let park): "$BELLHOP.DLQ.\(stream).\(consumer).\(KeyToken.text(park.key))"
        case .parkEnded: "$BELLHOP.ADVISORY.PARK_ENDED.\(stream).\(consumer)"
        case .unpinned: "$BELLHOP.ADVISORY.UNPINNED.\(stream).\(consumer)"
        case .parksDropped: "$BELLHOP.ADVISORY.PARKS_DROPPED.\(stream).\(consumer)"
        case .skipped: "$BELLHOP.ADVISORY.SKIPPED.\(stream).\(consumer)"
        case .staleAck: "$BELLHOP.ADVISORY.STALE_ACK.\(stream).\(consumer)"
        case .paused: "$BELLHOP.ADVISORY.PAUSED.\(stream).\(consumer)"
        case .resumed: "$BELLHOP.ADVISORY.RESUMED.\(stream).\(consumer)"
        case .commanded: "$BELLHOP.AUDIT.\(stream).\(consumer)"
        }
    }

    func publish(stream: String, consumer: String, _ host: any StreamHost) {
        let subject = Array(subject(stream, consumer).utf8)
        subject.withUnsafeBytes { view in
            guard host.hasInterest(ByteView(view)) else { return }
            var json = JSONWriter()
            json.beginObject()
            json.member("type", type)
            json.member("id", String(decoding: randomText(22, host), as: UTF8.self))
            json.time("timestamp", host.now.wallNs)
            json.member("stream", stream)
            json.member("consumer", consumer)
            writeRest(&json)
            json.endObject()
            json.take().withUnsafeBytes {
                host.publish(ByteView(view), reply: .empty, headers: .empty, payload: ByteView($0))
            }
        }
    }

    private func writeRest(_ json: inout JSONWriter) {
        switch self {
        case .parked(let park): park.write(to: &json)
        case .parkEnded(let sequence, let key, let version, let why):
            json.key(key)
            json.member("stream_seq", sequence)
            json.member("version", version)
            json.member("reason", why.rawValue)
        case .unpinned(let sequence, let key, let version):
            json.key(key)
            json.member("stream_seq", sequence)
            json.member("version", version)
        case .parksDropped(let count): json.member("parked", count)
        case .skipped(let sequence, let key, let reason):
            json.key(key)
            json.member("stream_seq", sequence)
            json.member("reason", reason)
        case .staleAck(let sequence, let delivery):
            json.member("stream_seq", sequence)
            json.member("consumer_seq", delivery)
        case .paused(let hold): json.member("reason", hold.rawValue)
        case .resumed(let hold): json.member("reason", hold.rawValue)
        case .commanded(let audit): audit.write(to: &json)
        }
    }
}

extension Park {
    /// The members alone.
    func write(to json: inout JSONWriter) {
        json.key(key)
        json.member("stream_seq", sequence)
        json.member("version", version)
        json.member("reason", reason)
        json.member("deliveries", attempts)
        if !error.isEmpty { json.member("error", String(decoding: error, as: UTF8.self)) }
        json.time("parked", parkedNs)
    }
}

extension KeyAudit {
    /// The members alone.
    func write(to json: inout JSONWriter) {
        json.member("command", command)
        json.member("actor", actor)
        json.member("reason", reason)
        json.key(key)
        if sequence > 0 { json.member("stream_seq", sequence) }
        if version > 0 { json.member("version", version) }
        json.time("time", timeNs)
    }
}

extension JSONWriter {
    /// A key as text, and its bytes where it is none.
    mutating func key(_ key: [UInt8]) {
        let text = String(decoding: key, as: UTF8.self)
        member("key", text)
        if !text.utf8.elementsEqual(key) { member("key_base64", key.withUnsafeBytes { Base64.encode(ByteView($0)) }) }
    }
}

/// Keys as tokens of subjects.
enum KeyToken {
    /// Longer keys are hashed.
    static let plainMax = 256

    /// base64url without padding; `sha256-` and the hash where a key is long; `_` for a message that is its own key.
    static func text(_ key: [UInt8]) -> String {
        if key.isEmpty { return "_" }
        if key.count > plainMax { return "sha256-" + ConfigurationDigest.sha256(key) }
        let padded = key.withUnsafeBytes { Base64.encode(ByteView($0)) }
        return String(
            decoding: padded.utf8.compactMap { byte -> UInt8? in
                switch byte {
                case UInt8(ascii: "+"): UInt8(ascii: "-")
                case UInt8(ascii: "/"): UInt8(ascii: "_")
                case UInt8(ascii: "="): nil
                default: byte
                }
            }, as: UTF8.self)
    }
}

extension KeyedDelivery {
    func advise(_ advisory: KeyedAdvisory) {
        advisory.publish(stream: consumer.streamName, consumer: consumer.name, host)
    }
}

extension ConsumerStatus {
    /// Tells whoever waits for an ack's answer that it came too late: an empty one would mean success.
    static let staleAck = Array("NATS/1.0 503 Stale Ack\r\n\r\n".utf8)
}
