// What the daemon does with its arguments: run, check a configuration, signal another broker, or explain itself.

import Glibc

public enum BrokerCommandLine {
    /// The version of Bellhop.
    public static let version = "0.1.0"
    /// The version of nats-server whose protocol, flags and files this is.
    public static let protocolVersion = "2.15.1"

    public enum Outcome: Sendable {
        /// Start a broker; print the warnings first.
        case run(LoadedConfiguration)
        /// Print `output`, to standard error where the code says failure or nats-server does so, and exit.
        case exit(code: Int32, output: String, isError: Bool)
    }

    /// Decides what a command line asks for. `arguments` begins with the program's name, whose last part appears in
    /// messages: under the name nats-server the output is nats-server's.
    public static func run(arguments: [String], environment: [String: String]) -> Outcome {
        let path = arguments.first ?? "brokerd"
        let program = String(path.split(separator: "/").last ?? "brokerd")
        func failure(_ message: String) -> Outcome { .exit(code: 1, output: message + "\n", isError: true) }

        let flags: CommandLineFlags
        do throws(ConfigurationError) {
            flags = try CommandLineFlags(arguments.dropFirst())
        } catch {
            return failure("\(program): \(error)\nTry '\(program) --help'.")
        }
        if flags.isOn(.version) { return .exit(code: 0, output: versionLine(program), isError: false) }
        if flags.isOn(.help) { return .exit(code: 0, output: help(program), isError: false) }
        for command in flags.commands {
            switch command.lowercased() {
            case "version": return .exit(code: 0, output: versionLine(program), isError: false)
            case "help": return .exit(code: 0, output: help(program), isError: false)
            default: return failure("\(program): unrecognized command: \(goQuoted(command))")
            }
        }
        if let request = flags.text(.signal) {
            do throws(ConfigurationError) {
                try ProcessSignal.send(request, program: program)
                return .exit(code: 0, output: "", isError: false)
            } catch {
                return failure("\(program): \(error)")
            }
        }
        let isTest = flags.isOn(.test)
        if isTest, flags.configFile == nil {
            return failure("\(program): must specify [-c, --config] option to check configuration file syntax")
        }
        do throws(ConfigurationFailure) {
            let loaded = try ConfigurationLoader(flags: flags, environment: environment).load()
            guard isTest else { return .run(loaded) }
            if !loaded.warnings.isEmpty { throw ConfigurationFailure(messages: loaded.warnings) }
            let file = loaded.options.configFile ?? ""
            // nats-server prints even success to standard error.
            return .exit(
                code: 0, output: "\(program): configuration file \(file) is valid (\(loaded.digest ?? ""))\n", isError: true)
        } catch {
            return failure("\(program): \(error)")
        }
    }

    static func versionLine(_ program: String) -> String {
        program == "nats-server"
            ? "nats-server: v\(protocolVersion)\n" : "\(program): v\(version) (NATS protocol \(protocolVersion))\n"
    }

    /// Lists what works, and no more.
    static func help(_ program: String) -> String {
        """

        Usage: \(program) [options]

        Server Options:
            -a, --addr, --net <host>         Bind to host address (default: 0.0.0.0)
            -p, --port <port>                Use port for clients (default: 4222; -1 picks a free one)
            -n, --name
                --server_name <server_name>  Server name (default: auto)
            -P, --pid <file>                 File to store PID
            -m, --http_port <port>           Use port for http monitoring (-1 picks a free one)
            -c, --config <file>              Configuration file
            -t                               Test configuration and exit
            -sl,--signal <signal>[=<pid>]    Send signal to a \(program) process (ldm, stop, quit, term, reopen, reload)
                                             <pid> can be either a PID (e.g. 1) or the path to a PID file
                --client_advertise <string>  Client URL to advertise to clients
                --ports_file_dir <dir>       Creates a ports file in the specified directory (<executable_name>_<pid>.ports).

        Bellhop Options:
                --loops <number>             Event loops (default: one per online core)
                --spin <microseconds>        Keep polling so long after work before sleeping (default: 0, off)

        JetStream Options:
            -js, --jetstream                 Enable JetStream functionality
            -sd, --store_dir <dir>           Set the storage directory

        Logging Options:
            -l, --log <file>                 File to redirect log output
            -T, --logtime                    Timestamp log entries (default: true)
                --logtime_utc                Timestamps in UTC instead of local timezone (default: false)
            -s, --syslog                     Log to syslog
            -D, --debug                      Enable debugging output
            -V, --trace                      Trace the raw protocol
            -VV                              Verbose trace (traces system account as well)
            -DV                              Debug and trace
            -DVV                             Debug and verbose trace (traces system account as well)
                --log_size_limit <limit>     Logfile size limit (default: none)
                --max_traced_msg_len <len>   Maximum printable length for traced messages (default: unlimited)

        Authorization Options:
                --user <user>                User required for connections
                --pass <password>            Password required for connections
                --auth <token>               Authorization token required for connections

        Common Options:
            -h, --help                       Show this message
            -v, --version                    Show version


        """
    }
}
