// Where log lines go: standard error, a file with rotation, or syslog. It writes whole lines and never waits long.

import Glibc

/// One destination. Whoever holds it serializes its use: Logger does so under its lock.
struct LogSink {
    private enum Target {
        case standardError
        case file(path: String, descriptor: Int32)
        case syslog
    }

    private var target: Target
    /// A pipe or terminal may block its writer; a file does not, in any sense that matters here.
    private var mayBlock: Bool
    private var fileBytes = 0
    private var fileBytesMax: Int
    private var fileCountMax: Int
    /// Lines that a full pipe did not take since the last one it took.
    private(set) var droppedLines = 0

    /// Opens what the options name. Throws if the file cannot be opened.
    init(_ options: LogOptions, program: String) throws(FileFailure) {
        fileBytesMax = options.fileSizeLimitBytes
        fileCountMax = options.fileCountMax
        mayBlock = false
        target = .standardError
        if let path = options.file {
            let descriptor = try Self.openFile(path)
            target = .file(path: path, descriptor: descriptor)
            measure(descriptor)
        } else if options.syslog {
            // syslog keeps the pointer to the name for as long as the process lives.
            openlog(strdup(program), LOG_PID, LOG_DAEMON)
            target = .syslog
        } else {
            measure(STDERR_FILENO)
        }
    }

    /// Closes the file; standard error stays open.
    mutating func close() {
        if case .file(_, let descriptor) = target { _ = Glibc.close(descriptor) }
        target = .standardError
    }

    private static func openFile(_ path: String) throws(FileFailure) -> Int32 {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o640)
        if descriptor < 0 { throw FileFailure("error opening file: open \(path): \(systemMessage(errno))") }
        return descriptor
    }

    private mutating func measure(_ descriptor: Int32) {
        var status = stat()
        let isRegular = fstat(descriptor, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
        mayBlock = !isRegular
        fileBytes = isRegular ? Int(status.st_size) : 0
    }

    /// Opens the file anew under its name, after an external tool has moved it aside. The old one stays in use if that
    /// fails.
    mutating func reopen() throws(FileFailure) {
        guard case .file(let path, let old) = target else { return }
        let descriptor = try Self.openFile(path)
        _ = Glibc.close(old)
        target = .file(path: path, descriptor: descriptor)
        measure(descriptor)
    }

    /// Writes one line, and then what rotation has to say. `notice` makes a line out of a text.
    mutating func write(_ level: LogLevel, _ line: [UInt8], text: String, notice: (String) -> [UInt8]) {
        switch target {
        case .syslog:
            text.withCString { text in
                withVaList([OpaquePointer(text)]) { list in
                    "%s".withCString { vsyslog(level.syslogPriority, $0, list) }
                }
            }
        case .standardError: writeToDescriptor(STDERR_FILENO, line, notice: notice)
        case .file(_, let descriptor):
            writeToDescriptor(descriptor, line, notice: notice)
            if fileBytesMax > 0, fileBytes > fileBytesMax { rotate(notice: notice) }
        }
    }

    private mutating func writeToDescriptor(_ descriptor: Int32, _ line: [UInt8], notice: (String) -> [UInt8]) {
        if mayBlock {
            // A pipe that has room takes 4096 bytes without blocking (PIPE_BUF); so a line goes in such pieces. The
            // first piece that finds no room waits 10 ms at most, and not at all while lines are being dropped.
            guard isWritable(descriptor, waitMs: droppedLines > 0 ? 0 : 10) else {
                droppedLines += 1
                return
            }
            if droppedLines > 0 {
                let count = droppedLines
                droppedLines = 0
                _ = writePieces(descriptor, notice("\(count) log lines dropped: nobody read them"))
                guard isWritable(descriptor, waitMs: 0) else {
                    droppedLines = 1
                    return
                }
            }
        }
        if !writePieces(descriptor, line) { droppedLines += 1 }
        fileBytes += line.count
    }

    private func isWritable(_ descriptor: Int32, waitMs: Int32) -> Bool {
        var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        return poll(&entry, 1, waitMs) == 1 && entry.revents & Int16(POLLOUT) != 0
    }

    /// False if the line did not go out in full.
    private func writePieces(_ descriptor: Int32, _ line: [UInt8]) -> Bool {
        var offset = 0
        while offset < line.count {
            if mayBlock, offset > 0, !isWritable(descriptor, waitMs: 10) { return false }
            let end = mayBlock ? min(offset + 4096, line.count) : line.count
            let count = line[offset..<end].withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 {
                if errno == EINTR { continue }
                return false
            }
            offset += count
        }
        return true
    }

    // MARK: Rotation

    private mutating func rotate(notice: (String) -> [UInt8]) {
        guard case .file(let path, let old) = target else { return }
        let backup = path + "." + LogTime.now(utc: false).backupSuffix
        if rename(path, backup) != 0 {
            let line = notice("Unable to rotate log: rename \(path): \(systemMessage(errno)); it will grow")
            _ = writePieces(old, line)
            fileBytesMax = 0
            return
        }
        guard let descriptor = try? Self.openFile(path) else {
            // The backup goes on as the log; nothing is lost.
            _ = rename(backup, path)
            fileBytesMax = 0
            return
        }
        _ = Glibc.close(old)
        target = .file(path: path, descriptor: descriptor)
        fileBytes = 0
        let line = notice("Rotated log, backup saved as \(goQuoted(backup))")
        _ = writePieces(descriptor, line)
        fileBytes += line.count
        purge(path, descriptor, notice: notice)
    }

    /// Removes the oldest backups, so that at most `fileCountMax` files remain, the current one included.
    private mutating func purge(_ path: String, _ descriptor: Int32, notice: (String) -> [UInt8]) {
        guard fileCountMax > 0 else { return }
        let directory = FilePath.directory(of: path)
        let prefix = (path.split(separator: "/").last.map(String.init) ?? path) + "."
        // The suffix is a time of fixed width, so that names sort by age.
        let backups = FilePath.names(in: directory)
            .filter { $0.hasPrefix(prefix) && Self.isBackupSuffix($0.dropFirst(prefix.count)) }.sorted()
        for name in backups.dropLast(max(0, fileCountMax - 1)) {
            let file = FilePath.join(directory, name)
            guard unlink(file) == 0 else { continue }
            let line = notice("Purged log file \(goQuoted(file))")
            _ = writePieces(descriptor, line)
            fileBytes += line.count
        }
    }

    static func isBackupSuffix(_ text: some StringProtocol) -> Bool {
        let widths = text.split(separator: ".", omittingEmptySubsequences: false).map { part in
            part.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ? part.utf8.count : -1
        }
        return widths == [4, 2, 2, 2, 2, 2, 9]
    }
}
