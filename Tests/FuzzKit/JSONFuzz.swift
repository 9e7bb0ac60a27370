// JSON: what was written is read as it was, and no text traps.

import Wire

enum JSONFuzz {
    @Sendable static func iterate(_ random: inout SeededRandom) throws(FuzzFailure) {
        let value = value(&random, depth: 4)
        let text = value.serialized(random.once(in: 2) ? .compact : .pretty)
        let read: JSONValue
        do throws(JSONError) { read = try JSONValue.parse(text) } catch {
            throw FuzzFailure("not read: \(shown(text)): \(error)")
        }
        try require(read == value, "read differently: \(shown(text))")
        var damaged = text
        for _ in 0..<(1 + random.below(3)) where !damaged.isEmpty {
            let place = random.below(damaged.count)
            switch random.below(4) {
            case 0: damaged[place] = UInt8(truncatingIfNeeded: random.next())
            case 1: damaged.remove(at: place)
            case 2:
                damaged.insert(
                    contentsOf: random.pick(["\\uD800", "\\u12", "[[[[", "1e999", "-", "\"", "{\"a\":"]).utf8, at: place)
            default: damaged.removeLast(damaged.count - place)
            }
        }
        // Whatever it is: once it could be read, it is read the same way again after writing.
        if let read = try? JSONValue.parse(damaged) {
            let again = try? JSONValue.parse(read.serialized())
            try require(again == read, "not stable: \(shown(damaged))")
        }
    }

    static func value(_ random: inout SeededRandom, depth: Int) -> JSONValue {
        switch random.below(depth > 0 ? 7 : 5) {
        case 0: return .null
        case 1: return .bool(random.once(in: 2))
        case 2: return .int64(Int64(bitPattern: random.next()) >> Int64(random.below(64)))
        case 3, 4: return .string(text(&random))
        case 5: return .array((0..<random.below(4)).map { _ in value(&random, depth: depth - 1) })
        default:
            return .object(
                JSONObject(
                    (0..<random.below(4)).map { _ in JSONObject.Member(text(&random), value(&random, depth: depth - 1)) }))
        }
    }

    static func text(_ random: inout SeededRandom) -> String {
        (0..<random.below(5)).map { _ in
            random.pick(["a", "\"", "\\", "\n", "\u{0}", "\u{7F}", "ü", "\u{1F600}", "/", " ", "\u{2028}"])
        }.joined()
    }
}
