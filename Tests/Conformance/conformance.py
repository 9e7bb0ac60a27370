"""Runs other people's client test suites against brokerd, measured against nats-server.

A test counts when it passes against nats-server, needs one server (or several that know nothing of each other) and
starts one. Such a test must pass against brokerd, or stand in expected-failures.txt with its reason; a test that
stands there and passes fails the run, so that the list shrinks.

    make conformance                                     everything
    make conformance SUITE=nats-core TEST=test_tls.py    the tests of one suite whose id contains TEST
    make conformance FRESH=1                             measures nats-server again (its result is kept in .venv)
    make conformance UPDATE=1                            takes the tests that pass off the list
    make conformance BROKER=nats-server                  measures only, and says what the list would hold
"""

import argparse
import collections
import concurrent.futures
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "Harness")]

import broker  # noqa: E402
import suites  # noqa: E402

LIST = os.path.join(HERE, "expected-failures.txt")
CHUNK_TESTS_MAX = 12  # tests per pytest process: small enough that the last process does not run alone for long
CHUNK_SECONDS_MAX = 600
# Some suites' tests race by nature: an authentication error against the reset; a stream's creation, which here waits for the
# disk, against a client's last retry. What brokerd can pass shall count, as what nats-server can pass does.
TRIES = 4
MEASURE_TRIES = 4  # nats-server loses that race often; what it can pass shall count


def isolation():
    """The command that gives a process its own network, so that suites with fixed ports run side by side."""
    for command in (["unshare", "-rn"], ["unshare", "-n"]):
        try:
            if subprocess.run([*command, "true"], capture_output=True).returncode == 0:
                return command
        except FileNotFoundError:
            break
    return []


class Runner:
    """Runs tests of the laid-out suites against one program and keeps the last outcome of each."""

    def __init__(self, stage, program, jobs):
        self.stage = stage
        self.folder = tempfile.mkdtemp(prefix="conformance-")
        self.program = os.path.join(self.folder, "nats-server")
        os.symlink(program, self.program)
        self.unshare = isolation()
        self.jobs = jobs if self.unshare else 1
        self.outcomes = {}

    def pytest(self, suite, *args):
        flags = ["-p", "python311", "-p", "no:cacheprovider", "-q", "--tb=short",
                 "-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function", "-W", "ignore"]
        command = [sys.executable, "-B", "-m", "pytest", *flags, "--rootdir", os.path.join(self.stage, suite), *args]
        return command, suites.environment(self.stage, suite, self.program)

    def collect(self, suite):
        """The ids of a suite's tests, in order."""
        command, env = self.pytest(suite, "--collect-only", "tests")
        result = subprocess.run(command, cwd=os.path.join(self.stage, suite), env=env, capture_output=True, text=True)
        ids = [line for line in result.stdout.splitlines() if "::" in line and not line.startswith("ERROR")]
        if result.returncode != 0 or not ids:
            sys.exit(f"conformance: cannot collect {suite}:\n{result.stdout[-3000:]}{result.stderr[-3000:]}")
        return [f"{suite}/{line}" for line in ids]

    def run_chunk(self, suite, ids):
        results = tempfile.mktemp(dir=self.folder, suffix=".jsonl")
        command, env = self.pytest(suite, "-p", "conformance_plugin", *ids)
        env["CONFORMANCE_RESULTS"] = results
        env["CONFORMANCE_NETNS"] = "1" if self.unshare else "0"
        process = subprocess.Popen(self.unshare + command, cwd=os.path.join(self.stage, suite), env=env, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            output, _ = process.communicate(timeout=CHUNK_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            output = "the process was ended after %d s" % CHUNK_SECONDS_MAX
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)  # also the servers of tests that were cut off
            except ProcessLookupError:
                pass
            process.wait()
        done = {}
        if os.path.exists(results):
            for line in open(results):
                outcome = json.loads(line)
                done[f"{suite}/{outcome['id']}"] = outcome
        for test in ids:
            missing = {"outcome": "failed", "servers": 1, "seconds": 0, "why": output[-3000:]}
            self.outcomes[f"{suite}/{test}"] = done.get(f"{suite}/{test}", missing)

    def run(self, tests, tries=TRIES):
        """Runs tests given as `suite/file::name` ids; what fails gets a second try, with less beside it."""
        for attempt in range(1, tries + 1):
            chunks = []
            for test in tests:
                suite, name = test.split("/", 1)
                last = chunks[-1] if chunks else None
                if not last or last[0] != suite or len(last[1]) >= (CHUNK_TESTS_MAX if attempt == 1 else 4):
                    chunks.append((suite, []))
                chunks[-1][1].append(name)
            jobs = self.jobs if attempt == 1 else min(self.jobs, 3)
            with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
                done = [pool.submit(self.run_chunk, *chunk) for chunk in chunks]
                for future in concurrent.futures.as_completed(done):
                    future.result()
            tests = [test for test in tests if self.outcomes[test]["outcome"] == "failed"]
            for test in tests:
                self.outcomes[test]["tries"] = attempt
            if not tests:
                break
        return self.outcomes


def read_list():
    """expected-failures.txt as {id: reason}."""
    expected = {}
    if os.path.exists(LIST):
        for number, line in enumerate(open(LIST), 1):
            line = line.split("#")[0].strip()
            if line:
                test, _, reason = line.rpartition(" ")
                if not test:
                    sys.exit(f"{LIST}:{number}: want 'test-id reason'")
                expected[test.strip()] = reason
    return expected


def write_list(expected):
    """Rewrites the list, sorted, below the comment it opens with."""
    head = []
    if os.path.exists(LIST):
        for line in open(LIST):
            if not line.startswith("#"):
                break
            head.append(line)
    with open(LIST, "w") as file:
        file.writelines(head)
        for test in sorted(expected):
            file.write(f"{test} {expected[test]}\n")


def reason_for(test):
    """Which part of NATS a test needs, judged by its name: for filling the list before brokerd has that part."""
    if test.startswith(("nats-jetstream/", "nats-key-value/")) or "/test_js.py" in test:
        return "jetstream"
    for pattern, reason in ((r"TLS|tls", "tls"), (r"WebSocket|websocket", "websocket"), (r"JWT|jwt", "jwt")):
        if re.search(pattern, test):
            return reason
    return "core"


def measure(stage, jobs, tests, fresh):
    """Outcomes against nats-server, from the cache where it has them."""
    path = os.path.join(suites.CACHE, f"measure-{suites.fingerprint()}.json")
    kept = {}
    if os.path.exists(path) and not fresh:
        kept = json.load(open(path))
    missing = [test for test in tests if test not in kept]
    if missing:
        print(f"conformance: measuring nats-server with {len(missing)} tests", flush=True)
        kept.update(Runner(stage, broker.PEER, jobs).run(missing, MEASURE_TRIES))
        for outcome in kept.values():
            outcome["why"] = outcome["why"][-1000:]
        with open(path, "w") as file:
            json.dump(kept, file)
    return {test: kept[test] for test in tests}


def counts(outcome):
    """Whether a test counts, by its outcome against nats-server; and if not, why."""
    if outcome["outcome"] == "skipped":
        return "cluster" if "cluster" in outcome["why"] else "skipped"
    if outcome["outcome"] == "failed":
        return "fails on nats-server"
    if outcome["servers"] == 0:
        return "no server"
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--broker", default=os.environ.get("BROKER") or "brokerd")
    parser.add_argument("--suite", default="", help="one suite of: " + " ".join(suites.SUITES))
    parser.add_argument("--test", default="", help="only tests whose id contains this")
    parser.add_argument("--fresh", action="store_true", help="measure nats-server again")
    parser.add_argument("--update", action="store_true", help="take tests that pass off the list")
    parser.add_argument("--propose", action="store_true", help="put tests that fail on the list, by their names")
    parser.add_argument("--jobs", type=int, default=3 * (os.cpu_count() or 1))
    options = parser.parse_args()

    begun = time.monotonic()
    program = broker.executable(options.broker)
    if not os.path.exists(program):
        sys.exit(f"conformance: no broker at {program}; run `make build` first")
    stage = suites.lay_out()
    names = [options.suite] if options.suite else list(suites.SUITES)
    collector = Runner(stage, broker.PEER, 1)
    tests = [test for name in names for test in collector.collect(name) if options.test in test]
    if not tests:
        sys.exit(f"conformance: no test's id contains {options.test!r}")
    measured = measure(stage, options.jobs, tests, options.fresh)
    why_not = {test: counts(measured[test]) for test in tests}
    counted = [test for test in tests if why_not[test] is None]
    expected = read_list()

    if program == broker.PEER:
        outcomes = {test: measured[test] for test in counted}
    else:
        print(f"conformance: running {len(counted)} tests against {os.path.relpath(program)}", flush=True)
        outcomes = Runner(stage, program, options.jobs).run(counted)

    failed = [t for t in counted if outcomes[t]["outcome"] != "passed" and t not in expected]
    surprises = [t for t in counted if outcomes[t]["outcome"] == "passed" and t in expected]
    if program == broker.PEER:
        surprises = []
    if options.update:
        write_list({t: reason for t, reason in expected.items() if t not in surprises})
        print(f"conformance: took {len(surprises)} tests off the list")
        surprises = []
    if options.propose:
        source = counted if program == broker.PEER else failed
        additions = {t: reason_for(t) for t in source if reason_for(t) != "core"}
        write_list({**expected, **additions})
        print(f"conformance: the list has {len({**expected, **additions})} tests now")
    for test in failed:
        print(f"\n--- FAILED {test}\n{outcomes[test]['why'].strip()}")
        suite, name = test.split("/", 1)
        print(f"    alone: make conformance SUITE={suite} TEST='{name}'")
    for test in surprises:
        print(f"--- PASSES but is on expected-failures.txt: {test}   (make conformance UPDATE=1 takes it off)")
    if not options.suite and not options.test:
        for test in expected:
            if test not in outcomes:
                print(f"note: on the list but not counted ({why_not.get(test, 'no such test')}): {test}")

    print(f"\n{'suite':<16} {'passed':>7} {'failed':>7} {'expected failures':<48} not counted")
    for name in names:
        mine = [t for t in counted if t.startswith(name + "/")]
        passed = sum(outcomes[t]["outcome"] == "passed" for t in mine)
        reasons = collections.Counter(expected[t] for t in mine if t in expected and outcomes[t]["outcome"] != "passed")
        others = collections.Counter(why_not[t] for t in tests if why_not[t] and t.startswith(name + "/"))
        show = lambda c: ", ".join(f"{n} {k}" for k, n in sorted(c.items())) or "none"  # noqa: E731
        print(f"{name:<16} {passed:>7} {sum(t.startswith(name + '/') for t in failed):>7} "
              f"{show(reasons):<48} {show(others)}")
    good = sum(outcomes[t]["outcome"] == "passed" for t in counted) - len(surprises)
    print(f"conformance took {time.monotonic() - begun:.0f} s")
    print(f"conformance: {good} passed, {len(failed) + len(surprises)} failed")
    sys.exit(1 if failed or surprises else 0)


if __name__ == "__main__":
    main()
