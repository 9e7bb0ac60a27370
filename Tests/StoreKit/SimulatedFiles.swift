// The contents of a simulated disk: what programs see, and what the platter holds.

/// A file's bytes in pages, shared between copies until one of them writes.
struct SimulatedContents {
    static let pageBytes = 4096
    /// A page that is not there holds zeros.
    private(set) var pages: [Int: [UInt8]] = [:]
    var size = 0

    func read(_ count: Int, at offset: Int) -> [UInt8] {
        guard offset < size, count > 0 else { return [] }
        let end = min(size, offset + count)
        var bytes = [UInt8](repeating: 0, count: end - offset)
        bytes.withUnsafeMutableBytes { target in
            var at = offset
            while at < end {
                let page = at / SimulatedContents.pageBytes, from = at % SimulatedContents.pageBytes
                let length = min(end - at, SimulatedContents.pageBytes - from)
                pages[page]?.withUnsafeBytes { held in
                    UnsafeMutableRawBufferPointer(rebasing: target[at - offset..<at - offset + length])
                        .copyMemory(from: UnsafeRawBufferPointer(rebasing: held[from..<from + length]))
                }
                at += length
            }
        }
        return bytes
    }

    /// - Returns: the pages that it touched.
    mutating func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) -> Range<Int> {
        guard !bytes.isEmpty else { return 0..<0 }
        var at = offset
        let end = offset + bytes.count
        while at < end {
            let page = at / SimulatedContents.pageBytes, from = at % SimulatedContents.pageBytes
            let length = min(end - at, SimulatedContents.pageBytes - from)
            let source = UnsafeRawBufferPointer(rebasing: bytes[at - offset..<at - offset + length])
            pages[page, default: Array(repeating: 0, count: SimulatedContents.pageBytes)].withUnsafeMutableBytes {
                UnsafeMutableRawBufferPointer(rebasing: $0[from..<from + length]).copyMemory(from: source)
            }
            at += length
        }
        size = max(size, end)
        return offset / SimulatedContents.pageBytes..<(end - 1) / SimulatedContents.pageBytes + 1
    }

    /// - Returns: the pages that it touched.
    mutating func truncate(_ bytes: Int) -> [Int] {
        defer { size = bytes }
        guard bytes < size else { return [] }
        let kept = (bytes + SimulatedContents.pageBytes - 1) / SimulatedContents.pageBytes
        var touched = pages.keys.filter { $0 >= kept }
        for page in touched { pages[page] = nil }
        let inLast = bytes % SimulatedContents.pageBytes
        if inLast > 0, pages[kept - 1] != nil {
            for index in inLast..<SimulatedContents.pageBytes { pages[kept - 1]?[index] = 0 }
            touched.append(kept - 1)
        }
        return touched
    }

    mutating func take(_ page: Int, from other: SimulatedContents) { pages[page] = other.pages[page] }
}

/// A file, whatever its names.
struct SimulatedInode {
    var current = SimulatedContents()
    /// As of the last sync.
    var durable = SimulatedContents()
    /// Where the two may differ.
    var dirty: Set<Int> = []

    mutating func sync() {
        for page in dirty { durable.take(page, from: current) }
        durable.size = current.size
        dirty.removeAll()
    }

    /// What the power failure leaves: of each page that was written since the last sync, the old bytes or the new.
    mutating func crash(_ random: inout SeededRandom) {
        // Sometimes all of it got there, sometimes nothing.
        let odds = random.below(4)
        func survives(_ random: inout SeededRandom) -> Bool {
            switch odds {
            case 0: false
            case 1: true
            default: random.once(in: 2)
            }
        }
        for page in dirty.sorted() where survives(&random) { durable.take(page, from: current) }
        if durable.size != current.size && survives(&random) { durable.size = current.size }
        // Pages beyond the end are gone.
        _ = durable.truncate(durable.size)
        let size = durable.size
        durable.size = .max
        _ = durable.truncate(size)
        current = durable
        dirty.removeAll()
    }
}

/// A change to a directory that a crash may take back.
struct SimulatedNaming {
    enum Change {
        case add(inode: Int)
        case remove
        case rename(from: String, inode: Int)
        case makeDirectory
        case removeDirectory
    }
    /// Whose sync makes it durable.
    let directory: String
    let path: String
    let change: Change
}

/// Which names there are.
struct SimulatedNames {
    var files: [String: Int] = [:]
    var directories: Set<String> = ["/"]

    mutating func apply(_ naming: SimulatedNaming) {
        switch naming.change {
        case .add(let inode): files[naming.path] = inode
        case .remove: files[naming.path] = nil
        case .rename(let source, let inode):
            if files[source] == inode { files[source] = nil }
            files[naming.path] = inode
        case .makeDirectory: directories.insert(naming.path)
        case .removeDirectory: directories.remove(naming.path)
        }
    }
}
