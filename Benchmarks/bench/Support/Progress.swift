// The progress bar: one line on a terminal's standard error, nothing elsewhere.

import Glibc

/// Draws at most ten times a second; asking more often costs a comparison.
struct Progress: Sendable {
    private let label: String
    private let enabled: Bool
    private var nextDrawNs: UInt64 = 0
    private static let width = 28
    private static let intervalNs: UInt64 = 100_000_000

    /// `enabled` false makes every call a no-op; it is also off where standard error is no terminal.
    init(label: String, enabled: Bool) {
        self.label = label
        self.enabled = enabled && isatty(2) == 1
    }

    /// Shows `fraction` (0...1) of the run as done, with a word on what is going on.
    mutating func show(_ fraction: Double, _ note: String, nowNs: UInt64) {
        guard enabled, nowNs >= nextDrawNs else { return }
        nextDrawNs = nowNs + Progress.intervalNs
        let bounded = min(max(fraction, 0), 1)
        let filled = Int(bounded * Double(Progress.width))
        let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: Progress.width - filled)
        Files.say("\r\u{1B}[K\(label) \(bar) \(Int(bounded * 100))% \(note)", descriptor: 2)
    }

    /// Takes the line away.
    func clear() {
        if enabled { Files.say("\r\u{1B}[K", descriptor: 2) }
    }
}
