"""Streams, consumers and key-value buckets with libnats, and what it and nats-py read of each other's."""

import asyncio
import os

import broker
from jetstream import fill, start

PROGRAM = os.path.join(broker.REPO, ".venv", "bin", "libnats_jetstream")


async def libnats(t, action, server, *args):
    """One run of the C program; its lines."""
    program = await asyncio.create_subprocess_exec(
        PROGRAM, action, server.url, *[str(a) for a in args], stdout=asyncio.subprocess.PIPE)
    t.programs.append(program)
    lines = await t.output(program)
    assert program.returncode == 0, lines
    return lines


async def test_libnats_publishes_and_nats_py_consumes(t):
    server = await start(t)
    lines = await libnats(t, "publish", server, "C", "c.events", 20)
    assert lines == [f"C {n}" for n in range(1, 21)], lines
    js = (await t.connect(server)).jetstream()
    pull = await js.pull_subscribe("c.events", "py")
    messages = await pull.fetch(20, timeout=t.seconds(5))
    assert [m.data for m in messages] == [b"message %d" % n for n in range(20)]
    assert await libnats(t, "publish-async", server, "c.events", 5000) == ["all acked"]
    assert (await js.stream_info("C")).state.messages == 5020


async def test_nats_py_publishes_and_libnats_consumes(t):
    server = await start(t)
    js = (await t.connect(server)).jetstream()
    await js.add_stream(name="P", subjects=["p.*"])
    await fill(js, [f"p.{n}" for n in range(30)])
    want = [f"p.{n} p.{n} seq {n + 1} delivered 1 pending {29 - n}" for n in range(30)]
    assert await libnats(t, "pull", server, "P", "worker", 30) == want + ["then: Timeout"]
    info = await js.consumer_info("P", "worker")
    assert (info.ack_floor.stream_seq, info.num_ack_pending) == (30, 0), info
    assert await libnats(t, "push", server, "P", 30) == want


async def test_libnats_duplicates_and_expectations(t):
    server = await start(t)
    js = (await t.connect(server)).jetstream()
    await js.add_stream(name="G", subjects=["g"])
    lines = await libnats(t, "guard", server, "g")
    assert lines == ["1", "1 duplicate", "refused 10060", "refused 10071", "2"], lines


async def test_libnats_manages_streams(t):
    server = await start(t)
    await libnats(t, "publish", server, "A", "a.one", 3)
    lines = await libnats(t, "admin", server, "A")
    assert lines == [
        "A 3 messages, 1 to 3", "name A", "account has 1 streams", "first message 0", "last message 2",
        "direct message 2 at 3", "deleted: Not Found 10037", "gone: Not Found 10059"], lines


async def test_libnats_key_value(t):
    server = await start(t)
    lines = await libnats(t, "kv", server, "B")
    assert lines == [
        "create again: refused", "update behind: refused", "a = 2 at 2 op 1", "a = 1 at 1 op 1", "a = 2 at 2 op 1",
        "b = 3 at 4 op 1", "all seen", "a =  at 5 op 2", "key b"], lines
    kv = await (await t.connect(server)).jetstream().key_value("B")
    assert (await kv.get("b")).value == b"3"
