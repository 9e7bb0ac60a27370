// The broker as a system service: listeners, signals, pid and ports files, lame duck mode. Lives on loop 0.

import CLinux
import Glibc
import Reactor

/// Kept alive by what it registers on the loop.
final class Daemon {
    /// How long the broker must have been quiet.
    private static let settledMs = 300
    private var isSettling = false

    private let broker: Broker
    private let loop: EventLoop
    private let signals: SignalSource
    private var clients: Listener?
    private var monitoring: Monitoring?
    private var pidFile: PidFile?
    private var portsFile: PortsFile?

    init(broker: Broker, loop: EventLoop, signals: SignalSource) {
        self.broker = broker
        self.loop = loop
        self.signals = signals
    }

    /// Binds everything, says so, and begins to serve.
    func start() throws {
        let options = broker.options
        var listeners = PortsFile.Listeners()

        monitoring = try Monitoring.open(broker: broker, loop: loop)
        listeners.monitoring = monitoring?.urls ?? []
        let clients: Listener
        do {
            clients = try Listener(host: options.host, port: options.port, loop: loop)
        } catch {
            throw BrokerFailure("Error listening on port: \(SocketAddress(host: options.host, port: options.port)), \(error)")
        }
        self.clients = clients
        broker.withState { $0.clientAddress = clients.address }
        let known = Broker.advertised(options, bound: clients.address)
        broker.everyLoop { router in
            router.settings.info.host = known.host
            router.settings.info.port = known.port
        }
        broker.log.info("Listening for client connections on \(clients.address)")
        listeners.nats = PortsFile.urls(scheme: "nats", host: clients.address.host, port: clients.address.port)

        if let path = options.pidFile {
            let file = PidFile(path: path)
            try file.write()
            pidFile = file
        }
        if let directory = options.portsFileDirectory {
            let file = PortsFile(directory: directory)
            try file.write(listeners)
            portsFile = file
        }
        loop.watch(fd: signals.fd) { [self] in
            while let signal = signals.next() { handle(signal) }
        }
        clients.start { [self] socket in
            broker.admit(socket)
            settle()
        }
        broker.log.info("Server is ready")
        settle()
    }

    /// After a burst of connections, or the start, and once the broker has little to do: gives back the pages of code
    /// that only the burst needed.
    private func settle() {
        guard !isSettling else { return }
        isSettling = true
        let before = clock()
        loop.schedule(afterMs: Daemon.settledMs) { [self] in
            isSettling = false
            // Processor time, in microseconds on this system.
            if clock() - before < Daemon.settledMs * 1_000 / 20 { clinux_release_startup_pages() } else { settle() }
        }
    }

    private func handle(_ signal: Int32) {
        switch signal {
        case SIGINT, SIGTERM:
            broker.log.info("Trapped \"\(signal == SIGINT ? "interrupt" : "terminated")\" signal")
            broker.log.info("Initiating Shutdown...")
            shutDown()
        case SIGHUP:
            broker.log.info("Trapped \"hangup\" signal")
            broker.reload()
        case SIGUSR1:
            broker.log.reopen()
        case SIGUSR2:
            lameDuck()
        default:
            break
        }
    }

    private func shutDown() {
        clients?.stop()
        monitoring?.stop()
        pidFile?.remove()
        portsFile?.remove()
        broker.stop()
    }

    /// Nobody new is let in; those who are here learn that they should go, get `lame_duck_grace_period`, and are then
    /// closed one after the other over the rest of `lame_duck_duration`.
    private func lameDuck() {
        guard broker.beginLameDuck() else { return }
        broker.log.info("Entering lame duck mode, stop accepting new clients")
        clients?.stop()
        let options = broker.options
        loop.schedule(afterMs: options.lameDuckGracePeriodMs) { [self] in
            broker.log.info("Closing existing clients")
            closeNext(stepMs: options.lameDuckDurationMs - options.lameDuckGracePeriodMs, steps: 100)
        }
        closeWhenEmpty()
    }

    /// Closes a share of the connections on every loop, `steps` times.
    private func closeNext(stepMs: Int, steps: Int) {
        if steps == 0 || broker.connectionCount.load(ordering: .relaxed) == 0 {
            shutDown()
            return
        }
        broker.everyLoop { router in
            let share = (router.connections.count + steps - 1) / steps
            for connection in Array(router.connections.values.prefix(share)) { connection.close(.serverShutdown) }
        }
        loop.schedule(afterMs: max(1, stepMs / 100)) { [self] in closeNext(stepMs: stepMs, steps: steps - 1) }
    }

    private func closeWhenEmpty() {
        loop.schedule(afterMs: 100) { [self] in
            if broker.connectionCount.load(ordering: .relaxed) == 0 { shutDown() } else { closeWhenEmpty() }
        }
    }
}

/// A start that failed; the text is for the operator.
public struct BrokerFailure: Error, CustomStringConvertible, Sendable {
    public let description: String
    init(_ description: String) { self.description = description }
}
