enum MessageSchedule {
    enum Failure: Error { case pattern, timeZone }
    static func next(_ pattern: String, timeZone: String, after: Int64, now: Int64) throws(Failure) -> (dueNs: Int64, repeats: Bool) { throw .pattern }
}
