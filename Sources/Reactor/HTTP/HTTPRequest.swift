// One request as its handler sees it: decoded, complete, and free of the connection it came on.

/// A name with its value: a header, or a parameter of a query.
public struct HTTPField: Sendable, Equatable {
    public var name: String
    public var value: String

    public init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }
}

/// A request with all of its body.
public struct HTTPRequest: Sendable, Equatable {
    /// As it was sent; methods are case-sensitive.
    public var method: String
    /// Percent-decoded, without the query; it begins with a slash, or is `*`.
    public var path: String
    /// Decoded, in their order; parameters that cannot be decoded are left out.
    public var query: [HTTPField]
    /// In their order, with names in lower case.
    public var headers: [HTTPField]
    public var body: [UInt8]
    /// Whether the client means to send more requests on its connection.
    public var keepsAlive: Bool
    /// The 1 of HTTP/1.1.
    public var minorVersion: Int

    public init(
        method: String, path: String, query: [HTTPField] = [], headers: [HTTPField] = [], body: [UInt8] = [],
        keepsAlive: Bool = true, minorVersion: Int = 1
    ) {
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body
        self.keepsAlive = keepsAlive
        self.minorVersion = minorVersion
    }

    /// The first header of that name, which is given in lower case.
    public func header(_ name: String) -> String? { headers.first { $0.name == name }?.value }

    /// The first parameter of that name.
    public func parameter(_ name: String) -> String? { query.first { $0.name == name }?.value }
}
