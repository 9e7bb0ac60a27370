// Takes typed values out of the configuration tree. A wrong type is reported in nats-server's words, which are Go's.

extension ConfigurationValue {
    private func mismatch(_ wanted: String) -> ConfigurationError {
        .about(position, "interface conversion: interface {} is \(goTypeName), not \(wanted)")
    }

    func string() throws(ConfigurationError) -> String {
        guard case .string(let text) = kind else { throw mismatch("string") }
        return text
    }

    func bool() throws(ConfigurationError) -> Bool {
        guard case .bool(let flag) = kind else { throw mismatch("bool") }
        return flag
    }

    func integer() throws(ConfigurationError) -> Int {
        guard case .integer(let number) = kind else { throw mismatch("int64") }
        return number
    }

    func map() throws(ConfigurationError) -> ConfigurationMap {
        guard case .map(let map) = kind else { throw mismatch("map[string]interface {}") }
        return map
    }

    /// A file name; an empty one is none.
    func path() throws(ConfigurationError) -> String? {
        let text = try string()
        return text.isEmpty ? nil : text
    }

    /// An integer for which 0 stands for the default.
    func nonzero(_ fallback: Int) throws(ConfigurationError) -> Int {
        let number = try integer()
        return number == 0 ? fallback : number
    }

    /// A size in bytes that fits into 32 bits, as nats-server requires of it.
    func size(_ key: String, _ fallback: Int) throws(ConfigurationError) -> Int {
        let number = try nonzero(fallback)
        if number > Int(Int32.max) { throw .about(position, "\(key) value is too big") }
        return number
    }

    /// A duration as text, such as "2m". A text that is none is reported after `prefix`, or after the key.
    func duration(_ key: String, prefix: String? = nil) throws(ConfigurationError) -> ConfigurationDuration {
        let text = try string()
        do throws(ConfigurationDuration.Failure) {
            return try ConfigurationDuration(text)
        } catch {
            throw .about(position, "\(prefix ?? "error parsing \(key):") \(error)")
        }
    }

    /// `port` or `host:port`. The host is nil where only a port is written, and without brackets where it is IPv6.
    func hostAndPort() throws(ConfigurationError) -> (host: String?, port: Int) {
        switch kind {
        case .integer(let port): return (nil, port)
        case .string(let text):
            guard let (host, port) = splitHostPort(text) else {
                throw .about(position, "could not parse address string \(goQuoted(text))")
            }
            guard let number = Int(port) else { throw .about(position, "could not parse port \(goQuoted(port))") }
            return (host, number)
        default: throw .about(position, "expected port or host:port, got \(goTypeName)")
        }
    }

    /// Checks a port that somebody wrote: -1 asks for a free one; nil for 0, which stands for "not given".
    func port(_ number: Int) throws(ConfigurationError) -> Int? {
        guard (-1...65_535).contains(number) else {
            throw .about(position, "port \(number) is not between -1 and 65535")
        }
        return number == 0 ? nil : number
    }
}

/// Splits `host:port` and `[v6]:port`; nil where it is neither. A bare IPv6 address is ambiguous, hence refused.
func splitHostPort(_ text: String) -> (host: String, port: String)? {
    guard let colon = text.lastIndex(of: ":") else { return nil }
    let port = String(text[text.index(after: colon)...])
    var host = text[..<colon]
    if host.first == "[" {
        guard host.last == "]" else { return nil }
        host = host.dropFirst().dropLast()
        return host.contains("[") || host.contains("]") ? nil : (String(host), port)
    }
    return host.contains(":") || host.contains("[") || host.contains("]") ? nil : (String(host), port)
}
