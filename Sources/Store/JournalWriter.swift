// The writing side of a consumer journal: blocks go to the end of the active file, or the whole state into the spare one.

/// Where a file of the journal stands.
struct JournalFile: Sendable {
    var file: any DiskFile
    var fileID: UInt64
    var generation: UInt64
    /// Where the next block goes.
    var end: Int
    /// Allocated: writing up to here needs no space.
    var size: Int
    var syncedEnd: Int
    var syncedSize: Int
    /// Checksum of the last block's head.
    var previousSum: UInt32
    /// The last block says that the journal was closed.
    var isClosed = false

    init(_ file: any DiskFile, fileID: UInt64, generation: UInt64, size: Int) {
        self.file = file
        self.fileID = fileID
        self.generation = generation
        self.end = 0
        self.size = size
        self.syncedEnd = 0
        self.syncedSize = 0
        self.previousSum = 0
    }

    mutating func allocate(_ bytes: Int) throws(DiskError) {
        let wanted = JournalWriter.rounded(bytes)
        try file.allocate(wanted)
        size = max(size, wanted)
    }

    /// Puts a block at the end.
    mutating func write(
        _ buffer: JournalBuffer, _ flags: JournalBlockHead.Flags, nextID: ConsumerID, nonce: UInt64
    ) throws(DiskError) {
        let offset = end
        let head = JournalBlockHead(
            flags: flags, previousSum: previousSum, fileID: fileID, generation: generation, nonce: nonce,
            length: UInt64(buffer.count - JournalBlockHead.bytes), syncedEnd: UInt64(syncedEnd),
            syncedSize: UInt64(syncedSize), nextID: nextID)
        buffer.forEach { at in
            JournalRecordHead.seal(buffer.base + at, at: offset + at, head.key, stamp: head.stamp)
        }
        let sum = head.write(buffer.base, at: offset)
        try file.writeAll(buffer.base, buffer.count, at: offset)
        previousSum = sum
        isClosed = flags.contains(.closed)
        end = offset + buffer.count
        size = max(size, end)
    }
}

/// A value: a job works on its own copy, and the journal takes that over if it succeeded.
struct JournalWriter: Sendable {
    /// Free space that is kept ahead in both files, so that acks go on when the disk is full.
    static let reserveBytes = 16 << 10
    static let sizeAtLeast = 32 << 10
    /// Room for the block that says that a file is superseded, or closed.
    static let closingBytes = 2 * JournalBlockHead.bytes

    var active: JournalFile
    /// Where the next generation goes.
    var spare: JournalFile
    var nonce: UInt64
    /// The last attempt to keep `reserveBytes` ahead found the disk full.
    var isShort = false

    /// Writes a block at the end of the active file. Throws ENOSPC only before anything is lost: the same may be tried again
    /// after `renewNonce`.
    mutating func append(
        _ buffer: JournalBuffer, flags: JournalBlockHead.Flags = [], nextID: ConsumerID, syncs: Bool
    ) throws(DiskError) {
        let need = active.end + buffer.count + (flags.isEmpty ? JournalWriter.closingBytes : 0)
        if need > active.size { try active.allocate(need) }
        try active.write(buffer, flags, nextID: nextID, nonce: nonce)
        keepReserve()
        if syncs { try sync() }
    }

    mutating func sync() throws(DiskError) {
        do throws(DiskError) {
            try active.file.sync()
        } catch {
            // What was not written now may never be: even "no space" is final here.
            throw error.isNoSpace ? DiskError(error.call, error.path, 5) : error
        }
        active.syncedEnd = active.end
        active.syncedSize = active.size
    }

    /// Begins the next generation in the spare file with records that stand for everything, makes it durable, and only then
    /// turns to it.
    mutating func rewrite(_ buffer: JournalBuffer, fileID: UInt64, nextID: ConsumerID) throws(DiskError) {
        var fresh = JournalFile(spare.file, fileID: fileID, generation: active.generation + 1, size: spare.size)
        fresh.syncedSize = spare.syncedSize
        let need = buffer.count + JournalWriter.closingBytes
        let wanted = JournalWriter.rounded(max(JournalWriter.sizeAtLeast, need + max(JournalWriter.reserveBytes, need / 4)))
        if fresh.size > 4 * wanted {
            // Left from a time with many more consumers.
            try fresh.file.truncate(wanted)
            fresh.size = wanted
            fresh.syncedSize = min(fresh.syncedSize, wanted)
        }
        if fresh.size < wanted {
            do throws(DiskError) {
                try fresh.allocate(wanted)
            } catch {
                guard error.isNoSpace else { throw error }
                if fresh.size < need { try fresh.allocate(need) }
            }
        }
        if fresh.syncedSize < fresh.size {
            // The first block says how long the file is, so that a file that was cut short is noticed.
            try fresh.file.sync()
            fresh.syncedSize = fresh.size
        }
        try fresh.write(buffer, .first, nextID: nextID, nonce: nonce)
        var next = self
        next.spare = active
        next.active = fresh
        try next.sync()
        next.keepReserve()
        // From here on the old file must not be mistaken for the journal, should the new one be lost. This may reach the
        // disk at any later time, and nothing depends on whether it does.
        if next.spare.generation > 0 { try? next.spare.write(JournalBuffer(), .superseded, nextID: nextID, nonce: nonce) }
        self = next
    }

    /// A block that was not written whole must not be continued by one that looks like its other half.
    mutating func renewNonce() { nonce = .random(in: .min ... .max) }

    /// Grows both files while there is room. That a disk has none is no error yet.
    mutating func keepReserve() {
        let isLow = active.size - active.end < JournalWriter.reserveBytes
        // The spare file takes the live part only; history is most of what the active one holds by the time it counts.
        let spareWanted = max(JournalWriter.sizeAtLeast, active.end / 2)
        guard isLow || spare.size < spareWanted else { return }
        do throws(DiskError) {
            if isLow {
                try active.allocate(active.end + max(2 * JournalWriter.reserveBytes, active.end / 4))
            }
            if spare.size < spareWanted { try spare.allocate(spareWanted) }
            isShort = false
        } catch {
            isShort = true
        }
    }

    static func rounded(_ bytes: Int) -> Int { (bytes + 4095) & ~4095 }
}
