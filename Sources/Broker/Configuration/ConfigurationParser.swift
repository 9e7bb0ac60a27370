// Turns the text of a configuration file into a tree of values: nats-server's grammar, which is JSON's with more ways
// to say it. A pure function of the text, the environment and what the file reader returns; whatever the bytes, it
// ends in a value or an error.

/// Why a file could not be read, in the operating system's words: `open x.conf: no such file or directory`.
public struct FileFailure: Error, Sendable, Equatable, CustomStringConvertible {
    public var description: String
    public init(_ description: String) { self.description = description }
}

/// Reads a whole file; tests and fuzzers pass their own.
public typealias FileReader = (String) throws(FileFailure) -> [UInt8]

public struct ConfigurationParser {
    /// Maps and arrays within each other. Far above any real file, far below what a thread's stack bears.
    public static let nestingMax = 100
    /// Files that include each other, and environment values that name other environment values.
    public static let includeDepthMax = 16
    /// The size of the tree once variables are replaced, in values and 16-byte pieces of text: a dozen lines of
    /// `b: [$a, $a]` would otherwise double it each time.
    public static let expandedSizeMax = 4_000_000
    public static let fileBytesMax = 16 << 20

    /// Parses one file and all that it includes.
    ///
    /// `file` is the name that messages show; includes are relative to its directory. Throws the first mistake,
    /// worded as nats-server words it.
    public static func parse(
        _ source: [UInt8], file: String, environment: [String: String] = [:],
        readFile: FileReader = { path throws(FileFailure) in throw FileFailure("open \(path): no such file or directory") }
    ) throws(ConfigurationError) -> ConfigurationMap {
        var budget = expandedSizeMax
        return try withoutActuallyEscaping(readFile) { readFile throws(ConfigurationError) in
            var parser = ConfigurationParser(
                source: source, file: file, environment: environment, readFile: readFile, openFiles: [file])
            return try parser.document(budget: &budget)
        }
    }

    private var lexer: ConfigurationLexer
    private let file: String
    private let environment: [String: String]
    private let readFile: FileReader
    /// The files that are being read, outermost first; an include of one of them is a cycle.
    private let openFiles: [String]
    private let sourceBytes: Int
    /// The maps that are being built, outermost first; variables are looked up innermost first.
    private var scopes: [ConfigurationMap] = [ConfigurationMap()]
    private var nesting = 0
    private var budget = 0

    private init(
        source: [UInt8], file: String, environment: [String: String], readFile: @escaping FileReader, openFiles: [String]
    ) {
        self.lexer = ConfigurationLexer(source, file: file)
        self.file = file
        self.environment = environment
        self.readFile = readFile
        self.openFiles = openFiles
        self.sourceBytes = source.count
    }

    private mutating func document(budget: inout Int) throws(ConfigurationError) -> ConfigurationMap {
        if sourceBytes > Self.fileBytesMax { throw ConfigurationError("\(file): the file is larger than 16 MB") }
        self.budget = budget
        try topLevel()
        budget = self.budget
        return scopes[0]
    }

    // MARK: Structure

    private mutating func topLevel() throws(ConfigurationError) {
        while true {
            lexer.skipSpace()
            // Braces around the whole file make it JSON; they mean nothing.
            if lexer.next == UInt8(ascii: "{") {
                lexer.advance()
                continue
            }
            if lexer.isAtComment {
                lexer.skipComment()
                continue
            }
            guard let first = lexer.next else {
                if lexer.isAtEnd { return }
                throw lexer.failure("Unexpected EOF.")
            }
            if first == UInt8(ascii: "/") { throw lexer.failure("Unexpected EOF.") }
            if lexer.isAtKeySeparator { throw lexer.failure("Unexpected key separator '\(lexer.nextShown)'") }

            let position = lexer.here
            let isQuoted = first == UInt8(ascii: "\"") || first == UInt8(ascii: "'")
            let key = isQuoted ? try lexer.quotedKey() : lexer.bareKey()
            if !isQuoted, key.lowercased() == "include", lexer.isAtSpace {
                try include(at: position)
            } else {
                lexer.skipSpace()
                if lexer.next == nil {
                    if !lexer.isAtEnd { throw lexer.failure("Unexpected EOF.") }
                    // The brace that closes a JSON file stands where a key could.
                    if key == "}" { return }
                    let here = lexer.here
                    throw ConfigurationError("config is invalid (\(file):\(here.line):\(here.column))", at: here)
                }
                if lexer.isAtKeySeparator { lexer.advance() }
                let value = try value(at: position)
                scopes[scopes.count - 1].set(key, value)
            }
            try endTopLevelValue()
        }
    }

    private mutating func endTopLevelValue() throws(ConfigurationError) {
        lexer.skipBlanks()
        while lexer.next == UInt8(ascii: "/"), !lexer.isAtComment {
            lexer.advance()
            lexer.skipBlanks()
        }
        if lexer.isAtComment { return lexer.skipComment() }
        switch lexer.next {
        case UInt8(ascii: "\n"), UInt8(ascii: "\r"), UInt8(ascii: ";"), UInt8(ascii: ","), UInt8(ascii: "}"):
            lexer.advance()
        case nil: break
        default:
            throw lexer.failure(
                "Expected a top-level value to end with a new line, comment or EOF, but got '\(lexer.nextShown)' instead.")
        }
    }

    /// Reads a value of any kind. Within a map the position is that of its key, which is the more useful one.
    private mutating func value(at keyPosition: ConfigurationPosition?) throws(ConfigurationError) -> ConfigurationValue {
        lexer.skipBlanks()
        let position = keyPosition ?? lexer.here
        switch lexer.next {
        case UInt8(ascii: "{"):
            return ConfigurationValue(.map(try nested { parser throws(ConfigurationError) in try parser.map() }), at: position)
        case UInt8(ascii: "["):
            return ConfigurationValue(
                .array(try nested { parser throws(ConfigurationError) in try parser.array() }), at: position)
        default: break
        }
        let line = lexer.here.line
        switch try lexer.scalar() {
        case .string(let text):
            try spend(1 + text.utf8.count / 16)
            return ConfigurationValue(.string(text), at: position)
        case .integer(let number):
            try spend(1)
            return ConfigurationValue(.integer(number), at: position)
        case .float(let number):
            try spend(1)
            return ConfigurationValue(.float(number), at: position)
        case .bool(let flag):
            try spend(1)
            return ConfigurationValue(.bool(flag), at: position)
        case .datetime(let text):
            try spend(1)
            return ConfigurationValue(.datetime(text), at: position)
        case .variable(let name): return ConfigurationValue(try variable(name, line: line), at: position)
        }
    }

    private mutating func nested<Result>(
        _ body: (inout ConfigurationParser) throws(ConfigurationError) -> Result
    ) throws(ConfigurationError) -> Result {
        nesting += 1
        if nesting > Self.nestingMax { throw lexer.failure("Maps and arrays nest deeper than \(Self.nestingMax).") }
        try spend(1)
        lexer.advance()
        let result = try body(&self)
        nesting -= 1
        return result
    }

    private mutating func map() throws(ConfigurationError) -> ConfigurationMap {
        scopes.append(ConfigurationMap())
        while true {
            lexer.skipSpace()
            if lexer.isAtComment {
                lexer.skipComment()
                continue
            }
            if lexer.next == UInt8(ascii: "/") { lexer.advance() }
            guard let first = lexer.next else { throw lexer.failure("Unexpected EOF processing map.") }
            if first == UInt8(ascii: "}") { break }
            if lexer.isAtKeySeparator { throw lexer.failure("Unexpected key separator '\(lexer.nextShown)'.") }
            if first == UInt8(ascii: "]") { throw lexer.failure("Unexpected array end ']' processing map.") }

            let position = lexer.here
            let isQuoted = first == UInt8(ascii: "\"") || first == UInt8(ascii: "'")
            let key = isQuoted ? try lexer.quotedKey() : lexer.bareKey()
            if !isQuoted, key.lowercased() == "include", lexer.isAtSpace {
                try include(at: position)
            } else {
                lexer.skipSpace()
                if lexer.isAtKeySeparator {
                    lexer.advance()
                    lexer.skipSpace()
                }
                if lexer.next == UInt8(ascii: ",") { throw lexer.failure("Unexpected map value terminator \",\".") }
                if lexer.next == UInt8(ascii: "}") {
                    throw ConfigurationError.about(position, "key \"\(key)\" has no value")
                }
                if lexer.next == nil { throw lexer.failure("Unexpected EOF processing map.") }
                let value = try value(at: position)
                scopes[scopes.count - 1].set(key, value)
            }
            if try endMapValue() { break }
        }
        lexer.advance()
        return scopes.removeLast()
    }

    /// True at the brace that closes the map, which stays for the caller.
    private mutating func endMapValue() throws(ConfigurationError) -> Bool {
        lexer.skipBlanks()
        if lexer.isAtComment {
            lexer.skipComment()
            if lexer.next == nil { throw lexer.failure("Unexpected EOF processing map.") }
        }
        switch lexer.next {
        case UInt8(ascii: "}"): return true
        case UInt8(ascii: "\n"), UInt8(ascii: "\r"), UInt8(ascii: ";"), UInt8(ascii: ","), UInt8(ascii: "/"):
            lexer.advance()
            return false
        default:
            throw lexer.failure(
                "Expected a map value terminator \",\" or a map terminator \"}\", but got '\(lexer.nextShown)' instead.")
        }
    }

    private mutating func array() throws(ConfigurationError) -> [ConfigurationValue] {
        var values: [ConfigurationValue] = []
        while true {
            lexer.skipSpace()
            if lexer.isAtComment {
                lexer.skipComment()
                continue
            }
            switch lexer.next {
            case nil: throw lexer.failure("Unexpected EOF processing array.")
            case UInt8(ascii: ","), UInt8(ascii: "/"): throw lexer.failure("Unexpected array value terminator ','.")
            case UInt8(ascii: "]"):
                lexer.advance()
                return values
            default: values.append(try value(at: nil))
            }
            lexer.skipBlanks()
            if lexer.isAtComment { lexer.skipComment() }
            switch lexer.next {
            case UInt8(ascii: "]"): break
            case UInt8(ascii: ","), UInt8(ascii: "\n"), UInt8(ascii: "\r"), UInt8(ascii: "/"): lexer.advance()
            default:
                throw lexer.failure(
                    "Expected an array value terminator \",\" or an array terminator \"]\", but got '\(lexer.nextShown)' instead."
                )
            }
        }
    }

    // MARK: Variables

    /// What `$name` stands for: a bcrypt hash stands for itself; then the enclosing maps, innermost first; then the
    /// environment, whose value is parsed as a value of this grammar.
    private mutating func variable(_ name: String, line: Int) throws(ConfigurationError) -> ConfigurationValue.Kind {
        if name.hasPrefix("2a$") {
            try spend(1 + name.utf8.count / 16)
            return .string("$" + name)
        }
        for index in scopes.indices.reversed() {
            guard let value = scopes[index][name] else { continue }
            try spend(of: value)
            if nesting + Self.depth(value) > Self.nestingMax {
                throw lexer.failure("Maps and arrays nest deeper than \(Self.nestingMax).")
            }
            scopes[index].markUsed(name)
            return value.kind
        }
        guard let text = environment[name] else {
            throw ConfigurationError("variable reference for '\(name)' on line \(line) can not be found", at: lexer.here)
        }
        if openFiles.count >= Self.includeDepthMax {
            throw ConfigurationError("variable reference for '\(name)' on line \(line) refers to itself", at: lexer.here)
        }
        var parser = ConfigurationParser(
            source: Array("pk=\(text)".utf8), file: file, environment: environment, readFile: readFile,
            openFiles: openFiles + ["$" + name])
        parser.nesting = nesting
        do {
            guard let value = try parser.document(budget: &budget)["pk"] else {
                throw ConfigurationError("the value is empty")
            }
            return value.kind
        } catch {
            throw ConfigurationError(
                "variable reference for '\(name)' on line \(line) could not be parsed: \(error)", at: lexer.here)
        }
    }

    private mutating func spend(_ size: Int) throws(ConfigurationError) {
        budget -= size
        if budget < 0 { throw lexer.failure("The configuration grows too large once its variables are replaced.") }
    }

    private mutating func spend(of value: ConfigurationValue) throws(ConfigurationError) {
        switch value.kind {
        case .string(let text): try spend(1 + text.utf8.count / 16)
        case .integer, .float, .bool, .datetime: try spend(1)
        case .array(let values):
            try spend(1)
            for value in values { try spend(of: value) }
        case .map(let map):
            try spend(1)
            for entry in map.entries { try spend(of: entry.value) }
        }
    }

    private static func depth(_ value: ConfigurationValue) -> Int {
        switch value.kind {
        case .array(let values): 1 + (values.lazy.map(depth).max() ?? 0)
        case .map(let map): 1 + (map.entries.lazy.map { depth($0.value) }.max() ?? 0)
        default: 0
        }
    }

    // MARK: Includes

    /// Reads the name after `include` and merges that file's entries into the map that is being built.
    private mutating func include(at position: ConfigurationPosition) throws(ConfigurationError) {
        lexer.skipBlanks()
        let name = try includeName()
        let path = FilePath.join(FilePath.directory(of: file), name)
        func failure(_ reason: String) -> ConfigurationError {
            ConfigurationError("error parsing include file '\(name)', \(reason)", at: position)
        }
        if openFiles.contains(path) { throw failure("it includes itself") }
        if openFiles.count >= Self.includeDepthMax {
            throw failure("includes nest deeper than \(Self.includeDepthMax)")
        }
        let source: [UInt8]
        do { source = try readFile(path) } catch { throw failure(error.description) }
        var parser = ConfigurationParser(
            source: source, file: path, environment: environment, readFile: readFile, openFiles: openFiles + [path])
        parser.nesting = nesting
        let entries: ConfigurationMap
        do { entries = try parser.document(budget: &budget) } catch { throw failure(error.description) }
        for (key, value) in entries.entries { scopes[scopes.count - 1].set(key, value) }
    }

    private mutating func includeName() throws(ConfigurationError) -> String {
        switch lexer.next {
        case UInt8(ascii: "'"), UInt8(ascii: "\""): return try lexer.quotedKey()
        case UInt8(ascii: "["): throw lexer.failure("Expected include value but found start of an array")
        case UInt8(ascii: "{"): throw lexer.failure("Expected include value but found start of a map")
        case UInt8(ascii: "("): throw lexer.failure("Expected include value but found start of a block")
        case .some(UInt8(ascii: "0")...UInt8(ascii: "9")), UInt8(ascii: "-"):
            throw lexer.failure("Expected include value but found start of a number")
        case UInt8(ascii: "\\"): throw lexer.failure("Expected include value but found escape sequence")
        case UInt8(ascii: "\n"), UInt8(ascii: "\r"): throw lexer.failure("Expected include value but found new line")
        default: break
        }
        let start = lexer.offset
        while let byte = lexer.next, byte != UInt8(ascii: ";"), byte != UInt8(ascii: "}"), byte != UInt8(ascii: "'"),
            !lexer.isAtNewline, byte != UInt8(ascii: " "), byte != UInt8(ascii: "\t")
        { lexer.advance() }
        let name = lexer.text(from: start)
        if lexer.next == UInt8(ascii: "'") { lexer.advance() }
        return name
    }
}
