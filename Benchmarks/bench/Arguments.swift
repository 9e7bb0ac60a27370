// Command-line options: names with values, names alone, and the rest.

/// Takes options off one by one; `finish` refuses what nobody asked for.
struct Arguments {
    private var rest: [String]

    init(_ arguments: [String]) {
        // --name=value is --name value.
        rest = arguments.flatMap { argument -> [String] in
            guard argument.hasPrefix("--"), let equals = argument.firstIndex(of: "=") else { return [argument] }
            return [String(argument[..<equals]), String(argument[argument.index(after: equals)...])]
        }
    }

    /// Whether `--name` is given.
    mutating func flag(_ name: String) -> Bool {
        guard let index = rest.firstIndex(of: name) else { return false }
        rest.remove(at: index)
        return true
    }

    /// The value of `--name VALUE`; nil when it is not given.
    mutating func text(_ name: String) throws -> String? {
        guard let index = rest.firstIndex(of: name) else { return nil }
        guard index + 1 < rest.count else { throw BenchError.usage("\(name) needs a value") }
        let value = rest[index + 1]
        rest.removeSubrange(index...index + 1)
        return value
    }

    /// A whole number within `range`; K and M stand for thousands and millions, or for KiB and MiB with `unit` 1024.
    mutating func integer(_ name: String, _ range: ClosedRange<Int>, unit: Int = 1000) throws -> Int? {
        guard let text = try text(name) else { return nil }
        var digits = text[...]
        var factor = 1
        switch text.last {
        case "K", "k": factor = unit
        case "M", "m": factor = unit * unit
        default: break
        }
        if factor > 1 { digits = text.dropLast() }
        guard let value = Int(digits), value <= Int.max / factor, range.contains(value * factor) else {
            throw BenchError.usage("\(name) takes \(range.lowerBound) to \(range.upperBound), not \(text)")
        }
        return value * factor
    }

    /// A number within `range`.
    mutating func number(_ name: String, _ range: ClosedRange<Double>) throws -> Double? {
        guard let text = try text(name) else { return nil }
        guard let value = Double(text), range.contains(value) else {
            throw BenchError.usage("\(name) takes \(range.lowerBound) to \(range.upperBound), not \(text)")
        }
        return value
    }

    /// A duration, in nanoseconds: `2`, `2.5s`, `500ms`, `1m`.
    mutating func duration(_ name: String) throws -> UInt64? {
        guard let text = try text(name) else { return nil }
        for (suffix, ns) in [("ms", 1e6), ("s", 1e9), ("m", 60e9), ("", 1e9)] where text.hasSuffix(suffix) {
            guard let value = Double(text.dropLast(suffix.count)), value >= 0, value <= 86_400 else { break }
            return UInt64(value * ns)
        }
        throw BenchError.usage("\(name) takes a duration such as 2s or 500ms, not \(text)")
    }

    /// The next argument that is no option.
    mutating func word() -> String? {
        guard let first = rest.first, !first.hasPrefix("--") else { return nil }
        return rest.removeFirst()
    }

    /// Throws if anything is left.
    func finish() throws {
        if let first = rest.first { throw BenchError.usage("unknown option \(first)") }
    }
}
