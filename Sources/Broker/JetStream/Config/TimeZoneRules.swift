// Local time by the system's time zone files: which offset holds when, read from TZif (RFC 8536).

import Glibc

/// A zone's changes of the clocks, and the rule that goes on after the last of them. Values, read once from
/// `/usr/share/zoneinfo`.
struct TimeZoneRules: Equatable, Sendable {
    /// Seconds since 1970 from which on an offset (seconds east of Greenwich) holds, ascending.
    private(set) var changes: [Change] = []
    /// The offset before the first change.
    private(set) var firstOffset = 0
    /// What holds after the last change; nil: the last offset.
    private(set) var rule: PosixZoneRule?

    struct Change: Equatable, Sendable {
        var time: Int64
        var offset: Int
    }

    static let utc = TimeZoneRules()

    init(changes: [Change] = [], firstOffset: Int = 0, rule: PosixZoneRule? = nil) {
        self.changes = changes
        self.firstOffset = firstOffset
        self.rule = rule
    }

    func offset(at time: Int64) -> Int {
        if let last = changes.last, time >= last.time { return rule?.offset(at: time) ?? last.offset }
        if changes.isEmpty { return rule?.offset(at: time) ?? firstOffset }
        // The last change that is not after the time.
        var low = 0, high = changes.count
        while low < high {
            let middle = (low + high) / 2
            if changes[middle].time <= time { low = middle + 1 } else { high = middle }
        }
        return low == 0 ? firstOffset : changes[low - 1].offset
    }

    /// The first change of the clocks after a time that comes within two days: cron patterns look no further at a time.
    func change(after time: Int64) -> Int64? {
        let before = offset(at: time)
        let horizon = time + 2 * 86_400
        guard offset(at: horizon) != before else { return nil }
        var low = time, high = horizon
        while high - low > 1 {
            let middle = low + (high - low) / 2
            if offset(at: middle) == before { low = middle } else { high = middle }
        }
        return high
    }

    func civil(_ time: Int64) -> CivilTime { CivilTime(secondsSince1970: time + Int64(offset(at: time))) }

    /// The time at which clocks show something. Of two the first; where the clocks skip it, the time that would have shown it
    /// had they not, as Go's time.Date.
    func seconds(_ civil: CivilTime) -> Int64 {
        let local = civil.secondsSince1970
        let before = Int64(offset(at: local - 86_400)), after = Int64(offset(at: local + 86_400))
        let earlier = local - before
        if Int64(offset(at: earlier)) == before { return earlier }
        let later = local - after
        return Int64(offset(at: later)) == after ? later : earlier
    }

    // MARK: Files

    private static let directory = "/usr/share/zoneinfo/"
    /// The largest of them has some 3,600 bytes.
    private static let fileBytesMax = 1 << 20

    /// The zone of an IANA name in its exact case; nil where there is none. `Local` is the machine's, as in Go.
    static func named(_ name: String) -> TimeZoneRules? {
        if name == "UTC" { return utc }
        if name == "Local" { return file("/etc/localtime").flatMap(parse) ?? utc }
        let isPlain = name.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"),
                UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "/"):
                true
            default: false
            }
        }
        // No dots, hence no way out of the directory.
        guard isPlain, !name.isEmpty, name.utf8.count < 64, !name.hasPrefix("/") else { return nil }
        return file(directory + name).flatMap(parse)
    }

    private static func file(_ path: String) -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_size <= fileBytesMax else {
            return nil
        }
        var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
        let count = bytes.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
        return count == bytes.count ? bytes : nil
    }

    /// Reads a TZif file of version 2 or later: the second, 64-bit half of it. Every count and index is checked.
    static func parse(_ bytes: [UInt8]) -> TimeZoneRules? {
        var reader = TZifReader(bytes: bytes)
        guard let old = reader.header(), old.version >= UInt8(ascii: "2"), reader.skip(old.bodyBytes(timeBytes: 4)),
            let new = reader.header(), new.types > 0
        else { return nil }
        var times: [Int64] = []
        for _ in 0..<new.times {
            guard let time = reader.integer(8) else { return nil }
            times.append(time)
        }
        var kinds: [Int] = []
        for _ in 0..<new.times {
            guard let kind = reader.integer(1), kind & 0xFF < new.types else { return nil }
            kinds.append(Int(kind & 0xFF))
        }
        var offsets: [Int] = []
        for _ in 0..<new.types {
            guard let offset = reader.integer(4), reader.skip(2), offset.magnitude < 7 * 86_400 else { return nil }
            offsets.append(Int(offset))
        }
        guard reader.skip(new.characters + new.leaps * 12 + new.standards + new.universals) else { return nil }
        for (earlier, later) in zip(times, times.dropFirst()) where earlier >= later { return nil }
        return TimeZoneRules(
            changes: zip(times, kinds).map { Change(time: $0, offset: offsets[$1]) }, firstOffset: offsets[0],
            rule: reader.footer().flatMap(PosixZoneRule.init))
    }
}

/// Reads big-endian numbers within bounds.
private struct TZifReader {
    let bytes: [UInt8]
    var index = 0

    struct Header {
        var version: UInt8
        var universals, standards, leaps, times, types, characters: Int

        func bodyBytes(timeBytes: Int) -> Int {
            times * (timeBytes + 1) + types * 6 + characters + leaps * (timeBytes + 4) + standards + universals
        }
    }

    mutating func skip(_ count: Int) -> Bool {
        guard count <= bytes.count - index else { return false }
        index += count
        return true
    }

    /// Signed; one byte too.
    mutating func integer(_ size: Int) -> Int64? {
        guard size <= bytes.count - index else { return nil }
        var value = Int64(Int8(bitPattern: bytes[index]))
        for place in 1..<max(1, size) { value = value << 8 | Int64(bytes[index + place]) }
        index += size
        return value
    }

    mutating func header() -> Header? {
        guard bytes.count - index >= 44, bytes[index..<index + 4].elementsEqual("TZif".utf8) else { return nil }
        let version = bytes[index + 4]
        index += 20
        var counts: [Int] = []
        for _ in 0..<6 {
            // No file has so many of anything; the bound keeps their sum small.
            guard let count = integer(4), (0...100_000).contains(count) else { return nil }
            counts.append(Int(count))
        }
        return Header(
            version: version, universals: counts[0], standards: counts[1], leaps: counts[2], times: counts[3], types: counts[4],
            characters: counts[5])
    }

    /// The rule between two line feeds at the end.
    func footer() -> String? {
        guard index < bytes.count, bytes[index] == 0x0A, let end = bytes[(index + 1)...].firstIndex(of: 0x0A) else {
            return nil
        }
        return String(decoding: bytes[(index + 1)..<end], as: UTF8.self)
    }
}
