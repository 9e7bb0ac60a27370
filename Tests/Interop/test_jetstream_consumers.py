"""Consumers with nats-py: pull, push and ordered; acks of every kind; what a restart and a pause do to them."""

import asyncio
import datetime

import nats.errors
import nats.js.errors as errors
from jetstream import api, fill, raises, start
from nats.js import api as types


async def stream(t, count, **config):
    """A broker, a client, and a stream W with `count` messages on w.0, w.1, w.2 in turn."""
    server = await start(t)
    client = await t.connect(server)
    js = client.jetstream()
    await js.add_stream(name="W", subjects=["w.*"], **config)
    await fill(js, [f"w.{n % 3}" for n in range(count)])
    return server, client, js


def sequences(messages):
    return [message.metadata.sequence.stream for message in messages]


async def test_fetch_and_ack(t):
    _, _, js = await stream(t, 10)
    pull = await js.pull_subscribe("w.*", "worker")
    first = await pull.fetch(4, timeout=t.seconds(5))
    rest = await pull.fetch(100, timeout=1)
    assert sequences(first + rest) == list(range(1, 11))
    assert [m.metadata.num_pending for m in first] == [9, 8, 7, 6]
    for message in first + rest:
        await message.ack_sync(timeout=t.seconds(5))
    info = await pull.consumer_info()
    assert (info.num_pending, info.num_ack_pending, info.ack_floor.stream_seq) == (0, 0, 10), info
    await raises(nats.errors.TimeoutError, pull.fetch(1, timeout=0.3))


async def test_a_waiting_pull_gets_what_is_published(t):
    _, _, js = await stream(t, 0)
    pull = await js.pull_subscribe("w.*", "worker")
    waiting = asyncio.create_task(pull.fetch(1, timeout=t.seconds(10)))
    await asyncio.sleep(0.1)
    await js.publish("w.x", b"now")
    (message,) = await waiting
    assert message.data == b"now"
    await message.ack()


async def test_naks_and_time_limits_deliver_again(t):
    _, _, js = await stream(t, 3)
    pull = await js.pull_subscribe("w.*", "worker", config=types.ConsumerConfig(ack_wait=1))
    a, b, c = await pull.fetch(3, timeout=t.seconds(5))
    await a.nak()
    await b.nak(delay=0.2)
    await c.term()
    (again,) = await pull.fetch(1, timeout=t.seconds(5))
    assert (again.metadata.sequence.stream, again.metadata.num_delivered) == (1, 2)
    await again.ack()
    (later,) = await pull.fetch(1, timeout=t.seconds(5))
    assert (later.metadata.sequence.stream, later.metadata.num_delivered) == (2, 2)
    (third,) = await pull.fetch(1, timeout=t.seconds(5))  # its time limit has run out
    assert (third.metadata.sequence.stream, third.metadata.num_delivered) == (2, 3)
    await third.ack_sync(timeout=t.seconds(5))
    info = await pull.consumer_info()
    assert (info.num_pending, info.num_ack_pending) == (0, 0), info


async def test_progress_holds_off_redelivery(t):
    _, _, js = await stream(t, 1)
    pull = await js.pull_subscribe("w.*", "worker", config=types.ConsumerConfig(ack_wait=1))
    (message,) = await pull.fetch(1, timeout=t.seconds(5))
    for _ in range(6):
        await asyncio.sleep(0.3)
        await message.in_progress()
    await message.ack_sync(timeout=t.seconds(5))
    assert (await pull.consumer_info()).num_redelivered == 0


async def test_max_deliver_ends_redelivery_with_an_advisory(t):
    _, client, js = await stream(t, 1)
    advisories = await client.subscribe("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.W.worker")
    pull = await js.pull_subscribe("w.*", "worker", config=types.ConsumerConfig(ack_wait=0.3, max_deliver=2))
    for count in (1, 2):
        (message,) = await pull.fetch(1, timeout=t.seconds(5))
        assert message.metadata.num_delivered == count
    await raises(nats.errors.TimeoutError, pull.fetch(1, timeout=1))
    advisory = await advisories.next_msg(timeout=t.seconds(5))
    assert b'"stream_seq":1' in advisory.data and b'"deliveries":2' in advisory.data, advisory.data


async def test_acks_and_counts_survive_a_restart(t):
    server, _, js = await stream(t, 6)
    pull = await js.pull_subscribe("w.*", "worker", config=types.ConsumerConfig(ack_wait=1))
    messages = await pull.fetch(6, timeout=t.seconds(5))
    for message in messages[:3]:
        await message.ack_sync(timeout=t.seconds(5))
    await asyncio.to_thread(server.stop)
    js = (await t.connect(await start(t))).jetstream()
    pull = await js.pull_subscribe_bind("worker", "W")
    again = []
    while len(again) < 3:
        again += await pull.fetch(3 - len(again), timeout=t.seconds(10))
    assert sequences(again) == [4, 5, 6] and {m.metadata.num_delivered for m in again} == {2}, again
    assert (await pull.consumer_info()).ack_floor.stream_seq == 3


async def test_filters_and_deliver_policies(t):
    _, client, js = await stream(t, 30)

    async def first(name, **config):
        await js.add_consumer("W", types.ConsumerConfig(durable_name=name, ack_policy="explicit", **config))
        pull = await js.pull_subscribe_bind(name, "W")
        info = await pull.consumer_info()
        (message,) = await pull.fetch(1, timeout=t.seconds(5))
        return message.metadata.sequence.stream, info.num_pending

    assert await first("all", deliver_policy="all") == (1, 30)
    assert await first("one", filter_subject="w.1") == (2, 10)
    assert await first("two", filter_subjects=["w.1", "w.2"]) == (2, 20)
    assert await first("last", deliver_policy="last") == (30, 1)
    assert await first("per", deliver_policy="last_per_subject", filter_subject="w.*") == (28, 3)
    assert await first("from", deliver_policy="by_start_sequence", opt_start_seq=17) == (17, 14)
    names = (await api(t, client, "CONSUMER.NAMES.W"))["consumers"]
    assert names == ["all", "from", "last", "one", "per", "two"], names
    assert {info.name for info in await js.consumers_info("W")} == set(names)
    assert await js.delete_consumer("W", "per")
    await raises(errors.NotFoundError, js.consumer_info("W", "per"))


async def test_push_consumer_and_queue_group(t):
    server, client, js = await stream(t, 5)
    got = []

    async def take(message):
        got.append(message.metadata.sequence.stream)
        await message.ack()

    await js.subscribe("w.*", durable="push", cb=take, manual_ack=True)
    await t.until(lambda: got == [1, 2, 3, 4, 5], lambda: f"all five: {got}")
    shares = ([], [])
    for share in shares:
        async def add(message, share=share):
            share.append(message.metadata.sequence.stream)
            await message.ack()

        other = await t.connect(server)
        await other.jetstream().subscribe("w.*", queue="group", durable="group", cb=add, manual_ack=True)
    await fill(js, ["w.1"] * 200)
    await t.until(lambda: len(shares[0]) + len(shares[1]) == 205, lambda: f"{[len(share) for share in shares]}")
    assert sorted(shares[0] + shares[1]) == list(range(1, 206)) and shares[0] and shares[1]


async def test_ordered_consumer(t):
    _, _, js = await stream(t, 300)
    subscription = await js.subscribe("w.*", ordered_consumer=True)
    messages = [await subscription.next_msg(timeout=t.seconds(5)) for _ in range(300)]
    assert sequences(messages) == list(range(1, 301))
    await fill(js, ["w.0"])
    assert (await subscription.next_msg(timeout=t.seconds(5))).metadata.sequence.consumer == 301


async def test_flow_control_and_heartbeats(t):
    _, client, js = await stream(t, 0)
    got = []

    async def take(message):
        got.append(message.metadata.sequence.stream)

    await js.subscribe("w.*", cb=take, flow_control=True, idle_heartbeat=0.2, pending_bytes_limit=-1)
    await asyncio.sleep(0.5)  # two heartbeats pass
    for _ in range(400):
        await js.publish("w.0", b"x" * 20_000)
    await t.until(lambda: got == list(range(1, 401)), lambda: f"{len(got)} of 400", 20)


async def test_headers_only_and_no_ack(t):
    _, _, js = await stream(t, 2)
    subscription = await js.subscribe(
        "w.*", config=types.ConsumerConfig(headers_only=True, ack_policy=types.AckPolicy.NONE))
    message = await subscription.next_msg(timeout=t.seconds(5))
    assert message.data == b"" and message.headers["Nats-Msg-Size"] == "3", message.headers


async def test_ack_all(t):
    _, _, js = await stream(t, 10)
    await js.add_consumer("W", types.ConsumerConfig(durable_name="all", ack_policy="all"))
    pull = await js.pull_subscribe_bind("all", "W")
    messages = await pull.fetch(10, timeout=t.seconds(5))
    await messages[6].ack_sync(timeout=t.seconds(5))
    info = await pull.consumer_info()
    assert (info.ack_floor.stream_seq, info.num_ack_pending) == (7, 3), info


async def test_max_ack_pending_holds_back(t):
    _, _, js = await stream(t, 10)
    pull = await js.pull_subscribe("w.*", "worker", config=types.ConsumerConfig(max_ack_pending=3))
    messages = await pull.fetch(10, timeout=1)
    assert sequences(messages) == [1, 2, 3]
    for message in messages:
        await message.ack()
    assert sequences(await pull.fetch(3, timeout=t.seconds(5))) == [4, 5, 6]


async def test_workqueue_and_interest_remove_what_is_acked(t):
    _, _, js = await stream(t, 5, retention=types.RetentionPolicy.WORK_QUEUE)
    pull = await js.pull_subscribe("w.*", "worker")
    second = await raises(errors.APIError, js.add_consumer(
        "W", types.ConsumerConfig(durable_name="second", ack_policy="explicit")))
    assert second.err_code == 10099, second
    for message in (await pull.fetch(5, timeout=t.seconds(5)))[:4]:
        await message.ack_sync(timeout=t.seconds(5))
    state = (await js.stream_info("W")).state
    assert (state.messages, state.first_seq) == (1, 5), state

    await js.add_stream(name="I", subjects=["i"], retention=types.RetentionPolicy.INTEREST)
    assert (await js.publish("i", b"nobody")).seq == 1
    assert (await js.stream_info("I")).state.messages == 0
    one, two = await js.pull_subscribe("i", "one"), await js.pull_subscribe("i", "two")
    await js.publish("i", b"both")
    (message,) = await one.fetch(1, timeout=t.seconds(5))
    await message.ack_sync(timeout=t.seconds(5))
    assert (await js.stream_info("I")).state.messages == 1
    (message,) = await two.fetch(1, timeout=t.seconds(5))
    await message.ack_sync(timeout=t.seconds(5))
    assert (await js.stream_info("I")).state.messages == 0


async def test_pause_and_resume(t):
    _, _, js = await stream(t, 2)
    pull = await js.pull_subscribe("w.*", "worker")
    until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=5)
    paused = await js.pause_consumer("W", "worker", until.strftime("%Y-%m-%dT%H:%M:%SZ"))
    assert paused.paused, paused
    await raises(nats.errors.TimeoutError, pull.fetch(1, timeout=0.5))
    await js.resume_consumer("W", "worker")
    assert len(await pull.fetch(2, timeout=t.seconds(5))) == 2


async def test_ephemeral_consumer_goes_when_nobody_asks(t):
    _, _, js = await stream(t, 1)
    info = await js.add_consumer("W", types.ConsumerConfig(ack_policy="explicit", inactive_threshold=0.5))
    assert info.name
    deadline = asyncio.get_running_loop().time() + t.seconds(10)
    while (await js.stream_info("W")).state.consumer_count:
        assert asyncio.get_running_loop().time() < deadline, "it is still there"
        await asyncio.sleep(0.1)


async def test_pull_request_statuses(t):
    _, client, js = await stream(t, 1)
    await js.add_consumer("W", types.ConsumerConfig(durable_name="c", ack_policy="explicit", max_waiting=1))
    inbox = await client.subscribe("inbox")

    async def status(body):
        await client.publish("$JS.API.CONSUMER.MSG.NEXT.W.c", body, reply="inbox")
        message = await inbox.next_msg(timeout=t.seconds(5))
        return message.headers and message.headers.get("Status")

    assert await status(b"1") is None  # the one message
    assert await status(b'{"batch":1,"no_wait":true}') == "404"
    assert await status(b'{"batch":1,"expires":200000000}') == "408"
    assert await status(b'{"batch":1,"expires":1000000000,"idle_heartbeat":900000000}') == "400"
    await client.publish("$JS.API.CONSUMER.MSG.NEXT.W.c", b'{"batch":1,"expires":30000000000}', reply="inbox")
    assert await status(b'{"batch":1,"expires":30000000000}') == "409"


async def test_priority_groups(t):
    _, client, js = await stream(t, 4)
    await api(t, client, "CONSUMER.CREATE.W.pinned", {"stream_name": "W", "config": {
        "durable_name": "pinned", "ack_policy": "explicit", "priority_policy": "pinned_client",
        "priority_groups": ["jobs"]}})
    one, two = await client.subscribe("one"), await client.subscribe("two")

    async def ask(reply, **more):
        import json

        body = {"batch": 2, "expires": 5_000_000_000, "group": "jobs", **more}
        await client.publish("$JS.API.CONSUMER.MSG.NEXT.W.pinned", json.dumps(body).encode(), reply=reply)

    await ask("one")
    first = await one.next_msg(timeout=t.seconds(5))
    pin = first.headers["Nats-Pin-Id"]
    await one.next_msg(timeout=t.seconds(5))
    await ask("two")
    await ask("one", id=pin)
    third = await one.next_msg(timeout=t.seconds(5))
    assert third.headers["Nats-Pin-Id"] == pin
    await raises(nats.errors.TimeoutError, two.next_msg(timeout=0.3))
    no_group = await client.request("$JS.API.CONSUMER.MSG.NEXT.W.pinned", b'{"batch":1}', timeout=t.seconds(5))
    assert no_group.headers["Status"] == "400", no_group.headers
