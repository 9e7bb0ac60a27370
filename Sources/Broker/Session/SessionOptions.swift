// What remains of a CONNECT once the client has been let in.

/// The choices of one client that matter for as long as it is connected. Credentials are not among them.
struct SessionOptions {
    // As long as there was no CONNECT, nats-server takes these for on.
    var verbose = true
    var pedantic = true
    var echo = true
    var headers = false
    var noResponders = false
    var `protocol`: UInt8 = 0
    var name = ""
    var lang = ""
    var version = ""

    init() {}

    init(_ connect: ConnectOptions) {
        verbose = connect.verbose
        pedantic = connect.pedantic
        echo = connect.echo
        headers = connect.headers
        noResponders = connect.noResponders
        // A level that nobody speaks stays one.
        self.protocol = UInt8(exactly: connect.protocol) ?? .max
        name = connect.name
        lang = connect.lang
        version = connect.version
    }

    /// A CONNECT that says again what was said before: what a repeated one does not name stays as it was.
    var asConnect: ConnectOptions {
        var connect = ConnectOptions()
        connect.verbose = verbose
        connect.pedantic = pedantic
        connect.echo = echo
        connect.headers = headers
        connect.noResponders = noResponders
        connect.protocol = Int(self.protocol)
        connect.name = name
        connect.lang = lang
        connect.version = version
        return connect
    }
}
