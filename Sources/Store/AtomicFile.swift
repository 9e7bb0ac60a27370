// A small file that is only ever replaced whole, such as a stream's definition: after a crash it holds what it held before
// or what was written, never a mixture.

/// Holds its contents twice, so that a damaged byte costs nothing:
///
///     copy, copy
///     copy:  0  4  kind         four letters that say what the file is for
///            4  4  version      of the contents' format
///            8  4  length       of the contents
///           12  4  CRC-32C      of the twelve bytes before and the contents
///           16     contents
///
/// The second copy begins at half the file's size. Numbers are little-endian.
public struct AtomicFile: Sendable {
    public struct Contents: Sendable, Equatable {
        public var bytes: [UInt8]
        public var version: UInt32
        /// One of the two copies is damaged: worth a line in the log, and worth writing anew.
        public var isDamaged: Bool
    }

    static let headBytes = 16
    /// Larger than any definition; a length beyond it is damage.
    static let contentBytesMax = 64 << 20
    static let temporarySuffix = ".tmp"

    public let path: String
    /// Four ASCII letters.
    let kind: UInt32
    /// Contents of this version and older ones are understood.
    let version: UInt32
    let disk: any Disk

    public init(path: String, kind: StaticString, version: UInt32, disk: any Disk) {
        precondition(kind.utf8CodeUnitCount == 4, "a kind has four letters")
        self.path = path
        self.kind = UInt32(littleEndian: UnsafeRawPointer(kind.utf8Start).loadUnaligned(as: UInt32.self))
        self.version = version
        self.disk = disk
    }

    /// Replaces the file. Durable when it returns; after an error it holds the old contents or the new.
    /// - Parameter beforeNaming: called when the contents are durable, but not yet there.
    public func write(
        _ contents: [UInt8], beforeNaming: () throws(DiskError) -> Void = {}
    ) throws(StoreError) {
        guard contents.count <= AtomicFile.contentBytesMax else {
            throw .unusable("\(path): \(contents.count) bytes are more than such a file may hold")
        }
        let copy = self.copy(of: contents)
        let temporary = path + AtomicFile.temporarySuffix
        do throws(DiskError) {
            let file = try disk.open(temporary, create: true)
            try file.truncate(0)
            try file.writeAll(copy + copy, at: 0)
            try file.sync()
            try beforeNaming()
            try disk.rename(temporary, to: path)
            try disk.syncDirectory(AtomicFile.directory(of: path))
        } catch {
            try? disk.remove(temporary)
            throw StoreError(error)
        }
    }

    /// - Returns: nil if there is no such file.
    /// - Throws: `.unusable` if neither copy can be read, or both are of a version that this build does not know.
    public func read() throws(StoreError) -> Contents? {
        let found: [UInt8]
        do throws(DiskError) {
            let file = try disk.open(path, create: false)
            // A file that is larger than any of this kind is damaged; its first copy may be well.
            found = try file.read(min(file.size(), 2 * (AtomicFile.headBytes + AtomicFile.contentBytesMax)), at: 0)
        } catch {
            if error.isNotFound { return nil }
            throw StoreError(error)
        }
        let first = verified(found[...])
        // A file that was cut short still has its first copy.
        let second = verified(found[(found.count / 2)...])
        guard var contents = first ?? second else {
            throw .unusable("\(path): both copies of its contents are damaged; restore it from a backup or a snapshot")
        }
        guard contents.version <= version else {
            throw .unusable("\(path): written by a newer version (format \(contents.version), this one knows \(version))")
        }
        contents.isDamaged = first == nil || first != second || found.count != 2 * (AtomicFile.headBytes + contents.bytes.count)
        return contents
    }

    /// Removes what an interrupted `write` has left in a directory.
    public static func removeLeftovers(in directory: String, disk: any Disk) throws(DiskError) {
        for name in try disk.list(directory) where name.hasSuffix(temporarySuffix) {
            try disk.remove(directory + "/" + name)
        }
    }

    private func copy(of contents: [UInt8]) -> [UInt8] {
        var copy: [UInt8] = []
        copy.reserveCapacity(AtomicFile.headBytes + contents.count)
        for number in [kind, version, UInt32(contents.count)] {
            withUnsafeBytes(of: number.littleEndian) { copy.append(contentsOf: $0) }
        }
        let head = copy.withUnsafeBytes { Checksum.crc32c($0) }
        let sum = contents.withUnsafeBytes { Checksum.crc32c($0, seed: head) }
        withUnsafeBytes(of: sum.littleEndian) { copy.append(contentsOf: $0) }
        return copy + contents
    }

    private func verified(_ bytes: ArraySlice<UInt8>) -> Contents? {
        bytes.withUnsafeBytes { bytes -> Contents? in
            guard bytes.count >= AtomicFile.headBytes else { return nil }
            func number(_ offset: Int) -> UInt32 {
                UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
            }
            let length = Int(number(8))
            guard number(0) == kind, length <= bytes.count - AtomicFile.headBytes else { return nil }
            let contents = UnsafeRawBufferPointer(rebasing: bytes[AtomicFile.headBytes..<AtomicFile.headBytes + length])
            let head = Checksum.crc32c(UnsafeRawBufferPointer(rebasing: bytes[0..<12]))
            guard Checksum.crc32c(contents, seed: head) == number(12) else { return nil }
            return Contents(bytes: Array(contents), version: number(4), isDamaged: false)
        }
    }

    private static func directory(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }
}

extension StoreError {
    /// The name for a call of the disk that failed.
    init(_ error: DiskError) { self = error.isNoSpace ? .noSpace : .disk(error) }
}
