// What a real server (nats-server: v2.15.1) says to a corpus of configurations. Written by
// scripts/configuration-corpus.py; change it there.

struct ConfigurationVerdict: Sendable {
    /// The content of `a.conf`.
    var text: String
    var isAccepted: Bool
    /// What it printed on refusal, less the program's name.
    var message: String
    /// The digest that `-t` printed; empty where `-t` refused.
    var digest: String
}

let configurationCorpus: [ConfigurationVerdict] = [
    ConfigurationVerdict(
        text: #"""
            port: 4222
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:797533ebd0dfba7d34a0f9337ecf147e442871f48ddfd07ed751575a5737267e"),
    ConfigurationVerdict(
        text: #"""
            port = 4222
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:797533ebd0dfba7d34a0f9337ecf147e442871f48ddfd07ed751575a5737267e"),
    ConfigurationVerdict(
        text: #"""
            port 4222
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:797533ebd0dfba7d34a0f9337ecf147e442871f48ddfd07ed751575a5737267e"),
    ConfigurationVerdict(
        text: #"""
            port
            4222
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:797533ebd0dfba7d34a0f9337ecf147e442871f48ddfd07ed751575a5737267e"),
    ConfigurationVerdict(
        text: #"""
            port:
            4222
            """#,
        isAccepted: false,
        message: #"""
            Parse error on line 2: 'Expected value but found new line'
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            {"port": 4222, "debug": false, "authorization": {"users": [{"user": "a", "password": "b"}]}}
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:b2825bf1340dd02c633628069d3f1966fa4b7acd4d5716dc40b5413ea97024e5"),
    ConfigurationVerdict(
        text: #"""
            {"port": 4222,}
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:797533ebd0dfba7d34a0f9337ecf147e442871f48ddfd07ed751575a5737267e"),
    ConfigurationVerdict(
        text: #"""
            {
              "port": 4222,
              "max_payload": 1024
            }
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:3dd2c5a7673abdd6742c0b4a322329c94f5d189a5d50af98d532270ea347fe43"),
    ConfigurationVerdict(
        text: #"""
            port: 4222; host: "127.0.0.1", debug: no
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:c673851b776b19172458b88fa4760e533727618d6cac4bf522ef681dec6af40b"),
    ConfigurationVerdict(
        text: #"""
            # a comment
            port: 4222 # another
            // a third
            debug: false // a fourth
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:36533ce2e8b5d568a325fd21a3c2d2a017cf64ceb1aa6b1d5023abe4be5c3e4b"),
    ConfigurationVerdict(
        text: #"""
            PORT: 4222
            Max_Payload: 1K
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:432865865e16bf9418c0aef66f95ddebf1c0b737d8c21c0731d1dbe74209a604"),
    ConfigurationVerdict(
        text: #"""
            max_payload: 1000
            max_payload: 2000
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:d0fb1918def7c09bdef8ded417e8e4e229b78a78a37029b5c8997ddb02938ada"),
    ConfigurationVerdict(
        text: #"""
            max_payload: 64KB
            max_pending: 64MiB
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:b3bbe02d00c3250e9afe5bd4b5e72d56e2ef35eb792db5b4fbb624f9bc676948"),
    ConfigurationVerdict(
        text: #"""
            max_payload: 1ki
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:69d37599f3dcc020f444a403ec390fbe5dbf935801478cd99fc4370082d38df4"),
    ConfigurationVerdict(
        text: #"""
            max_payload: 1Kb
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:69d37599f3dcc020f444a403ec390fbe5dbf935801478cd99fc4370082d38df4"),
    ConfigurationVerdict(
        text: #"""
            max_payload: 1q
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:0: interface conversion: interface {} is string, not int64
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            max_payload: 99999999999999999999
            """#,
        isAccepted: false,
        message: #"""
            integer '99999999999999999999' is out of the range
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            max_payload: 9999999999999
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:0: max_payload value is too big
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            max_payload: 1.5
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:0: interface conversion: interface {} is float64, not int64
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            max_payload: "1KB"
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:0: interface conversion: interface {} is string, not int64
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            max_payload: 1000000
            max_pending: 1000
            """#,
        isAccepted: false,
        message: #"""
            max_payload (1000000) cannot be higher than max_pending (1000)
            """#, digest: "sha256:67cd1822e43066b666d813c094428580820452856c67cdf1655fa6d5f048eafd"),
    ConfigurationVerdict(
        text: #"""
            server_name: 'single "quoted"'
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:0: server name cannot contain spaces
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            server_name: "tab\tx\x41\\\""
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:28b5058a84e3dd2e1ec36370c28186e13d8a4d3a78ce7edb2db890aba06f17fe"),
    ConfigurationVerdict(
        text: #"""
            server_name: (
            block
            )
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:9e094bfe1bf997078eb689330115c17f4477d5b0963ccb28d9ef9d21222a0d5d"),
    ConfigurationVerdict(
        text: #"""
            server_name: plain-word_1
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:88ab89226799bdfa49d382c0ebc30a23e7f35d5b7f7d4bc5ede2398ff6ab8396"),
    ConfigurationVerdict(
        text: #"""
            server_name: 3xyz
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:d026b0016f1c8d1c2e99e5a09891f6bc4a052312014175252e1fe612d1af9bc8"),
    ConfigurationVerdict(
        text: #"""
            server_name: a<b>&c
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:3581509e8377de5ad320fdb4046117223bfcadd480f44c54e41f554c0ffbdddb"),
    ConfigurationVerdict(
        text: #"""
            server_name: "a b"
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:0: server name cannot contain spaces
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            server_name: 5
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:0: interface conversion: interface {} is int64, not string
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            server_name: "\q"
            """#,
        isAccepted: false,
        message: #"""
            Parse error on line 1: 'Invalid escape character 'q'. Only the following escape characters are allowed: \xXX, \t, \n, \r, \", \\.'
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            server_name: "\xZZ"
            """#,
        isAccepted: false,
        message: #"""
            Parse error on line 1: 'Expected two hexadecimal digits after '\x', but got 'ZZ''
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            server_name: "abc
            """#,
        isAccepted: false,
        message: #"""
            Parse error on line 1: 'Unexpected EOF.'
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            server_name: 'abc
            """#,
        isAccepted: false,
        message: #"""
            Parse error on line 1: 'Unexpected EOF.'
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            name: fred
            server_name: $name
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:b8cac217a3025e9fbbdc0bb40b485ed0d5aeb3b935004d5db69695e954af4163"),
    ConfigurationVerdict(
        text: #"""
            server_name: $NO_SUCH_VARIABLE
            """#,
        isAccepted: false,
        message: #"""
            variable reference for 'NO_SUCH_VARIABLE' on line 1 can not be found
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            authorization { who: bob, users: [{user: $who, password: b}] }
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:abf16291ab14d85d5d00ef8257181c5e4c8d95876f772e1b27e2bcc2f19854a8"),
    ConfigurationVerdict(
        text: #"""
            authorization { user: a, password: $2a$11$ooo7j5JcKtQvRKSaLCkGHO1OVBNDXrtHsaCvRLaCBJ8dtZFvCKAxq }
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:61031377cf912e322af9815f0fce1849a67d48a108fb09028d42ace71408e06c"),
    ConfigurationVerdict(
        text: #"""
            authorization { user: a, password: $2b$11$ooo7j5JcKtQvRKSaLCkGHO1OVBNDXrtHsaCvRLaCBJ8dtZFvCKAxq }
            """#,
        isAccepted: false,
        message: #"""
            variable reference for '2b$11$ooo7j5JcKtQvRKSaLCkGHO1OVBNDXrtHsaCvRLaCBJ8dtZFvCKAxq' on line 1 can not be found
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            foo: 1
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:0: unknown field "foo"
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            a.b: 1
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:0: unknown field "a.b"
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            authorization{user: a}
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:0: unknown field "authorization{user"
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            accounts { A { foo: 1 } }
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:15: unknown field "foo"
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            authorization { users: [{user: a, foo: 1}] }
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:34: unknown field "foo"
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            port = {
            """#,
        isAccepted: false,
        message: #"""
            Parse error on line 1: 'Unexpected EOF processing map.'
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            accounts { A { }
            """#,
        isAccepted: false,
        message: #"""
            Parse error on line 1: 'Expected a map value terminator "," or a map terminator "}", but got '' instead.'
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            a
            """#,
        isAccepted: false,
        message: #"""
            config is invalid (a.conf:1:1)
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            include
            """#,
        isAccepted: false,
        message: #"""
            config is invalid (a.conf:1:7)
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            port: 4222 5
            """#,
        isAccepted: false,
        message: #"""
            Parse error on line 1: 'Expected a top-level value to end with a new line, comment or EOF, but got '5' instead.'
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            : 4222
            """#,
        isAccepted: false,
        message: #"""
            Parse error on line 1: 'Unexpected key separator ':''
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            authorization { , }
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:16: unknown field ","
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            authorization { users: [{user: a},,{user: b}] }
            """#,
        isAccepted: false,
        message: #"""
            Parse error on line 1: 'Unexpected array value terminator ','.'
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            authorization { token }
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:16: unknown field "token"
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            port: "x"
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:0: interface conversion: interface {} is string, not int64
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            port: true
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:0: interface conversion: interface {} is bool, not int64
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            debug: 1
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:0: interface conversion: interface {} is int64, not bool
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            debug: maybe
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:0: interface conversion: interface {} is string, not bool
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            authorization: 1
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:0: interface conversion: interface {} is int64, not map[string]interface {}
            a.conf:1:0: runtime error: invalid memory address or nil pointer dereference
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            ping_interval: true
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:0: invalid use of field "ping_interval": ping_interval should be converted to a duration
            a.conf:1:0: interface conversion: interface {} is bool, not int64
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            ping_interval: "2m"
            write_deadline: "100ms"
            lame_duck_duration: "45s"
            lame_duck_grace_period: "1.5s"
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:19fa4ababda985f84e475c4d56cc653aec715ad3e4c295e29d8cf6c19abdcec1"),
    ConfigurationVerdict(
        text: #"""
            ping_interval: "5x"
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:0: error parsing ping_interval: time: unknown unit "x" in duration "5x"
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            ping_interval: ""
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:0: error parsing ping_interval: time: invalid duration ""
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            ping_interval: 5
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:0: invalid use of field "ping_interval": ping_interval should be converted to a duration
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            lame_duck_duration: "5s"
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:0: invalid lame_duck_duration of 5s, minimum is 30 seconds
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            lame_duck_grace_period: "-1s"
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:0: invalid lame_duck_grace_period, needs to be positive
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            lame_duck_grace_period: "200s"
            """#,
        isAccepted: false,
        message: #"""
            lame duck grace period (3m20s) should be strictly lower than lame duck duration (2m0s)
            """#, digest: "sha256:ef5402173b53c9737de66faae43d8a0765e60e2736c3f72a0cdf92bf7961a93f"),
    ConfigurationVerdict(
        text: #"""
            lame_duck_duration: 60
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:0: interface conversion: interface {} is int64, not string
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            listen: "127.0.0.1:4222"
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:bfa037b94ac399931a51e64559d5b8b099a1777b0832b8f5c14fee855e33b59c"),
    ConfigurationVerdict(
        text: #"""
            listen: 127.0.0.1:4222
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:bfa037b94ac399931a51e64559d5b8b099a1777b0832b8f5c14fee855e33b59c"),
    ConfigurationVerdict(
        text: #"""
            listen: 4222
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:a4fe7a3f1eb56515b3ffccff5fcbed63c6ec4692296caa87748559361feb5086"),
    ConfigurationVerdict(
        text: #"""
            listen: "a:b"
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:0: could not parse port "b"
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            listen: true
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:0: expected port or host:port, got bool
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            http: "127.0.0.1:-1"
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:be06cf393d9c3995c3e19113735d5fd3457a0f54d631702491a0a1e1c1cbca33"),
    ConfigurationVerdict(
        text: #"""
            http: "x"
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:0: could not parse address string "x"
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            http_port: -1
            host: 127.0.0.1
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:713ccfddc2fc22a51afdf5924b2c75898a54f10df16b5e5c5d92f5847ee0f5e6"),
    ConfigurationVerdict(
        text: #"""
            client_advertise: "example.com:4222"
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:302b7733000ee6111ee6950420773f00f1d3442a6a2b97fcc4f9cb514715ca13"),
    ConfigurationVerdict(
        text: #"""
            client_advertise: "a:b:c"
            """#,
        isAccepted: false,
        message: #"""
            Error setting server INFO with ClientAdvertise value of a:b:c, err=address a:b:c: too many colons in address
            """#, digest: "sha256:e6f2315465527ab023f848c0ae2084f826553a5104f887faf0a6de7d4c271b1b"),
    ConfigurationVerdict(
        text: #"""
            max_connections: 100
            max_subscriptions: 50
            max_sub_tokens: 16
            max_control_line: 2KB
            ping_max: 5
            max_closed_clients: 10
            max_traced_msg_len: 64
            no_fast_producer_stall: true
            no_header_support: true
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:81e7d43f4609685b3c3ed197cd5422af28d17562e7dd3b1a19f3f0d72171493f"),
    ConfigurationVerdict(
        text: #"""
            max_sub_tokens: 0
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:0: max_sub_tokens value can not be negative
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            max_sub_tokens: 300
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:0: max_sub_tokens value is too big
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            max_control_line: 9999999999
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:0: max_control_line value is too big
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            debug: false
            trace: false
            logtime: true
            logtime_utc: true
            log_file: "x.log"
            logfile_size_limit: 1MB
            logfile_max_num: 3
            pid_file: "x.pid"
            ports_file_dir: "."
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:09fef996c28650b235c0ccbc9b45ba5ee2a59f2515866b2ad2fea8baab0fb31e"),
    ConfigurationVerdict(
        text: #"""
            authorization { user: derek, password: porkchop, timeout: 0.5 }
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:dd7851a22d7d87131852967ba3611253d4d3362e7570c8311523003cf0939086"),
    ConfigurationVerdict(
        text: #"""
            authorization { token: s3cr3t, timeout: "1s" }
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:c605d5d721c58de66f9f36ffc3c2edfd97a5334026f948b092f45e0b3f9b38b4"),
    ConfigurationVerdict(
        text: #"""
            authorization { timeout: true }
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:16: error parsing authorization config, 'timeout' wrong type
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            authorization { timeout: x }
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:16: error parsing authorization config, 'timeout' time: invalid duration "x"
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            authorization { user: a, password: b, token: c }
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:0: Cannot have a user/pass and token
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            authorization { user: a, password: b, users: [{user: a, password: b}] }
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:0: Can not have a single user/pass and a users array
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            authorization { token: a, users: [{user: a, password: b}] }
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:0: Can not have a token and a users array
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            authorization {}
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:e96f893fa0dd10298b2047e8b56abaccd9b2b984b8fc681510b32fe49bccab76"),
    ConfigurationVerdict(
        text: #"""
            authorization { users = [ {user: a, password: b}, {user: c, pass: d} ] }
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:1e7c4f963c6d545e77ba667839aa32f8515bada6d0e56e9a931bfee61dda04e7"),
    ConfigurationVerdict(
        text: #"""
            authorization { users = [{user: a}] }
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:5da643d3eaaaceaaea9b15b9771fb60b98cd184b105436d49ae9cf79d157aab8"),
    ConfigurationVerdict(
        text: #"""
            authorization { users = [{password: a}] }
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:26: User entry requires a user
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            authorization { users = [{user: c, password: b}, {user: c, password: d}] }
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:0: Duplicate user "c" detected
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            authorization { users = 1 }
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:16: Expected users field to be an array, got 1
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            authorization { users: [{nkey: UAFY5TV6PV2ZC5VBBSLEBVWVJYCDDWPVOQHFNYVVSIIJHDHJSJ6TP4CW}] }
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:25: Not a valid public nkey for a user
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            authorization { users: [{nkey: UC}] }
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:25: Not a valid public nkey for a user
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            authorization { users: [{user: a, allowed_connection_types: [standard, WEBSOCKET]}] }
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:3fd73fa951c52a2844bf63f226f59c9101d22c9133399bd4b7d8c61ae25b6804"),
    ConfigurationVerdict(
        text: #"""
            authorization { users: [{user: a, allowed_connection_types: [FOO]}] }
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:34: invalid connection types ["FOO"]
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            authorization {
              default_permissions { publish: "sandbox.*", subscribe: ["public.>", "_INBOX.>"] }
              ADMIN = { publish: ">", subscribe: ">" }
              users = [
                {user: a, password: b, permissions: $ADMIN}
                {user: c, password: d, permissions: {publish: {allow: ["a.>", b], deny: "a.b"}, subscribe: "q.* workers", allow_responses: {max: 5, expires: "1m"}}}
                {user: e, password: f}
              ]
            }
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:86ad487c146d7fe2f6186b35accde24d0c980a20dd7bdc66737721cc12e97e5b"),
    ConfigurationVerdict(
        text: #"""
            authorization { users: [{user: a, permissions: {publish: "a..b"}}] }
            """#,
        isAccepted: false,
        message: #"""
            subject "a..b" is not a valid subject
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            authorization { users: [{user: a, permissions: {publish: "a b"}}] }
            """#,
        isAccepted: false,
        message: #"""
            subject "a b" is not a valid subject
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            authorization { users: [{user: a, permissions: {subscribe: "a b c"}}] }
            """#,
        isAccepted: false,
        message: #"""
            subject "a b c" is not a valid subject
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            authorization { users: [{user: a, permissions: {publish: ["a", 1 ]}}] }
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:63: Subject in permissions array cannot be cast to string
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            authorization { users: [{user: a, permissions: {publish: {allow: a, foo: 1}}}] }
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:68: Unknown field name "foo" parsing subject permissions, only 'allow' or 'deny' are permitted
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            authorization { users: [{user: a, permissions: {allow_responses: true}}] }
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:c7ff043ce79a326f9fdd8e11c8e4929a9af335539366c007ca10a84ea2217391"),
    ConfigurationVerdict(
        text: #"""
            authorization { users: [{user: a, permissions: {allow_responses: 1}}] }
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:48: error parsing response permissions, expected a boolean or a map
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            authorization { users: [{user: a, permissions: {allow_responses: {expires: 5}}}] }
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:66: error parsing expires, not a duration string
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            authorization { users: [{user: a, permissions: {foo: 1}}] }
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:48: Unknown field "foo" parsing permissions
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            authorization { users: [{user: a, permissions: 1}] }
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:34: Expected permissions to be a map/struct, got 1
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            accounts {
              A { users: [{user: a, password: b}], limits { max_connections: 5, max_subs: 10, max_payload: 1KB } }
              B: { users = [{user: c, password: d}], default_permissions: {publish: "b.>"}, jetstream: disabled }
              SYS { users: [{user: admin, password: s}] }
            }
            system_account: SYS
            no_auth_user: a
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:2eef6c0c443b9bdbdadad7bc4fdd44ce58ee3f7d0f7964b961573d9584c80524"),
    ConfigurationVerdict(
        text: #"""
            accounts: [A, B]
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:81e082806f96d2cf49e9074cf5dbcac91b37090001e0f72eb1175c4f155ef821"),
    ConfigurationVerdict(
        text: #"""
            accounts: [A, A]
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:14: Duplicate Account Entry: A
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            accounts { A: 1 }
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:11: Expected map entries for accounts
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            accounts { $G {} }
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:11: "$G" is a Reserved Account
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            accounts { "$SYS" { users: [{user: s, password: s}] } }
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:797160bc460fb1ae68fe33d45cd84fe1b66bced6e92c6a551455f7a21f9e96af"),
    ConfigurationVerdict(
        text: #"""
            accounts { A { users: [{user: a, password: b}] }, B { users: [{user: a, password: b}] } }
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:15: Duplicate user "a" detected
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            accounts { A { users: [{user: a, password: b}] } }
            authorization { users: [{user: a, password: b}] }
            """#,
        isAccepted: false,
        message: #"""
            a.conf:2:1: Duplicate user "a" detected
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            accounts { A { users: [{user: c, password: b}] } }
            authorization { user: a, password: b }
            """#,
        isAccepted: false,
        message: #"""
            a.conf:2:1: Can not have a single user/pass and a users array
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            accounts { A { limits { foo: 1 } } }
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:24: Unknown field "foo" parsing account limits
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            accounts { A { limits { max_conn: "x" } } }
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:24: interface conversion: interface {} is string, not int64
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            accounts { A { nkey: foo } }
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:15: Not a valid public nkey for an account: "foo"
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            system_account: X
            """#,
        isAccepted: false,
        message: #"""
            error resolving system account: account missing
            """#, digest: "sha256:f82a4b12d86cdc453b7839101a2f2d145cff61d24e02fe0fe94fee16907a4eed"),
    ConfigurationVerdict(
        text: #"""
            system_account: 1
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:0: system account name must be a string
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            no_auth_user: x
            """#,
        isAccepted: false,
        message: #"""
            no_auth_user: "x" present, but users/nkeys are not defined
            """#, digest: "sha256:91968f60c044aad99858fe50b180d1e574205a38c3548e0be7ca703bfcf0e4c3"),
    ConfigurationVerdict(
        text: #"""
            no_auth_user: x
            accounts { A { users: [{user: a, password: b}] } }
            """#,
        isAccepted: false,
        message: #"""
            no_auth_user: "x" not present as user or nkey in authorization block or account configuration
            """#, digest: "sha256:0e3166551d7ced14f0239ad93b9b4edc8ecbff6751ae6098def3c2ece3ed6a5d"),
    ConfigurationVerdict(
        text: #"""
            no_sys_acc: true
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:18435dbf6e2e2d7036822601acb6e5fcccc3af1d8a2ac91d03aa7339be8466e8"),
    ConfigurationVerdict(
        text: #"""
            jetstream: disabled
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:0484c6fd1943a8f5dbfece6248a06e42e64614b601620fd319ffcde68a55e86f"),
    ConfigurationVerdict(
        text: #"""
            jetstream: {enabled: false}
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:12151a2d71d94c0bd7f1edf51927f3ce2d2dff6a66ee82c20759cdfbc1c4cd95"),
    ConfigurationVerdict(
        text: #"""
            disable_sublist_cache: true
            connect_error_reports: 3
            write_timeout: close
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:d58791758d8a48d518ffc8d9f3e5988689d45ca753c0813d4ab299aacbe9cf0c"),
    ConfigurationVerdict(
        text: #"""
            write_timeout: foo
            """#,
        isAccepted: false,
        message: #"""
            a.conf:1:0: write_timeout must be 'default', 'close' or 'retry'
            """#, digest: ""),
    ConfigurationVerdict(
        text: #"""
            cluster {}
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:205a512d71f03caaaf74b9cf16e8ba4ff6e78f04584dcfc650948ecb758a4ca4"),
    ConfigurationVerdict(
        text: #"""
            mappings {}
            """#,
        isAccepted: true,
        message: #"""

            """#, digest: "sha256:d28c08531f68e449bd9c8b8ac49625252f6de42f99ae049ef4b3733c319a5ee4"),
]
