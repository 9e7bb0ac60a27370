// The consumer API: JSON in, JSON out, and answers that wait for what they promise.

import Testing
import Wire

@testable import Broker

@Suite struct ConsumerAPITests {
    private func request(
        _ world: ConsumerFixture, _ body: String = "", commits: Bool = true,
        _ call: (ByteView, @escaping ([UInt8]) -> Void) -> Void
    ) -> String? {
        var answer: String?
        Array(body.utf8).withUnsafeBytes { call(ByteView($0)) { answer = String(decoding: $0, as: UTF8.self) } }
        if commits { world.endTurn() }
        return answer
    }
    private func create(
        _ world: ConsumerFixture, _ subject: ConsumerCreateSubject, _ config: String, action: String = "", commits: Bool = true
    ) -> String? {
        request(world, #"{"stream_name":"S","config":\#(config),"action":"\#(action)"}"#, commits: commits) {
            world.api.create(subject, $0, $1)
        }
    }
    private func failure(_ type: String, _ code: Int, _ number: Int, _ text: String) -> String {
        #"{"type":"io.nats.jetstream.api.v1.consumer_\#(type)_response","error":{"code":\#(code),"err_code":\#(number),"description":"\#(text)"}}"#
    }

    @Test func aCreatedConsumerIsDurableFirst() throws {
        let world = try ConsumerFixture()
        world.subscribe("$JS.EVENT.ADVISORY.CONSUMER.>")
        try world.store("s.a")
        var answer: String?
        let body = Array(#"{"stream_name":"S","config":{"durable_name":"d","ack_policy":"explicit"}}"#.utf8)
        body.withUnsafeBytes {
            world.api.create(.durable(stream: "S", consumer: "d"), ByteView($0)) {
                answer = String(decoding: $0, as: UTF8.self)
            }
        }
        world.endTurn(commits: false)
        #expect(answer == nil && world.registry["d"] != nil)
        world.commitJournal()
        let text = try #require(answer)
        #expect(
            text.hasPrefix(
                #"{"type":"io.nats.jetstream.api.v1.consumer_create_response","stream_name":"S","name":"d","created":""#))
        #expect(text.contains(#""num_pending":1"#) && text.contains(#""_nats.ver":"2.15.1""#))
        #expect(text.contains(#""delivered":{"consumer_seq":0,"stream_seq":0},"ack_floor":{"consumer_seq":0,"stream_seq":0}"#))
        #expect(world.events().map(\.to) == ["$JS.EVENT.ADVISORY.CONSUMER.CREATED.S.d"])
        #expect(world.lists.durable.count == 1)
    }

    @Test func createUpdateAndTheirActions() throws {
        let world = try ConsumerFixture()
        let named = ConsumerCreateSubject.named(stream: "S", consumer: "c", filter: "")
        let config = #"{"durable_name":"c","ack_policy":"explicit"}"#
        #expect(create(world, named, config, action: "update") == failure("create", 400, 10149, "consumer does not exist"))
        #expect(create(world, named, config, action: "create")?.contains(#""name":"c""#) == true)
        #expect(create(world, named, config, action: "create")?.contains(#""name":"c""#) == true)
        let other = #"{"durable_name":"c","ack_policy":"explicit","max_deliver":7}"#
        #expect(create(world, named, other, action: "create") == failure("create", 400, 10148, "consumer already exists"))
        #expect(create(world, named, other)?.contains(#""max_deliver":7"#) == true)
        #expect(world.registry["c"]?.config.maxDeliver == 7)
        #expect(
            create(world, named, #"{"durable_name":"c","ack_policy":"none"}"#)
                == failure("create", 500, 10012, "ack policy can not be updated"))
        #expect(world.registry.count == 1)
        let restarted = try world.restarted()
        #expect(restarted.registry["c"]?.config.maxDeliver == 7)
    }

    @Test func ephemeralsGetAName() throws {
        let world = try ConsumerFixture()
        _ = create(world, .ephemeral(stream: "S"), #"{"ack_policy":"explicit"}"#)
        _ = create(world, .ephemeral(stream: "S"), #"{"ack_policy":"explicit"}"#)
        #expect(world.registry.names.count == 2 && world.registry.names.allSatisfy { $0.utf8.count == 8 })
    }

    @Test func listsAreSortedAndPaged() throws {
        let world = try ConsumerFixture()
        #expect(
            request(world) { world.api.names($0, $1) }
                == #"{"type":"io.nats.jetstream.api.v1.consumer_names_response","total":0,"offset":0,"limit":1024,"consumers":[]}"#
        )
        for name in ["b", "a", "C"] { _ = try world.create(name) }
        #expect(
            request(world, #"{"offset":1}"#) { world.api.names($0, $1) }
                == #"{"type":"io.nats.jetstream.api.v1.consumer_names_response","total":3,"offset":1,"limit":1024,"consumers":["a","b"]}"#
        )
        let list = try #require(request(world) { world.api.list($0, $1) })
        #expect(list.contains(#""total":3,"offset":0,"limit":256,"consumers":[{"stream_name":"S","name":"C""#))
        // Lists show what is stored, not what the server adds.
        #expect(!list.contains("_nats.ver"))
        #expect(request(world, "{") { world.api.names($0, $1) }?.contains("10025") == true)
    }

    @Test func infoAndDelete() throws {
        let world = try ConsumerFixture()
        _ = try world.create("c")
        #expect(
            request(world, "x") { world.api.info("c", $0, $1) }
                == failure("info", 400, 10038, "expected an empty request payload"))
        #expect(request(world) { world.api.info("d", $0, $1) } == failure("info", 404, 10014, "consumer not found"))
        #expect(request(world) { world.api.info("c", $0, $1) }?.contains(#""num_waiting":0"#) == true)
        #expect(request(world, commits: false) { world.api.delete("c", $0, $1) } == nil)
        #expect(world.registry.count == 0)
        world.endTurn()
        #expect(request(world) { world.api.delete("c", $0, $1) } == failure("delete", 404, 10014, "consumer not found"))
        #expect(try world.restarted().registry.count == 0)
    }

    @Test func pauseUnpinReset() throws {
        let world = try ConsumerFixture()
        try world.store("s.a", "s.b")
        _ = try world.create("c") {
            $0.priorityGroups = ["A"]; $0.priorityPolicy = .pinnedClient
        }
        var answer: String?
        Array(#"{"pause_until":"2030-01-01T00:00:00Z"}"#.utf8).withUnsafeBytes {
            world.api.pause("c", ByteView($0)) { answer = String(decoding: $0, as: UTF8.self) }
        }
        world.endTurn()
        #expect(
            answer?.hasPrefix(
                #"{"type":"io.nats.jetstream.api.v1.consumer_pause_response","paused":true,"pause_until":"2030-01-01T00:00:00Z","#
            ) == true)
        world.api.pause("c", .empty) { answer = String(decoding: $0, as: UTF8.self) }
        world.endTurn()
        #expect(
            answer
                == #"{"type":"io.nats.jetstream.api.v1.consumer_pause_response","paused":false,"pause_until":"0001-01-01T00:00:00Z"}"#
        )
        #expect(
            request(world, #"{"group":"A"}"#) { world.api.unpin("c", $0, $1) }
                == #"{"type":"io.nats.jetstream.api.v1.consumer_unpin_response"}"#)
        #expect(request(world, #"{"group":"B"}"#) { world.api.unpin("c", $0, $1) }?.contains("10160") == true)
        Array(#"{"seq":2}"#.utf8).withUnsafeBytes {
            world.api.reset("c", ByteView($0)) { answer = String(decoding: $0, as: UTF8.self) }
        }
        world.endTurn()
        #expect(answer?.hasSuffix(#""reset_seq":2}"#) == true && answer?.contains(#""num_pending":1"#) == true)
    }

    @Test func answersGoToTheReply() throws {
        let world = try ConsumerFixture()
        let reply = Array("inbox".utf8)
        reply.withUnsafeBytes { world.api.names(.empty, world.api.publishing(to: ByteView($0))) }
        world.api.names(.empty, world.api.publishing(to: .empty))
        #expect(world.taken().map(\.to) == ["inbox"])
    }
}
