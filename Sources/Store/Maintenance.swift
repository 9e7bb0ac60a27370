// What a log has to do beside its commits: prepare the next segment, take back those that nobody needs, rewrite sparse ones.

struct MaintenanceState {
    /// The next segment should be prepared.
    var isSpareDue = false
    /// There may be segments without a message.
    var hasDead = false
    /// Segment files that were prepared and cannot be used.
    var unused: [LogSegment] = []
    func isRewriting(_ segment: LogSegment) -> Bool { false }
}
extension FileLog {
    public func beginMaintenance() -> CommitJob? { nil }
    public func finishMaintenance(_ result: CommitResult) -> StoreError? { nil }
}
