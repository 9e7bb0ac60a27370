// The sizes and limits of a log on file, each with its reason.

public struct LogOptions: Sendable {
    /// A stream's first segment. Small, because a broker may have thousands of streams that hold next to nothing.
    public var firstSegmentBytes = 64 << 10
    /// Each new segment is this many times as large as the one before: few segments for a large stream, little unused space
    /// in a small one.
    public var segmentGrowth = 4
    /// Segments grow up to this: what is removed or rewritten as a whole, and what a message index can address.
    public var segmentBytesMax = 32 << 20
    /// A write buffer larger than this is freed after its commit instead of being used again.
    public var bufferKeptMax = 1 << 20
    /// Read ahead where messages are read one after the other: enough to make the system call cheap.
    public var readAheadBytes = 128 << 10
    /// Read where messages are read here and there: a page.
    public var singleReadBytes = 4 << 10
    /// Places in the log that are read at the same time before one loses its buffer.
    public var readWindowsMax = 8
    /// Pieces of 8 KiB that one log keeps of what it has read here and there, rounded down to a power of two. What waits
    /// behind ten thousand keys is some megabytes.
    public var cachedPiecesMax = 1_024
    /// Pieces that all logs together keep: 64 MiB.
    public var cachedPiecesTotalMax = 8_192
    /// Segment files that one log keeps open beside the one it writes.
    public var openFilesMax = 4
    /// Segment files that all logs together keep open before each keeps one only.
    public var openFilesTotalMax = 512
    /// A segment in which a smaller part than this is still there is rewritten: in percent.
    public var compactBelowPercent = 50
    /// Segments smaller than this are not worth rewriting: they go when all that is in them is gone.
    public var compactBytesMin = 256 << 10
    /// The largest record, so that a segment of its own size can be addressed: headers and payload are limited by it.
    public var recordBytesMax = 192 << 20
    /// How often a message is asked of a device that refuses it before it counts as lost.
    public var readAttemptsMax = 10
    /// How many lost sequences are listed one by one.
    public var lostListedMax = 100_000

    /// Makes segment ids from a number instead of at random: for simulations that must repeat.
    public var segmentIDSeed: UInt64?

    public init() {}

    /// The size of the segment after one of `bytes`.
    func segmentBytes(after bytes: Int) -> Int {
        min(max(bytes, firstSegmentBytes / segmentGrowth) * segmentGrowth, max(segmentBytesMax, firstSegmentBytes))
    }
}
