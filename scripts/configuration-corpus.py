#!/usr/bin/env python3
"""Asks a real nats-server what it thinks of a corpus of configurations and writes the answers down as a test fixture.

Usage: configuration-corpus.py NATS-SERVER > Tests/BrokerTests/ConfigurationCorpus.swift

Each snippet is checked with `-t` and, where that passes, started on a free loopback port and stopped again. A snippet
counts as accepted if both succeed. Run by hand; the tests need only the fixture.
"""
import os, re, subprocess, sys, tempfile, time

SNIPPETS = r'''
port: 4222
--- forms of pairs
port = 4222
---
port 4222
---
port
4222
---
port:
4222
--- JSON
{"port": 4222, "debug": false, "authorization": {"users": [{"user": "a", "password": "b"}]}}
--- JSON with a trailing comma
{"port": 4222,}
--- JSON over several lines
{
  "port": 4222,
  "max_payload": 1024
}
--- separators
port: 4222; host: "127.0.0.1", debug: no
--- comments
# a comment
port: 4222 # another
// a third
debug: false // a fourth
--- upper case keys
PORT: 4222
Max_Payload: 1K
--- twice the same key
max_payload: 1000
max_payload: 2000
--- sizes
max_payload: 64KB
max_pending: 64MiB
---
max_payload: 1ki
---
max_payload: 1Kb
---
max_payload: 1q
---
max_payload: 99999999999999999999
---
max_payload: 9999999999999
---
max_payload: 1.5
---
max_payload: "1KB"
--- the payload exceeds the pending bytes
max_payload: 1000000
max_pending: 1000
--- strings
server_name: 'single "quoted"'
---
server_name: "tab\tx\x41\\\""
---
server_name: (
block
)
---
server_name: plain-word_1
---
server_name: 3xyz
---
server_name: a<b>&c
---
server_name: "a b"
---
server_name: 5
---
server_name: "\q"
---
server_name: "\xZZ"
---
server_name: "abc
---
server_name: 'abc
--- variables
name: fred
server_name: $name
---
server_name: $NO_SUCH_VARIABLE
--- scope
authorization { who: bob, users: [{user: $who, password: b}] }
--- bcrypt
authorization { user: a, password: $2a$11$ooo7j5JcKtQvRKSaLCkGHO1OVBNDXrtHsaCvRLaCBJ8dtZFvCKAxq }
--- other bcrypt prefixes are variables
authorization { user: a, password: $2b$11$ooo7j5JcKtQvRKSaLCkGHO1OVBNDXrtHsaCvRLaCBJ8dtZFvCKAxq }
--- unknown keys
foo: 1
---
a.b: 1
---
authorization{user: a}
---
accounts { A { foo: 1 } }
---
authorization { users: [{user: a, foo: 1}] }
--- broken structure
port = {
---
accounts { A { }
---
a
---
include
---
port: 4222 5
---
: 4222
---
authorization { , }
---
authorization { users: [{user: a},,{user: b}] }
---
authorization { token }
--- wrong types
port: "x"
---
port: true
---
debug: 1
---
debug: maybe
---
authorization: 1
---
ping_interval: true
--- durations
ping_interval: "2m"
write_deadline: "100ms"
lame_duck_duration: "45s"
lame_duck_grace_period: "1.5s"
---
ping_interval: "5x"
---
ping_interval: ""
---
ping_interval: 5
---
lame_duck_duration: "5s"
---
lame_duck_grace_period: "-1s"
---
lame_duck_grace_period: "200s"
---
lame_duck_duration: 60
--- listening
listen: "127.0.0.1:4222"
---
listen: 127.0.0.1:4222
---
listen: 4222
---
listen: "a:b"
---
listen: true
---
http: "127.0.0.1:-1"
---
http: "x"
---
http_port: -1
host: 127.0.0.1
---
client_advertise: "example.com:4222"
---
client_advertise: "a:b:c"
--- limits
max_connections: 100
max_subscriptions: 50
max_sub_tokens: 16
max_control_line: 2KB
ping_max: 5
max_closed_clients: 10
max_traced_msg_len: 64
no_fast_producer_stall: true
no_header_support: true
---
max_sub_tokens: 0
---
max_sub_tokens: 300
---
max_control_line: 9999999999
--- logging
debug: false
trace: false
logtime: true
logtime_utc: true
log_file: "x.log"
logfile_size_limit: 1MB
logfile_max_num: 3
pid_file: "x.pid"
ports_file_dir: "."
--- single users and tokens
authorization { user: derek, password: porkchop, timeout: 0.5 }
---
authorization { token: s3cr3t, timeout: "1s" }
---
authorization { timeout: true }
---
authorization { timeout: x }
---
authorization { user: a, password: b, token: c }
---
authorization { user: a, password: b, users: [{user: a, password: b}] }
---
authorization { token: a, users: [{user: a, password: b}] }
---
authorization {}
--- users
authorization { users = [ {user: a, password: b}, {user: c, pass: d} ] }
---
authorization { users = [{user: a}] }
---
authorization { users = [{password: a}] }
---
authorization { users = [{user: c, password: b}, {user: c, password: d}] }
---
authorization { users = 1 }
---
authorization { users: [{nkey: UAFY5TV6PV2ZC5VBBSLEBVWVJYCDDWPVOQHFNYVVSIIJHDHJSJ6TP4CW}] }
---
authorization { users: [{nkey: UC}] }
---
authorization { users: [{user: a, allowed_connection_types: [standard, WEBSOCKET]}] }
---
authorization { users: [{user: a, allowed_connection_types: [FOO]}] }
--- permissions
authorization {
  default_permissions { publish: "sandbox.*", subscribe: ["public.>", "_INBOX.>"] }
  ADMIN = { publish: ">", subscribe: ">" }
  users = [
    {user: a, password: b, permissions: $ADMIN}
    {user: c, password: d, permissions: {publish: {allow: ["a.>", b], deny: "a.b"}, subscribe: "q.* workers", allow_responses: {max: 5, expires: "1m"}}}
    {user: e, password: f}
  ]
}
---
authorization { users: [{user: a, permissions: {publish: "a..b"}}] }
---
authorization { users: [{user: a, permissions: {publish: "a b"}}] }
---
authorization { users: [{user: a, permissions: {subscribe: "a b c"}}] }
---
authorization { users: [{user: a, permissions: {publish: ["a", 1 ]}}] }
---
authorization { users: [{user: a, permissions: {publish: {allow: a, foo: 1}}}] }
---
authorization { users: [{user: a, permissions: {allow_responses: true}}] }
---
authorization { users: [{user: a, permissions: {allow_responses: 1}}] }
---
authorization { users: [{user: a, permissions: {allow_responses: {expires: 5}}}] }
---
authorization { users: [{user: a, permissions: {foo: 1}}] }
---
authorization { users: [{user: a, permissions: 1}] }
--- accounts
accounts {
  A { users: [{user: a, password: b}], limits { max_connections: 5, max_subs: 10, max_payload: 1KB } }
  B: { users = [{user: c, password: d}], default_permissions: {publish: "b.>"}, jetstream: disabled }
  SYS { users: [{user: admin, password: s}] }
}
system_account: SYS
no_auth_user: a
---
accounts: [A, B]
---
accounts: [A, A]
---
accounts { A: 1 }
---
accounts { $G {} }
---
accounts { "$SYS" { users: [{user: s, password: s}] } }
---
accounts { A { users: [{user: a, password: b}] }, B { users: [{user: a, password: b}] } }
---
accounts { A { users: [{user: a, password: b}] } }
authorization { users: [{user: a, password: b}] }
---
accounts { A { users: [{user: c, password: b}] } }
authorization { user: a, password: b }
---
accounts { A { limits { foo: 1 } } }
---
accounts { A { limits { max_conn: "x" } } }
---
accounts { A { nkey: foo } }
---
system_account: X
---
system_account: 1
---
no_auth_user: x
---
no_auth_user: x
accounts { A { users: [{user: a, password: b}] } }
---
no_sys_acc: true
--- accepted because they ask for nothing
jetstream: disabled
---
jetstream: {enabled: false}
---
disable_sublist_cache: true
connect_error_reports: 3
write_timeout: close
---
write_timeout: foo
---
cluster {}
---
mappings {}
'''


def snippets():
    current = []
    for line in SNIPPETS.strip("\n").split("\n"):
        if line.startswith("---"):
            yield "\n".join(current)
            current = []
        else:
            current.append(line)
    yield "\n".join(current)


def ask(server, text, directory):
    with open(os.path.join(directory, "a.conf"), "w") as file:
        file.write(text)
    checked = subprocess.run([server, "-t", "-c", "a.conf"], cwd=directory, capture_output=True, timeout=10)
    output = checked.stderr.decode() or checked.stdout.decode()
    digest = re.search(r"sha256:[0-9a-f]+", output)
    if not digest:
        return False, output.strip().replace("nats-server: ", "", 1), ""
    started = subprocess.Popen([server, "-c", "a.conf", "-a", "127.0.0.1", "-p", "-1", "-l", "run.log"], cwd=directory,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    ready = False
    for _ in range(200):
        try:
            with open(os.path.join(directory, "run.log")) as log:
                ready = "Server is ready" in log.read()
        except FileNotFoundError:
            pass
        if ready or started.poll() is not None:
            break
        time.sleep(0.02)
    if started.poll() is None:
        started.terminate()
    out = started.communicate()[0].decode().strip().replace("nats-server: ", "", 1)
    if not ready and not out:
        with open(os.path.join(directory, "run.log")) as log:
            out = "".join(re.findall(r"\[FTL\] (.*)", log.read()))
    return ready, "" if ready else out, digest.group(0)


def literal(text):
    return '#"""\n' + text + '\n"""#'


def main():
    server = sys.argv[1]
    version = subprocess.run([server, "--version"], capture_output=True).stdout.decode().strip()
    print(f"// What a real server ({version}) says to a corpus of configurations. Written by")
    print("// scripts/configuration-corpus.py; change it there.")
    print()
    print("struct ConfigurationVerdict: Sendable {")
    print("    /// The content of `a.conf`.\n    var text: String")
    print("    var isAccepted: Bool")
    print("    /// What it printed on refusal, less the program's name.\n    var message: String")
    print("    /// The digest that `-t` printed; empty where `-t` refused.\n    var digest: String\n}")
    print("\nlet configurationCorpus: [ConfigurationVerdict] = [")
    for text in snippets():
        with tempfile.TemporaryDirectory() as directory:
            accepted, message, digest = ask(server, text, directory)
        message = message.replace("\x00", "")
        print("ConfigurationVerdict(text: " + literal(text) + ",")
        print("isAccepted: " + ("true" if accepted else "false") + ", message: " + literal(message) + f', digest: "{digest}"),')
    print("]")


main()
