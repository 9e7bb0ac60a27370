// Checks what no single key can tell: that the options fit together. nats-server does this at start, after flags and
// file are merged; here `-t` does it too, so that a file that passes also starts.

enum OptionsValidator {
    /// The first contradiction, in nats-server's words; nil where there is none.
    static func contradiction(in options: Options) -> ConfigurationError? {
        if options.maxPayloadBytes > options.maxPendingBytes {
            return ConfigurationError(
                "max_payload (\(options.maxPayloadBytes)) cannot be higher than max_pending (\(options.maxPendingBytes))")
        }
        if options.serverName?.contains(" ") == true { return ConfigurationError("server name cannot contain spaces") }
        if options.lameDuckGracePeriodMs >= options.lameDuckDurationMs {
            let grace = ConfigurationDuration(nanoseconds: options.lameDuckGracePeriodMs * 1_000_000)
            let duration = ConfigurationDuration(nanoseconds: options.lameDuckDurationMs * 1_000_000)
            return ConfigurationError(
                "lame duck grace period (\(grace)) should be strictly lower than lame duck duration (\(duration))")
        }
        if let port = options.monitorPort, port > 0, port == options.port {
            return ConfigurationError("port \(port) is set for clients and for monitoring")
        }
        return advertiseMistake(options) ?? accountMistake(options)
    }

    private static func advertiseMistake(_ options: Options) -> ConfigurationError? {
        guard let address = options.clientAdvertise else { return nil }
        // The port may be left out: it is the listening port then.
        let hasPort = splitHostPort(address).map { UInt16($0.port) != nil && !$0.host.isEmpty } ?? false
        let isHost = !address.contains(":") || (address.hasPrefix("[") && address.hasSuffix("]"))
        if hasPort || isHost { return nil }
        return ConfigurationError("client_advertise \(goQuoted(address)) is neither host nor host:port")
    }

    private static func accountMistake(_ options: Options) -> ConfigurationError? {
        if let name = options.systemAccount, name != "$SYS", !options.accounts.contains(where: { $0.name == name }) {
            return ConfigurationError("error resolving system account: account missing")
        }
        if let name = options.noAuthUser {
            let users = options.authorization.users + options.accounts.flatMap(\.users)
            if users.isEmpty {
                return ConfigurationError("no_auth_user: \(goQuoted(name)) present, but users/nkeys are not defined")
            }
            if !users.contains(where: { $0.name == name || $0.nkey == name }) {
                return ConfigurationError(
                    "no_auth_user: \(goQuoted(name)) not present as user or nkey in authorization block or account configuration"
                )
            }
        }
        return nil
    }
}
