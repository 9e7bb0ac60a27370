// Whole files as text, and standard output, without Foundation.

import Glibc

enum Files {
    /// The whole file, or nil if it cannot be read. Works on /proc, whose files have no length.
    static func read(_ path: String) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        return read(descriptor: descriptor)
    }

    /// All that is left to read on a descriptor.
    static func read(descriptor: Int32) -> String? {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0 && errno == EINTR { continue }
            if count < 0 { return nil }
            if count == 0 { return String(decoding: bytes, as: UTF8.self) }
            bytes.append(contentsOf: chunk[0..<count])
        }
    }

    /// Replaces the file, by way of a temporary one so that a reader never sees half.
    static func write(_ text: String, to path: String) throws {
        let temporary = path + ".new"
        try put(text, to: temporary, flags: O_WRONLY | O_CREAT | O_TRUNC)
        guard rename(temporary, path) == 0 else { throw BenchError.file("\(path): \(BenchError.systemText())") }
    }

    /// Adds to the end of the file, which is created if need be.
    static func append(_ text: String, to path: String) throws {
        try put(text, to: path, flags: O_WRONLY | O_CREAT | O_APPEND)
    }

    /// Makes the directory that `path` lies in, with its parents.
    static func makeParents(of path: String) throws {
        var end = path.startIndex
        while let slash = path[end...].firstIndex(of: "/") {
            let parent = String(path[..<slash])
            if !parent.isEmpty, mkdir(parent, 0o755) != 0, errno != EEXIST {
                throw BenchError.file("\(parent): \(BenchError.systemText())")
            }
            end = path.index(after: slash)
        }
    }

    /// Writes to standard output or, with 2, to standard error.
    static func say(_ text: String, descriptor: Int32 = 1) {
        writeAll(Array(text.utf8), descriptor)
    }

    private static func put(_ text: String, to path: String, flags: Int32) throws {
        let descriptor = open(path, flags | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw BenchError.file("\(path): \(BenchError.systemText())") }
        defer { close(descriptor) }
        guard writeAll(Array(text.utf8), descriptor) else {
            throw BenchError.file("\(path): \(BenchError.systemText())")
        }
    }

    @discardableResult
    private static func writeAll(_ bytes: [UInt8], _ descriptor: Int32) -> Bool {
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress! + done, $0.count - done) }
            if count < 0 && errno == EINTR { continue }
            if count <= 0 { return false }
            done += count
        }
        return true
    }
}
