// The disk that the operating system gives us.

import CLinux
import Glibc

/// Files through the kernel: close-on-exec, and repeated when a signal interrupts a call.
public struct SystemDisk: Disk {
    public init() {}

    public func makeDirectory(_ path: String) throws(DiskError) {
        if mkdir(path, 0o750) != 0 && errno != EEXIST { throw DiskError("mkdir", path, errno) }
    }

    public func list(_ path: String) throws(DiskError) -> [String] {
        guard let directory = opendir(path) else { throw DiskError("opendir", path, errno) }
        defer { closedir(directory) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(directory) else {
                if errno != 0 { throw DiskError("readdir", path, errno) }
                return names
            }
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != "." && name != ".." { names.append(name) }
        }
    }

    public func open(_ path: String, create: Bool) throws(DiskError) -> any DiskFile {
        let flags = O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0)
        let descriptor = repeated { Int(Glibc.open(path, flags, 0o640)) }
        if descriptor < 0 { throw DiskError("open", path, errno) }
        return SystemFile(Int32(descriptor), path)
    }

    public func rename(_ source: String, to target: String) throws(DiskError) {
        if Glibc.rename(source, target) != 0 { throw DiskError("rename", target, errno) }
    }

    public func remove(_ path: String) throws(DiskError) {
        if unlink(path) != 0 && errno != ENOENT { throw DiskError("unlink", path, errno) }
    }

    public func removeDirectory(_ path: String) throws(DiskError) {
        if rmdir(path) != 0 && errno != ENOENT { throw DiskError("rmdir", path, errno) }
    }

    public func syncDirectory(_ path: String) throws(DiskError) {
        let descriptor = repeated { Int(Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) }
        if descriptor < 0 { throw DiskError("open", path, errno) }
        defer { close(Int32(descriptor)) }
        if repeated({ Int(fsync(Int32(descriptor))) }) != 0 { throw DiskError("fsync", path, errno) }
    }

    public func availableBytes(_ path: String) throws(DiskError) -> UInt64 {
        var found = statvfs()
        if repeated({ Int(statvfs(path, &found)) }) != 0 { throw DiskError("statvfs", path, errno) }
        let (bytes, overflow) = UInt64(found.f_bavail).multipliedReportingOverflow(by: UInt64(found.f_frsize))
        return overflow ? .max : bytes
    }
}

/// A file of the operating system's. The descriptor is closed with the object.
private final class SystemFile: DiskFile {
    let path: String
    private let descriptor: Int32

    init(_ descriptor: Int32, _ path: String) {
        self.descriptor = descriptor
        self.path = path
    }

    deinit { close(descriptor) }

    func size() throws(DiskError) -> Int {
        var found = stat()
        if fstat(descriptor, &found) != 0 { throw DiskError("fstat", path, errno) }
        return Int(found.st_size)
    }

    func read(_ target: UnsafeMutableRawPointer, _ count: Int, at offset: Int) throws(DiskError) -> Int {
        var done = 0
        while done < count {
            let got = repeated { pread(descriptor, target + done, count - done, off_t(offset + done)) }
            if got < 0 { throw DiskError("read", path, errno) }
            if got == 0 { break }
            done += got
        }
        return done
    }

    func readCached(_ target: UnsafeMutableRawPointer, _ count: Int, at offset: Int) throws(DiskError) -> Int? {
        var done = 0
        while done < count {
            let got = repeated { clinux_read_cached(descriptor, target + done, count - done, Int64(offset + done)) }
            if got > 0 {
                done += got
            } else if got == 0 {
                break
            } else if errno == EAGAIN {
                return nil
            } else if errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL {
                // The file system cannot tell what is in memory (it often is memory): read it and take the wait.
                return try read(target, count, at: offset)
            } else {
                throw DiskError("read", path, errno)
            }
        }
        return done
    }

    func write(_ source: UnsafeRawPointer, _ count: Int, at offset: Int) throws(DiskError) -> Int {
        let written = repeated { pwrite(descriptor, source, count, off_t(offset)) }
        if written < 0 { throw DiskError("write", path, errno) }
        if written == 0 && count > 0 { throw DiskError("write", path, EIO) }
        return written
    }

    func allocate(_ bytes: Int) throws(DiskError) {
        guard bytes > 0 else { return }
        if repeated({ Int(clinux_allocate(descriptor, Int64(bytes))) }) == 0 { return }
        guard errno == EOPNOTSUPP || errno == ENOSYS else { throw DiskError("fallocate", path, errno) }
        // Writes a byte into every block instead.
        let code = posix_fallocate(descriptor, 0, off_t(bytes))
        if code != 0 { throw DiskError("fallocate", path, code) }
    }

    func truncate(_ bytes: Int) throws(DiskError) {
        if repeated({ Int(ftruncate(descriptor, off_t(bytes))) }) != 0 { throw DiskError("ftruncate", path, errno) }
    }

    func sync() throws(DiskError) {
        if repeated({ Int(fdatasync(descriptor)) }) != 0 { throw DiskError("fdatasync", path, errno) }
    }
}

/// Repeats a call while signals interrupt it.
private func repeated(_ call: () -> Int) -> Int {
    while true {
        let result = call()
        if result >= 0 || errno != EINTR { return result }
    }
}
