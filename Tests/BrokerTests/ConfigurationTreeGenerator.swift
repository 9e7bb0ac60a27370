// Random configuration trees and a printer that writes one in any of the ways the grammar allows. It is the parser's
// oracle: what was printed must come back.

@testable import Broker

struct ConfigurationTreeGenerator {
    /// A tree together with the file, and included files, that say the same.
    struct Sample {
        var tree: ConfigurationMap
        var text: String
        var files: [String: String]
    }

    private var random: SeededGenerator
    private var files: [String: String] = [:]
    /// The names that a `$name` can refer to here, innermost map last.
    private var scopes: [[String: ConfigurationValue]] = [[:]]
    private let nowhere = ConfigurationPosition(file: "", line: 0, column: 0)

    init(seed: UInt64) { random = SeededGenerator(seed: seed) }

    private mutating func chance(_ oneIn: Int) -> Bool { Int.random(in: 0..<oneIn, using: &random) == 0 }
    private mutating func pick<Element>(_ options: [Element]) -> Element { options.randomElement(using: &random)! }

    mutating func sample() -> Sample {
        files = [:]
        scopes = [[:]]
        let isJSON = chance(4)
        var (tree, text) = isJSON ? json(depth: 0) : entries(depth: 0, mayInclude: true)
        if tree.isEmpty { text += "\n" }
        return Sample(tree: tree, text: text, files: files)
    }

    // MARK: JSON

    private mutating func json(depth: Int) -> (ConfigurationMap, String) {
        var map = ConfigurationMap()
        var parts: [String] = []
        for _ in 0..<Int.random(in: 0...4, using: &random) {
            let key = name()
            if map[key] != nil { continue }
            let (value, text) = jsonValue(depth: depth + 1)
            map.set(key, value)
            parts.append("\"\(key)\"\(pick([":", " : ", ": "]))\(text)")
        }
        let space = pick(["", " ", "\n", "\n  "])
        return (map, "{" + space + parts.joined(separator: "," + space) + space + "}")
    }

    private mutating func jsonValue(depth: Int) -> (ConfigurationValue, String) {
        switch Int.random(in: 0..<(depth > 4 ? 4 : 6), using: &random) {
        case 0:
            let text = string()
            return (ConfigurationValue(.string(text), at: nowhere), doubleQuoted(text))
        case 1:
            let number = Int.random(in: -1_000_000...1_000_000, using: &random)
            return (ConfigurationValue(.integer(number), at: nowhere), String(number))
        case 2:
            let flag = Bool.random(using: &random)
            return (ConfigurationValue(.bool(flag), at: nowhere), String(flag))
        case 3:
            let number = Double(Int.random(in: -9999...9999, using: &random)) / 8
            return (ConfigurationValue(.float(number), at: nowhere), "\(number)")
        case 4:
            let (map, text) = json(depth: depth)
            return (ConfigurationValue(.map(map), at: nowhere), text)
        default:
            let elements = (0..<Int.random(in: 0...4, using: &random)).map { _ in jsonValue(depth: depth + 1) }
            return (
                ConfigurationValue(.array(elements.map(\.0)), at: nowhere),
                "[" + elements.map(\.1).joined(separator: pick([",", ", ", " ,\n"])) + "]"
            )
        }
    }

    // MARK: The other forms

    /// The inside of a map, or a whole file.
    private mutating func entries(depth: Int, mayInclude: Bool) -> (ConfigurationMap, String) {
        var map = ConfigurationMap()
        var text = pick(["", "\n", " ", "# comment }\n", "\n// comment\n\t"])
        for _ in 0..<Int.random(in: 0...6, using: &random) {
            if mayInclude, chance(10), files.count < 5 {
                let file = "part\(files.count).conf"
                files[file] = ""
                // An included file sees its own names only.
                let outer = scopes
                scopes = [[:]]
                let (part, content) = entries(depth: depth, mayInclude: true)
                scopes = outer
                files[file] = content + "\n"
                for entry in part.entries {
                    map.set(entry.key, entry.value)
                    scopes[scopes.count - 1][entry.key] = entry.value
                }
                // Without quotes the name goes on to the next white space or semicolon; a comma belongs to it.
                text += pick(["include \(file)\n", "include '\(file)'" + terminator(), "INCLUDE \"\(file)\"" + terminator()])
                continue
            }
            let key = name()
            let (value, written, isBlock) = value(depth: depth + 1)
            let keyText = pick([key, "\"\(key)\"", "'\(key)'"])
            let isMap = if case .map = value.kind { true } else { false }
            text += keyText + (isMap ? pick([" ", ": ", " = ", " : "]) : pick([": ", "=", " = ", " ", ":", " \t"])) + written
            text += isBlock ? "\n" : terminator()
            map.set(key, value)
            scopes[scopes.count - 1][key] = value
        }
        return (map, text)
    }

    /// What may stand between two entries of a map.
    private mutating func terminator() -> String {
        pick(["\n", ",", ";", "\n\n  ", " # comment, with ; and }\n", " // comment\n", ",\n", "\r\n", " ; ", "\t\n"])
    }

    private mutating func value(depth: Int) -> (ConfigurationValue, text: String, isBlock: Bool) {
        let names = scopes.flatMap(\.keys)
        if !names.isEmpty, chance(8) {
            let name = names.sorted().randomElement(using: &random)!
            let value = scopes.reversed().lazy.compactMap { $0[name] }.first!
            if weight(value) < 50 { return (value, "$\(name)", false) }
        }
        switch Int.random(in: 0..<(depth > 4 ? 7 : 9), using: &random) {
        case 0:
            let number = Int.random(in: -99_999...99_999, using: &random)
            return (ConfigurationValue(.integer(number), at: nowhere), String(number), false)
        case 1:
            let (suffix, scale) = pick([
                ("k", 1000), ("KB", 1024), ("kib", 1024), ("m", 1_000_000), ("Mi", 1 << 20), ("gb", 1 << 30),
                ("T", 1_000_000_000_000),
                ("p", 1_000_000_000_000_000), ("eb", 1 << 60),
            ])
            let number = Int.random(in: -7...7, using: &random)
            return (ConfigurationValue(.integer(number * scale), at: nowhere), "\(number)\(suffix)", false)
        case 2:
            let flag = Bool.random(using: &random)
            return (
                ConfigurationValue(.bool(flag), at: nowhere), pick(flag ? ["true", "YES", "on"] : ["false", "No", "OFF"]), false
            )
        case 3:
            let number = Double(Int.random(in: -9999...9999, using: &random)) / 16
            return (ConfigurationValue(.float(number), at: nowhere), "\(number)", false)
        case 4:
            return (ConfigurationValue(.datetime("2026-11-21T06:27:01Z"), at: nowhere), "2026-11-21T06:27:01Z", false)
        case 5: return word()
        case 6: return text()
        case 7:
            scopes.append([:])
            defer { scopes.removeLast() }
            let (map, text) = entries(depth: depth, mayInclude: true)
            return (ConfigurationValue(.map(map), at: nowhere), "{" + text + "}", false)
        default:
            var elements: [ConfigurationValue] = []
            var text = "[" + pick(["", " ", "\n", "# c\n"])
            let count = Int.random(in: 0...4, using: &random)
            for index in 0..<count {
                let (element, written, isBlock) = value(depth: depth + 1)
                elements.append(element)
                text += written
                if isBlock { text += "\n" } else if index < count - 1 { text += pick([",", ", ", "\n", " # c\n", ",\n"]) }
            }
            return (ConfigurationValue(.array(elements), at: nowhere), text + pick(["", " ", "\n"]) + "]", false)
        }
    }

    private func weight(_ value: ConfigurationValue) -> Int {
        switch value.kind {
        case .array(let values): values.reduce(1) { $0 + weight($1) }
        case .map(let map): map.entries.reduce(1) { $0 + weight($1.value) }
        default: 1
        }
    }

    // MARK: Text

    /// A key that no keyword or quirk touches.
    private mutating func name() -> String {
        let letters = Array("abcdefgXYZ_")
        return String((0..<Int.random(in: 1...4, using: &random)).map { _ in letters.randomElement(using: &random)! }) + "k"
    }

    /// A word that needs no quotes.
    private mutating func word() -> (ConfigurationValue, text: String, isBlock: Bool) {
        let word = pick([
            "plain", "a.b.>", "3xyz", "100ms", "1.2.3.4:4222", "nats://host:4222", "foo{bar", "x=y:z", "é", "a#b", "truely",
        ])
        return (ConfigurationValue(.string(word), at: nowhere), word, false)
    }

    private mutating func string() -> String {
        let letters: [Character] = [
            "a", "Z", "0", " ", "\t", "\n", "\r", "\"", "\\", "'", "$", "{", "}", "[", "]", "(", ")", ",", ";", ":", "=", "#",
            "/",
            "é", "日", "😀", ">", "*",
        ]
        return String((0..<Int.random(in: 0...12, using: &random)).map { _ in letters.randomElement(using: &random)! })
    }

    private mutating func text() -> (ConfigurationValue, text: String, isBlock: Bool) {
        let text = string()
        switch Int.random(in: 0..<3, using: &random) {
        case 0 where !text.contains("'"): return (ConfigurationValue(.string(text), at: nowhere), "'\(text)'", false)
        case 1 where !text.contains(")"):
            let block = "\n" + text + "\n"
            return (ConfigurationValue(.string(block), at: nowhere), "(\(block))", true)
        default: return (ConfigurationValue(.string(text), at: nowhere), doubleQuoted(text), false)
        }
    }

    private mutating func doubleQuoted(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": quoted += "\\\""
            case "\\": quoted += "\\\\"
            case "\n": quoted += pick(["\\n", "\n", "\\x0a", "\\x0A"])
            case "\t": quoted += pick(["\\t", "\t"])
            case "\r": quoted += "\\r"
            case "a": quoted += pick(["a", "\\x61"])
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }
}
