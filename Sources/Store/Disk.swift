// What the store asks of a disk: the only way from here to files, so that a test can put a disk in its place that forgets,
// fills up or fails.

import Glibc

/// A system call that failed, and on what.
public struct DiskError: Error, Equatable, CustomStringConvertible {
    public let call: String
    public let path: String
    /// As in errno.h.
    public let code: Int32

    public init(_ call: String, _ path: String, _ code: Int32) {
        self.call = call
        self.path = path
        self.code = code
    }

    /// The file system is full, or our share of it.
    public var isNoSpace: Bool { code == ENOSPC || code == EDQUOT }
    public var isNotFound: Bool { code == ENOENT }

    public var description: String { "\(call) \(path): \(DiskError.text(code))" }

    static func text(_ code: Int32) -> String { strerror(code).map { String(cString: $0) } ?? "error \(code)" }
}

/// A file system, as far as the store uses it. Paths are absolute. Every call may block: none belongs on a loop but those
/// on small files at the start and `DiskFile.readCached`.
public protocol Disk: Sendable {
    /// Makes a directory; that it is there already is no error.
    func makeDirectory(_ path: String) throws(DiskError)
    /// Names in a directory, without `.` and `..`, in no order.
    func list(_ path: String) throws(DiskError) -> [String]
    /// Opens for reading and writing. With `create` a missing file is made; an existing one is opened as it is.
    func open(_ path: String, create: Bool) throws(DiskError) -> any DiskFile
    /// Replaces what was at `target`. Durable after `syncDirectory`.
    func rename(_ source: String, to target: String) throws(DiskError)
    /// Removes a file. One that is not there is no error.
    func remove(_ path: String) throws(DiskError)
    /// Removes an empty directory. One that is not there is no error.
    func removeDirectory(_ path: String) throws(DiskError)
    /// Makes creations, renames and removals in a directory durable.
    func syncDirectory(_ path: String) throws(DiskError)
    /// What is left for us on the file system that holds `path`.
    func availableBytes(_ path: String) throws(DiskError) -> UInt64
}

/// An open file. Closed when the last reference goes.
public protocol DiskFile: AnyObject, Sendable {
    var path: String { get }
    func size() throws(DiskError) -> Int
    /// Up to `count` bytes from `offset`; fewer at the end of the file, 0 beyond it.
    func read(_ target: UnsafeMutableRawPointer, _ count: Int, at offset: Int) throws(DiskError) -> Int
    /// As `read`, but nil where that would wait for the device (what is asked for is not in the page cache).
    func readCached(_ target: UnsafeMutableRawPointer, _ count: Int, at offset: Int) throws(DiskError) -> Int?
    /// Writes at least one byte of `count`, and says how many.
    func write(_ source: UnsafeRawPointer, _ count: Int, at offset: Int) throws(DiskError) -> Int
    /// Reserves space up to `bytes` from the start, so that writing there needs none; the file grows, with zeros.
    func allocate(_ bytes: Int) throws(DiskError)
    func truncate(_ bytes: Int) throws(DiskError)
    /// Makes the contents durable (fdatasync).
    func sync() throws(DiskError)
}

extension DiskFile {
    /// Writes all of `count` bytes, in as many calls as it takes. After an error any part may be written.
    public func writeAll(_ source: UnsafeRawPointer, _ count: Int, at offset: Int) throws(DiskError) {
        var done = 0
        while done < count { done += try write(source + done, count - done, at: offset + done) }
    }

    public func writeAll(_ bytes: [UInt8], at offset: Int) throws(DiskError) {
        var done = 0
        while done < bytes.count {
            let from = done
            // A closure of typed errors does not pass through withUnsafeBytes; a result does.
            let result = bytes.withUnsafeBytes { buffer -> Result<Int, DiskError> in
                guard let base = buffer.baseAddress else { return .success(0) }
                do throws(DiskError) {
                    return .success(try write(base + from, buffer.count - from, at: offset + from))
                } catch { return .failure(error) }
            }
            done += try result.get()
        }
    }

    /// Reads up to `count` bytes from `offset`; fewer at the end of the file.
    public func read(_ count: Int, at offset: Int) throws(DiskError) -> [UInt8] {
        var failure: DiskError?
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, got in
            guard count > 0, let base = buffer.baseAddress else { return }
            do throws(DiskError) {
                got = try read(UnsafeMutableRawPointer(base), count, at: offset)
            } catch { failure = error }
        }
        if let failure { throw failure }
        return bytes
    }
}
