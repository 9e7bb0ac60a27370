"""Starts a broker and runs the `onewrite` driver against it: `SUB inbox` and `PUB service inbox` in one write, the
responder on each event loop in turn, and no reply may be lost."""

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "Harness"))

import broker  # noqa: E402

REQUESTERS = 32
RESPONDERS = 2 * (os.cpu_count() or 2)  # so that each event loop has some


def main():
    rounds = sys.argv[1] if len(sys.argv) > 1 else "1000000"
    driver = os.path.join(broker.REPO, ".venv", "bin", "onewrite")
    with broker.Broker("-a", "127.0.0.1") as server:
        result = subprocess.run([driver, "127.0.0.1", str(server.port), rounds, str(REQUESTERS), str(RESPONDERS)])
    good = result.returncode == 0
    print(f"onewrite: {int(good)} passed, {int(not good)} failed")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
