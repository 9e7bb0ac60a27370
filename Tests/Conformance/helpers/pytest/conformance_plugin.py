"""A pytest plugin: brings up loopback in a fresh network namespace, ends a test that hangs, ends servers that a test
left behind, and writes one JSON line per test: id, outcome, servers started, seconds, and why it failed."""

import fcntl
import json
import os
import signal
import socket
import struct
import time
import unittest.mock  # noqa: F401  (some tests use it without importing it)

import pytest

import broker

TEST_SECONDS_MAX = 60  # the longest takes 9 s against nats-server


def bring_up_loopback():
    """`ip link set lo up`, for machines without `ip`."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(sock, 0x8913, request))[1]  # SIOCGIFFLAGS
        fcntl.ioctl(sock, 0x8914, struct.pack("16sH14x", b"lo", flags | 1))  # SIOCSIFFLAGS, IFF_UP


def pytest_configure(config):
    if os.environ.get("CONFORMANCE_NETNS") == "1":
        bring_up_loopback()
    config.conformance_results = open(os.environ["CONFORMANCE_RESULTS"], "a", buffering=1)


def too_long(_signal, _frame):
    raise TimeoutError(f"the test took longer than {TEST_SECONDS_MAX} s")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    item.servers_before = broker.started
    item.start = time.monotonic()
    item.outcomes = []
    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(TEST_SECONDS_MAX)
    yield
    signal.alarm(0)
    broker.end_all()
    outcome, why = "passed", ""
    for report_outcome, text in item.outcomes:
        if report_outcome != "passed":
            outcome, why = report_outcome, text
            break
    line = {
        "id": item.nodeid,
        "outcome": outcome,
        "servers": broker.started - item.servers_before,
        "seconds": round(time.monotonic() - item.start, 2),
        "why": why,
    }
    item.config.conformance_results.write(json.dumps(line) + "\n")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    report = (yield).get_result()
    text = ""
    if report.failed:
        text = str(report.longrepr)[-3000:]
    elif report.skipped:
        text = str(report.longrepr[-1]) if isinstance(report.longrepr, tuple) else str(report.longrepr)
    item.outcomes.append((report.outcome, text))
