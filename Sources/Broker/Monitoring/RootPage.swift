// `/`: links to the other pages, for people.

import Reactor

enum RootPage {
    static func serve(_ call: MonitoringCall) {
        let here = "." + call.basePath
        let links = [
            ("General", "varz"), ("Connections", "connz"), ("Accounts", "accountz"), ("Account Stats", "accstatz"),
            ("Subscriptions", "subsz"), ("Routes", "routez"), ("LeafNodes", "leafz"), ("Gateways", "gatewayz"),
            ("Health Probe", "healthz"), ("Prometheus Metrics", "metrics"),
        ].map { "\t<a href=\(here)/\($1)>\($0)<span class=\"endpoint\"> /\($1)</span></a>\n" }
        let page = """
            <!DOCTYPE html>
            <html lang="en">
            \t<head>
            \t<title>Bellhop</title>
            \t<style>
            \t\tbody { font-family: system-ui, sans-serif; font-size: 18px; margin-left: 32px }
            \t\ta { display: block; padding-bottom: 6px; color: #48485c; text-decoration: none }
            \t\ta:hover { color: #3b32ca }
            \t\t.endpoint { font-size: 12px; color: #999; font-family: monospace }
            \t</style>
            \t</head>
            \t<body>
            \t<h1>Bellhop <small>\(BrokerCommandLine.version)</small></h1>
            \(links.joined())\t</body>
            </html>

            """
        call.responder.answer(
            HTTPResponse(.ok, headers: [HTTPField("Content-Type", "text/html; charset=utf-8")], body: Array(page.utf8)))
    }
}
