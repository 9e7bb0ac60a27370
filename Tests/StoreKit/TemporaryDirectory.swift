// Directories of the real file system for tests.

import Glibc
import Store

/// Removed with everything in it when the last reference goes, and at the latest when the process exits.
public final class TemporaryDirectory: Sendable {
    public let path: String

    public init() { path = TemporaryDirectory.make(TemporaryDirectory.root + "/XXXXXX") }

    deinit { TemporaryDirectory.remove(path) }

    /// Of this process. What fixtures that keep themselves alive leave in it goes with it.
    private static let root: String = {
        atexit { TemporaryDirectory.remove(TemporaryDirectory.root) }
        return make("/tmp/bellhop-tests-XXXXXX")
    }()

    private static func make(_ template: String) -> String {
        var name = Array(template.utf8CString)
        let made = name.withUnsafeMutableBufferPointer { $0.baseAddress.flatMap { mkdtemp($0) } }
        guard let made else { fatalError("\(template) cannot be made: \(String(cString: strerror(errno)))") }
        return String(cString: made)
    }

    private static func remove(_ path: String) {
        let disk = SystemDisk()
        for name in (try? disk.list(path)) ?? [] {
            let inner = path + "/" + name
            if (try? disk.remove(inner)) == nil { remove(inner) }
        }
        try? disk.removeDirectory(path)
    }
}
