// One thing that is fuzzed: a name and what one iteration does with a stream of random numbers.

import Glibc

/// An iteration throws `FuzzFailure` when what it looks at is wrong. It depends on its random numbers only.
public struct FuzzTarget: Sendable {
    public let name: String
    public let iterate: @Sendable (inout SeededRandom) throws(FuzzFailure) -> Void

    /// All of them.
    public static let all: [FuzzTarget] = [
        FuzzTarget(name: "parser", iterate: ParserFuzz.iterate),
        FuzzTarget(name: "bytes", iterate: BytesFuzz.iterate),
        FuzzTarget(name: "subjects", iterate: SubjectFuzz.iterate),
        FuzzTarget(name: "index", iterate: IndexFuzz.iterate),
        FuzzTarget(name: "sids", iterate: SidTableFuzz.iterate),
        FuzzTarget(name: "timers", iterate: TimerFuzz.iterate),
        FuzzTarget(name: "json", iterate: JSONFuzz.iterate),
        FuzzTarget(name: "connect", iterate: ConnectFuzz.iterate),
        FuzzTarget(name: "configuration", iterate: ConfigurationFuzz.iterate),
    ]

    /// The random numbers of one iteration: any of them can be run alone.
    public static func random(seed: UInt64, iteration: Int) -> SeededRandom {
        var mixed = SeededRandom(seed: seed &+ UInt64(truncatingIfNeeded: iteration) &* 0xD134_2543_DE82_EF95)
        return SeededRandom(seed: mixed.next())
    }

    /// Runs one iteration.
    public func run(seed: UInt64, iteration: Int) throws(FuzzFailure) {
        var random = FuzzTarget.random(seed: seed, iteration: iteration)
        try iterate(&random)
    }
}

/// What was found, in words that help to see it.
public struct FuzzFailure: Error, CustomStringConvertible, Sendable {
    public let description: String
    public init(_ description: String) { self.description = description }
}

/// Ends the iteration unless the condition holds.
func require(_ condition: Bool, _ text: @autoclosure () -> String) throws(FuzzFailure) {
    if !condition { throw FuzzFailure(text()) }
}

/// Bytes as they would be written in a Swift string.
func shown(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self).debugDescription }
