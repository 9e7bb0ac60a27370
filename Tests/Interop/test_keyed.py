"""Keyed consumers with stock nats-py: metadata, order, dead letters and what operators do with them; and a pool of worker processes
whose workers and broker are killed at random. KEYED_BOOKINGS=10000 is the full size of that."""

import asyncio
import base64
import json
import os
import random
import sys
import time

import nats.errors
import nats.js.errors as errors
from jetstream import raises, start
from keyed import key, keyed, sequences
from nats.js import api as types

HERE = os.path.dirname(os.path.abspath(__file__))
BOOKINGS = int(os.environ.get("KEYED_BOOKINGS", "60"))
EVENTS = 20


async def test_metadata_says_what_it_is(t):
    _, _, js, _ = await keyed(t)
    info = await js.consumer_info("S", "c")
    assert info.config.metadata["bellhop.level"] == "1", info
    error = await raises(errors.APIError, js.add_consumer("S", types.ConsumerConfig(
        durable_name="d", ack_policy=types.AckPolicy.EXPLICIT, metadata={"bellhop.key": "nothing"})))
    assert error.err_code == 10012, error


async def test_one_of_a_key_at_a_time(t):
    _, _, js, pull = await keyed(t)
    for subject in ["s.a", "s.a", "s.b", "s.a"]:
        await js.publish(subject, b"x")
    first = await pull.fetch(10, timeout=0.5)
    assert sequences(first) == [1, 3]
    await first[0].ack()
    (second,) = await pull.fetch(1, timeout=t.seconds(5))
    assert second.metadata.sequence.stream == 2
    await second.ack_sync(timeout=t.seconds(5))
    (third,) = await pull.fetch(1, timeout=t.seconds(5))
    assert third.metadata.sequence.stream == 4


async def test_a_stale_ack_is_refused(t):
    _, client, js, pull = await keyed(t, ack_wait=0.3)
    await js.publish("s.a", b"x")
    (first,) = await pull.fetch(1, timeout=t.seconds(5))
    (second,) = await pull.fetch(1, timeout=t.seconds(5))
    assert second.metadata.num_delivered == 2
    # nats-py takes any 503 for "nobody answers": what matters is that a double ack fails.
    await raises(nats.errors.NoRespondersError, client.request(first.reply, b"+ACK", timeout=t.seconds(5)))
    inbox = await client.subscribe(client.new_inbox())
    await client.publish(first.reply, b"+ACK", reply=inbox.subject)
    status = (await inbox.next_msg(timeout=t.seconds(5))).headers
    assert (status["Status"], status["Description"]) == ("503", "Stale Ack"), status
    answer = await client.request(second.reply, b"+ACK", timeout=t.seconds(5))
    assert answer.data == b"" and not answer.headers


async def test_park_list_retry_and_skip(t):
    _, client, js, pull = await keyed(t, max_deliver=1)
    await js.add_stream(name="DEAD", subjects=["$BELLHOP.DLQ.S.c.>"])
    for subject in ["s.a", "s.a", "s.b"]:
        await js.publish(subject, b"x")
    first = await pull.fetch(2, timeout=t.seconds(5))
    await client.publish(first[0].reply, b"+TERM", headers={"Bellhop-Error": "no such hotel"})
    await first[1].ack()
    parked = []
    while not parked:
        parked = (await key(t, client, "LIST"))["keys"]
    assert parked[0]["key"] == "a" and parked[0]["error"] == "no such hotel" and parked[0]["stream_seq"] == 1, parked
    token = base64.urlsafe_b64encode(b"a").decode().rstrip("=")
    dead = await js.get_msg("DEAD", seq=1)
    assert dead.subject == f"$BELLHOP.DLQ.S.c.{token}" and json.loads(dead.data)["version"] == parked[0]["version"]
    body = {"key": "a", "version": parked[0]["version"]}
    assert (await key(t, client, "RETRY", body))["retried"] == 1
    assert "error" in await key(t, client, "RETRY", body)
    (again,) = await pull.fetch(1, timeout=t.seconds(5))
    assert sequences([again]) == [1] and again.metadata.num_delivered == 1
    await again.term()
    parked = []
    while not parked:
        parked = (await key(t, client, "LIST"))["keys"]
    audit = await client.subscribe("$BELLHOP.AUDIT.S.c")
    await t.flush(client)
    body = {"key": "a", "version": parked[0]["version"], "reason": "cancelled", "actor": "anna"}
    assert (await key(t, client, "SKIP", body))["success"]
    told = json.loads((await audit.next_msg(timeout=t.seconds(5))).data)
    assert (told["command"], told["actor"], told["reason"]) == ("skip", "anna", "cancelled"), told
    (after,) = await pull.fetch(1, timeout=t.seconds(5))
    assert sequences([after]) == [2]


async def test_leases_end_with_their_connection(t):
    server, _, js, pull = await keyed(t, {"bellhop.release_on_disconnect": "true"}, ack_wait=30)
    await js.publish("s.a", b"x")
    other = await t.connect(server)
    theirs = await other.jetstream().pull_subscribe_bind("c", stream="S")
    assert sequences(await theirs.fetch(1, timeout=t.seconds(5))) == [1]
    await other.close()
    assert sequences(await pull.fetch(1, timeout=t.seconds(5))) == [1]


# MARK: the pool


async def worker(t, server, number, fixed):
    path = os.path.join(t.folder.name, f"handled.{number}")
    program = await asyncio.create_subprocess_exec(
        sys.executable, os.path.join(HERE, "keyed_worker.py"), server.url, path, fixed)
    t.programs.append(program)
    return program


def handled(t):
    """What the workers wrote, in the order of time: booking -> events."""
    lines = []
    for name in os.listdir(t.folder.name):
        if name.startswith("handled."):
            with open(os.path.join(t.folder.name, name)) as file:
                # A killed worker may have left half a line.
                lines += [line.split() for line in file.read().split("\n")[:-1]]
    bookings = {}
    for _, booking, event in sorted((int(when), booking, event) for when, booking, event in lines):
        bookings.setdefault(booking, []).append(int(event))
    return bookings


def check_order(bookings):
    for booking, events in bookings.items():
        first = list(dict.fromkeys(events))
        assert first == list(range(len(first))), f"{booking} was handled in the order {events}"


async def test_a_pool_that_is_killed_at_random(t):
    seed = int(os.environ.get("KEYED_SEED", "1"))
    print(f"    seed {seed}")
    dice = random.Random(seed)
    server = await start(t)
    port = server.port
    client = await t.connect(server, max_reconnect_attempts=-1, reconnect_time_wait=0.05)
    js = client.jetstream()
    await js.add_stream(name="BOOKINGS", subjects=["bookings.>"])
    await js.add_consumer("BOOKINGS", types.ConsumerConfig(
        durable_name="pool", ack_policy=types.AckPolicy.EXPLICIT, ack_wait=5, max_deliver=5, max_ack_pending=500,
        metadata={"bellhop.key": "token:2", "bellhop.release_on_disconnect": "true"}))
    poison = max(1, BOOKINGS // 100)
    names = [f"poison{n}" if n < poison else f"b{n}" for n in range(BOOKINGS)]
    fixed = os.path.join(t.folder.name, "fixed")
    workers = [await worker(t, server, number, fixed) for number in range(4)]
    pending = []
    for event in range(EVENTS):
        dice.shuffle(names)
        for name in names:
            pending.append(await js.publish_async(f"bookings.{name}.event", str(event).encode()))
            if len(pending) == 500:
                await asyncio.gather(*pending)
                pending = []
    await asyncio.gather(*pending)
    spawned, kills, restarts = 4, 0, 0
    healthy = (BOOKINGS - poison) * EVENTS + poison * 5

    def count():
        return sum(len(set(events)) for events in handled(t).values())

    deadline = time.monotonic() + t.seconds(25 if BOOKINGS <= 100 else 1800)
    while count() < healthy or restarts < 2:
        assert time.monotonic() < deadline, f"{count()} of {healthy} handled, {kills} kills, {restarts} restarts"
        await asyncio.sleep(dice.uniform(0.2, 1.0))
        if dice.random() < 0.5:
            victim = dice.randrange(4)
            workers[victim].kill()
            await workers[victim].wait()
            workers[victim] = await worker(t, server, spawned, fixed)
            spawned, kills = spawned + 1, kills + 1
        elif dice.random() < 0.5:
            await asyncio.to_thread(server.kill)
            server = await start(t, port=port)
            restarts += 1
    check_order(handled(t))
    for booking, events in handled(t).items():
        want = 5 if booking.startswith("poison") else EVENTS
        assert len(set(events)) == want, f"{booking}: {sorted(set(events))}"

    async def parked():
        try:
            return (await key(t, client, "LIST", consumer="BOOKINGS.pool"))["total"]
        except Exception:
            return -1

    while await parked() != poison:
        assert time.monotonic() < deadline, f"{await parked()} parked of {poison}"
        await asyncio.sleep(0.1)
    info = await key(t, client, "INFO", consumer="BOOKINGS.pool")
    assert info["waiting"] == poison * (EVENTS - 6), info
    with open(fixed, "w"):
        pass
    assert (await key(t, client, "RETRY", {"all": True, "actor": "test"}, consumer="BOOKINGS.pool"))["retried"] == poison
    while count() < BOOKINGS * EVENTS:
        assert time.monotonic() < deadline + t.seconds(10), f"{count()} of {BOOKINGS * EVENTS} after the retry"
        await asyncio.sleep(0.2)
    check_order(handled(t))
