// Reads the tree of a configuration file into Options, checking each value as nats-server does. This file has the
// top-level keys; AuthorizationReader and AccountReader have the blocks.
//
// Every mistake is collected, so that one run shows all of them, in the order of the file.

public struct OptionsReader {
    /// Starts as the defaults, or as what the flags said.
    public internal(set) var options: Options
    public internal(set) var errors: [ConfigurationError] = []
    /// What nats-server warns of and goes on: `-t` takes these for errors, a start prints them.
    public internal(set) var warnings: [ConfigurationError] = []
    /// User names and nkeys seen so far: they are unique over all accounts.
    var usersSeen: Set<String> = []
    /// Where each account stands in `options.accounts`.
    var accountIndexes: [String: Int] = [:]
    /// The `users` key of the first account that has some, for the messages about mixing them with single users.
    var firstAccountUsers: ConfigurationPosition?

    /// Reads the whole tree; then look at `errors`, `warnings` and `options`.
    public init(_ map: ConfigurationMap, file: String, over options: Options = Options()) {
        self.options = options
        if map.isEmpty {
            warnings.append(ConfigurationError("\(file): config has no values or is empty"))
        }
        for (key, value) in map.entries {
            do throws(ConfigurationError) {
                try readTopLevel(key, value)
            } catch {
                errors.append(error)
            }
        }
        checkSingleUserAgainstAccounts()
    }

    private mutating func readTopLevel(_ key: String, _ value: ConfigurationValue) throws(ConfigurationError) {
        switch key.lowercased() {
        case "listen", "port", "host", "net", "server_name", "client_advertise", "loops", "spin":
            try readListening(key, value)
        case "http", "http_port", "monitor_port", "http_base_path", "https", "https_port":
            try readMonitoring(key, value)
        case "debug", "trace", "trace_verbose", "trace_headers", "logtime", "logtime_utc", "logfile", "log_file",
            "logfile_size_limit", "log_size_limit", "logfile_max_num", "log_max_num", "syslog", "remote_syslog",
            "max_traced_msg_len":
            try readLogging(key, value)
        case "jetstream": try readJetStream(value)
        case "store_dir", "storedir":
            options.jetStream.storeDirectory = try value.path()
        case "authorization": try readAuthorization(value)
        case "accounts": try readAccounts(value)
        case "system_account", "system":
            guard case .string(let name) = value.kind else {
                throw .about(value.position, "system account name must be a string")
            }
            options.systemAccount = name.isEmpty ? nil : name
        case "no_system_account", "no_system", "no_sys_acc": options.noSystemAccount = try value.bool()
        case "no_auth_user":
            let user = try value.string()
            options.noAuthUser = user.isEmpty ? nil : user
        case "pidfile", "pid_file": options.pidFile = try value.path()
        case "ports_file_dir": options.portsFileDirectory = try value.path()
        case let name where Self.limitKeys.contains(name): try readLimit(name, value)
        default: try readInertOrRefuse(key, value)
        }
    }

    // MARK: Listening

    private mutating func readListening(_ key: String, _ value: ConfigurationValue) throws(ConfigurationError) {
        switch key.lowercased() {
        case "listen":
            let (host, port) = try value.hostAndPort()
            if let host { options.host = host.isEmpty ? Options().host : host }
            options.port = try value.port(port) ?? Options().port
        case "port": options.port = try value.port(try value.integer()) ?? Options().port
        case "host", "net":
            let host = try value.string()
            options.host = host.isEmpty ? Options().host : host
        case "server_name":
            let name = try value.string()
            if name.contains(" ") { throw .about(value.position, "server name cannot contain spaces") }
            options.serverName = name.isEmpty ? nil : name
        case "client_advertise":
            let address = try value.string()
            options.clientAdvertise = address.isEmpty ? nil : address
        case "loops":
            let count = try value.integer()
            guard (0...1024).contains(count) else {
                throw .about(value.position, "loops must be 1 to 1024, or 0 for one per core")
            }
            options.loops = count == 0 ? nil : count
        default:
            let spin = try value.duration("spin").microseconds
            guard (0...1_000_000).contains(spin) else { throw .about(value.position, "spin must be between 0 and 1s") }
            options.spinUs = spin
        }
    }

    private mutating func readMonitoring(_ key: String, _ value: ConfigurationValue) throws(ConfigurationError) {
        switch key.lowercased() {
        case "http":
            let (host, port) = try value.hostAndPort()
            if let host { options.monitorHost = host.isEmpty ? nil : host }
            options.monitorPort = try value.port(port)
        case "http_port", "monitor_port": options.monitorPort = try value.port(try value.integer())
        case "http_base_path": options.monitorBasePath = try value.string()
        default:
            if case .integer(0) = value.kind { return }
            throw unsupported(key, value)
        }
    }

    // MARK: Logging

    private mutating func readLogging(_ key: String, _ value: ConfigurationValue) throws(ConfigurationError) {
        switch key.lowercased() {
        case "debug": options.log.debug = try value.bool()
        case "trace": options.log.trace = try value.bool()
        case "trace_verbose":
            options.log.traceVerbose = try value.bool()
            options.log.trace = options.log.traceVerbose
        case "trace_headers":
            if try value.bool() { throw unsupported(key, value) }
        case "logtime": options.log.timestamps = try value.bool()
        case "logtime_utc": options.log.utc = try value.bool()
        case "logfile", "log_file": options.log.file = try value.path()
        case "logfile_size_limit", "log_size_limit": options.log.fileSizeLimitBytes = max(0, try value.integer())
        case "logfile_max_num", "log_max_num": options.log.fileCountMax = max(0, try value.integer())
        case "syslog": options.log.syslog = try value.bool()
        case "remote_syslog":
            if try !value.string().isEmpty { throw unsupported(key, value) }
        default: options.log.tracedMessageBytesMax = max(0, try value.integer())
        }
    }

    // MARK: Limits

    private static let limitKeys: Set<String> = [
        "max_connections", "max_conn", "max_subscriptions", "max_subs", "max_sub_tokens", "max_subscription_tokens",
        "max_control_line", "max_payload", "max_pending", "max_closed_clients", "ping_interval", "ping_max",
        "write_deadline", "lame_duck_duration", "lame_duck_grace_period", "no_fast_producer_stall", "no_header_support",
    ]

    /// Zero asks for the default, as in nats-server.
    private mutating func readLimit(_ key: String, _ value: ConfigurationValue) throws(ConfigurationError) {
        let defaults = Options()
        switch key {
        // Nobody is let in below one; nats-server makes zero minus one.
        case "max_connections", "max_conn": options.maxConnections = try value.nonzero(-1)
        case "max_subscriptions", "max_subs": options.maxSubscriptions = max(0, try value.integer())
        case "max_sub_tokens", "max_subscription_tokens":
            let count = try value.integer()
            if count > 255 { throw .about(value.position, "\(key) value is too big") }
            if count <= 0 { throw .about(value.position, "\(key) value can not be negative") }
            options.maxSubscriptionTokens = count
        case "max_control_line": options.maxControlLineBytes = try value.size(key, defaults.maxControlLineBytes)
        case "max_payload": options.maxPayloadBytes = try value.size(key, defaults.maxPayloadBytes)
        case "max_pending": options.maxPendingBytes = try value.nonzero(defaults.maxPendingBytes)
        case "max_closed_clients": options.maxClosedClients = try value.nonzero(defaults.maxClosedClients)
        case "ping_interval": options.pingIntervalMs = try durationOrSeconds(key, value, defaults.pingIntervalMs)
        case "ping_max": options.pingsOutMax = try value.nonzero(defaults.pingsOutMax)
        case "write_deadline": options.writeDeadlineMs = try durationOrSeconds(key, value, defaults.writeDeadlineMs)
        case "lame_duck_duration":
            let duration = try value.duration(key)
            if duration.milliseconds < 30_000 {
                throw .about(value.position, "invalid lame_duck_duration of \(duration), minimum is 30 seconds")
            }
            options.lameDuckDurationMs = duration.milliseconds
        case "lame_duck_grace_period":
            let duration = try value.duration(key)
            if duration.nanoseconds < 0 {
                throw .about(value.position, "invalid lame_duck_grace_period, needs to be positive")
            }
            options.lameDuckGracePeriodMs = duration.nanoseconds == 0 ? defaults.lameDuckGracePeriodMs : duration.milliseconds
        case "no_fast_producer_stall": options.noFastProducerStall = try value.bool()
        default: options.noHeaderSupport = try value.bool()
        }
    }

    /// A duration text, or a plain number of seconds, which nats-server still takes but warns of. Milliseconds.
    private mutating func durationOrSeconds(
        _ key: String, _ value: ConfigurationValue, _ defaultMs: Int
    ) throws(ConfigurationError) -> Int {
        let milliseconds: Int
        if case .string = value.kind {
            milliseconds = try value.duration(key).milliseconds
        } else {
            warnings.append(
                .about(value.position, "invalid use of field \(goQuoted(key)): \(key) should be converted to a duration"))
            let (product, overflow) = try value.integer().multipliedReportingOverflow(by: 1000)
            // Nanoseconds have to fit, too.
            if overflow || product.magnitude > UInt(Int.max / 1_000_000) {
                throw .about(value.position, "\(key) value is too big")
            }
            milliseconds = product
        }
        return milliseconds == 0 ? defaultMs : milliseconds
    }

    // MARK: Keys without effect here

    /// Keys that ask for nothing, or for what is so anyway, are accepted; what Bellhop cannot do yet is refused.
    private func readInertOrRefuse(_ key: String, _ value: ConfigurationValue) throws(ConfigurationError) {
        let name = key.lowercased()
        switch name {
        // How a subject's subscribers are looked up is Bellhop's own matter; nothing that a client sees depends on it.
        case "disable_sublist_cache", "no_sublist_cache": _ = try value.bool()
        // Only routes and leaf nodes report such errors. Without `tls` every connection is plain anyway.
        case "connect_error_reports", "reconnect_error_reports", "prof_block_rate": _ = try value.integer()
        case "allow_non_tls": _ = try value.bool()
        // A client that does not read in time is closed, which is what `default` and `close` mean.
        case "write_timeout":
            switch try value.string() {
            case "default", "close": break
            case "retry": throw unsupported(key, value)
            default: throw .about(value.position, "write_timeout must be 'default', 'close' or 'retry'")
            }
        case _ where UnsupportedKeys.topLevel.contains(name):
            if !value.asksForNothing(except: name) { throw unsupported(key, value) }
        default:
            if !value.isUsedVariable { throw .about(value.position, "unknown field \(goQuoted(key))") }
        }
    }

    func unsupported(_ key: String, _ value: ConfigurationValue) -> ConfigurationError {
        .about(
            value.position,
            "field \(goQuoted(key)) is known to nats-server but not supported by this version of Bellhop yet")
    }
}
