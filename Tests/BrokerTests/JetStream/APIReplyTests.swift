import Testing
import Wire

@testable import Broker

private func text(_ reply: [UInt8]) -> String { String(decoding: reply, as: UTF8.self) }

/// Members and their order are those of nats-server 2.15.1.
@Test func apiRepliesOfFailures() {
    let error = #""error":{"code":404,"err_code":10059,"description":"stream not found"}"#
    let replies: [(APIResponse.Kind, String)] = [
        (.streamDelete, ""), (.streamNames, #","total":0,"offset":0,"limit":0,"streams":null"#),
        (.streamList, #","total":0,"offset":0,"limit":0,"streams":[]"#),
        (.consumerNames, #","total":0,"offset":0,"limit":0,"consumers":[]"#),
        (.streamInfo, #","total":0,"offset":0,"limit":0"#), (.streamPurge, #","purged":0"#),
        (.consumerReset, #","reset_seq":0"#),
        (.streamRestore, #","deliver_subject":"""#), (.consumerPause, #","paused":false,"pause_until":"0001-01-01T00:00:00Z""#),
    ]
    for (kind, rest) in replies {
        #expect(
            text(APIResponse.failure(kind, .streamNotFound))
                == #"{"type":"io.nats.jetstream.api.v1.\#(kind.rawValue)",\#(error)\#(rest)}"#)
    }
}

@Test func apiRepliesOfStreams() {
    var info = StreamInfo(config: StreamConfig(), createdNs: 0, timestampNs: 1_500_000_000)
    info.config.name = "S"
    info.state.messages = 3
    info.state.subjects = Array(#"{"a":2,"b":1}"#.utf8)
    info.state.deletedCount = 1
    info.state.deleted = [2]
    info.leader = "node"
    info.sources = [StreamSourceInfo(name: "O", error: .streamNotFound)]
    let reply = text(APIResponse.streamInfo(info, page: Page(total: 2, offset: 0, limit: Page.subjectsMax)))
    #expect(
        reply.hasPrefix(
            #"{"type":"io.nats.jetstream.api.v1.stream_info_response","total":2,"offset":0,"limit":100000,"config":{"name":"S","#
        ))
    #expect(
        reply.hasSuffix(
            #","created":"1970-01-01T00:00:00Z","state":{"messages":3,"bytes":0,"first_seq":0,"first_ts":"0001-01-01T00:00:00Z","#
                + #""last_seq":0,"last_ts":"0001-01-01T00:00:00Z","subjects":{"a":2,"b":1},"num_deleted":1,"deleted":[2],"#
                + #""consumer_count":0},"cluster":{"leader":"node"},"sources":[{"name":"O","lag":0,"active":-1,"#
                + #""error":{"code":404,"err_code":10059,"description":"stream not found"}}],"ts":"1970-01-01T00:00:01.5Z"}"#))
    #expect(text(APIResponse.stream(.streamCreate, info, didCreate: true)).hasSuffix(#","did_create":true}"#))
    #expect(
        text(APIResponse.names(.streamNames, page: Page(total: 0, offset: 0, limit: 1024), [])).hasSuffix(#""streams":null}"#))
    #expect(
        text(APIResponse.purged(5)) == #"{"type":"io.nats.jetstream.api.v1.stream_purge_response","success":true,"purged":5}"#)
}

@Test func apiRepliesOfConsumers() {
    var info = ConsumerInfo(stream: "S", name: "C", createdNs: 0, timestampNs: 0)
    info.delivered = SequencePair(consumer: 2, stream: 5, lastActiveNs: 1)
    info.priorityGroups = [PriorityGroupState(group: "g")]
    #expect(
        text(APIResponse.consumer(.consumerInfo, info))
            == #"{"type":"io.nats.jetstream.api.v1.consumer_info_response","stream_name":"S","name":"C","created":"1970-01-01T00:00:00Z","#
            + #""delivered":{"consumer_seq":2,"stream_seq":5,"last_active":"1970-01-01T00:00:00.000000001Z"},"#
            + #""ack_floor":{"consumer_seq":0,"stream_seq":0},"num_ack_pending":0,"num_redelivered":0,"num_waiting":0,"num_pending":0,"#
            + #""ts":"1970-01-01T00:00:00Z","priority_groups":[{"group":"g","pinned_ts":"0001-01-01T00:00:00Z"}]}"#)
    #expect(
        text(APIResponse.consumerPaused(untilNs: 2_000_000_000, nowNs: 500_000_000)).hasSuffix(
            #""paused":true,"pause_until":"1970-01-01T00:00:02Z","pause_remaining":1500000000}"#))
}

@Test func apiRepliesOfAccounts() {
    #expect(
        text(APIResponse.account(AccountInfo(apiTotal: 3)))
            == #"{"type":"io.nats.jetstream.api.v1.account_info_response","memory":0,"storage":0,"reserved_memory":0,"reserved_storage":0,"#
            + #""streams":0,"consumers":0,"limits":{"max_memory":-1,"max_storage":-1,"max_streams":-1,"max_consumers":-1,"#
            + #""max_ack_pending":-1,"memory_max_stream_bytes":-1,"storage_max_stream_bytes":-1,"max_bytes_required":false},"#
            + #""api":{"level":5,"total":3,"errors":0}}"#)
}

@Test func apiPages() {
    #expect(Page(total: 5, offset: 2, limit: 2).range == 2..<4)
    #expect(Page(total: 5, offset: -3, limit: 9).range == 0..<5)
    #expect(Page(total: 5, offset: 100, limit: 2).range == 5..<5)
}

@Test func apiMessagesAreInBase64() {
    for (text, encoded) in [("", ""), ("a", "YQ=="), ("ab", "YWI="), ("abc", "YWJj"), ("\u{FF}>?", "w78+Pw==")] {
        Array(text.utf8).withUnsafeBytes { #expect(Base64.encode(ByteView($0)) == encoded) }
    }
    for length in 0..<200 {
        let bytes = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ length) }
        let encoded = bytes.withUnsafeBytes { Base64.encode(ByteView($0)) }
        #expect(Base64.decode(encoded.utf8, .standard, padded: true) == bytes)
    }
}
