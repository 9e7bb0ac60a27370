// What the checks of one stream's configuration have to know of the account's other streams.

/// Filled in by whoever owns the account's streams, for the time of one check.
struct StreamDirectory {
    var streams: [StreamConfig] = []
    /// What memory and file streams of the whole server have reserved.
    var serverReservedMemoryBytes: Int64 = 0
    var serverReservedStorageBytes: Int64 = 0

    func stream(_ name: String) -> StreamConfig? { streams.first { $0.name == name } }

    /// Whether a subject is one of another stream's, too.
    func overlaps(_ subjects: [String], except name: String) -> Bool {
        let tree = PatternTree(subjects)
        return streams.contains { other in
            other.name != name && other.subjects.contains { tree.overlaps($0, atLeast: 1) }
        }
    }

    /// What streams of this storage reserve with their max_bytes, but for one.
    func reservedBytes(_ storage: StorageType, except name: String) -> Int64 {
        streams.reduce(0) { sum, stream in
            stream.storage == storage && stream.name != name ? sum.addingSaturated(max(0, stream.maxBytes)) : sum
        }
    }
}

extension Int64 {
    /// The sum, or the greatest number there is.
    func addingSaturated(_ other: Int64) -> Int64 {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? (other < 0 ? .min : .max) : sum
    }
}
