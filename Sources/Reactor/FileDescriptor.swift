// One owner per file descriptor: closed exactly once, when the owner goes.

import Glibc

/// An open file descriptor. Not copyable, so closing it twice does not compile.
public struct FileDescriptor: ~Copyable {
    public let raw: Int32

    public init(owning raw: Int32) {
        precondition(raw >= 0, "a file descriptor is never negative")
        self.raw = raw
    }

    /// Gives up ownership; the caller closes.
    public consuming func release() -> Int32 {
        let raw = self.raw
        discard self
        return raw
    }

    deinit { _ = Glibc.close(raw) }
}

/// A failed system call: what was tried and the system's reason.
public struct SystemError: Error, CustomStringConvertible, Sendable, Equatable {
    public let call: String
    public let code: Int32
    public init(_ call: String, _ code: Int32 = errno) {
        self.call = call
        self.code = code
    }
    public var description: String { "\(call): \(String(cString: strerror(code)))" }
}
