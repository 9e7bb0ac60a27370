// The log: its line format, levels, rotation, reopening and many writers at once.

import Glibc
import StoreKit
import Testing

@testable import Broker

@Suite struct ConfigurationLoggerTests {
    private func logger(_ directory: TemporaryDirectory, _ change: (inout LogOptions) -> Void = { _ in }) throws -> (
        Logger, LogOptions
    ) {
        var options = LogOptions()
        options.file = directory.path + "/x.log"
        change(&options)
        return (try Logger(options), options)
    }

    @Test func linesHaveNatsServersFormat() {
        let time = LogTime(year: 2026, month: 11, day: 21, hour: 6, minute: 27, second: 1, nanosecond: 469_826_999)
        func line(_ level: LogLevel, _ text: String, _ time: LogTime?) -> String {
            String(decoding: LogFormat.line(level, text, processID: 77, time: time), as: UTF8.self)
        }
        #expect(line(.info, "Server is ready", time) == "[77] 2026/11/21 06:27:01.469826 [INF] Server is ready\n")
        #expect(line(.fatal, "a\nb\r", nil) == "[77] [FTL] a\\nb\\r\n")
        #expect(time.backupSuffix == "2026.11.21.06.27.01.469826999")
    }

    @Test func levelsFollowTheOptions() throws {
        let directory = TemporaryDirectory()
        var (log, options) = try logger(directory) { $0.timestamps = false }
        log.debug("hidden")
        log.warning("a")
        options.debug = true
        log.apply(options)
        #expect(log.isDebugEnabled && !log.isTraceEnabled)
        log.debug("b")
        log.trace("hidden")
        log.error("c")
        let pid = getpid()
        #expect(try directory.content("x.log") == "[\(pid)] [WRN] a\n[\(pid)] [DBG] b\n[\(pid)] [ERR] c\n")
    }

    @Test func rotationKeepsTheNewestFiles() throws {
        let directory = TemporaryDirectory()
        _ = try directory.write("x.log.notes", "mine")
        let (log, _) = try logger(directory) {
            $0.fileSizeLimitBytes = 300
            $0.fileCountMax = 3
        }
        for number in 0..<100 { log.info("line \(number)") }
        #expect(directory.names.count == 4)
        #expect(directory.names.contains("x.log.notes"))
        let backups = directory.names.filter { LogSink.isBackupSuffix($0.dropFirst("x.log.".count)) }
        #expect(backups.count == 2)
        let text = try (backups + ["x.log"]).map { try directory.content($0) }.joined()
        #expect(text.contains("line 99") && text.contains("Rotated log, backup saved as") && text.contains("Purged log file"))
    }

    @Test func reopeningFollowsTheName() throws {
        let directory = TemporaryDirectory()
        let (log, _) = try logger(directory)
        log.info("old")
        rename(directory.path + "/x.log", directory.path + "/y.log")
        log.info("still old")
        log.reopen()
        log.info("new")
        #expect(try directory.content("y.log").contains("still old"))
        #expect(try directory.content("x.log").split(separator: "\n").map { $0.suffix(4) } == ["ened", " new"])
    }

    @Test func aFileThatCannotBeOpenedIsAnError() {
        #expect(throws: FileFailure("error opening file: open /nonexistent/x: no such file or directory")) {
            var options = LogOptions()
            options.file = "/nonexistent/x"
            _ = try Logger(options)
        }
    }

    @Test func manyWritersLoseNothing() async throws {
        let directory = TemporaryDirectory()
        let (log, _) = try logger(directory)
        await withTaskGroup(of: Void.self) { group in
            for writer in 0..<4 { group.addTask { for line in 0..<500 { log.info("\(writer) \(line)") } } }
        }
        let lines = try directory.content("x.log").split(separator: "\n")
        #expect(lines.count == 2000)
        #expect(lines.allSatisfy { $0.contains(" [INF] ") })
    }

    @Test func aPipeThatNobodyReadsBlocksNobody() throws {
        let directory = TemporaryDirectory()
        mkfifo(directory.path + "/x.log", 0o600)
        let reader = open(directory.path + "/x.log", O_RDONLY | O_NONBLOCK)
        let (log, _) = try logger(directory)
        // A pipe holds 64 KB; the rest is dropped and counted.
        for _ in 0..<2000 { log.info(String(repeating: "x", count: 200)) }
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        #expect(read(reader, &buffer, buffer.count) > 4096)
        log.info("back")
        let count = read(reader, &buffer, buffer.count)
        let text = String(decoding: buffer.prefix(max(0, count)), as: UTF8.self)
        #expect(text.contains("log lines dropped: nobody read them") && text.contains("back"))
        close(reader)
    }
}
