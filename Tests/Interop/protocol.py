"""Speaks raw bytes to nats-server and to brokerd and compares what comes back, operation for operation.

    make protocol                                every script, against both
    make protocol ONLY='hpub'                    the scripts whose name contains that
    .venv/bin/python Tests/Interop/protocol.py --self      nats-server against itself: are the scripts deterministic?

The scripts are in protocol_scripts.py. What both servers choose freely (ids, versions, nonces) is masked; a PING of the
server's own is left out, for its time is not fixed. nats-server answers first; brokerd then has a second to say the
same, so nothing waits for a fixed time.
"""

import argparse
import concurrent.futures
import difflib
import json
import os
import re
import select
import socket
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "Harness")]

import broker  # noqa: E402
import expected_failures  # noqa: E402
import protocol_scripts  # noqa: E402

ANSWER_SECONDS = 2.0  # how long a server may take to answer a PING or to close
SAME_SECONDS = 1.0  # how long the second server may take to say what the first one said
EXTRA_SECONDS = 0.03  # how long we listen for more once it has

# INFO's fields that a server chooses freely: masked, but they must be there or be missing in both.
MASKED = ("client_id", "port", "nonce", "server_id", "server_name", "version", "go", "host")
# Build details that a server may leave out.
DROPPED = ("git_commit", "xkey", "ip", "feature_flags")


def parse(data):
    """Splits what a server sent into operations, as text; an incomplete rest stays one of its own."""
    operations = []
    while data:
        end = data.find(b"\r\n")
        if end < 0:
            break
        line = data[:end]
        rest = data[end + 2:]
        words = line.split()
        if words and words[0] in (b"MSG", b"HMSG"):
            size = int(words[-1])
            if len(rest) < size + 2:
                break
            operations.append(f"{show(line)} | {show(rest[:size])}" + ("" if rest[size:size + 2] == b"\r\n" else " ?"))
            data = rest[size + 2:]
            continue
        data = rest
        if line.startswith(b"INFO "):
            operations.append("INFO " + masked(line[5:]))
        elif line != b"PING":
            operations.append(show(line))
    if data:
        operations.append("incomplete: " + show(data))
    return operations


def masked(info):
    """INFO's fields, sorted, volatile values masked."""
    fields = json.loads(info)
    for name in DROPPED:
        fields.pop(name, None)
    for name in MASKED:
        if name in fields:
            fields[name] = "*"
    return json.dumps(fields, sort_keys=True)


def show(data):
    return data.decode("latin-1").replace("\\", "\\\\").replace("\r", "\\r").replace("\n", "\\n").replace("\t", "\\t")


class Connection:
    """A raw client connection and everything the server sent on it."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data = b""
        self.closed = False

    def read(self, seconds):
        """Reads what is there or arrives within `seconds`; False when nothing came."""
        if self.closed or not select.select([self.socket], [], [], max(0, seconds))[0]:
            return False
        try:
            chunk = self.socket.recv(1 << 16)
        except ConnectionError:
            chunk = b""
        if not chunk:
            self.closed = True
        self.data += chunk
        return True

    def read_until(self, done, seconds):
        """Reads until `done()`, the server's close, or the time is over."""
        deadline = time.monotonic() + seconds
        while not done() and not self.closed and time.monotonic() < deadline:
            self.read(deadline - time.monotonic())
        return done()

    def send(self, data, split=False):
        if self.closed:
            return
        try:
            for piece in [data[i:i + 1] for i in range(len(data))] if split else [data]:
                self.socket.sendall(piece)
                if split:
                    self.wait_until_read(ANSWER_SECONDS)
        except ConnectionError:
            pass  # the server has closed; its last words are still to be read

    def wait_until_read(self, seconds):
        """Waits until the server has read all that was sent, so that two bytes never reach it in one read."""
        try:
            ends = self.socket.getsockname(), self.socket.getpeername()
        except OSError:
            return  # the server has closed
        ours, theirs = (f"{socket.inet_aton(host)[::-1].hex().upper()}:{port:04X}" for host, port in ends)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            queues = {}
            with open("/proc/net/tcp") as table:
                for line in table:
                    words = line.split()
                    queues[words[1], words[2]] = words[4].split(":")
            unacknowledged, unread = queues.get((ours, theirs)), queues.get((theirs, ours))
            if unread is None or (unacknowledged and int(unacknowledged[0], 16) == 0 and int(unread[1], 16) == 0):
                return

    def operations(self):
        return parse(self.data) + ["closed" if self.closed else "open"]

    def nonce(self):
        match = re.search(rb'"nonce":"([^"]+)"', self.data)
        return match.group(1) if match else b""


def pongs(connection):
    return sum(op == "PONG" for op in parse(connection.data))


def play(script, port, same_as=None):
    """Plays a script against the server on `port`; returns {connection name: operations}."""
    connections = {}
    several = len({step.connection for step in script.steps}) > 1 or script.sync

    def same():
        return same_as is not None and {n: c.operations() for n, c in connections.items()} == same_as

    def sync(connection):
        before = pongs(connection)
        connection.send(b"PING\r\n")
        connection.read_until(lambda: pongs(connection) > before or same(), ANSWER_SECONDS)

    for step in script.steps:
        name = step.connection
        if name not in connections:
            connection = connections[name] = Connection(port)
            connection.read_until(lambda: b"\r\n" in connection.data, ANSWER_SECONDS)  # noqa: B023
            line = script.connects.get(name, script.connect)
            if callable(line):
                line = line(connection.nonce())
            if line is not None:
                connection.send(b"CONNECT " + line + b"\r\n")
        connection = connections[name]
        if step.action == "send":
            connection.send(step.data, script.split)
        elif step.action == "pause":
            connection.read_until(lambda: False, step.data)
        elif step.action == "close":
            connection.socket.close()
            connection.closed = True
        elif step.action == "until":
            connection.read_until(lambda: step.data in connection.data, ANSWER_SECONDS)  # noqa: B023
        if several and step.action == "send" and step.sync:
            sync(connection)
    for connection in connections.values():
        if script.end == "ping":
            sync(connection)
        elif script.end == "closed":
            connection.read_until(lambda: False, ANSWER_SECONDS)
        elif script.end == "quiet" and same_as is None:
            connection.read_until(lambda: False, 0.25)
    # A delivery may still be on its way from one connection's thread to another's.
    deadline = time.monotonic() + (SAME_SECONDS if same_as is not None else EXTRA_SECONDS)
    while True:
        got = {name: connection.operations() for name, connection in connections.items()}
        left = deadline - time.monotonic()
        if left <= 0:
            break
        if got == same_as:
            deadline = min(deadline, time.monotonic() + EXTRA_SECONDS)
            same_as = None
        open_ones = [c for c in connections.values() if not c.closed]
        if not open_ones:
            break
        for ready in select.select([c.socket for c in open_ones], [], [], left)[0]:
            next(c for c in open_ones if c.socket is ready).read(0)
    for connection in connections.values():
        connection.socket.close()
    return got


def normal(transcript, script):
    """What a script says is left to the server (such as which member of a queue group gets a message) is masked."""
    for pattern, instead in script.masks:
        transcript = {n: [re.sub(pattern, instead, op) for op in ops] for n, ops in transcript.items()}
    if script.unordered:
        transcript = {n: sorted(ops) for n, ops in transcript.items()}
    return transcript


class Pair:
    """nats-server and the broker under test, running with one configuration."""

    def __init__(self, program, config):
        self.programs = {"nats-server": broker.PEER, "brokerd": program}
        self.folder = tempfile.TemporaryDirectory(prefix="protocol-")
        self.path = os.path.join(self.folder.name, f"{config}.conf")
        with open(self.path, "w") as file:
            file.write(protocol_scripts.CONFIGS[config])
        self.running = {}

    def port(self, name):
        if name not in self.running:
            self.running[name] = broker.Broker("-a", "127.0.0.1", "-c", self.path, program=self.programs[name])
        return self.running[name].port

    def the_dead(self):
        """Forgets servers that have died; returns their last words."""
        words = []
        for name, server in list(self.running.items()):
            if server.process.poll() is not None:
                server.wait()
                del self.running[name]
                words.append(f"{name} died with exit code {server.process.returncode}: ...{server.log[-1500:]}")
        return words

    def stop(self):
        for server in self.running.values():
            server.kill()
        self.folder.cleanup()


def compare(script, pair):
    """Plays one script against both; returns both transcripts and what a server that died said."""
    for _ in range(2):  # once more when they differ, for a reply may have been cut by a reset
        wanted, got, died = {}, {}, []
        try:
            wanted = normal(play(script, pair.port("nats-server")), script)
            same_as = None if script.masks or script.unordered else wanted
            got = normal(play(script, pair.port("brokerd"), same_as), script)
        except (OSError, ValueError, broker.StartFailed) as error:
            got = {"a": [f"{type(error).__name__}: {error}"]}
        died = pair.the_dead()
        if got == wanted and not died:
            break
    return wanted, got, died


def compare_all(scripts, program):
    """Plays scripts of one configuration, in order, against one pair of servers."""
    pair = Pair(program, scripts[0].config)
    try:
        return [(script, *compare(script, pair)) for script in scripts]
    finally:
        pair.stop()


def shares(scripts):
    """The scripts by configuration; those of a large group are dealt out to several pairs of servers."""
    groups = {}
    for script in scripts:
        groups.setdefault(script.config, []).append(script)
    dealt = []
    for group in groups.values():
        count = (len(group) + 59) // 60
        dealt += [group[i::count] for i in range(count)]
    return dealt


def tell(script, wanted, got, died):
    """Prints how the two answers to a script differ."""
    print(f"\n--- DIFFERS {script.name}   (alone: .venv/bin/python Tests/Interop/protocol.py --only '{script.name}')")
    for step in script.steps[:12]:
        data = step.data if isinstance(step.data, bytes) else str(step.data).encode()
        print(f"    {step.connection} {step.action} {show(data[:200])}{'...' if len(data) > 200 else ''}")
    for name in sorted(set(wanted) | set(got)):
        for line in difflib.unified_diff(wanted.get(name, []), got.get(name, []), f"nats-server, {name}",
                                         f"brokerd, {name}", lineterm="", n=2):
            print("    " + line[:2000])
    for words in died:
        print("    " + words)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="scripts whose name contains this")
    parser.add_argument("--broker", default=None)
    parser.add_argument("--self", action="store_true", help="compare nats-server with itself")
    parser.add_argument("--show", action="store_true", help="print what nats-server answered")
    options = parser.parse_args()
    program = broker.PEER if options.self else broker.executable(options.broker)
    if not os.path.exists(program):
        sys.exit(f"protocol: no broker at {program}; run `make build` first")
    scripts = [s for s in protocol_scripts.all_scripts() if options.only in s.name]
    begun = time.monotonic()
    passed, failed, expected = 0, [], {} if program == broker.PEER else expected_failures.read("protocol")
    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        for results in pool.map(lambda share: compare_all(share, program), shares(scripts)):
            for script, wanted, got, died in results:
                if options.show:
                    print(f"{script.name}: {json.dumps(wanted, indent=2)}")
                same = got == wanted and not died
                if script.name in expected and same:
                    failed.append(script.name)
                    print(f"--- SAME but on expected-failures.txt: {script.name}")
                elif same:
                    passed += 1
                elif script.name not in expected:
                    failed.append(script.name)
                    tell(script, wanted, got, died)
    print(f"protocol took {time.monotonic() - begun:.0f} s, {len(scripts)} scripts, "
          f"{sum(s.name in expected for s in scripts)} expected to differ")
    print(f"protocol: {passed} passed, {len(failed)} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
