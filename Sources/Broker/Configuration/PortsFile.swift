// The file that tells test harnesses which ports the broker got: JSON with the URLs of every listener.

import Glibc

public struct PortsFile: Sendable {
    public let path: String

    /// `<directory>/<program>_<pid>.ports`, nats-server's name for it: whoever runs the program under another name, or by
    /// a link, looks for that name.
    public init(directory: String, program: String = CommandLine.arguments.first ?? "brokerd", process: Int32 = getpid()) {
        path = FilePath.join(directory, "\(FilePath.name(of: program))_\(process).ports")
    }

    /// The listeners' URLs; a kind without any is left out.
    public struct Listeners: Sendable, Equatable {
        public var nats: [String] = []
        public var monitoring: [String] = []
        public init() {}
    }

    /// Writes the file; it appears whole, because readers poll for it. Throws
    /// `Error writing ports file (F): …`, which nats-server logs and lives with.
    public func write(_ listeners: Listeners) throws(FileFailure) {
        let partial = path + ".tmp"
        do throws(FileFailure) {
            try writeFile(partial, Self.json(listeners), mode: 0o644)
            if rename(partial, path) != 0 { throw FileFailure("rename \(partial): \(systemMessage(errno))") }
        } catch {
            throw FileFailure("Error writing ports file (\(path)): \(error)")
        }
    }

    /// Removes the file at shutdown.
    public func remove() { unlink(path) }

    static func json(_ listeners: Listeners) -> String {
        let kinds = [("nats", listeners.nats), ("monitoring", listeners.monitoring)].filter { !$0.1.isEmpty }
        // URLs hold nothing that JSON would need escaped.
        let members = kinds.map { name, urls in "\"\(name)\":[" + urls.map { "\"\($0)\"" }.joined(separator: ",") + "]" }
        return "{" + members.joined(separator: ",") + "}"
    }

    /// The URLs under which a listener is reachable: its host's, or where it listens on all addresses, one for each
    /// address of this machine.
    public static func urls(scheme: String, host: String, port: Int) -> [String] {
        let isAny = host == "0.0.0.0" || host == "::" || host.isEmpty
        return (isAny ? localAddresses() : [host]).map { address in
            address.contains(":") ? "\(scheme)://[\(address)]:\(port)" : "\(scheme)://\(address):\(port)"
        }
    }

    private static func localAddresses() -> [String] {
        var first: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&first) == 0 else { return ["127.0.0.1"] }
        defer { freeifaddrs(first) }
        var addresses: [String] = []
        var next = first
        while let entry = next {
            next = entry.pointee.ifa_next
            guard let address = entry.pointee.ifa_addr else { continue }
            let length: Int
            switch Int32(address.pointee.sa_family) {
            case AF_INET: length = MemoryLayout<sockaddr_in>.size
            case AF_INET6: length = MemoryLayout<sockaddr_in6>.size
            default: continue
            }
            var text = [CChar](repeating: 0, count: 128)
            guard getnameinfo(address, socklen_t(length), &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST) == 0
            else { continue }
            let bytes = text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
            // A link-local address carries its interface after a percent sign, which no URL needs here.
            addresses.append(String(decoding: bytes.prefix { $0 != UInt8(ascii: "%") }, as: UTF8.self))
        }
        return addresses
    }
}
