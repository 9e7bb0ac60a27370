// Streams on disks that forget, fill up, fail and rot, as whole directories.

import Glibc
import Locks
import Store
import StoreKit
import Synchronization
import Testing
import Wire

@testable import Broker

@Suite struct StoredStreamTests {
    /// Twelve messages of which one was deleted; a consumer that has been given six and acked four.
    private func filled(closes: Bool = true) throws -> SimulatedDisk {
        let disk = try StoredStream.makeDisk()
        let kit = try StoredStream(creating: StoredStream.config(), on: disk)
        let consumer = kit.create("C")
        for number in 1...12 { kit.publish("s.\(number % 3)", "message \(number)") }
        for delivery in kit.pull(consumer, 6).prefix(4) { #expect(kit.ack(consumer, delivery.reply)) }
        _ = kit.request(Stream.deleteMessage, #"{"seq":7}"#)
        kit.turn()
        if closes { try kit.close() }
        return disk
    }

    @Test func creationIsWholeOrNothing() throws {
        let disk = try StoredStream.makeDisk()
        let points = Atomic<Int>(0), faults = Locked<[String]>([])
        disk.beforeChange { [unowned disk] call, path in
            for seed in 0..<8 as Range<UInt64> {
                let left = disk.crashed(seed: seed)
                points.add(1, ordering: .relaxed)
                do {
                    // Either there is no stream, and it can be made, or there is one, and it is empty.
                    if let found = try StreamFiles.open(StoredStream.directory, left) {
                        if found.log.state.lastSequence != 0 { faults.withLock { $0.append("\(call) \(path): not empty") } }
                    } else {
                        _ = try StreamFiles.create(
                            StreamDefinition(config: StoredStream.config(), createdNs: 1), in: StoredStream.account, left)
                    }
                } catch {
                    faults.withLock { $0.append("\(call) \(path), seed \(seed): \(error)") }
                }
            }
        }
        _ = try StreamFiles.create(
            StreamDefinition(config: StoredStream.config(), createdNs: 1), in: StoredStream.account, disk)
        disk.beforeChange(nil)
        let found = faults.withLock { $0 }
        #expect(found == [])
        #expect(points.load(ordering: .relaxed) > 100)
        for seed in 0..<20 as Range<UInt64> {
            #expect(try StreamFiles.open(StoredStream.directory, disk.crashed(seed: seed)) != nil)
        }
    }

    @Test(arguments: [true, false]) func aFlippedByteCostsOneMessageAtMost(closes: Bool) throws {
        let disk = try filled(closes: closes)
        let whole = try #require(try StoredStream(on: disk.copy()))
        let messages = whole.contents, floor = try #require(whole.registry["C"]).info().ackFloor.stream
        #expect(messages.count == 11 && floor == 4)
        var lossy = 0
        for (path, bytes) in disk.files() where path.hasPrefix(StoredStream.directory) {
            // What lies behind is unused space; Tests/Crash looks at all of it.
            let used = (bytes.lastIndex { $0 != 0 } ?? 0) + 9
            for place in stride(from: 0, to: min(used, bytes.count), by: 11) {
                var flipped = bytes
                flipped[place] ^= 1 << UInt8(place % 8)
                let copy = disk.copy()
                copy.replace(path, flipped)
                let kit = try #require(try StoredStream(on: copy), "\(path) \(place)")
                let left = kit.contents, report = kit.log.recoveryReport
                let missing = Set(messages.keys).subtracting(left.keys)
                #expect(left.allSatisfy { messages[$0.key] == $0.value }, "\(path) \(place)")
                if !missing.isEmpty {
                    lossy += 1
                    let isTail = !closes && missing == [12] && report.cutBytes > 0
                    #expect(isTail || missing.count == 1 && kit.log.state.lost == Array(missing), "\(path) \(place)")
                    #expect(isTail || kit.stream.info().state.lost == Array(missing), "\(path) \(place)")
                    #expect(isTail || !report.damages.isEmpty)
                }
                let info = try #require(kit.registry["C"], "\(path) \(place)").info()
                // A message that is lost is not waited for.
                #expect(info.ackFloor.stream <= floor || missing == [5], "\(path) \(place)")
                if info.ackFloor.stream < floor && closes { #expect(!kit.opened.findings.isEmpty, "\(path) \(place)") }
                if path.hasSuffix("definition") { #expect(!kit.opened.findings.isEmpty, "\(place)") }
                if place % 10 == 0 { #expect(kit.publish("s.1", "after").contains(#""seq":"#), "\(path) \(place)") }
            }
        }
        #expect(lossy > 10)
    }

    @Test func aFileCutShortIsReported() throws {
        let disk = try filled()
        let messages = try #require(try StoredStream(on: disk.copy())).contents
        for (path, bytes) in disk.files() where path.hasPrefix(StoredStream.directory) {
            let used = (bytes.lastIndex { $0 != 0 } ?? 0) + 9
            for length in stride(from: 0, to: min(used, bytes.count), by: 23) {
                let copy = disk.copy()
                copy.replace(path, Array(bytes[..<length]))
                let kit: StoredStream
                do {
                    kit = try #require(try StoredStream(on: copy))
                } catch let error as StoreError {
                    // A definition of which not even half is left.
                    guard path.hasSuffix("definition"), case .unusable = error else { throw error }
                    continue
                }
                let missing = Set(messages.keys).subtracting(kit.contents.keys)
                if !missing.isEmpty { #expect(!kit.log.recoveryReport.damages.isEmpty, "\(path) \(length)") }
                let last = kit.log.state.lastSequence
                #expect(missing.allSatisfy { $0 > last || kit.log.state.lost.contains($0) }, "\(path) \(length)")
                #expect(kit.publish("s.1", "after").contains(#""seq":"#), "\(path) \(length)")
            }
        }
    }

    @Test func aFullDiskTakesAcksDeletesAndPurges() throws {
        let disk = try StoredStream.makeDisk()
        let kit = try StoredStream(creating: StoredStream.config(), on: disk)
        let consumer = kit.create("C")
        let body = String(repeating: "x", count: 1_000)
        for _ in 0..<100 {
            kit.publish("s.1", body)
            kit.maintain()
        }
        let deliveries = kit.pull(consumer, 20)
        disk.limit(to: disk.usedBytes)
        // Until the segment that was prepared is full, too.
        var stored: UInt64 = 100
        var answer = ""
        for _ in 0..<2_000 {
            answer = kit.publish("s.1", body)
            if errorCode(answer) != nil { break }
            stored += 1
            kit.maintain()
        }
        #expect(errorCode(answer) == 10047, "\(answer)")
        #expect(stored > 150 && kit.log.state.lastSequence == stored)
        for delivery in deliveries { #expect(kit.ack(consumer, delivery.reply)) }
        #expect(consumer.info().ackFloor.stream == 20)
        for sequence in 1...10 {
            #expect(kit.request(Stream.deleteMessage, #"{"seq":\#(sequence)}"#).contains(#""success":true"#))
        }
        #expect(errorCode(kit.publish("s.1", body)) == 10047)
        // All of it is there after a power failure.
        let again = try #require(try StoredStream(on: disk.crashed(seed: 3)))
        #expect(again.log.state.messages == stored - 10 && again.log.recoveryReport.lostMessages == 0)
        #expect(try #require(again.registry["C"]).info().ackFloor.stream >= 10)
        #expect(kit.request(Stream.purge, "").contains(#""success":true"#))
        kit.maintain()
        for _ in 0..<20 { #expect(kit.publish("s.1", body).contains(#""seq":"#)) }
        #expect(kit.log.state.messages == 20)
    }

    @Test(arguments: ["write", "sync"]) func afterAFailedCommitNothingIsAcknowledged(call: String) throws {
        let disk = try filled(closes: false)
        let kit = try #require(try StoredStream(on: disk))
        #expect(kit.publish("s.1", "before").contains(#""seq":13"#))
        // The next commit writes once and syncs once.
        disk.inject(.error(EIO), atCall: disk.calls + (call == "write" ? 1 : 2))
        #expect(errorCode(kit.publish("s.1", "unlucky")) == 10077)
        disk.clearFaults()
        // The disk is well again, and what it has lost is not known.
        #expect(errorCode(kit.publish("s.1", "later")) == 10077)
        #expect(!kit.request(Stream.deleteMessage, #"{"seq":1}"#).contains(#""success":true"#))
        #expect(kit.request(Stream.getMessage, #"{"seq":13}"#).contains(#""seq":13"#))
        let again = try #require(try StoredStream(on: disk.crashed(seed: 5)))
        #expect(again.contents[13] == "before" && again.contents[1] == "message 1")
        #expect(again.publish("s.1", "and on").contains(#""seq":"#))
    }

    @Test func aBadSectorCostsItsMessageOnly() throws {
        let disk = try filled()
        let path = try #require(disk.files().keys.first { $0.hasSuffix("0000000000000001.seg") })
        let bytes = try #require(disk.files()[path])
        let text = Array("message 9".utf8)
        let place = try #require(bytes.indices.first { Array(bytes[$0...].prefix(text.count)) == text })
        let kit = try #require(try StoredStream(on: disk))
        disk.missCache(onceIn: 1)
        disk.spoil(path, place..<place + 1)
        kit.log.releaseMemory()
        #expect(errorCode(kit.request(Stream.getMessage, #"{"seq":9}"#)) != nil)
        let consumer = kit.create("D")
        // Those behind it wait, in case the device thinks better of it; others are served.
        let first = kit.pull(consumer, 20).map(\.payload)
        #expect(first.last != "message 12" && kit.lost.isEmpty)
        kit.output = []
        kit.pass(seconds: 12)
        let rest = kit.output.filter { $0.subject == "inbox" && !$0.reply.isEmpty }.map(\.payload)
        #expect(
            (first + rest).filter { !$0.isEmpty } == [1, 2, 3, 4, 5, 6, 8, 10, 11, 12].map { "message \($0)" },
            "\(first) \(rest)")
        #expect(kit.lost == [9] && kit.stream.info().state.lost == [9])
        // Nothing is deleted on that account.
        disk.clearFaults()
        try kit.close()
        #expect(try #require(try StoredStream(on: disk)).contents[9] == "message 9")
    }
}
