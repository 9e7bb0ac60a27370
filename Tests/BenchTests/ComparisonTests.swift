// Goals, medians, the results file's JSON, and the command line.

import Testing

@testable import bench

struct ComparisonTests {
    private func result(_ rates: [(subject: Double, peer: Double, third: Double?)]) throws -> RowResult {
        let row = try #require(try Row.select("stream-16").first)
        return RowResult(
            row: row, servers: [(.subject, "ours", "1", "ours"), (.peer, "theirs", "2", "theirs")],
            pairs: rates.map { rate in
                var pair: [Side: Measurement] = [:]
                pair[.subject] = Measurement(messages: rate.subject, seconds: 1, serverSeconds: 1)
                pair[.peer] = Measurement(messages: rate.peer, seconds: 1, serverSeconds: 1)
                if let third = rate.third { pair[.third] = Measurement(messages: third, seconds: 1, serverSeconds: 1) }
                return pair
            }, timing: Timing(), command: "bench compare", load: nil)
    }

    @Test func ratiosAreTakenPairByPair() throws {
        let result = try result([(80, 10, nil), (10, 10, nil), (300, 20, nil)])
        #expect(result.advantage(.rate, of: .subject) == Spread([1, 8, 15]))
        #expect(result.spread(.rate, .subject)?.median == 80)
    }

    @Test func aGoalHoldsAsGivenOrAtMostOfTheYardstick() throws {
        let goal = Goal.rate(8)
        #expect(try result([(80, 10, nil)]).verdict(goal) == Verdict(holds: true, bound: 8, byThird: false))
        #expect(try result([(70, 10, nil)]).verdict(goal)?.holds == false)
        let eased = try #require(try result([(70, 10, 80)]).verdict(goal))
        #expect(eased.holds && eased.byThird && abs(eased.bound - 6.8) < 1e-9)
        #expect(try result([(70, 10, 1000)]).verdict(goal)?.holds == false)
    }

    @Test func advantagesReadTheWayGoalsAreWritten() {
        #expect(Metric.cpu.advantage(of: 0.1, over: 1) == 10)
        #expect(Metric.cpu.text(advantage: 10) == "1/10.0")
        #expect(Goal.p50(0.6).text == "0.600x")
        #expect(Metric.rate.text(advantage: 8) == "8.00x")
    }

    @Test func everyRowHasAMetricForEachGoal() {
        for row in Row.all {
            for goal in row.goals { #expect(row.metrics.contains(goal.metric), "\(row.name)") }
        }
        #expect(Set(Row.all.map(\.name)).count == Row.all.count)
        #expect(throws: BenchError.self) { try Row.select("nothing") }
    }

    @Test func pageAndPictureNameEveryRow() throws {
        let result = try result([(80, 10, 90)])
        #expect(Report.markdown([result], chart: "x.svg").contains("8.00x"))
        #expect(Chart.svg([result]).contains("1:1, 16 B"))
    }

    @Test func jsonSurvivesTheRoundTrip() throws {
        let text = #"{"a":[1,-2.5,true,null,"x\"\\\n\u0001é"],"b":{}}"#
        let value = try #require(JSON(parsing: text))
        #expect(JSON(parsing: value.text) == value)
        #expect(JSON(parsing: #""\ud83d\ude00""#) == .string("😀"))
        for bad in ["", "{", "[1,]", "{\"a\"}", "tru", "1 2", "\"\\ud800\"", String(repeating: "[", count: 100_000)] {
            #expect(JSON(parsing: bad) == nil, "\(bad.prefix(20))")
        }
    }

    @Test func jsonReaderTakesAnyBytes() {
        let pieces = ["{", "}", "[", "]", ",", ":", "\"", "\\", "u", "1", "-", "e", "true", "null", " ", "é"]
        var random = SplitMix(state: 9)
        for _ in 0..<20_000 {
            var text = ""
            for _ in 0..<random.next() % 20 { text += pieces[Int(random.next() % UInt64(pieces.count))] }
            if let value = JSON(parsing: text) { #expect(JSON(parsing: value.text) == value, "\(text)") }
        }
    }

    @Test func optionsWithUnits() throws {
        var arguments = Arguments(["--size=16K", "--rate", "2M", "--duration", "500ms", "--warmup", "1.5", "--json"])
        #expect(try arguments.integer("--size", 16...1_000_000, unit: 1024) == 16_384)
        #expect(try arguments.integer("--rate", 1...10_000_000) == 2_000_000)
        #expect(try arguments.duration("--duration") == 500_000_000)
        #expect(try arguments.duration("--warmup") == 1_500_000_000)
        let json = arguments.flag("--json")
        #expect(json)
        try arguments.finish()
        var wrong = Arguments(["--size", "many", "--what"])
        #expect(throws: BenchError.self) { try wrong.integer("--size", 1...2) }
        #expect(throws: BenchError.self) { try wrong.finish() }
    }

    @Test func numbersReadWell() {
        #expect(Format.fixed(1.005, 2) == "1.00" || Format.fixed(1.005, 2) == "1.01")
        #expect(Format.fixed(-0.04, 1) == "0.0" && Format.fixed(12.06, 1) == "12.1")
        #expect(Format.count(41_800_000) == "41.8M" && Format.bytes(1536) == "1.50 KiB")
        #expect(Format.duration(ns: 93_000) == "93.0 µs")
    }

    @Test func hexDigitsInOrder() {
        for value: UInt32 in [0, 1, 0xDEAD_BEEF, 0x0123_4567, 0x89AB_CDEF, .max] {
            var bytes = [UInt8](repeating: 0, count: 8)
            Hex.put(value, into: &bytes, at: 0)
            let plain = String(value, radix: 16)
            #expect(String(decoding: bytes, as: UTF8.self) == String(repeating: "0", count: 8 - plain.count) + plain)
        }
    }
}
