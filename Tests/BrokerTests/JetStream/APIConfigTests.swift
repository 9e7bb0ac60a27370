import Testing
import Wire

@testable import Broker

private func decoded<Request: JSONReadable>(_ type: Request.Type, _ body: String) throws -> Request {
    try Array(body.utf8).withUnsafeBytes { try RequestBody.decode(ByteView($0), as: type) }
}

private func stream(_ body: String) throws -> StreamConfig { try decoded(StreamConfigRequest.self, body).config }

private func text(_ write: (inout JSONWriter) -> Void) -> String {
    var json = JSONWriter()
    write(&json)
    return String(decoding: json.take(), as: UTF8.self)
}

/// The description of what is thrown, or nil.
private func refusal(_ body: () throws -> Void) -> String? {
    do {
        try body()
        return nil
    } catch {
        return (error as? APIError)?.description
    }
}

private func created(
    _ body: String, _ directory: StreamDirectory = StreamDirectory(), limits: JetStreamLimits = JetStreamLimits()
) throws -> StreamConfig {
    let request = try decoded(StreamConfigRequest.self, body)
    switch try request.config.checkedForCreate(pedantic: request.pedantic, limits: limits, directory: directory) {
    case .new(let config): return config
    case .exists: return try #require(directory.stream(request.config.name))
    }
}

/// As nats-server 2.15.1 shows it.
@Test func apiStreamDefaults() throws {
    let config = try created(#"{"name":"S","metadata":{"b":"2","_nats.ver":"x"},"max_msgs":-7}"#)
    #expect(
        text { config.withServerMetadata.write(to: &$0) }
            == #"{"name":"S","subjects":["S"],"retention":"limits","max_consumers":-1,"max_msgs":-1,"max_bytes":-1,"max_age":0,"#
            + #""max_msgs_per_subject":-1,"max_msg_size":-1,"discard":"old","storage":"file","num_replicas":1,"#
            + #""duplicate_window":120000000000,"compression":"none","allow_direct":false,"mirror_direct":false,"sealed":false,"#
            + #""deny_delete":false,"deny_purge":false,"allow_rollup_hdrs":false,"consumer_limits":{},"allow_msg_ttl":false,"#
            + #""metadata":{"_nats.level":"5","_nats.req.level":"0","_nats.ver":"2.15.1","b":"2"}}"#)
    let marker = try created(#"{"name":"S","deny_purge":true,"subject_delete_marker_ttl":1000000000}"#)
    #expect(
        marker.allowMessageTTL && marker.allowRollup && !marker.denyPurge
            && marker.metadata[APIMetadata.requiredLevelKey] == "1")
    #expect(try created(#"{"name":"S","max_age":1000000000}"#).duplicateWindowNs == 1_000_000_000)
    #expect(try created(#"{"name":"S","sources":[{"name":"O"}]}"#).subjects.isEmpty)
    let everything = """
        {"name":"S","republish":{"src":">","dest":">"},"subject_transform":{"src":"S","dest":"x"}}
        """
    #expect(try created(everything).republish == RepublishConfig(source: "x", destination: "x"))
}

@Test func apiStreamsThatAreRefused() {
    let texts = [
        (#"{"name":"a b"}"#, #"stream name is required and can not contain '.', '*', '>', '\', '/'"#),
        (#"{"name":"a/b"}"#, "Stream name can not contain path separators"),
        (#"{"name":"S","sealed":true}"#, "stream configuration for create can not be sealed"),
        (#"{"name":"S","num_replicas":3}"#, "replicas > 1 not supported in non-clustered mode"),
        (#"{"name":"S","max_age":5}"#, "max age needs to be >= 100ms"),
        (#"{"name":"S","subjects":["a","a"]}"#, #"subject "a" overlaps with "a""#),
        (#"{"name":"S","subjects":["a.*.c","a.b.*"]}"#, #"subject "a.*.c" overlaps with "a.b.*""#),
        (#"{"name":"S","subjects":[">"]}"#, "capturing all subjects requires no-ack to be true"),
        (#"{"name":"S","subjects":["$JS.API.x"]}"#, "subjects that overlap with jetstream api require no-ack to be true"),
        (#"{"name":"S","subjects":["*.x"]}"#, "subjects that overlap with jetstream api require no-ack to be true"),
        (#"{"name":"S","mirror_direct":true}"#, "stream has no mirror but does have mirror direct"),
        (#"{"name":"S","mirror":{"name":"S"}}"#, "detected cycle"),
        (#"{"name":"S","mirror":{"name":"X","filter_subject":"a b"}}"#, "subject filter 'a b' for the mirror invalid subject"),
        (
            #"{"name":"S","sources":[{"name":"X"},{"name":"X","filter_subject":">"}]}"#,
            "duplicate source configuration detected"
        ),
        (#"{"name":"S","republish":{"dest":"S"}}"#, "stream configuration for republish destination forms a cycle"),
        (#"{"name":"S","pedantic":true,"max_msgs":-2}"#, "pedantic mode: max_msgs must be set to -1"),
        (#"{"name":"S","allow_msg_counter":true,"discard":"new"}"#, "counter stream cannot use discard new"),
    ]
    for (body, text) in texts { #expect(refusal { _ = try created(body) } == text, "\(body)") }
}

@Test func apiStreamsAmongOthers() throws {
    var directory = StreamDirectory(streams: [
        try created(#"{"name":"O","subjects":["o.>"],"max_msg_size":100,"allow_direct":true,"max_bytes":500}"#)
    ])
    #expect(
        refusal { _ = try created(#"{"name":"S","subjects":["o.x"]}"#, directory) }
            == "subjects overlap with an existing stream")
    #expect(
        refusal { _ = try created(#"{"name":"O"}"#, directory) } == "stream name already in use with a different configuration")
    let same = try decoded(
        StreamConfigRequest.self,
        #"{"name":"O","subjects":["o.>"],"max_msg_size":100,"allow_direct":true,"max_bytes":500,"metadata":{"_nats.level":"9"}}"#
    )
    #expect(try same.config.checkedForCreate(pedantic: false, limits: JetStreamLimits(), directory: directory) == .exists)
    let mirror = try created(#"{"name":"M","mirror":{"name":"O"}}"#, directory)
    #expect(mirror.mirrorDirect)
    #expect(
        refusal { _ = try created(#"{"name":"M","mirror":{"name":"O"},"max_msg_size":50}"#, directory) }
            == "stream mirror must have max message size >= source")
    directory.streams.append(mirror)
    #expect(refusal { _ = try created(#"{"name":"M2","mirror":{"name":"M"},"sources":[]}"#, directory) } == nil)

    var limits = JetStreamLimits()
    limits.account.maxStorageBytes = 800
    #expect(refusal { _ = try created(#"{"name":"T","max_bytes":300}"#, directory, limits: limits) } == nil)
    #expect(
        refusal { _ = try created(#"{"name":"T","max_bytes":301}"#, directory, limits: limits) }
            == "insufficient storage resources available")
    limits.account.maxStreams = 2
    #expect(refusal { _ = try created(#"{"name":"T"}"#, directory, limits: limits) } == "maximum number of streams reached")
}

@Test func apiStreamUpdates() throws {
    func updated(_ before: String, _ after: String, _ consumers: [ConsumerConfig] = []) throws -> StreamConfig {
        let old = try created(before)
        return try stream(after).checkedForUpdate(
            from: old, pedantic: false, limits: JetStreamLimits(), directory: StreamDirectory(streams: [old]),
            consumers: consumers)
    }
    let sealed = try updated(
        #"{"name":"S","allow_rollup_hdrs":true,"max_age":1000000000}"#, #"{"name":"S","sealed":true,"max_age":1000000000}"#)
    #expect(sealed.maxAgeNs == 0 && sealed.discard == .new && sealed.denyDelete && sealed.denyPurge && !sealed.allowRollup)
    let refused = [
        (#"{"name":"S"}"#, #"{"name":"S","storage":"memory"}"#, "stream configuration update can not change storage type"),
        (
            #"{"name":"S"}"#, #"{"name":"S","retention":"workqueue"}"#,
            "stream configuration update can not change retention policy to/from workqueue"
        ),
        (#"{"name":"S","deny_purge":true}"#, #"{"name":"S"}"#, "stream configuration update can not cancel deny purge"),
        (
            #"{"name":"S","mirror":{"name":"A"}}"#, #"{"name":"S","mirror":{"name":"B"}}"#,
            "stream mirror configuration can not be updated"
        ),
        (#"{"name":"S","allow_msg_ttl":true}"#, #"{"name":"S"}"#, "message TTL status can not be disabled"),
        (#"{"name":"S"}"#, #"{"name":"S","persist_mode":"async"}"#, "stream configuration update can not change persist mode"),
    ]
    for (before, after, text) in refused { #expect(refusal { _ = try updated(before, after) } == text, "\(after)") }
    #expect(try updated(#"{"name":"S","mirror":{"name":"A"}}"#, #"{"name":"S"}"#).subjects == ["S"])
    var consumer = ConsumerConfig()
    consumer.name = "C"
    consumer.maxAckPending = 10
    #expect(
        refusal { _ = try updated(#"{"name":"S"}"#, #"{"name":"S","consumer_limits":{"max_ack_pending":5}}"#, [consumer]) }
            == "change to limits violates consumers: C")
}

private func consumer(
    _ body: String, in stream: String = #"{"name":"S","subjects":["s.>"]}"#, existing: ConsumerConfig? = nil,
    others: [ConsumerConfig] = [], action: ConsumerAction = .createOrUpdate, pedantic: Bool = false, isHeard: Bool = false
) throws -> ConsumerConfig {
    let config = try decoded(ConsumerCreateRequest.self, #"{"config":\#(body)}"#).config
    let creation = try config.checkedForCreate(
        action: action, pedantic: pedantic, stream: try created(stream), limits: JetStreamLimits(), existing: existing,
        others: others, hasInterest: { _ in isHeard })
    switch creation {
    case .new(let config), .update(let config): return config
    }
}

@Test func apiConsumerDefaults() throws {
    let config = try consumer(#"{"name":"C","ack_policy":"explicit","backoff":[5,6],"max_deliver":-9}"#)
    #expect(
        text { config.withServerMetadata.write(to: &$0) }
            == #"{"name":"C","deliver_policy":"all","ack_policy":"explicit","ack_wait":5,"max_deliver":-1,"backoff":[5,6],"#
            + #""replay_policy":"instant","max_waiting":512,"max_ack_pending":1000,"inactive_threshold":5000000000,"num_replicas":0,"#
            + #""metadata":{"_nats.level":"5","_nats.req.level":"0","_nats.ver":"2.15.1"}}"#)
    let push = try consumer(#"{"durable_name":"C","ack_policy":"flow_control","deliver_subject":"d"}"#)
    #expect(push.flowControl && push.heartbeatNs == 1_000_000_000 && push.inactiveThresholdNs == 0 && push.maxWaiting == 0)
    let limited = #"{"name":"S","consumer_limits":{"max_ack_pending":7,"inactive_threshold":900000000}}"#
    #expect(try consumer(#"{"name":"C"}"#, in: limited).maxAckPending == 7)
    #expect(
        refusal { _ = try consumer(#"{"name":"C","inactive_threshold":1000000000}"#, in: limited) }
            == "consumer inactive threshold exceeds system limit of 900ms")
}

@Test func apiConsumersThatAreRefused() {
    let texts = [
        (#"{"name":"a.b"}"#, #"consumer name can not contain '.', '*', '>', '\', '/'"#),
        (
            #"{"sample_freq":"x%"}"#,
            #"failed to parse consumer sampling configuration: strconv.Atoi: parsing "x": invalid syntax"#
        ),
        (#"{"sample_freq":"-5"}"#, "failed to parse consumer sampling configuration: <nil>"),
        (#"{"deliver_subject":"s.x"}"#, "consumer deliver subject forms a cycle"),
        (#"{"deliver_subject":"d.*"}"#, "consumer deliver subject has wildcards"),
        (
            #"{"deliver_policy":"last_per_subject"}"#,
            "consumer delivery policy is deliver last per subject, but optional filter subject is not set"
        ),
        (#"{"opt_start_seq":5}"#, "consumer delivery policy is deliver all, but optional start sequence is also set"),
        (#"{"filter_subjects":["s.a","s.*"]}"#, "consumer subject filters cannot overlap"),
        (
            #"{"priority_policy":"overflow","priority_groups":["a b"]}"#,
            "Valid priority group name must match A-Z, a-z, 0-9, -_/=)+ and may not exceed 16 characters"
        ),
        (#"{"max_expires":5}"#, "consumer max request expires needs to be >= 1ms"),
        (#"{"backoff":[5,6],"max_deliver":1}"#, "max deliver is required to be > length of backoff values"),
        (#"{"durable_name":"D","name":"C"}"#, "Consumer Durable and Name have to be equal if both are provided"),
    ]
    for (body, text) in texts { #expect(refusal { _ = try consumer(body) } == text, "\(body)") }
    #expect(refusal { _ = try consumer("{}", pedantic: true) } == nil)
    #expect(
        refusal { _ = try consumer(#"{"max_batch":-1}"#, pedantic: true) } == "pedantic mode: max_batch must not be negative")
}

@Test func apiConsumerUpdates() throws {
    let old = try consumer(#"{"durable_name":"C","deliver_subject":"d","pause_until":"2040-01-01T00:00:00Z"}"#)
    func update(_ body: String, _ action: ConsumerAction = .createOrUpdate, isHeard: Bool = false) throws -> ConsumerConfig {
        try consumer(body, existing: old, action: action, isHeard: isHeard)
    }
    #expect(try update(#"{"durable_name":"C","deliver_subject":"e"}"#).pauseUntilNs == old.pauseUntilNs)
    #expect(
        refusal { _ = try update(#"{"durable_name":"C","deliver_subject":"e"}"#, isHeard: true) }
            == "consumer name already in use")
    #expect(refusal { _ = try update(#"{"durable_name":"C"}"#) } == "can not update push consumer to pull based")
    #expect(
        refusal { _ = try update(#"{"durable_name":"C","deliver_subject":"d","ack_policy":"all"}"#) }
            == "ack policy can not be updated")
    #expect(refusal { _ = try update(#"{"durable_name":"C","deliver_subject":"d"}"#, .create) } == nil)
    #expect(
        refusal { _ = try update(#"{"durable_name":"C","deliver_subject":"d","description":"x"}"#, .create) }
            == "consumer already exists")
    #expect(refusal { _ = try consumer("{}", action: .update) } == "consumer does not exist")
    let ephemeral = try consumer(#"{"name":"E"}"#)
    #expect(refusal { _ = try consumer(#"{"name":"E"}"#, existing: ephemeral, action: .create) } == "consumer already exists")
    #expect(try consumer(#"{"name":"E"}"#, existing: ephemeral).inactiveThresholdNs == 5_000_000_000)
}

@Test func apiConsumersOfWorkQueues() throws {
    let queue = #"{"name":"S","subjects":["s.>"],"retention":"workqueue"}"#
    let a = try consumer(#"{"name":"A","ack_policy":"explicit","filter_subject":"s.a.*"}"#, in: queue)
    let whole = try consumer(#"{"name":"A","ack_policy":"explicit"}"#, in: queue)
    let texts: [(String, [ConsumerConfig], String?)] = [
        (#"{"ack_policy":"none"}"#, [], "consumer in pull mode requires explicit ack policy on workqueue stream"),
        (#"{"ack_policy":"all"}"#, [], "workqueue stream requires explicit ack"),
        (#"{"ack_policy":"explicit","deliver_policy":"new"}"#, [], "consumer must be deliver all on workqueue stream"),
        (#"{"ack_policy":"explicit"}"#, [a], "multiple non-filtered consumers not allowed on workqueue stream"),
        (#"{"ack_policy":"explicit","filter_subject":"s.*.b"}"#, [a], "filtered consumer not unique on workqueue stream"),
        (#"{"ack_policy":"explicit","filter_subject":"s.b"}"#, [whole], "filtered consumer not unique on workqueue stream"),
        (#"{"ack_policy":"explicit","filter_subject":"s.b"}"#, [a], nil),
    ]
    for (body, others, text) in texts {
        #expect(refusal { _ = try consumer(body, in: queue, others: others) } == text, "\(body)")
    }
}

@Test func apiSubjectsOfConsumerCreation() throws {
    func config(_ body: String, _ subject: ConsumerCreateSubject) throws -> ConsumerConfig {
        try decoded(ConsumerCreateRequest.self, body).config(for: subject)
    }
    let named = ConsumerCreateSubject.named(stream: "S", consumer: "C", filter: "s.a")
    #expect(try config(#"{"stream_name":"S","config":{"name":"other","filter_subject":"s.a"}}"#, named).name == "C")
    let texts: [(String, ConsumerCreateSubject, String)] = [
        (#"{"stream_name":"T"}"#, named, "stream name in subject does not match request"),
        (#"{"stream_name":"S"}"#, named, "Consumer create request did not match filtered subject from create subject"),
        (
            #"{"stream_name":"S","config":{"filter_subjects":["s.a"]}}"#, named,
            "consumer with multiple subject filters cannot use subject based API"
        ),
        (
            #"{"stream_name":"S","config":{"durable_name":"D"}}"#, .ephemeral(stream: "S"),
            "consumer expected to be ephemeral but a durable name was set in request"
        ),
        (
            #"{"stream_name":"S"}"#, .durable(stream: "S", consumer: "D"),
            "consumer expected to be durable but a durable name was not set"
        ),
        (
            #"{"stream_name":"S"}"#, .named(stream: "S", consumer: "a/b", filter: ""),
            "Consumer name can not contain path separators"
        ),
    ]
    for (body, subject, text) in texts { #expect(refusal { _ = try config(body, subject) } == text) }
}
