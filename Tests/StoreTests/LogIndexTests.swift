import Testing
import Wire

@testable import Store

/// SplitMix64: the same numbers for the same seed on every machine.
struct SplitMix: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

func withView<R>(_ text: String, _ body: (ByteView) throws -> R) rethrows -> R {
    try Array(text.utf8).withUnsafeBytes { try body(ByteView($0)) }
}

@Test func logSubjectTableFindsWhatItHolds() throws {
    let index = MessageIndex()
    for n in 1...5_000 {
        let id = try #require(withView("booking.\(n % 500).confirmed") { index.table.number($0) })
        index.append(UInt64(n), id, place: n * 8, size: 100, marks: [], owner: UInt64(n / 1_000), timeNs: 0)
    }
    #expect(index.table.count == 500)
    let id = try #require(withView("booking.7.confirmed") { index.table.id(of: $0) })
    #expect(index.table.summary(id) == SubjectSummary(first: 7, last: 4_507, count: 10))
    #expect(index.table.subject(id).string == "booking.7.confirmed")
    for n in 1...4_999 where n % 500 != 7 { _ = index.remove(UInt64(n)) }
    for owner in 0..<4 { index.thin(owner: UInt64(owner)) }
    #expect(index.table.count == 2)
    #expect(index.table.summary(id) == SubjectSummary(first: 7, last: 4_507, count: 10))
    #expect(withView("booking.8.confirmed") { index.table.id(of: $0) } == nil)
}

@Test func logSubjectNumbersComeBackOnlyWithANewEpoch() throws {
    let index = MessageIndex()
    let filter = SubjectFilter(["a.*"], index.table)
    var sequence: UInt64 = 0
    for round in 0..<20 {
        for n in 0..<500 {
            sequence += 1
            let name = (n + round) % 2 == 0 ? "a.\(round)-\(n)" : "b.\(round)-\(n)"
            let id = try #require(withView(name) { index.table.number($0) })
            index.append(sequence, id, place: 8, size: 10, marks: [], owner: UInt64(round), timeNs: 0)
            #expect(filter.matches(id) == name.hasPrefix("a."))
        }
        while index.messages > 0 { _ = index.remove(index.first) }
        index.drop(owner: UInt64(round))
    }
    #expect(index.table.epoch > 0)
    #expect(index.table.idEnd < 4_000)
}

@Test func logMillionSubjectsTakeLessThan200BytesEach() throws {
    let index = MessageIndex()
    for n in 1...1_000_000 {
        let id = try #require(withView("booking.\(n).confirmed") { index.table.number($0) })
        index.append(UInt64(n), id, place: 8, size: 100, marks: [], owner: UInt64(n / 100_000), timeNs: 0)
    }
    let perSubject = index.table.memory / 1_000_000
    #expect(perSubject <= 200, "\(perSubject) bytes")
    // The run that still grows has doubled its memory; all others are tight.
    #expect(index.memory <= 13 * 1_000_000 + 200_000 * 12, "\(index.memory)")
}

/// Random changes and questions, each answer compared with a plain model's.
@Test(arguments: [1, 2, 3, 4, 5, 6] as [UInt64]) func logIndexAgreesWithAModel(seed: UInt64) throws {
    var random = SplitMix(seed: seed)
    let index = MessageIndex()
    let names = (0..<12).map { "s.\($0 % 3).\($0)" }
    let filters = [[], ["s.1.1"], ["s.0.>"], ["s.2.2", "s.2.5"], ["s.*.4", "s.1.7"], ["none"]].map {
        SubjectFilter($0, index.table)
    }
    var model: [UInt64: String] = [:]
    var last: UInt64 = 0, owner: UInt64 = 1
    var owners: [UInt64: UInt64] = [:]
    func passing(_ filter: SubjectFilter, _ range: ClosedRange<UInt64>) -> [UInt64] {
        model.filter { entry in range.contains(entry.key) && withView(entry.value) { filter.matches($0) } }.keys.sorted()
    }
    for step in 0..<3_000 {
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<45:
            last += Int.random(in: 0..<40, using: &random) == 0 ? UInt64.random(in: 2...3_000, using: &random) : 1
            // Subjects come and go in waves.
            let name = names[(step / 300 + Int.random(in: 0..<6, using: &random)) % names.count]
            let id = try #require(withView(name) { index.table.number($0) })
            index.append(last, id, place: 8, size: 10, marks: last % 5 == 0 ? .expires : [], owner: owner, timeNs: Int64(last))
            model[last] = name
            owners[last] = owner
        case 45..<48: owner += 1
        case 48..<50:
            let chosen = UInt64.random(in: 1...owner, using: &random)
            if chosen < owner { index.thin(owner: chosen) }
        case 50..<52:
            let alive = Set(model.keys.compactMap { owners[$0] })
            for gone in 1..<max(owner, 1) + 1 where gone < owner && !alive.contains(gone) { index.drop(owner: gone) }
        case 52..<80:
            guard last > 0 else { continue }
            let sequence =
                Bool.random(using: &random)
                ? UInt64.random(in: 1...last, using: &random) : model.keys.sorted().randomElement(using: &random) ?? 1
            #expect((index.remove(sequence) != nil) == (model.removeValue(forKey: sequence) != nil))
        default:
            guard last > 0, let filter = filters.randomElement(using: &random) else { continue }
            let from = UInt64.random(in: 1...last, using: &random), limit = UInt64.random(in: from...last, using: &random)
            #expect(
                index.next(atOrAfter: from, filter, upTo: limit) == passing(filter, from...limit).first,
                "seed \(seed) step \(step)")
            #expect(index.last(upTo: limit, filter) == passing(filter, 1...limit).last, "seed \(seed) step \(step)")
            #expect(
                index.count(from: from, upTo: limit, filter) == UInt64(passing(filter, from...limit).count),
                "seed \(seed) step \(step)")
            #expect(index.marked(.expires, from: from) == model.keys.filter { $0 >= from && $0 % 5 == 0 }.sorted())
        }
        #expect(index.messages == UInt64(model.count))
        #expect(index.first == (model.keys.min() ?? (last == 0 ? 0 : last + 1)), "seed \(seed) step \(step)")
        let name = names.randomElement(using: &random) ?? ""
        let mine = model.filter { $0.value == name }.keys.sorted()
        let id = withView(name) { index.table.id(of: $0) }
        #expect((id == nil) == mine.isEmpty)
        if let id, let first = mine.first, let end = mine.last, step % 3 == 0 {
            #expect(
                index.table.summary(id) == SubjectSummary(first: first, last: end, count: UInt64(mine.count)), "step \(step)")
        }
    }
}

/// Runs of one subject are kept without subjects and links, and must say the same as others.
@Test func logRunsOfOneSubjectSayTheSame() throws {
    for (seed, subjects, sizes) in [(1, 1, 1), (2, 1, 900), (3, 2, 900), (4, 1, 40_000)] as [(UInt64, Int, Int)] {
        var random = SplitMix(seed: seed)
        let index = MessageIndex()
        index.sizeOf = { _, place in place }
        let messages = IndexRun.entriesMax * 2 + 500
        var places: [Int] = [], expectedSizes: [Int] = [], names: [Int] = []
        for n in 1...messages {
            let name = Int.random(in: 0..<subjects, using: &random)
            let id = try #require(withView("s.\(name)") { index.table.number($0) })
            let size = Int.random(in: 0..<sizes, using: &random) + 60
            let place = size >= 0x7FFF ? size & ~7 : n * 8
            index.append(UInt64(n), id, place: place, size: size, marks: [], owner: 1, timeNs: 0)
            places.append(place)
            expectedSizes.append(size >= 0x7FFF ? place : size)
            names.append(name)
        }
        if subjects == 1 { #expect(index.memory < messages * 8) }
        var live = Set(1...messages)
        func check() throws {
            let filter = SubjectFilter(["s.0"], index.table)
            var next = index.next(atOrAfter: 1, filter, upTo: UInt64(messages)), found: [Int] = []
            while let sequence = next {
                found.append(Int(sequence))
                next = index.next(atOrAfter: sequence + 1, filter, upTo: UInt64(messages))
            }
            #expect(found == live.filter { names[$0 - 1] == 0 }.sorted(), "seed \(seed)")
            for n in stride(from: 1, through: messages, by: 37) {
                let entry = index.live(UInt64(n))?.entry
                #expect((entry != nil) == live.contains(n))
                if let entry { #expect(entry.place == places[n - 1] && entry.size == min(expectedSizes[n - 1], 0x7FFF)) }
            }
        }
        try check()
        for _ in 0..<messages / 3 {
            let n = Int.random(in: 1...messages, using: &random)
            let removed = index.remove(UInt64(n))
            #expect((removed != nil) == (live.remove(n) != nil))
            if let removed { #expect(removed.size == expectedSizes[n - 1]) }
        }
        let moved = live.min() ?? 1
        index.move(UInt64(moved), to: 16)
        places[moved - 1] = 16
        try check()
        for n in 1...(messages - 20) where live.remove(n) != nil { _ = index.remove(UInt64(n)) }
        index.thin(owner: 1)
        try check()
    }
}
