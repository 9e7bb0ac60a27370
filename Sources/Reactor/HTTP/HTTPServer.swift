// A small HTTP/1.1 server on one loop: it listens, keeps count of its connections, and hands requests to one handler.

import CLinux
import Glibc

/// The limits of a server. Together they bound its memory: connections times 64 KiB for what is read, and
/// `unsentBytesMax` for answers that clients are slow to take.
public struct HTTPServerLimits: Sendable {
    public var request = HTTPRequestLimits()
    public var connectionsMax = 256
    /// For a request to arrive, from its first byte (on a new connection: from its beginning) to its last.
    public var readMs = 10_000
    /// Between two requests of a connection.
    public var idleMs = 75_000
    /// For the handler to answer.
    public var answerMs = 30_000
    /// Bodies of all connections together that are not on their way yet; beyond it answers become a 503.
    public var unsentBytesMax = 256 << 20
    public init() {}
}

/// Lives on the loop it was made on.
public final class HTTPServer {
    /// Gets each request on the server's loop, and answers through the responder: at once, later, from any thread.
    public typealias Handler = (HTTPRequest, HTTPResponder) -> Void

    public let address: SocketAddress
    let loop: EventLoop
    let limits: HTTPServerLimits
    let handler: Handler
    private let listener: Listener
    private var connections: [ChannelID: HTTPConnection] = [:]
    /// Bodies that wait in connections.
    var unsentBytes = 0

    /// Binds and listens; `start` begins to accept.
    ///
    /// - Parameter port: -1 asks the system for a free one.
    public init(
        host: String, port: Int, loop: EventLoop, limits: HTTPServerLimits = HTTPServerLimits(), handler: @escaping Handler
    ) throws(SystemError) {
        listener = try Listener(host: host, port: port, loop: loop)
        address = listener.address
        self.loop = loop
        self.limits = limits
        self.handler = handler
    }

    public var connectionCount: Int { connections.count }

    public func start() {
        listener.start { [unowned self] socket in self.accept(socket) }
    }

    /// Accepts no more, and closes what is open.
    public func stop() {
        listener.stop()
        for connection in Array(connections.values) { connection.close() }
    }

    private func accept(_ socket: consuming FileDescriptor) {
        if connections.count >= limits.connectionsMax && !evictIdle() {
            let sorry: StaticString =
                "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            _ = send(socket.raw, sorry.utf8Start, sorry.utf8CodeUnitCount, Int32(MSG_NOSIGNAL))
            return
        }
        loop.adopt(socket) { channel in
            let connection = HTTPConnection(server: self, channel: channel)
            connections[channel.pointee.id] = connection
            return connection
        }
    }

    /// Makes room: the connection that has waited longest for its next request goes.
    private func evictIdle() -> Bool {
        let idle = connections.values.filter(\.isIdle).min { $0.idleSinceNs < $1.idleSinceNs }
        idle?.close()
        return idle != nil
    }

    func remove(_ channel: ChannelRef) { connections[channel.pointee.id] = nil }
}

/// The right to answer one request, once. Crosses threads freely; answers to a connection that is gone are dropped.
public struct HTTPResponder: Sendable {
    let mailbox: Mailbox
    let channel: ChannelID
    let number: UInt64

    /// Sends the answer. It never does so within the call that handed out the responder, but a turn later at the earliest.
    public func answer(_ response: HTTPResponse) {
        let (channel, number) = (channel, number)
        mailbox.post { loop in
            guard let open = loop.channel(channel), let connection = open.pointee.handler as? HTTPConnection else { return }
            connection.answer(number, response)
        }
    }
}
