// A directory of the real file system that lives as long as a test.

import Glibc
import Testing

@testable import Store

/// Removed with everything in it when the last reference goes.
final class TemporaryDirectory {
    let path: String

    init() throws {
        var template = Array("/tmp/bellhop-store-XXXXXX".utf8CString)
        let made = template.withUnsafeMutableBufferPointer { $0.baseAddress.flatMap { mkdtemp($0) } }
        path = String(cString: try #require(made))
    }

    deinit { TemporaryDirectory.remove(path) }

    private static func remove(_ path: String) {
        let disk = SystemDisk()
        for name in (try? disk.list(path)) ?? [] {
            let inner = path + "/" + name
            if (try? disk.remove(inner)) == nil { remove(inner) }
        }
        try? disk.removeDirectory(path)
    }
}
