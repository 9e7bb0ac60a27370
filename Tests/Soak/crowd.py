"""The soak's clients: a crowd that comes, misbehaves and goes, and a few steady clients whose every message is checked.

Everything runs on one epoll loop; a client is one socket and a few fields, so that 2,000 of them are cheap.
"""

import random
import re
import select
import socket
import struct
import time

HELLO = b'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true,"protocol":1}\r\n'
VANISH = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset
READ_BYTES = 1 << 18
MESSAGE = re.compile(rb"MSG keep\.(\d+) 1 (\d+)\r\n(\d+) x*\r\n")
LONGEST_MESSAGE = 4096
FLOOD_BYTES = 32_000


class Client:
    """One connection; `act` says what it does when it gets to do something."""

    reads = True

    def __init__(self, loop):
        self.loop = loop
        self.out = b""
        self.alive = True
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.connect_ex(("127.0.0.1", loop.port))
        self.mask = 0
        loop.add(self)
        self.send(self.hello())

    def hello(self):
        return HELLO

    def watch(self):
        mask = (select.EPOLLIN if self.reads else 0) | (select.EPOLLOUT if self.out else 0)
        if mask != self.mask:
            self.mask = mask
            self.loop.poll.modify(self.socket, mask)

    def send(self, data):
        """Sends now what the socket takes and keeps the rest."""
        if not self.alive:
            return
        self.out += data
        try:
            sent = self.socket.send(self.out)
            self.out = self.out[sent:]
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            if error.errno not in (11, 107):  # not connected yet
                return self.gone()
        self.watch()

    def ready(self, mask):
        if mask & select.EPOLLOUT and self.out:
            self.send(b"")
        if self.alive and mask & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
            try:
                data = self.socket.recv(READ_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                data = b""
            if not data:
                return self.gone()
            self.received(data)

    def received(self, data):
        if b"PING\r\n" in data:
            self.send(b"PONG\r\n")

    def gone(self):
        """The server closed."""
        self.leave()

    def leave(self, vanish=False):
        if self.alive:
            self.alive = False
            if vanish:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, VANISH)
            self.loop.remove(self)
            self.socket.close()

    def act(self):
        pass


class Reader(Client):
    """Subscribes to a few subjects, some in queue groups, changes its mind, publishes now and then."""

    life = (5, 60)

    def hello(self):
        draw = self.loop.random
        subs = b"".join(b"SUB crowd.%d %s%d\r\n" % (draw.randrange(400), draw.choice([b"", b"q "]), sid) for sid in range(1, 4))
        return HELLO + subs + draw.choice([b"", b"SUB crowd.*.deep 9\r\n", b"PING\r\n"])

    def act(self):
        draw = self.loop.random
        size = draw.choice([0, 10, 100, 1000])
        self.send(draw.choice([
            b"PUB crowd.%d %d\r\n%s\r\n" % (draw.randrange(400), size, b"y" * size),
            b"UNSUB 2\r\nSUB crowd.%d 2\r\n" % draw.randrange(400),
            b"SUB inbox.%d 7\r\nUNSUB 7 1\r\nPUB nobody inbox.%d 0\r\n\r\n" % ((draw.randrange(10**9),) * 2),
            b"PING\r\n"]))


class Talker(Client):
    """Publishes bursts, and vanishes in the middle of one."""

    life = (2, 20)

    def act(self):
        draw = self.loop.random
        burst = b"".join(b"PUB crowd.%d 20\r\n%s\r\n" % (draw.randrange(400), b"z" * 20) for _ in range(50))
        if draw.random() < 0.1:
            self.send(burst[:draw.randrange(len(burst))])
            self.leave(vanish=True)
        else:
            self.send(burst)


class Staller(Client):
    """Subscribes to the flood and never reads: the server must cut it."""

    life = (10, 40)
    reads = False

    def hello(self):
        return HELLO + b"SUB flood 1\r\n"


class Rubbish(Client):
    """Sends what no server understands, or nothing, or half of something."""

    life = (0, 2)

    def hello(self):
        draw = self.loop.random
        return draw.choice([
            draw.randbytes(draw.randrange(1, 2000)), b"", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"SUB " + b"a" * 5000,
            b"PUB x 99999999999\r\n", HELLO + b"PUB a 100\r\nshort", HELLO[:20], HELLO + b"HPUB a 9 3\r\n",
            b"CONNECT {" + b"[" * 1000 + b"\r\n", HELLO + b"SUB a..b 1\r\nPUB a.* 2\r\nhixx"])


class Keeper(Client):
    """A subscriber that keeps up: sees every message of every steady publisher once, in order."""

    def __init__(self, loop):
        self.rest = b""
        self.next = {}
        self.count = 0
        self.problems = []
        super().__init__(loop)

    def hello(self):
        return HELLO + b"SUB keep.* 1\r\n"

    def received(self, data):
        super().received(data)
        data = self.rest + data
        end = 0
        for match in MESSAGE.finditer(data):
            publisher, number = int(match.group(1)), int(match.group(3))
            wanted = self.next.get(publisher, 0)
            if number != wanted and len(self.problems) < 10:
                kind = "lost" if number > wanted else "twice or late"
                self.problems.append(f"publisher {publisher}: wanted {wanted}, got {number} ({kind})")
            self.next[publisher] = number + 1
            self.count += 1
            end = match.end()
        self.rest = data[end:]
        if b"-ERR" in self.rest:
            self.problems.append(f"the server said: {self.rest[:200]!r}")
        if len(self.rest) > LONGEST_MESSAGE:
            self.rest = self.rest[-LONGEST_MESSAGE:]

    def gone(self):
        self.problems.append("the server closed a subscriber that kept up")
        super().gone()


class Steady(Client):
    """A publisher of numbered messages."""

    def __init__(self, loop, name):
        self.name = name
        self.number = 0
        super().__init__(loop)

    def publish(self, count):
        parts = []
        for _ in range(count):
            text = b"%d %s" % (self.number, b"x" * (self.number % 200))
            parts.append(b"PUB keep.%d %d\r\n%s\r\n" % (self.name, len(text), text))
            self.number += 1
        self.send(b"".join(parts))


class Flood(Client):
    """Publishes large messages to those who do not read."""

    def publish(self, count):
        if len(self.out) < 1 << 20:
            self.send((b"PUB flood %d\r\n%s\r\n" % (FLOOD_BYTES, b"f" * FLOOD_BYTES)) * count)


class Loop:
    """The epoll loop with all clients; `random` is seeded."""

    # Of a hundred places in the crowd.
    KINDS = [Reader] * 72 + [Talker] * 15 + [Staller] * 3 + [Rubbish] * 10

    def __init__(self, port, size, seed):
        self.port = port
        self.size = size
        self.random = random.Random(seed)
        self.poll = select.epoll()
        self.clients = {}
        self.crowd = {}  # client: when it leaves
        self.came = 0

    def add(self, client):
        self.clients[client.socket.fileno()] = client
        self.poll.register(client.socket, 0)

    def remove(self, client):
        self.poll.unregister(client.socket)
        del self.clients[client.socket.fileno()]
        self.crowd.pop(client, None)

    def turn(self, seconds):
        """Handles what is ready, waiting at most `seconds`."""
        for number, mask in self.poll.poll(seconds, 512):
            client = self.clients.get(number)
            if client:
                client.ready(mask)

    def fill(self, per_turn=50):
        """Lets newcomers take the empty places, a few at a time."""
        for _ in range(min(per_turn, self.size - len(self.crowd))):
            client = self.random.choice(self.KINDS)(self)
            if client.alive:
                self.crowd[client] = time.monotonic() + self.random.uniform(*client.life)
            self.came += 1

    def stir(self, actions):
        """Lets those whose time has come go, half of them by vanishing; some others do something."""
        now = time.monotonic()
        for client in [c for c, until in self.crowd.items() if until < now]:
            client.leave(vanish=self.random.random() < 0.5)
        members = list(self.crowd)
        for client in self.random.sample(members, min(actions, len(members))):
            if client.alive:
                client.act()

    def disperse(self):
        """Sends the whole crowd away."""
        for client in list(self.crowd):
            client.leave(vanish=True)
