// Where a socket is bound or connected to, as people write it.

import Glibc

/// An IPv4 or IPv6 address with a port. The host is text without brackets.
public struct SocketAddress: Sendable, Equatable, CustomStringConvertible {
    public var host: String
    public var port: Int

    public init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// `host:port`, with IPv6 hosts in brackets.
    public var description: String { host.utf8.contains(0x3A) ? "[\(host)]:\(port)" : "\(host):\(port)" }

    /// The far end of a connected socket.
    public static func peer(of fd: Int32) -> SocketAddress { read(fd, getpeername) }

    /// The near end of a socket.
    public static func local(of fd: Int32) -> SocketAddress { read(fd, getsockname) }

    private static func read(
        _ fd: Int32, _ call: (Int32, UnsafeMutablePointer<sockaddr>?, UnsafeMutablePointer<socklen_t>?) -> Int32
    ) -> SocketAddress {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        return withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                guard call(fd, address, &length) == 0 else { return SocketAddress(host: "", port: 0) }
                return SocketAddress(address)
            }
        }
    }

    init(_ address: UnsafePointer<sockaddr>) {
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        switch Int32(address.pointee.sa_family) {
        case AF_INET:
            port = address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { v4 in
                var bytes = v4.pointee.sin_addr
                inet_ntop(AF_INET, &bytes, &text, socklen_t(text.count))
                return Int(UInt16(bigEndian: v4.pointee.sin_port))
            }
        case AF_INET6:
            port = address.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) { v6 in
                var bytes = v6.pointee.sin6_addr
                inet_ntop(AF_INET6, &bytes, &text, socklen_t(text.count))
                return Int(UInt16(bigEndian: v6.pointee.sin6_port))
            }
        default:
            port = 0
        }
        let name = text.withUnsafeBufferPointer { String(cString: $0.baseAddress.unsafelyUnwrapped) }
        // An IPv4 client of an IPv6 socket is shown as what it is.
        host = name.hasPrefix("::ffff:") ? String(name.dropFirst(7)) : name
    }
}
