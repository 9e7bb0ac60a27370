// Paths as text: the directory of a file and a name relative to it, resolved as Go's path/filepath does.

enum FilePath {
    /// Everything before the last slash; "." where there is none.
    static func directory(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return clean(String(path[...slash]))
    }

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
}
