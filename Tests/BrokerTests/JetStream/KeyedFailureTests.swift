// Keyed consumers whose disk has failed: whoever asks for a change of keys is told what happened, and nothing is confirmed that
// a restart would not show.

import Store
import StoreKit
import Testing
import Wire

@testable import Broker

@Suite struct KeyedFailureTests {
    /// Keys a and b are parked, d is leased, with a circuit that has opened.
    private func world() throws -> (StoredStream, Consumer, [String: Int]) {
        let kit = try StoredStream(creating: StoredStream.config(), on: try StoredStream.makeDisk())
        kit.hasListeners = true
        let consumer = kit.createKeyed(["bellhop.park_circuit": "0.5/60s"])
        for subject in ["s.a", "s.b", "s.c", "s.d", "s.e"] { kit.publish(subject, "x") }
        for lease in kit.lease(consumer, 4)[..<3] { kit.say(consumer, lease, "+TERM") }
        let versions = kit.parked(consumer)
        #expect(versions.keys.sorted() == ["a", "b", "c"] && kit.command(consumer, .info)["paused"]?.string == "park_circuit")
        return (kit, consumer, versions)
    }

    private func commands(_ versions: [String: Int]) -> [(KeyOperation, String)] {
        [
            (.retry, #"{"key":"a","version":\#(versions["a"] ?? 0)}"#), (.retry, #"{"all":true}"#),
            (.retry, #"{"all":true,"rate":1}"#),
            (.skip, #"{"key":"b","version":\#(versions["b"] ?? 0),"reason":"r","actor":"me"}"#), (.park, #"{"key":"d"}"#),
            (.resume, "{}"),
        ]
    }

    /// The commit that a command waits for fails; and then, each one later.
    @Test(arguments: 0..<6) func commandsAreRefusedWithTheReason(first: Int) throws {
        let (kit, consumer, versions) = try world()
        kit.disk.inject(.error(5), fromCall: kit.disk.calls)
        var asked = commands(versions)
        let opening = asked.remove(at: first)
        func check(_ operation: KeyOperation, _ body: String) throws {
            let error = try #require(kit.command(consumer, operation, body)["error"], "\(operation) \(body) was not answered")
            #expect(error["err_code"]?.int == 20_007 && error["code"]?.int == 503, "\(operation) \(body)")
            let text = error["description"]?.string ?? ""
            #expect(text.hasPrefix("keys can not be stored: ") && text.contains("restart"), "\(text)")
        }
        try check(opening.0, opening.1)
        #expect(kit.stream.journalFailure != nil)
        kit.disk.clearFaults()
        for (operation, body) in asked { try check(operation, body) }
        // What is there can still be looked at.
        #expect(kit.command(consumer, .info)["error"] == nil && kit.command(consumer, .list)["error"] == nil)
        // The first may have been kept, or not: nobody was told. The others were not begun.
        let restarted = try #require(try StoredStream(on: kit.disk.crashed(seed: 1)))
        let recovered = try #require(restarted.registry["C"])
        let found = restarted.parked(recovered).keys.sorted()
        switch first {
        case 0: #expect(found == ["a", "b", "c"] || found == ["b", "c"])
        case 1: #expect(found == ["a", "b", "c"] || found == [])
        case 2: #expect(found == ["a", "b", "c"] || found == ["b", "c"])
        case 3: #expect(found == ["a", "b", "c"] || found == ["a", "c"])
        case 4: #expect(found == ["a", "b", "c"] || found == ["a", "b", "c", "d"])
        default: #expect(found == ["a", "b", "c"])
        }
    }

    /// The journal grows with what operators say until there is no room for more; nothing is lost, and it goes on by itself.
    @Test func aFullDiskIsTold() throws {
        let (kit, consumer, versions) = try world()
        kit.disk.limit(to: kit.disk.usedBytes)
        let reason = String(repeating: "x", count: 1_000)
        var count = 0, error: JSONValue?
        while error == nil && count < 10_000 {
            count += 1
            let version = kit.parked(consumer)["d"]
            let body = version.map { #"{"key":"d","version":\#($0),"reason":"\#(reason)"}"# }
            let reply = kit.command(consumer, body == nil ? .park : .retry, body ?? #"{"key":"d","reason":"\#(reason)"}"#)
            try #require(reply["success"] != nil || reply["error"] != nil, "no answer to command \(count)")
            error = reply["error"]
        }
        #expect(error?["err_code"]?.int == 20_007, "\(String(describing: error))")
        #expect(error?["description"]?.string?.contains("no space left on the device; make room") ?? false)
        #expect(kit.stream.journalFailure == nil && kit.stream.failure == nil)
        let again = kit.command(consumer, .retry, #"{"key":"a","version":\#(versions["a"] ?? 0)}"#)
        #expect(again["error"]?["err_code"]?.int == 20_007)
        kit.disk.limit(to: nil)
        #expect(kit.command(consumer, .resume)["success"] != nil)
        let parked = kit.parked(consumer)
        #expect(parked["a"] == nil && parked["b"] == versions["b"])
        let restarted = try #require(try StoredStream(on: kit.disk.crashed(seed: 1)))
        #expect(restarted.parked(try #require(restarted.registry["C"])) == parked)
    }
}
