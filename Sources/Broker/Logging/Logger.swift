// The broker's log. Any thread may write to it; it throws nothing and waits for nobody longer than a few milliseconds.

import Glibc
import Locks
import Synchronization

public final class Logger: Sendable {
    private struct State {
        var sink: LogSink
        var options: LogOptions
    }

    private let state: Locked<State>
    private let debugFlag: Atomic<Bool>
    private let traceFlag: Atomic<Bool>
    private let processID = getpid()
    private let program: String

    /// Opens the log that the options name: a file, syslog, or standard error. Throws
    /// `error opening file: open F: …` if the file cannot be opened; nats-server does not start then.
    public init(_ options: LogOptions, program: String = "brokerd") throws(FileFailure) {
        state = Locked(State(sink: try LogSink(options, program: program), options: options))
        debugFlag = Atomic(options.debug)
        traceFlag = Atomic(options.trace)
        self.program = program
    }

    deinit { state.withLock { $0.sink.close() } }

    /// Whether debug lines are written: one relaxed load, to be asked before building a costly text.
    @inline(__always) public var isDebugEnabled: Bool { debugFlag.load(ordering: .relaxed) }
    /// Whether the protocol is traced.
    @inline(__always) public var isTraceEnabled: Bool { traceFlag.load(ordering: .relaxed) }

    public func info(_ text: String) { write(.info, text) }
    public func warning(_ text: String) { write(.warning, text) }
    public func error(_ text: String) { write(.error, text) }
    /// Says why the process is about to end; ending it is the caller's.
    public func fatal(_ text: String) { write(.fatal, text) }
    public func debug(_ text: @autoclosure () -> String) { if isDebugEnabled { write(.debug, text()) } }
    public func trace(_ text: @autoclosure () -> String) { if isTraceEnabled { write(.trace, text()) } }

    private func write(_ level: LogLevel, _ text: String) {
        state.withLock { state in
            // The time is taken under the lock, so that lines are in the order of their times.
            let time = state.options.timestamps ? LogTime.now(utc: state.options.utc) : nil
            let line = LogFormat.line(level, text, processID: processID, time: time)
            state.sink.write(level, line, text: text) { notice in
                LogFormat.line(.info, notice, processID: processID, time: time)
            }
        }
    }

    /// Opens the log file anew under its name (SIGUSR1), after something has moved it. Says so in the log.
    public func reopen() {
        let failure: FileFailure? = state.withLock { state in
            do throws(FileFailure) {
                try state.sink.reopen()
                return nil
            } catch {
                return error
            }
        }
        if let failure { error("Unable to reopen the log: \(failure)") } else { info("File log re-opened") }
    }

    /// Takes over new options at a reload. If the new file cannot be opened, the old one goes on and the failure is
    /// logged.
    public func apply(_ options: LogOptions) {
        let failure: FileFailure? = state.withLock { state in
            do throws(FileFailure) {
                if options.file != state.options.file || options.syslog != state.options.syslog {
                    let sink = try LogSink(options, program: program)
                    state.sink.close()
                    state.sink = sink
                }
                state.options = options
                return nil
            } catch {
                return error
            }
        }
        if let failure { error(failure.description) }
        debugFlag.store(options.debug, ordering: .relaxed)
        traceFlag.store(options.trace, ordering: .relaxed)
    }
}
