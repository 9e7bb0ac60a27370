// A whole broker inside the test process: real loops, real sockets, a port that the system chose.

import Glibc
import Locks
import Reactor

@testable import Broker

/// Runs on a thread of its own from `init` until `stop`.
final class TestBroker: Sendable {
    let broker: Broker
    let port: Int

    /// - Parameter configure: changes the options of a broker with two loops on a free port of the loopback.
    convenience init(loops: Int = 2, _ configure: (inout Options) -> Void = { _ in }) throws {
        var options = Options()
        options.host = "127.0.0.1"
        options.port = -1
        options.loops = loops
        options.log.file = "/dev/null"
        configure(&options)
        try self.init(
            configuration: LoadedConfiguration(
                options: options, warnings: [], digest: nil, loader: ConfigurationLoader(file: nil)))
    }

    init(configuration: LoadedConfiguration) throws {
        let broker = try Broker(configuration, log: try Logger(configuration.options.log))
        self.broker = broker
        let failure = Box()
        pthread_detach(
            try spawnThread(name: "broker") {
                do { try broker.run() } catch { failure.text.withLock { $0 = "\(error)" } }
            })
        while true {
            if let address = broker.withState({ $0.clientAddress }) {
                port = address.port
                return
            }
            if let text = failure.text.withLock({ $0 }) { throw TestFailure(text) }
            usleep(500)
        }
    }

    func stop() { broker.stop() }

    /// Asks each loop's router something and waits for the answers.
    func onEveryLoop<T: Sendable>(_ body: @escaping @Sendable (Router) -> T) -> [T] {
        let answers = Answers<T>()
        broker.everyLoop { router in answers.values.withLock { $0.append(body(router)) } }
        while true {
            let got = answers.values.withLock { $0 }
            if got.count == broker.group.count { return got }
            usleep(200)
        }
    }

    /// A connected client that has read its INFO.
    func connect() throws -> RawClient { try RawClient(port: port) }

    /// A client that lives on that loop: connections are dealt out by their ids.
    func connect(loop: Int) throws -> RawClient {
        while true {
            let client = try connect()
            if client.clientID % broker.group.count == loop { return client }
        }
    }
}

private final class Answers<T: Sendable>: Sendable {
    let values = Locked<[T]>([])
}

private final class Box: Sendable {
    let text = Locked<String?>(nil)
}

struct TestFailure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
