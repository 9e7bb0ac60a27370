// The monitoring pages of nats-server, and /metrics: one HTTP server on loop 0, one file per page.
//
// A page that shows what the loops hold asks each of them for copies (`Gathering`), and renders when all have answered.
// What may be large is rendered by a worker.

import Reactor
import Wire

/// Lives on loop 0.
final class Monitoring {
    private let broker: Broker
    private let basePath: String
    private var server: HTTPServer?
    private var requestCounts: [String: UInt64] = [:]
    private var meter: ProcessMeter

    private init(broker: Broker) {
        self.broker = broker
        let parts = broker.options.monitorBasePath.split(separator: "/")
        basePath = parts.isEmpty ? "" : "/" + parts.joined(separator: "/")
        meter = ProcessMeter(startedNs: broker.startedNs)
    }

    /// Begins to serve, where the options ask for it, and says so in the log.
    static func open(broker: Broker, loop: EventLoop) throws -> Monitoring? {
        let options = broker.options
        guard let port = options.monitorPort else { return nil }
        let monitoring = Monitoring(broker: broker)
        let host = options.monitorHost ?? options.host
        let server: HTTPServer
        do {
            server = try HTTPServer(host: host, port: port, loop: loop) { [unowned monitoring] request, responder in
                monitoring.serve(request, responder)
            }
        } catch {
            throw BrokerFailure(
                "Can't start monitoring: can't listen to the monitor port: \(SocketAddress(host: host, port: port)): \(error)")
        }
        monitoring.server = server
        broker.withState { $0.monitorAddress = server.address }
        broker.log.info("Starting http monitor on \(server.address)")
        server.start()
        return monitoring
    }

    /// As the ports file lists them.
    var urls: [String] {
        guard let address = server?.address else { return [] }
        return PortsFile.urls(scheme: "http", host: address.host, port: address.port)
    }

    func stop() { server?.stop() }

    // MARK: Serving

    private func serve(_ request: HTTPRequest, _ responder: HTTPResponder) {
        guard request.method == "GET" || request.method == "HEAD" else {
            responder.answer(
                .text(.methodNotAllowed, "405 method not allowed\n", headers: [HTTPField("Allow", "GET, HEAD")]))
            return
        }
        if let clean = Monitoring.cleaned(request.path) {
            let location = Monitoring.location(clean, request.query)
            responder.answer(HTTPResponse(.temporaryRedirect, headers: [HTTPField("Location", location)]))
            return
        }
        guard let name = pageName(request.path) else {
            responder.answer(
                .text(.notFound, "404 page not found\n", headers: [HTTPField("X-Content-Type-Options", "nosniff")]))
            return
        }
        requestCounts[name, default: 0] += 1
        let call = MonitoringCall(
            broker: broker, query: MonitoringQuery(request), responder: responder, basePath: basePath,
            requestCounts: requestCounts, process: meter.read())
        do throws(MonitoringFailure) {
            switch name {
            case "/varz": VarzPage.serve(call)
            case "/connz": try ConnzPage.serve(call)
            case "/subsz": try SubszPage.serve(call)
            case "/healthz": try HealthzPage.serve(call)
            case "/accountz": AccountzPage.serve(call)
            case "/accstatz": try AccstatzPage.serve(call)
            case "/routez": RoutezPage.serve(call)
            case "/gatewayz": GatewayzPage.serve(call)
            case "/leafz": LeafzPage.serve(call)
            case "/jsz": try JszPage.serve(call)
            case "/metrics": MetricsPage.serve(call)
            default: RootPage.serve(call)
            }
        } catch {
            responder.answer(.text(.badRequest, error.text))
        }
    }

    private static let pages: Set<String> = [
        "/", "/varz", "/connz", "/subsz", "/healthz", "/accountz", "/accstatz", "/routez", "/gatewayz", "/leafz", "/jsz",
        "/metrics",
    ]

    /// The page's name as http_req_stats counts it; nil for what there is not.
    private func pageName(_ path: String) -> String? {
        guard path.hasPrefix(basePath) else { return nil }
        var name = String(path.dropFirst(basePath.count))
        if name.isEmpty { return "/" }
        if name == "/" && !basePath.isEmpty { return nil }
        if name == "/subscriptionsz" { name = "/subsz" }
        return Monitoring.pages.contains(name) ? name : nil
    }

    /// Where Go's server would send a path with doubled slashes or dots; nil for a clean one.
    private static func cleaned(_ path: String) -> String? {
        var parts: [Substring] = []
        for part in path.split(separator: "/") where part != "." {
            if part == ".." { _ = parts.popLast() } else { parts.append(part) }
        }
        let clean = "/" + parts.joined(separator: "/") + (path.hasSuffix("/") && !parts.isEmpty ? "/" : "")
        return clean == path ? nil : clean
    }

    private static func location(_ path: String, _ query: [HTTPField]) -> String {
        let parameters = query.map { "\(HTTPText.percentEncoded($0.name))=\(HTTPText.percentEncoded($0.value))" }
        return HTTPText.percentEncoded(path) + (parameters.isEmpty ? "" : "?" + parameters.joined(separator: "&"))
    }
}

/// One request, with what a page may need from loop 0. Copies only: a page is often finished elsewhere.
struct MonitoringCall: Sendable {
    let broker: Broker
    let query: MonitoringQuery
    let responder: HTTPResponder
    let basePath: String
    let requestCounts: [String: UInt64]
    let process: ProcessFigures
    let nowWallNs = Clock.wallNs()

    static let jsonHeaders = [HTTPField("Access-Control-Allow-Origin", "*"), HTTPField("Content-Type", "application/json")]

    func answer(_ json: consuming JSONWriter, status: HTTPStatus = .ok) {
        responder.answer(HTTPResponse(status, headers: MonitoringCall.jsonHeaders, body: json.bytes))
    }

    /// An object that begins with what all pages begin with.
    func begin() -> JSONWriter {
        var json = JSONWriter(style: .pretty)
        json.beginObject()
        json.member("server_id", broker.serverID)
        json.member("now", MonitoringText.timestamp(nowWallNs))
        return json
    }

    /// Runs `work` here if it is small, else on a worker.
    func run(isLarge: Bool, _ work: @escaping @Sendable () -> Void) {
        if !isLarge {
            work()
        } else if !broker.workers.run(work) {
            responder.answer(.text(.serviceUnavailable, "the workers have too much to do"))
        }
    }
}
