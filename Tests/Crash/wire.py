"""A NATS client over one raw socket, as little as a crash test needs: what is sent, what came, and when it broke."""

import json
import select
import socket
import time


class Gone(Exception):
    """The connection broke, or could not be made: the broker was killed."""


class Silent(Exception):
    """The broker lives but does not answer."""


class Refused(Exception):
    """The broker answered `-ERR`, or an API request with an error."""


class Wire:
    """`send` collects, `pump` moves bytes and returns the messages that came, as (subject, reply, header, payload)."""

    ANSWER_SECONDS = 20.0

    def __init__(self, port):
        self.sock = socket.socket()
        self.sock.settimeout(5)
        self.out = bytearray()
        self.input = bytearray()
        self.broken = False
        self.requests = 0
        self.backlog = []
        try:
            self.sock.connect(("127.0.0.1", port))
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            raise Gone(str(error)) from None
        self.sock.setblocking(False)
        self.pongs = 0
        self.send(b'CONNECT {"verbose":false,"headers":true,"no_responders":true,"lang":"crash","version":"1"}\r\n'
                  b"SUB _INBOX.api.* 1\r\n")
        self.settle()

    def close(self):
        self.sock.close()

    def send(self, data):
        self.out += data

    def publish(self, subject, payload, reply="", header=b""):
        reply = reply + " " if reply else ""
        if header:
            header = b"NATS/1.0\r\n" + header + b"\r\n"
            self.out += b"HPUB %s %s%d %d\r\n%s%s\r\n" % (
                subject.encode(), reply.encode(), len(header), len(header) + len(payload), header, payload)
        else:
            self.out += b"PUB %s %s%d\r\n%s\r\n" % (subject.encode(), reply.encode(), len(payload), payload)

    def pump(self, seconds=0.0):
        """Sends what goes, waits up to `seconds` for something to read, returns the messages that are complete.

        What the broker sent before it died counts: Gone is raised only once all of it has been read."""
        messages, self.backlog = self.backlog, []
        if not self.broken:
            self._flush()
            if not messages and seconds > 0:
                select.select([self.sock], [self.sock] if self.out else [], [], seconds)
            self._fill()
        messages += self._parse()
        if self.broken and not messages:
            raise Gone("the connection ended")
        return messages

    def _flush(self):
        try:
            while self.out:
                sent = self.sock.send(memoryview(self.out)[:1 << 18])
                del self.out[:sent]
        except BlockingIOError:
            pass
        except OSError:
            self.out.clear()  # the rest of what it said may still be there to read

    def _fill(self):
        try:
            while True:
                data = self.sock.recv(1 << 18)
                if not data:
                    self.broken = True
                    return
                self.input += data
                if len(data) < 1 << 17:
                    return
        except BlockingIOError:
            pass
        except OSError:
            self.broken = True

    def _parse(self):
        messages, data, at = [], self.input, 0
        while True:
            end = data.find(b"\r\n", at)
            if end < 0:
                break
            line = bytes(data[at:end])
            if line.startswith((b"MSG ", b"HMSG ")):
                fields = line.split()
                size = int(fields[-1])
                head = int(fields[-2]) if line[0] == 72 else 0
                start = end + 2
                if len(data) < start + size + 2:
                    break
                reply = fields[3] if len(fields) == (6 if head else 5) else b""
                messages.append((fields[1].decode(), reply.decode(), bytes(data[start:start + head]),
                                 bytes(data[start + head:start + size])))
                at = start + size + 2
                continue
            at = end + 2
            if line.startswith(b"PING"):
                self.send(b"PONG\r\n")
            elif line.startswith(b"PONG"):
                self.pongs += 1
            elif line.startswith(b"-ERR"):
                raise Refused(line.decode())
        del self.input[:at]
        return messages

    def settle(self):
        """PING, and everything up to its PONG; messages that come meanwhile wait for `pump`."""
        wanted, kept, deadline = self.pongs + 1, [], time.monotonic() + self.ANSWER_SECONDS
        self.send(b"PING\r\n")
        while self.pongs < wanted:
            kept += self.pump(0.5)
            if time.monotonic() > deadline:
                raise Silent("no PONG")
        self.backlog += kept

    def request(self, subject, body=None):
        """An API request; its answer as a dictionary. An `error` in it is raised."""
        self.requests += 1
        inbox, kept, deadline = f"_INBOX.api.{self.requests}", [], time.monotonic() + self.ANSWER_SECONDS
        self.publish("$JS.API." + subject, b"" if body is None else json.dumps(body).encode(), inbox)
        while True:
            for message in self.pump(0.5):
                if message[0] == inbox:
                    self.backlog += kept
                    if message[2]:
                        raise Refused(f"{subject}: {message[2]!r}")
                    answer = json.loads(message[3])
                    if "error" in answer:
                        raise Refused(f"{subject}: {answer['error']}")
                    return answer
                kept.append(message)
            if time.monotonic() > deadline:
                raise Silent(f"no answer to $JS.API.{subject}")
