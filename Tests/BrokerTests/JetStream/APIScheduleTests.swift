import Testing
import Wire

@testable import Broker

private func next(_ pattern: String, _ zone: String, _ after: String, now: String? = nil) throws -> String {
    let time = try Timestamp.parse(after)
    let due = try MessageSchedule.next(pattern, timeZone: zone, after: time, now: now.map { try Timestamp.parse($0) } ?? time)
    return Timestamp.text(due.dueNs) + (due.repeats ? "" : " once")
}

/// The times were worked out second by second with another calendar (Python's zoneinfo).
@Test func apiCronPatterns() throws {
    let times = [
        ("0 0 0 * * *", "UTC", "2026-11-21T10:00:00Z", "2026-11-22T00:00:00Z"),
        ("*/15 * * * * *", "UTC", "2026-11-21T10:00:00Z", "2026-11-21T10:00:15Z"),
        ("0 30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-30T00:30:00Z"),
        ("0 30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"),
        ("0 30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"),
        ("0 0 9 * * MON-FRI", "America/New_York", "2026-11-20T15:00:00Z", "2026-11-23T14:00:00Z"),
        ("0 0 0 29 2 *", "UTC", "2026-11-21T10:00:00Z", "2028-02-29T00:00:00Z"),
        ("0 0 0 31 * *", "Asia/Kolkata", "2026-11-21T10:00:00Z", "2026-12-30T18:30:00Z"),
        ("0 0 12 13 * 5", "UTC", "2026-11-14T00:00:00Z", "2026-11-20T12:00:00Z"),
        ("0 0 12 1/7 * ?", "UTC", "2026-11-21T10:00:00Z", "2026-11-22T12:00:00Z"),
        ("5/20 59 23 31 DEC *", "Pacific/Auckland", "2026-11-21T10:00:00Z", "2026-12-31T10:59:05Z"),
        ("0 0 * * * *", "Asia/Kathmandu", "2026-11-21T10:00:00Z", "2026-11-21T10:15:00Z"),
        ("0 0 0 * * *", "Australia/Lord_Howe", "2040-04-01T00:00:00Z", "2040-04-01T13:30:00Z"),
        ("0 15 2 * * *", "Australia/Lord_Howe", "2040-10-06T00:00:00Z", "2040-10-07T15:15:00Z"),
        ("0 0 3 * 3 0", "America/Sao_Paulo", "2050-01-01T00:00:00Z", "2050-03-06T06:00:00Z"),
        ("30 0 0 * * *", "America/Sao_Paulo", "2017-10-14T12:00:00Z", "2017-10-16T02:00:30Z"),
        ("0 0 0 1 1 *", "Etc/GMT+5", "2026-11-21T10:00:00Z", "2027-01-01T05:00:00Z"),
        ("0 0 1 * * *", "Europe/Dublin", "2030-10-26T12:00:00Z", "2030-10-27T00:00:00Z"),
        ("0 0 6 * * SUN", "America/Nuuk", "2035-03-24T12:00:00Z", "2035-03-25T07:00:00Z"),
    ]
    for (pattern, zone, after, due) in times { #expect(try next(pattern, zone, after) == due, "\(pattern) in \(zone)") }
}

@Test func apiSchedules() throws {
    let saturday = "2026-11-21T10:00:00.2Z"
    #expect(try next("@at 2026-11-21T10:00:00.5+01:00", "", saturday) == "2026-11-21T09:00:00.5Z once")
    #expect(try next("@every 90s", "", saturday) == "2026-11-21T10:01:30Z")
    #expect(try next("@every 90s", "", "2026-11-21T10:00:00.7Z") == "2026-11-21T10:01:31Z")
    #expect(try next("@every 1m", "", saturday, now: "2026-11-21T12:00:30Z") == "2026-11-21T12:01:30Z")
    #expect(try next("@daily", "", saturday, now: "2026-11-25T12:00:30Z") == "2026-11-26T00:00:00Z")
    #expect(try next("@hourly", "", saturday) == "2026-11-21T11:00:00Z")
    #expect(try next("@weekly", "", saturday) == "2026-11-22T00:00:00Z")
    #expect(try next("@monthly", "", saturday) == "2026-12-01T00:00:00Z")
    #expect(try next("@yearly", "", saturday) == "2027-01-01T00:00:00Z")
}

/// What nats-server 2.15.1 takes and refuses.
@Test func apiSchedulePatternsThatAreNone() throws {
    let time = try Timestamp.parse("2026-11-21T10:00:00Z")
    let patterns = [
        "@at x", "@at  2040-01-01T00:00:00Z", "@every 999ms", "@every x", "@every", "@every -5s", "* * * * *", "60 * * * * *",
        "0 0 0 31 2 *", "0 0 0 30 2 ?", "*/0 * * * * *", ", * * * * *", "0 0 0 ? * 7", "5-1 * * * * *", "1-2-3 * * * * *",
        "1/2/3 * * * * *", "-1 * * * * *", "@daily ", "@Daily", "@reboot", "TZ=UTC * * * * * *", "x * * * * *",
    ]
    for pattern in patterns {
        #expect(throws: MessageSchedule.Failure.pattern, "\(pattern)") {
            try MessageSchedule.next(pattern, timeZone: "", after: time, now: time)
        }
    }
    for pattern in [
        "1-5/2 * * * * *", "1,2,,3 * * * * *", "+1 * * * * *", "  *   * *  * * *  ", "*-5 * * * * *", "?/5 * * * * *",
    ] {
        _ = try MessageSchedule.next(pattern, timeZone: "", after: time, now: time)
    }
    for zone in ["Nope", "europe/berlin", "../etc/passwd", "/etc/passwd", "Europe", "a\\b", "UTC/", "Europe/Berlin\0x"] {
        #expect(throws: MessageSchedule.Failure.timeZone, "\(zone)") {
            try MessageSchedule.next("* * * * * *", timeZone: zone, after: time, now: time)
        }
    }
    for pattern in ["@at 2040-01-01T00:00:00Z", "@every 1h"] {
        #expect(throws: MessageSchedule.Failure.pattern) {
            try MessageSchedule.next(pattern, timeZone: "UTC", after: time, now: time)
        }
    }
}

/// A time zone file that is damaged is none, or another one; it never takes the broker down.
@Test func apiTimeZoneFilesThatAreDamaged() throws {
    // Two changes and a rule, as zic writes them: an empty first half, then the 64-bit one.
    func number(_ value: Int64, _ size: Int) -> [UInt8] {
        (0..<size).map { UInt8(truncatingIfNeeded: value >> Int64(8 * (size - 1 - $0))) }
    }
    func header(_ times: Int64, _ types: Int64, _ characters: Int64) -> [UInt8] {
        Array("TZif2".utf8) + [UInt8](repeating: 0, count: 15) + [0, 0, 0, times, types, characters].flatMap { number($0, 4) }
    }
    var file = header(0, 1, 1) + number(0, 4) + [0, 0, 0]
    file += header(2, 2, 8) + number(1_000_000, 8) + number(2_000_000, 8) + [1, 0]
    file +=
        number(3600, 4) + [0, 0] + number(7200, 4) + [1, 4] + Array("CET\0CES\0".utf8)
        + Array("\nCET-1CEST,M3.5.0,M10.5.0/3\n".utf8)
    let rules = try #require(TimeZoneRules.parse(file))
    #expect([0, 1_500_000, 2_000_000].map { rules.offset(at: $0) } == [3600, 7200, 3600])
    // Only the rule is left to say what holds in the summer of 2026.
    #expect(rules.offset(at: try Timestamp.parse("2026-07-01T00:00:00Z") / 1_000_000_000) == 7200)
    for length in 0..<file.count { _ = TimeZoneRules.parse(Array(file.prefix(length)))?.offset(at: 1_800_000_000) }
    for place in file.indices {
        for bit in 0..<8 {
            var damaged = file
            damaged[place] ^= 1 << UInt8(bit)
            guard let rules = TimeZoneRules.parse(damaged) else { continue }
            _ = CronPattern("0 30 2 * * *")?.next(after: 1_800_000_000_000_000_000, in: rules)
        }
    }
}

@Test func apiHeadersAreFoundByName() {
    let block = Array("NATS/1.0\r\nNats-Msg-Id:  a b \r\nnats-ttl: 5\r\nNats-TTL:6\r\nNats-TTL: 7\r\nEmpty:\r\n\r\n".utf8)
    block.withUnsafeBytes { raw in
        let view = ByteView(raw)
        #expect(HeaderBlock.value(of: "Nats-Msg-Id", in: view)?.string == "a b ")
        #expect(HeaderBlock.value(of: "Nats-TTL", in: view)?.string == "6")
        #expect(HeaderBlock.value(of: "Empty", in: view)?.string == "")
        #expect(HeaderBlock.value(of: "Nats-Msg", in: view) == nil)
        for count in 0..<view.count { _ = HeaderBlock.value(of: "Nats-TTL", in: ByteView(view.base, count)) }
    }
    Array("NATS/1.0 404 No Messages\r\n\r\n".utf8).withUnsafeBytes { #expect(HeaderBlock.status(ByteView($0)) == 404) }
    Array("NATS/1.0\r\nA: b\r\n\r\n".utf8).withUnsafeBytes { #expect(HeaderBlock.status(ByteView($0)) == nil) }
}
