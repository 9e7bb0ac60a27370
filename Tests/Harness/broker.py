"""Starts and stops one broker process (brokerd or nats-server) and reads its log.

Used by the conformance, interoperation and soak harnesses. `Broker` owns the process it started and ends no other.
"""

import os
import re
import signal
import subprocess
import threading
import time

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BROKERD = os.path.join(REPO, ".build", "release", "brokerd")
PEER = os.path.join(REPO, ".venv", "bin", "nats-server")

READY = "Server is ready"
CLIENT_LINE = re.compile(r"Listening for client connections on (\S+):(\d+)\s*$")
HTTP_LINE = re.compile(r"Starting http monitor on (\S+):(\d+)\s*$")
WEBSOCKET_LINE = re.compile(r"Listening for websocket clients on \w+://(\S+):(\d+)\s*$")

# How many servers this process has started; the conformance plugin reads it around each test.
started = 0
# Every broker that is still running, so that a harness can end what a failed test left behind.
running = set()


def executable(name=None):
    """The program for `name`: "brokerd", "nats-server" (the peer), a path, or what $BROKER says; brokerd by default."""
    name = name or os.environ.get("BROKER") or "brokerd"
    if name == "brokerd":
        return BROKERD
    if name in ("nats-server", "peer"):
        return PEER
    return name if os.sep not in name else os.path.abspath(name)


class StartFailed(Exception):
    """The broker exited, or did not say in time that it is ready; the text carries its log."""


class Broker:
    """A running broker. `args` are command-line flags; `port=-1` lets the kernel choose the client port."""

    def __init__(self, *args, program=None, port=-1, timeout=10.0, wait=True):
        global started
        self.args = [str(a) for a in args]
        self.program = executable(program)
        self.lines = []
        self.host = None
        self.port = None
        self.http_port = None
        self.websocket_port = None
        self._changed = threading.Condition()
        self._ended = False
        command = [self.program] + ([] if port is None else ["-p", str(port)]) + self.args
        started += 1
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            errors="replace")
        running.add(self)
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        if wait:
            try:
                self.wait_log(READY, timeout)
            except TimeoutError as error:
                self.kill()
                raise StartFailed(f"{' '.join(command)}: {error}") from None

    def _read_log(self):
        for line in self.process.stderr:
            line = line.rstrip("\n")
            with self._changed:
                self.lines.append(line)
                for pattern, field in ((CLIENT_LINE, "port"), (HTTP_LINE, "http_port"),
                                       (WEBSOCKET_LINE, "websocket_port")):
                    match = pattern.search(line)
                    if match:
                        setattr(self, field, int(match.group(2)))
                        if field == "port":
                            self.host = match.group(1)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def pid(self):
        return self.process.pid

    @property
    def log(self):
        return "\n".join(self.lines)

    @property
    def url(self):
        """Where clients connect, on loopback."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "[::]", None) else self.host
        return f"nats://{host}:{self.port}"

    def wait_log(self, text, timeout=5.0, after=0):
        """Waits for a log line (from number `after` on) that contains `text`; returns it."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                for line in self.lines[after:]:
                    if text in line:
                        return line
                left = deadline - time.monotonic()
                if self._ended or left <= 0:
                    why = "it ended" if self._ended else f"not within {timeout} s"
                    raise TimeoutError(f"no log line with {text!r}: {why}; its log:\n" + "\n".join(self.lines[-30:]))
                self._changed.wait(left)

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, timeout=5.0):
        """Waits for the exit and returns the exit code."""
        code = self.process.wait(timeout)
        self._reader.join(5)
        self.process.stderr.close()
        running.discard(self)
        return code

    def stop(self, timeout=10.0):
        """SIGTERM, and SIGKILL when that does not do. Returns the exit code."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            return self.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self):
        """SIGKILL."""
        if self.process.poll() is None:
            self.process.kill()
        return self.wait(60)  # a thread inside a sync dies when the disk is done

    def reload(self, timeout=5.0):
        """SIGHUP, and waits until the broker says that it has reloaded."""
        seen = len(self.lines)
        self.signal(signal.SIGHUP)
        self.wait_log("Reloaded server configuration", timeout, after=seen)

    def rss_bytes(self):
        """Resident memory, from /proc."""
        with open(f"/proc/{self.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def descriptors(self):
        """How many file descriptors the process has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()
        elif self in running:
            self.wait()


def end_all():
    """Ends the brokers that this process started and that still run."""
    for broker in list(running):
        broker.kill()
