// Limits, discard policies, interest and workqueue retention, updates, restarts.

import Store
import Testing

@testable import Broker

@Suite struct StreamLimitTests {
    @Test func discardsOldMessages() throws {
        let kit = try StreamKit { $0.maxMessages = 2 }
        for number in 1...4 { kit.publish("s.\(number)") }
        #expect(kit.stored == ["3 s.3  ", "4 s.4  "])
        let bytes = try StreamKit { $0.maxBytes = 100 }
        bytes.publish("s.a")
        // Too large for the stream: stored, and gone at once.
        #expect(bytes.publish("s.a", String(repeating: "x", count: 100)) == #"{"stream":"S","seq":2}"#)
        #expect(bytes.log.state.messages == 0)
        bytes.publish("s.a", "0123456789")
        #expect(bytes.log.state.bytes == 43)
    }

    @Test func keepsSomeOfEachSubject() throws {
        let kit = try StreamKit { $0.maxMessagesPerSubject = 2 }
        for number in 1...3 { for subject in ["s.a", "s.b"] { kit.publish(subject, "\(number)") } }
        #expect(kit.stored == ["3 s.a  2", "4 s.b  2", "5 s.a  3", "6 s.b  3"])
    }

    @Test func refusesNewMessages() throws {
        let kit = try StreamKit {
            $0.discard = .new
            $0.maxMessages = 1
        }
        kit.publish("s.a")
        #expect(kit.publish("s.a").contains("maximum messages exceeded"))
        let bytes = try StreamKit {
            $0.discard = .new
            $0.maxBytes = 100
        }
        bytes.publish("s.a")
        let answer = bytes.publish("s.a", String(repeating: "x", count: 100))
        #expect(errorCode(answer) == 10077 && answer.contains("maximum bytes exceeded"))
    }

    @Test func aSubjectAtItsLimitReplacesItsOldest() throws {
        let kit = try StreamKit {
            $0.discard = .new
            $0.maxMessages = 2
            $0.maxMessagesPerSubject = 1
        }
        kit.publish("s.a", "1")
        kit.publish("s.b", "1")
        #expect(errorCode(kit.publish("s.c")) == 10077)
        #expect(errorCode(kit.publish("s.a", "2")) == nil)
        #expect(kit.stored == ["2 s.b  1", "3 s.a  2"])
    }

    @Test func oneNoLargerTakesTheOldestsPlace() throws {
        let kit = try StreamKit {
            $0.discard = .new
            $0.maxBytes = 50
            $0.maxMessagesPerSubject = 1
        }
        let full = String(repeating: "x", count: 17)
        #expect(errorCode(kit.publish("s.a", full)) == nil)
        #expect(errorCode(kit.publish("s.a", full)) == nil && kit.log.state.bytes == 50)
        #expect(errorCode(kit.publish("s.a", full + "x")) == 10077)
    }

    /// A message that is rolled up has its place in the limits first, as on nats-server.
    @Test func limitsComeBeforeRollups() throws {
        let kit = try StreamKit {
            $0.maxMessages = 3
            $0.allowRollup = true
        }
        for subject in ["s.a", "s.b", "s.b"] { kit.publish(subject) }
        kit.publish("s.b", "", ["Nats-Rollup": "sub"])
        #expect(kit.stored == ["4 s.b Nats-Rollup: sub| "])
    }

    @Test func refusesNewMessagesOfASubject() throws {
        let kit = try StreamKit {
            $0.discard = .new
            $0.discardNewPerSubject = true
            $0.maxMessagesPerSubject = 1
            $0.allowRollup = true
        }
        kit.publish("s.a")
        #expect(kit.publish("s.a").contains("maximum messages per subject exceeded"))
        #expect(errorCode(kit.publish("s.a", "", ["Nats-Rollup": "sub"])) == nil)
        #expect(kit.log.state.messages == 1)
    }

    @Test func asksTheAccountForRoom() throws {
        let kit = try StreamKit()
        kit.stream.roomForBytes = { $0 + $1 > 50 ? .accountResourcesExceeded : nil }
        #expect(errorCode(kit.publish("s.a")) == nil)
        #expect(errorCode(kit.publish("s.a", String(repeating: "x", count: 40))) == 10002)
        #expect(errorCode(kit.publish("s.a", "", ["A": String(repeating: "x", count: 40)])) == 10002)
    }

    @Test func anUpdateEnforcesItsLimits() throws {
        let kit = try StreamKit()
        for number in 1...6 { kit.publish("s.\(number % 2)") }
        var config = kit.stream.config
        config.maxMessagesPerSubject = 2
        kit.stream.update(config)
        #expect(kit.log.state.messages == 4)
        config.maxMessages = 1
        kit.stream.update(config)
        #expect(kit.log.state.messages == 1 && kit.log.state.firstSequence == 6)
        config.maxAgeNs = 1_000_000_000
        kit.stream.update(config)
        kit.pass(1.5)
        #expect(kit.log.state.messages == 0)
    }

    @Test func beginsWhereItIsTold() throws {
        let kit = try StreamKit { $0.firstSequence = 1000 }
        #expect(kit.publish("s.a") == #"{"stream":"S","seq":1000}"#)
    }

    // MARK: Retention

    private func consumer(_ name: String, _ kit: StreamKit, _ filter: String = "") -> Consumer {
        var config = ConsumerConfig()
        config.durable = name
        config.ackPolicy = .explicit
        config.ackWaitNs = 30_000_000_000
        config.maxDeliver = -1
        config.filterSubject = filter
        return kit.registry.create(config)
    }

    @Test func withoutInterestNothingIsStored() throws {
        let kit = try StreamKit { $0.retention = .interest }
        #expect(kit.publish("s.a") == #"{"stream":"S","seq":1}"#)
        #expect(kit.publish("s.a", "", ["Nats-Msg-Id": "1", "Nats-Expected-Last-Sequence": "1"]) == #"{"stream":"S","seq":2}"#)
        #expect(kit.publish("s.a", "", ["Nats-Msg-Id": "1"]).contains("duplicate"))
        #expect(kit.log.state.messages == 0 && kit.log.state.lastSequence == 2)
        _ = consumer("c", kit, "s.b")
        kit.publish("s.a")
        kit.publish("s.b")
        #expect(kit.stored == ["4 s.b  "])
    }

    @Test func interestGoesWithTheConsumer() throws {
        let kit = try StreamKit { $0.retention = .interest }
        let a = consumer("a", kit, "s.a"), all = consumer("all", kit)
        kit.publish("s.a")
        kit.publish("s.b")
        kit.registry.delete(all)
        kit.turn()
        #expect(kit.stored == ["1 s.a  "])
        kit.registry.delete(a)
        kit.turn()
        #expect(kit.log.state.messages == 0)
    }

    @Test func aWorkqueueKeepsWhatNobodyHasTaken() throws {
        let kit = try StreamKit { $0.retention = .workqueue }
        let c = consumer("c", kit, "s.a")
        kit.publish("s.a")
        kit.publish("s.b")
        kit.stream.consumer(c, isDoneWith: 1)
        kit.turn()
        #expect(kit.stored == ["2 s.b  "])
        kit.registry.delete(c)
        kit.turn()
        #expect(kit.stored == ["2 s.b  "])
    }

    // MARK: Restarts

    @Test func aRestartKeepsTheWindow() throws {
        let kit = try StreamKit { $0.duplicateWindowNs = 10_000_000_000 }
        kit.publish("s.a", "", ["Nats-Msg-Id": "1"])
        kit.publish("s.a", "", ["Nats-Msg-Id": "2"])
        try kit.restart(after: 5)
        #expect(kit.publish("s.a", "", ["Nats-Msg-Id": "1"]).contains("duplicate"))
        #expect(kit.publish("s.a", "", ["Nats-Expected-Last-Msg-Id": "2"]) == #"{"stream":"S","seq":3}"#)
        kit.pass(6)
        #expect(kit.publish("s.a", "", ["Nats-Msg-Id": "1"]) == #"{"stream":"S","seq":4}"#)
    }

    /// A message that a restart reads for its time to live is too old for the window, and does not hide a later one.
    @Test func aRestartKeepsTheLaterOfAnID() throws {
        let kit = try StreamKit {
            $0.duplicateWindowNs = 10_000_000_000
            $0.allowMessageTTL = true
        }
        kit.publish("s.a", "", ["Nats-Msg-Id": "1", "Nats-TTL": "3600"])
        kit.pass(11)
        #expect(kit.publish("s.b", "", ["Nats-Msg-Id": "1"]) == #"{"stream":"S","seq":2}"#)
        try kit.restart()
        #expect(kit.publish("s.c", "", ["Nats-Msg-Id": "1"]) == #"{"stream":"S","seq":2,"duplicate": true}"#)
    }

    @Test func theWindowOutlivesTheMessage() throws {
        let kit = try StreamKit { $0.duplicateWindowNs = 10_000_000_000 }
        kit.publish("s.a", "", ["Nats-Msg-Id": "1"])
        _ = kit.request(Stream.purge)
        #expect(kit.publish("s.a", "", ["Nats-Msg-Id": "1"]).contains("duplicate"))
        kit.pass(30)
        #expect(kit.stream.duplicates.count == 0)
    }

    /// What it replaces need not be read for that.
    @Test func withDiscardNewAMessageReplacesOneOnTheDisk() throws {
        let kit = try StreamKit(disk: ColdDisk()) {
            $0.discard = .new
            $0.maxMessagesPerSubject = 1
            $0.maxBytes = 34 + 300_033
        }
        kit.publish("s.a", "1")
        // So large that what is read of it after the restart brings nothing else.
        kit.publish("s.b", String(repeating: "x", count: 300_000))
        #expect(errorCode(kit.publish("s.c", "1")) == 10077)
        try kit.restart()
        #expect(kit.publish("s.a", "2") == #"{"stream":"S","seq":3}"#)
        #expect(errorCode(kit.publish("s.a", "22")) == 10077)
    }
}
