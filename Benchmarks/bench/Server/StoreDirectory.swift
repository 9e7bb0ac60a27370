// A fresh directory for one server's streams, on a real disk, with the configuration file that names it.

import Glibc

/// When a server syncs what it stores; a key of nats-server's configuration, and `never` a word of ours.
enum SyncSetting: String, Sendable, CaseIterable {
    /// No key at all: each server's own default. Ours is `always`, nats-server's is every two minutes.
    case standard
    case always
    case never

    var line: String { self == .standard ? "" : "    sync_interval: \(rawValue)\n" }
}

/// Removes its directory when it goes.
final class StoreDirectory {
    let path: String
    /// The configuration file that lies beside the store.
    let configuration: String
    /// `ext4`, say.
    let fileSystem: String

    /// On a disk everywhere, unlike /tmp.
    static let parentDefault = "/var/tmp"
    private static let namePrefix = "bench-store-"

    /// Makes `<parent>/bench-store-<pid>-<n>`. Refuses memory file systems, on which a sync says nothing.
    init(in parent: String, sync: SyncSetting, number: Int) throws {
        StoreDirectory.removeLeftOver(in: parent)
        path = "\(parent)/\(StoreDirectory.namePrefix)\(getpid())-\(number)"
        configuration = path + "/server.conf"
        guard mkdir(path, 0o755) == 0 else { throw BenchError.file("\(path): \(BenchError.systemText())") }
        fileSystem = try StoreDirectory.fileSystem(of: path)
        if fileSystem == "tmpfs" || fileSystem == "ramfs" {
            rmdir(path)
            throw BenchError.usage("\(parent) lies in memory; name a directory on a disk with --store")
        }
        let text = "jetstream {\n    store_dir: \"\(path)\"\n\(sync.line)}\n"
        try Files.write(text, to: configuration)
    }

    deinit { StoreDirectory.remove(path) }

    /// `-c FILE`, which nats-server and brokerd both take.
    var arguments: [String] { ["-c", configuration] }

    /// The file system that a directory lies on, by the mount whose path is the longest that leads there.
    static func fileSystem(of path: String) throws -> String {
        guard let real = realpath(path, nil) else { throw BenchError.file("\(path): \(BenchError.systemText())") }
        defer { free(real) }
        let absolute = String(cString: real) + "/"
        var best = (mount: "", type: "unknown file system")
        for line in (Files.read("/proc/self/mounts") ?? "").split(separator: "\n") {
            let fields = line.split(separator: " ")
            guard fields.count > 2 else { continue }
            let mount = fields[1] == "/" ? "/" : fields[1] + "/"
            // Of two mounts on one path the later one is seen.
            if absolute.hasPrefix(mount), mount.count >= best.mount.count { best = (String(mount), String(fields[2])) }
        }
        return best.type
    }

    /// Removes what runs that were killed have left.
    private static func removeLeftOver(in parent: String) {
        guard let directory = opendir(parent) else { return }
        var names: [String] = []
        while let entry = readdir(directory) { names.append(name(of: entry)) }
        closedir(directory)
        for name in names where name.hasPrefix(namePrefix) {
            let digits = name.dropFirst(namePrefix.count).prefix { $0 != "-" }
            if let pid = pid_t(digits), pid != getpid(), kill(pid, 0) != 0, errno == ESRCH {
                remove("\(parent)/\(name)")
            }
        }
    }

    /// Removes a directory with all that it holds; links are removed, not followed.
    static func remove(_ path: String) {
        if let directory = opendir(path) {
            var names: [String] = []
            while let entry = readdir(directory) { names.append(name(of: entry)) }
            closedir(directory)
            for name in names where name != "." && name != ".." {
                let child = path + "/" + name
                if unlink(child) != 0 { remove(child) }
            }
        }
        rmdir(path)
    }

    private static func name(of entry: UnsafeMutablePointer<dirent>) -> String {
        withUnsafePointer(to: &entry.pointee.d_name) {
            $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
    }
}

@available(*, unavailable)
extension StoreDirectory: Sendable {}
