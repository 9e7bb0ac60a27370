// What changes when a configuration is read again: which changes a running broker can take over, and which need a
// restart. A pure comparison of two Options; whoever owns a setting carries its change out.

/// One setting that a running broker takes over. Its description is nats-server's log line.
public enum ReloadChange: Sendable, Equatable, CustomStringConvertible {
    case debug(Bool)
    case trace(Bool)
    case traceVerbose(Bool)
    case logTime(Bool)
    case logTimeUTC(Bool)
    case logFile(String?)
    case syslog(Bool)
    case tracedMessageBytesMax(Int)
    case maxConnections(Int)
    case maxControlLineBytes(Int)
    case maxPayloadBytes(Int)
    case pingIntervalMs(Int)
    case pingsOutMax(Int)
    case writeDeadlineMs(Int)
    case authTimeoutMs(Int)
    case noFastProducerStall(Bool)
    /// Users, passwords, token or their permissions: clients that would no longer get in are to be closed.
    case authorization
    /// Accounts, their users or limits; likewise.
    case accounts
    case clientAdvertise(String?)

    public var description: String {
        switch self {
        case .debug(let isOn): "Reloaded: debug = \(isOn)"
        case .trace(let isOn): "Reloaded: trace = \(isOn)"
        case .traceVerbose(let isOn): "Reloaded: trace_verbose = \(isOn)"
        case .logTime(let isOn): "Reloaded: logtime = \(isOn)"
        case .logTimeUTC(let isOn): "Reloaded: logtime_utc = \(isOn)"
        case .logFile(let file): "Reloaded: log_file = \(file ?? "")"
        case .syslog(let isOn): "Reloaded: syslog = \(isOn)"
        case .tracedMessageBytesMax(let count): "Reloaded: max_traced_msg_len = \(count)"
        case .maxConnections(let count): "Reloaded: max_connections = \(count)"
        case .maxControlLineBytes(let count): "Reloaded: max_control_line = \(count)"
        case .maxPayloadBytes(let count): "Reloaded: max_payload = \(count)"
        case .pingIntervalMs(let time): "Reloaded: ping_interval = \(Self.shown(time))"
        case .pingsOutMax(let count): "Reloaded: ping_max = \(count)"
        case .writeDeadlineMs(let time): "Reloaded: write_deadline = \(Self.shown(time))"
        case .authTimeoutMs(let time): "Reloaded: authorization timeout = \(Reload.goSeconds(time))"
        case .noFastProducerStall(let isOn): "Reloaded: fast producers will \(isOn ? "not " : "")be stalled"
        case .authorization: "Reloaded: authorization users"
        case .accounts: "Reloaded: accounts"
        case .clientAdvertise(let address): "Reload: client_advertise = \(address ?? "")"
        }
    }

    private static func shown(_ milliseconds: Int) -> String {
        ConfigurationDuration(nanoseconds: milliseconds * 1_000_000).description
    }
}

public enum Reload {
    /// What a broker that runs with `old` has to do to run with `new`; empty where nothing changed.
    ///
    /// Throws `config reload not supported for X: old=…, new=…` for the first setting that needs a restart; then
    /// nothing may be taken over.
    public static func diff(old: Options, new: Options) throws(ConfigurationError) -> [ReloadChange] {
        try rejectFixed(old, new)
        var changes: [ReloadChange] = []
        // Carries over what can change; whatever still differs afterwards is a setting this file has forgotten.
        var rest = old
        func compare<Value: Equatable>(_ field: WritableKeyPath<Options, Value>, _ change: (Value) -> ReloadChange) {
            rest[keyPath: field] = new[keyPath: field]
            if old[keyPath: field] != new[keyPath: field] { changes.append(change(new[keyPath: field])) }
        }
        compare(\.log.debug, ReloadChange.debug)
        compare(\.log.trace, ReloadChange.trace)
        compare(\.log.traceVerbose, ReloadChange.traceVerbose)
        compare(\.log.timestamps, ReloadChange.logTime)
        compare(\.log.utc, ReloadChange.logTimeUTC)
        compare(\.log.file, ReloadChange.logFile)
        compare(\.log.syslog, ReloadChange.syslog)
        compare(\.log.tracedMessageBytesMax, ReloadChange.tracedMessageBytesMax)
        compare(\.maxConnections, ReloadChange.maxConnections)
        compare(\.maxControlLineBytes, ReloadChange.maxControlLineBytes)
        compare(\.maxPayloadBytes, ReloadChange.maxPayloadBytes)
        compare(\.pingIntervalMs, ReloadChange.pingIntervalMs)
        compare(\.pingsOutMax, ReloadChange.pingsOutMax)
        compare(\.writeDeadlineMs, ReloadChange.writeDeadlineMs)
        compare(\.authTimeoutMs, ReloadChange.authTimeoutMs)
        compare(\.noFastProducerStall, ReloadChange.noFastProducerStall)
        compare(\.authorization) { _ in .authorization }
        compare(\.accounts) { _ in .accounts }
        compare(\.clientAdvertise, ReloadChange.clientAdvertise)
        rest.configFile = new.configFile
        if rest != new { throw ConfigurationError("config reload not supported for Options: something else has changed") }
        return changes
    }

    /// The settings that need a restart, under the names that nats-server reports them by.
    private static func rejectFixed(_ old: Options, _ new: Options) throws(ConfigurationError) {
        func fixed<Value: Equatable>(
            _ name: String, _ field: KeyPath<Options, Value>, _ shown: (Value) -> String
        ) throws(ConfigurationError) {
            if old[keyPath: field] == new[keyPath: field] { return }
            throw ConfigurationError(
                "config reload not supported for \(name): old=\(shown(old[keyPath: field])), new=\(shown(new[keyPath: field]))")
        }
        func number(_ value: Int) -> String { String(value) }
        func optionalNumber(_ value: Int?) -> String { String(value ?? 0) }
        func text(_ value: String?) -> String { value ?? "" }
        func flag(_ value: Bool) -> String { String(value) }
        func time(_ milliseconds: Int) -> String { ConfigurationDuration(nanoseconds: milliseconds * 1_000_000).description }

        try fixed("Host", \.host) { $0 }
        try fixed("Port", \.port, number)
        try fixed("ServerName", \.serverName, text)
        try fixed("Loops", \.loops, optionalNumber)
        try fixed("Spin", \.spinUs) { ConfigurationDuration(nanoseconds: $0 * 1000).description }
        try fixed("MaxSubs", \.maxSubscriptions, number)
        try fixed("MaxSubTokens", \.maxSubscriptionTokens, number)
        try fixed("MaxPending", \.maxPendingBytes, number)
        try fixed("NoHeaderSupport", \.noHeaderSupport, flag)
        try fixed("LameDuckDuration", \.lameDuckDurationMs, time)
        try fixed("LameDuckGracePeriod", \.lameDuckGracePeriodMs, time)
        try fixed("MaxClosedClients", \.maxClosedClients, number)
        try fixed("HTTPHost", \.monitorHost, text)
        try fixed("HTTPPort", \.monitorPort, optionalNumber)
        try fixed("HTTPBasePath", \.monitorBasePath) { $0 }
        try fixed("SystemAccount", \.systemAccount, text)
        try fixed("NoSystemAccount", \.noSystemAccount, flag)
        try fixed("NoAuthUser", \.noAuthUser, text)
        try fixed("LogSizeLimit", \.log.fileSizeLimitBytes, number)
        try fixed("LogMaxFiles", \.log.fileCountMax, number)
        try fixed("PidFile", \.pidFile, text)
        try fixed("PortsFileDir", \.portsFileDirectory, text)
        try fixed("JetStream", \.jetStream.isEnabled, flag)
        try fixed("StoreDir", \.jetStream.storeDirectory, text)
        if old.jetStream != new.jetStream {
            throw ConfigurationError("config reload not supported for JetStream: its settings need a restart")
        }
        try fixed("RemoteSyslog", \.log.remoteSyslog, text)
    }

    /// Seconds as Go prints a float: `3`, `0.5`.
    static func goSeconds(_ milliseconds: Int) -> String {
        milliseconds % 1000 == 0 ? String(milliseconds / 1000) : "\(Double(milliseconds) / 1000)"
    }
}
