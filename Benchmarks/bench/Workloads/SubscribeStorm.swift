// A storm of subscriptions on one connection, and of their ends; samples prove that they work.

import Glibc

struct SubscribeStorm: Sendable {
    var count = 100_000
    /// Publishes that check the storm: each must arrive exactly once, and none after the UNSUBs.
    private static let samples = 1_000

    func run(_ context: RunContext) throws -> Measurement {
        var result = Measurement(workload: "storm \(count)", unit: "subscriptions")
        var progress = context.progress()
        let subscriber = try Connection(context.target)
        let publisher = try Connection(context.target)
        var subscribe: [UInt8] = []
        var unsubscribe: [UInt8] = []
        for number in 0..<count {
            subscribe.append(contentsOf: Array("SUB \(subject(number)) \(number + 1)\r\n".utf8))
            unsubscribe.append(contentsOf: Array("UNSUB \(number + 1)\r\n".utf8))
        }
        let before = context.probe?.rssBytes
        var subscribeNs: UInt64 = 0
        var unsubscribeNs: UInt64 = 0
        var rounds = 0
        var serverSeconds: Double?
        var clientSeconds = 0.0
        var unsubscribeSeconds: Double?
        var rssPerSubscription: Double?
        let startNs = Clock.nowNs()
        let whole = CostMeter(context.probe)
        repeat {
            let meter = CostMeter(context.probe)
            let subscribed = Clock.nowNs()
            try subscriber.say(subscribe)
            try subscriber.settle()
            subscribeNs += Clock.nowNs() - subscribed
            let cost = meter.read()
            clientSeconds += cost.clientSeconds
            if let seconds = cost.serverSeconds { serverSeconds = (serverSeconds ?? 0) + seconds }
            if rounds == 0, let before, let after = context.probe?.rssBytes {
                rssPerSubscription = max(0, after - before) / Double(count)
            }
            try verify(subscriber, publisher, expecting: true, round: rounds)
            let ending = CostMeter(context.probe)
            let unsubscribed = Clock.nowNs()
            try subscriber.say(unsubscribe)
            try subscriber.settle()
            unsubscribeNs += Clock.nowNs() - unsubscribed
            if let seconds = ending.read().serverSeconds { unsubscribeSeconds = (unsubscribeSeconds ?? 0) + seconds }
            try verify(subscriber, publisher, expecting: false, round: rounds)
            rounds += 1
            let now = Clock.nowNs()
            progress?.show(Double(now - startNs) / Double(context.timing.durationNs), "round \(rounds)", nowNs: now)
        } while Clock.nowNs() - startNs < context.timing.durationNs
        progress?.clear()
        result.take(whole, context.probe)
        result.messages = Double(count * rounds)
        result.seconds = Double(subscribeNs) / 1e9
        result.serverSeconds = serverSeconds
        result.clientSeconds = clientSeconds
        result.extras.append(("unsubscriptions_per_s", Double(count * rounds) / (Double(unsubscribeNs) / 1e9)))
        if let unsubscribeSeconds {
            result.extras.append(
                ("unsub_cpu_s_per_million", unsubscribeSeconds / Double(count * rounds) * 1e6))
        }
        if let rssPerSubscription { result.extras.append(("rss_per_subscription_bytes", rssPerSubscription)) }
        return result
    }

    private func subject(_ number: Int) -> String { "storm.\(number % 997).\(number).confirmed" }

    /// Publishes to a sample of the subjects; a PING behind each side's last line says when all must be there.
    private func verify(_ subscriber: Connection, _ publisher: Connection, expecting: Bool, round: Int) throws {
        let step = max(1, count / SubscribeStorm.samples)
        let numbers = Array(stride(from: round % step, to: count, by: step))
        var text = ""
        for number in numbers { text += "PUB \(subject(number)) 4\r\nstay\r\n" }
        try publisher.say(text)
        try publisher.settle()
        if expecting {
            for number in numbers {
                let head = try nextMessageLine(subscriber)
                let payload = try subscriber.readLine()
                guard head == "MSG \(subject(number)) \(number + 1) 4", payload == "stay" else {
                    throw BenchError.mismatch("expected a message on \(subject(number)), got \(head)")
                }
            }
        }
        // Whatever is delivered too much stands before this PONG, and is no line that `settle` allows.
        try subscriber.settle()
    }

    private func nextMessageLine(_ connection: Connection) throws -> String {
        while true {
            let line = try connection.readLine()
            if line == "PING" {
                try connection.say("PONG\r\n")
            } else if !line.hasPrefix("INFO") {
                return line
            }
        }
    }
}
