// Paths: the directory of a file and a name relative to it, resolved as Go's path/filepath does; what a directory holds.

import Glibc

enum FilePath {
    /// Everything before the last slash; "." where there is none.
    static func directory(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return clean(String(path[...slash]))
    }

    /// Everything after the last slash.
    static func name(of path: String) -> String { path.split(separator: "/").last.map(String.init) ?? path }

    /// Joins with a slash, whatever `name` begins with: nats-server looks even for an absolute include below the
    /// including file's directory.
    static func join(_ directory: String, _ name: String) -> String { clean(directory + "/" + name) }

    /// The shortest equivalent path: no `.`, no double slash, and no `..` that can be resolved.
    static func clean(_ path: String) -> String {
        let isAbsolute = path.utf8.first == UInt8(ascii: "/")
        var parts: [Substring] = []
        for part in path.split(separator: "/") where part != "." {
            if part == "..", let last = parts.last, last != ".." {
                parts.removeLast()
            } else if part != ".." || !isAbsolute {
                parts.append(part)
            }
        }
        let joined = parts.joined(separator: "/")
        return isAbsolute ? "/" + joined : joined.isEmpty ? "." : joined
    }

    /// The names in a directory, in no order; empty where it cannot be read.
    static func names(in path: String) -> [String] {
        guard let directory = opendir(path) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }
}
