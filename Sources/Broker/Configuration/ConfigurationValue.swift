// The tree that a configuration file becomes: values that remember where they were written.
// Source followed: nats-server 2.15.1's `conf` package (the grammar and the positions it reports).

/// Where a value was written. Lines count from 1. Columns count as nats-server counts them: from 0 on the
/// first line and from 1 on every later one.
public struct ConfigurationPosition: Sendable, Equatable {
    public var file: String
    public var line: Int
    public var column: Int

    public init(file: String, line: Int, column: Int) {
        self.file = file
        self.line = line
        self.column = column
    }
}

/// One value with its position: that of its key within a map, its own within an array.
public struct ConfigurationValue: Sendable {
    public indirect enum Kind: Sendable {
        case string(String)
        case integer(Int)
        case float(Double)
        case bool(Bool)
        /// A full ISO 8601 time in UTC, as written; its date and time are checked.
        case datetime(String)
        case array([ConfigurationValue])
        case map(ConfigurationMap)
    }

    public var kind: Kind
    public var position: ConfigurationPosition
    /// A `$NAME` later in the file referred to this entry: an unknown key is then no mistake.
    public var isUsedVariable = false

    public init(_ kind: Kind, at position: ConfigurationPosition) {
        self.kind = kind
        self.position = position
    }
}

/// The entries of a map in the order of their first mention. Keys are kept as written (nats-server looks variables
/// up by exact case); a key that is set again replaces the earlier value.
public struct ConfigurationMap: Sendable {
    public private(set) var entries: [(key: String, value: ConfigurationValue)] = []
    private var indexes: [String: Int] = [:]

    public init() {}

    public var isEmpty: Bool { entries.isEmpty }
    public var count: Int { entries.count }

    public subscript(key: String) -> ConfigurationValue? { indexes[key].map { entries[$0].value } }

    public mutating func set(_ key: String, _ value: ConfigurationValue) {
        if let index = indexes[key] {
            entries[index].value = value
        } else {
            indexes[key] = entries.count
            entries.append((key, value))
        }
    }

    mutating func markUsed(_ key: String) {
        guard let index = indexes[key] else { return }
        entries[index].value.isUsedVariable = true
    }
}

/// A configuration that cannot be used, worded as nats-server words it.
public struct ConfigurationError: Error, Sendable, Equatable, CustomStringConvertible {
    public var position: ConfigurationPosition?
    /// What to print, complete with the position where nats-server gives one.
    public var description: String

    /// A text that stands as it is, as nats-server prints syntax errors: `Parse error on line 3: '…'`.
    public init(_ description: String, at position: ConfigurationPosition? = nil) {
        self.description = description
        self.position = position
    }

    /// A complaint about a value: `file:line:col: message`.
    public static func about(_ position: ConfigurationPosition, _ message: String) -> ConfigurationError {
        ConfigurationError("\(position.file):\(position.line):\(position.column): \(message)", at: position)
    }
}

extension ConfigurationValue {
    /// The name that Go gives this value's type; nats-server's messages contain it.
    var goTypeName: String {
        switch kind {
        case .string: "string"
        case .integer: "int64"
        case .float: "float64"
        case .bool: "bool"
        case .datetime: "time.Time"
        case .array: "[]interface {}"
        case .map: "map[string]interface {}"
        }
    }
}

extension ConfigurationValue: Equatable {
    /// Compares what was said, not where. Maps compare without regard to order.
    public static func == (left: ConfigurationValue, right: ConfigurationValue) -> Bool {
        switch (left.kind, right.kind) {
        case (.string(let a), .string(let b)): a == b
        case (.integer(let a), .integer(let b)): a == b
        case (.float(let a), .float(let b)): a == b
        case (.bool(let a), .bool(let b)): a == b
        case (.datetime(let a), .datetime(let b)): a == b
        case (.array(let a), .array(let b)): a == b
        case (.map(let a), .map(let b)): a == b
        default: false
        }
    }
}

extension ConfigurationMap: Equatable {
    public static func == (left: ConfigurationMap, right: ConfigurationMap) -> Bool {
        left.count == right.count && left.entries.allSatisfy { right[$0.key] == $0.value }
    }
}
