// The subjects of one stream, each under a small number, with what the stream knows of it.

import Wire

/// A small number for a subject of one stream, valid while the table lives. Numbers of subjects that are gone are reused
/// only after the last message that carried them has left memory.
public typealias SubjectID = UInt32

public struct SubjectSummary: Sendable, Equatable {
    /// Sequences of the first and the last message that are there.
    public var first: UInt64
    public var last: UInt64
    public var count: UInt64
    public init(first: UInt64, last: UInt64, count: UInt64) {
        self.first = first
        self.last = last
        self.count = count
    }
}

/// Owned by the log's loop; kept up to date by the log.
public final class SubjectTable {
    public init() {}

    /// Subjects with at least one message.
    public var count: Int { 0 }
    /// The number of a subject with at least one message.
    public func id(of subject: ByteView) -> SubjectID? { nil }
    /// Valid until the table changes.
    public func subject(_ id: SubjectID) -> ByteView { .empty }
    public func summary(_ id: SubjectID) -> SubjectSummary { SubjectSummary(first: 0, last: 0, count: 0) }
    /// Calls `body` for each subject that a filter lets through, in no order.
    public func forEach(_ filter: SubjectFilter, _ body: (SubjectID, SubjectSummary) -> Void) {}
}

/// Patterns over the subjects of one table: a message passes if any of them matches. No pattern lets everything through.
///
/// Remembers its verdict per subject, so that a message costs a bit.
public final class SubjectFilter {
    public let patterns: [String]
    public init(_ patterns: [String], _ table: SubjectTable) { self.patterns = patterns }
    public var isEverything: Bool { patterns.isEmpty }
    /// The only subject that passes, if it is a single literal.
    public var literal: String? { nil }
    public func matches(_ id: SubjectID) -> Bool { true }
    public func matches(_ subject: ByteView) -> Bool { true }
}
