// The flags of the command line: their names, which are nats-server's, how they are parsed, and what they set.
// The syntax is that of Go's flag package: one dash or two, `-x v` or `-x=v`, switches with `=false`; the first
// argument that is no flag ends them.

struct CommandLineFlags: Sendable, Equatable {
    enum Flag: Sendable {
        case host, port, serverName, pidFile, monitorPort, configFile, test, signal, clientAdvertise, portsFileDirectory
        case log, logtime, logtimeUTC, syslog, debug, trace, traceVerbose, debugTrace, debugTraceVerbose
        case logSizeLimit, tracedMessageMax, user, password, token, jetStream, storeDirectory, loops, spin, help, version
        /// Known to nats-server, not done by Bellhop yet.
        case unsupportedSwitch, unsupportedText, unsupportedNumber
    }

    enum Value: Sendable, Equatable {
        case text(String)
        case number(Int)
        case flag(Bool)
    }

    private enum Shape { case text, number, toggle }

    private static let flags: [String: Flag] = [
        "a": .host, "addr": .host, "net": .host, "p": .port, "port": .port,
        "n": .serverName, "name": .serverName, "server_name": .serverName, "P": .pidFile, "pid": .pidFile,
        "m": .monitorPort, "http_port": .monitorPort, "c": .configFile, "config": .configFile, "t": .test,
        "sl": .signal, "signal": .signal, "client_advertise": .clientAdvertise, "ports_file_dir": .portsFileDirectory,
        "l": .log, "log": .log, "T": .logtime, "logtime": .logtime, "logtime_utc": .logtimeUTC, "s": .syslog,
        "syslog": .syslog, "D": .debug, "debug": .debug, "V": .trace, "trace": .trace, "VV": .traceVerbose,
        "DV": .debugTrace, "DVV": .debugTraceVerbose, "log_size_limit": .logSizeLimit,
        "max_traced_msg_len": .tracedMessageMax, "user": .user, "pass": .password, "auth": .token,
        "sd": .storeDirectory, "store_dir": .storeDirectory, "loops": .loops, "spin": .spin,
        "h": .help, "help": .help, "v": .version, "version": .version,
        "js": .jetStream, "jetstream": .jetStream, "tls": .unsupportedSwitch,
        "tlsverify": .unsupportedSwitch, "help_tls": .unsupportedSwitch, "no_advertise": .unsupportedSwitch,
        "ms": .unsupportedNumber, "https_port": .unsupportedNumber, "profile": .unsupportedNumber,
        "connect_retries": .unsupportedNumber, "tlscert": .unsupportedText, "tlskey": .unsupportedText,
        "tlscacert": .unsupportedText, "routes": .unsupportedText, "cluster": .unsupportedText,
        "cluster_name": .unsupportedText, "cluster_listen": .unsupportedText, "cluster_advertise": .unsupportedText,
        "r": .unsupportedText, "remote_syslog": .unsupportedText,
    ]

    private static func shape(of flag: Flag) -> Shape {
        switch flag {
        case .port, .monitorPort, .logSizeLimit, .tracedMessageMax, .loops, .spin, .unsupportedNumber: .number
        case .test, .logtime, .logtimeUTC, .syslog, .debug, .trace, .traceVerbose, .debugTrace, .debugTraceVerbose, .help,
            .version, .jetStream, .unsupportedSwitch:
            .toggle
        default: .text
        }
    }

    struct Assignment: Sendable, Equatable {
        var flag: Flag
        var value: Value
    }

    /// In the order of the command line; a later one overrides an earlier.
    private(set) var assignments: [Assignment] = []
    /// What follows the flags: commands such as `version`.
    private(set) var commands: [String] = []

    init() {}

    /// Parses what follows the program's name.
    init(_ arguments: some Sequence<String>) throws(ConfigurationError) {
        var rest = Array(arguments)[...]
        while let argument = rest.first {
            guard argument.hasPrefix("-"), argument != "-" else { break }
            rest.removeFirst()
            if argument == "--" { break }
            let body = argument.dropFirst(argument.hasPrefix("--") ? 2 : 1)
            let parts = body.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = String(parts[0])
            if name.isEmpty || name.hasPrefix("-") { throw ConfigurationError("bad flag syntax: \(argument)") }
            guard let flag = Self.flags[name] else {
                throw ConfigurationError("flag provided but not defined: -\(name)")
            }
            var written = parts.count > 1 ? String(parts[1]) : nil
            if written == nil, Self.shape(of: flag) != .toggle {
                written = rest.popFirst()
                if written == nil { throw ConfigurationError("flag needs an argument: -\(name)") }
            }
            let value = try Self.value(written ?? "true", of: flag, name: name)
            if try Self.isRefused(flag, value) {
                throw ConfigurationError(
                    "flag -\(name) is known to nats-server but not supported by this version of Bellhop yet")
            }
            assignments.append(Assignment(flag: flag, value: value))
        }
        commands = Array(rest)
    }

    private static func value(_ written: String, of flag: Flag, name: String) throws(ConfigurationError) -> Value {
        switch shape(of: flag) {
        case .text: return .text(written)
        case .number:
            let number = integer(written)
            let range =
                switch flag {
                case .port, .monitorPort: -1...65_535
                case .loops: 0...1024
                case .spin: 0...1_000_000
                default: Int.min...Int.max
                }
            guard let number else {
                throw ConfigurationError("invalid value \(goQuoted(written)) for flag -\(name): parse error")
            }
            guard range.contains(number) else {
                throw ConfigurationError(
                    "invalid value \(goQuoted(written)) for flag -\(name): not between \(range.lowerBound) and \(range.upperBound)"
                )
            }
            return .number(number)
        case .toggle:
            switch written {
            case "1", "t", "T", "TRUE", "true", "True": return .flag(true)
            case "0", "f", "F", "FALSE", "false", "False": return .flag(false)
            default:
                throw ConfigurationError("invalid boolean value \(goQuoted(written)) for -\(name): parse error")
            }
        }
    }

    /// Decimal, or with Go's prefixes: 0x, 0o, 0b, and 0 for octal.
    private static func integer(_ text: String) -> Int? {
        let isNegative = text.hasPrefix("-")
        let digits = text.drop { $0 == "-" || $0 == "+" }
        if text.count - digits.count > 1 || digits.contains(where: { $0 == "-" || $0 == "+" }) { return nil }
        let lowered = digits.lowercased()
        let magnitude: Int?
        if lowered.hasPrefix("0x") {
            magnitude = Int(lowered.dropFirst(2), radix: 16)
        } else if lowered.hasPrefix("0b") {
            magnitude = Int(lowered.dropFirst(2), radix: 2)
        } else if lowered.hasPrefix("0o") {
            magnitude = Int(lowered.dropFirst(2), radix: 8)
        } else if lowered.hasPrefix("0"), lowered.count > 1 {
            magnitude = Int(lowered, radix: 8)
        } else {
            magnitude = Int(lowered)
        }
        return magnitude.map { isNegative ? -$0 : $0 }
    }

    /// A switch that is off, or a number or text that is empty, asks for nothing and is let pass.
    private static func isRefused(_ flag: Flag, _ value: Value) throws(ConfigurationError) -> Bool {
        switch (flag, value) {
        case (.unsupportedSwitch, .flag(let isOn)): isOn
        case (.unsupportedNumber, .number(let number)): number != 0
        case (.unsupportedText, .text(let text)): !text.isEmpty
        default: false
        }
    }

    /// The last value given for a flag.
    private func last(_ flag: Flag) -> Value? { assignments.last { $0.flag == flag }?.value }

    func isOn(_ flag: Flag) -> Bool { last(flag) == .flag(true) }

    func text(_ flag: Flag) -> String? {
        if case .text(let text) = last(flag), !text.isEmpty { text } else { nil }
    }

    var configFile: String? {
        get { text(.configFile) }
        set {
            assignments.removeAll { $0.flag == .configFile }
            if let newValue { assignments.append(Assignment(flag: .configFile, value: .text(newValue))) }
        }
    }

    // MARK: What they set

    /// Overrides what the file said. An empty text and the port 0 stand for "not given", as in nats-server.
    func apply(to options: inout Options) {
        for assignment in assignments {
            switch assignment.value {
            case .text(let text): if !text.isEmpty { Self.set(assignment.flag, text, &options) }
            case .number(let number): Self.set(assignment.flag, number, &options)
            case .flag(let isOn): Self.set(assignment.flag, isOn, &options)
            }
        }
    }

    private static func set(_ flag: Flag, _ text: String, _ options: inout Options) {
        switch flag {
        case .host: options.host = text
        case .serverName: options.serverName = text
        case .pidFile: options.pidFile = text
        case .clientAdvertise: options.clientAdvertise = text
        case .portsFileDirectory: options.portsFileDirectory = text
        case .log: options.log.file = text
        case .user: options.authorization.user = text
        case .password: options.authorization.password = text
        case .token: options.authorization.token = text
        case .storeDirectory: options.jetStream.storeDirectory = text
        default: break
        }
    }

    private static func set(_ flag: Flag, _ number: Int, _ options: inout Options) {
        switch flag {
        case .port: if number != 0 { options.port = number }
        case .monitorPort: if number != 0 { options.monitorPort = number }
        case .logSizeLimit: options.log.fileSizeLimitBytes = max(0, number)
        case .tracedMessageMax: options.log.tracedMessageBytesMax = max(0, number)
        case .loops: options.loops = number == 0 ? nil : number
        case .spin: options.spinUs = number
        default: break
        }
    }

    private static func set(_ flag: Flag, _ isOn: Bool, _ options: inout Options) {
        switch flag {
        case .logtime: options.log.timestamps = isOn
        case .logtimeUTC: options.log.utc = isOn
        case .syslog: options.log.syslog = isOn
        case .jetStream: if isOn { options.jetStream.isEnabled = true }
        case .debug: options.log.debug = isOn
        case .trace: options.log.trace = isOn
        case .debugTrace:
            options.log.debug = isOn
            options.log.trace = isOn
        case .traceVerbose:
            options.log.trace = isOn
            options.log.traceVerbose = isOn
        case .debugTraceVerbose:
            options.log.debug = isOn
            options.log.trace = isOn
            options.log.traceVerbose = isOn
        default: break
        }
    }
}
