import Reactor
import Testing

@testable import Broker

@Test func timestampsHaveAsManyDigitsAsTheyNeed() {
    #expect(MonitoringText.timestamp(0) == "1970-01-01T00:00:00Z")
    #expect(MonitoringText.timestamp(1_795_254_321_410_413_830) == "2026-11-21T09:45:21.41041383Z")
    #expect(MonitoringText.timestamp(1_795_254_321_000_000_001) == "2026-11-21T09:45:21.000000001Z")
}

@Test func uptimesAreSpelledAsInNATS() {
    let second: Int64 = 1_000_000_000
    for (seconds, text) in [
        (0, "0s"), (-5, "0s"), (59, "59s"), (60, "1m0s"), (3_661, "1h1m1s"), (93_784, "1d2h3m4s"), (31_536_000, "1y0d0h0m0s"),
    ] {
        #expect(MonitoringText.uptime(Int64(seconds) * second) == text)
    }
    #expect(MonitoringText.roundTrip(0) == "0s")
    #expect(MonitoringText.roundTrip(570_123) == "570µs")
    #expect(MonitoringText.roundTrip(2_239_183) == "2.239183ms")
    #expect(MonitoringText.roundTrip(UInt64.max).hasSuffix("s"))
}

private func query(_ name: String, _ value: String) -> MonitoringQuery {
    MonitoringQuery(HTTPRequest(method: "GET", path: "/", query: [HTTPField(name, value)]))
}

@Test func parametersAreReadAsGoReadsThem() throws {
    for text in ["1", "t", "T", "true", "TRUE", "True"] { #expect(try query("x", text).bool("x")) }
    for text in ["", "0", "f", "F", "false", "FALSE", "False"] { #expect(try !query("x", text).bool("x")) }
    #expect(throws: MonitoringFailure("Error decoding boolean for 'x': strconv.ParseBool: parsing \"yes\": invalid syntax")) {
        try query("x", "yes").bool("x")
    }
    #expect(try query("x", "-12").int("x") == -12)
    #expect(try query("x", "+12").int("x") == 12)
    #expect(try query("y", "1").int("x") == 0)
    #expect(throws: MonitoringFailure("Error decoding int for 'x': strconv.Atoi: parsing \"0x1\": invalid syntax")) {
        try query("x", "0x1").int("x")
    }
    #expect(throws: MonitoringFailure("Error decoding uint64 for 'x': strconv.ParseUint: parsing \"-1\": invalid syntax")) {
        try query("x", "-1").uint64("x")
    }
    let digits = String(repeating: "9", count: 20)
    #expect(
        throws: MonitoringFailure("Error decoding uint64 for 'x': strconv.ParseUint: parsing \"\(digits)\": value out of range")
    ) {
        try query("x", digits).uint64("x")
    }
}

@Test func pagesNeverLeaveTheirList() throws {
    let list = Array(0..<10)
    for (offset, limit, expected) in [
        (0, 3, [0, 1, 2]), (8, 5, [8, 9]), (10, 1, []), (99, 1, []), (Int.max, Int.max, []), (2, Int.max, Array(2..<10)),
    ] {
        #expect(Array(MonitoringPage(offset: offset, limit: limit).cut(list)) == expected)
    }
    let page = try MonitoringQuery(
        HTTPRequest(method: "GET", path: "/", query: [HTTPField("offset", "-5"), HTTPField("limit", "0")])
    ).page()
    #expect(page.offset == 0 && page.limit == 1_024)
}

@Test func metricsAreEscaped() {
    var text = MetricsText()
    text.family("bellhop_x_total", .counter, "Help.")
    text.sample([("a", "q\"b\\c\nd"), ("b", "")], 3)
    text.single("bellhop_y", .gauge, "More.", 0.5)
    #expect(
        String(decoding: text.bytes, as: UTF8.self) == """
            # HELP bellhop_x_total Help.
            # TYPE bellhop_x_total counter
            bellhop_x_total{a="q\\"b\\\\c\\nd",b=""} 3
            # HELP bellhop_y More.
            # TYPE bellhop_y gauge
            bellhop_y 0.5

            """)
}
