// Accepts connections on one address and spreads them over the loops.

import CLinux
import Glibc
import Synchronization

/// A bound, listening socket. It accepts on the loop that it is attached to.
public final class Listener {
    public let address: SocketAddress
    private let socket: FileDescriptor
    private var accept: ((consuming FileDescriptor) -> Void)?
    private unowned let loop: EventLoop
    private var isPaused = false

    /// Binds and listens.
    ///
    /// - Parameters:
    ///   - host: a name or an address; empty or "0.0.0.0" is every interface, IPv6 included, as nats-server has it.
    ///   - port: -1 asks the system for a free one.
    public init(host: String, port: Int, loop: EventLoop) throws(SystemError) {
        self.loop = loop
        socket = try Listener.bind(host: host, port: port < 0 ? 0 : port)
        address = SocketAddress(
            host: host.isEmpty ? "0.0.0.0" : host, port: SocketAddress.local(of: socket.raw).port)
    }

    /// Begins to accept. `accept` is called on the listener's loop with each new socket.
    public func start(_ accept: @escaping (consuming FileDescriptor) -> Void) {
        self.accept = accept
        loop.watch(fd: socket.raw) { [unowned self] in self.acceptReady() }
    }

    /// Accepts no more. What has been accepted stays.
    public func stop() {
        guard accept != nil else { return }
        accept = nil
        loop.unwatch(fd: socket.raw)
        shutdown(socket.raw, Int32(SHUT_RDWR))
    }

    private static let acceptsPerTurn = 64
    private static let pauseMs = 100

    private func acceptReady() {
        for _ in 0..<Listener.acceptsPerTurn {
            guard let accept, !isPaused else { return }
            let fd = clinux_accept(socket.raw)
            if fd < 0 {
                switch errno {
                case EMFILE, ENFILE, ENOBUFS, ENOMEM: pause()
                default: break
                }
                return
            }
            var on: Int32 = 1
            setsockopt(fd, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
            accept(FileDescriptor(owning: fd))
        }
    }

    /// Out of descriptors: trying again at once would only spin.
    private func pause() {
        isPaused = true
        loop.unwatch(fd: socket.raw)
        loop.schedule(afterMs: Listener.pauseMs) { [weak self] in
            guard let self, self.accept != nil else { return }
            self.isPaused = false
            self.loop.watch(fd: self.socket.raw) { [unowned self] in self.acceptReady() }
        }
    }

    private static func bind(host: String, port: Int) throws(SystemError) -> FileDescriptor {
        let any = host.isEmpty || host == "0.0.0.0" || host == "::"
        if any, let dual = try? bindDual(port: port) { return dual }
        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_PASSIVE
        var found: UnsafeMutablePointer<addrinfo>?
        let failure = getaddrinfo(any ? nil : host, String(port), &hints, &found)
        guard failure == 0, let first = found else {
            throw SystemError("resolve \(host)", failure == EAI_SYSTEM ? errno : EADDRNOTAVAIL)
        }
        defer { freeaddrinfo(found) }
        var last = SystemError("listen on port \(port)", EADDRNOTAVAIL)
        var candidate: UnsafeMutablePointer<addrinfo>? = first
        while let info = candidate {
            do {
                return try open(info.pointee.ai_family, info.pointee.ai_addr, info.pointee.ai_addrlen, dual: false, port)
            } catch {
                last = error
            }
            candidate = info.pointee.ai_next
        }
        throw last
    }

    private static func bindDual(port: Int) throws(SystemError) -> FileDescriptor {
        var address = sockaddr_in6()
        address.sin6_family = sa_family_t(AF_INET6)
        address.sin6_port = UInt16(truncatingIfNeeded: port).bigEndian
        address.sin6_addr = in6addr_any
        var result: Result<Int32, SystemError> = .failure(SystemError("bind", 0))
        withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                do throws(SystemError) {
                    let fd = try open(AF_INET6, generic, socklen_t(MemoryLayout<sockaddr_in6>.size), dual: true, port)
                    result = .success(fd.release())
                } catch {
                    result = .failure(error)
                }
            }
        }
        return FileDescriptor(owning: try result.get())
    }

    private static func open(
        _ family: Int32, _ address: UnsafePointer<sockaddr>?, _ length: socklen_t, dual: Bool, _ port: Int
    ) throws(SystemError) -> FileDescriptor {
        let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let raw = Glibc.socket(family, kind, 0)
        guard raw >= 0 else { throw SystemError("socket") }
        let socket = FileDescriptor(owning: raw)
        var on: Int32 = 1
        let size = socklen_t(MemoryLayout<Int32>.size)
        setsockopt(raw, SOL_SOCKET, SO_REUSEADDR, &on, size)
        var only: Int32 = dual ? 0 : 1
        if family == AF_INET6 { setsockopt(raw, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &only, size) }
        guard Glibc.bind(raw, address, length) == 0 else { throw SystemError("listen on port \(port)") }
        guard listen(raw, 4_096) == 0 else { throw SystemError("listen on port \(port)") }
        return socket
    }
}
