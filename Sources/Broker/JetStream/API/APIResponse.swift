// The envelopes of API replies: every one is an object with a type, an error perhaps, and what was asked for.

import Wire

/// What a reply says it is, and which members go with an error: nats-server leaves some there as zeroes.
enum APIResponse {
    enum Kind: String, Sendable {
        case accountInfo = "account_info_response"
        case streamCreate = "stream_create_response"
        case streamUpdate = "stream_update_response"
        case streamNames = "stream_names_response"
        case streamList = "stream_list_response"
        case streamInfo = "stream_info_response"
        case streamDelete = "stream_delete_response"
        case streamPurge = "stream_purge_response"
        case streamSnapshot = "stream_snapshot_response"
        case streamRestore = "stream_restore_response"
        case streamLeaderStepDown = "stream_leader_stepdown_response"
        case streamRemovePeer = "stream_remove_peer_response"
        case messageGet = "stream_msg_get_response"
        case messageDelete = "stream_msg_delete_response"
        case consumerCreate = "consumer_create_response"
        case consumerNames = "consumer_names_response"
        case consumerList = "consumer_list_response"
        case consumerInfo = "consumer_info_response"
        case consumerDelete = "consumer_delete_response"
        case consumerPause = "consumer_pause_response"
        case consumerUnpin = "consumer_unpin_response"
        case consumerReset = "consumer_reset_response"
        case consumerLeaderStepDown = "consumer_leader_stepdown_response"

        var type: String { "io.nats.jetstream.api.v1." + rawValue }
    }

    /// A reply with the members that `members` writes.
    static func write(_ kind: Kind, _ members: (inout JSONWriter) -> Void = { _ in }) -> [UInt8] {
        var json = JSONWriter()
        json.beginObject()
        json.member("type", kind.type)
        members(&json)
        json.endObject()
        return json.take()
    }

    /// Whether a reply says that a request was refused.
    static func isFailure(_ response: [UInt8], _ kind: Kind) -> Bool {
        response.starts(with: "{\"type\":\"\(kind.type)\",\"error\":".utf8)
    }

    static func failure(_ kind: Kind, _ error: APIError) -> [UInt8] {
        write(kind) { json in
            json.name("error")
            error.write(to: &json)
            switch kind {
            case .streamNames, .streamList, .consumerNames, .consumerList:
                Page().write(to: &json)
                if kind == .streamNames {
                    json.nullable("streams", [String]()) { $0.value($1) }
                } else {
                    json.array(kind == .streamList ? "streams" : "consumers", [String]()) { $0.value($1) }
                }
            case .streamInfo: Page().write(to: &json)
            case .streamPurge: json.member("purged", 0)
            case .consumerReset: json.member("reset_seq", 0)
            case .streamRestore: json.member("deliver_subject", "")
            case .consumerPause:
                json.member("paused", false)
                json.time("pause_until", Timestamp.zero)
            default: break
            }
        }
    }

    /// Replies that say no more than that it was done. STREAM.DELETE, MSG.DELETE, CONSUMER.DELETE.
    static func success(_ kind: Kind) -> [UInt8] { write(kind) { $0.member("success", true) } }

    /// CREATE of a stream that is new, or exists as asked for; UPDATE; RESTORE.
    static func stream(_ kind: Kind, _ info: StreamInfo, didCreate: Bool = false) -> [UInt8] {
        var info = info
        // As on nats-server, which tells of it only later.
        if kind == .streamCreate { info.domain = "" }
        return write(kind) { json in
            info.writeMembers(to: &json)
            json.optional("did_create", didCreate)
        }
    }

    /// INFO of a stream; the page is of its subjects, where those were asked for.
    static func streamInfo(_ info: StreamInfo, page: Page = Page()) -> [UInt8] {
        write(.streamInfo) { json in
            page.write(to: &json)
            info.writeMembers(to: &json)
        }
    }

    static func names(_ kind: Kind, page: Page, _ names: [String]) -> [UInt8] {
        write(kind) { json in
            page.write(to: &json)
            // Only the list of streams is a nil slice there while it is empty.
            if kind == .streamNames {
                json.nullable("streams", names) { $0.value($1) }
            } else {
                json.array("consumers", names) { $0.value($1) }
            }
        }
    }

    static func streamList(page: Page, _ streams: [StreamInfo]) -> [UInt8] {
        write(.streamList) { json in
            page.write(to: &json)
            json.array("streams", streams) { $1.write(to: &$0) }
        }
    }

    static func consumerList(page: Page, _ consumers: [ConsumerInfo]) -> [UInt8] {
        write(.consumerList) { json in
            page.write(to: &json)
            json.array("consumers", consumers) { $1.write(to: &$0) }
        }
    }

    static func purged(_ messages: UInt64) -> [UInt8] {
        write(.streamPurge) { json in
            json.member("success", true)
            json.member("purged", messages)
        }
    }

    /// SNAPSHOT: the stream as it is, without what servers add to its metadata.
    static func snapshot(_ info: StreamInfo) -> [UInt8] {
        write(.streamSnapshot) { json in
            json.name("config")
            info.config.write(to: &json)
            json.name("state")
            info.state.write(to: &json)
        }
    }

    /// RESTORE: where the snapshot is to be sent to.
    static func restore(deliverSubject: String) -> [UInt8] {
        write(.streamRestore) { $0.member("deliver_subject", deliverSubject) }
    }

    static func message(_ message: APIMessage) -> [UInt8] {
        write(.messageGet) { json in
            json.name("message")
            message.write(to: &json)
        }
    }

    static func consumer(_ kind: Kind, _ info: ConsumerInfo) -> [UInt8] { write(kind) { info.writeMembers(to: &$0) } }

    static func consumerPaused(untilNs: Int64?, nowNs: Int64) -> [UInt8] {
        let until = untilNs ?? Timestamp.zero
        return write(.consumerPause) { json in
            json.member("paused", until > nowNs)
            json.time("pause_until", until)
            if until > nowNs { json.member("pause_remaining", until.subtractingClamped(nowNs)) }
        }
    }

    static func consumerReset(_ info: ConsumerInfo, sequence: UInt64) -> [UInt8] {
        write(.consumerReset) { json in
            info.writeMembers(to: &json)
            json.member("reset_seq", sequence)
        }
    }

    static func account(_ info: AccountInfo) -> [UInt8] { write(.accountInfo) { info.writeMembers(to: &$0) } }
}

/// Which part of a list a reply holds.
struct Page: Sendable, Equatable {
    static let namesMax = 1024
    static let listMax = 256
    static let subjectsMax = 100_000

    var total = 0
    var offset = 0
    var limit = 0

    init() {}

    /// The page of a list of `total` entries that begins where a request asks for; an offset beyond the end is the end.
    init(total: Int, offset: Int, limit: Int) {
        self.total = total
        self.offset = min(max(0, offset), total)
        self.limit = limit
    }

    /// The places of its entries.
    var range: Range<Int> { offset..<offset + min(limit, total - offset) }

    func write(to json: inout JSONWriter) {
        json.member("total", total)
        json.member("offset", offset)
        json.member("limit", limit)
    }
}

/// A stored message in a reply to STREAM.MSG.GET; bytes go out in Base64.
struct APIMessage {
    var subject: ByteView
    var sequence: UInt64
    var headers: ByteView
    var payload: ByteView
    var timeNs: Int64

    func write(to json: inout JSONWriter) {
        json.beginObject()
        json.member("subject", subject.string)
        json.member("seq", sequence)
        if !headers.isEmpty { json.member("hdrs", Base64.encode(headers)) }
        if !payload.isEmpty { json.member("data", Base64.encode(payload)) }
        json.time("time", timeNs)
        json.endObject()
    }
}
