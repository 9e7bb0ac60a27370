"""Sends JetStream API requests to nats-server and to brokerd and compares the replies, byte for byte but for what is of the
moment: times, ids, server names.

    make jetstream-api                           every case, against both
    make jetstream-api ONLY='update stream'      the cases whose name contains that
    .venv/bin/python Tests/Interop/jetstream_api.py --self      nats-server against itself: are the cases deterministic?

The cases are in jetstream_api_scripts.py. Object members are compared without regard to their order; a reply that does not
come within a while is compared too, as none.
"""

import argparse
import difflib
import json
import os
import re
import socket
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "Harness")]

import broker  # noqa: E402
import expected_failures  # noqa: E402
import jetstream_api_scripts  # noqa: E402

ANSWER_SECONDS = 1.0  # how long a request may take; those that are never answered cost this much

# Members that are of the moment. Zero times are compared, for they mean something.
TIMES = ("created", "ts", "time", "first_ts", "last_ts", "last_active", "pinned_ts")
MASKED = ("pause_remaining", "leader", "active")
HEADERS = re.compile(r"(Nats-Time-Stamp|Nats-Stream-Identity|Date): [^\r]*")
ZERO_TIME = "0001-01-01T00:00:00Z"


def masked(value):
    """A reply's value with what is of the moment replaced by a star."""
    if isinstance(value, list):
        return [masked(element) for element in value]
    if isinstance(value, str) and value.startswith("change to limits violates consumers: "):
        return " ".join(sorted(value.replace(",", "").split()))  # they are in no order
    if not isinstance(value, dict):
        return value
    result = {}
    for name, member in value.items():
        if name in TIMES and member != ZERO_TIME or name in MASKED:
            result[name] = "*"
        elif name == "mirror" and "lag" in member:
            result[name] = origin(member)
        elif name == "sources" and any("lag" in source for source in member):
            result[name] = [origin(source) for source in member]
        elif name == "api" and "total" in member:
            result[name] = {"level": member["level"]}
        else:
            result[name] = masked(member)
    return result


def origin(info):
    """Where a stream copies from. nats-server asks it after a second, and shows only then what became of that."""
    return {name: value for name, value in masked(info).items() if name not in ("error", "filter_subject", "subject_transforms")}


def shown(reply):
    """A reply as text to compare: JSON with sorted members and what is of the moment masked, headers as they are."""
    if reply is None:
        return "(no reply)"
    headers, payload = reply
    head = HEADERS.sub(r"\1: *", headers.decode("latin-1")).replace("\r\n", "\\r\\n ")
    try:
        body = json.loads(payload)
    except ValueError:
        return head + payload.decode("utf-8", "replace")
    if isinstance(body, dict) and str(body.get("name", "")).isalnum() and len(body["name"]) == 8:
        body["name"] = "*"  # a name of the server's choice
        body.get("config", {})["name"] = "*"
    return head + json.dumps(masked(body), sort_keys=True, ensure_ascii=False)


class Client:
    """A raw connection that sends one request at a time, each with an inbox of its own."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data = b""
        self.requests = 0
        self.socket.sendall(b'CONNECT {"verbose":false,"headers":true,"no_responders":false}\r\nSUB _R.* 1\r\nPING\r\n')
        while self.operation()[0] != b"PONG":
            pass

    def operation(self):
        """The next operation: its words, and headers and payload where it has them."""
        while True:
            line, found, rest = self.data.partition(b"\r\n")
            if found:
                words = line.split()
                if words[0] not in (b"MSG", b"HMSG"):
                    self.data = rest
                    return words[0], words, (b"", b"")
                size = int(words[-1])
                if len(rest) >= size + 2:
                    self.data = rest[size + 2:]
                    split = int(words[-2]) if words[0] == b"HMSG" else 0
                    return words[0], words, (rest[:split], rest[split:size])
            chunk = self.socket.recv(1 << 16)
            if not chunk:
                raise ConnectionError("closed")
            self.data += chunk

    def request(self, subject, body, headers=b"", seconds=ANSWER_SECONDS):
        """The first reply, as headers and payload; None where there is none in time. A consumer's message comes with its own
        subject."""
        self.requests += 1
        inbox = b"_R.%d" % self.requests
        if headers:
            self.socket.sendall(b"HPUB %s %s %d %d\r\n%s%s\r\n" % (
                subject.encode(), inbox, len(headers), len(headers) + len(body), headers, body))
        else:
            self.socket.sendall(b"PUB %s %s %d\r\n%s\r\n" % (subject.encode(), inbox, len(body), body))
        deadline = time.monotonic() + seconds
        try:
            while True:
                self.socket.settimeout(max(0.001, deadline - time.monotonic()))
                kind, words, message = self.operation()
                if kind == b"PING":
                    self.socket.sendall(b"PONG\r\n")
                elif kind in (b"MSG", b"HMSG") and (words[1] == inbox or not words[1].startswith(b"_R.")):
                    return message
        except TimeoutError:
            return None


def play(case, number, client):
    """Plays a case; returns a line per reply."""
    lines = []
    for subject, body in case.steps:
        subject, body = subject.replace("@", str(number)), body.replace("@", str(number))
        kind, _, rest = subject.partition(" ")
        if kind == "pub":
            reply = client.request(rest, body.encode())
        elif kind == "hpub":
            head, _, payload = body.partition("\r\n\r\n")
            reply = client.request(rest, payload.encode(), (head + "\r\n\r\n").encode())
        else:
            reply = client.request("$JS.API." + subject, body.encode())
        lines.append(f"{subject[:80]} {body[:120]}")
        lines.append("    " + shown(reply))
    clean(client)
    return lines


def clean(client):
    """Removes what a case has left."""
    reply = client.request("$JS.API.STREAM.NAMES", b"", seconds=5)
    for name in json.loads(reply[1]).get("streams") or [] if reply else []:
        client.request(f"$JS.API.STREAM.DELETE.{name}", b"", seconds=5)


class Server:
    """One of the two, with a store of its own; started again if a case kills it."""

    def __init__(self, program):
        self.program = program
        self.folder = tempfile.TemporaryDirectory(prefix="jetstream-api-")
        self.start()

    def start(self):
        self.broker = broker.Broker("-a", "127.0.0.1", "-js", "-sd", self.folder.name, program=self.program)
        self.client = Client(self.broker.port)

    def play(self, case, number):
        try:
            return play(case, number, self.client)
        except (OSError, ValueError) as error:
            words = [f"{type(error).__name__}: {error}", self.broker.log[-1500:]]
            self.broker.kill()
            self.start()
            return words

    def stop(self):
        self.broker.kill()
        self.folder.cleanup()


def tell(case, wanted, got):
    print(f"\n--- DIFFERS {case.name}   (alone: .venv/bin/python Tests/Interop/jetstream_api.py --only '{case.name}')")
    for line in difflib.unified_diff(wanted, got, "nats-server", "brokerd", lineterm="", n=1):
        print("    " + line[:3000])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--broker", default=None)
    parser.add_argument("--self", action="store_true", help="compare nats-server with itself")
    parser.add_argument("--show", action="store_true", help="print what nats-server answered")
    options = parser.parse_args()
    program = broker.PEER if options.self else broker.executable(options.broker)
    if not os.path.exists(program):
        sys.exit(f"jetstream-api: no broker at {program}; run `make build` first")
    cases = [(n, c) for n, c in enumerate(jetstream_api_scripts.all_cases()) if options.only in c.name]
    expected = {} if program == broker.PEER else expected_failures.read("jetstream-api")
    begun = time.monotonic()
    passed, failed = 0, 0
    servers = [Server(broker.PEER), Server(program)]
    try:
        for number, case in cases:
            wanted, got = (server.play(case, number) for server in servers)
            if wanted != got:  # once more under a fresh number: nats-server's deletions are not always done when they are answered
                wanted, got = (server.play(case, number + 5000) for server in servers)
            if options.show:
                print(case.name, *wanted, sep="\n")
            if case.name in expected and wanted == got:
                failed += 1
                print(f"--- SAME but on expected-failures.txt: {case.name}")
            elif wanted == got:
                passed += 1
            elif case.name not in expected:
                failed += 1
                tell(case, wanted, got)
    finally:
        for server in servers:
            server.stop()
    print(f"jetstream-api took {time.monotonic() - begun:.0f} s, {len(cases)} cases, "
          f"{sum(case.name in expected for _, case in cases)} expected to differ")
    print(f"jetstream-api: {passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
