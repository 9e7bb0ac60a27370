// What a stream says when its disk has failed: nothing is confirmed that a restart would not show.

import Store
import StoreKit
import Testing
import Wire

@testable import Broker

@Suite struct StreamFailureTests {
    private func request(
        _ kit: StoredStream, _ call: (ConsumerAPI, @escaping ([UInt8]) -> Void) -> Void
    ) -> String {
        let api = ConsumerAPI(stream: kit.stream, registry: kit.registry, limits: JetStreamLimits())
        var answer = "none"
        call(api) { answer = String(decoding: $0, as: UTF8.self) }
        kit.turn()
        return answer
    }

    private func create(_ kit: StoredStream, _ name: String) -> String {
        let body = #"{"stream_name":"S","config":{"durable_name":"\#(name)","ack_policy":"explicit"}}"#
        return request(kit) { api, answer in
            Array(body.utf8).withUnsafeBytes {
                api.create(.durable(stream: "S", consumer: name), ByteView($0), answer)
            }
        }
    }

    /// Every later ack looked as if it had been written, although the journal had dropped it.
    @Test func afterAFailedSyncOfTheJournalNothingIsConfirmed() throws {
        let disk = try StoredStream.makeDisk()
        let kit = try StoredStream(creating: StoredStream.config(), on: disk)
        var failures: [StoreError] = []
        kit.stream.onFailed = { failures.append($0) }
        let consumer = kit.create("C")
        for number in 1...8 { kit.publish("s.\(number)", "message \(number)") }
        let deliveries = kit.pull(consumer, 8)
        #expect(kit.ack(consumer, deliveries[0].reply))
        disk.inject(.error(5), fromCall: disk.calls)
        #expect(!kit.ack(consumer, deliveries[1].reply))
        disk.clearFaults()
        for delivery in deliveries[2...4] { #expect(!kit.ack(consumer, delivery.reply)) }
        #expect(errorCode(create(kit, "NEW")) == 10104)
        let pause = #"{"pause_until":"2040-01-01T00:00:00Z"}"#
        let paused = request(kit) { api, answer in Array(pause.utf8).withUnsafeBytes { api.pause("C", ByteView($0), answer) } }
        #expect(errorCode(paused) == 10077)
        #expect(errorCode(request(kit) { $0.delete("C", .empty, $1) }) == 10077)
        #expect(errorCode(kit.publish("s.x", "x")) == 10077)
        #expect(failures.count == 1 && kit.stream.failure != nil)
        let restarted = try #require(try StoredStream(on: disk.crashed(seed: 1)))
        #expect(restarted.registry.names == ["C"])
        // The second ack may be there or not: nobody was told.
        let floor = try #require(restarted.registry["C"]).info().ackFloor.stream
        #expect(floor == 1 || floor == 2)
    }

    /// A request that waits while the journal fails is told so.
    @Test func requestsThatWaitForAJournalThatFailsAreRefused() throws {
        let disk = try StoredStream.makeDisk()
        let kit = try StoredStream(creating: StoredStream.config(), on: disk)
        disk.inject(.error(5), fromCall: disk.calls)
        #expect(errorCode(create(kit, "NEW")) == 10104)
    }

    /// The journal told of a removal that the log had not kept: after a restart the message was there, and nobody got it.
    @Test func theJournalDoesNotTellOfRemovalsThatFailed() throws {
        let kit = try StreamKit(keepsConsumers: true)
        for number in 0..<3 { kit.publish("s.\(number)") }
        let consumer = StreamConsumerTests.consumer(kit)
        kit.turn()
        kit.holdsCommits = true
        _ = kit.request(Stream.deleteMessage, #"{"seq":2}"#)
        kit.finishCommits()
        _ = kit.request(Stream.deleteMessage, #"{"seq":3}"#)
        consumer.pause(untilNs: kit.now.wallNs + 1_000_000_000_000)
        kit.stream.journalFollowsLog()
        let before = kit.commits
        kit.turn()
        #expect(kit.stream.waitingJournalJob != nil || kit.commits == before)
        kit.commitError = DiskError("fdatasync", "log", 5)
        kit.finishCommits()
        kit.finishCommits()
        #expect(kit.stream.journalFailure != nil && kit.stream.waitingJournalJob == nil)
        #expect(kit.commits == before)
        kit.stream.journalFollowsLog()
        consumer.pause(untilNs: nil)
        kit.turn()
        #expect(kit.commits == before)
    }

    /// Deletions fill a disk, too. What a purge could not do, it must not say that it has done.
    @Test func aPurgeThatFindsNoRoomSaysSo() throws {
        let disk = try StoredStream.makeDisk()
        let kit = try StoredStream(creating: StoredStream.config(), on: disk)
        disk.limit(to: disk.usedBytes)
        var count = 0
        while errorCode(kit.publish("s.\(count % 10)", "message \(count)")) == nil { count += 1 }
        var refusal: Int?
        for sequence in stride(from: 2, to: count, by: 2) where refusal == nil {
            refusal = errorCode(kit.request(Stream.deleteMessage, #"{"seq":\#(sequence)}"#))
        }
        try #require(refusal != nil)
        let messages = kit.log.state.messages
        for purge in ["", #"{"keep":1}"#, #"{"filter":"s.3"}"#] {
            #expect(errorCode(kit.request(Stream.purge, purge)) == 10047, "\(purge)")
        }
        #expect(kit.log.state.messages == messages && kit.stream.failure == nil)
        disk.limit(to: nil)
        #expect(field(kit.request(Stream.purge, ""), "purged")?.int == Int(messages))
    }
}
