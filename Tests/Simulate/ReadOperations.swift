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
