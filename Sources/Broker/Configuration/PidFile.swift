// The file that holds the broker's process id, for `--signal reload=FILE` and for service managers.

import Glibc

public struct PidFile: Sendable {
    public let path: String

    public init(path: String) { self.path = path }

    /// Writes the number without a newline, as nats-server does. Throws `Could not write pidfile: open F: …`.
    public func write(_ process: Int32 = getpid()) throws(FileFailure) {
        do throws(FileFailure) {
            try writeFile(path, String(process), mode: 0o660)
        } catch {
            throw FileFailure("Could not write pidfile: \(error)")
        }
    }

    /// Removes the file if it still holds this process's number. nats-server leaves it behind; a stale number may by
    /// then belong to another process, which `--signal` would hit.
    public func remove() {
        guard let content = try? ConfigurationLoader.readFile(path),
            String(decoding: content, as: UTF8.self) == String(getpid())
        else { return }
        unlink(path)
    }
}

/// Replaces a small file's content.
func writeFile(_ path: String, _ content: String, mode: mode_t) throws(FileFailure) {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
    if descriptor < 0 { throw FileFailure("open \(path): \(systemMessage(errno))") }
    defer { close(descriptor) }
    var rest = Array(content.utf8)[...]
    while !rest.isEmpty {
        let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
        if count < 0 {
            if errno == EINTR { continue }
            throw FileFailure("write \(path): \(systemMessage(errno))")
        }
        rest = rest.dropFirst(count)
    }
}
