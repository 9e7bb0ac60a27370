"""The soak: for 8 minutes, 2,000 clients at a time connect, subscribe, publish, stall, vanish and send rubbish.

Afterwards the broker's memory is within 20% of where it stood after the first minute (or a quarter of a shorter run), no
file descriptor has leaked, and steady subscribers have seen every message of steady publishers once and in order.

    make soak                      the full length
    make soak DURATION_S=60        shorter or longer
    make soak BROKER=nats-server   the peer
"""

import argparse
import os
import resource
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "Harness")]

import broker  # noqa: E402
import crowd  # noqa: E402

# Stalled clients may hold 2 MB each; keepers, at 250 KB a second, would have to pause for many seconds to be cut.
CONFIG = """
max_pending: 2MB
max_payload: 64KB
write_deadline: "5s"
ping_interval: "20s"
"""
KEEPERS = 4
STEADY = 4
MESSAGES_PER_SECOND = 250  # of each steady publisher
FLOODS_PER_SECOND = 30
ACTIONS_PER_SECOND = 1000
TURN_S = 0.02
GROWTH_MAX = 1.20
SETTLE_S = 60  # how long memory and descriptors may take to come back
DESCRIPTORS_SPARE = 4  # a log, a timer: what a broker may open once, whatever the crowd does


class Progress:
    """Samples the broker's memory and descriptors and prints a line now and then."""

    def __init__(self, server, loop, keepers, every):
        self.server, self.loop, self.keepers, self.every = server, loop, keepers, every
        self.begun = time.monotonic()
        self.next_line = 0
        self.next_sample = 0
        self.samples = []  # (seconds, bytes)

    def sample(self):
        at = time.monotonic() - self.begun
        if at < self.next_sample:
            return
        self.next_sample = at + 0.5
        rss = self.server.rss_bytes()
        self.samples.append((at, rss))
        if at >= self.next_line:
            self.next_line += self.every
            print(f"{at:6.0f} s  crowd {len(self.loop.crowd)}, came {self.loop.came}  rss {rss >> 20} MB  "
                  f"descriptors {self.server.descriptors()}  checked {sum(k.count for k in self.keepers)}", flush=True)

    def median_between(self, start, end):
        """The median memory between two moments, for it moves with the crowd."""
        values = sorted(rss for at, rss in self.samples if start <= at <= end)
        return values[len(values) // 2]


def run_crowd(loop, steady, flood, progress, seconds):
    """Drives the crowd and the steady clients for so long."""
    begun = time.monotonic()
    published = flooded = stirred = 0
    while (at := time.monotonic() - begun) < seconds:
        loop.turn(TURN_S)
        due = int(at * MESSAGES_PER_SECOND)
        if due > published:
            for publisher in steady:
                publisher.publish(due - published)
            published = due
        due = int(at * FLOODS_PER_SECOND)
        if due > flooded:
            flood.publish(min(due - flooded, 5))
            flooded = due
        due = int(at * ACTIONS_PER_SECOND)
        loop.stir(min(due - stirred, 200))
        stirred = due
        loop.fill()
        progress.sample()


def wait_until(loop, progress, condition, seconds):
    """Turns the loop until the condition holds; False when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        loop.turn(TURN_S)
        progress.sample()
    return True


def check(results, what, good, detail=""):
    results.append(good)
    print(f"{'passed' if good else 'FAILED'}  {what}" + (f": {detail}" if detail else ""), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=480)
    parser.add_argument("--clients", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print(f"soak: {options.seconds:.0f} s, {options.clients} clients at a time, seed {options.seed}")
    if not os.path.exists(broker.executable()):
        sys.exit(f"soak: no broker at {broker.executable()}; run `make build` first")

    folder = tempfile.TemporaryDirectory(prefix="soak-")
    config = os.path.join(folder.name, "soak.conf")
    with open(config, "w") as file:
        file.write(CONFIG)
    server = broker.Broker("-a", "127.0.0.1", "-c", config)
    results = []
    try:
        loop = crowd.Loop(server.port, options.clients, options.seed)
        keepers = [crowd.Keeper(loop) for _ in range(KEEPERS)]
        for keeper in keepers:
            keeper.send(b"PING\r\n")
        progress = Progress(server, loop, keepers, 30 if options.seconds >= 120 else 10)
        settled = lambda: server.descriptors() > KEEPERS  # noqa: E731
        wait_until(loop, progress, settled, 5)
        steady = [crowd.Steady(loop, name) for name in range(STEADY)]
        flood = crowd.Flood(loop)
        wait_until(loop, progress, lambda: False, 0.5)
        descriptors_before = server.descriptors()

        run_crowd(loop, steady, flood, progress, options.seconds)
        first = min(60, options.seconds / 4)
        rss_first = progress.median_between(max(0, first - 5), first + 5)
        came = loop.came
        loop.disperse()

        sent = sum(publisher.number for publisher in steady)
        complete = wait_until(loop, progress, lambda: all(keeper.count >= sent for keeper in keepers), 20)
        counts = [keeper.count for keeper in keepers]
        problems = [problem for keeper in keepers for problem in keeper.problems]
        check(results, "nothing lost to subscribers that keep up", complete, f"{sent} sent, seen {counts}")
        check(results, "nothing reordered or duplicated", not problems, "; ".join(problems[:5]))
        enough = lambda: server.descriptors() <= descriptors_before + DESCRIPTORS_SPARE  # noqa: E731
        back = wait_until(loop, progress, enough, SETTLE_S)
        check(results, "no descriptor leaked", back, f"{descriptors_before} before, {server.descriptors()} after")
        limit = int(rss_first * GROWTH_MAX)
        back = wait_until(loop, progress, lambda: server.rss_bytes() <= limit, SETTLE_S)
        check(results, "memory came back", back,
              f"{rss_first >> 20} MB after {first:.0f} s, {server.rss_bytes() >> 20} MB at the end, limit {limit >> 20} MB")
        check(results, "a crowd that comes and goes", came > options.clients * (1 + options.seconds / 60), f"{came} came")
        cut = sum("Slow Consumer" in line for line in server.lines)
        check(results, "stalled clients were cut", cut > 0, f"{cut} slow consumers in the log")
        check(results, "it stops when told to", server.stop() in (0, 1))
    finally:
        broker.end_all()
        folder.cleanup()
    print(f"soak: {sum(results)} passed, {len(results) - sum(results)} failed")
    if not all(results):
        print(f"again: .venv/bin/python Tests/Soak/soak.py --seconds {options.seconds:.0f} --seed {options.seed}")
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
