"""Keyed consumers with stock nats-py: what is refused, what INFO and /metrics tell, memory, mirrors, and new consumers of old names."""

import asyncio
import json

import nats.errors
import nats.js.errors as errors
from jetstream import api, raises, start
from keyed import key, keyed, sequences
from nats.js import api as types
from test_jetstream_sources import holds


async def parked(t, client, count, consumer="S.c"):
    """Waits for so many parks; what LIST says of them."""

    async def look():
        while True:
            found = await key(t, client, "LIST", consumer=consumer)
            if found.get("total") == count:
                return found["keys"]

    return await asyncio.wait_for(look(), t.seconds(10))


async def test_what_does_not_go_together_is_refused(t):
    client = await t.connect(await start(t))
    js = client.jetstream()
    await js.add_stream(name="S", subjects=["s.>"])

    async def create(**config):
        config = {"ack_policy": "explicit", "name": "c", **config}
        message = await client.request("$JS.API.CONSUMER.CREATE.S.c", json.dumps(
            {"stream_name": "S", "config": config}).encode(), timeout=t.seconds(5))
        return json.loads(message.data).get("error")

    metadata = {"bellhop.key": "token:2"}
    push = {"deliver_subject": "there"}
    flow = {**push, "ack_policy": "flow_control", "flow_control": True, "idle_heartbeat": 1_000_000_000, "max_ack_pending": 10}
    group = {"priority_groups": ["A"], "priority_policy": "overflow"}
    for config, words in [
        ({"ack_policy": "none"}, "requires explicit ack"), ({"ack_policy": "all"}, "requires explicit ack"),
        ({"ack_policy": "flow_control"}, "requires explicit ack"), (flow, "has to be a pull consumer"),
        (push, "has to be a pull consumer"), ({"replay_policy": "original"}, "can not replay original"),
        ({**push, "direct": True, "ack_policy": "none"}, "can not be direct"),
        ({**push, "sourcing": True, "ack_policy": "flow_control"}, "can not be sourcing"),
    ]:
        error = await create(metadata=metadata, **config)
        assert error and error["err_code"] == 10012 and "a consumer with a key " + words in error["description"], (config, error)
    error = await create(metadata={**metadata, "bellhop.key_affinity": "sticky"}, **group)
    assert error and error["err_code"] == 10012, error
    assert await create(metadata=metadata, **group) is None


async def test_info_has_the_fields_of_nats_only(t):
    _, client, js, pull = await keyed(t)
    await js.add_consumer("S", types.ConsumerConfig(
        durable_name="plain", ack_policy=types.AckPolicy.EXPLICIT, ack_wait=2, metadata={"a": "b"}))
    for subject in ["s.a", "s.a", "s.b", "s.c"]:
        await js.publish(subject, b"x")
    plain = await js.pull_subscribe_bind("plain", stream="S")
    for messages in (await pull.fetch(3, timeout=t.seconds(5)), await plain.fetch(3, timeout=t.seconds(5))):
        await messages[0].ack_sync(timeout=t.seconds(5))
        await messages[1].term()

    def fields(value):
        return {name: fields(inner) for name, inner in value.items()} if isinstance(value, dict) else None

    shown = []
    for name in ("plain", "c"):
        info = await api(t, client, f"CONSUMER.INFO.S.{name}")
        del info["config"]["metadata"]
        shown.append(fields(info))
    assert shown[0] == shown[1], shown


async def test_metrics_tell_of_keys(t):
    server, client, js, pull = await keyed(t, flags=("-m", "-1"), max_ack_pending=3, ack_wait=30)
    for subject in ["s.parked", "s.parked", "s.delayed", "s.leased", "s.leased", "s.leased", "s.ready"]:
        await js.publish(subject, b"x")
    messages = {message.subject: message for message in await pull.fetch(3, timeout=t.seconds(5))}
    assert sorted(messages) == ["s.delayed", "s.leased", "s.parked"], messages
    await client.publish(messages["s.parked"].reply, b"+TERM")
    await client.publish(messages["s.delayed"].reply, b"-NAK 1h")
    await parked(t, client, 1)
    # It is parked: too late, and it changes nothing.
    await client.publish(messages["s.parked"].reply, b"+ACK")
    await t.flush(client)

    async def figures():
        reader, writer = await asyncio.open_connection("127.0.0.1", server.http_port)
        writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
        page = (await reader.read()).decode()
        writer.close()
        of = '{account="$G",stream="S",consumer="c"} '
        return {line.split("{")[0].removeprefix("bellhop_keys_"): float(line.split(of)[1])
                for line in page.split("\n") if line.startswith("bellhop_keys_") and of in line}

    async def stale():
        while (await figures())["stale_acks_total"] < 1:
            await asyncio.sleep(0.02)

    await asyncio.wait_for(stale(), t.seconds(10))
    found = await figures()
    assert 0 <= found.pop("oldest_park_seconds") < 60, found
    assert found.pop("parked_bytes") > 0 and found.pop("visits_total") >= 3, found
    assert found == {
        "ready": 1, "leased": 1, "backoff": 1, "parked": 1, "blocked": 2, "waiting_messages": 3, "paused": 0, "parks_total": 1,
        "stale_acks_total": 1, "leases_total": 3}, found
    info = await key(t, client, "INFO")
    assert info["oldest_park_age"] > 0 and info["waiting"] == 3 and info["stale_acks_total"] == 1, info


async def test_parks_in_memory_die_with_the_server(t):
    server = await start(t)
    client = await t.connect(server)
    js = client.jetstream()
    await js.add_stream(name="FILED", subjects=["filed.>"])
    await js.add_stream(name="HELD", subjects=["held.>"], storage="memory")

    async def create(js, stream):
        made = await js.add_consumer(stream, types.ConsumerConfig(
            durable_name="c", ack_policy=types.AckPolicy.EXPLICIT, mem_storage=stream == "FILED",
            metadata={"bellhop.key": "token:2"}))
        assert made.config.metadata["bellhop.durable"] == "false", made
        return await js.pull_subscribe_bind("c", stream=stream)

    for stream in ("FILED", "HELD"):
        for subject in ("a", "a", "b"):
            await js.publish(f"{stream.lower()}.{subject}", b"x")
        messages = await (await create(js, stream)).fetch(2, timeout=t.seconds(5))
        assert sequences(messages) == [1, 3]
        await messages[0].term()
        assert (await parked(t, client, 1, f"{stream}.c"))[0]["key"] == "a"
    await asyncio.to_thread(server.kill)
    client = await t.connect(await start(t))
    js = client.jetstream()
    await raises(errors.NotFoundError, js.stream_info("HELD"))
    await raises(errors.NotFoundError, js.consumer_info("FILED", "c"))
    pull = await create(js, "FILED")
    await parked(t, client, 0, "FILED.c")
    assert sequences(await pull.fetch(2, timeout=t.seconds(5))) == [1, 3]


async def test_a_mirror_parks_its_own_copy(t):
    client = await t.connect(await start(t))
    js = client.jetstream()
    await js.add_stream(name="O", subjects=["s.>"], max_msgs=3)
    await api(t, client, "STREAM.CREATE.M", {"name": "M", "mirror": {"name": "O"}, "max_msgs": 4})
    for stream in ("M", "O"):
        await js.add_consumer(stream, types.ConsumerConfig(
            durable_name="c", ack_policy=types.AckPolicy.EXPLICIT, metadata={"bellhop.key": "token:2"}))
    pull = await js.pull_subscribe_bind("c", stream="M")
    for _ in range(2):
        await js.publish("s.a", b"x")
    await holds(t, client, "M", 2)
    (first,) = await pull.fetch(1, timeout=t.seconds(5))
    assert (first.metadata.stream, first.subject, first.metadata.sequence.stream) == ("M", "s.a", 1)
    await first.term()
    await parked(t, client, 1, "M.c")
    await parked(t, client, 0, "O.c")
    # The origin's limits concern the origin; the mirror's spare what is parked there, and what waits behind it.
    for _ in range(8):
        await js.publish("s.b", b"y")
    await holds(t, client, "O", 3, first_seq=8, last_seq=10)
    await holds(t, client, "M", 6, first_seq=1, last_seq=10)
    ended = await client.subscribe("$BELLHOP.ADVISORY.PARK_ENDED.M.c")
    await t.flush(client)
    await api(t, client, "STREAM.MSG.DELETE.M", {"seq": 1})
    told = json.loads((await ended.next_msg(timeout=t.seconds(5))).data)
    assert (told["stream_seq"], told["reason"]) == (1, "removed"), told
    found = await pull.fetch(1, timeout=t.seconds(5)) + await pull.fetch(1, timeout=t.seconds(5))
    assert sorted(sequences(found)) == [2, 7], sequences(found)
    await holds(t, client, "O", 3, first_seq=8, last_seq=10)


async def test_a_new_consumer_of_an_old_name_begins_anew(t):
    _, client, js, pull = await keyed(t)
    for subject in ["s.a", "s.a", "s.b"]:
        await js.publish(subject, b"x")
    old = await pull.fetch(2, timeout=t.seconds(5))
    await old[0].term()
    await parked(t, client, 1)
    dropped = await client.subscribe("$BELLHOP.ADVISORY.PARKS_DROPPED.S.c")
    await t.flush(client)
    await js.delete_consumer("S", "c")
    assert json.loads((await dropped.next_msg(timeout=t.seconds(5))).data)["parked"] == 1
    await js.add_consumer("S", types.ConsumerConfig(
        durable_name="c", ack_policy=types.AckPolicy.EXPLICIT, metadata={"bellhop.key": "token:2"}))
    await parked(t, client, 0)
    pull = await js.pull_subscribe_bind("c", stream="S")
    new = await pull.fetch(2, timeout=t.seconds(5))
    assert sequences(new) == [1, 3] and [message.metadata.num_delivered for message in new] == [1, 1]
    await raises(nats.errors.NoRespondersError, client.request(old[1].reply, b"+ACK", timeout=t.seconds(5)))
    assert (await js.consumer_info("S", "c")).num_ack_pending == 2
