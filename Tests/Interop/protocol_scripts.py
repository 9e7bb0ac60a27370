"""The scripts of the differential protocol test: what to send, on which connection, to a server with which
configuration. They say nothing of the replies: nats-server does.

A step given as bytes is sent on connection "a". A script with several connections sends a PING after each step and
waits for the PONG, so that steps happen one after the other.
"""

import base64
import json
from dataclasses import dataclass, field

import nkeys

SEED = b"SUAEIV5COV7ADQZE52WTYHVJQRV7WKJE5J7IBBJGATJTUUT2LVFGVXDPRQ"
NKEY = "UBABIZX6SZFAKHK2KGUFD6QH53FDAH5QVCH2R5MJLFPEVYAW22QWQQCX"
BCRYPT_OF_SECRET = "$2a$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"

CONFIGS = {
    "plain": "",
    "small": "max_payload: 64\nmax_control_line: 256\nmax_subscriptions: 3\nmax_sub_tokens: 4\n",
    "no_headers": "no_header_support: true\n",
    "token": "authorization { token: t0ken, timeout: 0.4 }\n",
    "user": "authorization { user: joe, password: secret }\n",
    "users": f"""
authorization {{
  default_permissions: {{ publish: "open.>", subscribe: ["open.>", "_INBOX.>"] }}
  users: [
    {{ user: ann, password: pass, permissions: {{ publish: ["a.>", "b"], subscribe: {{ allow: "a.>", deny: "a.secret.>" }} }} }}
    {{ user: ben, password: "{BCRYPT_OF_SECRET}" }}
    {{ user: cat, password: pass, permissions: {{ publish: {{ deny: ["no.*", "never.>"] }}, subscribe: {{ deny: "d.*" }} }} }}
    {{ user: dan, password: pass, permissions: {{ subscribe: "req", allow_responses: true }} }}
    {{ user: eva, password: pass, permissions: {{ subscribe: ["jobs workers", "jobs.> w.*", "plain"], publish: ">" }} }}
    {{ user: fay, password: pass, permissions: {{ subscribe: "req2", allow_responses: {{ max: 2, expires: "1m" }} }} }}
    {{ user: gus, password: pass, permissions: {{ publish: "x", subscribe: {{ deny: "jobs badq" }} }} }}
    {{ user: all, password: pass, permissions: {{ publish: ">", subscribe: ">" }} }}
    {{ nkey: {NKEY} }}
  ]
}}
""",
    "no_auth_user": """
authorization {
  users: [ { user: ann, password: pass, permissions: { publish: "a", subscribe: "a" } }, { user: ben, password: pass } ]
}
no_auth_user: ann
""",
    "accounts": """
accounts {
  A { users: [ { user: a, password: a } ], exports: [ { stream: "pub.>" }, { service: "svc.echo" },
      { stream: "private.>", accounts: [C] } ] }
  B { users: [ { user: b, password: b } ], imports: [ { stream: { account: A, subject: "pub.>" } },
      { service: { account: A, subject: "svc.echo" } } ] }
  C { users: [ { user: c, password: c } ], imports: [ { stream: { account: A, subject: "pub.>" }, prefix: "from.a" },
      { service: { account: A, subject: "svc.echo" }, to: "my.echo" },
      { stream: { account: A, subject: "private.>" }, to: "mine.>" } ] }
  D { users: [ { user: d, password: d } ] }
}
""",
    "isolated": "accounts { A { users: [ { user: a, password: a } ] }, D { users: [ { user: d, password: d } ] } }\n",
    "two_connections": "max_connections: 2\n",
    "mappings": "mappings: { old.subject: new.subject, \"in.*.*\": \"out.$2.$1\", \"w.*\": \"wild.{{wildcard(1)}}.x\" }\n",
    "pings": "ping_interval: \"150ms\"\nping_max: 1\n",
    "ports": "client_advertise: \"example.org:4444\"\n",
}


@dataclass
class Step:
    connection: str
    data: object
    action: str = "send"
    sync: bool = True


@dataclass
class Script:
    name: str
    steps: list
    config: str = "plain"
    connect: object = None  # CONNECT's JSON for connections that `connects` does not name; None sends none
    connects: dict = field(default_factory=dict)
    split: bool = False  # one byte at a time
    sync: bool = False  # a PING after each step, also with one connection
    end: str = "ping"  # how it ends: "ping", "closed" (wait for the server to close), "quiet" (an incomplete end)
    masks: list = field(default_factory=list)
    unordered: bool = False


def opts(**changes):
    """CONNECT's JSON: quiet, with headers and no-responders, protocol 0, changed as given."""
    base = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True, "protocol": 0}
    base.update(changes)
    return json.dumps({name: value for name, value in base.items() if value is not None}).encode()


QUIET = opts()
SCRIPTS = []


def script(name, *steps, connect=QUIET, **more):
    name = name.replace("b'", "").replace("'", "")  # so that a shell takes it in quotes
    parts = [step if isinstance(step, Step) else Step("a", step) for step in steps]
    SCRIPTS.append(Script(name, parts, connect=connect, **more))


def a(data, **more):
    return Step("a", data, **more)


def b(data, **more):
    return Step("b", data, **more)


def c(data, **more):
    return Step("c", data, **more)


def signed(seed=SEED, wrong=False, **more):
    """A CONNECT that signs the nonce with an nkey."""
    def line(nonce):
        pair = nkeys.from_seed(bytearray(seed))
        signature = base64.urlsafe_b64encode(pair.sign(b"other" if wrong else nonce)).rstrip(b"=").decode()
        return opts(nkey=pair.public_key.decode(), sig=signature, **more)

    return line


def connecting():
    script("info alone", b"", connect=None)
    script("ping before connect", b"PING\r\n", connect=None)
    script("no connect is verbose", b"SUB foo 1\r\nPUB foo 2\r\nhi\r\n", connect=None)
    script("connect without options", b"SUB foo 1\r\nPUB foo 2\r\nhi\r\n", connect=b"{}")
    script("connect empty", b"", connect=b"")
    script("connect bad json", b"", connect=b"{verbose")
    script("connect json list", b"", connect=b"[]")
    script("connect wrong type", b"", connect=b'{"verbose":"yes"}')
    script("connect number for string", b"", connect=b'{"name":5}')
    script("connect unknown field", b"SUB a 1\r\n", connect=b'{"verbose":false,"unheard_of":{"x":[1,2]}}')
    script("connect null field", b"SUB a 1\r\n", connect=b'{"verbose":null,"name":null}')
    script("connect upper-case field", b"SUB a 1\r\n", connect=b'{"VERBOSE":false}')
    script("connect duplicate field", b"SUB a 1\r\n", connect=b'{"verbose":true,"verbose":false}')
    script("connect escaped string", b"SUB a 1\r\n", connect=b'{"verbose":false,"name":"a\\"b\\u00e9\\n"}')
    script("connect trailing rubbish", b"SUB a 1\r\n", connect=b'{"verbose":false} x')
    script("connect spaces", b"SUB a 1\r\n", connect=b'  { "verbose" : false }  ')
    script("connect twice", b'CONNECT {"verbose":true}\r\nSUB foo 1\r\nPUB foo 1\r\nx\r\n')
    script("connect again keeps subscriptions?", b'SUB foo 1\r\nCONNECT {"verbose":false}\r\nPUB foo 1\r\nx\r\n')
    script("connect lower case", b'connect {"verbose":false}\r\nSUB foo 1\r\n', connect=None)
    script("connect mixed case", b'ConNect\t{"verbose":false}\r\nSUB foo 1\r\n', connect=None)
    script("connect without space", b'CONNECT{"verbose":false}\r\nSUB foo 1\r\n', connect=None)
    script("connect with bare LF", b'CONNECT {"verbose":false}\nSUB foo 1\nPUB foo 1\r\nx\r\n', connect=None)
    script("connect protocol 1", b"PING\r\nPING\r\n", connect=opts(protocol=1))
    script("connect protocol 1 subscribes before ping", b"SUB foo 1\r\nPUB foo 1\r\nx\r\n", connect=opts(protocol=1))
    script("connect protocol 2", b"PING\r\n", connect=opts(protocol=2))
    script("connect protocol -1", b"PING\r\n", connect=opts(protocol=-1))
    script("connect protocol text", b"PING\r\n", connect=b'{"protocol":"1"}')
    script("connect account", b"PING\r\n", connect=opts(account="A"))
    script("connect new_account", b"PING\r\n", connect=opts(new_account=True))
    script("connect no_responders without headers", b"PING\r\n", connect=opts(headers=False))
    script("connect huge", b"SUB a 1\r\n", connect=opts(name="x" * 3900))
    script("connect too long", b"SUB a 1\r\n", connect=opts(name="x" * 4100))
    script("connect with credentials nobody asked for", b"SUB a 1\r\n", connect=opts(user="x", **{"pass": "y"}))
    script("connect one byte at a time", b"SUB foo 1\r\nPUB foo 5\r\nhello\r\n", split=True)
    script("client_advertise", b"PING\r\n", config="ports", connect=opts(protocol=1))


def verbs():
    script("verbs in lower case", b"sub foo 1\r\npub foo 2\r\nhi\r\nunsub 1\r\nping\r\npong\r\n")
    script("verbs in mixed case", b"sUb foo 1\r\nPuB foo 2\r\nhi\r\nuNsUb 1\r\nPiNg\r\n")
    script("tabs between arguments", b"SUB\tfoo\t1\r\nPUB\tfoo\t2\r\nhi\r\nUNSUB\t1\t\r\n")
    script("many spaces between arguments", b"SUB   foo    1  \r\nPUB   foo   2  \r\nhi\r\n")
    script("leading space on line", b" SUB foo 1\r\n")
    script("bare LF ends lines", b"SUB foo 1\nPUB foo 2\r\nhi\r\nPING\n")
    script("bare LF after payload", b"SUB foo 1\r\nPUB foo 2\r\nhi\nPING\r\n")
    script("bare CR in the line", b"SUB fo\ro 1\r\nPUB foo 2\r\nhi\r\n")
    # A bare CR in a line that ends in a bare LF is left out: nats-server takes the line's last byte for the CR then. So are lines
    # with a CR that come in pieces: nats-server drops the CR where its reads happen to end, brokerd reads the same bytes alike.
    for line in (b"f\roo 1", b"foo\r 1", b"foo b\rar 1", b"\r 1", b"foo 1\r", b"foo \r1", b"foo\r1", b"foo 1 \r", b"foo 1\r "):
        script(f"CR in the arguments of PUB: {line!r}", b"SUB > 1\r\nPUB " + line + b"\r\nx\r\n")
    for line in (b"f\rx b\ry 12 12", b"foo 1\r2 12", b"foo 12\r 12", b"foo 12 12\r"):
        script(f"CR in the arguments of HPUB: {line!r}", b"SUB > 1\r\nHPUB " + line + b"\r\nNATS/1.0\r\n\r\n\r\n")
    for line in (b"SUB f\roo 1", b"SUB foo\r 1", b"SUB foo q\r1", b"SUB foo 5\r1", b"SUB foo 1\r\nUNSUB 1\r1", b"SUB\rfoo 1"):
        script(f"CR in the arguments of {line!r}", line + b"\r\nPUB f 1\r\nx\r\nPUB foo 1\r\ny\r\nPUB foo 1\r\nz\r\n")
    script("CR CR LF", b"SUB foo 1\r\r\nPUB foo 2\r\nhi\r\n")
    script("empty line", b"\r\n")
    script("empty lines between", b"PING\r\n\r\nPING\r\n")
    script("PING with argument", b"PING hello\r\n")
    script("PING with spaces", b"PING  \r\n")
    script("PING with letters", b"PINGPONG\r\n")
    script("PONG unasked", b"PONG\r\nPONG\r\nPONG\r\n")
    script("PONG with argument", b"PONG 1\r\n")
    script("+OK from a client", b"+OK\r\n")
    script("+ok in lower case", b"+ok\r\n")
    script("-ERR from a client", b"-ERR 'mine'\r\n")
    script("INFO from a client", b'INFO {"a":1}\r\n')
    script("INFO bad json from a client", b"INFO nonsense\r\n")
    for verb in (b"MSG foo 1 2\r\nhi\r\n", b"HMSG foo 1 12 12\r\nNATS/1.0\r\n\r\n\r\n", b"RS+ A foo\r\n", b"RS- A foo\r\n",
                 b"RMSG A foo 2\r\nhi\r\n", b"LS+ foo\r\n", b"A+ A\r\n", b"A- A\r\n", b"LMSG foo 2\r\nhi\r\n"):
        script(f"server verb {verb.split()[0].decode()} from a client", verb)
    for line in (b"HELLO\r\n", b"GET / HTTP/1.1\r\n\r\n", b"S\r\n", b"SU\r\n", b"SUBS foo 1\r\n", b"P\r\n", b"PU\r\n",
                 b"PUBX\r\n", b"U\r\n", b"UNSU\r\n", b"CONN\r\n", b"H\r\n", b"HP\r\n", b"HPUBB a 1 1\r\n", b"PI\r\n",
                 b"\x00\x01\x02\r\n", b"\xff\xfe\r\n", b"{}\r\n", b"+\r\n", b"-\r\n", b"-E\r\n", b"+O\r\n", b"+OKAY\r\n"):
        script(f"rubbish {line!r}", line)
    script("rubbish longer than the echo in the log", b"Z" * 2000 + b"\r\n")
    script("rubbish after good operations", b"SUB foo 1\r\nPUB foo 2\r\nhi\r\nRUBBISH\r\nPUB foo 2\r\nno\r\n")
    script("TLS hello on a plain port", b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03")
    script("control line of the longest length", b"SUB " + b"x" * 4085 + b" 1\r\n")
    for length in (4087, 4088, 4089, 4090, 4091, 4092, 4093, 4094, 4095, 4096, 4097, 4100, 5000, 70000):
        script(f"control line of {length} bytes", b"SUB " + b"x" * (length - 2) + b" 1\r\nPUB y 1\r\nz\r\n")
    script("PUB line too long", b"PUB " + b"x" * 4200 + b" 2\r\nhi\r\n")
    script("control line too long, never ended", b"SUB " + b"x" * 5000, end="closed")
    script("control line too long in pieces", b"SUB " + b"x" * 4000, b"y" * 2000 + b" 1\r\n")
    script("small control line", b"SUB " + b"x" * 300 + b" 1\r\n", config="small", connect=opts())
    for length in (250, 254, 255, 256, 257, 258, 260):
        script(f"small control line of {length}", b"SUB " + b"x" * (length - 2) + b" 1\r\n", config="small")


def publishing():
    script("publish to a subscriber", b"SUB foo 1\r\nPUB foo 5\r\nhello\r\n")
    script("publish empty", b"SUB foo 1\r\nPUB foo 0\r\n\r\n")
    script("publish with reply", b"SUB foo 1\r\nPUB foo bar 5\r\nhello\r\n")
    script("publish to nobody", b"PUB foo 5\r\nhello\r\n")
    script("publish to nobody, verbose", b"PUB foo 5\r\nhello\r\n", connect=opts(verbose=True))
    script("verbose everything", b"SUB foo 1\r\nSUB foo q 2\r\nPUB foo 2\r\nhi\r\nUNSUB 1\r\nUNSUB 2 5\r\nPING\r\nPONG\r\n",
           connect=opts(verbose=True), unordered=True)
    script("verbose hpub", b"SUB foo 1\r\nHPUB foo 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", connect=opts(verbose=True))
    script("payload is binary", b"SUB foo 1\r\nPUB foo 8\r\n\r\n\x00\xff\r\nAB\r\n")
    script("payload looks like an operation", b"SUB foo 1\r\nPUB foo 12\r\nPUB foo 2\r\nx\r\nPING\r\n")
    script("payload split into bytes", b"SUB foo 1\r\nPUB foo 11\r\nhello world\r\nPUB foo r 0\r\n\r\n", split=True)
    script("hpub split into bytes", b"SUB foo 1\r\nHPUB foo r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", split=True)
    script("payload shorter than said", b"SUB foo 1\r\nPUB foo 5\r\nhi\r\nPING\r\n")
    script("payload longer than said", b"SUB foo 1\r\nPUB foo 2\r\nhello\r\n")
    script("payload one longer", b"SUB foo 1\r\nPUB foo 2\r\nhix\r\n")
    script("payload one shorter", b"SUB foo 1\r\nPUB foo 3\r\nhi\r\n")
    script("payload incomplete", b"SUB foo 1\r\nPUB foo 500\r\nhi", end="quiet")
    script("payload of 32 KiB", b"SUB foo 1\r\nPUB foo 32768\r\n" + b"x" * 32768 + b"\r\n")
    script("payload of 1 MiB", b"SUB foo 1\r\nPUB foo 1048576\r\n" + b"x" * 1048576 + b"\r\n")
    script("payload of 1 MiB and 1", b"SUB foo 1\r\nPUB foo 1048577\r\n" + b"x" * 1048577 + b"\r\n")
    script("payload over the maximum, announced only", b"PUB foo 2000000\r\n", end="closed")
    script("payload at the small maximum", b"SUB foo 1\r\nPUB foo 64\r\n" + b"x" * 64 + b"\r\n", config="small")
    script("payload over the small maximum", b"SUB foo 1\r\nPUB foo 65\r\n" + b"x" * 65 + b"\r\n", config="small")
    script("hpub over the small maximum", b"HPUB foo 12 65\r\nNATS/1.0\r\n\r\n" + b"x" * 53 + b"\r\n", config="small")
    script("hpub at the small maximum", b"SUB foo 1\r\nHPUB foo 12 64\r\nNATS/1.0\r\n\r\n" + b"x" * 52 + b"\r\n",
           config="small")
    for args in (b"", b" ", b" foo", b" foo bar baz 2", b" foo bar baz 2 3", b" foo -1", b" foo +2", b" foo x",
                 b" foo 2x", b" foo 0x2", b" foo 2.0", b" foo 99999999999", b" foo 99999999999999999999999", b" 2",
                 b" foo bar", b" foo 02", b" foo 0000000000000000000002", b" foo 2147483648", b" foo 4294967298",
                 b" foo 18446744073709551618", b" foo \xd9\xa2"):
        script(f"PUB arguments {args!r}", b"SUB foo 1\r\nPUB" + args + b"\r\nhi\r\n")
    for subject in (b"foo.*", b"foo.>", b"*", b">", b"foo..bar", b".foo", b"foo.", b".", b"..", b"foo*", b"fo>o",
                    b"foo.b*r", b"\xc3\xa9t\xc3\xa9", b"\xff\xfe", b"foo,bar", b"foo/bar", b"$SYS.x", b"$JS.API.x",
                    b"_INBOX.x", b"$x", b"a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s.t.u.v.w.x.y.z", b"\x00", b"foo\x0cbar",
                    b"f" * 1000):
        script(f"publish subject {subject[:40]!r}", b"SUB > 1\r\nPUB " + subject + b" 2\r\nhi\r\n")
        script(f"pedantic publish subject {subject[:40]!r}", b"SUB > 1\r\nPUB " + subject + b" 2\r\nhi\r\n",
               connect=opts(pedantic=True))
    for reply in (b"_R_.x", b"_R_.a.b", b"$JS.ACK.a.b", b"_GR_.x", b"$GNR.x", b"$NRG.x", b"foo.*", b"foo..bar", b">",
                  b"_R_", b"$JS.ACK", b"_GR_", b"$JS.ACK.", b"$JS.FC.x"):
        script(f"publish with reply {reply!r}", b"SUB foo 1\r\nPUB foo " + reply + b" 2\r\nhi\r\n")
        script(f"publish to {reply!r}", b"SUB > 1\r\nPUB " + reply + b" 2\r\nhi\r\n")
    script("pedantic publish with a bad reply", b"SUB foo 1\r\nPUB foo a..b 2\r\nhi\r\n", connect=opts(pedantic=True))
    script("pedantic hpub to a wildcard", b"SUB > 1\r\nHPUB a.* 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", connect=opts(pedantic=True))
    script("pedantic and verbose to a wildcard", b"PUB a.* 2\r\nhi\r\n", connect=opts(pedantic=True, verbose=True))
    script("echo off", b"SUB foo 1\r\nPUB foo 2\r\nhi\r\n", connect=opts(protocol=1, echo=False))
    script("echo off, protocol 0", b"SUB foo 1\r\nPUB foo 2\r\nhi\r\n", connect=opts(echo=False))
    script("echo off, a queue group", b"SUB foo q 1\r\nPUB foo 2\r\nhi\r\n", connect=opts(protocol=1, echo=False))
    script("echo off, request answered by oneself", b"SUB inbox 1\r\nSUB foo.e 2\r\nPUB foo.e inbox 2\r\nhi\r\n",
           connect=opts(protocol=1, echo=False))
    script("many publishes in one write", b"SUB foo.* 1\r\n" + b"".join(b"PUB foo.%d %d\r\n%s\r\n" % (i, i % 7, b"x" * (i % 7))
                                                                       for i in range(300)))


def headers():
    block = b"NATS/1.0\r\nKey: value\r\n\r\n"
    size = len(block)
    script("hpub", b"SUB foo 1\r\nHPUB foo %d %d\r\n%shi\r\n" % (size, size + 2, block))
    script("hpub with reply", b"SUB foo 1\r\nHPUB foo bar %d %d\r\n%shi\r\n" % (size, size + 2, block))
    script("hpub without payload", b"SUB foo 1\r\nHPUB foo %d %d\r\n%s\r\n" % (size, size, block))
    script("hpub lower case", b"SUB foo 1\r\nhpub foo %d %d\r\n%shi\r\n" % (size, size + 2, block))
    script("hpub with tabs", b"SUB foo 1\r\nHPUB\tfoo\t%d\t%d\r\n%shi\r\n" % (size, size + 2, block))
    script("hpub to a client without headers", a(b"SUB foo 1\r\n"), b(b"HPUB foo %d %d\r\n%shi\r\n" % (size, size + 2, block)),
           connects={"a": opts(headers=False, no_responders=False)})
    script("hpub without payload to a client without headers", a(b"SUB foo 1\r\n"),
           b(b"HPUB foo re %d %d\r\n%s\r\n" % (size, size, block)), connects={"a": opts(headers=False, no_responders=False)})
    script("hpub from a client without headers", b"SUB foo 1\r\nHPUB foo %d %d\r\n%shi\r\n" % (size, size + 2, block),
           connect=opts(headers=False, no_responders=False))
    script("hpub when the server has none", b"SUB foo 1\r\nHPUB foo %d %d\r\n%shi\r\n" % (size, size + 2, block),
           config="no_headers", connect=opts(no_responders=False))
    script("no_responders when the server has no headers", b"PUB foo bar 0\r\n\r\n", config="no_headers")
    script("info without headers", b"", config="no_headers", connect=opts(no_responders=False))
    for args in (b"", b" foo", b" foo 12", b" foo 12 14 16 18", b" foo a b 12 14", b" foo 14 12", b" foo -1 14", b" foo 12 -1",
                 b" foo 0 2", b" foo 0 0", b" foo 2 2", b" foo x 14", b" foo 12 x", b" foo 12 99999999999", b" foo 1 14",
                 b" foo 14 14", b" foo bar 12", b" foo 99999999999 99999999999"):
        script(f"HPUB arguments {args!r}", b"SUB foo 1\r\nHPUB" + args + b"\r\nNATS/1.0\r\n\r\nhi\r\n")
    for junk in (b"junk", b"NATS/1.0", b"NATS/2.0\r\n\r\n", b"NATS/1.0 503\r\n\r\n", b"NATS/1.0 200 OK\r\nA:b\r\n\r\n",
                 b"NATS/1.0\r\nno colon\r\n\r\n", b"NATS/1.0\r\nA: b\r\nA: c\r\n\r\n", b"\r\n\r\n", b"NATS/1.0\r\n: x\r\n\r\n"):
        script(f"header block {junk!r}", b"SUB foo 1\r\nHPUB foo %d %d\r\n%shi\r\n" % (len(junk), len(junk) + 2, junk))
    script("hpub payload not ended", b"HPUB foo %d %d\r\n%shixx\r\n" % (size, size + 2, block))


def subscribing():
    for args in (b"", b" ", b" foo", b" foo q 1 2", b" foo q 1 2 3", b" foo 1 ", b" foo \t 1", b" foo q 1"):
        script(f"SUB arguments {args!r}", b"SUB" + args + b"\r\nPUB foo 2\r\nhi\r\n")
    for subject in (b"foo.*", b"foo.>", b"*", b">", b"foo..bar", b".foo", b"foo.", b".", b"foo*", b"f*o", b"foo.>.bar", b">.foo",
                    b"foo>", b"*.*", b"foo.*.>", b"\xc3\xa9", b"\x00", b"foo\x0cbar", b"$SYS.>", b"$JS.>", b"_INBOX.>", b"**",
                    b">>", b"foo.**", b"a." * 200 + b"z"):
        script(f"subscribe {subject[:40]!r}", b"SUB " + subject + b" 1\r\nPUB foo.bar 2\r\nhi\r\nPUB foo 1\r\nx\r\n")
        script(f"pedantic subscribe {subject[:40]!r}", b"SUB " + subject + b" 1\r\nPUB foo.bar 2\r\nhi\r\n",
               connect=opts(pedantic=True, verbose=True))
    for queue in (b"q", b"q.a", b"q*", b"*", b">", b"q.", b".q", b"q..a", b"\xc3\xa9"):
        script(f"queue name {queue!r}", b"SUB foo " + queue + b" 1\r\nPUB foo 2\r\nhi\r\n")
    for sid in (b"0", b"-1", b"abc", b"1.5", b"\xc3\xa9", b"9" * 30, b"a b", b"*", b"$"):
        script(f"sid {sid[:10]!r}", b"SUB foo " + sid + b"\r\nPUB foo 2\r\nhi\r\nUNSUB " + sid + b"\r\nPUB foo 2\r\nno\r\n")
    script("same sid twice", b"SUB foo 1\r\nSUB bar 1\r\nPUB foo 2\r\nhi\r\nPUB bar 2\r\nho\r\n")
    script("same sid twice, same subject", b"SUB foo 1\r\nSUB foo 1\r\nPUB foo 2\r\nhi\r\n")
    script("same sid twice, then unsub", b"SUB foo 1\r\nSUB bar 1\r\nUNSUB 1\r\nPUB foo 2\r\nhi\r\nPUB bar 2\r\nho\r\n")
    script("same sid twice, queue", b"SUB foo 1\r\nSUB foo q 1\r\nPUB foo 2\r\nhi\r\n")
    script("same sid twice, verbose", b"SUB foo 1\r\nSUB bar 1\r\n", connect=opts(verbose=True))
    script("two sids on one subject", b"SUB foo 1\r\nSUB foo 2\r\nPUB foo 2\r\nhi\r\n", unordered=True)
    script("overlapping wildcards", b"SUB foo.* 1\r\nSUB foo.> 2\r\nSUB *.bar 3\r\nSUB > 4\r\nSUB foo.bar 5\r\nPUB foo.bar 1\r\nx\r\n",
           unordered=True)
    script("subjects are case-sensitive", b"SUB Foo 1\r\nPUB foo 1\r\nx\r\nPUB Foo 1\r\ny\r\n")
    script("full wildcard wants a token", b"SUB foo.> 1\r\nPUB foo 1\r\nx\r\nPUB foo.a 1\r\ny\r\nPUB foo.a.b 1\r\nz\r\n")
    script("wildcard matches one token", b"SUB foo.* 1\r\nPUB foo.a 1\r\nx\r\nPUB foo.a.b 1\r\ny\r\nPUB foo 1\r\nz\r\n")
    script("wildcard within", b"SUB a.*.c 1\r\nPUB a.b.c 1\r\nx\r\nPUB a.b.d 1\r\ny\r\nPUB a..c 1\r\nz\r\n")
    script("queue group of one connection", b"SUB foo q 1\r\nSUB foo q 2\r\nPUB foo 1\r\nx\r\n", masks=[(r"MSG foo \d", "MSG foo N")])
    script("queue group and a plain subscription", b"SUB foo q 1\r\nSUB foo 2\r\nPUB foo 1\r\nx\r\n", unordered=True)
    script("two queue groups", b"SUB foo q 1\r\nSUB foo r 2\r\nPUB foo 1\r\nx\r\n", unordered=True)
    script("queue group over wildcards", b"SUB foo.* q 1\r\nSUB foo.> q 2\r\nSUB foo.bar q 3\r\nPUB foo.bar 1\r\nx\r\n",
           unordered=True, masks=[(r"MSG foo.bar \d", "MSG foo.bar N")])
    script("many subscriptions", b"".join(b"SUB s.%d %d\r\n" % (i, i) for i in range(1000)) + b"PUB s.777 1\r\nx\r\nPUB s.1000 1\r\ny\r\n")
    script("maximum subscriptions", b"SUB a 1\r\nSUB b 2\r\nSUB c 3\r\nSUB d 4\r\nPUB d 1\r\nx\r\nPUB c 1\r\ny\r\n", config="small")
    script("maximum subscriptions after unsub", b"SUB a 1\r\nSUB b 2\r\nSUB c 3\r\nUNSUB 1\r\nSUB d 4\r\nPUB d 1\r\nx\r\n",
           config="small")
    script("maximum subscriptions, verbose", b"SUB a 1\r\nSUB b 2\r\nSUB c 3\r\nSUB d 4\r\n", config="small",
           connect=opts(verbose=True))
    script("too many tokens", b"SUB a.b.c.d 1\r\nSUB a.b.c.d.e 2\r\nPUB a.b.c.d.e 1\r\nx\r\n", config="small")


def unsubscribing():
    for args in (b"", b" ", b" 1 2 3", b" 1 x", b" 1 -1", b" 1 0", b" 1 1.5", b" 2", b" 2 5", b" x", b" 1 99999999999",
                 b" 1 99999999999999999999", b" 1 01", b" 1 +1"):
        script(f"UNSUB arguments {args!r}", b"SUB foo 1\r\nUNSUB" + args + b"\r\nPUB foo 1\r\nx\r\nPUB foo 1\r\ny\r\n")
    script("unsub stops", b"SUB foo 1\r\nPUB foo 1\r\nx\r\nUNSUB 1\r\nPUB foo 1\r\ny\r\n")
    script("unsub twice", b"SUB foo 1\r\nUNSUB 1\r\nUNSUB 1\r\n", connect=opts(verbose=True))
    script("unsub unknown, verbose", b"UNSUB 77\r\nUNSUB 77 3\r\n", connect=opts(verbose=True))
    script("unsub after two", b"SUB foo 1\r\nUNSUB 1 2\r\n" + b"PUB foo 1\r\nx\r\n" * 4)
    script("unsub after two, one delivered", b"SUB foo 1\r\nPUB foo 1\r\na\r\nUNSUB 1 2\r\n" + b"PUB foo 1\r\nx\r\n" * 3)
    script("unsub after less than delivered", b"SUB foo 1\r\n" + b"PUB foo 1\r\na\r\n" * 3 + b"UNSUB 1 2\r\nPUB foo 1\r\nx\r\n")
    script("unsub after as many as delivered", b"SUB foo 1\r\n" + b"PUB foo 1\r\na\r\n" * 2 + b"UNSUB 1 2\r\nPUB foo 1\r\nx\r\n")
    script("unsub maximum raised", b"SUB foo 1\r\nUNSUB 1 1\r\nUNSUB 1 3\r\n" + b"PUB foo 1\r\nx\r\n" * 5)
    script("unsub maximum lowered", b"SUB foo 1\r\nUNSUB 1 5\r\nUNSUB 1 1\r\n" + b"PUB foo 1\r\nx\r\n" * 5)
    script("unsub maximum taken back", b"SUB foo 1\r\nUNSUB 1 2\r\nUNSUB 1 0\r\n" + b"PUB foo 1\r\nx\r\n" * 3)
    script("unsub after one, sid used again", b"SUB foo 1\r\nUNSUB 1 1\r\nPUB foo 1\r\nx\r\nSUB bar 1\r\nPUB bar 1\r\ny\r\n")
    script("unsub, sid used again", b"SUB foo 1\r\nUNSUB 1\r\nSUB bar 1\r\nPUB foo 1\r\nx\r\nPUB bar 1\r\ny\r\n")
    script("unsub after one, queue group", b"SUB foo q 1\r\nUNSUB 1 1\r\nPUB foo 1\r\nx\r\nPUB foo 1\r\ny\r\n")
    script("unsub after one, other connection", a(b"SUB u.other 1\r\nUNSUB 1 1\r\n"), b(b"PUB u.other 1\r\nx\r\nPUB u.other 1\r\ny\r\n"))
    script("unsub max with no responders", a(b"SUB u.nr 1\r\nUNSUB 1 1\r\n"),
           b(b"SUB in.box 9\r\nPUB u.nr in.box 1\r\nx\r\nPUB u.nr in.box 1\r\ny\r\n"))


def requesting():
    script("no responders", b"SUB inbox.1 1\r\nPUB nobody.1 inbox.1 2\r\nhi\r\n")
    script("no responders, hpub", b"SUB inbox.2 1\r\nHPUB nobody.2 inbox.2 12 14\r\nNATS/1.0\r\n\r\nhi\r\n")
    script("no responders, wildcard inbox", b"SUB inbox.3.* 1\r\nPUB nobody.3 inbox.3.x 0\r\n\r\n")
    script("no responders, full wildcard inbox", b"SUB inbox.3b.> 1\r\nPUB nobody.3b inbox.3b.x.y 0\r\n\r\n")
    script("no responders, not asked for", b"SUB inbox.4 1\r\nPUB nobody.4 inbox.4 0\r\n\r\n", connect=opts(no_responders=False))
    script("no responders, nobody at the inbox", b"PUB nobody.5 inbox.5 0\r\n\r\n")
    script("no responders, inbox in a queue group", b"SUB inbox.6 q 1\r\nPUB nobody.6 inbox.6 0\r\n\r\n")
    script("no responders, two inbox subscriptions", b"SUB inbox.7 1\r\nSUB inbox.7 2\r\nPUB nobody.7 inbox.7 0\r\n\r\n",
           masks=[(r"HMSG inbox.7 \d", "HMSG inbox.7 N")])
    script("no responders, inbox of another connection", a(b"SUB inbox.8 1\r\n"), b(b"PUB nobody.8 inbox.8 0\r\n\r\n"))
    script("no responders, unsub after one", b"SUB inbox.9 1\r\nUNSUB 1 1\r\n" + b"PUB nobody.9 inbox.9 0\r\n\r\n" * 2)
    script("no responders, verbose", b"SUB inbox.10 1\r\nPUB nobody.10 inbox.10 0\r\n\r\n", connect=opts(verbose=True))
    script("no responders, echo off", b"SUB inbox.11 1\r\nPUB nobody.11 inbox.11 0\r\n\r\n", connect=opts(protocol=1, echo=False))
    script("no responders, publish to a wildcard", b"SUB inbox.12 1\r\nPUB nobody.* inbox.12 0\r\n\r\n")
    script("no responders, JetStream API without JetStream", b"SUB inbox.13 1\r\nPUB $JS.API.INFO inbox.13 0\r\n\r\n")
    script("no responders, long subject", b"SUB inbox.14 1\r\nPUB " + b"n" * 500 + b" inbox.14 0\r\n\r\n")
    script("reply is the subject", b"SUB self.1 1\r\nPUB self.1 self.1 0\r\n\r\n")
    script("request and reply", a(b"SUB svc.1 1\r\n"), b(b"SUB inbox.r 2\r\nPUB svc.1 inbox.r 2\r\nhi\r\n"),
           a(b"PUB inbox.r 2\r\nok\r\n"))
    script("request to a queue group", a(b"SUB svc.2 q 1\r\n"), b(b"SUB inbox.q 2\r\nPUB svc.2 inbox.q 2\r\nhi\r\n"),
           a(b"HPUB inbox.q 12 14\r\nNATS/1.0\r\n\r\nok\r\n"))
    script("responder gone", a(b"SUB svc.3 1\r\n"), a(b"UNSUB 1\r\n"), b(b"SUB inbox.g 2\r\nPUB svc.3 inbox.g 2\r\nhi\r\n"))
    script("sub and request in one write", b"SUB svc.4 1\r\nSUB inbox.w 2\r\nPUB svc.4 inbox.w 2\r\nhi\r\nPUB inbox.w 2\r\nok\r\n")


def several_connections():
    script("fan-out to three", a(b"SUB fan 1\r\n"), b(b"SUB fan 7\r\n"), c(b"SUB f* 1\r\nSUB * 2\r\n"), a(b"PUB fan 3\r\nabc\r\n"))
    script("order from one publisher", a(b"SUB ord.> 1\r\n"),
           b(b"".join(b"PUB ord.%d 3\r\n%03d\r\n" % (i % 5, i) for i in range(500))))
    script("vanished subscriber", a(b"SUB van 1\r\n"), b(b"SUB van 1\r\n"), Step("a", b"", "close"), b(b"PUB van 2\r\nhi\r\n"))
    script("maximum connections", a(b"PING\r\n"), b(b"PING\r\n"), c(b""), config="two_connections",
           connects={"c": None})
    script("queue group over two connections gets one each", a(b"SUB qq.1 q 1\r\n"), b(b"PUB qq.1 1\r\nx\r\nPUB qq.1 1\r\ny\r\n"))
    script("echo off still reaches others", a(b"SUB ech 1\r\n"), b(b"SUB ech 2\r\nPUB ech 2\r\nhi\r\n"),
           connects={"b": opts(protocol=1, echo=False)})
    script("mapping", a(b"SUB > 1\r\n"), b(b"PUB old.subject 1\r\nx\r\nPUB in.a.b 1\r\ny\r\nPUB w.z 1\r\nz\r\n"), config="mappings")


def authorizing():
    ann, cat = opts(user="ann", **{"pass": "pass"}), opts(user="cat", **{"pass": "pass"})
    every = opts(user="all", **{"pass": "pass"})
    script("token: right", b"PING\r\n", config="token", connect=opts(auth_token="t0ken"))
    script("token: right, verbose", b"PING\r\n", config="token", connect=opts(auth_token="t0ken", verbose=True))
    script("token: wrong", b"PING\r\n", config="token", connect=opts(auth_token="other"))
    script("token: prefix", b"PING\r\n", config="token", connect=opts(auth_token="t0ke"))
    script("token: missing", b"PING\r\n", config="token")
    script("token: as the password", b"PING\r\n", config="token", connect=opts(user="x", **{"pass": "t0ken"}))
    script("token: as the user", b"PING\r\n", config="token", connect=opts(user="t0ken"))
    script("token: no CONNECT, PING first", b"PING\r\n", config="token", connect=None)
    script("token: no CONNECT, PUB first", b"PUB a 1\r\nx\r\n", config="token", connect=None)
    script("token: no CONNECT, SUB first", b"SUB a 1\r\n", config="token", connect=None)
    script("token: no CONNECT, rubbish first", b"HELLO\r\n", config="token", connect=None)
    script("token: no CONNECT at all", b"", config="token", connect=None, end="closed")
    script("token: second CONNECT is wrong", b'PING\r\nCONNECT {"auth_token":"bad"}\r\n', config="token",
           connect=opts(auth_token="t0ken"))
    script("user: right", b"PING\r\n", config="user", connect=opts(user="joe", **{"pass": "secret"}, protocol=1))
    script("user: wrong password", b"PING\r\n", config="user", connect=opts(user="joe", **{"pass": "Secret"}))
    script("user: wrong name", b"PING\r\n", config="user", connect=opts(user="Joe", **{"pass": "secret"}))
    script("user: empty password", b"PING\r\n", config="user", connect=opts(user="joe", **{"pass": ""}))
    script("user: nothing", b"PING\r\n", config="user")
    script("user: wrong, verbose", b"PING\r\n", config="user", connect=opts(user="joe", verbose=True))
    script("users: bcrypt", b"SUB open.a 1\r\nPUB open.a 1\r\nx\r\n", config="users", connect=opts(user="ben", **{"pass": "secret"}))
    script("users: bcrypt wrong", b"PING\r\n", config="users", connect=opts(user="ben", **{"pass": "wrong"}))
    script("users: bcrypt hash as password", b"PING\r\n", config="users", connect=opts(user="ben", **{"pass": BCRYPT_OF_SECRET}))
    script("users: nkey", b"SUB open.a 1\r\nPUB open.a 1\r\nx\r\n", config="users", connect=signed())
    script("users: nkey, wrong signature", b"PING\r\n", config="users", connect=signed(wrong=True))
    script("users: nkey without signature", b"PING\r\n", config="users", connect=opts(nkey=NKEY))
    script("users: unknown nkey", b"PING\r\n", config="users", connect=opts(nkey="U" + "A" * 55, sig="AAAA"))
    script("users: nkey, signature is rubbish", b"PING\r\n", config="users", connect=opts(nkey=NKEY, sig="!!!"))
    script("users: default permissions", b"PUB open.a 1\r\nx\r\nPUB shut 1\r\nx\r\nSUB open.b 1\r\nSUB shut 2\r\nSUB _INBOX.x 3\r\n",
           config="users", connect=opts(user="ben", **{"pass": "secret"}))
    for line in (b"PUB a.x 1\r\nx\r\n", b"PUB b 1\r\nx\r\n", b"PUB c 1\r\nx\r\n", b"PUB b.c 1\r\nx\r\n", b"PUB a 1\r\nx\r\n",
                 b"PUB c r 1\r\nx\r\n", b"PUB a.* 1\r\nx\r\n", b"PUB > 1\r\nx\r\n", b"HPUB c 12 12\r\nNATS/1.0\r\n\r\n\r\n",
                 b"SUB a.x 1\r\n", b"SUB c 1\r\n", b"SUB a.> 1\r\n", b"SUB a.* 1\r\n", b"SUB > 1\r\n", b"SUB * 1\r\n",
                 b"SUB a.secret.x 1\r\n", b"SUB a.secret.> 1\r\n", b"SUB a.secret.* 1\r\n", b"SUB a.secret 1\r\n",
                 b"SUB c q 1\r\n", b"SUB a.x q 1\r\n", b"SUB a.secret.x q 1\r\n", b"SUB a..x 1\r\n", b"SUB *.x 1\r\n"):
        script(f"permissions of ann: {line[:30]!r}", line + b"PUB a.x 1\r\ny\r\n", config="users", connect=ann)
        script(f"permissions of ann, verbose: {line[:30]!r}", line, config="users",
               connect=opts(user="ann", **{"pass": "pass"}, verbose=True))
    for line in (b"PUB no.x 1\r\nx\r\n", b"PUB no 1\r\nx\r\n", b"PUB never.a.b 1\r\nx\r\n", b"PUB yes 1\r\nx\r\n",
                 b"PUB no.* 1\r\nx\r\n", b"PUB no.> 1\r\nx\r\n", b"SUB d.x 1\r\n", b"SUB d.> 1\r\n", b"SUB > 1\r\n", b"SUB d.* 1\r\n",
                 b"SUB e 1\r\n", b"SUB *.x 1\r\n"):
        script(f"permissions of cat: {line[:30]!r}", line, config="users", connect=cat)
    script("deny filtered at delivery", a(b"SUB a.> 1\r\n"), b(b"PUB a.ok 1\r\nx\r\nPUB a.secret.y 1\r\ny\r\nPUB a.z 1\r\nz\r\n"),
           config="users", connects={"a": ann, "b": every})
    script("deny filtered at delivery, full wildcard", a(b"SUB > 1\r\nSUB d.> 2\r\n"),
           b(b"PUB d.x 1\r\nx\r\nPUB d.x.y 1\r\ny\r\nPUB d 1\r\nz\r\n"), config="users", connects={"a": cat, "b": every}, unordered=True)
    for line in (b"SUB jobs 1\r\n", b"SUB jobs workers 1\r\n", b"SUB jobs others 1\r\n", b"SUB jobs.a w.1 1\r\n",
                 b"SUB jobs.a x.1 1\r\n", b"SUB jobs.a w.1.2 1\r\n", b"SUB plain 1\r\n", b"SUB plain q 1\r\n", b"SUB jobs.a 1\r\n"):
        script(f"queue permissions of eva: {line!r}", line + b"PUB jobs 1\r\nx\r\nPUB plain 1\r\ny\r\nPUB jobs.a 1\r\nz\r\n", config="users",
               connect=opts(user="eva", **{"pass": "pass"}))
    for line in (b"SUB jobs badq 1\r\n", b"SUB jobs goodq 1\r\n", b"SUB jobs 1\r\n", b"SUB > badq 1\r\n"):
        script(f"queue permissions of gus: {line!r}", line, config="users", connect=opts(user="gus", **{"pass": "pass"}))
    for user, subject in (("dan", b"req"), ("fay", b"req2")):
        allowed = opts(user=user, **{"pass": "pass"})
        script(f"allow_responses of {user}", a(b"SUB %s 1\r\n" % subject), b(b"SUB re.1 1\r\nPUB %s re.1 1\r\nx\r\n" % subject),
               a(b"PUB re.1 1\r\n1\r\n"), a(b"PUB re.1 1\r\n2\r\n"), a(b"PUB re.1 1\r\n3\r\n"), a(b"PUB elsewhere 1\r\nx\r\n"),
               config="users", connects={"a": allowed, "b": every})
    script("no_auth_user: no credentials", b"SUB a 1\r\nSUB b 2\r\nPUB a 1\r\nx\r\nPUB b 1\r\nx\r\n", config="no_auth_user")
    script("no_auth_user: no CONNECT", b"SUB a 1\r\nSUB b 2\r\nPUB a 1\r\nx\r\n", config="no_auth_user", connect=None)
    script("no_auth_user: PING first", b"PING\r\n", config="no_auth_user", connect=None)
    script("no_auth_user: credentials", b"SUB b 2\r\nPUB b 1\r\nx\r\n", config="no_auth_user", connect=opts(user="ben", **{"pass": "pass"}))
    script("no_auth_user: wrong credentials", b"SUB b 2\r\n", config="no_auth_user", connect=opts(user="ben", **{"pass": "x"}))
    script("permission error leaves the connection usable", b"PUB c 1\r\nx\r\nSUB a.k 4\r\nPUB a.k 1\r\ny\r\n", config="users", connect=ann)
    script("many permission errors", b"PUB c 1\r\nx\r\n" * 20, config="users", connect=ann)


def accounts():
    who = {name: opts(user=name, **{"pass": name}, protocol=1) for name in "abcd"}
    script("accounts: isolated", a(b"SUB > 1\r\n"), b(b"SUB > 1\r\nPUB own 1\r\nx\r\n"), a(b"PUB own 1\r\ny\r\n"),
           config="isolated", connects={"a": who["a"], "b": who["d"]})
    script("accounts: isolated queue groups", a(b"SUB own q 1\r\n"), b(b"SUB own q 1\r\nPUB own 1\r\nx\r\n"),
           config="isolated", connects={"a": who["a"], "b": who["d"]})
    script("accounts: isolated, no responders", a(b"SUB own 1\r\n"), b(b"SUB in.i 1\r\nPUB own in.i 1\r\nx\r\n"),
           config="isolated", connects={"a": who["a"], "b": who["d"]})
    script("accounts: stream import", b(b"SUB pub.x 1\r\n"), a(b"PUB pub.x 1\r\nx\r\nPUB pub.y 1\r\ny\r\n"), config="accounts",
           connects=who)
    script("accounts: stream import, wildcard", b(b"SUB pub.> 1\r\nSUB > 2\r\n"), a(b"PUB pub.x 1\r\nx\r\n"), config="accounts",
           connects=who, unordered=True)
    script("accounts: stream import with prefix", c(b"SUB from.a.pub.> 1\r\nSUB pub.x 2\r\n"), a(b"PUB pub.x 1\r\nx\r\n"),
           config="accounts", connects=who)
    script("accounts: private stream import", c(b"SUB mine.> 1\r\n"), a(b"PUB private.x 1\r\nx\r\n"), config="accounts", connects=who)
    script("accounts: importer's publish stays at home", a(b"SUB pub.> 1\r\n"), b(b"SUB pub.q 1\r\nPUB pub.q 1\r\nx\r\n"),
           config="accounts", connects=who)
    # The request carries who asks and their round-trip time, whose digits change the sizes.
    reply = [(r"_R_\.\S+ \d+ \d+", "_R_.* N N"), (r'"rtt":\d+', '"rtt":N')]
    script("accounts: service import, request", a(b"SUB svc.echo 1\r\n"), b(b"SUB in.b 5\r\nPUB svc.echo in.b 2\r\nhi\r\n"),
           config="accounts", connects=who, masks=reply)
    script("accounts: service import with another name", a(b"SUB svc.echo 1\r\n"), c(b"SUB in.c 5\r\nPUB my.echo in.c 2\r\nhi\r\n"),
           config="accounts", connects=who, masks=reply)
    script("accounts: service import, no responders", b(b"SUB in.n 5\r\nPUB svc.echo in.n 2\r\nhi\r\n"), config="accounts",
           connects=who, masks=reply)
    script("accounts: wrong account's password", b"PING\r\n", config="isolated", connect=opts(user="a", **{"pass": "d"}))
    script("accounts: no credentials", b"PING\r\n", config="isolated")


def timing():
    script("stale connection", b"", config="pings", connect=opts(), end="closed")
    script("stale connection answers nothing", b"SUB foo 1\r\n", config="pings", connect=opts(), end="closed")


def all_scripts():
    if not SCRIPTS:
        for group in (connecting, verbs, publishing, headers, subscribing, unsubscribing, requesting, several_connections,
                      authorizing, accounts, timing):
            group()
        names = [s.name for s in SCRIPTS]
        assert len(names) == len(set(names)), [n for n in names if names.count(n) > 1]
    return SCRIPTS
