// What time does to a stream: max_age, Nats-TTL, delete markers, schedules.

import Store
import Testing

@testable import Broker

@Suite struct StreamExpiryTests {
    @Test func messagesGrowTooOld() throws {
        let kit = try StreamKit { $0.maxAgeNs = 10_000_000_000 }
        kit.publish("s.a")
        kit.pass(6)
        kit.publish("s.b")
        kit.pass(3.9)
        #expect(kit.log.state.messages == 2)
        kit.pass(0.3)
        #expect(kit.stored == ["2 s.b  "])
        kit.pass(10)
        #expect(kit.log.state.messages == 0 && kit.stream.nextDeadlineNs == nil)
    }

    @Test func oldMessagesGoAtTheStart() throws {
        let kit = try StreamKit { $0.maxAgeNs = 10_000_000_000 }
        kit.publish("s.a")
        try kit.restart(after: 20)
        kit.pass(0.01)
        #expect(kit.log.state.messages == 0)
    }

    @Test func readsTimesToLive() throws {
        let kit = try StreamKit { $0.allowMessageTTL = true }
        for good in ["1", "1s", "1500ms", "never", "", "2m", "1h2m3s", " 3", "9999999999999"] {
            #expect(errorCode(kit.publish("s.a", "", ["Nats-TTL": good])) == nil, "\(good)")
        }
        for bad in ["0", "0s", "500ms", "junk", "-1", "-1s", "99999999999999999999"] {
            #expect(errorCode(kit.publish("s.a", "", ["Nats-TTL": bad])) == 10165, "\(bad)")
        }
        #expect(kit.log.state.messages == 9)
        // Whole seconds count.
        kit.pass(1.4)
        #expect(kit.log.state.messages == 6)
        kit.pass(4000)
        #expect(kit.stored.map { $0.prefix(1) } == ["4", "5", "9"])
    }

    @Test func timesToLiveSurviveARestart() throws {
        let kit = try StreamKit {
            $0.allowMessageTTL = true
            $0.maxAgeNs = 60_000_000_000
        }
        kit.publish("s.a", "", ["Nats-TTL": "20s"])
        kit.publish("s.b", "", ["Nats-TTL": "never"])
        kit.publish("s.c")
        try kit.restart(after: 5)
        kit.pass(14)
        #expect(kit.log.state.messages == 3)
        kit.pass(2)
        #expect(kit.log.state.messages == 2)
        kit.pass(100)
        #expect(kit.stored == ["2 s.b Nats-TTL: never| "])
    }

    @Test func leavesMarkers() throws {
        let kit = try StreamKit {
            $0.allowMessageTTL = true
            $0.allowRollup = true
            $0.subjectDeleteMarkerTTLNs = 5_000_000_000
            $0.maxMessagesPerSubject = 1
        }
        kit.publish("s.a", "", ["Nats-TTL": "1s"])
        kit.publish("s.b", "", ["Nats-TTL": "1s", "Nats-Marker-Reason": "MaxAge"])
        kit.publish("s.c", "", ["Nats-TTL": "1"])
        kit.publish("s.c", "kept")
        kit.pass(1.4)
        #expect(
            kit.stored == ["4 s.c  kept", "5 s.a Nats-Marker-Reason: MaxAge|Nats-TTL: 5s|Nats-Rollup: sub| "])
        kit.pass(6)
        #expect(kit.stored == ["4 s.c  kept"])
    }

    /// A marker rolls up its subject: it must not take with it what still has time.
    @Test(arguments: [StorageType.file, .memory]) func aMessageThatGoesFirstLeavesTheOthers(storage: StorageType) throws {
        let kit = try StreamKit {
            $0.storage = storage
            $0.allowMessageTTL = true
            $0.allowRollup = true
            $0.subjectDeleteMarkerTTLNs = 1_000_000_000
        }
        kit.publish("s.a", "for ever")
        kit.publish("s.a", "", ["Nats-TTL": "1"])
        kit.publish("s.b", "longer", ["Nats-TTL": "3"])
        kit.publish("s.b", "", ["Nats-TTL": "1"])
        kit.pass(1.5)
        #expect(kit.stored == ["1 s.a  for ever", "3 s.b Nats-TTL: 3| longer"])
        kit.pass(2)
        #expect(kit.stored == ["1 s.a  for ever", "5 s.b Nats-Marker-Reason: MaxAge|Nats-TTL: 1s|Nats-Rollup: sub| "])
    }

    @Test func aMarkerRaisesShorterTimes() throws {
        let kit = try StreamKit {
            $0.allowMessageTTL = true
            $0.allowRollup = true
            $0.subjectDeleteMarkerTTLNs = 2_000_000_000
        }
        for ttl in ["1", "1500ms", "3"] { kit.publish("s.a", "", ["Nats-TTL": ttl]) }
        #expect(kit.stored == ["1 s.a Nats-TTL: 2| ", "2 s.a Nats-TTL: 2| ", "3 s.a Nats-TTL: 3| "])
    }

    @Test func markersAfterMaxAge() throws {
        let kit = try StreamKit {
            $0.maxAgeNs = 1_000_000_000
            $0.duplicateWindowNs = 1_000_000_000
            $0.allowMessageTTL = true
            $0.allowRollup = true
            $0.subjectDeleteMarkerTTLNs = 2_000_000_000
        }
        kit.publish("s.a")
        kit.publish("s.a", "", ["Nats-TTL": "never"])
        for subject in ["s.b", "s.b"] { kit.publish(subject) }
        kit.publish("s.c", "", ["Nats-TTL": "9s"])
        kit.pass(2.2)
        let marker = "Nats-Marker-Reason: MaxAge|Nats-TTL: 2s|Nats-Rollup: sub| "
        #expect(kit.stored == ["2 s.a Nats-TTL: never| ", "6 s.b \(marker)", "7 s.c \(marker)"])
        kit.pass(5)
        // Markers are not followed by markers.
        #expect(kit.stored == ["2 s.a Nats-TTL: never| "] && kit.log.state.lastSequence == 7)
        // The message of nine seconds has gone at max_age; when its time comes, nothing is left to wait for.
        kit.pass(3)
        #expect(kit.stream.nextDeadlineNs == nil)
    }

    @Test func rewrittenTimesCostNoMemory() throws {
        let kit = try StreamKit {
            $0.allowMessageTTL = true
            $0.maxMessagesPerSubject = 1
        }
        for _ in 0..<5000 { kit.send("s.a", "", ["Nats-TTL": "1h"]) }
        kit.turn()
        #expect(kit.stream.expiries.count < 2100 && kit.log.state.messages == 1)
    }

    // MARK: Schedules

    private func scheduling() throws -> StreamKit {
        try StreamKit {
            $0.allowMessageSchedules = true
            $0.allowMessageTTL = true
            $0.allowRollup = true
        }
    }

    @Test func checksSchedules() throws {
        let kit = try scheduling()
        let target = "Nats-Schedule-Target", pattern = "Nats-Schedule"
        let cases: [(KeyValuePairs<String, String>, Int?)] = [
            ([pattern: "@every 1ms", target: "s.t"], 10189), ([pattern: "x", target: "s.t"], 10189),
            ([pattern: "@every 1s"], 10190), ([pattern: "@every 1s", target: "s.bad"], 10190),
            ([pattern: "@every 1s", target: "q.t"], 10190), ([pattern: "@every 1s", target: "s.*"], 10190),
            ([pattern: "@every 1s", target: "s.t", "Nats-Schedule-TTL": "x"], 10191),
            ([pattern: "@every 1s", target: "s.t", "Nats-Schedule-Rollup": "all"], 10192),
            ([pattern: "@every 1s", target: "s.t", "Nats-Schedule-Source": "s.*"], 10203),
            ([pattern: "@every 1s", target: "s.t", "Nats-Schedule-Source": "s.t"], 10203),
            ([pattern: "@every 1s", target: "s.t", "Nats-Schedule-Source": "outside"], 10203),
            ([pattern: "@every 1s", target: "s.t", "Nats-Schedule-Time-Zone": "UTC"], 10189),
            ([pattern: "0 0 0 1 1 *", target: "s.t", "Nats-Schedule-Time-Zone": "Nowhere/X"], 10223),
            ([pattern: "@every 1s", target: "s.t", "Nats-Rollup": "all"], 10192),
            (["Nats-Scheduler": "x"], 10212), (["Nats-Schedule-Next": "purge"], 10212),
            (["Nats-Schedule-Next": "purge", "Nats-Scheduler": "s.bad"], 10212),
            (["Nats-Schedule-Next": "zz", "Nats-Scheduler": "s.b"], 10212), ([target: "s.t"], nil),
            ([pattern: "@every 1s", target: "s.t", "Nats-Rollup": "sub"], nil),
            (["Nats-Schedule-Next": "purge", "Nats-Scheduler": "s.nobody"], nil),
        ]
        for (headers, code) in cases {
            let answer = kit.publish("s.bad", "", headers)
            #expect(errorCode(answer) == code, "\(headers) \(answer)")
        }
    }

    @Test func firesOnce() throws {
        let kit = try scheduling()
        kit.publish(
            "s.a", "body",
            [
                "Nats-Schedule": "@at 2020-01-01T00:00:00Z", "Nats-Schedule-Target": "s.t", "X": "1", "Nats-Schedule-TTL": "5m",
                "Nats-Msg-Id": "m",
            ])
        #expect(kit.stored[0].contains("Nats-Rollup: sub|"))
        kit.pass(0.6)
        #expect(kit.stored == ["2 s.t X: 1|Nats-Scheduler: s.a|Nats-Schedule-Next: purge|Nats-TTL: 5m| body"])
        kit.pass(301)
        #expect(kit.log.state.messages == 0 && kit.log.state.lastSequence == 2)
    }

    /// What a schedule makes of another one's message ends the schedule that it was made by, and is made once.
    @Test func aSourceThatAScheduleHasMade() throws {
        let kit = try scheduling()
        let now = "@at 2020-01-01T00:00:00Z"
        kit.publish("s.a", "body", ["Nats-Schedule": now, "Nats-Schedule-Target": "s.t", "X": "1"])
        kit.pass(0.6)
        kit.publish("s.b", "", ["Nats-Schedule": now, "Nats-Schedule-Target": "s.u", "Nats-Schedule-Source": "s.t"])
        kit.pass(0.6)
        let made = [
            "2 s.t X: 1|Nats-Scheduler: s.a|Nats-Schedule-Next: purge| body",
            "4 s.u X: 1|Nats-Scheduler: s.b|Nats-Schedule-Next: purge| body",
        ]
        #expect(kit.stored == made)
        try kit.restart(after: 10)
        kit.pass(10)
        #expect(kit.stored == made)
    }

    /// A subject has one schedule, and what comes behind it on the subject ends it.
    @Test func aLaterMessageEndsASchedule() throws {
        let kit = try scheduling()
        for subject in ["s.a", "s.b"] {
            kit.publish(subject, "", ["Nats-Schedule": "@every 1s", "Nats-Schedule-Target": "s.t"])
        }
        kit.publish("s.a", "plain")
        kit.publish("s.b", "other", ["X": "1"])
        kit.pass(5)
        #expect(kit.log.state.messages == 4)
        try kit.restart(after: 5)
        kit.pass(5)
        #expect(kit.log.state.messages == 4)
    }

    /// After a restart a schedule goes on from its last firing, and not from its beginning.
    @Test func aRestartDoesNotFireAgain() throws {
        let kit = try scheduling()
        kit.publish("s.a", "", ["Nats-Schedule": "@every 60s", "Nats-Schedule-Target": "s.t"])
        kit.pass(61)
        #expect(kit.log.state.messages == 2)
        try kit.restart(after: 10)
        kit.pass(10)
        #expect(kit.log.state.messages == 2)
        kit.pass(42)
        #expect(kit.log.state.messages == 3)
    }

    @Test func firesAgainAndAgain() throws {
        let kit = try scheduling()
        kit.publish("s.src", "content", ["C": "d"])
        kit.publish(
            "s.b", "own", ["Nats-Schedule": "@every 1s", "Nats-Schedule-Target": "s.t", "Nats-Schedule-Source": "s.src"])
        kit.pass(3.1)
        let fired = kit.stored.filter { $0.contains(" s.t ") }
        #expect(fired.count == 3 && fired.allSatisfy { $0.contains("C: d|Nats-Scheduler: s.b|Nats-Schedule-Next: 20") })
        #expect(fired.allSatisfy { $0.hasSuffix("Z| content") })
        try kit.restart(after: 10)
        kit.pass(0.3)
        // What was missed fires once.
        #expect(kit.stored.filter { $0.contains(" s.t ") }.count == 4)
        kit.publish("s.x", "", ["Nats-Schedule-Next": "purge", "Nats-Scheduler": "s.b"])
        #expect(!kit.stored.contains { $0.contains(" s.b ") })
        let count = kit.log.state.messages
        kit.pass(5)
        #expect(kit.log.state.messages == count)
    }

    /// The schedule has fired even if nobody is interested in what it makes.
    @Test func aFiringThatNobodyWantsEndsTheSchedule() throws {
        let kit = try StreamKit(keepsConsumers: true) {
            $0.retention = .interest
            $0.allowMessageSchedules = true
            $0.allowRollup = true
        }
        _ = StreamConsumerTests.consumer(kit, filter: "s.a")
        kit.publish("s.a", "", ["Nats-Schedule": "@at 2020-01-01T00:00:00Z", "Nats-Schedule-Target": "s.t"])
        #expect(kit.log.state.messages == 1)
        kit.pass(1)
        #expect(kit.log.state.messages == 0 && kit.log.state.lastSequence == 2)
        kit.pass(10)
        #expect(kit.log.state.lastSequence == 2)
    }

    // MARK: Recovery

    /// A timer may run out while the stream still reads which of its messages never expire.
    @Test func nothingExpiresBeforeItsTimeIsKnown() throws {
        let kit = try StreamKit(disk: ColdDisk()) {
            $0.allowMessageTTL = true
            $0.maxAgeNs = 10_000_000_000
        }
        kit.publish("s.a", "", ["Nats-TTL": "never"])
        kit.publish("s.b")
        try kit.restart(after: 30, advancesFirst: true)
        kit.pass(1)
        #expect(kit.stored == ["1 s.a Nats-TTL: never| "])
    }

    /// The longest times that JSON can say.
    @Test func timesThatNeverComeOverflowNothing() throws {
        let kit = try StreamKit {
            $0.duplicateWindowNs = .max
            $0.maxAgeNs = .max
            $0.allowMessageTTL = true
            $0.subjectDeleteMarkerTTLNs = .max
            $0.allowMessageSchedules = true
        }
        #expect(errorCode(kit.publish("s.a", "", ["Nats-Msg-Id": "x", "Nats-TTL": "9223372036854775807"])) == nil)
        let target = ("Nats-Schedule-Target", "s.t")
        _ = kit.publish("s.s", "", ["Nats-Schedule": "@every 2540400h", target.0: target.1])
        _ = kit.publish("s.u", "", ["Nats-Schedule": "@at 9999-12-31T23:59:59Z", target.0: target.1])
        _ = kit.stream.nextDeadlineNs
        kit.pass(2)
        #expect(kit.publish("s.a", "", ["Nats-Msg-Id": "x"]).contains("duplicate"))
        try kit.restart(after: 1)
        #expect(kit.publish("s.a", "", ["Nats-Msg-Id": "x"]).contains("duplicate"))
    }
}
