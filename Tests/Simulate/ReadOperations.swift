// What clients read: STREAM.MSG.GET and direct gets.

import StoreKit
import Wire

@testable import Broker

extension Simulation {
    func getMessage() throws {
        let sequence = someSequence()
        let pattern = Scenario.patterns[random.below(Scenario.patterns.count)]
        let request: String, found: ModelMessage?
        switch random.below(5) {
        case 0:
            request = "{\"seq\":\(max(1, sequence))}"
            found = model[max(1, sequence)]
        case 1:
            request = "{\"last_by_subj\":\"\(pattern)\"}"
            found = model[model.last(pattern)]
        case 2:
            request = "{\"next_by_subj\":\"\(pattern)\"}"
            found = model.messages.first { matches(pattern, $0.subject) }
        case 3:
            request = "{\"seq\":\(max(1, sequence)),\"next_by_subj\":\"\(pattern)\"}"
            found = model.messages.first { $0.sequence >= sequence && matches(pattern, $0.subject) }
        default:
            let time = world.now.wallNs - Int64(random.below(100)) * 1_000_000_000
            request = "{\"start_time\":\"\(Timestamp.text(time))\"}"
            found = model.messages.first { $0.timeNs >= time }
        }
        note("get \(request): \(found.map { "\($0.sequence)" } ?? "nothing")")
        let answer = try world.ask(request) { world.stream.getMessage($0, $1) }
        let json = try? JSONValue.parse(Array(answer.utf8))
        try expectCode(answer, found == nil ? 10037 : 0)
        if let found { try expect("seq of \(answer)", json?["message"]?["seq"]?.uint64, found.sequence) }
        try directGet(request, found)
        if random.once(in: 2) { try directGetMany() }
    }

    /// The forms of a direct get that are answered with many messages.
    private func directGetMany() throws {
        var members: [String] = []
        var found: [ModelMessage] = []
        var upTo: UInt64?, none = "404 Message Not Found"
        let isMulti = random.once(in: 2), limit = isMulti && random.once(in: 2) ? 0 : 1 + random.below(10)
        let bytes = random.once(in: 3) ? [1, 100, 600][random.below(3)] : 0
        let patterns = (0...random.below(2)).map { _ in Scenario.patterns[random.below(Scenario.patterns.count)] }
        if isMulti {
            none = "404 No Results"
            members.append("\"multi_last\":[\(patterns.map { "\"\($0)\"" }.joined(separator: ","))]")
            var end: UInt64? = model.lastSequence
            switch random.below(4) {
            case 0:
                let sequence = max(1, someSequence())
                members.append("\"up_to_seq\":\(sequence)")
                end = sequence <= model.lastSequence ? sequence : nil
            case 1:
                let time = world.now.wallNs - Int64(random.below(100)) * 1_000_000_000
                members.append("\"up_to_time\":\"\(Timestamp.text(time))\"")
                if let first = model.messages.first(where: { $0.timeNs >= time }) { end = first.sequence - 1 }
            default: break
            }
            upTo = end
            var last: [String: ModelMessage] = [:]
            for message in model.messages
            where message.sequence <= end ?? 0 && patterns.contains(where: { matches($0, message.subject) }) {
                last[message.subject] = message
            }
            found = last.values.sorted { $0.sequence < $1.sequence }
        } else {
            found = model.messages
            if random.once(in: 2) {
                let sequence = max(1, someSequence())
                members.append("\"seq\":\(sequence)")
                found.removeAll { $0.sequence < sequence }
            } else {
                let time = world.now.wallNs - Int64(random.below(1_000)) * 1_000_000_000
                members.append("\"start_time\":\"\(Timestamp.text(time))\"")
                found = Array(found.drop { $0.timeNs < time })
            }
            if random.once(in: 2) {
                members.append("\"next_by_subj\":\"\(patterns[0])\"")
                found.removeAll { !matches(patterns[0], $0.subject) }
            }
        }
        if limit > 0 { members.append("\"batch\":\(limit)") }
        if bytes > 0 { members.append("\"max_bytes\":\(bytes)") }
        let request = "{\(members.joined(separator: ","))}"
        note("get \(request): \(found.map(\.sequence))")
        world.send("$JS.API.DIRECT.GET.S", request, reply: "direct") { world.stream.directGet($0) }
        try world.quiesce()
        let taken = world.taken()
        for sent in taken where sent.to != "direct" { try hear(sent) }
        try compareMany(taken.filter { $0.to == "direct" }, found, limit, bytes, upTo, none)
    }

    private func compareMany(
        _ got: [Sent], _ found: [ModelMessage], _ limit: Int, _ bytes: Int, _ upTo: UInt64?, _ none: String
    ) throws {
        guard !found.isEmpty else { return try expect("direct get", got.map(\.status), [none]) }
        var place = 0, sentBytes = 0, previous: UInt64 = 0
        while place < found.count, limit == 0 || place < limit, bytes == 0 || sentBytes < bytes {
            let message = found[place]
            place += 1
            guard place <= got.count else { throw Disagreement("direct get: \(message.sequence) is missing in \(got)") }
            let block =
                message.headers + [
                    ("Nats-Stream", "S"), ("Nats-Subject", message.subject), ("Nats-Sequence", "\(message.sequence)"),
                    ("Nats-Time-Stamp", Timestamp.text(message.timeNs)), ("Nats-Num-Pending", "\(found.count - place)"),
                    ("Nats-Last-Sequence", "\(previous)"),
                ]
            try expect("direct get", got[place - 1].headers, Attempt(subject: "", headers: block).headerBlock)
            try expect("direct get", got[place - 1].payload, message.body)
            previous = message.sequence
            sentBytes += message.subject.utf8.count + message.headerBlock.utf8.count + message.body.utf8.count
        }
        guard got.count == place + 1 else { throw Disagreement("direct get: \(place) and an end, but \(got)") }
        var end = "NATS/1.0 204 EOB\r\nNats-Num-Pending: \(found.count - place)\r\nNats-Last-Sequence: \(previous)\r\n"
        if let upTo { end += "Nats-UpTo-Sequence: \(upTo)\r\n" }
        try expect("direct get", got[place].headers, end + "\r\n")
    }

    private func directGet(_ request: String, _ found: ModelMessage?) throws {
        world.send("$JS.API.DIRECT.GET.S", request, reply: "direct") { world.stream.directGet($0) }
        try world.quiesce()
        let taken = world.taken()
        for sent in taken where sent.to != "direct" { try hear(sent) }
        let got = taken.filter { $0.to == "direct" }
        guard got.count == 1 else { throw Disagreement("\(got.count) answers to a direct get") }
        guard let found else { return try expect("direct get", got[0].status, "404 Message Not Found") }
        let block =
            found.headers + [
                ("Nats-Stream", "S"), ("Nats-Subject", found.subject), ("Nats-Sequence", "\(found.sequence)"),
                ("Nats-Time-Stamp", Timestamp.text(found.timeNs)),
            ]
        try expect("direct get", got[0].headers, Attempt(subject: "", headers: block).headerBlock)
        try expect("direct get", got[0].payload, found.body)
    }
}
