"""Our own interoperation tests: today's nats-py and libnats against brokerd (or what BROKER names).

    make interop                       all of them
    make interop ONLY=queue            those whose name contains "queue"
    make interop BROKER=nats-server    against the peer

A test is an async function `test_...(t)` in a module test_*.py here; `t` starts brokers and connects clients, and ends
them after the test. Tests wait for events, with a limit of t.seconds(...), which INTEROP_SLOW stretches for slow builds.
"""

import argparse
import asyncio
import glob
import importlib
import os
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "Harness")]

import broker  # noqa: E402
import expected_failures  # noqa: E402
import nats  # noqa: E402

SLOW = float(os.environ.get("INTEROP_SLOW", "1"))
TEST_SECONDS = 40.0
LIBNATS = os.path.join(broker.REPO, ".venv", "bin", "libnats_client")


def last_words(log):
    """The end of a broker's log; from the report on when a sanitizer made one, or the runtime said why it stopped."""
    starts = [log.find(mark) for mark in ("WARNING: ThreadSanitizer", "ERROR: AddressSanitizer", "Fatal error") if mark in log]
    return log[min(starts):][:6000] if starts else log[-1500:]


class Tools:
    """What a test needs: brokers, nats-py connections, libnats programs; all ended when the test is over."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="interop-")
        self.clients = []
        self.programs = []

    def seconds(self, value):
        return value * SLOW

    def config(self, text, name="broker.conf"):
        path = os.path.join(self.folder.name, name)
        with open(path, "w") as file:
            file.write(text)
        return path

    async def broker(self, *args, config=None, **more):
        """Starts a broker on a free port; `config` is the text of its configuration file."""
        if config is not None:
            args = ("-c", self.config(config), *args)
        more.setdefault("timeout", self.seconds(10))
        return await asyncio.to_thread(broker.Broker, "-a", "127.0.0.1", *args, **more)

    async def connect(self, server, **options):
        """A nats-py client of a broker (or of a URL)."""
        options.setdefault("connect_timeout", self.seconds(5))
        options.setdefault("error_cb", _ignore)
        client = await nats.connect(server if isinstance(server, str) else server.url, **options)
        self.clients.append(client)
        return client

    async def flush(self, client):
        """Returns when the broker has handled what the client sent. nats-py writes its PING ahead of what is still in
        its buffer, so that only the second PONG says so."""
        await client.flush(timeout=self.seconds(10))
        await client.flush(timeout=self.seconds(10))

    async def libnats(self, action, server, *args):
        """Starts the C client; one that subscribes is ready when this returns."""
        url = server if isinstance(server, str) else server.url
        program = await asyncio.create_subprocess_exec(
            LIBNATS, action, url, *[str(a) for a in args], stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
        self.programs.append(program)
        if action in ("sub", "reply", "drain", "stay"):
            line = await asyncio.wait_for(program.stdout.readline(), self.seconds(10))
            assert line == b"ready\n", f"libnats {action}: {line!r}"
        return program

    async def output(self, program):
        """What the C client printed until it ended, as lines."""
        out, _ = await asyncio.wait_for(program.communicate(), self.seconds(30))
        return out.decode().splitlines()

    async def line(self, program):
        """The C client's next line."""
        return (await asyncio.wait_for(program.stdout.readline(), self.seconds(15))).decode().strip()

    async def until(self, condition, what, seconds=5):
        """Waits until `condition()` holds."""
        deadline = time.monotonic() + self.seconds(seconds)
        while not condition():
            if time.monotonic() >= deadline:
                raise AssertionError(f"not within {self.seconds(seconds)} s: {what() if callable(what) else what}")
            await asyncio.sleep(0.005)

    async def end(self):
        for client in self.clients:
            try:
                await asyncio.wait_for(client.close(), 2)
            except Exception:
                pass
        for program in self.programs:
            if program.returncode is None:
                program.kill()
                await program.wait()
        logs = "\n".join(f"[{server.pid}] {last_words(server.log)}" for server in broker.running)
        codes = [server.process.poll() for server in broker.running]
        await asyncio.to_thread(broker.end_all)
        self.folder.cleanup()
        return logs, [code for code in codes if code not in (None, 0)]


async def _ignore(_error):
    pass


async def run_one(function):
    """Runs a test; returns None, or why it failed."""
    tools = Tools()
    why = None
    try:
        await asyncio.wait_for(function(tools), TEST_SECONDS * SLOW)
    except Exception:
        why = traceback.format_exc(limit=-4)
    logs, codes = await tools.end()
    if codes:
        why = f"a broker ended by itself, exit codes {codes}\n{why or ''}"
    return why and f"{why}\nthe broker's log:\n{logs}"


def tests(only):
    for path in sorted(glob.glob(os.path.join(HERE, "test_*.py"))):
        module = importlib.import_module(os.path.basename(path)[:-3])
        for name, function in vars(module).items():
            if name.startswith("test_") and only in f"{module.__name__}.{name}":
                yield f"{module.__name__}.{name}", function


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="")
    parser.add_argument("--label", default="interop")
    options = parser.parse_args()
    if not os.path.exists(broker.executable()):
        sys.exit(f"interop: no broker at {broker.executable()}; run `make build` first")
    subprocess.run([os.path.join(broker.REPO, "scripts", "build_c.sh")], check=True)
    begun, passed, failed = time.monotonic(), 0, []
    expected = {} if broker.executable() == broker.PEER else expected_failures.read("interop")
    for name, function in tests(options.only):
        test_begun = time.monotonic()
        why = asyncio.run(run_one(function))
        if time.monotonic() - test_begun > 10:
            print(f"{name} took {time.monotonic() - test_begun:.0f} s")
        if why is None and name in expected:
            failed.append(name)
            print(f"--- PASSES but is on expected-failures.txt: {name}")
        elif why is None:
            passed += 1
        elif name not in expected:
            failed.append(name)
            print(f"\n--- FAILED {name}   (alone: make interop ONLY={name})\n{why}")
    print(f"{options.label} took {time.monotonic() - begun:.0f} s")
    print(f"{options.label}: {passed} passed, {len(failed)} failed")
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
