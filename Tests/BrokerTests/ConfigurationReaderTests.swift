// Options from files and flags: each key's value, what is refused, and what the program prints.

import Glibc
import StoreKit
import Testing

@testable import Broker

private func read(_ text: String) throws -> OptionsReader {
    OptionsReader(try ConfigurationParser.parse(Array(text.utf8), file: "a.conf"), file: "a.conf")
}

private func options(_ text: String) throws -> Options {
    let reader = try read(text)
    #expect(reader.errors.isEmpty, "\(reader.errors)")
    return reader.options
}

extension TemporaryDirectory {
    var names: [String] { FilePath.names(in: path).sorted() }
    func write(_ name: String, _ content: String) throws -> String {
        try writeFile(path + "/" + name, content, mode: 0o600)
        return path + "/" + name
    }
    func content(_ name: String) throws -> String {
        String(decoding: try ConfigurationLoader.readFile(path + "/" + name), as: UTF8.self)
    }
}

@Suite struct ConfigurationReaderTests {
    @Test func everyPlainKeySetsItsOption() throws {
        let actual = try options(
            """
            listen: "127.0.0.1:4333", server_name: fred, client_advertise: "example.com:1", loops: 2, spin: "50us"
            max_conn: 10, max_subs: 20, max_sub_tokens: 30, max_control_line: 1KB, max_payload: 2KB, max_pending: 3KB
            ping_interval: "3s", ping_max: 4, write_deadline: "5s", lame_duck_duration: "31s", lame_duck_grace_period: "6s"
            no_fast_producer_stall: true, no_header_support: true, max_closed_clients: 7
            http: "[::1]:8222", http_base_path: "/nats", pid_file: "a.pid", ports_file_dir: "/run"
            debug: on, trace_verbose: on, logtime: off, logtime_utc: on, log_file: "a.log", logfile_size_limit: 1MB
            logfile_max_num: 5, max_traced_msg_len: 64, system_account: "$SYS", no_sys_acc: false
            """)
        var expected = Options()
        expected.host = "127.0.0.1"
        expected.port = 4333
        expected.serverName = "fred"
        expected.clientAdvertise = "example.com:1"
        expected.loops = 2
        expected.spinUs = 50
        expected.maxConnections = 10
        expected.maxSubscriptions = 20
        expected.maxSubscriptionTokens = 30
        expected.maxControlLineBytes = 1024
        expected.maxPayloadBytes = 2048
        expected.maxPendingBytes = 3072
        expected.pingIntervalMs = 3000
        expected.pingsOutMax = 4
        expected.writeDeadlineMs = 5000
        expected.lameDuckDurationMs = 31_000
        expected.lameDuckGracePeriodMs = 6000
        expected.noFastProducerStall = true
        expected.noHeaderSupport = true
        expected.maxClosedClients = 7
        expected.monitorHost = "::1"
        expected.monitorPort = 8222
        expected.monitorBasePath = "/nats"
        expected.pidFile = "a.pid"
        expected.portsFileDirectory = "/run"
        expected.log.debug = true
        expected.log.trace = true
        expected.log.traceVerbose = true
        expected.log.timestamps = false
        expected.log.utc = true
        expected.log.file = "a.log"
        expected.log.fileSizeLimitBytes = 1 << 20
        expected.log.fileCountMax = 5
        expected.log.tracedMessageBytesMax = 64
        expected.systemAccount = "$SYS"
        #expect(actual == expected)
    }

    @Test func zeroStandsForTheDefault() throws {
        #expect(
            try options("port: 0, max_payload: 0, max_pending: 0, ping_max: 0, http_port: 0") == Options())
    }

    @Test func usersAndPermissions() throws {
        let nkey = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"
        let block = try options(
            """
            authorization {
              timeout: 0.0001
              default_permissions: { publish: d }
              users: [
                {user: a, password: b, permissions: {publish: {allow: ["x.>"], deny: y}, subscribe: "q.* workers"}}
                {user: c, pass: d}
                {user: e, permissions: {allow_responses: {max: 3, expires: "2s"}}}
                {nkey: \(nkey), allowed_connection_types: [websocket]}
              ]
            }
            no_auth_user: c
            """)
        let users = block.authorization.users
        #expect(block.authTimeoutMs == 1)
        #expect(block.noAuthUser == "c")
        #expect(users.map(\.name) == ["a", "c", "e", nil])
        #expect(users[0].permissions?.publish?.allow == ["x.>"])
        #expect(users[0].permissions?.publish?.deny == ["y"])
        #expect(users[0].permissions?.subscribe?.allow == ["q.* workers"])
        #expect(users[1].permissions?.publish?.allow == ["d"])
        #expect(users[2].permissions?.publish?.allow == [])
        #expect(users[2].permissions?.allowResponses?.max == 3)
        #expect(users[2].permissions?.allowResponses?.expiresMs == 2000)
        #expect(users[3].nkey == nkey)
        #expect(users[3].allowedConnectionTypes == ["WEBSOCKET"])
        #expect(PublicNkey.isValid(nkey, kind: .user))
        #expect(!PublicNkey.isValid(nkey, kind: .account))
        #expect(!PublicNkey.isValid("UA" + nkey.dropFirst(2), kind: .user))
    }

    @Test func accounts() throws {
        let block = try options(
            """
            accounts {
              A { users: [{user: a, password: b}], limits { max_connections: 1, max_subs: 2, max_payload: 3 }, jetstream: disabled }
              B { default_permissions { subscribe: s }, users: [{user: c}], exports: [] }
            }
            system_account: B
            """)
        #expect(block.accounts.map(\.name) == ["A", "B"])
        #expect(block.accounts[0].maxConnections == 1)
        #expect(block.accounts[0].maxSubscriptions == 2)
        #expect(block.accounts[0].maxPayloadBytes == 3)
        #expect(block.accounts[1].maxConnections == -1)
        #expect(block.accounts[1].users[0].permissions?.subscribe?.allow == ["s"])
        #expect(OptionsValidator.contradiction(in: block) == nil)
    }

    @Test(arguments: [
        "tls { cert_file: x }", "tls {}", "websocket { port: 1 }",
        "mqtt { port: 1 }",
        "cluster { port: 1 }", "gateway { name: x }", "leafnodes { port: 1 }", "operator: x", "resolver: MEM",
        "mappings { a: b }",
        "trusted_keys: [x]", "https: 443", "server_tags: [a]", "proxy_protocol: true", "remote_syslog: \"udp://x\"",
        "trace_headers: true", "feature_flags { a: true }", "write_timeout: retry", "prof_port: 6060",
        "accounts { A { exports: [{service: a}] } }", "accounts { A { imports: [{stream: a}] } }",
        "accounts { A { msg_trace: {dest: a} } }", "authorization { auth_callout {} }",
        "authorization { users: [{user: a, proxy_required: true}] }",
    ]) func whatBellhopCannotDoIsRefusedByName(_ text: String) throws {
        let errors = try read(text).errors.map(\.description)
        #expect(errors.count == 1 && errors[0].hasPrefix("a.conf:1:"), "\(errors)")
        #expect(errors.first?.contains("known to nats-server but not supported by this version of Bellhop yet") == true)
    }

    @Test func everyMistakeIsReported() throws {
        let errors = try read("foo: 1\nport: x\nauthorization { bar: 1, user: 3 }\n").errors.map(\.description)
        #expect(
            errors == [
                "a.conf:1:0: unknown field \"foo\"", "a.conf:2:1: interface conversion: interface {} is string, not int64",
                "a.conf:3:17: unknown field \"bar\"", "a.conf:3:25: interface conversion: interface {} is int64, not string",
            ])
        #expect(try read("mine: 5\nport: $mine").errors.isEmpty)
    }

    @Test func aPortOutOfRangeIsRefused() throws {
        #expect(try read("port: 70000").errors.map(\.description) == ["a.conf:1:0: port 70000 is not between -1 and 65535"])
    }

    @Test(arguments: [
        ("1h30m", 5_400_000), ("100ms", 100), ("1.5s", 1500), ("-2s", -2000), ("0", 0), (".5s", 500), ("1us", 1),
        ("2m0.25s", 120_250),
    ]) func durations(_ text: String, _ milliseconds: Int) throws {
        #expect(try ConfigurationDuration(text).milliseconds == milliseconds)
    }

    @Test func durationsPrintAsGoPrintsThem() throws {
        for text in ["3m20s", "1m0s", "1.5s", "100ms", "2h0m0s", "0s", "1.5µs", "7ns", "-1m0.25s"] {
            #expect(try ConfigurationDuration(text).description == text)
        }
        for text in ["", "5", "x", "5x", "1..2s", "-", ".s", "999999999999h", "s"] {
            #expect(throws: ConfigurationDuration.Failure.self) { try ConfigurationDuration(text) }
        }
    }

    // MARK: The command line

    private func outcome(_ arguments: String..., as program: String = "brokerd") -> (
        code: Int32?, output: String, options: Options?
    ) {
        switch BrokerCommandLine.run(arguments: ["/usr/bin/" + program] + arguments, environment: [:]) {
        case .run(let loaded): (nil, loaded.warnings.joined(), loaded.options)
        case .exit(let code, let output, _): (code, output, nil)
        }
    }

    @Test func flagsSetOptions() throws {
        let all = outcome(
            "-p", "1", "--addr=::1", "-n", "fred", "-P", "x.pid", "-m=-1", "--client_advertise", "a:1", "-l", "x.log",
            "-T=false", "-DVV",
            "--user", "u", "-pass", "p", "--loops", "3", "--spin", "40", "-sd", "/data", "--ports_file_dir", "/run",
            "--max_traced_msg_len", "9",
            "--log_size_limit", "0x10", "-js=false")
        let options = try #require(all.options)
        #expect(options.port == 1 && options.host == "::1" && options.serverName == "fred" && options.pidFile == "x.pid")
        #expect(options.monitorPort == -1 && options.clientAdvertise == "a:1" && options.log.file == "x.log")
        #expect(!options.log.timestamps && options.log.debug && options.log.trace && options.log.traceVerbose)
        #expect(options.authorization.user == "u" && options.authorization.password == "p")
        #expect(options.loops == 3 && options.spinUs == 40 && options.portsFileDirectory == "/run")
        #expect(options.log.tracedMessageBytesMax == 9 && options.log.fileSizeLimitBytes == 16)
        #expect(outcome("--auth", "t").options?.authorization.token == "t")
        #expect(outcome().options == Options())
    }

    @Test func flagsOverrideTheFile() throws {
        let directory = TemporaryDirectory()
        let file = try directory.write("a.conf", "port: 1\ndebug: true\nping_interval: 5\n")
        let result = outcome("-c", file, "-p", "2", "-D=false")
        #expect(result.options?.port == 2)
        #expect(result.options?.log.debug == false)
        #expect(result.options?.pingIntervalMs == 5000)
        #expect(
            result.output.hasSuffix("invalid use of field \"ping_interval\": ping_interval should be converted to a duration"))
        #expect(outcome("-c", file, "-t").code == 1)
    }

    @Test func whatIsPrinted() throws {
        let directory = TemporaryDirectory()
        let good = try directory.write("good.conf", "{\"port\": 4222}")
        let bad = try directory.write("bad.conf", "port = {")
        let digest = "sha256:797533ebd0dfba7d34a0f9337ecf147e442871f48ddfd07ed751575a5737267e"
        #expect(outcome("-t", "-c", good) == (0, "brokerd: configuration file \(good) is valid (\(digest))\n", nil))
        #expect(outcome("-c", bad) == (1, "brokerd: Parse error on line 1: 'Unexpected EOF processing map.'\n", nil))
        #expect(outcome("-c", "nope.conf") == (1, "brokerd: open nope.conf: no such file or directory\n", nil))
        #expect(outcome("--version", as: "nats-server") == (0, "nats-server: v2.15.1\n", nil))
        #expect(outcome("-v").output.hasPrefix("brokerd: v") && outcome("version").output.hasSuffix("(NATS protocol 2.15.1)\n"))
        #expect(outcome("-t").output == "brokerd: must specify [-c, --config] option to check configuration file syntax\n")
        #expect(outcome("foo").output == "brokerd: unrecognized command: \"foo\"\n")
        #expect(outcome("--help").output.contains("Usage: brokerd [options]"))
        for refused in [
            ["--tls"], ["--tlscert", "x"], ["--routes", "x"], ["-ms", "1"], ["--nope"], ["-p"], ["-p", "x"],
            ["-p", "70000"],
        ] {
            guard case .exit(1, let output, true) = BrokerCommandLine.run(arguments: ["brokerd"] + refused, environment: [:])
            else {
                Issue.record("\(refused) was not refused")
                continue
            }
            #expect(output.hasPrefix("brokerd: ") && output.contains(refused[0].drop { $0 == "-" }))
        }
    }

    @Test func signals() throws {
        let directory = TemporaryDirectory()
        #expect(outcome("--signal", "foo=1").output == "brokerd: unknown signal \"foo\"\n")
        #expect(outcome("--signal", "reload=/nonexistent").output == "brokerd: invalid pid: /nonexistent\n")
        #expect(outcome("--signal", "reload=0").output == "brokerd: invalid pid: 0\n")
        #expect(outcome("--signal", "reload=-1").output == "brokerd: invalid pid: -1\n")
        #expect(outcome("--signal", "reload=4194304").output == "brokerd: signal \"reload\" 4194304: no such process\n")
        #expect(
            outcome("--signal", "reload", as: "no-such-broker").output
                == "no-such-broker: no no-such-broker processes running\n")
        let file = try directory.write("x.pid", "77\n")
        #expect(try ProcessSignal.processID(file) == 77)
    }

    @Test func noArgumentsBreakTheCommandLine() {
        let plan = fuzzingPlan(rounds: 3_000)
        print("command lines: seed \(plan.seed), \(plan.rounds) rounds")
        var random = SeededGenerator(seed: plan.seed)
        let pieces = [
            "-", "--", "---", "=", "p", "m", "DV", "T", "sl", "1", "0", "0x", "08", "-1", "+1", "9223372036854775808", "true",
            "user", "loops",
            "spin", "log_size_limit", "-9223372036854775808", " ", "é", "5s", "ldm",
        ]
        for _ in 0..<plan.rounds {
            let arguments = (0..<Int.random(in: 0..<4, using: &random)).map { _ in
                (0..<Int.random(in: 0..<5, using: &random)).map { _ in pieces.randomElement(using: &random)! }.joined()
            }
            if let flags = try? CommandLineFlags(arguments) {
                var options = Options()
                flags.apply(to: &options)
            }
            _ = try? ConfigurationDuration(arguments.joined()).description
        }
    }

    @Test(arguments: [
        (2.0, "2"), (0.5, "0.5"), (-0.00001, "-0.00001"), (0.0000025, "0.0000025"), (0.0000001, "1e-7"),
        (1.5e20, "150000000000000000000"),
        (1.25e22, "1.25e+22"), (0.0, "0"), (123_456_789.125, "123456789.125"), (12_345_678_901_234_567.0, "12345678901234568"),
    ]) func floatsPrintAsGoPrintsThem(_ number: Double, _ text: String) {
        #expect(ConfigurationDigest.goText(number) == text)
    }

    // MARK: Files

    @Test func pidAndPortsFiles() throws {
        let directory = TemporaryDirectory()
        let pid = PidFile(path: directory.path + "/x.pid")
        try pid.write()
        #expect(try directory.content("x.pid") == String(getpid()))
        pid.remove()
        #expect(directory.names == [])
        try pid.write(1)
        pid.remove()
        #expect(directory.names == ["x.pid"])
        #expect(throws: FileFailure("Could not write pidfile: open /nonexistent/x: no such file or directory")) {
            try PidFile(path: "/nonexistent/x").write()
        }

        let ports = PortsFile(directory: directory.path, program: "nats-server", process: 5)
        var listeners = PortsFile.Listeners()
        listeners.nats = PortsFile.urls(scheme: "nats", host: "127.0.0.1", port: 4222)
        listeners.monitoring = PortsFile.urls(scheme: "http", host: "::1", port: 8222)
        try ports.write(listeners)
        #expect(directory.names == ["nats-server_5.ports", "x.pid"])
        #expect(
            try directory.content("nats-server_5.ports")
                == #"{"nats":["nats://127.0.0.1:4222"],"monitoring":["http://[::1]:8222"]}"#)
        ports.remove()
        #expect(directory.names == ["x.pid"])
        #expect(PortsFile.urls(scheme: "nats", host: "0.0.0.0", port: 1).contains("nats://127.0.0.1:1"))
    }

    // MARK: Reload

    @Test func reloadTakesOverWhatItCan() throws {
        var new = Options()
        #expect(try Reload.diff(old: Options(), new: new) == [])
        new.log.debug = true
        new.pingIntervalMs = 5000
        new.authorization.token = "t"
        new.accounts = [AccountOptions(name: "A")]
        new.configFile = "elsewhere.conf"
        let changes = try Reload.diff(old: Options(), new: new)
        #expect(changes == [.debug(true), .pingIntervalMs(5000), .authorization, .accounts])
        #expect(changes.map(\.description).prefix(2) == ["Reloaded: debug = true", "Reloaded: ping_interval = 5s"])
        #expect(ReloadChange.authTimeoutMs(3000).description == "Reloaded: authorization timeout = 3")
        #expect(ReloadChange.noFastProducerStall(true).description == "Reloaded: fast producers will not be stalled")
    }

    @Test func reloadRefusesWhatNeedsARestart() {
        func message(_ change: (inout Options) -> Void) -> String? {
            var new = Options()
            change(&new)
            do throws(ConfigurationError) {
                _ = try Reload.diff(old: Options(), new: new)
                return nil
            } catch {
                return error.description
            }
        }
        #expect(message { $0.port = 15000 } == "config reload not supported for Port: old=4222, new=15000")
        #expect(message { $0.serverName = "b" } == "config reload not supported for ServerName: old=, new=b")
        #expect(
            message { $0.lameDuckDurationMs = 70_000 }
                == "config reload not supported for LameDuckDuration: old=2m0s, new=1m10s")
        #expect(message { $0.monitorPort = 14998 } == "config reload not supported for HTTPPort: old=0, new=14998")
        #expect(message { $0.noSystemAccount = true } == "config reload not supported for NoSystemAccount: old=false, new=true")
        #expect(message { $0.log.fileCountMax = 5 } == "config reload not supported for LogMaxFiles: old=0, new=5")
    }

    @Test func theLoaderReadsTheFileAgain() throws {
        let directory = TemporaryDirectory()
        let file = try directory.write("a.conf", "debug: false")
        let first = try ConfigurationLoader(file: file).load()
        _ = try directory.write("a.conf", "debug: true")
        let second = try first.loader.load()
        #expect(try Reload.diff(old: first.options, new: second.options) == [.debug(true)])
        _ = try directory.write("a.conf", "debug: 3\nfoo: 1")
        do throws(ConfigurationFailure) {
            _ = try first.loader.load()
            Issue.record("a wrong file was loaded")
        } catch {
            #expect(error.messages.count == 2)
        }
    }
}
